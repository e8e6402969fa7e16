"""What an event says about objects: S3's own, wrapped by SQS or SNS, or EventBridge's. Pure.

Formats: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html and
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote_plus

if TYPE_CHECKING:
    from collections.abc import Iterator


class Place(NamedTuple):
    """A bucket and a key, as they are (not as they are written in an event)."""

    bucket: str
    key: str


class Message(NamedTuple):
    """What came in one delivery: its id in the queue ("" without a queue), the objects it is about, or its fault."""

    message_id: str
    places: list[Place]
    error: str = ""


def messages(event: Any) -> list[Message]:  # noqa: ANN401 - any JSON
    """Give the deliveries of an event; a malformed one carries its error and hides none of the others."""
    records = event.get("Records") if isinstance(event, dict) else None
    if isinstance(records, list) and records and _is_queued(records[0]):
        return [_queued(record) for record in records]
    try:
        return [Message("", list(_places(event)))]
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        return [Message("", [], f"not an event of S3: {error!r}"[:300])]


def _is_queued(record: object) -> bool:
    return isinstance(record, dict) and record.get("eventSource") == "aws:sqs"


def _queued(record: Any) -> Message:  # noqa: ANN401
    message_id = str(record.get("messageId", "")) if isinstance(record, dict) else ""
    try:
        body = json.loads(record["body"])
        if body.get("Type") == "Notification":  # SNS stands between S3 and SQS
            body = json.loads(body["Message"])
        return Message(message_id, list(_places(body)))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        return Message(message_id, [], f"not an event of S3: {error!r}"[:300])


def _places(event: Any) -> Iterator[Place]:  # noqa: ANN401
    if event.get("Event") == "s3:TestEvent":  # S3 sends one when a notification is set up
        return
    if event.get("source") == "aws.s3":  # EventBridge, which writes keys as they are
        if event["detail-type"] == "Object Created":
            yield Place(str(event["detail"]["bucket"]["name"]), str(event["detail"]["object"]["key"]))
        return
    for record in event["Records"]:
        # `ObjectCreated:Put`; in events replayed from elsewhere with the prefix `s3:`. What is removed stays as rows.
        if record["eventName"].removeprefix("s3:").startswith("ObjectCreated"):
            told = record["s3"]
            yield Place(str(told["bucket"]["name"]), unquote_plus(told["object"]["key"]))
