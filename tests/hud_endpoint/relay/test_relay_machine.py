"""The relay's promise, under everything that can go wrong: no accepted result is ever lost, none is ever doubled.

A state machine posts callbacks, lets the worker and the sweeper run, changes HUD's mood, and breaks any single call to
DynamoDB or HUD: the process ends there, or the answer never comes, before or after the call took effect. DynamoDB is
real, and so is HUD's law of the merge.
"""

from __future__ import annotations

import itertools
import uuid
from collections import Counter
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ReadTimeoutError
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from hud_endpoint.contract import RESULTS_TABLE, ConflictNote, Dispatch, RelayPayload
from hud_endpoint.errors import RefusedError
from hud_endpoint.record import to_write
from hud_endpoint.relay import outbox as outboxes
from hud_endpoint.relay.forward import Answer, Conflicting, Delivered, Refused, Unavailable
from hud_endpoint.relay.outbox import CONFLICT, DEAD, QUEUE, Entry, Outbox
from hud_endpoint.relay.sweeper import Sweeper
from hud_endpoint.results.store import Outcome, ResultStore
from tests.hud_endpoint.relay.desk import REPO, SCHEDULED, Clock, Desk, new_table
from tests.hud_endpoint.samples import COMPLETED_CALLBACK, IN_PROGRESS, changed

if TYPE_CHECKING:
    from collections.abc import Callable

    from types_boto3_dynamodb.client import DynamoDBClient

    from hud_endpoint.wire_types import Status

When = Literal["before", "after"]
How = Literal["crash", "timeout"]
Mood = Literal["well", "down", "mute", "wrong"]
JOBS = ("a", "b")
VARIANTS = {"success": "1", "failure": "2"}
TIMEOUT_SECONDS = 60
# Which of the calls that come fails, before or after it took effect, and how.
FAULTS = st.none() | st.tuples(
    st.integers(0, 8), st.sampled_from(["before", "after"]), st.sampled_from(["crash", "timeout"])
)
MOODS = st.none() | st.sampled_from(["well", "down", "mute", "wrong"])  # none: as it was
ASIDE = frozenset(
    {"dynamoKey", "delivery_id", "revision", "first_seen", "expires_at", "running_repo", "running_pr", "conflicts"}
)


class Crash(Exception):  # noqa: N818 - not an error of the program: its end
    """The process ends here; nothing after it happens."""


class Fate:
    """Lets one of the calls fail."""

    def __init__(self) -> None:
        self.fault: tuple[int, When, How] | None = None
        self.struck = ""

    def arm(self, fault: tuple[int, When, How] | None) -> None:
        self.fault, self.struck = fault, ""

    def meet(self, when: When) -> None:
        """Pass one side of a call. Raises Crash, or what boto3 raises when no answer comes."""
        if self.fault is None or self.fault[1] != when:
            return
        left, when, how = self.fault
        self.fault = (left - 1, when, how) if left else None
        if left == 0:
            self.struck = how
            raise Crash if how == "crash" else ReadTimeoutError(endpoint_url="http://the-store")


class Hud:
    """HUD with its real law of the merge, in a mood."""

    def __init__(self, client: DynamoDBClient, table: str, fate: Fate) -> None:
        self.mood: Mood = "well"
        self.took: list[tuple[str, dict[str, Any]]] = []  # what changed a record, by key
        self.refused: set[tuple[str, str, str]] = set()  # key, status, origin
        self._fate = fate
        self._store = ResultStore(client, table, clock=lambda: 0.0)  # a slow machine is not what fails here

    def __call__(self, payload: dict[str, Any]) -> Answer:
        try:
            self._fate.meet("before")
            answer = self._answer(payload)
            self._fate.meet("after")
        except ReadTimeoutError:
            return Unavailable("no answer", ours=False)
        return answer

    def _answer(self, payload: dict[str, Any]) -> Answer:
        if self.mood == "down":
            return Unavailable("HTTP 503", ours=False)
        if "conflict" in payload:
            return self._note(ConflictNote.model_validate(payload))
        write = to_write(RelayPayload.model_validate(payload), now=datetime.now(UTC), retention_days=100)
        if self.mood == "wrong":
            self.refused.add((write.key, write.status, payload["trusted"]["origin"]))
            return Refused(400, "HTTP 400: a bug of HUD's")
        answer: Answer = Delivered(duplicate=True)
        try:
            if self._store.apply(write) is Outcome.STORED:
                self.took.append((write.key, payload))
                answer = Delivered(duplicate=False)
        except RefusedError as error:
            answer = Conflicting(error.code, error.message)
        return Unavailable("no answer", ours=False) if self.mood == "mute" else answer

    def _note(self, note: ConflictNote) -> Answer:
        if self.mood == "wrong":
            return Refused(400, "HTTP 400: a bug of HUD's")
        try:
            self._store.note_conflict(note.conflict)
        except RefusedError as error:
            return Unavailable(error.message, ours=False)
        return Delivered(duplicate=False)

    def apply(self, payload: dict[str, Any]) -> None:
        self._store.apply(to_write(RelayPayload.model_validate(payload), now=datetime.now(UTC), retention_days=100))


