"""From a DynamoDB stream record to a ClickHouse row: pure, and strict about every value.

Stream records are as GetRecords gives them:
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_Record.html
"""

from __future__ import annotations

import ast
import json
import math
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import Binary, TypeDeserializer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from hud_endpoint.clickhouse.ddl import Column

RANK_STEP = 10**13  # above every ApproximateCreationDateTime in ms, which is what items without a revision have
TOMBSTONE_RANK = 4
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CLICKHOUSE_LATEST = datetime(2262, 1, 1, tzinfo=UTC)
_REQUIRED = ("dynamoKey", "status", "downstream_repo")
_TTL_PRINCIPAL = "dynamodb.amazonaws.com"

_deserialize = TypeDeserializer().deserialize


class PoisonError(Exception):
    """A record that can never become a row; the message names the column and the reason."""


class Transform:
    """Turns records into rows of `columns`, for the statuses that are to be replicated."""

    def __init__(self, columns: Sequence[Column], statuses: Collection[str] = ("completed",)) -> None:
        self._columns = [(column.name, _caster(column.type), _default(column)) for column in columns]
        self._statuses = statuses

    def row(self, record: Mapping[str, Any]) -> list[Any] | None:
        """Give the row in the order of the columns, or None for a record that is not to be replicated.

        Raises PoisonError.
        """
        change = record["dynamodb"]
        removed = record["eventName"] == "REMOVE"
        if removed and (record.get("userIdentity") or {}).get("PrincipalId") == _TTL_PRINCIPAL:
            return None  # DynamoDB forgets old items; history stays
        image = change.get("OldImage" if removed else "NewImage")
        if not image:
            raise PoisonError("the record has no image: the stream's view type must be NEW_AND_OLD_IMAGES")
        item = {name: _value(name, value) for name, value in image.items()}
        for name in _REQUIRED:
            if not item.get(name):
                raise PoisonError(f"{name} is missing")
        if item["status"] not in self._statuses:
            return None
        created_at = change.get("ApproximateCreationDateTime") or EPOCH
        item |= _derived(item, created_at, removed=removed)
        return [self._cell(name, cast, default, item) for name, cast, default in self._columns]

    @staticmethod
    def _cell(name: str, cast: Callable[[Any], Any], default: Any, item: Mapping[str, Any]) -> Any:  # noqa: ANN401
        value = item.get(name)
        if value is None:
            return default
        try:
            return cast(value)
        except (ValueError, TypeError, OverflowError) as error:
            raise _poison(name, value, error) from None


def _derived(item: Mapping[str, Any], created_at: datetime, *, removed: bool) -> dict[str, Any]:
    """Give what is computed here and never stored in DynamoDB: version, first_seen, fallback times, the tombstone."""
    started_at, completed_at = _time_or_none("started_at", item), _time_or_none("completed_at", item)
    # Items written by others have no first_seen; what stands in for it must not change between their two writes.
    first_seen = _time_or_none("first_seen", item) or started_at or completed_at or created_at
    completed = item["status"] == "completed"
    swept = item.get("origin") == "sweeper"  # its time of completion is the sweeper's, hours after the job fell silent
    estimated = swept or started_at is None or (completed and (completed_at is None or completed_at < started_at))
    completed_at = completed_at or (first_seen if completed else EPOCH)
    rank = TOMBSTONE_RANK if removed else _rank(item)
    revision = item.get("revision")
    if not isinstance(revision, Decimal | None):
        raise _poison("revision", revision, "not a number")
    return {
        "first_seen": first_seen,
        "started_at": started_at or min(first_seen, completed_at if completed else first_seen),
        "completed_at": completed_at,
        "times_estimated": estimated,
        "version": int(created_at.timestamp() * 1000) if revision is None else rank * RANK_STEP + int(revision),
        "is_deleted": int(removed),
    }


def _rank(item: Mapping[str, Any]) -> int:
    """The rank of design 4.3: in_progress 1, timed out by the sweeper 2, completed 3."""
    if item["status"] != "completed":
        return 1
    return 2 if item.get("origin") == "sweeper" else 3


def _poison(name: str, value: object, reason: object) -> PoisonError:
    return PoisonError(f"{name} = {str(value)[:100]!r}: {str(reason)[:100]}")


def _value(name: str, attribute: Any) -> Any:  # noqa: ANN401 - any DynamoDB value
    try:
        return _plain(_deserialize(attribute))
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise _poison(name, attribute, repr(error)) from None


def _plain(value: Any) -> Any:  # noqa: ANN401 - any DynamoDB value
    """Give sets an order and binaries text; numbers stay exact (Decimal)."""
    if isinstance(value, Binary):
        return bytes(value.value).decode(errors="replace")  # type: ignore[attr-defined]  # the stubs lack it
    if isinstance(value, set):
        return sorted((_plain(one) for one in value), key=str)
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return value


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def _to_text(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, Decimal):
        return format(value, "f")
    text = value if isinstance(value, str) else json.dumps(value, default=_number, sort_keys=True, ensure_ascii=False)
    if not text.isascii():
        text.encode()  # a lone surrogate would fail the whole batch
    return text


def _to_bool(value: Any) -> bool:  # noqa: ANN401
    if not isinstance(value, bool):
        raise TypeError("not a boolean")
    return value


def _to_float(value: Any) -> float:  # noqa: ANN401
    if isinstance(value, bool):
        raise TypeError("not a number")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number


def _to_unsigned(bits: int) -> Callable[[Any], int]:
    def cast(value: Any) -> int:  # noqa: ANN401
        if isinstance(value, bool | float):
            raise TypeError("not an integer")
        number = int(value)
        if number != value and str(number) != value:
            raise ValueError("not an integer")
        if not 0 <= number < 2**bits:
            raise ValueError(f"does not fit {bits} bits unsigned")
        return number

    return cast


def _to_time(value: Any) -> datetime:  # noqa: ANN401
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise TypeError("not an ISO 8601 time")
    time = datetime.fromisoformat(value)
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    if not EPOCH <= time < _CLICKHOUSE_LATEST:
        raise ValueError("outside of what ClickHouse can hold (1970 to 2262)")
    return time


def _time_or_none(name: str, item: Mapping[str, Any]) -> datetime | None:
    """Give the item's time; an empty one is none. Raises PoisonError for what is not a time."""
    value = item.get(name)
    if value is None or value == "":
        return None
    try:
        return _to_time(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise _poison(name, value, error) from None


def _caster(type_name: str) -> Callable[[Any], Any]:
    """Give the cast for a ClickHouse type. Raises ValueError for a type no column of ours has."""
    inner = re.sub(r"^(?:LowCardinality|Nullable)\((.*)\)$", r"\1", type_name)
    if inner == "String":
        return _to_text
    if unsigned := re.fullmatch(r"UInt(8|16|32|64)", inner):
        return _to_unsigned(int(unsigned[1]))
    if inner == "Float64":
        return _to_float
    if inner == "Bool":
        return _to_bool
    if inner.startswith("DateTime64("):
        return _to_time
    raise ValueError(f"no cast for the column type {type_name}")


def _default(column: Column) -> Any:  # noqa: ANN401
    """Give what a missing value becomes: the column's own DEFAULT where it has one, else the type's."""
    if column.default in ("false", "true"):
        return column.default == "true"
    if column.default:
        return ast.literal_eval(column.default)
    if column.type.startswith("Nullable("):
        return None
    if "String" in column.type:
        return ""
    if column.type == "Bool":
        return False
    return EPOCH if column.type.startswith("DateTime64(") else 0
