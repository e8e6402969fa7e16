"""What `/oot/{org}/{repo}` shows: health, readiness, the matrix, what fails, what is slow and what comes and goes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hud_endpoint.errors import RefusedError
from hud_endpoint.views.data.backends import backend_row, read_numbers
from hud_endpoint.views.data.breakers import baselines
from hud_endpoint.views.data.failures import read_failures
from hud_endpoint.views.data.jobs import make_matrix, slowest_jobs
from hud_endpoint.views.data.names import read_names
from hud_endpoint.views.data.readiness import Record, judge_readiness
from hud_endpoint.views.data.rows import events, job, latest_attempts, utc, window_start
from hud_endpoint.views.data.running import RunningUnknownError
from hud_endpoint.views.data.together import together
from hud_endpoint.views.data.triage import FAILED, judge_job
from hud_endpoint.views.models.backend import BackendPage, EnvironmentEntry
from hud_endpoint.views.models.counts import Freshness
from hud_endpoint.views.models.filters import PAGE_ROWS
from hud_endpoint.views.models.matrix import Matrix, Paging

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date, datetime

    from hud_endpoint.views.data.breakers import Baseline
    from hud_endpoint.views.data.jobs import Commit
    from hud_endpoint.views.data.names import Names
    from hud_endpoint.views.data.readiness import Criteria
    from hud_endpoint.views.data.rows import Ask, Row
    from hud_endpoint.views.data.running import RunningJobs
    from hud_endpoint.views.models.filters import Filters
    from hud_endpoint.views.models.jobs import Job

NIGHTLY_EVENTS = ["nightly", "periodic"]
NIGHTLY_ROWS = 7
MAX_ENVIRONMENT = 50


def read_backend(
    ask: Ask,
    running_jobs: RunningJobs,
    names: Names,
    criteria: Criteria,
    asked: str,
    filters: Filters,
    page: int,
    now: datetime,
) -> BackendPage:
    """Ask for everything about the backend that a name leads to.

    Raises what `ask` raises, and RefusedError `not_found` for a repo that never reported.
    """
    repo, running = _running(running_jobs, names, asked)
    window: dict[str, Any] = {"repo": repo, "days": filters.days, "events": events(filters)}
    with together() as start:
        newest = start(ask, "oot_backend_commits", rows=page * PAGE_ROWS, **window)
        tests = start(read_failures, ask, repo, filters, now)
        numbers = read_numbers(ask, [filters.days], filters.event, repo)
        found = numbers.by_repo[filters.days].get(repo)
        known = [found] if found else ask("oot_known_backend", repo=repo)
        if not known and not running:
            newest_names = read_names(ask)
            if newest_names.find(asked) != repo:  # it was renamed since these names were read
                return read_backend(ask, running_jobs, newest_names, criteria, asked, filters, page, now)
            raise RefusedError(
                "not_found", f"No backend named {asked[:200]} has reported: check the spelling of org/repo."
            )
        record = _record(ask, found, repo, criteria)
        base = baselines([found] if found else [])
        matrix, nightly = _matrices(ask, names, repo, filters, newest.result(), base, page, now)
    failures = tests.result()
    disputed = _disputed(running or (), matrix, nightly)
    counted = int(found["disputed"]) if found else 0
    rolled_up_at = min((at for at in (numbers.refreshed_at, failures.refreshed_at) if at), default=None)
    return BackendPage(
        filters=filters,
        freshness=Freshness(read_at=now, rolled_up_at=rolled_up_at, running_known=running is not None),
        asked=asked,
        repo=repo,
        names=names.history(repo),
        earlier=names.earlier(repo),
        health=backend_row(
            repo,
            found,
            known[0] if known else None,
            filters.days,
            running=None if running is None else len(running),
            now=now,
        ),
        environment=_environment(str(found["environment"]) if found else ""),
        readiness=judge_readiness(record, criteria),
        running=None if running is None else tuple(running),
        disputed=disputed,
        disputed_total=max(counted + sum(one.state == "running" for one in disputed), len(disputed)),
        matrix=matrix,
        paging=Paging(page=page, page_rows=PAGE_ROWS, total_rows=int(found["commits"]) if found else 0),
        failures=failures.tests,
        failures_total=failures.total,
        slowest_jobs=slowest_jobs(matrix),
        slowest_tests=failures.slowest,
        flakiest_tests=failures.flakiest,
        nightly=nightly,
    )


def _running(running_jobs: RunningJobs, names: Names, asked: str) -> tuple[str, list[Job] | None]:
    """Return the backend that a name leads to and its running jobs, None where they are unknown.

    A repo that has just been renamed is known by its id, as soon as a job runs under the new name.
    """

    def under(reported_as: Iterable[str]) -> list[Job]:
        return [job for name in sorted(reported_as) for job, _ in running_jobs.under_name(name, names)]

    repo = names.find(asked)
    try:
        jobs = under(names.names_of(repo))
        if not names.is_known(asked) and jobs and jobs[0].repo != asked:
            repo = jobs[0].repo
            jobs += under(names.names_of(repo))
    except RunningUnknownError:
        return repo, None
    return repo, sorted((job for job in jobs if job.repo == repo), key=lambda job: job.first_seen, reverse=True)


def _disputed(running: Iterable[Job], *matrices: Matrix) -> tuple[Job, ...]:
    """Return the jobs with another result, which was refused: those that run first, then the newest."""
    shown = (job for matrix in matrices for row in matrix.rows for cell in row.cells if cell for job in cell.jobs)
    by_key = {job.key: job for job in (*running, *shown) if job.refused}
    return tuple(sorted(by_key.values(), key=lambda job: (job.state == "running", job.first_seen), reverse=True))


def _record(ask: Ask, found: Row | None, repo: str, criteria: Criteria) -> Record:
    """Give what readiness is judged by: it comes with the row of oot_backends, where the window has one."""
    if found:
        return next((Record(*told) for days, *told in found["readiness"] if days == criteria.days), Record())
    rows = ask("oot_backend_readiness", repo=repo, days=criteria.days)
    return Record(**rows[0]) if rows else Record()


def _matrices(
    ask: Ask,
    names: Names,
    repo: str,
    filters: Filters,
    newest: Sequence[Row],
    base: Mapping[str, Baseline],
    page: int,
    now: datetime,
) -> tuple[Matrix, Matrix]:
    """Give the page of the matrix, and the newest nightlies."""
    commits = newest[(page - 1) * PAGE_ROWS : page * PAGE_ROWS]
    nightlies = [row for row in newest if row["nightly"]][:NIGHTLY_ROWS]
    if not newest:
        return Matrix(columns=(), rows=()), Matrix(columns=(), rows=())
    found = ask(
        "oot_commit_jobs",
        repo=repo,
        events=events(filters),
        commits=sorted({row["commit"] for row in (*commits, *nightlies)}),
        days=sorted({day for row in (*commits, *nightlies) for day in _days(row["first_day"], row["last_day"])}),
    )
    earliest = window_start(now, filters.days)
    rows = [row for row in found if utc(row["first_seen"]) >= earliest]
    deliveries = {str(row["key"]): str(row["delivery_id"]) for row in rows}
    jobs = [one for one in (job(row, names) for row in rows) if one.repo == repo]
    latest, superseded = latest_attempts(jobs, deliveries)
    told = [_judged(one, base) for one in latest]
    nightly_jobs = [one for one in told if one.event_type in NIGHTLY_EVENTS]
    places = {row["commit"]: (row["upstream_repo"], int(row["pr_number"]), row["sha"]) for row in rows}

    def placed(part: Sequence[Row]) -> list[tuple[Commit, Row]]:
        return [(places[row["commit"]], row) for row in part if row["commit"] in places]

    return (
        make_matrix(placed(commits), told, superseded),
        make_matrix(placed(nightlies), nightly_jobs, superseded),
    )


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


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
