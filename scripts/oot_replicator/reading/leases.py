"""Which worker reads which shard, and how far it has come: one item a shard, written only by whoever holds its lease.

A lease is a counter that its owner moves on. Whoever sees it stand still for the time of a lease may take it over; no
clocks are compared. Every write names the counter it expects, so a worker that has lost its lease, and wakes up late,
can't set the shard back: it is told so by LeaseLostError.
"""

from __future__ import annotations

import functools
import hashlib
import math
import os
import secrets
import socket
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from types_boto3_dynamodb.client import DynamoDBClient

TABLE = "torchci-oot-replicator"
_FORGET_SECONDS = 7 * 86_400  # finished shards leave the stream after a day
_BATCH = 100  # the most that one BatchGetItem reads


class LeaseLostError(Exception):
    """Another worker holds the shard."""


class Lease(NamedTuple):
    """A shard as its item has it: the last sequence number that is done ("" for none), and whether all of it is."""

    shard_id: str
    sequence_number: str = ""
    finished: bool = False
    owner: str = ""
    counter: int = 0


class Leases:
    """The leases of one stream, as one worker sees them."""

    def __init__(self, client: DynamoDBClient, stream_arn: str, owner: str, table: str = TABLE) -> None:
        self.owner = owner
        self._client = client
        self._stream_arn = stream_arn
        self._table = table

    def load(self, shard_ids: Iterable[str]) -> dict[str, Lease]:
        """Give the leases of these shards; one that nobody has ever taken is free and at the beginning."""
        names = list(shard_ids)
        leases = {name: Lease(name) for name in names}
        for start in range(0, len(names), _BATCH):
            keys: list[Any] = [self._key(name) for name in names[start : start + _BATCH]]
            while keys:
                answer = self._client.batch_get_item(RequestItems={self._table: {"Keys": keys, "ConsistentRead": True}})
                found: list[Any] = answer["Responses"].get(self._table, [])
                for item in found:
                    lease = _lease(item["pk"]["S"].removeprefix(f"{self._stream_arn}/"), item)
                    leases[lease.shard_id] = lease
                left: Any = answer.get("UnprocessedKeys", {})
                keys = left.get(self._table, {}).get("Keys", [])
        return leases

    def take(self, lease: Lease) -> Lease:
        """Become the owner. Raises LeaseLostError when somebody was faster or the old owner lives."""
        return self._write(lease, lease._replace(owner=self.owner))

    def keep(self, lease: Lease, sequence_number: str | None = None, *, finished: bool = False) -> Lease:
        """Renew the lease, and keep how far the shard has been replicated. Raises LeaseLostError."""
        done = lease.sequence_number if sequence_number is None else sequence_number
        return self._write(lease, lease._replace(sequence_number=done, finished=finished or lease.finished))

    def release(self, lease: Lease) -> None:
        """Let others take the shard at once. Raises LeaseLostError."""
        self._write(lease, lease._replace(owner=""))

    def _write(self, expected: Lease, wanted: Lease) -> Lease:
        made = wanted._replace(counter=expected.counter + 1)
        item: dict[str, Any] = {
            **self._key(made.shard_id),
            "sequence_number": {"S": made.sequence_number},
            "finished": {"BOOL": made.finished},
            "lease_owner": {"S": made.owner},
            "lease_counter": {"N": str(made.counter)},
        }
        if made.finished:
            item["expires_at"] = {"N": str(int(time.time()) + _FORGET_SECONDS)}
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(lease_counter)"}
        if expected.counter:
            condition = {
                "ConditionExpression": "lease_counter = :expected",
                "ExpressionAttributeValues": {":expected": {"N": str(expected.counter)}},
            }
        try:
            self._client.put_item(TableName=self._table, Item=item, **condition)
        except self._client.exceptions.ConditionalCheckFailedException:
            raise LeaseLostError(f"shard {made.shard_id} has another owner") from None
        return made

    def _key(self, shard_id: str) -> dict[str, Any]:
        return {"pk": {"S": f"{self._stream_arn}/{shard_id}"}}


class Watch:
    """Tells which leases stand still, by this process's own clock."""

    def __init__(self, lease_seconds: float) -> None:
        self._lease_seconds = lease_seconds
        self._seen: dict[str, tuple[int, float]] = {}

    def expired(self, lease: Lease, now: float) -> bool:
        """Tell whether nobody holds the lease: it is free, or has not moved for the time of a lease."""
        counter, since = self._seen.get(lease.shard_id, (-1, now))
        if counter != lease.counter:
            self._seen[lease.shard_id] = (lease.counter, since := now)
        return not lease.owner or now - since >= self._lease_seconds


def choose(owners: Mapping[str, str], me: str) -> list[str]:
    """Give the shards to take, so that every worker gets its share; `owners` has "" for shards that nobody holds.

    What is free is taken up to one's share. Who is short by two or more takes one from the busiest.
    """
    held = Counter(owner for owner in owners.values() if owner)
    share = math.ceil(len(owners) / len(held.keys() | {me}))
    free = [shard_id for shard_id, owner in owners.items() if not owner]
    if free:
        return free[: max(share - held[me], 0)]
    busiest, count = max(held.items(), key=lambda one: one[1], default=(me, 0))
    if busiest == me or count < held[me] + 2:
        return []
    return [secrets.choice([shard_id for shard_id, owner in owners.items() if owner == busiest])]


def new_owner() -> str:
    """Give a name for this worker: where it runs, its process id, and something that no other has."""
    return f"{_place()}:{os.getpid()}:{secrets.token_hex(4)}"


def died_here(owner: str) -> bool:
    """Tell whether a worker has ended for certain, so that its successor need not wait for its lease."""
    place, _, rest = owner.partition(":")
    number = rest.partition(":")[0]
    if place != _place() or place.endswith("@") or not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False


@functools.cache
def _place() -> str:
    """Give the host's name and, where the system tells, what its process ids mean: this boot, and this container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        meaning = f"{boot}{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return f"{socket.gethostname()}@"
    return f"{socket.gethostname()}@{hashlib.sha256(meaning.encode()).hexdigest()[:12]}"


def _lease(shard_id: str, item: Mapping[str, Any]) -> Lease:
    return Lease(
        shard_id,
        item.get("sequence_number", {}).get("S", ""),
        item.get("finished", {}).get("BOOL", False),
        item.get("lease_owner", {}).get("S", ""),
        int(item.get("lease_counter", {}).get("N", "0")),
    )