class RelayMachine(RuleBasedStateMachine):
    """Each example has tables of its own, and the same names and ids each time: so a replay meets the same calls."""

    counts: ClassVar[Counter[str]] = Counter()

    def __init__(self, sound: DynamoDBClient, fragile: DynamoDBClient, fate: Fate) -> None:
        super().__init__()
        self.tables = table, results = new_table(sound), new_table(sound, RESULTS_TABLE)
        self.results, self.ids = results, itertools.count(1)
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(outboxes, "uuid", SimpleNamespace(uuid4=lambda: uuid.UUID(int=next(self.ids))))
        self.fate, self.clock, self.hud, self.client = fate, Clock(), Hud(sound, results, fate), sound
        self.desk = Desk(fragile, table, self.hud, clock=self.clock, job_timeout_seconds=TIMEOUT_SECONDS)
        desk = self.desk
        self.sweeper = Sweeper(fragile, table, desk.jobs, desk.outbox, desk.dispatches)
        self.outbox = Outbox(sound, table)  # to look on
        self.delivery_id = str(uuid.UUID(int=0))
        dispatch = Dispatch(repo=REPO, delivery_id=self.delivery_id, pr_number=7, sha="a" * 40)
        desk.dispatches.record(dispatch, self.clock.now)
        self.acknowledged: set[tuple[str, Status, str]] = set()
        self.attempted: dict[str, set[str]] = {job: set() for job in JOBS}  # completions that may have been accepted
        self.delivered: Counter[tuple[str, Status]] = Counter()
        self.token_names = itertools.count()

    # What happens

    @rule(
        job=st.sampled_from(JOBS),
        status=st.sampled_from(["in_progress", "completed"]),
        variant=st.sampled_from(["1", "1", "2"]),
        holder=st.sampled_from(["new", "job", "all"]),
        event=st.sampled_from(["dispatched", "dispatched", "dispatched", "nightly"]),
        mood=MOODS,
        fault=FAULTS,
    )
    def post(
        self,
        job: str,
        status: Status,
        variant: str,
        holder: str,
        event: str,
        mood: Mood | None,
        fault: tuple[int, When, How] | None,
    ) -> None:
        """A callback, for the first time or again, with a token of its own, the job's one, or one that all share.

        The dispatched job may also call itself a nightly, with a token that may report nightlies.
        """
        token = f"{self.delivery_id}-{next(self.token_names) if holder == 'new' else job if holder == 'job' else 'all'}"
        self.clock.now += 1
        self.hud.mood = mood or self.hud.mood
        self.fate.arm(fault)
        if status == "completed" and event != "nightly":
            self.attempted[job].add(variant)
        try:
            if event == "nightly":
                scheduled = {"event_name": SCHEDULED.event_name, "grant": SCHEDULED.grant}
                self.desk.post({**self.body(job, status, variant), "event_type": "nightly"}, token, **scheduled)
                raise AssertionError("a dispatched job became a nightly")
            taken = self.desk.post(self.body(job, status, variant), token)
        except Crash:
            self.counts["crashed posts"] += 1
            return
        except RefusedError as error:
            self.counts[error.code] += 1
            allowed = {
                "event_mismatch": event == "nightly",
                "replayed_token": holder == "all",
                "conflicting_completion": status == "completed" and self.attempted[job] != {variant},
                "invalid_callback": self.hud.mood == "wrong",
                "store_unavailable": self.fate.struck == "timeout",
            }
            assert allowed.get(error.code), error.message  # noqa: PT017 - which refusals are right depends
            return
        finally:
            self.fate.arm(None)
        outcome = taken.body["outcome"]
        self.counts[outcome] += 1
        assert taken.status_code == (202 if outcome == "queued" else 200)
        same = variant if status == "completed" else ""
        self.acknowledged.add((job, status, same))
        entries = self.waiting()
        if outcome == "delivered":
            self.delivered[job, status] += 1
            assert self.delivered[job, status] == 1, "two callers were told that theirs was the one"
            assert self.variant(job, status) == variant
        elif outcome == "duplicate":
            held = self.holds(job, status, same) or (self.key(job), status, same) in entries
            assert held, "a duplicate of something that nobody has"
        else:
            assert (self.key(job), status, same) in entries

    @rule(passed=st.sampled_from([0, 30, 60, 3600]), mood=MOODS, fault=FAULTS)
    def work(self, passed: int, mood: Mood | None, fault: tuple[int, When, How] | None) -> None:
        """The worker does a round."""
        self.clock.now += passed
        self.hud.mood = mood or self.hud.mood
        self.suffer(self.desk.drain, fault)

    @rule(fault=FAULTS)
    def sweep(self, fault: tuple[int, When, How] | None) -> None:
        """The sweeper finds all that runs silent."""
        self.clock.now += TIMEOUT_SECONDS + 1
        self.suffer(lambda: self.sweeper.sweep(self.clock.now), fault)

    # What must hold

    @invariant()
    def nothing_acknowledged_is_lost(self) -> None:
        """It is with HUD as it was said, or waits, or HUD itself refused it and it is a dead letter.

        So no failure that was accepted, or answered with 200, is ever shown as a success.
        """
        if not self.acknowledged:
            return
        waiting, dead = self.waiting(), self.waiting(DEAD)
        for job, status, variant in self.acknowledged:
            if not self.holds(job, status, variant) and (self.key(job), status, variant) not in waiting:
                letter = dead.get((self.key(job), status, variant))
                assert letter, f"{status} {variant} of {job} is lost"
                assert letter.history[-1].endswith("HTTP 400: a bug of HUD's")

    def teardown(self) -> None:
        self.fate.arm(None)
        self.hud.mood = "well"
        try:
            self.settle()
        finally:
            self.patch.undo()
            for table in self.tables:
                self.client.delete_table(TableName=table)

    def settle(self) -> None:
        """HUD is well and everybody does their work: then HUD has all, once, whatever came in which order."""
        for _ in range(2):  # what runs is swept, which makes entries
            self.clock.now += 2 * 3600
            self.sweeper.sweep(self.clock.now)
            self.clock.now += 2 * 3600
            self.desk.drain()
        assert not self.waiting()
        dead = self.waiting(DEAD)
        for job, status, variant in self.acknowledged:
            assert self.holds(job, status, variant) or (self.key(job), status, variant) in dead
        effects = Counter(
            (key, payload["trusted"]["origin"], payload["untrusted"]["callback_payload"]["workflow"]["status"])
            for key, payload in self.hud.took
            if (key, "in_progress", "job") not in self.hud.refused  # another start fills in what it lacked
        )
        assert set(effects.values()) <= {1}
        for job in JOBS:
            self.judge(job)

    def judge(self, job: str) -> None:
        key, item = self.key(job), self.item(job)
        took = [payload for taken, payload in self.hud.took if taken == key]
        notes = item.get("conflicts", {"SS": []})["SS"]
        self.counts["records with another result noted"] += bool(notes)
        assert item.get("revision", {"N": "0"})["N"] == str(len(took) + len(notes))
        if not took:
            return
        if not {(key, "in_progress", "job"), (key, "completed", "sweeper")} & self.hud.refused:
            # The relay knows that it runs, and the sweeper's word was not refused: that would be a dead letter.
            assert item["status"]["S"] == "completed", "it runs forever"
        copy = f"copy-{self.delivery_id}"
        for payload in reversed(took):
            callback = payload["untrusted"]["callback_payload"] | {"delivery_id": copy}
            self.hud.apply(payload | {"untrusted": {"callback_payload": callback}})
        self.counts["records of several writes"] += len(took) > 1
        theirs = self.item(job, copy)
        assert {k: v for k, v in item.items() if k not in ASIDE} == {k: v for k, v in theirs.items() if k not in ASIDE}

    # How to look

    def suffer(self, work: Callable[[], object], fault: tuple[int, When, How] | None) -> None:
        self.fate.arm(fault)
        try:
            work()
        except (Crash, ReadTimeoutError, RefusedError):
            self.counts["crashed rounds"] += 1
            assert self.fate.struck
        finally:
            self.fate.arm(None)

    def body(self, job: str, status: Status, variant: str) -> dict[str, Any]:
        told = {"delivery_id": self.delivery_id, "workflow.job_name": job}
        if status == "in_progress":
            return changed(IN_PROGRESS, told | {"workflow.started_at": f"2026-05-04T03:02:0{variant}Z"})
        conclusion = {"1": "success", "2": "failure"}[variant]
        return changed(COMPLETED_CALLBACK, told | {"workflow.conclusion": conclusion})

    def key(self, job: str, delivery_id: str = "") -> str:
        return f"{REPO}/{delivery_id or self.delivery_id}/npu-ci/{job}/987"

    def item(self, job: str, delivery_id: str = "") -> dict[str, Any]:
        key = {"dynamoKey": {"S": self.key(job, delivery_id)}}
        return dict(self.client.get_item(TableName=self.results, Key=key, ConsistentRead=True).get("Item", {}))

    def holds(self, job: str, status: Status, variant: str = "") -> bool:
        """Say whether HUD holds such a step; of a completion, this very one."""
        stored = self.variant(job, status)
        return stored == variant if variant else stored != ""

    def variant(self, job: str, status: Status) -> str:
        """Return which body HUD holds; none is ""."""
        item = self.item(job)
        if status == "in_progress":
            return str(item["started_at"]["S"].partition(".")[0][-1]) if "started_at" in item else ""
        ended = item.get("status", {}).get("S") == "completed" and item["origin"]["S"] == "job"
        return VARIANTS[item["conclusion"]["S"]] if ended else ""

    def waiting(self, queue: str = QUEUE) -> dict[tuple[str, str, str], Entry]:
        """Return the entries by key, status and, for completions, which body they hold; notes of conflicts aside."""
        entries = [entry for entry in self.outbox.entries(queue) if entry.status != CONFLICT]
        return {(entry.key, entry.status, _variant_of(entry)): entry for entry in entries}


