"""One worker on the stream: it reads the shards it holds, writes their records together, and keeps how far it has come.

Killed at any moment, another worker goes on from what was kept: records may be written twice, and none is lost.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hud_endpoint.metrics import Metrics
from oot_replicator.reading.leases import LeaseLostError, Watch, choose, died_here
from oot_replicator.reading.shards import ShardReader, describe, readable
from oot_replicator.writing.writer import batch_numbers

if TYPE_CHECKING:
    from types_boto3_dynamodbstreams.client import DynamoDBStreamsClient

    from oot_replicator.reading.leases import Lease, Leases
    from oot_replicator.writing.writer import Writer

log = logging.getLogger(__name__)

BATCH = 10_000  # records: as many are written at once, however busy the stream
BATCH_SECONDS = 0.5  # a busy stream is written this often; after a pause, the first records go at once
LEASE_SECONDS = 15.0
SHARDS_SECONDS = 10.0  # DescribeStream is limited to 10 calls a second for a whole account


class _Shard:
    """A shard that this worker holds: its lease, its reader, and what has been read and not yet written."""

    def __init__(self, lease: Lease, reader: ShardReader) -> None:
        self.lease = lease
        self.reader = reader
        self.records: list[dict[str, Any]] = []
        self.ended = False


class Poller:
    """A worker."""

    def __init__(
        self,
        streams: DynamoDBStreamsClient,
        stream_arn: str,
        leases: Leases,
        writer: Writer,
        *,
        metrics: Metrics | None = None,
        lease_seconds: float = LEASE_SECONDS,
        batch_seconds: float = BATCH_SECONDS,
    ) -> None:
        self._streams = streams
        self._stream_arn = stream_arn
        self._leases = leases
        self._writer = writer
        self._metrics = metrics or Metrics()
        self._lease_seconds = lease_seconds
        self._batch_seconds = batch_seconds
        self._watch = Watch(lease_seconds)
        self._shards: dict[str, _Shard] = {}
        self._parents: dict[str, str] = {}
        self._described_at = self._coordinated_at = self._written_at = float("-inf")

    def poll(self) -> None:
        """Read each shard that is due, and write what is to be written.

        Raises what boto3 and ClickHouse raise; poll again then: what was not kept as done is read again.
        """
        try:
            if time.monotonic() - self._coordinated_at >= self._lease_seconds / 3:
                self._coordinate()
            for shard in self._shards.values():
                self._read(shard)
            waiting = sum(len(shard.records) for shard in self._shards.values())
            ended = any(shard.ended for shard in self._shards.values())
            due = waiting and time.monotonic() - self._written_at >= self._batch_seconds
            if due or ended or waiting >= BATCH:
                self.flush()
        except Exception:
            for shard in self._shards.values():  # the next try starts from what was kept
                shard.reader = self._reader(shard.lease)
                shard.records, shard.ended = [], False
            raise

    @property
    def caught_up(self) -> bool:
        """Whether all that this worker may read has been read; what is not written yet, `flush` writes."""
        looked = self._coordinated_at > float("-inf")  # a shard that has ended asks for another look
        return looked and all(shard.reader.caught_up for shard in self._shards.values())

    @property
    def idle_seconds(self) -> float:
        """How long there is nothing to do."""
        now = time.monotonic()
        due = [shard.reader.due_at for shard in self._shards.values()]
        if any(shard.records for shard in self._shards.values()):
            due.append(self._written_at + self._batch_seconds)
        return max(min([*due, self._coordinated_at + self._lease_seconds / 3]) - now, 0.0)

    def flush(self) -> None:
        """Write what has been read, then keep how far each shard has come."""
        busy = [shard for shard in self._shards.values() if shard.records or shard.ended]
        records = [record for shard in busy for record in shard.records]
        if records:
            written = self._writer.write(records)
            self._written_at = time.monotonic()
            numbers = batch_numbers(records, written)
            self._metrics.record(numbers)
            log.info("a batch is written", extra=numbers)
        for shard in busy:
            done = shard.records[-1]["dynamodb"]["SequenceNumber"] if shard.records else None
            self._keep(shard, done)

    def close(self) -> None:
        """Give all shards back, so that others need not wait for the end of the leases."""
        for shard in self._shards.values():
            with suppress(LeaseLostError):
                self._leases.release(shard.lease)
        self._shards.clear()

    def _read(self, shard: _Shard) -> None:
        """Read a shard once, so that a busy one does not keep the others waiting."""
        if shard.ended or time.monotonic() < shard.reader.due_at:
            return
        gaps = shard.reader.gaps
        read = shard.reader.read()
        if shard.reader.gaps > gaps:
            self._metrics.record({"gaps": 1})
        shard.records += read.records
        shard.ended = read.ended

    def _keep(self, shard: _Shard, done: str | None = None) -> None:
        try:
            shard.lease = self._leases.keep(shard.lease, done, finished=shard.ended)
        except LeaseLostError as lost:
            log.warning("%s: it goes on from where this worker had kept it", lost)
            del self._shards[shard.lease.shard_id]
            return
        shard.records = []
        if shard.ended:
            del self._shards[shard.lease.shard_id]
            self._described_at = self._coordinated_at = float("-inf")  # its children may be read now

    def _coordinate(self) -> None:
        """Renew what is held, and take what this worker's share is."""
        now = time.monotonic()
        if now - self._described_at >= SHARDS_SECONDS:
            self._parents = describe(self._streams, self._stream_arn)
            self._described_at = now
        leases = self._leases.load(self._parents)
        for shard_id, shard in list(self._shards.items()):
            try:
                shard.lease = leases[shard_id] = self._leases.keep(shard.lease)
            except LeaseLostError as lost:
                log.warning("%s: it goes on from where this worker had kept it", lost)
                del self._shards[shard_id]
        owners = {}
        for shard_id in readable(self._parents, leases):
            lease = leases[shard_id]
            owners[shard_id] = "" if shard_id not in self._shards and self._is_free(lease, now) else lease.owner
        for shard_id in choose(owners, self._leases.owner):
            with suppress(LeaseLostError):  # somebody was faster
                lease = self._leases.take(leases[shard_id])
                self._shards[shard_id] = _Shard(lease, self._reader(lease))
                log.info("reading shard %s after %r", shard_id, lease.sequence_number)
        self._coordinated_at = now
        self._metrics.record({"shards": len(self._shards)})

    def _is_free(self, lease: Lease, now: float) -> bool:
        """Tell whether nobody reads the shard; leases of this very worker are left from before it reconnected."""
        mine = lease.owner == self._leases.owner
        return self._watch.expired(lease, now) or mine or died_here(lease.owner)

    def _reader(self, lease: Lease) -> ShardReader:
        return ShardReader(self._streams, self._stream_arn, lease.shard_id, lease.sequence_number)
