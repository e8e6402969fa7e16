"""One worker on a DynamoDB stream, for a container or a laptop: it reads, writes, and then saves how far it has come.

Killed at any moment it goes on from its checkpoint: records may be written twice, and none is lost. At scale Lambda's
event source mapping reads the stream (`oot_replicator.aws_lambda`). Run one worker a stream: a second one does no harm
and the same work again.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import ClientError

from hud_endpoint.metrics import Metrics
from oot_replicator.writing.writer import batch_numbers

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient
    from types_boto3_dynamodbstreams.client import DynamoDBStreamsClient

    from oot_replicator.writing.writer import Writer

log = logging.getLogger(__name__)

TABLE = "torchci-oot-replicator"
BATCH = 10_000  # records: as many are written at once, however busy the stream
BATCH_SECONDS = 0.5  # a busy stream is written this often; after a pause, the first records go at once
IDLE_SECONDS = 0.2  # a shard may be read 5 times a second
SHARDS_SECONDS = 10.0  # DescribeStream is limited to 10 calls a second for a whole account
_READ = 1000  # the most that one GetRecords returns
_READ_AGAIN = frozenset(
    {
        "ExpiredIteratorException",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
    }
)


class Position(NamedTuple):
    """How far a shard is replicated: its last sequence number ("" for none yet), and whether that was its end."""

    sequence_number: str = ""
    finished: bool = False


def load_checkpoint(client: DynamoDBClient, stream_arn: str, table: str = TABLE) -> dict[str, Position]:
    """Return the position of each shard that is known, {} where nothing of the stream has been replicated."""
    item = client.get_item(TableName=table, Key={"pk": {"S": stream_arn}}, ConsistentRead=True).get("Item", {})
    shards = item.get("shards", {}).get("M", {})
    return {
        shard_id: Position(position["M"]["sequence_number"]["S"], position["M"]["finished"]["BOOL"])
        for shard_id, position in shards.items()
    }


def save_checkpoint(
    client: DynamoDBClient, stream_arn: str, positions: dict[str, Position], table: str = TABLE
) -> None:
    """Write the positions of all shards, in place of what was there."""
    shards: dict[str, Any] = {
        shard_id: {"M": {"sequence_number": {"S": position.sequence_number}, "finished": {"BOOL": position.finished}}}
        for shard_id, position in positions.items()
    }
    client.put_item(TableName=table, Item={"pk": {"S": stream_arn}, "shards": {"M": shards}})


def describe(streams: DynamoDBStreamsClient, stream_arn: str) -> dict[str, str]:
    """Return each shard's parent, "" where it has none."""
    parents: dict[str, str] = {}
    start: dict[str, Any] = {}
    while True:
        stream = streams.describe_stream(StreamArn=stream_arn, **start)["StreamDescription"]
        parents |= {shard["ShardId"]: shard.get("ParentShardId", "") for shard in stream.get("Shards", [])}
        if not (last := stream.get("LastEvaluatedShardId")):
            return parents
        start = {"ExclusiveStartShardId": last}


def shard_iterator(streams: DynamoDBStreamsClient, stream_arn: str, shard_id: str, position: Position) -> str:
    """Return the iterator of a shard's records behind a position. Raises ClientError."""
    place: dict[str, Any] = {"ShardIteratorType": "TRIM_HORIZON"}
    if position.sequence_number:
        place = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": position.sequence_number}
    return streams.get_shard_iterator(StreamArn=stream_arn, ShardId=shard_id, **place)["ShardIterator"]


