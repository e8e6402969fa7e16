"""The hop to HUD: one POST, and what its answer means for who sent it."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import orjson
import requests

log = logging.getLogger(__name__)

TIMEOUT = (2.0, 3.0)  # seconds to connect, and between bytes of the answer: five in all
CONFLICTS = ("conflicting_completion", "conflicting_identity")
CALLERS_FAULT = frozenset({400, 413, 422})  # of HUD's 4xx only these are about the body; the others are ours


class Delivered(NamedTuple):
    """HUD has the result; `duplicate` says that it had it before."""

    duplicate: bool


class Conflicting(NamedTuple):
    """HUD has another completion of this job, which is final, or holds its key for another job (409).

    `code` is one of CONFLICTS.
    """

    code: str
    why: str


class Refused(NamedTuple):
    """HUD will never take this body; `why` is its own word."""

    status: int
    why: str


class Unavailable(NamedTuple):
    """HUD can't take it now. `ours` says that it is reachable and refuses us: a rotated token, a wrong address."""

    why: str
    ours: bool


Answer = Delivered | Conflicting | Refused | Unavailable


def forward(session: requests.Session, url: str, token: str, payload: dict[str, Any]) -> Answer:
    """Deliver `{trusted, untrusted}` to HUD; never raises for anything that HUD or the network does."""
    try:
        response = session.post(
            url,
            data=orjson.dumps(payload),
            headers={"content-type": "application/json", "x-hud-internal-bot": token},
            timeout=TIMEOUT,
            allow_redirects=False,  # the token goes nowhere else
        )
        content = response.content[:65536]
    except (requests.RequestException, OSError) as error:
        return Unavailable(f"no answer ({type(error).__name__})", ours=False)
    answer = _json(content)
    if response.status_code == 200 and answer.get("ok") is True:
        return Delivered(duplicate=answer.get("outcome") == "duplicate")
    if response.status_code == 409:
        code = answer.get("code")
        why = str(answer.get("error") or "HUD holds another result for this job.")[:1000]
        return Conflicting(code if code in CONFLICTS else CONFLICTS[0], why)
    why = f"HTTP {response.status_code}: {str(answer.get('error', ''))[:1000]}".rstrip(": ")
    if response.status_code in CALLERS_FAULT:
        return Refused(response.status_code, why)
    ours = response.status_code < 500
    if ours:
        log.error("HUD refuses the relay itself: %s", why)  # the alarm: every result waits until somebody mends this
    return Unavailable(why, ours=ours)


def _json(content: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(content)
    except orjson.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}
