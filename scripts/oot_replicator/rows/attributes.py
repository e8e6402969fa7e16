"""DynamoDB's attribute values: every type as text, exactly, and the two forms in which they travel.

The types: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html
boto3 gives binaries as bytes; events of Lambda, and our dead letters, are JSON and have them in base64.
"""

from __future__ import annotations

import base64
import json
import re
from decimal import Clamped, Context, Decimal, Inexact, Overflow, Rounded, Underflow
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
# DynamoDB's numbers: 38 digits, 1E-130 to 9.9E+125; what does not fit is refused, never rounded.
_EXACT = Context(prec=38, Emin=-130, Emax=126, traps=[Clamped, Overflow, Inexact, Rounded, Underflow])


def number(text: object) -> Decimal:
    """Give a number of DynamoDB's (N), exactly. Raises ValueError and ArithmeticError for what is none."""
    if not isinstance(text, str) or not _NUMBER.fullmatch(text):
        raise ValueError("not a number")
    return _EXACT.create_decimal(text)


def as_text(attribute: Mapping[str, Any]) -> str:
    """Give any attribute value as text: strings and numbers as they are, binaries in base64, all else as JSON.

    Numbers keep all digits, also within JSON. Sets come in their order, maps by key. NULL is an empty text.
    Raises ValueError, TypeError and ArithmeticError for what is no attribute value.
    """
    tag, value = _only(attribute)
    if tag == "S":
        return _string(value)
    if tag == "NULL":
        return ""
    if tag == "B":
        return _base64(value)
    return _json(attribute)


def _json(attribute: Mapping[str, Any]) -> str:
    tag, value = _only(attribute)
    if tag == "M":
        members = (f"{_quoted(name)}: {_json(one)}" for name, one in sorted(value.items()))
        return "{" + ", ".join(members) + "}"
    if tag == "NS":
        return "[" + ", ".join(format(one, "f") for one in sorted(map(number, value))) + "]"
    if tag in _LISTS:
        return "[" + ", ".join(_LISTS[tag](value)) + "]"
    return _SCALARS[tag](value)


def _only(attribute: Mapping[str, Any]) -> tuple[str, Any]:
    if not isinstance(attribute, dict) or len(attribute) != 1:
        raise TypeError("not an attribute value")
    ((tag, value),) = attribute.items()
    if tag not in _SCALARS and tag not in _LISTS and tag not in ("M", "NS"):
        raise TypeError(f"no attribute value has the type {tag[:20]!r}")
    return tag, value


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    if not value.isascii():
        value.encode()  # a lone surrogate would fail the whole batch
    return value


def _quoted(value: object) -> str:
    return json.dumps(_string(value), ensure_ascii=False)


def _boolean(value: object) -> str:
    if not isinstance(value, bool):
        raise TypeError("not a boolean")
    return "true" if value else "false"


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


_SCALARS: dict[str, Callable[[Any], str]] = {
    "S": _quoted,
    "N": lambda value: format(number(value), "f"),
    "BOOL": _boolean,
    "NULL": lambda _: "null",
    "B": lambda value: f'"{_base64(value)}"',
}
_LISTS: dict[str, Callable[[Any], list[str]]] = {
    "L": lambda values: [_json(one) for one in values],
    "SS": lambda values: [_quoted(one) for one in sorted(values)],
    "BS": lambda values: [f'"{_base64(one)}"' for one in sorted(values)],
}


def from_wire(attribute: Any) -> Any:  # noqa: ANN401 - as it came
    """Give an attribute value of JSON as boto3 has it: binaries as bytes."""
    return _converted(attribute, _bytes)


def to_wire(attribute: Any) -> Any:  # noqa: ANN401 - as it came
    """Give an attribute value of boto3's as JSON can carry it: binaries in base64."""
    return _converted(attribute, lambda value: _base64(value) if isinstance(value, bytes) else value)


def _bytes(text: Any) -> Any:  # noqa: ANN401
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, TypeError):
        return text  # no binary: whoever makes a row of it says so


def _converted(attribute: Any, binary: Callable[[Any], Any]) -> Any:  # noqa: ANN401
    """Convert the binaries within; what is no attribute value stays as it is, to be refused with its column's name."""
    if isinstance(attribute, dict) and len(attribute) == 1:
        ((tag, value),) = attribute.items()
        if tag == "B":
            return {tag: binary(value)}
        if tag in ("L", "BS") and isinstance(value, list):
            return {tag: [binary(one) if tag == "BS" else _converted(one, binary) for one in value]}
        if tag == "M" and isinstance(value, dict):
            return {tag: {name: _converted(one, binary) for name, one in value.items()}}
    return attribute
