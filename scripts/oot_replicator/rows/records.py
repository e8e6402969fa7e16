"""Stream records in their two forms: as boto3's GetRecords gives them, and as the JSON of Lambda's events.

Everything inside works on boto3's form. Dead letters are kept in the form of events, from which they are replayed.
https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from oot_replicator.rows.attributes import from_wire, to_wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_IMAGES = ("Keys", "NewImage", "OldImage")


def from_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """Give the record of an event: times from seconds since 1970, binaries from base64, identities as the API's."""
    record = {**event, "dynamodb": _with_images(event.get("dynamodb"), from_wire)}
    told = record["dynamodb"].get("ApproximateCreationDateTime")
    if isinstance(told, int | float):
        record["dynamodb"]["ApproximateCreationDateTime"] = datetime.fromtimestamp(told, UTC)
    if isinstance(identity := event.get("userIdentity"), dict):
        record["userIdentity"] = {name[:1].upper() + name[1:]: value for name, value in identity.items()}
    return record


def to_event(record: Mapping[str, Any]) -> dict[str, Any]:
    """Give a record as JSON can carry it."""
    event = {**record, "dynamodb": _with_images(record.get("dynamodb"), to_wire)}
    told = event["dynamodb"].get("ApproximateCreationDateTime")
    if isinstance(told, datetime):
        event["dynamodb"]["ApproximateCreationDateTime"] = told.timestamp()
    return event


def sequence_number(record: Mapping[str, Any]) -> str:
    """Give the record's place in its shard, "" for what comes from no stream."""
    return str((record.get("dynamodb") or {}).get("SequenceNumber", ""))


def key(record: Mapping[str, Any]) -> str:
    """Give the dynamoKey, "" where there is none."""
    attribute = ((record.get("dynamodb") or {}).get("Keys") or {}).get("dynamoKey")
    return str(attribute.get("S", "")) if isinstance(attribute, dict) else ""


def _with_images(change: object, convert: Callable[[Any], Any]) -> dict[str, Any]:
    if not isinstance(change, dict):
        return {}
    images = {
        name: {field: convert(value) for field, value in change[name].items()}
        for name in _IMAGES
        if isinstance(change.get(name), dict)
    }
    return {**change, **images}
