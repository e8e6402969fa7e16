"""The hop to HUD: one POST, and what its answer means for who sent it."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import orjson
import requests

log = logging.getLogger(__name__)

TIMEOUT = (2.0, 3.0)  # seconds to connect, and between bytes of the answer: five in all
CALLERS_FAULT = frozenset({400, 413, 422})  # of HUD's 4xx only these are about the body; the others are ours


class Delivered(NamedTuple):
    """HUD has the result, in its own words; `duplicate`: it had it before, or another that is final (409)."""

    duplicate: bool


class Refused(NamedTuple):
    """HUD will never take this body; `why` is its own word."""

    status: int
    why: str


class Unavailable(NamedTuple):
    """HUD can't take it now. `ours` says that it is reachable and refuses us: a rotated token, a wrong address."""

    why: str
    ours: bool


Answer = Delivered | Refused | Unavailable


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
    told = _json(content)
    if response.status_code == 200 and told.get("ok") is True:
        return Delivered(duplicate=told.get("outcome") == "duplicate")
    if response.status_code == 409:
        return Delivered(duplicate=True)
    why = f"HTTP {response.status_code}: {str(told.get('error', ''))[:1000]}".rstrip(": ")
    if response.status_code in CALLERS_FAULT:
        return Refused(response.status_code, why)
    ours = response.status_code < 500
    if ours:
        log.error("HUD refuses the relay itself: %s", why)  # the alarm: every result waits until somebody mends this
    return Unavailable(why, ours=ours)


def _json(content: bytes) -> dict[str, Any]:
    try:
        told = orjson.loads(content)
    except orjson.JSONDecodeError:
        return {}
    return told if isinstance(told, dict) else {}
