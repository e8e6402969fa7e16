"""The relay's queues: in the order of their due times, though spread over several keys of the index."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING
from uuid import uuid4

from hud_endpoint.relay.due import SHARDS, due_items, due_keys, place, queue_of

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient


def test_items_come_in_the_order_of_their_due_times_from_all_shards(dynamodb: DynamoDBClient, relay_table: str) -> None:
    queue, now = uuid4().hex, 1_000.0
    for at in range(40):
        pk = f"{queue}#{at}"
        item = {"pk": {"S": pk}, "queue": place(queue, pk), "due_at": {"N": str(980 + at)}}
        dynamodb.put_item(TableName=relay_table, Item=item)
    assert list(due_keys(dynamodb, relay_table, queue)) == [f"{queue}#{at}" for at in range(40)]
    assert [item["due_at"]["N"] for item in due_items(dynamodb, relay_table, queue, now)] == [
        str(at) for at in range(980, 1001)
    ]


def test_no_key_of_the_index_takes_much_more_than_its_share() -> None:
    written = Counter(place("outbox", f"outbox#{uuid4()}")["S"] for _ in range(10_000))
    assert set(written) == {f"outbox/{shard}" for shard in range(SHARDS)}
    assert max(written.values()) < 10_000 / SHARDS * 1.2


def test_an_item_tells_its_queue() -> None:
    assert queue_of({"queue": place("dead", "outbox#1")}) == "dead"
    assert queue_of({}) == ""
