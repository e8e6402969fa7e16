"""What both server halves do with HTTP: read a body within its cap, and answer every error in one shape."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import RedirectResponse, Response
from starlette.routing import Match

from hud_endpoint.errors import RefusedError
from hud_endpoint.gzip_body import inflate, too_large

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

log = logging.getLogger(__name__)

BODY_SECONDS = 10.0  # until a body is there, and a second more for each so many bytes of it that have come
BODY_BYTES_A_SECOND = 20_000

_BY_STATUS = {
    404: ("not_found", "There is nothing at this path: {path}."),
    405: ("method_not_allowed", "{path} does not take {method}."),
}


async def read_body(request: Request, limit: int) -> bytes:
    """Read the body while counting: a chunked one, a lying Content-Length or a bomb in gzip gains nothing.

    Raises RefusedError `body_too_large` above `limit` bytes as they come or inflated, `body_too_slow` for one that
    takes longer than BODY_SECONDS and BODY_BYTES_A_SECOND allow, `unsupported_encoding` and `invalid_encoding`.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower() or "identity"
    if encoding not in ("identity", "gzip", "x-gzip"):
        raise RefusedError("unsupported_encoding", "The body's Content-Encoding is not known here: use gzip or none.")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and (len(announced) > 15 or int(announced) > limit):
        raise too_large(limit)
    body = bytearray()
    latest = asyncio.get_running_loop().time() + BODY_SECONDS
    try:
        async with asyncio.timeout_at(latest) as deadline:
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise too_large(limit)
                deadline.reschedule(latest + len(body) / BODY_BYTES_A_SECOND)
    except TimeoutError:
        raise RefusedError(
            "body_too_slow",
            f"The body did not come in time ({len(body):,} bytes did): send it in one go, or look for what slows the "
            "network down.",
        ) from None
    return bytes(body) if encoding == "identity" else await run_in_threadpool(inflate, bytes(body), limit)


def redirect_slashes_by_path(app: Starlette) -> None:
    """Redirect from a path with slashes at its end to the one without, where that is a route's, by its path alone.

    Starlette's own redirect leads to the host that the request names, which is whatever its sender put there. Call it
    when the router's default is set.
    """
    app.router.redirect_slashes = False
    default = app.router.default

    def is_route(scope: Scope, path: str) -> bool:
        return any(route.matches({**scope, "path": path})[0] is not Match.NONE for route in app.routes)

    async def redirect(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            path = "/" + scope["path"].strip("/")  # a browser takes what follows two slashes for a host
            if path != scope["path"] and is_route(scope, path):
                query = scope["query_string"].decode("latin-1")
                await RedirectResponse(f"{quote(path)}{'?' * bool(query)}{query}")(scope, receive, send)
                return
        await default(scope, receive, send)

    app.router.default = redirect


def as_json(body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Give a JSON answer."""
    return Response(orjson.dumps(body), status, headers, media_type="application/json")


def answer_errors(app: Starlette, field: str) -> None:
    """Answer every error as `{field: sentence, "code"}`; what nobody foresaw is logged and answered as 500."""

    async def refused(_request: Request, error: RefusedError) -> Response:
        return refusal(error, field)

    async def http_error(request: Request, error: HTTPException) -> Response:
        code, text = _BY_STATUS.get(error.status_code, ("internal_error", "The request could not be handled."))
        message = text.format(path=request.scope["path"][:200], method=request.method[:20])
        return as_json({field: message, "code": code}, error.status_code, error.headers)

    async def gone(_request: Request, _error: Exception) -> Response:
        return Response(status_code=400)  # nobody is left to read it

    async def unforeseen(request: Request, error: Exception) -> Response:
        log.error("unforeseen error", exc_info=error, extra={"path": request.scope["path"]})
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
    if error.code == "body_too_slow":
        headers["connection"] = "close"  # else the rest could go on coming as slowly
    if error.code == "unsupported_encoding":
        headers["accept-encoding"] = "gzip"  # RFC 9110, 15.5.16
    return as_json({field: error.message, "code": error.code}, error.status, headers)
