"""What `/oot/{org}/{repo}` shows: health, readiness, the matrix, what fails, what is slow and what comes and goes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hud_endpoint.errors import RefusedError
from hud_endpoint.views.data.backends import backend_row, read_trends
from hud_endpoint.views.data.breakers import baselines
from hud_endpoint.views.data.failures import read_failures
from hud_endpoint.views.data.jobs import make_matrix, slowest_jobs, with_environment
from hud_endpoint.views.data.readiness import judge_readiness
from hud_endpoint.views.data.rows import events, job, latest_attempts, utc, window_start
from hud_endpoint.views.data.running import RunningUnknownError
from hud_endpoint.views.data.together import start
from hud_endpoint.views.data.triage import FAILED, judge_job
from hud_endpoint.views.models.backend import BackendPage, EnvironmentEntry
from hud_endpoint.views.models.counts import Freshness
from hud_endpoint.views.models.filters import PAGE_ROWS
from hud_endpoint.views.models.matrix import Matrix, Paging

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from hud_endpoint.views.data.breakers import Baseline
    from hud_endpoint.views.data.readiness import Criteria
    from hud_endpoint.views.data.rows import Ask, Row
    from hud_endpoint.views.data.running import RunningJobs
    from hud_endpoint.views.models.filters import Filters
    from hud_endpoint.views.models.jobs import Job

NIGHTLY_EVENTS = ["nightly", "periodic"]
NIGHTLY_ROWS = 14
MAX_ENVIRONMENT = 50


def read_backend(
    ask: Ask, running_jobs: RunningJobs, criteria: Criteria, repo: str, filters: Filters, page: int, now: datetime
) -> BackendPage:
    """Ask for everything; raises what `ask` raises, and RefusedError `not_found` for a repo that never reported."""
    try:
        running: list[Job] | None = [one for one, _ in running_jobs.of_backend(repo)]
    except RunningUnknownError:
        running = None
    window: dict[str, Any] = {"repo": repo, "days": filters.days, "events": events(filters)}
    found = ask("oot_backends", **window)
    known = found or ask("oot_known_backend", repo=repo)
    if not known and not running:
        raise RefusedError("not_found", f"No backend named {repo[:200]} has reported: check the spelling of org/repo.")
    tests = start(read_failures, ask, repo, filters, now)
    commits = ask(
        "oot_backend_commits",
        page_rows=PAGE_ROWS,
        skip=(page - 1) * PAGE_ROWS,
        nightly_rows=NIGHTLY_ROWS,
        **window,
    )
    matrix, nightly, environment = _matrices(ask, repo, filters, commits, page, now)
    trends = read_trends(ask, filters, now, repo)
    readiness = judge_readiness(ask("oot_backend_readiness", repo=repo, days=criteria.days)[0], criteria)
    failures = tests.result()
    return BackendPage(
        filters=filters,
        freshness=Freshness(read_at=now, rolled_up_at=trends.refreshed_at, running_known=running is not None),
        repo=repo,
        health=backend_row(
            repo,
            found[0] if found else None,
            known[0] if known else None,
            trends.points.get(repo, ()),
            pull_requests=int(commits[0]["pull_requests"]) if commits else 0,
            running=None if running is None else len(running),
            now=now,
        ),
        environment=_environment(environment),
        readiness=readiness,
        running=None if running is None else tuple(running),
        matrix=matrix,
        paging=Paging(page=page, page_rows=PAGE_ROWS, total_rows=int(commits[0]["commits_total"]) if commits else 0),
        failures=failures.tests,
        failures_total=failures.total,
        slowest_jobs=slowest_jobs(matrix),
        slowest_tests=failures.slowest,
        flakiest_tests=failures.flakiest,
        nightly=nightly,
    )


def _matrices(
    ask: Ask, repo: str, filters: Filters, commits: Sequence[Row], page: int, now: datetime
) -> tuple[Matrix, Matrix, str]:
    """Give the page of the matrix, the newest nightlies, and the newest environment among their jobs."""
    if not commits:
        return Matrix(columns=(), rows=()), Matrix(columns=(), rows=()), ""
    found = ask(
        "oot_commit_jobs",
        repo=repo,
        events=events(filters),
        shas=sorted({row["sha"] for row in commits}),
        days=sorted({day for row in commits for day in row["days"]}),
    )
    start = window_start(now, filters.days)
    rows = [row for row in found if utc(row["first_seen"]) >= start]
    deliveries = {str(row["key"]): str(row["delivery_id"]) for row in rows}
    latest, superseded = latest_attempts(map(job, rows), deliveries)
    base = baselines([{**commits[0], "repo": repo}])
    told = [_judged(one, base) for one in latest]
    skip = (page - 1) * PAGE_ROWS
    nightly_jobs = [one for one in told if one.event_type in NIGHTLY_EVENTS]
    return (
        make_matrix(_placed(commits, skip), told, superseded),
        make_matrix([row for row in commits if row["nightly"]][:NIGHTLY_ROWS], nightly_jobs, superseded),
        with_environment(rows),
    )


def _placed(commits: Sequence[Row], skip: int) -> list[Row]:
    return [row for row in commits if skip < row["place"] <= skip + PAGE_ROWS]


def _judged(one: Job, base: Mapping[str, Baseline]) -> Job:
    """Judge by this backend alone: what the others do on the commit is told on the PR's page."""
    if one.state not in FAILED:
        return one
    return replace(one, verdict=judge_job(one, broken=(), judged=(), known=base))


def _environment(text: str) -> tuple[EnvironmentEntry, ...]:
    try:
        told = json.loads(text) if text else {}
    except ValueError:
        told = {"environment": text}
    if not isinstance(told, dict):
        told = {"environment": told}
    return tuple(
        EnvironmentEntry(name=str(name), value=value if isinstance(value, str) else json.dumps(value))
        for name, value in sorted(told.items())[:MAX_ENVIRONMENT]
    )
