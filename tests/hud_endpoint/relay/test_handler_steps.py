"""What the relay makes of callbacks in any order, and of HUD's answers: on a real table, with a clock of the test's."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from hud_endpoint.contract import Dispatch
from hud_endpoint.errors import RefusedError
from hud_endpoint.relay.forward import CONFLICTS, Answer, Conflicting, Delivered, Refused, Unavailable
from hud_endpoint.relay.lifecycle import Job
from hud_endpoint.relay.outbox import DEAD, QUEUE
from tests.hud_endpoint.relay.desk import REPO, Clock, Desk
from tests.hud_endpoint.relay.test_outbox import large
from tests.hud_endpoint.samples import COMPLETED_CALLBACK, IN_PROGRESS, changed

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient

    from hud_endpoint.relay.outbox import Entry

TAKEN, FINAL = Delivered(duplicate=False), Delivered(duplicate=True)
AWAY = Unavailable("HTTP 503", ours=False)
BASES = {"in_progress": IN_PROGRESS, "completed": COMPLETED_CALLBACK}


class Counter:
    """One dispatched job at the relay's counter."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self.delivery_id, self.clock = str(uuid.uuid4()), Clock()
        self.answer: Answer = TAKEN
        self.sent: list[dict[str, Any]] = []
        self.desk = Desk(client, table, self.hud, clock=self.clock)
        dispatch = Dispatch(repo=REPO, delivery_id=self.delivery_id, pr_number=7, sha="a" * 40)
        self.desk.dispatches.record(dispatch, self.clock.now)

    def hud(self, payload: dict[str, Any]) -> Answer:
        self.sent.append(payload)
        return self.answer

    def post(self, status: str, token: str = "", **changes: Any) -> tuple[int, str]:
        """Post with a token of this name, else a new one; gives the status and the outcome, or the code."""
        told = {"delivery_id": self.delivery_id, **{f"workflow.{name}": value for name, value in changes.items()}}
        proven = {"run_attempt": changes["run_attempt"]} if "run_attempt" in changes else {}
        name = f"{self.delivery_id}-{token or uuid.uuid4()}"
        try:
            taken = self.desk.post(changed(BASES[status], told), name, **proven)
        except RefusedError as error:
            return error.status, error.code
        return taken.status_code, taken.body["outcome"]

    def metrics(self) -> dict[str, Any]:
        return dict(self.sent[-1]["trusted"]["ci_metrics"])

    def entries(self, queue: str) -> list[Entry]:
        return [entry for entry in self.desk.outbox.entries(queue) if entry.delivery_id == self.delivery_id]


@pytest.fixture
def counter(dynamodb: DynamoDBClient, relay_table: str) -> Counter:
    return Counter(dynamodb, relay_table)


DELIVERED, DUPLICATE, QUEUED = (200, "delivered"), (200, "duplicate"), (202, "queued")
CONFLICT = (409, "conflicting_completion")
REPLAYED = (401, "replayed_token")


class TestSteps:
    @pytest.mark.parametrize(
        ("posts", "answers"),
        [
            (["in_progress", "completed"], [DELIVERED, DELIVERED]),
            (["completed"], [DELIVERED]),
            (["completed", "in_progress"], [DELIVERED, DELIVERED]),
            (["in_progress", "in_progress", "completed", "completed"], [DELIVERED, DUPLICATE, DELIVERED, DUPLICATE]),
            (["completed", "in_progress", "completed", "in_progress"], [DELIVERED, DELIVERED, DUPLICATE, DUPLICATE]),
        ],
    )
    def test_each_is_taken_once_in_any_order(
        self, counter: Counter, posts: list[str], answers: list[tuple[int, str]]
    ) -> None:
        assert [counter.post(status) for status in posts] == answers
        assert len(counter.sent) == answers.count(DELIVERED)
        assert counter.entries(QUEUE) == []

    def test_another_end_is_refused_because_the_first_is_final_and_hud_is_told_once(self, counter: Counter) -> None:
        assert counter.post("completed", conclusion="success") == DELIVERED
        assert [counter.post("completed", conclusion="failure") for _ in range(3)] == [CONFLICT] * 3
        assert counter.post("completed", conclusion="success") == DUPLICATE
        assert len(counter.sent) == 1
        [note] = counter.entries(QUEUE)
        counter.desk.drain()
        assert counter.entries(QUEUE) == []
        assert counter.sent[1] == note.payload()
        assert set(note.payload()) == {"trusted", "conflict"}  # nothing that any HUD could take for a result
        assert note.payload()["conflict"]["conclusion"] == "failure"

    def test_another_start_is_a_duplicate(self, counter: Counter) -> None:
        assert counter.post("in_progress", url="https://example.org/1") == DELIVERED
        assert counter.post("in_progress", url="https://example.org/2") == DUPLICATE

    def test_which_end_was_first_is_known_while_hud_is_away(self, counter: Counter) -> None:
        counter.answer = AWAY
        assert counter.post("completed", conclusion="failure") == QUEUED
        assert counter.post("completed", conclusion="success") == CONFLICT
        assert counter.post("completed", conclusion="failure") == DUPLICATE
        counter.answer = TAKEN
        counter.clock.now += 3600
        counter.desk.drain()
        ends = [payload["untrusted"]["callback_payload"] for payload in counter.sent if "untrusted" in payload]
        assert {end["workflow"]["conclusion"] for end in ends} == {"failure"}

    def test_a_rerun_is_a_job_of_its_own(self, counter: Counter) -> None:
        for attempt in (1, 2):
            who: dict[str, Any] = {"run_attempt": attempt, "check_run_id": f"240-{attempt}"}
            assert [counter.post(status, **who) for status in BASES] == [DELIVERED, DELIVERED]
        assert counter.post("completed", run_attempt=2, check_run_id="240-2") == DUPLICATE

    def test_so_is_another_leg_of_a_matrix(self, counter: Counter) -> None:
        assert [counter.post("completed", job_name=leg) for leg in ("float16", "float32")] == [DELIVERED, DELIVERED]


