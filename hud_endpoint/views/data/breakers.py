"""Which upstream commits break several backends at once, and how backends do otherwise.

A backend is **broken** on a commit when one of its jobs there, by its latest attempt, failed or said itself that it
timed out; a job that merely fell silent is infrastructure's. It is **well otherwise** when it has judged at least 5
other commits in the window, seven days at least, and was unbroken on 80 % of them: a backend that fails everywhere
anyway says nothing about a commit. A commit on which two or more such backends are broken is a breaker; of a PR only
its newest commit counts. The rollup finds them: `backend_windows` and `breakers` in the schema.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from hud_endpoint.views.data.rows import utc
from hud_endpoint.views.models.summary import Breaker, BrokenBackend
from hud_endpoint.wire_types import is_sha

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hud_endpoint.views.data.rows import Ask, Row
    from hud_endpoint.views.models.filters import Filters

BASELINE_DAYS = 7


class Baseline(NamedTuple):
    """How a backend does on commits other than a broken one: the share on which it is not, and how many they are."""

    share: float
    commits: int
    is_well: bool


def baselines(rows: Iterable[Row]) -> dict[str, Baseline]:
    """Give the baseline of each backend from rows of oot_backends.

    Leaving one broken commit out of `judged` leaves judged - 1, of which judged - broken are good.
    """
    found = {}
    for row in rows:
        others = int(row["judged_commits"]) - 1
        good = int(row["judged_commits"]) - int(row["broken_commits"])
        share = min(good / others, 1.0) if others > 0 else 0.0
        found[str(row["repo"])] = Baseline(share, max(others, 0), is_well=bool(row["is_well"]))
    return found


class FoundBreaker(NamedTuple):
    """A row of oot_breakers, and the names of tests that its broken backends share."""

    row: Row
    tests: tuple[str, ...]


def read_breakers(ask: Ask, filters: Filters) -> list[FoundBreaker]:
    """Ask for the breakers, most backends first, and for the tests that broken backends share on them."""
    found = ask("oot_breakers", days=filters.days, event=filters.event)
    if not found:
        return []
    shared = ask(
        "oot_shared_failures",
        commits=[row["commit"] for row in found],
        since=min(row["first_seen"] for row in found).date(),
        until=max(row["last_seen"] for row in found).date(),
    )
    tests: dict[int, tuple[str, ...]] = defaultdict(tuple)
    for row in shared:  # most shared first
        tests[row["commit"]] += (str(row["name"]),)
    return [FoundBreaker(row, tests[row["commit"]]) for row in found]


def make_breakers(found: Iterable[FoundBreaker], known: Mapping[str, Baseline]) -> tuple[Breaker, ...]:
    """Give the breakers with the baselines of their backends."""
    return tuple(
        Breaker(
            upstream_repo=row["upstream_repo"],
            pr_number=int(row["pr_number"]),
            sha=row["sha"],
            is_sha=is_sha(row["sha"]),
            event_type=row["event_type"],
            broken=tuple(_broken(one, known.get(one[0], Baseline(0.0, 0, is_well=False))) for one in row["backends"]),
            judged_backends=int(row["judged_backends"]),
            tests=tests,
            first_seen=utc(row["first_seen"]),
            last_seen=utc(row["last_seen"]),
        )
        for row, tests in found
    )


def _broken(told: tuple[str, str, int, int, str], base: Baseline) -> BrokenBackend:
    repo, level, broken, judged, run_url = told
    return BrokenBackend(
        repo=repo,
        level=level,
        failed_jobs=int(broken),
        judged_jobs=int(judged),
        baseline=base.share,
        baseline_commits=base.commits,
        run_url=run_url,
    )
