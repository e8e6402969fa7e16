"""What each answer means: ours, CRCR's, a proxy's, or none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oot_runner.delivery import Answer, Outcome
from oot_runner.verdict import Verdict, judge

HUD = "https://hud.example/oot/example/backend"


def verdict(status: int | None, body: object, *, after_error: bool = False, **given: Any) -> Verdict:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = None if status is None else Answer(status, {"location": "https://evil.example/"}, data)
    outcome = Outcome(answer, "connection refused", 2, 1.23, after_error=after_error, **given)
    return judge(outcome, "relay.example", "the-audience", "example/backend", 1234)


@pytest.mark.parametrize(
    ("status", "body", "outcome", "told"),
    [
        # ours
        (200, {"ok": True, "status": "completed", "outcome": "delivered"}, "delivered", None),
        (200, {"ok": True, "status": "completed", "outcome": "duplicate"}, "duplicate", None),
        (200, {"ok": True, "status": "ignored", "outcome": "ignored", "message": "L1"}, "ignored", "ignored"),
        (202, {"ok": True, "status": "completed", "outcome": "queued"}, "queued", None),
        (202, b"", "queued", None),
        (200, {"outcome": "delivered", "message": "No check run: L3 keeps CRCR's"}, "delivered", "upstream_checks"),
        (200, {"outcome": "delivered", "message": "Move to v2"}, "delivered", "relay_note"),
        # CRCR's
        (200, {"ok": True, "status": "in_progress"}, "delivered", None),
        (200, {"ok": True, "status": "completed"}, "delivered", None),
        (200, {"ok": True, "status": "ignored"}, "ignored", "ignored"),
        # errors
        (400, {"detail": "conclusion is missing", "code": "invalid_callback"}, "failed", "refused"),
        (400, {"detail": "invalid transition"}, "failed", "refused"),
        (401, {"detail": "expired", "code": "expired_token"}, "failed", "expired_token"),
        (401, {"detail": "not this audience", "code": "wrong_audience"}, "failed", "unauthorized"),
        (403, {"detail": "unknown", "code": "repo_not_allowed"}, "failed", "not_allowed"),
        (409, {"detail": "another", "code": "dispatch_conflict"}, "failed", "refused"),
        (413, b"<html>Request Entity Too Large</html>", "failed", "body_too_large"),
        (422, {"detail": [{"loc": ["body"]}]}, "failed", "refused"),
        (429, b"", "failed", "rate_limited"),
        (500, {"detail": "store", "code": "store_unavailable"}, "failed", "server_error"),
        (502, b"<html>Bad Gateway</html>", "failed", "server_error"),
        # no relay at all
        (200, b"<html>Please log in</html>", "unknown", "not_a_relay"),
        (200, {"hello": "world"}, "unknown", "not_a_relay"),
        (200, [], "unknown", "not_a_relay"),
        (200, b"[" * 100_000, "unknown", "not_a_relay"),
        (204, b"", "unknown", "not_a_relay"),
        (403, b"Forbidden by proxy", "failed", "not_a_relay"),
        (404, {"detail": "Not Found"}, "failed", "not_a_relay"),
        (405, {"detail": "Method Not Allowed"}, "failed", "not_a_relay"),
        (308, b"", "failed", "redirected"),
        (None, b"", "failed", "unreachable"),
    ],
)
def test_answers(status: int | None, body: object, outcome: str, told: str | None) -> None:
    result = verdict(status, body)
    assert (result.outcome, result.message and result.message.code) == (outcome, told)
    assert result.http_status == ("" if status is None else str(status))


def test_a_refusal_after_an_attempt_that_may_have_arrived_is_unknown_with_crcr_s_relay() -> None:
    assert verdict(400, {"detail": "invalid transition"}, after_error=True).outcome == "unknown"
    # Ours answers 200 `duplicate` in that case: its 400 is a refusal, whatever came before.
    assert verdict(400, {"detail": "wrong", "code": "invalid_callback"}, after_error=True).outcome == "failed"


def test_an_untrusted_certificate_is_its_own_matter() -> None:
    result = verdict(None, b"", untrusted_certificate=True)
    assert result.message is not None
    assert result.message.code == "untrusted_certificate"
    assert "SSL_CERT_FILE" in result.message.text()


def test_where_the_record_is() -> None:
    result = verdict(200, {"outcome": "delivered", "dynamoKey": "k", "hud_url": HUD})
    assert (result.dynamo_key, result.hud_url) == ("k", HUD)
    assert verdict(200, {"outcome": "delivered", "hud_url": "javascript:alert(1)"}).hud_url == ""


def test_a_long_answer_is_cut_and_its_controls_are_gone() -> None:
    result = verdict(400, {"detail": "\x1b[31mno\n::error::x" + "y" * 5000})
    assert result.message is not None
    detail = str(result.message.facts["detail"])
    assert detail.startswith("no ::error::xy")
    assert len(detail) <= 1000


def test_the_audience_is_shown_where_it_matters() -> None:
    result = verdict(401, {"detail": "no", "code": "wrong_audience"})
    assert result.message is not None
    assert "the-audience" in result.message.text()
