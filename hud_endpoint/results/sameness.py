"""Whether a completion is the one that is stored already, however it was spelled and whoever stored it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from hud_endpoint.record import JOB_FIELDS, RELAY_FIELDS, TERMINAL_FIELDS, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_TIMES = frozenset({"completed_at"})
_UNREADABLE = object()  # equals nothing that we write


def attribute(value: Value) -> dict[str, Any]:
    """Return a value as DynamoDB's AttributeValue."""
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, str):
        return {"S": value}
    return {"N": repr(value)}


def same_completion(fields: Mapping[str, Value], stored: Mapping[str, Any]) -> bool:
    """Tell whether a completion's fields say what the stored item (AttributeValues) says.

    What the relay measures anew at each try does not count. Items of another HUD (no revision) may lack fields that
    only ours has; where they have them, they count.
    """
    ours = "revision" in stored
    return all(
        _plain(name, stored.get(name)) == _plain(name, attribute(fields[name]) if name in fields else None)
        for name in TERMINAL_FIELDS
        if name not in RELAY_FIELDS and (ours or name in stored)
    )


def same_job(fields: Mapping[str, Value], stored: Mapping[str, Any]) -> bool:
    """Tell whether a step's fields name the job that the stored item names.

    Items of another HUD (no revision) write some of these otherwise, so they are not held to it.
    """
    return "revision" not in stored or all(
        _plain(name, stored.get(name)) == _plain(name, attribute(fields[name]) if name in fields else None)
        for name in JOB_FIELDS
    )


def _plain(name: str, stored: Any) -> object:  # noqa: ANN401 - whatever an item of another writer holds
    """An attribute as a value to compare: numbers exact, times as moments, and nothing however it is written."""
    if not isinstance(stored, dict) or len(stored) != 1:
        return None if stored is None else _UNREADABLE
    [(kind, value)] = stored.items()
    if kind == "NULL" or value == "":
        return None
    try:
        return _READERS[kind](name, value)
    except (KeyError, InvalidOperation):
        return _UNREADABLE


def _text(name: str, value: str) -> object:
    try:
        moment = datetime.fromisoformat(value) if name in _TIMES else None
    except ValueError:
        return value
    return moment.timestamp() if moment and moment.tzinfo else value


_READERS: dict[str, Callable[[str, Any], object]] = {
    "S": _text,
    "N": lambda _, value: Decimal(value),
    "BOOL": lambda _, value: value,
}
