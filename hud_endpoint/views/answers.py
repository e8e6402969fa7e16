"""How data is answered: an ETag on everything, 304 for who has it already, and nothing that a browser would run."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from fastapi.responses import Response

from hud_endpoint.errors import RefusedError

if TYPE_CHECKING:
    from fastapi import Request

KEPT = "public, max-age=10"  # as long as the reader keeps an answer itself
_SAFE = {"x-content-type-options": "nosniff", "content-security-policy": "default-src 'none'"}


def answer(
    request: Request, body: bytes, media_type: str, *, kept: str = KEPT, last_good: bool = False, filename: str = ""
) -> Response:
    """Answer with the body, or with 304; what is only the last good data of an outage is asked for again each time."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
    headers = _SAFE | {"etag": tag, "cache-control": "no-cache" if last_good else kept}
    told = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if tag in told or "*" in told:
        return Response(status_code=304, headers=headers)
    if filename:
        headers["content-disposition"] = f'inline; filename="{filename}"'
    return Response(body, media_type=media_type, headers=headers)


def whole(told: str, name: str) -> int:
    """Read a whole number of a path or query string. Raises RefusedError `invalid_parameter`."""
    if told.isascii() and told.isdecimal() and len(told) <= 18:
        return int(told)
    raise RefusedError("invalid_parameter", f"{name} is a whole number.")
