"""A job's steps: each happens once, in any order, and what HUD refused is as if it had never happened."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from hud_endpoint.relay.lifecycle import (
    MAX_CONFLICTS,
    Claim,
    Job,
    Phase,
    Step,
    advance,
    leave_to_hud,
    release_step,
    time_out,
)

if TYPE_CHECKING:
    from hud_endpoint.record import Value
    from hud_endpoint.wire_types import Status

IDENTITY: dict[str, Value] = {"event_type": "pull_request", "pr_number": 7}
START, END = Claim("in_progress", IDENTITY), Claim("completed", IDENTITY, "end")
OTHER_END = Claim("completed", IDENTITY, "another end")


def job_of(**values: Any) -> Job:
    """A job that this relay has kept whole."""
    return Job(identity=IDENTITY, completion="end" if "completed_at" in values else "", **values)


NEW = Job()
RUNNING = job_of(in_progress_at=10)
ENDED = job_of(in_progress_at=10, completed_at=40)
UNOPENED = job_of(completed_at=40)
SWEPT = job_of(in_progress_at=10, timed_out_at=30)
REVIVED = job_of(in_progress_at=10, timed_out_at=30, completed_at=40)


@pytest.mark.parametrize(
    ("job", "phase"),
    [
        (NEW, Phase.DISPATCHED),
        (RUNNING, Phase.IN_PROGRESS),
        (SWEPT, Phase.TIMED_OUT),
        (ENDED, Phase.COMPLETED),
        (UNOPENED, Phase.COMPLETED),
        (REVIVED, Phase.COMPLETED),  # a real completion counts over the sweeper's
    ],
)
def test_where_a_job_stands(job: Job, phase: Phase) -> None:
    assert job.phase is phase


@pytest.mark.parametrize(
    ("job", "claim", "after"),
    [
        (NEW, START, job_of(in_progress_at=50)),
        (NEW, END, job_of(completed_at=50)),
        (RUNNING, END, job_of(in_progress_at=10, completed_at=50)),
        (SWEPT, END, job_of(in_progress_at=10, timed_out_at=30, completed_at=50)),
        (UNOPENED, START, job_of(in_progress_at=50, completed_at=40)),  # late: it changes nothing that is final
        (job_of(timed_out_at=30), START, job_of(in_progress_at=50, timed_out_at=30)),
        # again: the first is final
        (RUNNING, START, None),
        (SWEPT, START, None),
        (ENDED, START, None),
        (ENDED, END, None),
        (UNOPENED, END, None),
        (REVIVED, END, None),
    ],
)
def test_what_a_callback_does(job: Job, claim: Claim, after: Job | None) -> None:
    expected = (job, Step.DUPLICATE) if after is None else (after, Step.FORWARD)
    assert advance(job, claim, 50) == expected


@pytest.mark.parametrize("job", [ENDED, UNOPENED, REVIVED])
def test_another_end_is_refused_and_remembered_once(job: Job) -> None:
    after, step = advance(job, OTHER_END, 50)
    assert (after, step) == (replace(job, conflicts=("another end",)), Step.CONFLICT)
    assert advance(after, OTHER_END, 60) == (after, Step.CONFLICT)
    assert advance(after, END, 60) == (after, Step.DUPLICATE)


def test_not_every_other_end_is_remembered_but_each_is_refused() -> None:
    job = ENDED
    for number in range(MAX_CONFLICTS + 5):
        job, step = advance(job, Claim("completed", IDENTITY, str(number)), 50)
        assert step is Step.CONFLICT
    assert len(job.conflicts) == MAX_CONFLICTS


@pytest.mark.parametrize("job", [RUNNING, ENDED, UNOPENED, SWEPT, REVIVED])
@pytest.mark.parametrize("claim", [START, END, OTHER_END])
@pytest.mark.parametrize("change", [{"event_type": "nightly"}, {"pr_number": 0}])
def test_a_step_of_another_job_changes_nothing(job: Job, claim: Claim, change: dict[str, Any]) -> None:
    assert advance(job, replace(claim, identity=IDENTITY | change), 50) == (job, Step.OTHER_JOB)


@pytest.mark.parametrize("claim", [END, OTHER_END])
def test_where_it_is_not_known_which_end_was_accepted_hud_says_so(claim: Claim) -> None:
    for job in (Job(in_progress_at=10, completed_at=40), leave_to_hud(ENDED, END.completion)):
        asked, step = advance(job, claim, 50)
        assert (asked, step) == (replace(job, completion=claim.completion), Step.ASK_HUD)
        assert advance(asked, claim, 60) == (asked, Step.DUPLICATE)
        other = replace(claim, completion="yet another end")
        assert advance(asked, other, 60)[1] is Step.CONFLICT  # not accepted beside the one that is being asked about


@pytest.mark.parametrize(
    ("job", "completion", "after"),
    [
        (ENDED, END.completion, replace(ENDED, completion="")),
        (ENDED, OTHER_END.completion, ENDED),
        (ENDED, "", ENDED),
        (RUNNING, END.completion, RUNNING),
    ],
)
def test_only_the_end_that_hud_refused_is_left_to_it(job: Job, completion: str, after: Job) -> None:
    """Whatever the clocks of the relays say: they may differ."""
    assert leave_to_hud(job, completion) == after


@pytest.mark.parametrize(
    ("job", "after"),
    [(RUNNING, SWEPT), (NEW, None), (ENDED, None), (UNOPENED, None), (SWEPT, None), (REVIVED, None)],
)
def test_only_what_runs_can_time_out(job: Job, after: Job | None) -> None:
    assert time_out(job, 30) == ((job, Step.DUPLICATE) if after is None else (after, Step.FORWARD))


@pytest.mark.parametrize(
    ("job", "status", "accepted_at", "after"),
    [
        (RUNNING, "in_progress", 10, NEW),
        (ENDED, "completed", 40, RUNNING),  # it runs again: the sweeper will end it if nobody else does
        (REVIVED, "completed", 40, SWEPT),
        (UNOPENED, "completed", 40, NEW),
        (ENDED, "in_progress", 10, UNOPENED),
        (ENDED, "completed", 39, ENDED),  # another body has taken the step since
        (ENDED, "completed", 41, ENDED),  # HUD was asked about it, and it took no step
        (ENDED, "in_progress", 9, ENDED),
        (RUNNING, "completed", 40, RUNNING),  # undone already
        (NEW, "in_progress", 10, NEW),
    ],
)
def test_what_hud_refused_is_undone(job: Job, status: Status, accepted_at: float, after: Job) -> None:
    assert release_step(job, status, accepted_at) == after


@pytest.mark.parametrize(
    ("job", "seconds"),
    [
        (ENDED, 30),
        (Job(in_progress_at=10, completed_at=10), 0),
        (Job(in_progress_at=0.1, completed_at=0.3), 0.2),  # in milliseconds: no noise of fractions
        (REVIVED, 30),
        (NEW, None),
        (RUNNING, None),
        (SWEPT, None),
        (UNOPENED, None),
        (Job(in_progress_at=50, completed_at=40), None),  # a late in_progress says nothing of the start
    ],
)
def test_execution_time_is_none_where_it_is_meaningless(job: Job, seconds: float | None) -> None:
    assert job.execution_time == seconds


STEPS = ("in_progress", "completed", "timed_out")


@pytest.mark.parametrize("order", [*itertools.product(STEPS, repeat=4)], ids="-".join)
def test_in_any_order_each_step_is_taken_once_and_completed_is_the_end(order: tuple[str, ...]) -> None:
    job, forwarded = NEW, []
    for now, name in enumerate(order):
        job, step = (
            time_out(job, now) if name == "timed_out" else advance(job, START if name == "in_progress" else END, now)
        )
        if step is Step.FORWARD:
            forwarded.append(name)
    assert len(forwarded) == len(set(forwarded))
    assert {"in_progress", "completed"} & set(order) == {"in_progress", "completed"} & set(forwarded)
    assert ("completed" in order) is (job.phase is Phase.COMPLETED)
    if "timed_out" in forwarded and "completed" in forwarded:
        assert forwarded.index("timed_out") < forwarded.index("completed")
