"""What GitHub's REST API says of a workflow run and its jobs, checked: https://docs.github.com/rest/actions."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from hud_endpoint.wire_types import Repo, Url  # noqa: TC001 - pydantic reads them at run time


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("it has a character that no branch, repository or job has")
    return value


_Text = Annotated[str, Field(max_length=1024), AfterValidator(_printable)]
_Id = Annotated[int, Field(gt=0, lt=2**63)]
_Attempt = Annotated[int, Field(gt=0, lt=10**6)]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Repository(_Answer):
    full_name: Repo


class WorkflowRun(_Answer):
    """One attempt of a run."""

    id: _Id
    run_attempt: _Attempt
    name: str | None = None
    event: _Text
    status: _Text
    conclusion: _Text | None = None
    head_branch: _Text | None = None
    head_sha: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    head_repository: _Repository | None = None  # null when the fork is gone
    html_url: Url | None = None
    repository: _Repository
    run_started_at: str | None = None


class WorkflowJob(_Answer):
    """One job of a run; `run_attempt` is the attempt that it really ran in."""

    id: _Id
    run_attempt: _Attempt = 1
    name: str = ""
    status: str = ""
    conclusion: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
