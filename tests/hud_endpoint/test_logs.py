"""Log lines: what each says, and what none ever holds. tests/deploy/test_lambda_logs.py shows the same on Lambda."""

from __future__ import annotations

import contextvars
import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hud_endpoint import logs
from hud_endpoint.logs import REDACTED, RedactingFormatter, bind, bound, hide, redact
from hud_endpoint.settings import HudSettings, load

ROOT = Path(__file__).resolve().parents[2]
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2lnbmF0dXJl"


def line(message: object = "x", **attributes: Any) -> dict[str, Any]:
    written = RedactingFormatter().format(logging.makeLogRecord({"msg": message, "name": "a.logger", **attributes}))
    assert "\n" not in written
    parsed: dict[str, Any] = json.loads(written)
    return parsed


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"Bearer {JWT}", "Bearer *"),
        (f"a {JWT} b {JWT}", "a * b *"),
        (f"a%20{JWT}", "a%20*"),
        (JWT.rpartition(".")[0], "*"),  # the signature is missing
        (f"ghs_1234_{JWT}", "*"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "*"),
        ("github_pat_11ABCDEFG0abcdefghijk_lmnopqrst", "*"),
        ("glpat-abcdefghij0123456789", "*"),
        ("key AKIAIOSFODNN7EXAMPLE", "key *"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\nMIIE\n-----END RSA PRIVATE KEY-----", "* RSA PRIVATE KEY-----"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE cut", "*"),
        ("Basic dXNlcjpwYXNz", "Basic *"),
        ("{'x-hud-internal-bot': 'plain words', 'accept': 'x/y'}", "{'x-hud-internal-bot': '*', 'accept': 'x/y'}"),
        ("[(b'authorization', b'Bearer abc')]", "[(b'authorization', b'*')]"),
        (r'{"SecretString":"{\"HUD_API_TOKEN\":\"a-b\"}"}', r'{"SecretString":"{\"HUD_API_TOKEN\":\"*\"}"}'),
        ("{'x-clickhouse-key': 'plain words'}", "{'x-clickhouse-key': '*'}"),
        ('{"SecretAccessKey": "wJalr/K7MDENG", "x": 1}', '{"SecretAccessKey": "*", "x": 1}'),
        ("x-amz-security-token:FwoGZX1/abc==\nhost:x", "x-amz-security-token:*\nhost:x"),
        ("GET /a?X-Amz-Signature=0a&X-Amz-Date=1 HTTP/1.1", "GET /a?X-Amz-Signature=*&X-Amz-Date=1 HTTP/1.1"),
        ("https://x.blob/a?sv=1&sig=ab%2F%3D&se=2", "https://x.blob/a?sv=1&sig=*&se=2"),
        ("http://reader:pass-word@host:8123/", "http://reader:*@host:8123/"),
        ("https://user@host/ and http://host:80/a@b", "https://user@host/ and http://host:80/a@b"),
        ("password=hunter", "password=*"),
        ("password=a", "password=*"),
        # What only speaks of tokens stays readable.
        ("eyJ is how they begin", "eyJ is how they begin"),
        ("invalid token: signature has expired", "invalid token: signature has expired"),
        ("replayed_token: the token was used", "replayed_token: the token was used"),
        ("Bearer authentication failed", "Bearer authentication failed"),
        ("tokens=2 of 3", "tokens=2 of 3"),
        ("design: 2026-05-04T03:02:01", "design: 2026-05-04T03:02:01"),
        ("o/r/d/ci/test/987 " + "a" * 64, "o/r/d/ci/test/987 " + "a" * 64),
    ],
)
def test_what_authenticates_somebody_is_taken_out(text: str, left: str) -> None:
    assert redact(text) == left.replace("*", REDACTED)
    assert line(text)["message"] == left.replace("*", REDACTED)


@pytest.mark.parametrize(
    "piece",
    ["eyJ", "eyJa.", "token", "token:", "token='", "token\\", "Bearer ", "://a:", "sig=", "AKIA", "-----BEGIN "],
)
def test_a_hostile_text_is_read_in_linear_time(piece: str) -> None:
    def seconds(length: int) -> float:
        text = (piece * length)[:length]
        began = time.process_time()
        redact(text)
        return time.process_time() - began

    assert min(seconds(80_000) for _ in range(3)) < 10 * min(seconds(20_000) for _ in range(3)) + 0.1


