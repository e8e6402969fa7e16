"""From DynamoDB's attribute values to the values of a ClickHouse column, one by one or a column at a time.

A `Cell` knows one column. `one` is strict and says what is wrong with a value. `extractor` and `many` give the same for
a whole batch in a fraction of the time, as long as nothing in it is wrong or unusual; what is goes one by one.
Times are integers in the unit of their column, as ClickHouse stores them: DateTime64(3) has milliseconds since 1970.
"""

from __future__ import annotations

import ast
import math
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from oot_replicator.rows.attributes import as_text, number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hud_endpoint.clickhouse.ddl import Column

    Attribute = Mapping[str, Any]
    Image = Mapping[str, Attribute]
    Cast = Callable[[Attribute], Any]
    Many = Callable[[Sequence[Any]], Sequence[Any]]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAYS = (datetime(2262, 1, 1, tzinfo=UTC) - EPOCH).days  # as far as DateTime64(9) goes
WRONG = (ValueError, TypeError, ArithmeticError, LookupError, AttributeError)  # what any value of no use raises


class PoisonError(Exception):
    """A record that can never become a row; the message names the column and the reason."""


def poison(name: str, attribute: object, reason: object) -> PoisonError:
    """Give the error that names a column, its value and what is wrong with it, all in short."""
    value = attribute
    if isinstance(attribute, dict) and len(attribute) == 1:
        (value,) = attribute.values()
    return PoisonError(f"{name} = {str(value)[:100]!r}: {str(reason)[:100]}")


class Cell(NamedTuple):
    """What one column takes; `default` is what a missing value and NULL become.

    `tag` is the type that its values usually have. `many` takes what is under that tag, or what `one` gave.
    """

    name: str
    default: Any
    tag: str
    cast: Cast
    many: Many

    def one(self, image: Image) -> Any:  # noqa: ANN401 - what the column holds
        """Give the column's value of one image. Raises PoisonError."""
        attribute = image.get(self.name)
        if attribute is None:
            return self.default
        try:
            return self.default if "NULL" in attribute else self.cast(attribute)
        except WRONG as error:
            raise poison(self.name, attribute, error) from None


def extractor(cells: Sequence[Cell]) -> Callable[[Callable[..., Any]], tuple[Any, ...]]:
    """Give a function from an image's `get` to what each cell's `many` takes; it raises WRONG on unusual types.

    It is compiled: a loop over the cells takes three times as long. Only names, tags and numbers enter the source.
    """
    values = {f"default_{index}": {one.tag: one.default} for index, one in enumerate(cells)}
    found = (f"get({one.name!r}, default_{index})[{one.tag!r}]" for index, one in enumerate(cells))
    code = compile(f"lambda get: ({''.join(f'{one}, ' for one in found)})", "<extractor>", "eval")
    made: Callable[[Callable[..., Any]], tuple[Any, ...]] = eval(code, values)  # noqa: S307 - our own source
    return made


def cell(column: Column) -> Cell:
    """Give the cell of a ClickHouse column. Raises ValueError for a type that no cast is known of."""
    type_name = column.type
    while wrapped := re.fullmatch(r"(?:LowCardinality|Nullable)\((.*)\)", type_name):
        type_name = wrapped[1]
    tag, cast, many = _casts(type_name)
    if "Nullable(" in column.type:
        many = _or_none(many)
    return Cell(column.name, _default(column), tag, cast, many)


def _casts(type_name: str) -> tuple[str, Cast, Many]:
    if type_name == "String":
        return "S", as_text, _texts
    if integer := re.fullmatch(r"(U?)Int(8|16|32|64)", type_name):
        bits, signed = int(integer[2]), not integer[1]
        limits = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        return "N", _to_integer(*limits), _integers(*limits)
    if type_name in ("Float32", "Float64"):
        return "N", _to_float, _floats
    if type_name == "Bool":
        return "BOOL", _to_bool, _bools
    scale = time_scale(type_name)
    if scale is None:
        raise ValueError(f"no cast for the column type {type_name}")
    return "S", lambda attribute: ticks([since(attribute.get("S"))], scale)[0], _times(scale)


