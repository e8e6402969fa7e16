"""`/oot/test`: where and when one test fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import datetime

    from hud_endpoint.views.models.counts import DayCount, Freshness
    from hud_endpoint.views.models.filters import Filters

# How a failing test is known: it began within the window, comes and goes, fails on several backends, or has failed on.
Standing = Literal["new", "flaky", "everywhere", "known", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FailingBackend:
    """How a test does on one backend."""

    repo: str
    level: str
    failures: int  # jobs in which it failed in the window
    judged_jobs: int  # judged jobs of the backend in the window
    flakes: int
    first_seen: datetime
    last_seen: datetime
    is_new: bool
    history: tuple[DayCount, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """One failure of a test in one job; newest first."""

    repo: str
    classname: str
    file: str
    status: str
    message: str
    stacktrace: str
    duration: float | None
    seen: datetime
    workflow: str
    job: str
    attempt: int
    upstream_repo: str
    pr_number: int
    sha: str
    is_sha: bool
    event_type: str
    run_url: str
    artifact_url: str
    recovered: bool  # a later attempt of the job succeeded


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedTestPage:
    """`/oot/test?name=…[&classname=…][&file=…]`."""

    name: str
    classname: str  # "" any
    file: str  # "" any
    filters: Filters
    freshness: Freshness
    kind: Standing
    reason: str  # the sentence behind `kind`
    reporting_backends: int  # backends that reported in the window at all
    backends: tuple[FailingBackend, ...]  # most failures first
    occurrences: tuple[Occurrence, ...]  # at most 50
    occurrences_total: int
    variants: tuple[tuple[str, str], ...]  # (classname, file) that fail under this name in the window
