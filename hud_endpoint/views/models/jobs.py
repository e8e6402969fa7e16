"""One job execution, and what its failure is likely about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import datetime

# A job that still runs has the conclusion "running" here; the others are GitHub's.
State = str
# What a failure is most likely about; `unknown` where the data tells nothing.
Triage = Literal["upstream", "backend", "infra", "flake", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a failure is likely about, and why that is said, in one sentence."""

    triage: Triage = "unknown"
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job execution: a check run, of one attempt."""

    key: str  # dynamoKey
    repo: str  # the backend that it counts for
    reported_as: str  # the name that the backend had then
    level: str
    workflow: str
    name: str  # "" where a whole workflow reports at once
    check_run_id: str
    run_id: str
    attempt: int
    state: State  # that was accepted
    refused: tuple[State, ...]  # what other results for the job said, which came later and were refused
    origin: str  # job, sweeper, deferred
    event_type: str
    upstream_repo: str
    pr_number: int
    sha: str
    is_sha: bool
    verified: bool  # PyTorch dispatched it; of a nightly: the upstream has its commit
    first_seen: datetime
    started_at: datetime | None
    completed_at: datetime | None
    duration: float | None
    queue_time: float | None
    total_tests: int
    passed_tests: int
    failed_tests: int
    skipped_tests: int
    error_tests: int
    flaky_tests: int
    details_truncated: int  # failed tests whose details were cut or left out
    run_url: str
    artifact_url: str
    failures: tuple[str, ...] = ()  # names of failed tests, at most 20
    verdict: Verdict = field(default_factory=Verdict)

    @property
    def accepted(self) -> State | None:
        """The accepted result; None while it is still on its way, though another one was refused already."""
        return None if self.state == "running" or self.origin == "sweeper" else self.state