def time_scale(type_name: str) -> int | None:
    """Give the decimals of a second that a time type keeps, None for what is no time type."""
    found = re.match(r"DateTime(?:64\((\d)|(?:\(|$))", type_name)
    return None if found is None else int(found[1] or 0)


def since(text: object) -> timedelta:
    """Give an ISO 8601 time (without an offset: UTC) as what has passed since 1970. Raises ValueError, TypeError."""
    if not isinstance(text, str):
        raise TypeError("not an ISO 8601 time")
    moment = datetime.fromisoformat(text)
    passed = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH
    if not 0 <= passed.days < DAYS:
        raise ValueError("outside of what ClickHouse can hold (1970 to 2262)")
    return passed


def ticks(times: Iterable[timedelta], scale: int) -> list[int]:
    """Give times since 1970 in the unit of a column of this scale, cut as ClickHouse cuts them."""
    found = [(passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds for passed in times]
    factor: int = 10 ** abs(scale - 6)
    return [one * factor for one in found] if scale >= 6 else [one // factor for one in found]


def _default(column: Column) -> Any:  # noqa: ANN401 - what the column holds
    """Give what a missing value becomes: the column's own DEFAULT where it has one, else the type's."""
    if column.default in ("false", "true"):
        return column.default == "true"
    if column.default:
        try:
            return ast.literal_eval(column.default)
        except (ValueError, SyntaxError):
            raise ValueError(f"the DEFAULT of column {column.name} is no constant: {column.default}") from None
    if "Nullable(" in column.type:
        return None
    if "String" in column.type:
        return ""
    return False if column.type == "Bool" else 0


def _to_float(attribute: Attribute) -> float:
    value = attribute.get("N", attribute.get("S"))
    if not isinstance(value, str):
        raise TypeError("not a number")
    found = float(value)
    if not math.isfinite(found):
        raise ValueError("not a finite number")
    return found


def _to_bool(attribute: Attribute) -> bool:
    value = attribute.get("BOOL")
    if not isinstance(value, bool):
        raise TypeError("not a boolean")
    return value


def _to_integer(least: int, most: int) -> Cast:
    def cast(attribute: Attribute) -> int:
        if "N" in attribute:
            exact = number(attribute["N"])
            found = int(exact)
            if found != exact:
                raise ValueError("not an integer")
        else:
            text = attribute.get("S")
            if not isinstance(text, str):
                raise TypeError("not an integer")
            found = int(text)
            if str(found) != text:
                raise ValueError("not an integer")
        if not least <= found <= most:
            raise ValueError(f"not within {least} and {most}")
        return found

    return cast


# A whole column at once. What is wrong raises one of WRONG, and the column goes one by one to find out whose it is.


def _texts(values: Sequence[Any]) -> Sequence[Any]:
    together = "".join(values)
    if not together.isascii():
        together.encode()  # a lone surrogate would fail the whole batch
    return values


def _integers(least: int, most: int) -> Many:
    def many(values: Sequence[Any]) -> list[int]:
        found = list(map(int, values))
        if found and not (least <= min(found) and max(found) <= most):
            raise ValueError("out of range")
        return found

    return many


def _floats(values: Sequence[Any]) -> list[float]:
    found = list(map(float, values))
    if not math.isfinite(sum(found)):
        raise ValueError("one is not finite, or their sum is not")
    return found


def _bools(values: Sequence[Any]) -> Sequence[Any]:
    if not set(map(type, values)) <= {bool}:
        raise TypeError("not a boolean")
    return values


def _times(scale: int) -> Many:
    return lambda values: [value if isinstance(value, int) else ticks([since(value)], scale)[0] for value in values]


def _or_none(many: Many) -> Many:
    def some(values: Sequence[Any]) -> list[Any]:
        found = iter(many([value for value in values if value is not None]))
        return [None if value is None else next(found) for value in values]

    return some
