"""How far each shard has been replicated: one item a shard, written only after its rows are in ClickHouse."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient

TABLE = "torchci-oot-replicator"


class Checkpoint(NamedTuple):
    """The last sequence number that is done ("" for none), and whether the shard has been read to its end."""

    sequence_number: str = ""
    finished: bool = False


class Checkpoints:
    """The checkpoints of one stream."""

    def __init__(self, client: DynamoDBClient, stream_arn: str, table: str = TABLE) -> None:
        self._client = client
        self._stream_arn = stream_arn
        self._table = table

    def load(self, shard_id: str) -> Checkpoint:
        """Give the shard's checkpoint; a shard never seen starts at its beginning."""
        found = self._client.get_item(
            TableName=self._table, Key={"pk": {"S": f"{self._stream_arn}/{shard_id}"}}, ConsistentRead=True
        )
        item = found.get("Item")
        return Checkpoint(item["sequence_number"]["S"], item["finished"]["BOOL"]) if item else Checkpoint()

    def save(self, shard_id: str, checkpoint: Checkpoint) -> None:
        """Keep the shard's checkpoint."""
        self._client.put_item(
            TableName=self._table,
            Item={
                "pk": {"S": f"{self._stream_arn}/{shard_id}"},
                "sequence_number": {"S": checkpoint.sequence_number},
                "finished": {"BOOL": checkpoint.finished},
            },
        )
