"""Commits x jobs, a page of rows at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from hud_endpoint.views.models.counts import Counts
    from hud_endpoint.views.models.jobs import Job, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A matrix column."""

    workflow: str
    job: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What a column's job did on a row's commit."""

    state: State  # the worst of the legs: failure, timed_out, running, cancelled …, success
    jobs: tuple[Job, ...]  # the legs of the latest attempt, worst first
    attempts: int  # 2 and more: it was re-run

    @property
    def disputed(self) -> bool:
        """Whether there is another result for one of the legs, which was refused."""
        return any(job.refused for job in self.jobs)


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixRow:
    """A commit of a PR, or a commit by itself; newest first."""

    upstream_repo: str
    pr_number: int
    sha: str
    is_sha: bool
    event_type: str
    verified: bool  # of each of its jobs
    superseded: bool  # the PR has a newer commit here
    first_seen: datetime
    counts: Counts
    cells: tuple[Cell | None, ...]  # one for each column


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Commits x jobs."""

    columns: tuple[Column, ...]
    rows: tuple[MatrixRow, ...]
    columns_left_out: int = 0  # columns above the cap of a page


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """Where in the matrix's rows a page is; the first page is 1."""

    page: int
    page_rows: int
    total_rows: int

    @property
    def pages(self) -> int:
        """How many pages there are, at least one."""
        return max(1, -(-self.total_rows // self.page_rows))
