"""Which upstream commits break several backends at once: the rule, and the queries that feed it.

A backend is **broken** on a commit when one of its jobs there, by its latest attempt, failed or said itself that it
timed out; a job that merely fell silent is infrastructure's. It is **well otherwise** when it has judged at least
BASELINE_COMMITS other commits in the window, seven days at least, and was unbroken on BASELINE_SHARE of them: a backend
that fails everywhere anyway says nothing about a commit. A commit on which two or more such backends are broken is a
breaker; of a PR only its newest commit counts.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from hud_endpoint.views.data.rows import events, utc
from hud_endpoint.views.models.summary import Breaker, BrokenBackend
from hud_endpoint.wire_types import is_sha

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hud_endpoint.views.data.rows import Ask, Row
    from hud_endpoint.views.models.filters import Filters

BASELINE_DAYS = 7
BASELINE_COMMITS = 5
BASELINE_SHARE = 0.8
MAX_BREAKERS = 20


class Baseline(NamedTuple):
    """How a backend does on commits other than a broken one: the share on which it is not, and how many they are."""

    share: float
    commits: int

    @property
    def is_well(self) -> bool:
        """Whether the backend is well otherwise."""
        return self.commits >= BASELINE_COMMITS and self.share >= BASELINE_SHARE


def baselines(rows: Iterable[Row]) -> dict[str, Baseline]:
    """Give the baseline of each backend from rows of oot_commit_counts.

    Leaving one broken commit out of `judged` leaves judged - 1, of which judged - broken are good.
    """
    found = {}
    for row in rows:
        others = int(row["judged_commits"]) - 1
        good = int(row["judged_commits"]) - int(row["broken_commits"])
        found[str(row["repo"])] = Baseline(min(good / others, 1.0) if others > 0 else 0.0, max(others, 0))
    return found


def find_breakers(commits: Sequence[Row], known: Mapping[str, Baseline]) -> list[Breaker]:
    """Give the breakers among the commits of oot_commit_results, most backends first, then newest."""
    newest: dict[tuple[str, int], tuple[object, str]] = {}
    for row in commits:
        pull_request, place = (row["upstream_repo"], row["pr_number"]), (row["first_seen"], row["sha"])
        newest[pull_request] = max(newest.get(pull_request, place), place)
    found = []
    for row in commits:
        broken = [one for one in row["backends"] if (base := known.get(one[0])) and base.is_well]
        is_newest = newest[row["upstream_repo"], row["pr_number"]][1] == row["sha"]
        if len(broken) >= 2 and (is_newest or not row["pr_number"]):
            found.append(
                Breaker(
                    upstream_repo=row["upstream_repo"],
                    pr_number=int(row["pr_number"]),
                    sha=row["sha"],
                    is_sha=is_sha(row["sha"]),
                    event_type=row["event_type"],
                    broken=tuple(_broken(one, known[one[0]]) for one in broken),
                    judged_backends=int(row["judged_backends"]),
                    tests=(),
                    first_seen=utc(row["first_seen"]),
                    last_seen=utc(row["last_seen"]),
                )
            )
    return sorted(found, key=lambda one: (-len(one.broken), -one.last_seen.timestamp(), one.sha))


def read_breakers(ask: Ask, filters: Filters, known: Mapping[str, Baseline]) -> tuple[Breaker, ...]:
    """Ask for what the rule needs beside the baselines, and for the tests that broken backends share."""
    well = [repo for repo, base in known.items() if base.is_well]
    if len(well) < 2:
        return ()
    window = {"days": filters.days, "events": events(filters)}
    candidates = ask("oot_broken_commits", repos=well, **window)
    if not candidates:
        return ()
    results = ask(
        "oot_commit_results",
        commits=[row["commit"] for row in candidates],
        prs=sorted({row["pr_number"] for row in candidates if row["pr_number"]}),
        **window,
    )
    found = find_breakers(results, known)[:MAX_BREAKERS]
    if not found:
        return ()
    shared = ask(
        "oot_shared_failures",
        shas=sorted({one.sha for one in found}),
        since=min(one.first_seen for one in found).date(),
        until=max(one.last_seen for one in found).date(),
    )
    tests: dict[tuple[str, int, str], tuple[str, ...]] = defaultdict(tuple)
    for row in shared:  # most shared first
        tests[row["upstream_repo"], int(row["pr_number"]), row["sha"]] += (str(row["name"]),)
    return tuple(replace(one, tests=tests[one.upstream_repo, one.pr_number, one.sha]) for one in found)


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