def test_a_token_is_taken_out_wherever_a_record_holds_it() -> None:
    try:
        raise ValueError(f"no {JWT}") from OSError(JWT)  # noqa: TRY301
    except ValueError:
        failed = line("failed", exc_info=sys.exc_info())
    assert "Traceback" in failed["exception"]
    for written in (
        failed,
        line(f"a {JWT}"),
        line("a %s", args=(JWT,)),
        line("a %d %s", args=(JWT,)),  # placeholders that don't fit cost no line
        line({"an": [JWT]}),
        line("x", about={"deep": [{JWT: (JWT, b"Bearer " + JWT.encode(), ValueError(JWT))}]}),
        line("x", authorization="plain words", headers={"x-relay-dispatch-token": b"plain words"}),
    ):
        text = json.dumps(written)
        assert REDACTED in text
        assert "eyJ" not in text
        assert "plain words" not in text


def test_our_own_secrets_are_taken_out_whatever_they_look_like(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_secrets", [])
    for secret in ("abc def ghi", "abc def ghi jkl", "short"):
        hide(secret)
    monkeypatch.setenv("INTERNAL_API_TOKEN", "plain words of sixteen")
    load(HudSettings)
    assert redact("a line with plain words of sixteen") == f"a line with {REDACTED}"
    assert line("it is abc def ghi jkl, or abc def ghi, or short")["message"] == (
        f"it is {REDACTED}, or {REDACTED}, or short"
    )


def test_a_line_says_when_what_and_of_what() -> None:
    written = line("a %s", args=("b",), funcName="f", lineno=7, created=0.0, levelname="INFO", size=1.5, none=None)
    assert written == {
        "timestamp": "1970-01-01T00:00:00.000+00:00",
        "level": "INFO",
        "logger": "a.logger",
        "location": "f:7",
        "message": "a b",
        "size": 1.5,
    }


@pytest.mark.parametrize("message", ["12", "null", '{"level": "x"}', "100%", "%s", "\ud800", "a\nb\u2028"])
def test_a_message_stays_a_text(message: str) -> None:
    assert line(message)["message"] == message


def test_every_line_of_a_request_says_what_it_is_about() -> None:
    def lines() -> list[dict[str, Any]]:
        bind(repo="o/r")
        with bound(repo="o/s", delivery_id="d1"):
            inside = line()
        return [inside, line()]

    inside, after = contextvars.copy_context().run(lines)
    assert (inside["repo"], inside["delivery_id"]) == ("o/s", "d1")
    assert after["repo"] == "o/r"
    assert "delivery_id" not in after
    assert "repo" not in line()  # and no line of another's


@pytest.mark.parametrize("access_log", [True, False])
def test_a_server_logs_in_this_format_too(access_log: bool) -> None:  # noqa: FBT001 - a column
    code = f"""
import logging, uvicorn
from hud_endpoint.logs import set_up
uvicorn.Config("x:y", access_log={access_log})
set_up()
for name in ("uvicorn.error", "uvicorn.access", "root"):
    logging.getLogger(name).info("from " + name)
logging.getLogger("botocore.parsers").debug("whole bodies")
logging.getLogger("mistaken").info("%d", "Bearer {JWT}")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert JWT not in done.stderr
    written = [json.loads(text)["message"] for text in done.stderr.splitlines()]
    access = ["from uvicorn.access"] if access_log else []
    assert written == ["from uvicorn.error", *access, "from root", f"%d ('Bearer {REDACTED}',)"]


@pytest.mark.parametrize("where", ["fail()", "threading.Thread(target=fail).start()"])
def test_what_nobody_caught_is_a_line_too(where: str) -> None:
    code = f"""
import os, threading
from hud_endpoint.logs import set_up
def fail():
    raise ValueError("{JWT} and " + os.environ["SOME_API_KEY"])
set_up()
{where}
"""
    env = os.environ | {"SOME_API_KEY": "plain words"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    (written,) = [json.loads(text) for text in done.stderr.splitlines()]
    assert (written["level"], written["exception"].splitlines()[-1]) == (
        "CRITICAL",
        f"ValueError: {REDACTED} and {REDACTED}",
    )
    assert done.returncode == ("Thread" not in where)


def test_a_program_that_has_set_up_logging_keeps_what_it_has() -> None:
    before = logging.getLogger().handlers.copy()  # pytest's own
    logs.set_up()
    assert logging.getLogger().handlers == before
