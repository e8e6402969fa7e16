"""Reads every shard of the stream, parents before children, and checkpoints only what ClickHouse has taken.

Killed at any moment, it starts again from its checkpoints: records may be written twice, and none is lost.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from scripts.replicator.checkpoints import Checkpoint, Checkpoints

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient
    from types_boto3_dynamodbstreams.client import DynamoDBStreamsClient

    from scripts.replicator.writer import Writer

log = logging.getLogger(__name__)

BATCH = 1000  # the most that one GetRecords gives
SHARDS_SECONDS = 10.0  # DescribeStream is limited to 10 calls a second for a whole account


class Poller:
    """One reader of the stream of one table."""

    def __init__(
        self, dynamodb: DynamoDBClient, streams: DynamoDBStreamsClient, writer: Writer, stream_arn: str
    ) -> None:
        self._streams = streams
        self._writer = writer
        self._stream_arn = stream_arn
        self._checkpoints = Checkpoints(dynamodb, stream_arn)
        self._progress: dict[str, Checkpoint] = {}
        self._iterators: dict[str, str] = {}
        self._parents: dict[str, str | None] = {}
        self._described_at = float("-inf")

    def poll(self) -> int:
        """Read each open shard once, write, checkpoint; gives how many records were read.

        Raises what boto3 and ClickHouse raise; poll again then: what was not checkpointed is read again.
        """
        try:
            return sum(self._poll_shard(shard_id) for shard_id in self._open_shards())
        except Exception:
            self._iterators.clear()  # the next try starts from the checkpoints
            raise

    def _open_shards(self) -> list[str]:
        """Shards still to be read whose parent has been read to its end, so that no key's history is reordered."""
        if time.monotonic() - self._described_at > SHARDS_SECONDS:
            self._parents = self._describe()
            self._described_at = time.monotonic()
        for shard_id in self._parents:
            if shard_id not in self._progress:
                self._progress[shard_id] = self._checkpoints.load(shard_id)
        return [
            shard_id
            for shard_id, parent in self._parents.items()
            if not self._progress[shard_id].finished
            and (parent is None or parent not in self._parents or self._progress[parent].finished)
        ]

    def _describe(self) -> dict[str, str | None]:
        """Give each shard's parent."""
        parents: dict[str, str | None] = {}
        start: dict[str, Any] = {}
        while True:
            described = self._streams.describe_stream(StreamArn=self._stream_arn, **start)["StreamDescription"]
            for shard in described.get("Shards", []):
                parents[shard["ShardId"]] = shard.get("ParentShardId")
            if not (last := described.get("LastEvaluatedShardId")):
                return parents
            start = {"ExclusiveStartShardId": last}

    def _poll_shard(self, shard_id: str) -> int:
        answer = self._streams.get_records(ShardIterator=self._iterator(shard_id), Limit=BATCH)
        records = answer["Records"]
        checkpoint = self._progress[shard_id]
        if records:
            written = self._writer.write(records)
            log.info("%d records read, %d rows written, %d dead letters", len(records), written.rows, written.dead)
            checkpoint = Checkpoint(records[-1]["dynamodb"]["SequenceNumber"])
        next_iterator = answer.get("NextShardIterator")
        if not next_iterator:
            checkpoint = checkpoint._replace(finished=True)
            self._described_at = float("-inf")  # its children may be read now
        if checkpoint != self._progress[shard_id]:
            self._checkpoints.save(shard_id, checkpoint)
            self._progress[shard_id] = checkpoint
        if next_iterator:
            self._iterators[shard_id] = next_iterator
        return len(records)

    def _iterator(self, shard_id: str) -> str:
        if shard_id not in self._iterators:
            done = self._progress[shard_id].sequence_number
            try:
                place: dict[str, Any] = {"ShardIteratorType": "TRIM_HORIZON"}
                if done:
                    place = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": done}
                self._iterators[shard_id] = self._new_iterator(shard_id, place)
            except self._streams.exceptions.TrimmedDataAccessException:
                # DynamoDB keeps stream records for 24 hours; the items themselves are still in the table.
                log.exception("shard %s: the stream has forgotten records since %s; going on", shard_id, done)
                self._iterators[shard_id] = self._new_iterator(shard_id, {"ShardIteratorType": "TRIM_HORIZON"})
        return self._iterators[shard_id]

    def _new_iterator(self, shard_id: str, place: dict[str, Any]) -> str:
        given = self._streams.get_shard_iterator(StreamArn=self._stream_arn, ShardId=shard_id, **place)
        return given["ShardIterator"]
