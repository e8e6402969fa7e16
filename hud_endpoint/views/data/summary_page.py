"""What `/oot` shows."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from hud_endpoint.views.data.backends import backend_row, read_trends, total
from hud_endpoint.views.data.breakers import BASELINE_DAYS, baselines, read_breakers
from hud_endpoint.views.data.rows import events
from hud_endpoint.views.data.running import RunningUnknownError
from hud_endpoint.views.data.together import start
from hud_endpoint.views.models.counts import Freshness
from hud_endpoint.views.models.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from hud_endpoint.views.data.backends import Trends
    from hud_endpoint.views.data.rows import Ask, Row
    from hud_endpoint.views.data.running import RunningJobs
    from hud_endpoint.views.models.filters import Filters
    from hud_endpoint.views.models.summary import BackendRow

# A backend that has fallen silent stays in sight for this long, even where the window is shorter.
REMEMBERED_DAYS = 7


class _Numbers(NamedTuple):
    found: Mapping[str, Row]  # of the window, by backend
    last: Mapping[str, Row]  # and of those that have fallen silent
    trends: Trends
    shown: Sequence[str]  # what the filters leave
    running: Mapping[str, int] | None


def read_summary(ask: Ask, running_jobs: RunningJobs, filters: Filters, now: datetime) -> Summary:
    """Ask for everything; raises what `ask` raises."""
    read = partial(_read_numbers, ask, running_jobs, filters, now)
    numbers = read() if filters.level or filters.text else None  # which backends they leave is to be known first
    commits = ask(
        "oot_commit_counts",
        days=filters.days,
        events=events(filters),
        baseline_days=max(filters.days, BASELINE_DAYS),
        repos=numbers.shown if numbers else [],
    )
    breaking = start(read_breakers, ask, filters, baselines(commits))
    found, last, trends, shown, running = numbers or read()
    prs = {str(row["repo"]): int(row["pull_requests"]) for row in commits} if shown else {}
    rows = [
        backend_row(
            repo,
            found.get(repo),
            last[repo],
            trends.points.get(repo, ()),
            pull_requests=prs.get(repo, 0),
            running=None if running is None else running.get(repo, 0),
            now=now,
        )
        for repo in shown
    ]
    return Summary(
        filters=filters,
        freshness=Freshness(read_at=now, rolled_up_at=trends.refreshed_at, running_known=running is not None),
        counts=total(row.counts for row in rows),
        tests=sum(row.tests for row in rows),
        tests_failed=sum(row.tests_failed for row in rows),
        pull_requests=prs.get("", 0),
        running=None if running is None else sum(running.values()),
        backends=tuple(sorted(rows, key=_worst_first)),
        breakers=breaking.result(),
        levels=dict(Counter(str(last[repo]["level"]) for repo in _named(last, filters))),
    )


def _read_numbers(ask: Ask, running_jobs: RunningJobs, filters: Filters, now: datetime) -> _Numbers:
    window = {"days": filters.days, "events": events(filters)}
    found = {str(row["repo"]): row for row in ask("oot_backends", repo="", **window)}
    last = dict(found)
    if filters.days < REMEMBERED_DAYS:
        last = {
            str(row["repo"]): row for row in ask("oot_last_runs", days=REMEMBERED_DAYS, events=events(filters))
        } | found
    shown = [repo for repo in _named(last, filters) if filters.level in ("", last[repo]["level"])]
    try:
        running: Mapping[str, int] | None = running_jobs.counts(shown)
    except RunningUnknownError:
        running = None
    return _Numbers(found, last, read_trends(ask, filters, now), shown, running)


def _named(repos: Iterable[str], filters: Filters) -> list[str]:
    return [repo for repo in repos if filters.text.lower() in repo.lower()]


def _worst_first(row: BackendRow) -> tuple[bool, float, str]:
    rate = row.counts.pass_rate
    return rate is None, rate or 0.0, row.repo
