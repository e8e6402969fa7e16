"""Mends what a comparison finds: the replicator's own writer writes what is missing or stale in ClickHouse again.

It may run at any time, beside the replicator and beside itself: a row is replaced by a newer version of it only.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hud_endpoint.clickhouse.ddl import insert_columns
from oot_replicator.rows.transform import scanned
from oot_replicator.writing.writer import TABLE, Writer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clickhouse_connect.driver.client import Client
    from types_boto3_dynamodb.client import DynamoDBClient

    from oot_replicator.comparing.staging import Difference

_LONGEST_WAIT_SECONDS = 5.0


class Repairer:
    """Writes into ClickHouse what DynamoDB has, and deletes what it has not."""

    def __init__(self, dynamodb: DynamoDBClient, table: str, client: Client, statuses: Sequence[str]) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._client = client
        self._columns = insert_columns(client, TABLE)
        self._writer = Writer(client, self._columns, statuses)

    def mend(self, page: Sequence[Difference], *, delete_extra: bool = False) -> int:
        """Mend a page of at most 100 differences; gives how many. Raises what boto3 and ClickHouse raise."""
        lacking = [one.dynamo_key for one in page if one.kind != "extra"]
        read_at = datetime.now(UTC)
        items = items_of(self._dynamodb, self._table, lacking)
        written = self._writer.write([scanned(item, read_at) for item in items.values()]).rows if items else 0
        extra = [one for one in page if one.kind == "extra"]
        if delete_extra and extra:
            self._bury(extra)
            written += len(extra)
        return written

    def _bury(self, extra: Sequence[Difference]) -> None:
        """Write tombstones: as the row was, one version later, so that no replay brings it back."""
        changed = {"version": "version + 1", "is_deleted": "1"}
        names = [column.name for column in self._columns]
        self._client.command(
            f"INSERT INTO {TABLE} ({', '.join(f'`{name}`' for name in names)}) "  # noqa: S608 - the table's own names
            f"SELECT {', '.join(changed.get(name, f'`{name}`') for name in names)} FROM {TABLE} FINAL "
            "WHERE first_seen BETWEEN fromUnixTimestamp64Milli({first: Int64}, 'UTC') "
            "AND fromUnixTimestamp64Milli({last: Int64}, 'UTC') "
            "AND (dynamoKey, toUnixTimestamp64Milli(first_seen)) IN {keys: Array(Tuple(String, Int64))}",
            parameters={
                "first": min(one.first_seen_ms for one in extra),
                "last": max(one.first_seen_ms for one in extra),
                "keys": [(one.dynamo_key, one.first_seen_ms) for one in extra],
            },
            settings={"insert_deduplicate": 0},
        )


def items_of(client: DynamoDBClient, table: str, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Give the items of at most 100 keys, read consistently, by key; absent ones are left out."""
    found: dict[str, dict[str, Any]] = {}
    asked: Any = {table: {"Keys": [{"dynamoKey": {"S": key}} for key in dict.fromkeys(keys)], "ConsistentRead": True}}
    wait = 0.05
    while asked and asked[table]["Keys"]:
        answer = client.batch_get_item(RequestItems=asked)
        found |= {item["dynamoKey"]["S"]: item for item in answer["Responses"].get(table, [])}
        if asked := answer.get("UnprocessedKeys"):  # above 16 MB, or throttled
            time.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT_SECONDS)
    return found
