"""Jobs that fall silent are timed out once, in their own name; dispatches that nobody answers are named once."""

from __future__ import annotations

import gzip
import threading
import time
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from hud_endpoint.contract import Dispatch, RelayPayload
from hud_endpoint.relay.dispatch import ORPHAN_SECONDS, Dispatches
from hud_endpoint.relay.job_store import JobRecord, JobStore, TokenRecord
from hud_endpoint.relay.lifecycle import Claim, Phase, Step, advance
from hud_endpoint.relay.outbox import Entry, Outbox
from hud_endpoint.relay.sweeper import Sweeper, Swept
from tests.hud_endpoint.relay.desk import find_dispatch

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient

NOW = time.time()
HOUR = 3600


@dataclass
class Relay:
    client: DynamoDBClient
    table: str

    def __post_init__(self) -> None:
        self.jobs = JobStore(self.client, self.table)
        self.outbox = Outbox(self.client, self.table)
        self.dispatches = Dispatches(self.client, self.table)
        self.sweeper = Sweeper(self.client, self.table, self.jobs, self.outbox, self.dispatches)

    def start(self, *, deadline: float) -> str:
        """A job that has reported its start."""
        key = f"o/{uuid.uuid4().hex}/d1/ci/test/987"
        record = self.jobs.read_job(key)
        job, _ = advance(record.job, Claim("in_progress", {}), NOW)
        assert self.jobs.write(record, job, now=NOW, deadline=deadline, start_payload=start_payload(key))
        return key

    def job(self, key: str) -> JobRecord:
        return self.jobs.read_job(key)

    def waiting(self, key: str) -> list[Entry]:
        return [entry for entry in self.outbox.entries("outbox") if entry.key == key]


def start_payload(key: str) -> bytes:
    repo = "/".join(key.split("/")[:2])
    workflow = {"status": "in_progress", "name": "ci", "job_name": "test", "check_run_id": "987", "run_id": "240"}
    callback = {
        "event_type": "push",
        "delivery_id": "d1",
        "workflow": {**workflow, "started_at": "2026-05-04T03:00:00Z"},
    }
    trusted = {"verified_repo": repo, "downstream_repo_level": "L2", "ci_metrics": {"queue_time": 3}, "origin": "job"}
    return gzip.compress(orjson.dumps({"trusted": trusted, "untrusted": {"callback_payload": callback}}))


@pytest.fixture
def relay(dynamodb: DynamoDBClient, relay_table: str) -> Relay:
    return Relay(dynamodb, relay_table)


def mine(swept: Swept, *keys: str) -> list[str]:
    """What this test's jobs had of a sweep: the table is shared."""
    return sorted(set(swept.timed_out) & set(keys))


def test_only_a_job_past_its_deadline_is_timed_out(relay: Relay) -> None:
    late, on_time = relay.start(deadline=NOW + HOUR), relay.start(deadline=NOW + 3 * HOUR)
    assert mine(relay.sweeper.sweep(NOW + 2 * HOUR), late, on_time) == [late]
    assert (relay.job(late).job.phase, relay.job(on_time).job.phase) == (Phase.TIMED_OUT, Phase.IN_PROGRESS)


def test_what_hud_is_told_is_a_completion_of_the_sweepers(relay: Relay) -> None:
    key = relay.start(deadline=NOW)
    relay.sweeper.sweep(NOW + HOUR)
    (entry,) = relay.waiting(key)
    payload = RelayPayload.model_validate(entry.payload())
    workflow = payload.untrusted.callback_payload.workflow
    assert (payload.trusted.origin, workflow.status, workflow.conclusion) == ("sweeper", "completed", "timed_out")
    assert (payload.trusted.ci_metrics.queue_time, workflow.started_at) == (None, None)  # these are the opening's
    assert workflow.completed_at is not None
    assert abs(workflow.completed_at.timestamp() - (NOW + HOUR)) < 1
    assert (entry.status, entry.due_at) == ("completed", NOW + HOUR)


def test_sweeping_again_changes_nothing(relay: Relay) -> None:
    key = relay.start(deadline=NOW)
    assert mine(relay.sweeper.sweep(NOW + HOUR), key) == [key]
    assert mine(relay.sweeper.sweep(NOW + 2 * HOUR), key) == []
    assert len(relay.waiting(key)) == 1


