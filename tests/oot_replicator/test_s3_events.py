"""What an event says about objects, in every wrapping that AWS knows, and in those that nobody knows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oot_replicator.s3.events import Message, Place, messages


def created(key: str, name: str = "ObjectCreated:Put") -> dict[str, Any]:
    record = {"eventSource": "aws:s3", "eventName": name}
    return {"Records": [{**record, "s3": {"bucket": {"name": "stats"}, "object": {"key": key}}}]}


def queued(*bodies: Any) -> dict[str, Any]:
    return {
        "Records": [
            {
                "eventSource": "aws:sqs",
                "messageId": f"m{number}",
                "body": body if isinstance(body, str) else json.dumps(body),
            }
            for number, body in enumerate(bodies)
        ]
    }


HERE = Place("stats", "test_run/1/1")
BRIDGE = {
    "source": "aws.s3",
    "detail-type": "Object Created",
    "detail": {"bucket": {"name": "stats"}, "object": {"key": "a+b%20c"}},
}
SNS = {"Type": "Notification", "Message": json.dumps(created("test_run/1/1"))}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (created("test_run/1/1"), [Message("", [HERE])]),
        (created("test_run/1/1", "s3:ObjectCreated:CompleteMultipartUpload"), [Message("", [HERE])]),
        (created("a+b%2Fc%C3%A9"), [Message("", [Place("stats", "a b/cé")])]),
        (created("test_run/1/1", "ObjectRemoved:Delete"), [Message("", [])]),
        ({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "stats"}, [Message("", [])]),
        (BRIDGE, [Message("", [Place("stats", "a+b%20c")])]),
        ({**BRIDGE, "detail-type": "Object Deleted"}, [Message("", [])]),
        (queued(created("test_run/1/1"), SNS), [Message("m0", [HERE]), Message("m1", [HERE])]),
        (queued({"Event": "s3:TestEvent"}), [Message("m0", [])]),
        (queued(BRIDGE), [Message("m0", [Place("stats", "a+b%20c")])]),
    ],
    ids=[
        "s3",
        "multipart",
        "encoded",
        "removed",
        "test",
        "bridge",
        "bridge-deleted",
        "sqs-sns",
        "sqs-test",
        "sqs-bridge",
    ],
)
def test_events(event: Any, expected: list[Message]) -> None:
    assert messages(event) == expected


HOSTILE: list[Any] = [None, 5, "x", [], {}, {"Records": None}, {"Records": [1]}, {"Records": [{}]}, {"Records": [None]}]
HOSTILE += [{"Records": [{"eventName": "ObjectCreated:Put"}]}, {"Records": [{"eventName": 5}]}, {"source": "aws.s3"}]
HOSTILE += [{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": {"key": 5}}}]}]


@pytest.mark.parametrize("event", HOSTILE, ids=str)
def test_what_is_no_event_is_told_and_hides_no_other(event: Any) -> None:
    [alone] = messages(event)
    assert alone.places == []
    assert alone.error.startswith("not an event of S3: ")
    first, second, third = messages(queued(created("test_run/1/1"), json.dumps(event), created("test_run/1/1")))
    assert (first.places, second.places, third.places) == ([HERE], [], [HERE])
    assert second.error


@pytest.mark.parametrize(
    "body", ["", "{", "[" * 100_000, '{"Type": "Notification"}'], ids=["empty", "cut", "deep", "sns"]
)
def test_a_body_that_is_no_json_is_told(body: str) -> None:
    [told] = messages(queued(body))
    assert (told.message_id, told.places, told.error[:18]) == ("m0", [], "not an event of S3")
