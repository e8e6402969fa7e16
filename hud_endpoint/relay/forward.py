"""The hop to HUD: one POST, and what its answer means for the caller."""

from __future__ import annotations

from typing import Any, Literal

import orjson
import requests

from hud_endpoint.errors import RefusedError

TIMEOUT = (3.05, 5.0)  # seconds to connect, and between bytes of the answer
CALLERS_FAULT = frozenset({400, 413, 422})  # of HUD's 4xx only these are about the body; the others are ours


def forward(
    session: requests.Session, url: str, token: str, payload: dict[str, Any]
) -> Literal["delivered", "duplicate"]:
    """Deliver `{trusted, untrusted}` to HUD.

    Raises RefusedError with HUD's own words where the body is at fault; `hud_rejected` or `hud_unavailable` otherwise:
    nothing has been acknowledged then, and the caller sends the same body again.
    """
    try:
        response = session.post(
            url,
            data=orjson.dumps(payload),
            headers={"content-type": "application/json", "x-hud-internal-bot": token},
            timeout=TIMEOUT,
            allow_redirects=False,  # the token goes nowhere else
        )
    except requests.RequestException as error:
        raise RefusedError(
            "hud_unavailable", f"HUD did not answer ({type(error).__name__}): send the same callback again."
        ) from error
    answer = _json(response)
    if response.status_code == 200:
        return "duplicate" if answer.get("outcome") == "duplicate" else "delivered"
    if response.status_code == 409:
        return "duplicate"
    if response.status_code in CALLERS_FAULT:
        told = str(answer.get("error") or f"HTTP {response.status_code}")[:1000]
        raise RefusedError(
            "body_too_large" if response.status_code == 413 else "invalid_callback", f"HUD refused: {told}"
        )
    code = "hud_unavailable" if response.status_code >= 500 else "hud_rejected"
    raise RefusedError(
        code, f"HUD answered HTTP {response.status_code}, which is ours to mend: send the same callback again later."
    )


def _json(response: requests.Response) -> dict[str, Any]:
    try:
        answer = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}
