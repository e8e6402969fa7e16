"""What HUD's answer means for the caller: only HUD's word about the body is the caller's, the rest is ours to mend."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from hud_endpoint.errors import RefusedError
from hud_endpoint.relay import forward as forwarding
from hud_endpoint.relay.forward import forward
from tests.hud_endpoint.web import Answer, Asked, Web, as_json

if TYPE_CHECKING:
    import requests

PAYLOAD: dict[str, Any] = {"trusted": {"verified_repo": "o/r"}, "untrusted": {"callback_payload": {"x": "é\u2028"}}}
GARBAGE = Answer(200, b"\xff<html>", {"content-type": "application/json"})


def send(session: requests.Session, web: Web, path: str = "/api") -> str:
    return forward(session, web.url + path, "the-service-token", PAYLOAD)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (as_json({"ok": True, "status": "completed", "dynamoKey": "k", "outcome": "stored"}), "delivered"),
        (as_json({"ok": True, "status": "completed", "dynamoKey": "k", "outcome": "duplicate"}), "duplicate"),
        (as_json({"ok": True, "status": "completed", "dynamoKey": "k"}), "delivered"),  # CRCR's HUD
        (as_json([]), "delivered"),
        (GARBAGE, "delivered"),
        (as_json({"error": "already final", "code": "conflicting_completion"}, 409), "duplicate"),
    ],
)
def test_what_counts_as_delivered(session: requests.Session, web: Web, answer: Answer, outcome: str) -> None:
    web.answers["/api"] = answer
    assert send(session, web) == outcome


@pytest.mark.parametrize(
    ("answer", "code", "status", "told"),
    [
        (as_json({"error": "workflow.name: is wrong"}, 400), "invalid_callback", 400, "workflow.name: is wrong"),
        (as_json({"error": "too big"}, 413), "body_too_large", 413, "too big"),
        (as_json({"error": "x" * 5000}, 400), "invalid_callback", 400, "x" * 1000),
        (as_json({"error": {"a": 1}}, 422), "invalid_callback", 400, "{'a': 1}"),
        (Answer(400, b"<html>"), "invalid_callback", 400, "HTTP 400"),
        (Answer(413), "body_too_large", 413, "HTTP 413"),
        (as_json({"error": "the token is old"}, 401), "hud_rejected", 502, "HTTP 401"),
        (Answer(403), "hud_rejected", 502, "HTTP 403"),
        (Answer(404), "hud_rejected", 502, "HTTP 404"),
        (Answer(405), "hud_rejected", 502, "HTTP 405"),
        (Answer(429), "hud_rejected", 502, "HTTP 429"),
        (Answer(201), "hud_rejected", 502, "HTTP 201"),
        (Answer(204), "hud_rejected", 502, "HTTP 204"),
        (Answer(500), "hud_unavailable", 502, "HTTP 500"),
        (Answer(502, b"<html>"), "hud_unavailable", 502, "HTTP 502"),
        (Answer(503), "hud_unavailable", 502, "HTTP 503"),
        (Answer(302, headers={"location": "/elsewhere"}), "hud_rejected", 502, "HTTP 302"),
        (Answer(307, headers={"location": "/elsewhere"}), "hud_rejected", 502, "HTTP 307"),
        (Answer(200, b"{", announced=100, headers={"connection": "close"}), "hud_unavailable", 502, "did not answer"),
        (Answer(200, b"not gzip", headers={"content-encoding": "gzip"}), "hud_unavailable", 502, "did not answer"),
        (Answer(held=True), "hud_unavailable", 502, "did not answer (ReadTimeout)"),
    ],
    ids=lambda value: f"{value.status}" if isinstance(value, Answer) else None,
)
def test_what_does_not(
    session: requests.Session,
    web: Web,
    monkeypatch: pytest.MonkeyPatch,
    answer: Answer,
    code: str,
    status: int,
    told: str,
) -> None:
    monkeypatch.setattr(forwarding, "TIMEOUT", (0.5, 0.1))
    web.answers["/api"] = answer
    with pytest.raises(RefusedError) as caught:
        send(session, web)
    assert (caught.value.code, caught.value.status) == (code, status)
    assert told in caught.value.message
    assert len(caught.value.message) < 1100
    if code == "hud_rejected":
        assert "the token is old" not in caught.value.message  # that is between the relay and HUD
    if code.startswith("hud_"):
        assert "send the same callback again" in caught.value.message
    assert web.paths() == ["/api"]  # asked once, and the token goes nowhere else


def test_a_hud_that_is_gone(session: requests.Session) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(RefusedError) as caught:
            forward(session, f"http://127.0.0.1:{closed.getsockname()[1]}/", "t", PAYLOAD)
    assert caught.value.code == "hud_unavailable"
    assert "127.0.0.1" not in caught.value.message


def test_what_is_sent(session: requests.Session, web: Web) -> None:
    def answer(asked: Asked) -> Answer:
        assert json.loads(asked.body) == PAYLOAD
        return as_json({})

    web.answers["/api"] = answer
    send(session, web)
    [asked] = web.asked
    assert asked.method == "POST"
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["x-hud-internal-bot"] == "the-service-token"
    assert "authorization" not in asked.headers