class TestTokens:
    def test_one_may_carry_both_callbacks_of_a_job(self, counter: Counter) -> None:
        assert [counter.post(status, "t") for status in BASES] == [DELIVERED, DELIVERED]
        assert [counter.post(status, "t") for status in BASES] == [DUPLICATE, DUPLICATE]

    def test_another_end_with_it_is_a_conflict_like_with_any(self, counter: Counter) -> None:
        assert counter.post("completed", "t", conclusion="success") == DELIVERED
        assert counter.post("completed", "t", conclusion="failure") == CONFLICT

    @pytest.mark.parametrize("conclusion", ["success", "failure"])
    def test_it_is_bound_by_what_changes_nothing_too(self, counter: Counter, conclusion: str) -> None:
        assert counter.post("completed", conclusion="success") == DELIVERED
        assert counter.post("completed", "t", conclusion=conclusion) in (DUPLICATE, CONFLICT)
        assert counter.post("completed", "t", job_name="another") == REPLAYED

    @pytest.mark.parametrize(
        ("status", "changes"),
        [
            ("completed", {"job_name": "another"}),
            ("in_progress", {"job_name": "another"}),
        ],
    )
    def test_it_carries_no_other_job(self, counter: Counter, status: str, changes: dict[str, Any]) -> None:
        assert counter.post("completed", "t") == DELIVERED
        assert counter.post(status, "t", **changes) == REPLAYED
        assert len(counter.sent) == 1
        assert counter.post("completed", "t") == DUPLICATE

    def test_a_refused_replay_binds_nothing(self, counter: Counter) -> None:
        assert counter.post("completed", "t") == DELIVERED
        assert counter.post("in_progress", "t", job_name="another") == REPLAYED
        assert counter.post("in_progress", job_name="another") == DELIVERED


class TestMeasures:
    def test_the_queue_and_the_execution(self, counter: Counter) -> None:
        counter.clock.now += 12.5
        counter.post("in_progress")
        assert counter.metrics() == {"queue_time": 12.5, "execution_time": None}
        counter.clock.now += 600.25
        counter.post("completed")
        assert counter.metrics() == {"queue_time": None, "execution_time": 600.25}

    def test_an_end_without_a_start_has_no_execution_time(self, counter: Counter) -> None:
        counter.clock.now += 60
        counter.post("completed")
        assert counter.metrics() == {"queue_time": None, "execution_time": None}

    def test_a_late_start_says_nothing_of_the_queue(self, counter: Counter) -> None:
        counter.post("completed")
        counter.clock.now += 60
        assert counter.post("in_progress") == DELIVERED
        assert counter.metrics() == {"queue_time": None, "execution_time": None}

    def test_a_rerun_did_not_wait_in_the_queue(self, counter: Counter) -> None:
        counter.clock.now += 60
        counter.post("in_progress", run_attempt=2, check_run_id="240-2")
        assert counter.metrics() == {"queue_time": None, "execution_time": None}


