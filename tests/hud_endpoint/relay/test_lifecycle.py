"""A job's steps: each happens once, in any order, and what HUD refused is as if it had never happened."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from hud_endpoint.relay.lifecycle import Job, Phase, Step, advance, reject, time_out

if TYPE_CHECKING:
    from hud_endpoint.wire_types import Status

NEW = Job()
RUNNING = Job(in_progress_at=10)
ENDED = Job(in_progress_at=10, completed_at=40)
UNOPENED = Job(completed_at=40)
SWEPT = Job(in_progress_at=10, timed_out_at=30)
REVIVED = Job(in_progress_at=10, timed_out_at=30, completed_at=40)


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
    ("job", "status", "after"),
    [
        (NEW, "in_progress", Job(in_progress_at=50)),
        (NEW, "completed", Job(completed_at=50)),
        (RUNNING, "completed", Job(in_progress_at=10, completed_at=50)),
        (SWEPT, "completed", Job(in_progress_at=10, timed_out_at=30, completed_at=50)),
        (UNOPENED, "in_progress", Job(in_progress_at=50, completed_at=40)),  # late: it changes nothing that is final
        (Job(timed_out_at=30), "in_progress", Job(in_progress_at=50, timed_out_at=30)),
        # again, and with whatever body: the first is final
        (RUNNING, "in_progress", None),
        (SWEPT, "in_progress", None),
        (ENDED, "in_progress", None),
        (ENDED, "completed", None),
        (UNOPENED, "completed", None),
        (REVIVED, "completed", None),
    ],
)
def test_what_a_callback_does(job: Job, status: Status, after: Job | None) -> None:
    expected = (job, Step.DUPLICATE) if after is None else (after, Step.FORWARD)
    assert advance(job, status, 50) == expected


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
        (ENDED, "in_progress", 9, ENDED),
        (RUNNING, "completed", 40, RUNNING),  # undone already
        (NEW, "in_progress", 10, NEW),
    ],
)
def test_what_hud_refused_is_undone(job: Job, status: Status, accepted_at: float, after: Job) -> None:
    assert reject(job, status, accepted_at) == after


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
        job, step = time_out(job, now) if name == "timed_out" else advance(job, name, now)  # type: ignore[arg-type]
        if step is Step.FORWARD:
            forwarded.append(name)
    assert len(forwarded) == len(set(forwarded))
    assert {"in_progress", "completed"} & set(order) == {"in_progress", "completed"} & set(forwarded)
    assert ("completed" in order) is (job.phase is Phase.COMPLETED)
    if "timed_out" in forwarded and "completed" in forwarded:
        assert forwarded.index("timed_out") < forwarded.index("completed")
