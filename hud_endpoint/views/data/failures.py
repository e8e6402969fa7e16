"""The tests that fail on a backend: their newest failure, their history, who else has them, what is flaky or slow."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from hud_endpoint.views.data.rows import events, number, utc, window_start
from hud_endpoint.views.data.triage import judge_test
from hud_endpoint.views.models.backend import FailingTest, FlakyTest, SlowTest
from hud_endpoint.views.models.counts import DayCount

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hud_endpoint.views.data.rows import Ask, Row
    from hud_endpoint.views.models.filters import Filters

SHOWN = 50
RANKED = 10
_LOOKED_AT = 500  # of which the flakiest and slowest are found
Test = tuple[str, str, str]  # classname, name, file


class Failures(NamedTuple):
    """What the backend page shows of tests."""

    tests: tuple[FailingTest, ...]
    total: int
    slowest: tuple[SlowTest, ...]
    flakiest: tuple[FlakyTest, ...]


def read_failures(ask: Ask, repo: str, filters: Filters, now: datetime) -> Failures:
    """Ask for everything; raises what `ask` raises."""
    window: dict[str, Any] = {"days": filters.days, "events": events(filters)}
    rows = ask("oot_backend_failures", repo=repo, limit=_LOOKED_AT, **window)
    failing = [row for row in rows if row["failures"]][:SHOWN]
    names = sorted({str(row["name"]) for row in failing})
    details: dict[int, Row] = {}
    past: dict[Test, Row] = {}
    elsewhere: dict[Test, tuple[str, ...]] = {}
    if failing:
        newest = {"ids": [row["newest"][0] for row in failing], "days": sorted({row["newest"][1] for row in failing})}
        details = {row["id"]: row for row in ask("oot_failure_details", repo=repo, **newest)}
        past = {_test(row): row for row in ask("oot_failure_past", repos=[repo], names=names, days=filters.days)}
        others = ask("oot_failures_elsewhere", repo=repo, names=names, **window)
        elsewhere = {_test(row): tuple(row["repos"]) for row in others}
    days = days_of(filters.days, now)
    told = [
        _failing(
            row,
            details[row["newest"][0]],
            past.get(_test(row)),
            elsewhere.get(_test(row), ()),
            history(row["history"], days),
            filters.days,
        )
        for row in failing
        if row["newest"][0] in details
    ]
    slow = [row for row in rows if number(row["longest"])]
    return Failures(
        tests=tuple(told),
        total=int(rows[0]["failures_total"]) if rows else 0,
        slowest=tuple(_slow(row) for row in sorted(slow, key=lambda row: (-row["longest"], _test(row)))[:RANKED]),
        flakiest=tuple(
            _flaky(row) for row in sorted(rows, key=lambda row: (-row["flakes"], _test(row)))[:RANKED] if row["flakes"]
        ),
    )


def is_new(first_in_window: datetime, past: Row | None, days: int) -> bool:
    """Tell whether a test began to fail in the window: it had not failed for as long as the window before that."""
    return past is None or first_in_window - utc(past["last_seen"]) > timedelta(days=days)


def days_of(days: int, now: datetime) -> list[date]:
    """Give the UTC days that the window touches, oldest first."""
    first = window_start(now, days).date()
    return [first + timedelta(days=number) for number in range((now.date() - first).days + 1)]


def history(failures: Mapping[date, int], days: Iterable[date]) -> tuple[DayCount, ...]:
    """Give the failures of each day, without holes."""
    return tuple(DayCount(day=datetime.combine(day, time(), UTC), failures=int(failures.get(day, 0))) for day in days)


def _failing(
    row: Row, detail: Row, past: Row | None, also_on: tuple[str, ...], days: tuple[DayCount, ...], window: int
) -> FailingTest:
    first = utc(row["first_in_window"])
    new = is_new(first, past, window)
    return FailingTest(
        name=row["name"],
        classname=row["classname"],
        file=row["file"],
        status=detail["status"],
        message=detail["message"],
        stacktrace=detail["stacktrace"],
        duration=number(detail["duration"]),
        failures=int(row["failures"]),
        first_seen=utc(past["first_seen"]) if past else first,
        last_seen=utc(row["last_failure"]),
        is_new=new,
        also_on=also_on,
        history=days,
        job=detail["job"],
        workflow=detail["workflow"],
        upstream_repo=detail["upstream_repo"],
        pr_number=int(detail["pr_number"]),
        sha=detail["sha"],
        run_url=row["newest"][2],
        artifact_url=row["newest"][3],
        verdict=judge_test(
            failures=int(row["failures"]),
            flakes=int(row["flakes"]),
            also_on=also_on,
            is_new=new,
            failed_before=past is not None,
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
