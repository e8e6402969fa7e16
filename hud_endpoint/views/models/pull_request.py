"""`/pr/{number}`: what all backends say about the commits of a pull request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from hud_endpoint.views.models.counts import Counts, Freshness
    from hud_endpoint.views.models.jobs import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequestBackend:
    """What one backend says about a commit."""

    repo: str
    level: str
    counts: Counts
    running: int
    disputed: int  # jobs with another result, which was refused
    is_new: bool  # it has a name that another repo had before, and no result of it has come in yet
    jobs: tuple[Job, ...]  # latest attempts, and what runs; worst first
    superseded: tuple[Job, ...]  # earlier attempts, newest first


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequestCommit:
    """What all backends say about one commit of the PR."""

    sha: str
    is_sha: bool
    first_seen: datetime
    counts: Counts
    running: int
    disputed: int
    backends: tuple[PullRequestBackend, ...]  # worst first

    @property
    def headline(self) -> str:
        """Such as "3/4 passed, 1 running"; cancelled and skipped jobs are in neither number."""
        said = f"{self.counts.success}/{self.counts.judged + self.running} passed"
        if self.running:
            said += f", {self.running} running"
        if self.disputed:
            said += f", {self.disputed} with more than one result"
        return said


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequestPage:
    """`/pr/{number}`."""

    number: int
    upstream_repo: str
    freshness: Freshness
    commits: tuple[PullRequestCommit, ...]  # newest first; () when no backend has reported on it
    jobs_left_out: int = 0  # jobs above the cap of a page