class TestHudsAnswers:
    def test_a_duplicate_of_huds_is_one_of_ours(self, counter: Counter) -> None:
        counter.answer = FINAL
        assert counter.post("completed") == DUPLICATE
        assert counter.entries(QUEUE) == []

    @pytest.mark.parametrize("code", CONFLICTS)
    @pytest.mark.parametrize("status", BASES)
    def test_another_job_or_end_that_hud_holds_is_told_each_time(
        self, counter: Counter, status: str, code: str
    ) -> None:
        counter.answer = Conflicting(code, "no")
        assert [counter.post(status) for _ in range(2)] == [(409, code)] * 2
        assert counter.entries(QUEUE) == counter.entries(DEAD) == []
        assert len(counter.sent) == 2  # HUD judges each

    def test_a_job_that_hud_holds_under_another_name_is_not_lost_to_who_came_first(self, counter: Counter) -> None:
        """HUD remembers longer than the relay, which then takes whoever comes for the first."""
        counter.answer = Conflicting("conflicting_identity", "no")
        assert counter.post("completed", check_run_id=None) == (409, "conflicting_identity")
        counter.answer = TAKEN
        key = f"{REPO}/{counter.delivery_id}/npu-ci/test-float32/240-1"
        assert counter.desk.jobs.read_job(key).job == Job()

    @pytest.mark.parametrize("answer", [Refused(400, "HTTP 400: no"), Conflicting("conflicting_completion", "no")])
    def test_what_hud_was_only_asked_about_takes_no_step_back(self, counter: Counter, answer: Answer) -> None:
        """Of an end that an earlier relay accepted, HUD says which it was; what it refuses is not that one."""
        assert counter.post("completed", conclusion="success") == DELIVERED
        key = f"{REPO}/{counter.delivery_id}/npu-ci/test-float32/987"
        known = counter.desk.jobs.read_job(key)
        earlier = replace(known.job, identity=None, completion="")
        assert counter.desk.jobs.write(known, earlier, now=counter.clock.now, deadline=0)
        counter.answer = answer
        for seconds in (60, -120):  # the clock of another relay may be behind
            counter.clock.now += seconds
            assert counter.post("completed", conclusion="failure")[0] in (400, 409)
            assert counter.desk.jobs.read_job(key).job == earlier
        counter.answer = FINAL
        assert counter.post("completed", conclusion="success") == DUPLICATE

    def test_one_that_was_queued_becomes_a_dead_letter(self, counter: Counter) -> None:
        counter.answer = AWAY
        assert counter.post("completed", conclusion="failure") == QUEUED
        counter.clock.now += 3600
        counter.answer = Conflicting("conflicting_completion", "it has ended")
        counter.desk.drain()
        [dead] = counter.entries(DEAD)
        assert dead.history[-1].endswith("it has ended")
        assert counter.post("completed", conclusion="failure") == CONFLICT

    @pytest.mark.parametrize("answer", [AWAY, Unavailable("HTTP 401", ours=True)])
    def test_what_hud_cannot_take_now_is_queued_and_durable(self, counter: Counter, answer: Answer) -> None:
        counter.answer = answer
        assert counter.post("completed") == QUEUED
        [entry] = counter.entries(QUEUE)
        assert (entry.payload(), entry.attempts) == (counter.sent[0], 1)
        assert counter.post("completed") == DUPLICATE
        assert len(counter.sent) == 1

    @pytest.mark.parametrize(
        ("status", "code"),
        [(400, (400, "invalid_callback")), (422, (400, "invalid_callback")), (413, (413, "body_too_large"))],
    )
    def test_what_hud_refuses_is_told_and_quarantined(
        self, counter: Counter, status: int, code: tuple[int, str]
    ) -> None:
        counter.answer = Refused(status, f"HTTP {status}: no")
        assert counter.post("completed") == code
        assert counter.entries(QUEUE) == []
        [dead] = counter.entries(DEAD)
        assert dead.history[0].endswith(f"HTTP {status}: no")

    def test_then_another_body_may_take_its_step(self, counter: Counter) -> None:
        counter.answer = Refused(400, "HTTP 400: no")
        assert counter.post("completed", conclusion="success") == (400, "invalid_callback")
        counter.answer = TAKEN
        assert counter.post("completed", conclusion="failure") == DELIVERED
        assert counter.post("completed", conclusion="success") == CONFLICT

    def test_and_the_very_same_is_refused_again_not_called_a_duplicate(self, counter: Counter) -> None:
        counter.answer = Refused(400, "HTTP 400: no")
        assert [counter.post("completed", "t") for _ in range(2)] == [(400, "invalid_callback")] * 2
        counter.answer = TAKEN  # HUD has been mended
        assert [counter.post("completed", "t") for _ in range(2)] == [DELIVERED, DUPLICATE]

    def test_a_refusal_that_comes_later_frees_the_step_as_well(self, counter: Counter) -> None:
        counter.answer = AWAY
        assert counter.post("completed", conclusion="success") == QUEUED
        counter.clock.now += 3600
        counter.answer = Refused(400, "HTTP 400: no")
        counter.desk.drain()
        assert len(counter.entries(DEAD)) == 1
        counter.answer = TAKEN
        assert counter.post("completed", conclusion="failure") == DELIVERED

    def test_a_job_whose_end_was_refused_runs_on_until_the_sweeper_ends_it(self, counter: Counter) -> None:
        counter.post("in_progress")
        counter.answer = Refused(400, "HTTP 400: no")
        counter.post("completed")
        counter.clock.now += 6 * 3600
        key = f"{REPO}/{counter.delivery_id}/npu-ci/test-float32/987"
        assert key in [record.key for record in counter.desk.jobs.due_jobs(counter.clock.now)]

    def test_a_body_too_large_to_wait_leaves_no_trace(self, counter: Counter) -> None:
        failed = large()["untrusted"]["callback_payload"]["failed_tests"]
        assert counter.post("completed", "t", failed_tests=failed) == (413, "body_too_large")
        assert counter.sent == []
        assert counter.post("completed", "t") == DELIVERED


def test_a_clock_of_another_relay_that_is_behind_does_no_harm(counter: Counter) -> None:
    counter.post("in_progress")
    counter.clock.now -= 5
    assert counter.post("completed") == DELIVERED
    assert counter.metrics()["execution_time"] is None
