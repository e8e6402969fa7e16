"""What `/pr/{number}` shows: every backend's jobs on each commit of an upstream PR, what runs among them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from hud_endpoint.views.data.backends import read_numbers
from hud_endpoint.views.data.breakers import BASELINE_DAYS, baselines
from hud_endpoint.views.data.jobs import worst_first
from hud_endpoint.views.data.rows import count, job, latest_attempts, urgency
from hud_endpoint.views.data.running import RunningUnknownError
from hud_endpoint.views.data.together import together
from hud_endpoint.views.data.triage import FAILED, judge_job
from hud_endpoint.views.models.counts import Freshness
from hud_endpoint.views.models.pull_request import PullRequestBackend, PullRequestCommit, PullRequestPage
from hud_endpoint.wire_types import is_sha

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from hud_endpoint.views.data.breakers import Baseline
    from hud_endpoint.views.data.names import Names
    from hud_endpoint.views.data.rows import Ask
    from hud_endpoint.views.data.running import RunningJobs
    from hud_endpoint.views.models.jobs import Job

MAX_JOBS = 2000


def read_pull_request(
    ask: Ask, running_jobs: RunningJobs, names: Names, number: int, upstream_repo: str, now: datetime
) -> PullRequestPage:
    """Ask for everything; raises what `ask` raises."""
    with together() as start:
        numbering = start(read_numbers, ask, [BASELINE_DAYS])
        rows = ask("oot_pr_jobs", pr=number, upstream_repo=upstream_repo)
    deliveries = {str(row["key"]): str(row["delivery_id"]) for row in rows}
    jobs = {one.key: one for one in (job(row, names) for row in rows)}
    known = True
    try:
        running = running_jobs.of_pull_request(upstream_repo, number, names)
    except RunningUnknownError:
        known, running = False, []
    for one, delivery in running:
        # DynamoDB may still call running what has reached ClickHouse; a finished job does not start again.
        if one.key not in jobs:
            jobs[one.key], deliveries[one.key] = one, delivery
    latest, superseded = latest_attempts(jobs.values(), deliveries)
    base = baselines(numbering.result().by_repo[BASELINE_DAYS].values())
    latest.sort(key=lambda one: (-one.first_seen.timestamp(), one.key))
    kept, left_out = latest[:MAX_JOBS], len(latest[MAX_JOBS:])
    commits = _commits(kept, superseded[:MAX_JOBS], base, names)
    return PullRequestPage(
        number=number,
        upstream_repo=upstream_repo,
        freshness=Freshness(read_at=now, running_known=known),
        commits=tuple(commits),
        jobs_left_out=left_out,
    )


def _commits(
    latest: Sequence[Job], superseded: Sequence[Job], base: Mapping[str, Baseline], names: Names
) -> list[PullRequestCommit]:
    by_sha: dict[str, dict[str, list[Job]]] = defaultdict(lambda: defaultdict(list))
    earlier: dict[tuple[str, str], list[Job]] = defaultdict(list)
    for one in latest:
        by_sha[one.sha][one.repo].append(one)
    for one in superseded:
        earlier[one.sha, one.repo].append(one)
    commits = [_commit(sha, backends, earlier, base, names) for sha, backends in by_sha.items()]
    return sorted(commits, key=lambda commit: (-commit.first_seen.timestamp(), commit.sha))


def _commit(
    sha: str,
    backends: Mapping[str, Sequence[Job]],
    earlier: Mapping[tuple[str, str], Sequence[Job]],
    base: Mapping[str, Baseline],
    names: Names,
) -> PullRequestCommit:
    broken = {repo for repo, jobs in backends.items() if any(_is_broken(one) for one in jobs)}
    judged = {repo for repo, jobs in backends.items() if any(one.state in FAILED | {"success"} for one in jobs)}
    told = [
        replace(
            _backend(repo, jobs, earlier.get((sha, repo), ()), broken, judged, base),
            is_new=names.is_new(repo),
        )
        for repo, jobs in backends.items()
    ]
    everything = [one for jobs in backends.values() for one in jobs]
    return PullRequestCommit(
        sha=sha,
        is_sha=is_sha(sha),
        first_seen=min(one.first_seen for one in everything),
        counts=count(one.state for one in everything),
        running=sum(one.state == "running" for one in everything),
        disputed=sum(bool(one.refused) for one in everything),
        backends=tuple(sorted(told, key=lambda one: (urgency(one.jobs[0]), one.repo))),
    )


def _backend(
    repo: str,
    jobs: Sequence[Job],
    earlier: Sequence[Job],
    broken: set[str],
    judged: set[str],
    base: Mapping[str, Baseline],
) -> PullRequestBackend:
    passed = {(one.workflow, one.run_id, one.name) for one in jobs} - {
        (one.workflow, one.run_id, one.name) for one in jobs if one.state != "success"
    }
    newest = max(jobs, key=lambda one: one.first_seen)
    return PullRequestBackend(
        repo=repo,
        level=newest.level,
        counts=count(one.state for one in jobs),
        running=sum(one.state == "running" for one in jobs),
        disputed=sum(bool(one.refused) for one in jobs),
        is_new=False,
        jobs=tuple(
            _judged(one, broken=broken, judged=judged, base=base, recovered=False)
            for one in sorted(jobs, key=worst_first)
        ),
        superseded=tuple(
            _judged(
                one,
                broken=broken,
                judged=judged,
                base=base,
                recovered=(one.workflow, one.run_id, one.name) in passed,
            )
            for one in sorted(earlier, key=lambda one: (-one.first_seen.timestamp(), one.key))
        ),
    )


def _judged(one: Job, *, broken: set[str], judged: set[str], base: Mapping[str, Baseline], recovered: bool) -> Job:
    if one.state not in FAILED:
        return one
    return replace(one, verdict=judge_job(one, broken=broken, judged=judged, known=base, recovered=recovered))


def _is_broken(one: Job) -> bool:
    return one.state == "failure" or (one.state == "timed_out" and one.origin != "sweeper")
