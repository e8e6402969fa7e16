"""What both server halves do with HTTP: read a body within its cap, and answer every error in one shape."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from hud_endpoint.errors import RefusedError

log = logging.getLogger(__name__)

_BY_STATUS = {
    404: ("not_found", "There is nothing at this path: {path}."),
    405: ("method_not_allowed", "{path} does not take {method}."),
}


async def read_body(request: Request, limit: int) -> bytes:
    """Read the body while counting: a chunked one or a lying Content-Length gains nothing.

    Raises RefusedError `body_too_large` above `limit` bytes.
    """
    refusal = RefusedError("body_too_large", f"The body has more than {limit:,} bytes: send fewer test details.")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise refusal
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise refusal
    return bytes(body)


def answer_errors(app: FastAPI, field: str) -> None:
    """Answer every error as `{field: sentence, "code"}`; what nobody foresaw is logged and answered as 500."""

    def answer(error: RefusedError) -> JSONResponse:
        return JSONResponse({field: error.message, "code": error.code}, status_code=error.status)

    @app.exception_handler(RefusedError)
    async def refused(_request: Request, error: RefusedError) -> JSONResponse:
        return answer(error)

    @app.exception_handler(RequestValidationError)
    async def wrong_parameter(_request: Request, error: RequestValidationError) -> JSONResponse:
        problem = error.errors()[0]
        return answer(RefusedError("invalid_parameter", f"{problem['loc'][-1]}: {problem['msg']}."))

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        code, text = _BY_STATUS.get(error.status_code, ("internal_error", "The request could not be handled."))
        message = text.format(path=request.url.path[:200], method=request.method[:20])
        return JSONResponse({field: message, "code": code}, status_code=error.status_code, headers=error.headers)

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> JSONResponse:
        log.error("unforeseen error", exc_info=error, extra={"path": request.url.path})
        return answer(RefusedError("internal_error", "Something broke on our side; nothing was stored. Send it again."))
