"""The tests that fail on a backend: their newest failure, their history, who else has them, what is flaky or slow."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, NamedTuple

from hud_endpoint.views.data.rows import number, utc, window_start
from hud_endpoint.views.data.triage import judge_test
from hud_endpoint.views.models.backend import FailingTest, FlakyTest, SlowTest
from hud_endpoint.views.models.counts import DayCount

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hud_endpoint.views.data.rows import Ask, Row
    from hud_endpoint.views.models.filters import Filters

SHOWN = 50  # as many as the rollup keeps
RANKED = 10
Test = tuple[str, str, str]  # classname, name, file


class Failures(NamedTuple):
    """What the backend page shows of tests."""

    tests: tuple[FailingTest, ...]
    total: int
    slowest: tuple[SlowTest, ...]
    flakiest: tuple[FlakyTest, ...]
    refreshed_at: datetime | None


def read_failures(ask: Ask, repo: str, filters: Filters, now: datetime) -> Failures:
    """Ask for everything; raises what `ask` raises."""
    found = ask("oot_failing_tests", repo=repo, days=filters.days, event=filters.event)
    rows = [row for row in found if row["days"]]
    failing = [row for row in rows if row["failures"] and row["place"] <= SHOWN]
    details: dict[int, Row] = {}
    if failing:
        days = sorted({row["last_failure"].date() for row in failing})
        newest = ask("oot_failure_details", repo=repo, ids=[row["newest"] for row in failing], days=days)
        details = {row["id"]: row for row in newest}
    told = [
        _failing(row, details[row["newest"]], days_of(filters.days, now), filters.days)
        for row in failing
        if row["newest"] in details
    ]
    slow = [row for row in rows if number(row["longest"])]
    return Failures(
        tests=tuple(told),
        total=int(rows[0]["failures_total"]) if rows else 0,
        slowest=tuple(_slow(row) for row in sorted(slow, key=lambda row: (-row["longest"], _test(row)))[:RANKED]),
        flakiest=tuple(
            _flaky(row) for row in sorted(rows, key=lambda row: (-row["flakes"], _test(row)))[:RANKED] if row["flakes"]
        ),
        refreshed_at=max((utc(row["refreshed_at"]) for row in found), default=None),
    )


def is_new(first_in_window: datetime, last_before: datetime | None, days: int) -> bool:
    """Tell whether a test began to fail in the window: it had not failed for as long as the window before that."""
    return last_before is None or first_in_window - last_before > timedelta(days=days)


def days_of(days: int, now: datetime) -> list[date]:
    """Give the UTC days that the window touches, oldest first."""
    first = window_start(now, days).date()
    return [first + timedelta(days=number) for number in range((now.date() - first).days + 1)]


def history(failures: Mapping[date, int], days: Iterable[date]) -> tuple[DayCount, ...]:
    """Give the failures of each day, without holes."""
    return tuple(DayCount(day=datetime.combine(day, time(), UTC), failures=int(failures.get(day, 0))) for day in days)


def _failing(row: Row, detail: Row, days: Iterable[date], window: int) -> FailingTest:
    first = utc(row["first_in_window"])
    past = row["past_last"] is not None
    new = is_new(first, utc(row["past_last"]) if past else None, window)
    others = tuple(row["others"])
    failed = {row["first_day"] + timedelta(days=place): count for place, count in enumerate(row["history"])}
    return FailingTest(
        name=row["name"],
        classname=row["classname"],
        file=row["file"],
        status=detail["status"],
        message=detail["message"],
        stacktrace=detail["stacktrace"],
        duration=number(detail["duration"]),
        failures=int(row["failures"]),
        first_seen=utc(row["past_first"]) if past else first,
        last_seen=utc(row["last_failure"]),
        is_new=new,
        also_on=others,
        history=history(failed, days),
        job=detail["job"],
        workflow=detail["workflow"],
        upstream_repo=detail["upstream_repo"],
        pr_number=int(detail["pr_number"]),
        sha=detail["sha"],
        run_url=detail["run_url"],
        artifact_url=detail["artifact_url"],
        verdict=judge_test(
            failures=int(row["failures"]),
            flakes=int(row["flakes"]),
            also_on=others,
            is_new=new,
            failed_before=past,
        ),
    )


def _slow(row: Row) -> SlowTest:
    return SlowTest(
        name=row["name"],
        classname=row["classname"],
        file=row["file"],
        longest=float(row["longest"]),
        failures=int(row["failures"]),
    )


def _flaky(row: Row) -> FlakyTest:
    return FlakyTest(
        name=row["name"],
        classname=row["classname"],
        file=row["file"],
        flakes=int(row["flakes"]),
        failures=int(row["failures"]) + int(row["flakes"]),
        last_seen=utc(row["last_seen"]),
    )


def _test(row: Row) -> Test:
    return row["classname"], row["name"], row["file"]
