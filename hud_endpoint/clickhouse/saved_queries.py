"""Saved queries in HUD's own format: `queries/<name>/query.sql`, and `params.json` naming each parameter's type."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from clickhouse_connect.driver.client import Client

# A page may be slow, but never take the server down with it.
LIMITS = {
    "readonly": 2,
    "max_execution_time": 10,
    "max_memory_usage": 4 * 1024**3,
    "max_result_rows": 100_000,
    "max_result_bytes": 64 * 1024**2,
}
# As HUD's own client asks: numbers are JSON numbers, times ISO 8601, and one array holds all rows.
_AS_HUD = {
    "output_format_json_array_of_rows": 1,
    "output_format_json_quote_64bit_integers": 0,
    "output_format_json_quote_denormals": 0,
    "date_time_output_format": "iso",
}
_FOLDER = files("hud_endpoint.clickhouse") / "queries"


class WrongParameterError(Exception):
    """A parameter is missing or not of its type; the message says which, and what it takes."""


@dataclass(frozen=True)
class SavedQuery:
    """A query and the ClickHouse types of its parameters."""

    name: str
    sql: str
    params: Mapping[str, str]


@cache
def names() -> frozenset[str]:
    """Give the names of the queries that come with the package."""
    return frozenset(folder.name for folder in _FOLDER.iterdir())


@cache
def saved_query(name: str) -> SavedQuery:
    """Read one of the queries that come with the package; `name` is one of `names()`."""
    folder = _FOLDER / name
    params = json.loads((folder / "params.json").read_text())["params"]
    return SavedQuery(name, (folder / "query.sql").read_text(), params)


def run(client: Client, name: str, parameters: Mapping[str, Any], *, threads: int = 0) -> list[dict[str, Any]]:
    """Run a saved query, read-only and bounded, and give its rows by column name.

    `threads` is how many of ClickHouse's it may use, 0 for all. Raises clickhouse_connect's errors as they come.
    """
    query = saved_query(name)
    if set(parameters) != set(query.params):
        raise ValueError(f"{name} takes the parameters {sorted(query.params)}, not {sorted(parameters)}")
    settings = LIMITS | ({"max_threads": threads} if threads else {})
    result = client.query(query.sql, parameters=dict(parameters), settings=settings)
    return list(result.named_results())


def run_as_json(client: Client, name: str, parameters: Mapping[str, Any]) -> bytes:
    """Run a saved query as `run` does, and give its rows as HUD's API does: a JSON array of objects."""
    query = saved_query(name)
    return client.raw_query(query.sql, parameters=dict(parameters), settings=LIMITS | _AS_HUD, fmt="JSONEachRow")


def read_parameters(query: SavedQuery, told: object) -> dict[str, Any]:
    """Give the query's parameters from JSON, each checked against its type; others are ignored, as HUD does.

    Raises WrongParameterError.
    """
    if not isinstance(told, dict):
        raise WrongParameterError("parameters is a JSON object")
    found = {}
    for name, type_name in query.params.items():
        if name not in told:
            raise WrongParameterError(f"{name} is missing; it is of type {type_name}")
        try:
            found[name] = _reader(type_name)(told[name])
        except (ValueError, TypeError, OverflowError):
            raise WrongParameterError(f"{name} must be of type {type_name}") from None
    return found


@cache
def _reader(type_name: str) -> Callable[[Any], Any]:
    """Give what reads a JSON value as this ClickHouse type. Raises KeyError for a type no query of ours has."""
    if inner := re.fullmatch(r"Array\((.+)\)", type_name):
        element = _reader(inner[1])
        return lambda value: [element(one) for one in _of_type(value, list)]
    if whole := re.fullmatch(r"(U?)Int(8|16|32|64)", type_name):
        bits = int(whole[2])
        low, high = (0, 2**bits) if whole[1] else (-(2 ** (bits - 1)), 2 ** (bits - 1))
        return lambda value: _integer(value, low, high)
    return {"String": _text, "Float64": _finite, "Date": lambda value: date.fromisoformat(_text(value))}[type_name]


def _of_type(value: Any, wanted: type) -> Any:  # noqa: ANN401
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise TypeError
    return value


def _text(value: Any) -> str:  # noqa: ANN401
    text: str = _of_type(value, str)
    text.encode()  # half a character, which JSON can spell, has no UTF-8
    return text


def _integer(value: Any, low: int, high: int) -> int:  # noqa: ANN401
    # HUD's pages send numbers as text too.
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,20}", value, re.ASCII):
        value = int(value)
    number: int = _of_type(value, int)
    if not low <= number < high:
        raise ValueError
    return number


def _finite(value: Any) -> float:  # noqa: ANN401
    number = float(_of_type(value, int | float))  # type: ignore[arg-type]  # isinstance takes a union
    if not math.isfinite(number):
        raise ValueError
    return number
