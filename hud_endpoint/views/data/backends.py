"""Rows of backends: what the rollup says of each in the window, and the trend without holes."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from hud_endpoint.views.data.rows import events, spread, utc, window_start
from hud_endpoint.views.models.counts import Counts, Spread, TrendPoint
from hud_endpoint.views.models.filters import STALE_HOURS
from hud_endpoint.views.models.summary import BackendRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from hud_endpoint.views.data.rows import Ask, Row
    from hud_endpoint.views.models.filters import Filters

BUCKET_HOURS = {1: 1, 7: 6, 30: 24}  # of a trend's points, by the days of the window
_ENDINGS = ("success", "failure", "timed_out", "cancelled", "other")
_NOTHING: dict[str, int] = {"tests": 0, "tests_failed": 0, "tests_flaky": 0, "duration_jobs": 0, "queue_jobs": 0}


class Trends(NamedTuple):
    """The points of each backend, and when the rollup was refreshed."""

    points: dict[str, tuple[TrendPoint, ...]]
    refreshed_at: datetime | None


def read_trends(ask: Ask, filters: Filters, now: datetime, repo: str = "") -> Trends:
    """Give the trend of every backend, or of the one named, oldest point first."""
    bucket = timedelta(hours=BUCKET_HOURS[filters.days])
    rows = ask(
        "oot_trend", days=filters.days, events=events(filters), bucket_hours=BUCKET_HOURS[filters.days], repo=repo
    )
    starts = list(_starts(window_start(now, filters.days), now, bucket))
    counted: dict[str, dict[datetime, Counts]] = defaultdict(dict)
    for row in rows:
        if row["repo"]:
            counted[row["repo"]][utc(row["start"])] = Counts.of(**{name: int(row[name]) for name in _ENDINGS})
    points = {
        name: tuple(TrendPoint(start=start, counts=found.get(start, Counts())) for start in starts)
        for name, found in counted.items()
    }
    return Trends(points, max((utc(row["refreshed_at"]) for row in rows), default=None))


def backend_row(
    repo: str,
    found: Row | None,
    last: Row | None,
    trend: Sequence[TrendPoint],
    *,
    pull_requests: int,
    running: int | None,
    now: datetime,
) -> BackendRow:
    """Give one backend's row; `found` is its row of oot_backends, `last` what is known from before the window."""
    about: Mapping[str, object] = found or last or {}
    last_run = utc(about["last_run"]) if "last_run" in about else None  # type: ignore[arg-type]  # a datetime
    numbers = found or _NOTHING
    return BackendRow(
        repo=repo,
        level=str(about.get("level", "")),
        counts=total(point.counts for point in trend),
        duration=spread(numbers, "duration") if found else Spread(),
        queue=spread(numbers, "queue") if found else Spread(),
        tests=int(numbers["tests"]),
        tests_failed=int(numbers["tests_failed"]),
        tests_flaky=int(numbers["tests_flaky"]),
        pull_requests=pull_requests,
        last_run=last_run,
        stale=last_run is None or now - last_run > timedelta(hours=STALE_HOURS),
        running=running,
        trend=tuple(trend),
    )


def total(counts: Iterable[Counts]) -> Counts:
    """Add counts up."""
    sums: dict[str, int] = dict.fromkeys(_ENDINGS, 0)
    for one in counts:
        for name in _ENDINGS:
            sums[name] += getattr(one, name)
    return Counts.of(**sums)


def _starts(first: datetime, now: datetime, bucket: timedelta) -> Iterable[datetime]:
    """Give the starts of the points, as ClickHouse's toStartOfInterval cuts them: from midnight UTC."""
    midnight = first.replace(hour=0)
    start = midnight + (first - midnight) // bucket * bucket
    while start <= now:
        yield start
        start += bucket
