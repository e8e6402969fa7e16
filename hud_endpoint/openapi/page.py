"""`/openapi.json` and `/docs`: the document for programs, and the same as a page without scripts or foreign hosts."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from hud_endpoint.http import as_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.requests import Request

_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
_DEEPEST = 6


class Row(NamedTuple):
    """A field of a body: where it stands (`workflow.test_results.passed`), and what it may be."""

    path: str
    kind: str
    required: bool
    note: str


def docs_routes(make: Callable[[], dict[str, Any]]) -> list[Route]:
    """Build the routes; `make` gives the OpenAPI document and is called when it is first asked for."""
    made = cache(make)

    @cache
    def page() -> str:
        import jinja2

        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("hud_endpoint.openapi", "."),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        return environment.get_template("page.html").render(document=made(), rows=lambda schema: rows(schema, made()))

    async def openapi(_request: Request) -> Response:
        return as_json(made())

    async def docs(_request: Request) -> Response:
        return HTMLResponse(page(), headers=_HEADERS)

    async def style(_request: Request) -> Response:
        css = (files("hud_endpoint.openapi") / "page.css").read_bytes()
        return Response(css, media_type="text/css", headers={"cache-control": "public, max-age=300"})

    return [Route("/openapi.json", openapi), Route("/docs", docs), Route("/docs.css", style)]


def rows(schema: dict[str, Any], document: dict[str, Any]) -> list[Row]:
    """Flatten a JSON Schema into one row a field, parents before their children."""
    return list(_fields(schema, document["components"]["schemas"], "", 0))


def _fields(schema: dict[str, Any], schemas: dict[str, Any], prefix: str, depth: int) -> Iterator[Row]:
    whole = _object_in(schema, schemas)
    if whole is None or depth > _DEEPEST:
        return
    for name, told in whole.get("properties", {}).items():
        required = name in whole.get("required", ())
        yield Row(f"{prefix}{name}", _kind(told, schemas), required, _note(told))
        many = "[]" if told.get("type") == "array" else ""
        yield from _fields(told.get("items", told), schemas, f"{prefix}{name}{many}.", depth + 1)


def _resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return found


def _object_in(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any] | None:
    """The object that a schema describes, alone or as one of several."""
    choices = [_resolved(choice, schemas) for choice in schema.get("anyOf", [schema])]
    return next((choice for choice in choices if "properties" in choice), None)


def _kind(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(choice, schemas) for choice in schema["anyOf"]))
    schema = _resolved(schema, schemas)
    if "const" in schema or "enum" in schema:
        return " | ".join(repr(value).replace("'", '"') for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'], schemas)}"
    kind = str(schema.get("type", "anything"))
    return f"{kind} ({schema['format']})" if "format" in schema else kind


def _note(schema: dict[str, Any]) -> str:
    bounds = {"minimum": "at least", "maximum": "at most", "maxLength": "characters at most", "pattern": "pattern"}
    told = [
        f"{words} {choice[name]:,}" if isinstance(choice[name], int | float) else f"{words} {choice[name]}"
        for choice in (schema, *schema.get("anyOf", ()))
        for name, words in bounds.items()
        if name in choice
    ]
    default = schema.get("default")
    if default not in (None, "", [], {}):
        told.append(f"default {default}")
    return "; ".join(dict.fromkeys(told))
