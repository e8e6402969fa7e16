"""The queues of the relay's table: what waits, by the moment when somebody has to look at it.

An item waits in a queue while it has the attributes `queue` and `due_at`. The index holds keys only, so that a waiting
body is stored and paid for once; the items are read as they are now. Each queue is spread over SHARDS keys of the
index, because DynamoDB takes 1,000 writes a second for one key, and every callback writes to it twice.
"""

from __future__ import annotations

import heapq
import time
from typing import TYPE_CHECKING, Any
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_dynamodb.client import DynamoDBClient

INDEX = "due"
SHARDS = 4
_THROTTLED_SECONDS = 0.2
_BATCH = 25  # far below BatchGetItem's 100, because items may be large


def place(queue: str, pk: str) -> dict[str, str]:
    """Give the value of `queue` with which the item of this key waits."""
    return {"S": f"{queue}/{crc32(pk.encode()) % SHARDS}"}


def queue_of(item: dict[str, Any]) -> str:
    """Give the queue that an item waits in, "" for none."""
    return str(item.get("queue", {}).get("S", "")).partition("/")[0]


def due_keys(client: DynamoDBClient, table: str, queue: str, now: float | None = None) -> Iterator[str]:
    """Give the keys that wait in a queue (until `now`, seconds since the epoch), the first due first.

    Raises what boto3 raises.
    """
    shards = (_due_of_shard(client, table, f"{queue}/{shard}", now) for shard in range(SHARDS))
    return (pk for _, pk in heapq.merge(*shards))


def _due_of_shard(client: DynamoDBClient, table: str, shard: str, now: float | None) -> Iterator[tuple[float, str]]:
    values: dict[str, Any] = {":queue": {"S": shard}}
    until = ""
    if now is not None:
        values[":now"] = {"N": repr(now)}
        until = " AND due_at <= :now"
    pages = client.get_paginator("query").paginate(
        TableName=table,
        IndexName=INDEX,
        KeyConditionExpression=f"queue = :queue{until}",
        ExpressionAttributeValues=values,
    )
    for page in pages:
        for item in page["Items"]:
            yield float(item["due_at"]["N"]), item["pk"]["S"]


def due_items(client: DynamoDBClient, table: str, queue: str, now: float | None = None) -> Iterator[dict[str, Any]]:
    """Give the items behind `due_keys`, as they are now; one that has left the queue since is left out.

    So is one that has become due later since: another worker holds it.
    """
    batch: list[str] = []
    for key in due_keys(client, table, queue, now):
        batch.append(key)
        if len(batch) == _BATCH:
            yield from _read(client, table, queue, batch, now)
            batch = []
    yield from _read(client, table, queue, batch, now)


def _read(
    client: DynamoDBClient, table: str, queue: str, keys: list[str], now: float | None
) -> Iterator[dict[str, Any]]:
    wanted: list[dict[str, Any]] = [{"pk": {"S": key}} for key in keys]
    found: dict[str, dict[str, Any]] = {}
    while wanted:
        answer = client.batch_get_item(RequestItems={table: {"Keys": wanted, "ConsistentRead": True}})
        found |= {item["pk"]["S"]: item for item in answer["Responses"].get(table, [])}
        left: dict[str, Any] = dict(answer.get("UnprocessedKeys", {}))
        wanted = left[table]["Keys"] if left else []
        if wanted:
            time.sleep(_THROTTLED_SECONDS)
    for key in keys:
        item = found.get(key, {})
        if queue_of(item) == queue and (now is None or float(item["due_at"]["N"]) <= now):
            yield item
