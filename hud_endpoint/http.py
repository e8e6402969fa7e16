"""What both server halves do with HTTP: read a body within its cap, and answer every error in one shape."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from hud_endpoint.errors import RefusedError
from hud_endpoint.gzip_body import inflate, too_large

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

log = logging.getLogger(__name__)

_BY_STATUS = {
    404: ("not_found", "There is nothing at this path: {path}."),
    405: ("method_not_allowed", "{path} does not take {method}."),
}


async def read_body(request: Request, limit: int) -> bytes:
    """Read the body while counting: a chunked one, a lying Content-Length or a bomb in gzip gains nothing.

    Raises RefusedError `body_too_large` above `limit` bytes as they come or inflated, `unsupported_encoding` and
    `invalid_encoding`.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower() or "identity"
    if encoding not in ("identity", "gzip", "x-gzip"):
        raise RefusedError("unsupported_encoding", "The body's Content-Encoding is not known here: use gzip or none.")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and (len(announced) > 15 or int(announced) > limit):
        raise too_large(limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_large(limit)
    return bytes(body) if encoding == "identity" else await run_in_threadpool(inflate, bytes(body), limit)


def as_json(body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Give a JSON answer."""
    return Response(orjson.dumps(body), status, headers, media_type="application/json")


def answer_errors(app: Starlette, field: str) -> None:
    """Answer every error as `{field: sentence, "code"}`; what nobody foresaw is logged and answered as 500."""

    async def refused(_request: Request, error: RefusedError) -> Response:
        return refusal(error, field)

    async def http_error(request: Request, error: HTTPException) -> Response:
        code, text = _BY_STATUS.get(error.status_code, ("internal_error", "The request could not be handled."))
        message = text.format(path=request.url.path[:200], method=request.method[:20])
        return as_json({field: message, "code": code}, error.status_code, error.headers)

    async def gone(_request: Request, _error: Exception) -> Response:
        return Response(status_code=400)  # nobody is left to read it

    async def unforeseen(request: Request, error: Exception) -> Response:
        log.error("unforeseen error", exc_info=error, extra={"path": request.url.path})
        told = "Something broke on our side. Send it again: the same callback never counts twice."
        return refusal(RefusedError("internal_error", told), field)

    # Starlette's types say that every handler takes any Exception; it gives each its own.
    app.add_exception_handler(RefusedError, refused)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, http_error)  # type: ignore[arg-type]
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(Exception, unforeseen)
    if type(app) is not Starlette:  # FastAPI, which refuses query parameters by itself
        _answer_wrong_parameters(app, field)


def _answer_wrong_parameters(app: Starlette, field: str) -> None:
    from fastapi.exceptions import RequestValidationError

    async def wrong_parameter(_request: Request, error: RequestValidationError) -> Response:
        problem = error.errors()[0]
        return refusal(RefusedError("invalid_parameter", f"{problem['loc'][-1]}: {problem['msg']}."), field)

    app.add_exception_handler(RequestValidationError, wrong_parameter)  # type: ignore[arg-type]


def refusal(error: RefusedError, field: str) -> Response:
    """Give the answer that a refusal is."""
    headers = {"retry-after": str(error.retry_after)} if error.retry_after is not None else {}
    if error.code == "unsupported_encoding":
        headers["accept-encoding"] = "gzip"  # RFC 9110, 15.5.16
    return as_json({field: error.message, "code": error.code}, error.status, headers)