def _variant_of(entry: Entry) -> str:
    workflow = entry.payload()["untrusted"]["callback_payload"]["workflow"]
    return VARIANTS.get(workflow["conclusion"], "swept") if entry.status == "completed" else ""


def test_no_accepted_result_is_lost_or_doubled(dynamodb: DynamoDBClient, aws: dict[str, Any]) -> None:
    fate = Fate()
    fragile = boto3.client("dynamodb", **aws, config=Config(retries={"total_max_attempts": 1}))
    fragile.meta.events.register("before-call.dynamodb", lambda **_: fate.meet("before"))
    fragile.meta.events.register("after-call.dynamodb", lambda **_: fate.meet("after"))
    RelayMachine.counts.clear()
    run_state_machine_as_test(
        lambda: RelayMachine(dynamodb, fragile, fate),  # type: ignore[arg-type]  # a factory will do
        # Shrinking takes minutes before a real DynamoDB: for that, leave `phases` out by hand.
        settings=settings(max_examples=40, stateful_step_count=20, phases=[Phase.generate]),
    )
    # The test has teeth only if all of this happened.
    seen = RelayMachine.counts
    outcomes = {"delivered", "duplicate", "queued", "invalid_callback", "replayed_token", "store_unavailable"}
    outcomes |= {"conflicting_completion", "event_mismatch", "records with another result noted"}
    assert {*outcomes, "crashed posts", "crashed rounds", "records of several writes"} <= set(seen), seen
