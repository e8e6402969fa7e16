"""What GitHub itself says of a workflow run and its jobs: asked again, since an event may be old or lack half of it.

    python -m scripts.privileged.workflow_runs --repo org/name --workflow-run-id 240 [--workflow-run-attempt 1]

prints the run, and in a workflow sets the step's outputs. GITHUB_TOKEN (`actions: read`) and GITHUB_API_URL are read.
Source: https://docs.github.com/rest/actions/workflow-runs and workflow-jobs.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from hud_endpoint.contract import Conclusion, Repo, Url  # noqa: TC001 - pydantic reads them at run time
from scripts.privileged.github_api import GitHub, GitHubError
from scripts.privileged.s3_source import is_repo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

M = TypeVar("M", bound=BaseModel)

_PATIENCE_SECONDS = 900


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("it has a character that no branch, repository or job has")
    return value


_Text = Annotated[str, Field(max_length=1024), AfterValidator(_printable)]


class _Repository(BaseModel):
    full_name: Repo


class WorkflowRun(BaseModel):
    """One attempt of a run."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    id: Annotated[int, Field(gt=0, lt=2**63)]
    run_attempt: Annotated[int, Field(gt=0, lt=10**6)]
    name: str | None = None
    event: _Text
    status: _Text
    conclusion: _Text | None = None
    head_branch: _Text | None = None
    head_sha: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    head_repository: _Repository | None = None  # null when the fork is gone
    html_url: Url | None = None
    repository: _Repository


class WorkflowJob(BaseModel):
    """One job of a run; `run_attempt` is the attempt that it really ran in."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    id: Annotated[int, Field(gt=0, lt=2**63)]
    run_attempt: int = 1
    name: str = ""
    status: str = ""
    conclusion: Conclusion | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None


class Runs(GitHub):
    """The runs of one repository, beside what `GitHub` knows of its artifacts."""

    @classmethod
    def of(cls, repo: str, say: Callable[[str], None] = print) -> Self:
        """Ask as GITHUB_API_URL and GITHUB_TOKEN say. Raises GitHubError for a repo that is none."""
        if not is_repo(repo):
            raise GitHubError("A repository is written owner/name.")
        url = os.environ.get("GITHUB_API_URL") or "https://api.github.com"
        return cls(url, os.environ.get("GITHUB_TOKEN", ""), repo, patience=_PATIENCE_SECONDS, say=say)

    def run(self, run_id: int, attempt: int | None = None) -> WorkflowRun:
        """Give an attempt of a run, by default its latest. Raises GitHubError."""
        path = f"/actions/runs/{run_id:d}" + (f"/attempts/{attempt:d}" if attempt else "")
        found = _parsed(WorkflowRun, self._get(path), path)
        other = found.id != run_id or (attempt and found.run_attempt != attempt)
        if other or found.repository.full_name.lower() != self._repo.lower():
            raise GitHubError(f"GitHub answered {path} with another run.")
        return found

    def ended(self, run_id: int, attempt: int) -> Iterator[WorkflowJob]:
        """Give an attempt's jobs and how they ended, with those that it took over. Raises GitHubError."""
        path = f"/actions/runs/{run_id:d}/attempts/{attempt:d}/jobs"
        yield from (_parsed(WorkflowJob, job, path) for job in self._pages(path, "jobs"))

    def job_ids(self, run_id: int) -> frozenset[int]:
        """Give the ids of the jobs of all attempts. Raises GitHubError."""
        return frozenset(job.id for job in self.jobs(run_id))


def _parsed(model: type[M], told: object, path: str) -> M:
    try:
        return model.model_validate(told)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"][:3])
        raise GitHubError(f"GitHub's answer to {path} is not what it documents (at {where}).") from None


def _outputs(found: WorkflowRun) -> dict[str, str]:
    head = found.head_repository
    return {
        "repo": found.repository.full_name,
        "run-id": str(found.id),
        "run-attempt": str(found.run_attempt),
        "conclusion": found.conclusion or "",
        "event": found.event,
        "head-branch": found.head_branch or "",
        "head-repository": head.full_name if head else "",
    }


def main() -> int:
    """Run from the command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repo", required=True, metavar="ORG/NAME")
    parser.add_argument("--workflow-run-id", required=True, type=int)
    parser.add_argument("--workflow-run-attempt", type=int, help="default: the latest")
    options = parser.parse_args()
    try:
        with Runs.of(options.repo) as github:
            found = github.run(options.workflow_run_id, options.workflow_run_attempt)
    except GitHubError as error:
        print(f"workflow_runs: {error}", file=sys.stderr)
        return 1
    # Every value is one printable line, so none of them can become another output.
    lines = "".join(f"{name}={value}\n" for name, value in _outputs(found).items())
    print(lines, end="")
    if output := os.environ.get("GITHUB_OUTPUT"):
        with Path(output).open("a", encoding="utf-8") as file:
            file.write(lines)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
