"""Rows of backends: what the rollup says of each in a window, and the trend without holes."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from hud_endpoint.views.data.rows import spread, utc, window_start
from hud_endpoint.views.models.counts import Counts, Spread, TrendPoint
from hud_endpoint.views.models.filters import STALE_HOURS
from hud_endpoint.views.models.summary import BackendRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from hud_endpoint.views.data.rows import Ask, Row

BUCKET_HOURS = {1: 1, 7: 6, 30: 24}  # of a trend's points, by the days of the window
_ENDINGS = ("success", "failure", "timed_out", "cancelled", "other")
_NOTHING: dict[str, int] = dict.fromkeys(("tests", "tests_failed", "tests_flaky", "pull_requests", "disputed"), 0)


class Numbers(NamedTuple):
    """Rows of oot_backends, and when the numbers are of."""

    by_repo: Mapping[int, Mapping[str, Row]]  # by days of the window; the repo "" has the PRs of all backends
    refreshed_at: datetime | None


def read_numbers(ask: Ask, windows: Sequence[int], event: str = "", repo: str = "") -> Numbers:
    """Give the numbers of every backend, or of the one named, in these windows."""
    by_repo: dict[int, dict[str, Row]] = {days: {} for days in windows}
    refreshed_at = None
    for row in ask("oot_backends", windows=list(windows), event=event, repo=repo):
        refreshed_at = utc(row["refreshed_at"])
        if row["days"]:
            by_repo[row["days"]][row["repo"]] = row
    return Numbers(by_repo, refreshed_at)


def trend(row: Row, days: int, now: datetime) -> tuple[TrendPoint, ...]:
    """Give the trend of a row of oot_backends, oldest point first, without holes."""
    bucket = timedelta(hours=BUCKET_HOURS[days])
    counted: dict[datetime, dict[str, int]] = defaultdict(lambda: dict.fromkeys(_ENDINGS, 0))
    for start, *ended in row["trend"]:  # one entry for each event
        counts = counted[utc(start)]
        for name, jobs in zip(_ENDINGS, ended, strict=True):
            counts[name] += jobs
    nothing = Counts()
    return tuple(
        TrendPoint(start=start, counts=Counts.of(**counted[start]) if start in counted else nothing)
        for start in _starts(window_start(now, days), now, bucket)
    )


def counts_of(row: Row) -> Counts:
    """Give how the jobs of a row of oot_backends ended, in the whole window."""
    return Counts.of(**{name: sum(point[place] for point in row["trend"]) for place, name in enumerate(_ENDINGS, 1)})


def backend_row(
    repo: str, found: Row | None, last: Row | None, days: int, *, running: int | None, now: datetime
) -> BackendRow:
    """Give one backend's row; `found` is its row of oot_backends, `last` what is known from before the window."""
    about: Mapping[str, object] = found or last or {}
    last_run = utc(about["last_run"]) if "last_run" in about else None  # type: ignore[arg-type]  # a datetime
    numbers = found or _NOTHING
    points = trend(found, days, now) if found else ()
    return BackendRow(
        repo=repo,
        level=str(about.get("level", "")),
        counts=total(point.counts for point in points),
        duration=spread(numbers, "duration") if found else Spread(),
        queue=spread(numbers, "queue") if found else Spread(),
        tests=int(numbers["tests"]),
        tests_failed=int(numbers["tests_failed"]),
        tests_flaky=int(numbers["tests_flaky"]),
        pull_requests=int(numbers["pull_requests"]),
        last_run=last_run,
        stale=last_run is None or now - last_run > timedelta(hours=STALE_HOURS),
        running=running,
        disputed=int(numbers["disputed"]),
        trend=points,
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
