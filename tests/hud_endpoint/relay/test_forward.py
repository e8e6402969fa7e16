"""What HUD's answer means: only its word about the body is the caller's fault, the rest is ours to mend, later."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
import requests
import responses

from hud_endpoint.relay import forward as forwarding
from hud_endpoint.relay.forward import Conflicting, Delivered, Refused, Unavailable, forward
from tests.hud_endpoint.web import Answer, Asked, Web, as_json

PAYLOAD: dict[str, Any] = {"trusted": {"verified_repo": "o/r"}, "untrusted": {"callback_payload": {"x": "é\u2028"}}}
FINE = {"ok": True, "status": "completed", "dynamoKey": "k"}


def send(session: requests.Session, web: Web, path: str = "/api") -> forwarding.Answer:
    return forward(session, web.url + path, "the-service-token", PAYLOAD)


@pytest.mark.parametrize(
    ("answer", "means"),
    [
        # HUD has it: in its own words, because a proxy's page is a 200 as well
        (as_json(FINE | {"outcome": "stored"}), Delivered(duplicate=False)),
        (as_json(FINE | {"outcome": "duplicate"}), Delivered(duplicate=True)),
        (as_json(FINE), Delivered(duplicate=False)),  # CRCR's HUD
        (
            as_json({"error": "already final", "code": "conflicting_completion"}, 409),
            Conflicting("conflicting_completion", "already final"),
        ),
        (
            as_json({"error": "another job's", "code": "conflicting_identity"}, 409),
            Conflicting("conflicting_identity", "another job's"),
        ),
        (Answer(409, b"<html>"), Conflicting("conflicting_completion", "HUD holds another result for this job.")),
        (
            as_json({"code": "made_up"}, 409),
            Conflicting("conflicting_completion", "HUD holds another result for this job."),
        ),
        (as_json({}), Unavailable("HTTP 200", ours=True)),
        (as_json([]), Unavailable("HTTP 200", ours=True)),
        (as_json({"ok": False, "error": "no"}), Unavailable("HTTP 200: no", ours=True)),
        (Answer(200, b"\xff<html>", {"content-type": "application/json"}), Unavailable("HTTP 200", ours=True)),
        # the body is at fault
        (as_json({"error": "workflow.name: is wrong"}, 400), Refused(400, "HTTP 400: workflow.name: is wrong")),
        (as_json({"error": "too big"}, 413), Refused(413, "HTTP 413: too big")),
        (as_json({"error": "x" * 5000}, 400), Refused(400, "HTTP 400: " + "x" * 1000)),
        (as_json({"error": {"a": 1}}, 422), Refused(422, "HTTP 422: {'a': 1}")),
        (Answer(400, b"<html>"), Refused(400, "HTTP 400")),
        (Answer(413), Refused(413, "HTTP 413")),
        # the relay is: a rotated token or a wrong address must not redden a hundred backends
        (as_json({"error": "the token is old"}, 401), Unavailable("HTTP 401: the token is old", ours=True)),
        *((Answer(status), Unavailable(f"HTTP {status}", ours=True)) for status in (403, 404, 405, 408, 429, 201, 204)),
        (Answer(302, headers={"location": "/elsewhere"}), Unavailable("HTTP 302", ours=True)),
        (Answer(307, headers={"location": "/elsewhere"}), Unavailable("HTTP 307", ours=True)),
        # HUD is away
        *((Answer(status), Unavailable(f"HTTP {status}", ours=False)) for status in (500, 502, 503, 504)),
        (Answer(502, b"<html>"), Unavailable("HTTP 502", ours=False)),
        (
            Answer(200, b"{", announced=100, headers={"connection": "close"}),
            Unavailable("no answer (ChunkedEncodingError)", ours=False),
        ),
        (
            Answer(200, b"not gzip", headers={"content-encoding": "gzip"}),
            Unavailable("no answer (ContentDecodingError)", ours=False),
        ),
        (Answer(held=True), Unavailable("no answer (ReadTimeout)", ours=False)),
    ],
    ids=lambda value: f"{value.status}" if isinstance(value, Answer) else None,
)
def test_what_an_answer_means(
    session: requests.Session,
    web: Web,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    answer: Answer,
    means: forwarding.Answer,
) -> None:
    monkeypatch.setattr(forwarding, "TIMEOUT", (60, 0.1 if answer.held else 60))
    web.answers["/api"] = answer
    assert send(session, web) == means
    assert web.paths() == ["/api"]  # asked once, and the token goes nowhere else
    alarmed = any(record.levelname == "ERROR" for record in caplog.records)
    assert alarmed is (isinstance(means, Unavailable) and means.ours)
    assert "the-service-token" not in caplog.text


def test_a_hud_that_is_gone(session: requests.Session) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        answer = forward(session, f"http://127.0.0.1:{closed.getsockname()[1]}/", "t", PAYLOAD)
    assert answer == Unavailable("no answer (ConnectionError)", ours=False)


@pytest.mark.parametrize(
    "error",
    [
        requests.exceptions.SSLError("certificate verify failed"),
        requests.exceptions.ProxyError("407"),
        requests.exceptions.ConnectTimeout("two seconds"),
        requests.exceptions.InvalidURL("no host"),
        requests.exceptions.RetryError("too many"),
        ConnectionResetError(104, "reset"),
        TimeoutError("timed out"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_the_network_is_an_answer_too(session: requests.Session, error: Exception) -> None:
    with responses.RequestsMock() as answers:
        answers.post("https://hud.example.org/api", body=error)
        answer = forward(session, "https://hud.example.org/api", "t", PAYLOAD)
    assert answer == Unavailable(f"no answer ({type(error).__name__})", ours=False)


def test_what_is_sent(session: requests.Session, web: Web) -> None:
    def answer(asked: Asked) -> Answer:
        assert json.loads(asked.body) == PAYLOAD
        return as_json(FINE)

    web.answers["/api"] = answer
    send(session, web)
    [asked] = web.asked
    assert asked.method == "POST"
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["x-hud-internal-bot"] == "the-service-token"
    assert "authorization" not in asked.headers


def test_an_answer_is_awaited_for_five_seconds_in_all() -> None:
    assert sum(forwarding.TIMEOUT) == 5
