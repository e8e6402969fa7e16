"""What `/oot` shows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hud_endpoint.views.data.backends import backend_row, read_numbers, total
from hud_endpoint.views.data.breakers import baselines, make_breakers, read_breakers
from hud_endpoint.views.data.rows import events
from hud_endpoint.views.data.running import RunningUnknownError
from hud_endpoint.views.data.together import together
from hud_endpoint.views.models.counts import Freshness
from hud_endpoint.views.models.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from hud_endpoint.views.data.names import Names
    from hud_endpoint.views.data.rows import Ask
    from hud_endpoint.views.data.running import RunningJobs
    from hud_endpoint.views.models.filters import Filters
    from hud_endpoint.views.models.summary import BackendRow

# A backend that has fallen silent stays in sight for this long, even where the window is shorter.
REMEMBERED_DAYS = 7


def read_summary(ask: Ask, running_jobs: RunningJobs, names: Names, filters: Filters, now: datetime) -> Summary:
    """Ask for everything; raises what `ask` raises."""
    remembered = max(filters.days, REMEMBERED_DAYS)
    with together() as start:
        breaking = start(read_breakers, ask, filters)
        numbers = read_numbers(ask, sorted({filters.days, remembered}), filters.event)
        found = numbers.by_repo[filters.days]
        last = {**numbers.by_repo[remembered], **found}
        named = [repo for repo in last if repo and filters.text.lower() in repo.lower()]
        shown = [repo for repo in named if filters.level in ("", last[repo]["level"])]
        pull_requests = int(found[""]["pull_requests"]) if "" in found else 0
        if pull_requests and (filters.level or filters.text):
            counted = ask("oot_pull_requests", days=filters.days, events=events(filters), repos=shown)
            pull_requests = int(counted[0]["pull_requests"])
        running = _running(running_jobs, shown, names)
    rows = [
        backend_row(
            repo,
            found.get(repo),
            last[repo],
            filters.days,
            running=None if running is None else running.get(repo, 0),
            now=now,
        )
        for repo in shown
    ]
    return Summary(
        filters=filters,
        freshness=Freshness(read_at=now, rolled_up_at=numbers.refreshed_at, running_known=running is not None),
        counts=total(row.counts for row in rows),
        tests=sum(row.tests for row in rows),
        tests_failed=sum(row.tests_failed for row in rows),
        pull_requests=pull_requests,
        running=None if running is None else sum(running.values()),
        backends=tuple(sorted(rows, key=_worst_first)),
        breakers=make_breakers(breaking.result(), baselines(found.values())),
        levels=dict(Counter(str(last[repo]["level"]) for repo in named)),
    )


def _running(running_jobs: RunningJobs, backends: Iterable[str], names: Names) -> Mapping[str, int] | None:
    try:
        return running_jobs.counts(backends, names)
    except RunningUnknownError:
        return None


def _worst_first(row: BackendRow) -> tuple[bool, float, str]:
    rate = row.counts.pass_rate
    return rate is None, rate or 0.0, row.repo
