"""What both server halves do with HTTP: read a body within its cap, and answer every error in one shape."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
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
        headers = {"retry-after": str(error.retry_after)} if error.retry_after is not None else None
        return JSONResponse({field: error.message, "code": error.code}, status_code=error.status, headers=headers)

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
        return answer(
            RefusedError(
                "internal_error", "Something broke on our side. Send it again: the same callback never counts twice."
            )
        )


def describe(app: FastAPI, bodies: dict[str, type[BaseModel]], error_field: str) -> None:
    """Complete the OpenAPI document: the bodies that handlers read and validate themselves, by path, and the errors."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        error = {"type": "object", "properties": {name: {"type": "string"} for name in (error_field, "code")}}
        for methods in document["paths"].values():
            for operation in methods.values():
                operation["responses"]["default"] = {
                    "description": "An error; docs/errors.md explains each code",
                    "content": {"application/json": {"schema": {**error, "required": [error_field, "code"]}}},
                }
                operation["responses"].pop("422", None)
        for path, model in bodies.items():
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(schema.pop("$defs", {}))
            schemas[model.__name__] = schema
            content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}
            document["paths"][path]["post"]["requestBody"] = {"required": True, "content": content}
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend the document
