"""The steps of a job's life as the relay sees them: pure, so that every interleaving can be tried.

DISPATCHED -> IN_PROGRESS -> COMPLETED, or TIMED_OUT by the sweeper, after which a real completion still counts. A step
happens once. The first accepted step says which job this is, and the first accepted completion says how it ended: what
differs later is refused, and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hud_endpoint.record import Value
    from hud_endpoint.wire_types import Status

MAX_CONFLICTS = 10  # other results of one job that are remembered; more of them are refused all the same


class Phase(StrEnum):
    """Where a job stands; DISPATCHED has no job yet, only the dispatch's record."""

    DISPATCHED = "dispatched"
    IN_PROGRESS = "in_progress"
    TIMED_OUT = "timed_out"
    COMPLETED = "completed"


class Step(Enum):
    """What a callback means for its job."""

    FORWARD = "the step is new"
    DUPLICATE = "the step was taken, and says the same"
    CONFLICT = "another completion was accepted before"
    OTHER_JOB = "the key belongs to another job"
    ASK_HUD = "only HUD knows which completion was accepted"


@dataclass(frozen=True)
class Job:
    """One execution of a job. Times are seconds since the epoch, when the relay accepted the callback.

    `identity` is None, and `completion` (see `record.completion_digest`) is "", for what was accepted by a relay that
    did not keep them, and `completion` where HUD refused what the relay had accepted. `conflicts` are the digests of
    other completions.
    """

    in_progress_at: float | None = None
    completed_at: float | None = None
    timed_out_at: float | None = None
    identity: Mapping[str, Value] | None = None
    completion: str = ""
    conflicts: tuple[str, ...] = ()

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


@dataclass(frozen=True)
class Claim:
    """What a callback says of its job; `completion` is "" while it runs."""

    status: Status
    identity: Mapping[str, Value]
    completion: str = ""


def advance(job: Job, claim: Claim, now: float) -> tuple[Job, Step]:
    """Take one callback's step."""
    if job.identity is not None and job.identity != claim.identity:
        return job, Step.OTHER_JOB
    if claim.status == "completed":
        return _complete(job, claim, now)
    if job.in_progress_at is not None:
        return job, Step.DUPLICATE
    return replace(job, in_progress_at=now, identity=claim.identity), Step.FORWARD


def _complete(job: Job, claim: Claim, now: float) -> tuple[Job, Step]:
    if job.completed_at is None:
        return replace(job, completed_at=now, identity=claim.identity, completion=claim.completion), Step.FORWARD
    if not job.completion:  # HUD's answer tells; until it comes, no third one is accepted beside this
        return replace(job, completion=claim.completion), Step.ASK_HUD
    if job.completion == claim.completion:
        return job, Step.DUPLICATE
    return _remember_conflict(job, claim.completion), Step.CONFLICT


def _remember_conflict(job: Job, completion: str) -> Job:
    """Add another completion to those that were refused; unchanged where it is known, or too many are."""
    if completion in job.conflicts or len(job.conflicts) >= MAX_CONFLICTS:
        return job
    return replace(job, conflicts=(*job.conflicts, completion))


def release_step(job: Job, status: Status, accepted_at: float) -> Job:
    """Undo a step, because HUD refused its body for good: another body may take it, and the sweeper sees it as undone.

    `accepted_at` is when that body was accepted; where it took no step, or another has taken it since, nothing changes.
    A job without any step is no job yet: the next one says anew what it is.
    """
    taken_at = job.in_progress_at if status == "in_progress" else job.completed_at
    if taken_at != accepted_at:
        return job
    released = (
        replace(job, in_progress_at=None) if status == "in_progress" else replace(job, completed_at=None, completion="")
    )
    return replace(released, identity=None) if released.phase is Phase.DISPATCHED else released


def forget_identity(job: Job) -> Job:
    """Forget which job this is, because HUD holds another one under its key: HUD judges the next step."""
    return replace(job, identity=None)


def leave_to_hud(job: Job, completion: str) -> Job:
    """Forget a completion that HUD refused, because HUD holds another one, which is final there: HUD judges each."""
    return replace(job, completion="") if job.completion == completion else job


def time_out(job: Job, now: float) -> tuple[Job, Step]:
    """Take the sweeper's step: only a job that runs can time out."""
    if job.phase is not Phase.IN_PROGRESS:
        return job, Step.DUPLICATE
    return replace(job, timed_out_at=now), Step.FORWARD
