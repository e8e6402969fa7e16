"""The steps of a job's life as the relay sees them: pure, so that every interleaving can be tried.

DISPATCHED -> IN_PROGRESS -> COMPLETED, or TIMED_OUT by the sweeper, after which a real completion still counts. A step
happens once: the same callback again is a duplicate, and a late in_progress changes nothing that is final.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hud_endpoint.wire_types import Status


class Phase(StrEnum):
    """Where a job stands; DISPATCHED has no job yet, only the dispatch's record."""

    DISPATCHED = "dispatched"
    IN_PROGRESS = "in_progress"
    TIMED_OUT = "timed_out"
    COMPLETED = "completed"


class Step(Enum):
    """What a callback means for its job."""

    FORWARD = "forward"
    DUPLICATE = "duplicate"


@dataclass(frozen=True)
class Job:
    """One execution of a job. Times are seconds since the epoch, when the relay accepted the callback."""

    in_progress_at: float | None = None
    completed_at: float | None = None
    timed_out_at: float | None = None

    @property
    def phase(self) -> Phase:
        if self.completed_at is not None:
            return Phase.COMPLETED
        if self.timed_out_at is not None:
            return Phase.TIMED_OUT
        return Phase.DISPATCHED if self.in_progress_at is None else Phase.IN_PROGRESS

    @property
    def execution_time(self) -> float | None:
        """Seconds from start to end; None where either is unknown or they came in the wrong order."""
        if self.in_progress_at is None or self.completed_at is None or self.completed_at < self.in_progress_at:
            return None
        return round(self.completed_at - self.in_progress_at, 3)


def advance(job: Job, status: Status, now: float) -> tuple[Job, Step]:
    """Take one callback's step."""
    if status == "in_progress":
        return (job, Step.DUPLICATE) if job.in_progress_at is not None else _step(replace(job, in_progress_at=now))
    return (job, Step.DUPLICATE) if job.completed_at is not None else _step(replace(job, completed_at=now))


def reject(job: Job, status: Status, accepted_at: float) -> Job:
    """Undo a step, because HUD refused its body for good: another body may take it, and the sweeper sees it as undone.

    `accepted_at` is when that body took the step; where another has taken it since, nothing changes.
    """
    taken_at = job.in_progress_at if status == "in_progress" else job.completed_at
    if taken_at is None or taken_at > accepted_at:
        return job
    return replace(job, in_progress_at=None) if status == "in_progress" else replace(job, completed_at=None)


def time_out(job: Job, now: float) -> tuple[Job, Step]:
    """Take the sweeper's step: only a job that runs can time out."""
    if job.phase is not Phase.IN_PROGRESS:
        return job, Step.DUPLICATE
    return _step(replace(job, timed_out_at=now))


def _step(job: Job) -> tuple[Job, Step]:
    return job, Step.FORWARD
