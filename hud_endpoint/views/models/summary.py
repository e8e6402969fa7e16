"""`/oot`: every backend of the window, and the upstream changes that break several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from hud_endpoint.views.models.counts import Counts, Freshness, Spread, TrendPoint
    from hud_endpoint.views.models.filters import Filters


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendRow:
    """One backend in the window."""

    repo: str  # its newest name; `name@id` where another repo has that name by now
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
    disputed: int  # jobs with another result, which was refused
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
