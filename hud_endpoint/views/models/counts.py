"""What is counted and measured on every page, and how old it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


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
class DayCount:
    """Failures of one UTC day."""

    day: datetime
    failures: int
