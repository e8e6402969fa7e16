"""What `/oot` shows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hud_endpoint.views.data.backends import backend_row, read_trends, total
from hud_endpoint.views.data.breakers import BASELINE_DAYS, baselines, read_breakers
from hud_endpoint.views.data.rows import events
from hud_endpoint.views.data.running import RunningUnknownError
from hud_endpoint.views.models import Freshness, Summary

if TYPE_CHECKING:
    from datetime import datetime

    from hud_endpoint.views.data.rows import Ask
    from hud_endpoint.views.data.running import RunningJobs
    from hud_endpoint.views.models import BackendRow, Filters

# A backend that has fallen silent stays in sight for this long, even where the window is shorter.
REMEMBERED_DAYS = 7


def read_summary(ask: Ask, running_jobs: RunningJobs, filters: Filters, now: datetime) -> Summary:
    """Ask for everything; raises what `ask` raises."""
    window = {"days": filters.days, "events": events(filters)}
    found = {str(row["repo"]): row for row in ask("oot_backends", repo="", **window)}
    last = dict(found)
    if filters.days < REMEMBERED_DAYS:
        last = {
            str(row["repo"]): row for row in ask("oot_last_runs", days=REMEMBERED_DAYS, events=events(filters))
        } | found
    trends = read_trends(ask, filters, now)
    named = [repo for repo in last if filters.text.lower() in repo.lower()]
    shown = [repo for repo in named if filters.level in ("", last[repo]["level"])]
    filtered = shown if len(shown) < len(last) else []
    commits = ask("oot_commit_counts", repos=filtered, baseline_days=max(filters.days, BASELINE_DAYS), **window)
    prs = {str(row["repo"]): int(row["pull_requests"]) for row in commits} if shown else {}
    try:
        running: dict[str, int] | None = running_jobs.counts(shown)
    except RunningUnknownError:
        running = None
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
        breakers=read_breakers(ask, filters, baselines(commits)),
        levels=dict(Counter(str(last[repo]["level"]) for repo in named)),
    )


def _worst_first(row: BackendRow) -> tuple[bool, float, str]:
    rate = row.counts.pass_rate
    return rate is None, rate or 0.0, row.repo
