"""Jobs put in their places: the matrix of commits x jobs, and the verdict on each that failed."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from hud_endpoint.views.data.rows import count, severity, spread_of, urgency, utc
from hud_endpoint.views.models.backend import SlowJob
from hud_endpoint.views.models.matrix import Cell, Column, Matrix, MatrixRow
from hud_endpoint.wire_types import is_sha

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hud_endpoint.views.data.rows import Row
    from hud_endpoint.views.models.jobs import Job

MAX_COLUMNS = 100
RANKED = 10
Commit = tuple[str, int, str]  # upstream_repo, pr_number, sha
Named = tuple[str, str]  # workflow, job


def worst_first(job: Job) -> tuple[int, str, str, str]:
    """Order jobs: the worst first, then by name."""
    return urgency(job), job.workflow, job.name, job.key


def make_matrix(commits: Sequence[tuple[Commit, Row]], latest: Sequence[Job], superseded: Sequence[Job]) -> Matrix:
    """Lay out the jobs on the commits, which come with their rows of oot_backend_commits, in the order to show them.

    Two runs of one job on a commit share a cell. Columns are ordered by name; those above MAX_COLUMNS are left out, the
    ones with the fewest jobs first.
    """
    placed: dict[Commit, dict[Named, list[Job]]] = defaultdict(lambda: defaultdict(list))
    attempts: dict[tuple[Commit, Named], int] = defaultdict(int)
    width: dict[Named, int] = defaultdict(int)
    for job in latest:
        placed[_commit(job)][job.workflow, job.name].append(job)
        width[job.workflow, job.name] += 1
    for job in (*latest, *superseded):
        cell = _commit(job), (job.workflow, job.name)
        attempts[cell] = max(attempts[cell], job.attempt)
    widest = sorted(width, key=lambda named: (-width[named], named))[:MAX_COLUMNS]
    columns = sorted(widest)
    rows = []
    for place, commit in commits:
        jobs = [job for cell in placed[place].values() for job in cell]
        rows.append(
            MatrixRow(
                upstream_repo=place[0],
                pr_number=place[1],
                sha=place[2],
                is_sha=is_sha(place[2]),
                event_type=max(jobs, key=lambda job: job.first_seen).event_type if jobs else "",
                verified=all(job.verified for job in jobs),
                superseded=bool(commit["superseded"]),
                first_seen=utc(commit["first_seen"]),
                counts=count(job.state for job in jobs),
                cells=tuple(_cell(placed[place].get(named, ()), attempts[place, named]) for named in columns),
            )
        )
    return Matrix(
        columns=tuple(Column(workflow=workflow, job=name) for workflow, name in columns),
        rows=tuple(rows),
        columns_left_out=len(width) - len(columns),
    )


def _cell(jobs: Sequence[Job], attempts: int) -> Cell | None:
    if not jobs:
        return None
    ordered = tuple(sorted(jobs, key=worst_first))
    return Cell(state=min((job.state for job in jobs), key=severity), jobs=ordered, attempts=attempts)


def _commit(job: Job) -> Commit:
    return job.upstream_repo, job.pr_number, job.sha


def slowest_jobs(matrix: Matrix) -> tuple[SlowJob, ...]:
    """Give how long the jobs on these commits take, slowest median first: those that succeeded or failed."""
    took: dict[Column, list[float]] = defaultdict(list)
    for row in matrix.rows:
        for column, cell in zip(matrix.columns, row.cells, strict=True):
            for job in cell.jobs if cell else ():
                if job.duration is not None and job.state in ("success", "failure"):
                    took[column].append(job.duration)
    slow = [SlowJob(workflow=column.workflow, job=column.job, duration=spread_of(took[column])) for column in took]
    return tuple(sorted(slow, key=lambda one: (-(one.duration.p50 or 0), one.workflow, one.job))[:RANKED])
