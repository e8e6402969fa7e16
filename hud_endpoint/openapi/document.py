"""The OpenAPI document, made of the operations that the routes are made of; bodies are the wire models' own schemas."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from hud_endpoint import __version__

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from pydantic import BaseModel
    from starlette.requests import Request
    from starlette.responses import Response

    Endpoint = Callable[[Request], Awaitable[Response]]

BEARER = "authorization"  # as Operation.token: an OIDC token, not a service's
_REFERENCE = "#/components/schemas/{model}"


@dataclass(frozen=True)
class Operation:
    """A route, and what people must know to use it: its docstring says what it does, `answers` what each status means.

    `body` is the model that the handler validates itself, `token` the header that authenticates the caller.
    `aliases` are other paths, which are served and not documented.
    """

    method: str
    path: str
    endpoint: Endpoint
    tag: str
    answers: Mapping[int, str]
    body: type[BaseModel] | None = None
    token: str = ""
    aliases: tuple[str, ...] = field(default=())

    def routes(self) -> list[Route]:
        """Return the routes that serve it, at each path with and without a slash at its end.

        No redirect to the path without: a client that does not follow it takes the 307 for success.
        """
        paths = [path + slash for path in (self.path, *self.aliases) for slash in ("", "/")]
        return [Route(path, self.endpoint, methods=[self.method]) for path in paths]


def document(
    title: str, operations: Iterable[Operation], error_field: str, others: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Give an OpenAPI 3.1 document; `others` is FastAPI's document of further routes, which is taken in."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    securities: dict[str, Any] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation, schemas, securities)
    paths |= (others or {}).get("paths", {})
    error = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in (error_field, "code")},
        "required": [error_field, "code"],
    }
    told = {"description": "An error; docs/errors.md explains each code.", "content": _json(error)}
    for methods in paths.values():
        for described in methods.values():
            described["responses"].pop("422", None)
            described["responses"]["default"] = told
    schemas |= (others or {}).get("components", {}).get("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": __version__},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": securities},
    }


def _described(operation: Operation, schemas: dict[str, Any], securities: dict[str, Any]) -> dict[str, Any]:
    summary, _, description = inspect.cleandoc(operation.endpoint.__doc__ or "").partition("\n\n")
    told: dict[str, Any] = {
        "tags": [operation.tag],
        "summary": summary.replace("\n", " "),
        "operationId": getattr(operation.endpoint, "__name__", operation.path),
        "responses": {str(status): {"description": what} for status, what in operation.answers.items()},
    }
    if description:
        told["description"] = description
    if operation.body is not None:
        schema = operation.body.model_json_schema(ref_template=_REFERENCE)
        schemas.update(schema.pop("$defs", {}))
        name = operation.body.__name__
        schemas[name] = schema
        told["requestBody"] = {"required": True, "content": _json({"$ref": _REFERENCE.format(model=name)})}
    if operation.token:
        told["security"] = [{operation.token: []}]
        securities[operation.token] = (
            {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "The job's OIDC token."}
            if operation.token == BEARER
            else {"type": "apiKey", "in": "header", "name": operation.token, "description": "A service token."}
        )
    return told


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
