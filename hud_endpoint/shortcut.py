"""A shortcut for pydantic: values that plainly need no look are taken in Rust, all others go the long way in Python.

Where a callback holds a thousand short texts, calling a Python validator for each is most of what reading it costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import core_schema

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema, ErrorDetails

_SHORT, _LONG = "~short", "~long"


@dataclass(frozen=True, eq=False)
class Shortcut:
    """Annotate with it, last: what `schema` takes is taken as it is; the validators before it decide on the rest.

    `schema` must take nothing that they would refuse or change. JSON Schemas and errors are theirs alone, once
    `without_shortcuts` has gone over the errors. For values without references to other schemas, such as text.
    """

    schema: CoreSchema

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        long = handler(source)
        return core_schema.union_schema(
            [(self.schema, _SHORT), (long, _LONG)], mode="left_to_right", metadata={"long": long}
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        long: CoreSchema = schema["metadata"]["long"]
        return handler(long)


def text(*, longest: int, pattern: str | None = None) -> CoreSchema:
    """Take text of at most `longest` characters that matches `pattern` (Rust's regex, searched)."""
    return core_schema.str_schema(strict=True, max_length=longest, pattern=pattern)


def without_shortcuts(problems: list[ErrorDetails]) -> list[ErrorDetails]:
    """Give the problems as they would be without shortcuts: one for a value, and at the value's own place."""
    return [
        {**problem, "loc": tuple(part for part in problem["loc"] if part != _LONG)}
        for problem in problems
        if _SHORT not in problem["loc"]
    ]
