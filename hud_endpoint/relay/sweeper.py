"""Ends what nobody else ends: jobs that have been silent for too long, and finds dispatches that nobody answered.

A job is timed out in its own name, through the outbox like any result. HUD ranks that below a real completion, so one
that comes later replaces it. Sweeping twice at once is safe: a job's step is taken on condition that it is unchanged.
"""

from __future__ import annotations

import gzip
import logging
import zlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from hud_endpoint.errors import RefusedError
from hud_endpoint.relay.job_store import number
from hud_endpoint.relay.lifecycle import Step, time_out
from hud_endpoint.relay.outbox import new_entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_dynamodb.client import DynamoDBClient

    from hud_endpoint.relay.dispatch import Dispatches, Recorded
    from hud_endpoint.relay.job_store import JobRecord, JobStore
    from hud_endpoint.relay.outbox import Outbox

log = logging.getLogger(__name__)

HEARTBEAT = {"pk": {"S": "heartbeat#sweeper"}}


class Swept(NamedTuple):
    """What one sweep did: the keys of the jobs it timed out, and the dispatches it found unanswered."""

    timed_out: list[str]
    orphans: list[Recorded]


class Sweeper:
    """Looks at what is due in the relay's table."""

    def __init__(
        self, client: DynamoDBClient, table: str, jobs: JobStore, outbox: Outbox, dispatches: Dispatches
    ) -> None:
        self._client = client
        self._table = table
        self._jobs = jobs
        self._outbox = outbox
        self._dispatches = dispatches

    def sweep(self, now: float, *, dry_run: bool = False) -> Swept:
        """Time out every job whose deadline lies before `now` (seconds since the epoch), and mark orphaned dispatches.

        Raises RefusedError `store_unavailable` and what boto3 raises; what was swept until then stays swept.
        """
        orphans = list(self._dispatches.unanswered(now, mark=not dry_run))
        timed_out = [record.key for record in self._due(now, dry_run=dry_run)]
        for orphan in orphans:
            log.warning("dispatch %s to %s was never answered", orphan.dispatch.delivery_id, orphan.dispatch.repo)
        if not dry_run:
            item = {**HEARTBEAT, "at": number(now), "timed_out": number(len(timed_out))}
            self._client.put_item(TableName=self._table, Item=item)
        return Swept(timed_out, orphans)

    def last_sweep(self) -> float | None:
        """Return when the last sweep ended, seconds since the epoch; None before the first."""
        item = self._client.get_item(TableName=self._table, Key=HEARTBEAT).get("Item")
        return float(item["at"]["N"]) if item else None

    def _due(self, now: float, *, dry_run: bool) -> Iterator[JobRecord]:
        for record in self._jobs.due_jobs(now):
            try:
                if dry_run or self._time_out(record, now):
                    yield record
            except RefusedError as error:
                log.warning("job %r waits for the next sweep: %s", record.key, error)

    def _time_out(self, record: JobRecord, now: float) -> bool:
        after, step = time_out(record.job, now)
        if step is Step.DUPLICATE or not record.start_payload:
            return False
        try:
            entry = replace(new_entry(_timed_out(record.start_payload, now), record.key, "completed", now), due_at=now)
        except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
            log.error("job %r can't be timed out, its start payload is unreadable: %r", record.key, error)  # noqa: TRY400
            return False  # it holds up nobody else
        return self._jobs.write(record, after, now=now, deadline=now, others=[self._outbox.put_item(entry)])


def _timed_out(start_payload: bytes, now: float) -> dict[str, Any]:
    """Turn the payload that started a job into the one that ends it for being silent."""
    payload: dict[str, Any] = orjson.loads(gzip.decompress(start_payload))
    at = datetime.fromtimestamp(now, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    nothing = {"queue_time": None, "execution_time": None}
    payload["trusted"] |= {"origin": "sweeper", "received_at": at, "ci_metrics": nothing}
    workflow = payload["untrusted"]["callback_payload"]["workflow"]
    workflow |= {"status": "completed", "conclusion": "timed_out", "completed_at": at}
    workflow.pop("started_at", None)
    return payload
