"""`/oot/{org}/{repo}`: one backend's health, failures, readiness and jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import datetime

    from hud_endpoint.views.models.counts import DayCount, Freshness, Spread
    from hud_endpoint.views.models.filters import Filters
    from hud_endpoint.views.models.jobs import Job, Verdict
    from hud_endpoint.views.models.matrix import Matrix, Paging
    from hud_endpoint.views.models.summary import BackendRow


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownName:
    """A name that a backend has reported under, with its first result and its last one."""

    name: str
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierRepository:
    """Another repo that had a backend's name before it, and reported under it until then."""

    backend: str  # what it is called now
    repository_id: str
    last_seen: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """One condition for a level."""

    name: Literal["timeout_rate", "end_to_end_p50", "pass_rate"]
    label: str  # "Timeout rate"
    unit: Literal["share", "seconds"]
    comparison: Literal["<", ">"]
    threshold: float
    value: float | None
    met: bool | None  # None: nothing to judge by
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """How a backend stands against the criteria of RFC-0050 for the next level."""

    criteria: tuple[Criterion, ...]
    ready: bool | None  # None while a criterion has nothing to judge by


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentEntry:
    """A line of what the newest job with an environment reported."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FailingTest:
    """A test that fails on a backend: its newest failure in the window, and what is known around it."""

    name: str
    classname: str
    file: str
    status: str  # failure or error
    message: str
    stacktrace: str
    duration: float | None
    failures: int  # jobs of the window in which it failed
    first_seen: datetime  # on this backend, in this window and the one before it
    last_seen: datetime
    is_new: bool  # not failed on this backend in the window before this one
    also_on: tuple[str, ...]  # other backends where it failed in the window
    history: tuple[DayCount, ...]  # oldest first, without holes
    job: str  # of the newest failure, as the fields below
    workflow: str
    upstream_repo: str
    pr_number: int
    sha: str
    run_url: str
    artifact_url: str
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowJob:
    """A job by its duration on the commits of the matrix's page."""

    workflow: str
    job: str
    duration: Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowTest:
    """A failed test by its longest duration; jobs report durations of failed tests only."""

    name: str
    classname: str
    file: str
    longest: float
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FlakyTest:
    """A test that failed in an attempt whose re-run, on the same commit, succeeded."""

    name: str
    classname: str
    file: str
    flakes: int  # jobs where that happened
    failures: int  # jobs where it failed, those among them
    last_seen: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendPage:
    """`/oot/{org}/{repo}`."""

    filters: Filters
    freshness: Freshness
    asked: str  # the name that was asked for
    repo: str  # the backend that it leads to
    names: tuple[KnownName, ...]  # the newest first; () for a backend that has had one name only
    earlier: tuple[EarlierRepository, ...]  # whose results under the name are not on this page
    health: BackendRow  # counts may be all zero
    environment: tuple[EnvironmentEntry, ...]
    readiness: Readiness
    running: tuple[Job, ...] | None  # None: unknown
    disputed: tuple[Job, ...]  # of those that run and of the matrix: jobs with another result, which was refused
    disputed_total: int  # those on other pages of the matrix among them
    matrix: Matrix
    paging: Paging
    failures: tuple[FailingTest, ...]  # newest first, at most 50
    failures_total: int
    slowest_jobs: tuple[SlowJob, ...]
    slowest_tests: tuple[SlowTest, ...]
    flakiest_tests: tuple[FlakyTest, ...]
    nightly: Matrix  # the newest nightly and periodic runs, where the event filter lets them through