class StreamWorker:
    """Replicates one stream. After an error make a new one: it goes on from the checkpoint."""

    def __init__(
        self,
        streams: DynamoDBStreamsClient,
        stream_arn: str,
        dynamodb: DynamoDBClient,
        writer: Writer,
        metrics: Metrics | None = None,
    ) -> None:
        self.caught_up = False  # the last `poll` found nothing more, and met no trouble
        self._streams = streams
        self._stream_arn = stream_arn
        self._dynamodb = dynamodb
        self._writer = writer
        self._metrics = metrics or Metrics()
        self._parents: dict[str, str] = {}
        self._positions = load_checkpoint(dynamodb, stream_arn)
        self._saved = dict(self._positions)
        self._iterators: dict[str, str] = {}
        self._described_at = float("-inf")

    def poll(self) -> int:
        """Read what there is (up to a batch), write it, and save the checkpoint; return the number of records.

        Raises ClientError, BotoCoreError, and what `Writer.write` raises: then nothing of it is in the checkpoint.
        """
        if time.monotonic() - self._described_at >= SHARDS_SECONDS:
            self._describe()
        self.caught_up = True
        records: list[dict[str, Any]] = []
        until = time.monotonic() + BATCH_SECONDS
        shards = self._readable()
        while shards and len(records) < BATCH and time.monotonic() < until:
            new = [record for shard_id in shards for record in self._read(shard_id)]
            if not new:
                break
            records += new
            shards = [shard_id for shard_id in shards if not self._positions[shard_id].finished]
        if records:
            written = self._writer.write(records)
            numbers = batch_numbers(records, written)
            self._metrics.record(numbers)
            log.info("a batch is written", extra=numbers)
        if self._positions != self._saved:
            self._save()
        return len(records)

    def _readable(self) -> list[str]:
        """Return the shards to read: unfinished, their parent finished, so that no key's history is reordered."""
        return [
            shard_id
            for shard_id, parent in self._parents.items()
            if not self._positions[shard_id].finished and (not parent or self._positions[parent].finished)
        ]

    def _read(self, shard_id: str) -> list[dict[str, Any]]:
        position = self._positions[shard_id]
        try:
            iterator = self._iterators.pop(shard_id, "") or shard_iterator(
                self._streams, self._stream_arn, shard_id, position
            )
            answer = self._streams.get_records(ShardIterator=iterator, Limit=_READ)
        except ClientError as error:
            self._recover(shard_id, error)
            return []
        records: list[Any] = answer["Records"]
        ended = not answer.get("NextShardIterator")
        if not ended:
            self._iterators[shard_id] = answer["NextShardIterator"]
        if records or ended:
            self.caught_up = False
            last = records[-1]["dynamodb"]["SequenceNumber"] if records else position.sequence_number
            self._positions[shard_id] = Position(last, ended)
        return records

    def _recover(self, shard_id: str, error: ClientError) -> None:
        """Let the shard be read again by the next `poll`, from where that is possible; raise what can't be mended."""
        self.caught_up = False
        code = error.response.get("Error", {}).get("Code", "")
        if code == "TrimmedDataAccessException":
            self._report_gap(shard_id, self._positions[shard_id])
            self._positions[shard_id] = Position()
        elif code == "ResourceNotFoundException":
            self._described_at = float("-inf")  # raises there if the stream is gone, and else misses the shard
        elif code not in _READ_AGAIN:
            raise error

    def _describe(self) -> None:
        """Learn which shards there are, and which are gone that were not read to their end."""
        parents = describe(self._streams, self._stream_arn)
        self._described_at = time.monotonic()
        begun = bool(self._positions)
        unfinished = {shard_id for shard_id, position in self._positions.items() if not position.finished}
        unknown = set(parents.values()) - self._positions.keys() - {""}
        for shard_id in sorted((unfinished | unknown) - parents.keys()):
            if begun:
                self._report_gap(shard_id, self._positions.get(shard_id, Position()))
            self._positions[shard_id] = Position(finished=True)
        needed = (parents.keys() | parents.values()) - {""}
        self._positions = {shard_id: self._positions.get(shard_id, Position()) for shard_id in sorted(needed)}
        self._parents = parents
        self._metrics.record({"shards": len(self._readable())})

    def _save(self) -> None:
        save_checkpoint(self._dynamodb, self._stream_arn, self._positions)
        ended = {shard_id for shard_id, position in self._positions.items() if position.finished}
        if any(not self._saved.get(shard_id, Position()).finished for shard_id in ended):
            self._described_at = float("-inf")  # children may be read now
        self._saved = dict(self._positions)

    def _report_gap(self, shard_id: str, position: Position) -> None:
        self._metrics.record({"gaps": 1})
        log.error(
            "shard %s, after %s: the stream has forgotten the records that come next. It keeps them for 24 hours; the "
            "items are still in the table: run `oot-hud backfill`",
            shard_id,
            position.sequence_number or "its beginning",
        )