def test_sweeping_twice_at_once_times_out_once(relay: Relay) -> None:
    keys = [relay.start(deadline=NOW) for _ in range(10)]
    swept: list[Swept] = []
    threads = [threading.Thread(target=lambda: swept.append(relay.sweeper.sweep(NOW + HOUR))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(key for one in swept for key in mine(one, *keys)) == sorted(keys)
    assert all(len(relay.waiting(key)) == 1 for key in keys)


@pytest.mark.parametrize("status", ["in_progress", "completed"])
def test_a_job_that_was_timed_out_may_still_report(relay: Relay, status: Any) -> None:
    key = relay.start(deadline=NOW)
    relay.sweeper.sweep(NOW + HOUR)
    record = relay.job(key)
    after, step = advance(record.job, Claim(status, {}), NOW + 2 * HOUR)
    assert step is (Step.FORWARD if status == "completed" else Step.DUPLICATE)
    if status == "completed":
        assert relay.jobs.write(record, after, now=NOW + 2 * HOUR, deadline=0)
        assert relay.job(key).job.phase is Phase.COMPLETED


def test_a_job_that_ends_is_no_longer_looked_at(relay: Relay) -> None:
    key = relay.start(deadline=NOW)
    record = relay.job(key)
    after, _ = advance(record.job, Claim("completed", {}), NOW)
    token = TokenRecord(uuid.uuid4().hex).bind(key)
    assert relay.jobs.write(record, after, now=NOW, deadline=NOW, token=token)
    assert mine(relay.sweeper.sweep(NOW + HOUR), key) == []


@pytest.mark.parametrize(
    "damage",
    [b"{}", gzip.compress(b"{"), gzip.compress(b"[]"), gzip.compress(b"{}"), b"\x1f\x8b\x08"],
    ids=["plain", "half JSON", "a list", "empty", "half gzip"],
)
def test_an_unreadable_job_holds_up_nobody(relay: Relay, damage: bytes) -> None:
    damaged, sound = relay.start(deadline=NOW), relay.start(deadline=NOW)
    record = relay.job(damaged)
    assert relay.jobs.write(record, record.job, now=NOW, deadline=NOW, start_payload=damage)
    assert mine(relay.sweeper.sweep(NOW + HOUR), damaged, sound) == [sound]


def test_a_dry_run_says_so_and_touches_nothing(relay: Relay) -> None:
    key, dispatch = relay.start(deadline=NOW), new_dispatch()
    relay.dispatches.record(dispatch, NOW)
    before = relay.sweeper.last_sweep()
    for _ in range(2):
        swept = relay.sweeper.sweep(NOW + ORPHAN_SECONDS + 1, dry_run=True)
        assert mine(swept, key) == [key]
        assert dispatch in [orphan.dispatch for orphan in swept.orphans]
    assert relay.job(key).job.phase is Phase.IN_PROGRESS
    assert relay.waiting(key) == []
    assert relay.sweeper.last_sweep() == before


def new_dispatch() -> Dispatch:
    return Dispatch(repo="o/r", delivery_id=uuid.uuid4().hex, pr_number=7, sha="a" * 40)


def test_an_unanswered_dispatch_is_an_orphan_once_its_time_is_over(relay: Relay) -> None:
    dispatch = new_dispatch()
    relay.dispatches.record(dispatch, NOW)
    named = [
        dispatch in [orphan.dispatch for orphan in relay.sweeper.sweep(NOW + seconds).orphans]
        for seconds in (ORPHAN_SECONDS - 1, ORPHAN_SECONDS + 1, ORPHAN_SECONDS + 2)
    ]
    assert named == [False, True, False]  # named once
    assert dispatch in [orphan.dispatch for orphan in relay.dispatches.orphans(NOW + ORPHAN_SECONDS + 2)]  # and kept


def test_an_answered_dispatch_is_no_orphan(relay: Relay) -> None:
    dispatch = new_dispatch()
    relay.dispatches.record(dispatch, NOW)
    recorded = find_dispatch(relay.client, relay.table, "o/r", dispatch.delivery_id)
    assert recorded is not None
    assert recorded.unanswered
    relay.dispatches.acknowledge(recorded)
    assert find_dispatch(relay.client, relay.table, "o/r", dispatch.delivery_id) == replace(recorded, unanswered=False)
    assert dispatch not in [orphan.dispatch for orphan in relay.sweeper.sweep(NOW + 2 * ORPHAN_SECONDS).orphans]


def test_a_late_answer_takes_an_orphan_off_the_list(relay: Relay) -> None:
    dispatch = new_dispatch()
    relay.dispatches.record(dispatch, NOW)
    relay.sweeper.sweep(NOW + ORPHAN_SECONDS + 1)
    recorded = find_dispatch(relay.client, relay.table, "o/r", dispatch.delivery_id)
    assert recorded is not None
    relay.dispatches.acknowledge(recorded)
    assert dispatch not in [orphan.dispatch for orphan in relay.dispatches.orphans(NOW + 2 * ORPHAN_SECONDS)]


def test_the_heartbeat_is_the_last_sweeps(relay: Relay) -> None:
    relay.sweeper.sweep(NOW + 5)
    assert relay.sweeper.last_sweep() == NOW + 5


def test_a_dispatch_that_nobody_waits_for_is_no_orphan(relay: Relay) -> None:
    dispatch = new_dispatch()
    relay.dispatches.record(dispatch, NOW, awaited=False)  # to a repo at L1, or of an event it has not opted in to
    recorded = find_dispatch(relay.client, relay.table, "o/r", dispatch.delivery_id)
    assert recorded is not None
    assert not recorded.unanswered
    assert dispatch not in [orphan.dispatch for orphan in relay.sweeper.sweep(NOW + 2 * ORPHAN_SECONDS).orphans]
