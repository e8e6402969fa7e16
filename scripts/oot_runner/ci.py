"""Where this runs: GitHub Actions, Buildkite, GitLab or anything else, read into one Run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from oot_runner.messages import ReportError
from oot_runner.settings import load_json, read_text

if TYPE_CHECKING:
    from oot_runner.settings import Settings

_QUOTED = re.compile(r'[,()"\\]|^\s|\s$|^$')


class Run(NamedTuple):
    """The job that reports, in the words of the callback."""

    provider: str
    repository: str
    workflow_name: str
    run_id: str
    run_attempt: str
    run_url: str
    job_name: str
    check_run_id: str
    job_status: str
    event_name: str
    event: dict[str, Any]
    workspace: Path


def detect(environ: dict[str, str], settings: Settings) -> Run:
    """Read the CI's own variables; OOT_* ones (flags) go first.

    Raises ReportError `no_run` where an id is missing.
    """
    read = _github if environ.get("GITHUB_ACTIONS") == "true" else None
    if environ.get("BUILDKITE") == "true":
        read = _buildkite
    elif environ.get("GITLAB_CI") == "true":
        read = _gitlab
    known = read(environ) if read else {"provider": "other"}
    run_id = environ.get("OOT_RUN_ID", "").strip() or known.get("run_id", "")
    attempt = environ.get("OOT_RUN_ATTEMPT", "").strip() or known.get("run_attempt") or "1"
    workflow_name = environ.get("OOT_WORKFLOW_NAME", "").strip() or known.get("workflow_name", "")
    missing = [name for name, value in (("--run-id", run_id), ("--workflow-name", workflow_name)) if not value]
    if missing:
        raise ReportError("no_run", what="which run this is", flags=" and ".join(missing))
    whole_run = settings.scope == "workflow"
    execution = environ.get("OOT_CHECK_RUN_ID", "").strip() or known.get("check_run_id", "")
    return Run(
        provider=known["provider"],
        repository=known.get("repository", ""),
        workflow_name=workflow_name,
        run_id=run_id,
        run_attempt=attempt,
        run_url=environ.get("OOT_RUN_URL", "").strip() or known.get("run_url", ""),
        job_name=settings.job_name or ("workflow" if whole_run else known.get("job_name") or "default"),
        check_run_id=f"{run_id}-{attempt}" if whole_run or not execution else execution,
        job_status=known.get("job_status", ""),
        event_name=known.get("event_name", ""),
        event=_event(environ, settings),
        workspace=Path(known.get("workspace") or "."),
    )


def leg_name(job: str, matrix: str) -> str:
    """Name a job as GitHub's own page does, `test (npu, 3.11)`; distinct legs of a matrix get distinct names.

    Values with a comma, bracket or quote in them, and empty ones, are written as JSON strings.
    """
    try:
        values = json.loads(matrix or "null")
    except ValueError:
        values = None
    words = [_word(value) for value in values.values()] if isinstance(values, dict) else []
    return f"{job} ({', '.join(words)})" if words else job


def _word(value: object) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if _QUOTED.search(value) else value
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _event(environ: dict[str, str], settings: Settings) -> dict[str, Any]:
    given = settings.client_payload
    if given:
        payload = load_json("client-payload", given if given.startswith("{") else read_text("client-payload", given))
        return {"client_payload": payload}
    # From the file, not from an env variable: a dispatch's payload may be larger than a variable can be.
    path = environ.get("GITHUB_EVENT_PATH", "")
    try:
        event = json.loads(Path(path).read_text(encoding="utf-8-sig")) if path else {}
    except (OSError, ValueError):
        event = {}  # a nightly needs none, and whoever does need it is told that there is none
    return event if isinstance(event, dict) else {}


def _github(environ: dict[str, str]) -> dict[str, str]:
    repository, run_id = environ.get("GITHUB_REPOSITORY", ""), environ.get("GITHUB_RUN_ID", "")
    server = environ.get("GITHUB_SERVER_URL") or "https://github.com"
    return {
        "provider": "github",
        "repository": repository,
        "workflow_name": environ.get("GITHUB_WORKFLOW", ""),
        "run_id": run_id,
        "run_attempt": environ.get("GITHUB_RUN_ATTEMPT", ""),
        "run_url": f"{server}/{repository}/actions/runs/{run_id}",
        "job_name": leg_name(environ.get("GITHUB_JOB", ""), environ.get("OOT_MATRIX", "")),
        "job_status": environ.get("OOT_JOB_STATUS", ""),
        "event_name": environ.get("GITHUB_EVENT_NAME", ""),
        "workspace": environ.get("GITHUB_WORKSPACE", ""),
    }


def _buildkite(environ: dict[str, str]) -> dict[str, str]:
    """As CRCR's Buildkite wrapper maps them; parallel steps, which share a label, get their number."""
    name = environ.get("BUILDKITE_LABEL") or environ.get("BUILDKITE_STEP_KEY") or "default"
    part = environ.get("BUILDKITE_PARALLEL_JOB", "")
    exit_status = environ.get("BUILDKITE_COMMAND_EXIT_STATUS", "")
    return {
        "provider": "buildkite",
        "repository": _slug(environ.get("BUILDKITE_REPO", "")),
        "workflow_name": environ.get("BUILDKITE_PIPELINE_SLUG", ""),
        "run_id": environ.get("BUILDKITE_BUILD_ID", ""),
        "run_attempt": str(int(environ.get("BUILDKITE_RETRY_COUNT") or 0) + 1),
        "run_url": environ.get("BUILDKITE_BUILD_URL", ""),
        "job_name": f"{name} #{part}" if part else name,
        "job_status": {"": "", "0": "success"}.get(exit_status, "failure"),
        "event_name": environ.get("BUILDKITE_SOURCE", ""),
        "workspace": environ.get("BUILDKITE_BUILD_CHECKOUT_PATH", ""),
    }


def _gitlab(environ: dict[str, str]) -> dict[str, str]:
    status = environ.get("CI_JOB_STATUS", "")
    return {
        "provider": "gitlab",
        "repository": environ.get("CI_PROJECT_PATH", ""),
        "workflow_name": environ.get("CI_PIPELINE_NAME") or environ.get("CI_PROJECT_NAME", ""),
        "run_id": environ.get("CI_PIPELINE_ID", ""),
        "run_attempt": "1",
        "run_url": environ.get("CI_PIPELINE_URL", ""),
        "job_name": environ.get("CI_JOB_NAME", ""),
        "check_run_id": environ.get("CI_JOB_ID", ""),
        "job_status": {"failed": "failure", "canceled": "cancelled", "success": "success"}.get(status, ""),
        "event_name": environ.get("CI_PIPELINE_SOURCE", ""),
        "workspace": environ.get("CI_PROJECT_DIR", ""),
    }


def _slug(url: str) -> str:
    found = re.search(r"[:/]([^/:]+/[^/]+?)(?:\.git)?/?$", url)
    return found.group(1) if found else ""
