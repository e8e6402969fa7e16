"""The shards of a stream: which there are and who their parents are, and the reading of one, whatever befalls it.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
"""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from types_boto3_dynamodbstreams.client import DynamoDBStreamsClient

    from oot_replicator.reading.leases import Lease

log = logging.getLogger(__name__)

READ = 1000  # the most that one GetRecords gives
IDLE_SECONDS = 0.2  # a shard may be read 5 times a second
_LONGEST_PAUSE = 5.0
_THROTTLED = frozenset({"LimitExceededException", "ProvisionedThroughputExceededException", "ThrottlingException"})


class Read(NamedTuple):
    """What one read gave: records as boto3 gives them, and whether the shard has come to its end."""

    records: list[dict[str, Any]]
    ended: bool = False


class ShardReader:
    """Reads one shard from a place on."""

    def __init__(self, streams: DynamoDBStreamsClient, stream_arn: str, shard_id: str, after: str) -> None:
        self.due_at = 0.0  # by time.monotonic()
        self.gaps = 0  # times that the stream had forgotten what was to be read next
        self.caught_up = False  # the last read found nothing more
        self._streams = streams
        self._stream_arn = stream_arn
        self._shard_id = shard_id
        self._after = after
        self._iterator = ""
        self._pause = IDLE_SECONDS

    def read(self) -> Read:
        """Give the next records; nothing while the shard is throttled or idle (`due_at` says until when).

        Raises what boto3 raises when the stream can't be reached.
        """
        try:
            return self._read()
        except ClientError as error:
            return self._recover(error)

    def _read(self) -> Read:
        if not self._iterator:
            place = {"ShardIteratorType": "TRIM_HORIZON"}
            if self._after:
                place = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": self._after}
            request: dict[str, Any] = {"StreamArn": self._stream_arn, "ShardId": self._shard_id, **place}
            self._iterator = self._streams.get_shard_iterator(**request)["ShardIterator"]
        answer = self._streams.get_records(ShardIterator=self._iterator, Limit=READ)
        records: list[Any] = answer["Records"]
        if records:
            self._after = records[-1]["dynamodb"]["SequenceNumber"]
        self._iterator = answer.get("NextShardIterator") or ""
        self._pause = IDLE_SECONDS
        self.caught_up = not records and bool(self._iterator)
        self.due_at = time.monotonic() + (0 if records else IDLE_SECONDS)
        return Read(records, ended=not self._iterator)

    def _recover(self, error: ClientError) -> Read:
        self.caught_up = False
        code = error.response.get("Error", {}).get("Code", "")
        if code == "ExpiredIteratorException":
            self._iterator = ""
            return Read([])
        if code in _THROTTLED:
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)
            self.due_at = time.monotonic() + self._pause * random.uniform(0.5, 1)  # noqa: S311 - no secret
            return Read([])
        if code == "TrimmedDataAccessException":
            self._tell_gap("the stream has forgotten the records after it; going on with the oldest it has")
            self._after = self._iterator = ""
            return Read([])
        if code == "ResourceNotFoundException" and self._exists():
            self._tell_gap("the stream has no such shard any more")
            return Read([], ended=True)
        raise error

    def _exists(self) -> bool:
        """Tell whether the stream itself is still there; raises what boto3 raises when it is not."""
        return bool(self._streams.describe_stream(StreamArn=self._stream_arn, Limit=1))

    def _tell_gap(self, what: str) -> None:
        self.gaps += 1
        log.error(
            "shard %s, after %s: %s. Records are kept for 24 hours; the items are still in the table: run "
            "`oot-hud backfill`",
            self._shard_id,
            self._after or "its beginning",
            what,
        )


def describe(streams: DynamoDBStreamsClient, stream_arn: str) -> dict[str, str]:
    """Give each shard's parent, "" where it has none."""
    parents: dict[str, str] = {}
    start: dict[str, Any] = {}
    while True:
        told = streams.describe_stream(StreamArn=stream_arn, **start)["StreamDescription"]
        parents |= {shard["ShardId"]: shard.get("ParentShardId", "") for shard in told.get("Shards", [])}
        if not (last := told.get("LastEvaluatedShardId")):
            return parents
        start = {"ExclusiveStartShardId": last}


def readable(parents: Mapping[str, str], leases: Mapping[str, Lease]) -> list[str]:
    """Give the shards to be read: not done, their parent done or gone, so that no key's history is reordered."""
    return [
        shard_id
        for shard_id, parent in parents.items()
        if not leases[shard_id].finished and (parent not in parents or leases[parent].finished)
    ]
