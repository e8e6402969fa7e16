"""What each page shows, as frozen values, and the Reader that gives them: templates, twins and feeds see nothing else.

Times are aware and UTC, durations and queue times seconds, shares between 0 and 1. None means unknown, never zero.
Everything in them that a job reported is hostile text; URLs are http(s), "" where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol
from urllib.parse import urlencode

from hud_endpoint.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

# A job that still runs has the conclusion "running" here; the others are GitHub's.
State = str
# What a failure is most likely about; `unknown` where the data tells nothing.
Triage = Literal["upstream", "backend", "infra", "flake", "unknown"]
# How a failing test is known: it began within the window, comes and goes, fails on several backends, or has failed on.
Standing = Literal["new", "flaky", "everywhere", "known", "none"]

WINDOWS: Mapping[int, str] = {1: "24 hours", 7: "7 days", 30: "30 days"}
LEVELS = ("L4", "L3", "L2", "L1")
EVENTS: Mapping[str, str] = {
    "pull_request": "Pull requests",
    "push": "Pushes",
    "nightly": "Nightly",
    "periodic": "Periodic",
}
STALE_HOURS = 36
PAGE_ROWS = 50
MAX_PAGE = 1000
TEXT_CHARACTERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What a page is asked for; every field has a stable place in the URL."""

    days: int = 7
    level: str = ""
    event: str = ""
    text: str = ""

    @classmethod
    def parse(cls, *, days: str = "", level: str = "", event: str = "", text: str = "") -> Filters:
        """Read the values of a query string; an empty one is the default. Raises RefusedError `invalid_parameter`."""
        windows = {str(window): window for window in WINDOWS}
        if days and days not in windows:
            raise RefusedError("invalid_parameter", f"days is one of {', '.join(windows)}.")
        if level and level not in LEVELS:
            raise RefusedError("invalid_parameter", f"level is one of {', '.join(sorted(LEVELS))}, or left out.")
        if event and event not in EVENTS:
            raise RefusedError("invalid_parameter", f"event is one of {', '.join(EVENTS)}, or left out.")
        if len(text) > TEXT_CHARACTERS:
            raise RefusedError("invalid_parameter", f"text has at most {TEXT_CHARACTERS} characters.")
        return cls(days=windows.get(days, 7), level=level, event=event, text=text.strip())

    def query(self, **changes: object) -> str:
        """Give the query string of these filters with some changed, defaults left out: "" or "?days=30&level=L2".

        Names that are no filter (page, name, classname …) are added as they are, unless empty or None.
        """
        values: dict[str, Any] = {"days": self.days, "level": self.level, "event": self.event, "text": self.text}
        values |= changes
        told = {
            name: value for name, value in values.items() if value not in ("", None) and (name, value) != ("days", 7)
        }
        return f"?{urlencode(told)}" if told else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How old what a page shows is, and what is missing from it."""

    read_at: datetime  # when the data was read
    rolled_up_at: datetime | None = None  # the state of the finished jobs that the numbers count; None: live
    last_good: bool = False  # ClickHouse does not answer: this is what it said at read_at
    running_known: bool = True  # False: DynamoDB did not answer, so running jobs are left out


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How finished jobs ended. `judged` = success + failure + timed_out is the pass rate's denominator."""

    success: int = 0
    failure: int = 0
    timed_out: int = 0
    cancelled: int = 0
    other: int = 0  # skipped, neutral, action_required, stale
    total: int = 0
    judged: int = 0
    pass_rate: float | None = None  # None when nothing was judged

    @classmethod
    def of(
        cls, *, success: int = 0, failure: int = 0, timed_out: int = 0, cancelled: int = 0, other: int = 0
    ) -> Counts:
        """Complete the sums."""
        judged = success + failure + timed_out
        return cls(
            success=success,
            failure=failure,
            timed_out=timed_out,
            cancelled=cancelled,
            other=other,
            total=judged + cancelled + other,
            judged=judged,
            pass_rate=success / judged if judged else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A distribution in seconds over `samples` jobs; jobs whose times are estimated are not among them."""

    average: float | None = None
    p50: float | None = None
    p95: float | None = None
    samples: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendPoint:
    """The jobs that came in from `start` until the next point's start."""

    start: datetime
    counts: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendRow:
    """One backend in the window."""

    repo: str
    level: str  # "" unknown
    counts: Counts
    duration: Spread
    queue: Spread
    tests: int
    tests_failed: int
    tests_flaky: int
    pull_requests: int
    last_run: datetime | None
    stale: bool  # last_run is more than STALE_HOURS ago
    running: int | None  # None: unknown
    trend: tuple[TrendPoint, ...]  # oldest first, without holes; hours for 24 h, 6 hours for 7 d, days for 30 d


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenBackend:
    """A backend that a breaker broke."""

    repo: str
    level: str
    failed_jobs: int
    judged_jobs: int
    baseline: float  # the share of its other commits on which it was not broken
    baseline_commits: int  # those others
    run_url: str  # a failed run


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """An upstream PR (its latest commit) or commit on which several backends fail that pass otherwise."""

    upstream_repo: str
    pr_number: int  # 0: a commit that is no PR's
    sha: str
    is_sha: bool  # False: free text a nightly sent instead of a commit
    event_type: str
    broken: tuple[BrokenBackend, ...]  # at least two
    judged_backends: int  # backends with a judged job on it
    tests: tuple[str, ...]  # names of tests that fail on at least two of the backends, most shared first
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """`/oot`."""

    filters: Filters
    freshness: Freshness
    counts: Counts  # of all backends shown
    tests: int
    tests_failed: int
    pull_requests: int  # distinct among all backends shown
    running: int | None
    backends: tuple[BackendRow, ...]  # worst pass rate first, the unjudged last
    breakers: tuple[Breaker, ...]  # most backends first, then newest; not filtered by level and text
    levels: Mapping[str, int]  # backends by level before the level filter, "" for unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a failure is likely about, and why that is said, in one sentence."""

    triage: Triage = "unknown"
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job execution: a check run, of one attempt."""

    key: str  # dynamoKey
    repo: str
    level: str
    workflow: str
    name: str  # "" where a whole workflow reports at once
    check_run_id: str
    run_id: str
    attempt: int
    state: State
    origin: str  # job, sweeper, deferred
    event_type: str
    upstream_repo: str
    pr_number: int
    sha: str
    is_sha: bool
    verified: bool  # PR and SHA are vouched for
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A matrix column."""

    workflow: str
    job: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What a column's job did on a row's commit."""

    state: State  # the worst of the legs: failure, timed_out, running, cancelled …, success
    jobs: tuple[Job, ...]  # the legs of the latest attempt, worst first
    attempts: int  # 2 and more: it was re-run


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixRow:
    """A commit of a PR, or a commit by itself; newest first."""

    upstream_repo: str
    pr_number: int
    sha: str
    is_sha: bool
    event_type: str
    superseded: bool  # the PR has a newer commit here
    first_seen: datetime
    counts: Counts
    cells: tuple[Cell | None, ...]  # one for each column


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Commits x jobs."""

    columns: tuple[Column, ...]
    rows: tuple[MatrixRow, ...]
    columns_left_out: int = 0  # columns above the cap of a page


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """Where in the matrix's rows a page is; the first page is 1."""

    page: int
    page_rows: int
    total_rows: int

    @property
    def pages(self) -> int:
        """How many pages there are, at least one."""
        return max(1, -(-self.total_rows // self.page_rows))


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
class DayCount:
    """Failures of one UTC day."""

    day: datetime
    failures: int


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
    repo: str
    health: BackendRow  # counts may be all zero
    environment: tuple[EnvironmentEntry, ...]
    readiness: Readiness
    running: tuple[Job, ...] | None  # None: unknown
    matrix: Matrix
    paging: Paging
    failures: tuple[FailingTest, ...]  # newest first, at most 50
    failures_total: int
    slowest_jobs: tuple[SlowJob, ...]
    slowest_tests: tuple[SlowTest, ...]
    flakiest_tests: tuple[FlakyTest, ...]
    nightly: Matrix  # the newest nightly and periodic runs, where the event filter lets them through


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequestBackend:
    """What one backend says about a commit."""

    repo: str
    level: str
    counts: Counts
    running: int
    jobs: tuple[Job, ...]  # latest attempts, and what runs; worst first
    superseded: tuple[Job, ...]  # earlier attempts, newest first


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequestCommit:
    """What all backends say about one commit of the PR."""

    sha: str
    is_sha: bool
    first_seen: datetime
    counts: Counts
    running: int
    backends: tuple[PullRequestBackend, ...]  # worst first

    @property
    def headline(self) -> str:
        """Such as "3/4 passed, 1 running"; cancelled and skipped jobs are in neither number."""
        said = f"{self.counts.success}/{self.counts.judged + self.running} passed"
        return f"{said}, {self.running} running" if self.running else said


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequestPage:
    """`/pr/{number}`."""

    number: int
    upstream_repo: str
    freshness: Freshness
    commits: tuple[PullRequestCommit, ...]  # newest first; () when no backend has reported on it
    jobs_left_out: int = 0  # jobs above the cap of a page


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


class Reader(Protocol):
    """Gives the pages' data.

    Each raises RefusedError: `dashboard_unavailable` when ClickHouse does not answer and nothing good is kept, and
    `invalid_parameter` for values out of range.
    """

    async def summary(self, filters: Filters) -> Summary:
        """Give every backend of the window."""
        ...

    async def backend(self, repo: str, filters: Filters, page: int = 1) -> BackendPage:
        """Give one backend; raises RefusedError `not_found` for a repo that has never reported."""
        ...

    async def pull_request(self, number: int, upstream_repo: str = "pytorch/pytorch") -> PullRequestPage:
        """Give what backends say about an upstream PR; one nobody has reported on has no commits."""
        ...

    async def test(self, name: str, filters: Filters, *, classname: str = "", file: str = "") -> FailedTestPage:
        """Give where and when a test fails; one that doesn't has no backends."""
        ...
