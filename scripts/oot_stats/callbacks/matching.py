"""From what a job left behind to what is posted: who and how it ended from GitHub, the rest as the job says it.

Any job of a run can write an artifact in any other's name. So the artifact is believed in nothing that GitHub knows:
not the run, the attempt, the job's name, its conclusion or its times, and it can't call a dispatched run a nightly.
Which delivery it was for, the relay checks by the signed callback token.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import orjson

from hud_endpoint.contract import RELAY_BODY_BYTES, Callback, load_passable_json
from hud_endpoint.errors import RefusedError
from hud_endpoint.events import GITHUB_EVENTS, is_self_reported, may_report
from hud_endpoint.lenient import read_leniently
from hud_endpoint.wire_types import Conclusion, cut_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from oot_stats.sources.github_answers import WorkflowJob, WorkflowRun

# Runs that nobody without write access can start. The relay takes these events too, and workflow_run, which may follow
# a stranger's run.
EVENTS = frozenset({"push", "repository_dispatch", "schedule", "workflow_dispatch"})
MAX_CALLBACKS = 1000

REASONS = {
    "invalid_json": "it is not a callback in JSON",
    "invalid_callback": "it is not a callback that the relay would take",
    "not_completed": "it is not about a job's end",
    "wrong_run": "it is about another run or attempt",
    "foreign_job": "it names a job that did not run in this attempt",
    "not_over": "GitHub does not say how its job ended",
    "wrong_event": "a run of this event can't report such a result: what was dispatched is no nightly, and the reverse",
    "claimed_twice": "another artifact speaks for the same job, so neither is believed",
}


class Report(NamedTuple):
    """One job's report: the start and the end, as the relay takes them."""

    artifact: str
    job: str
    bodies: tuple[bytes, bytes]


class Rejected(NamedTuple):
    """An artifact whose report is not posted; `code` is one of REASONS."""

    artifact: str
    code: str


class _Ended(NamedTuple):
    """What GitHub knows of a job, or of the whole run."""

    job_id: str
    name: str
    conclusion: str
    started_at: str
    completed_at: str


def refusal(run: WorkflowRun) -> str | None:
    """Say why nothing of a run is posted; None where its reports may be."""
    if run.status != "completed":
        return f"Run {run.id}, attempt {run.run_attempt}, is not over."
    if run.event not in EVENTS:
        return f"Runs of the event {run.event} are not reported: strangers can start them."
    if run.head_repository is None or run.head_repository.full_name.lower() != run.repository.full_name.lower():
        return "The run's commit is a fork's: its results are not reported."
    return None


def reports(
    left: Iterable[tuple[str, bytes]], run: WorkflowRun, jobs: Iterable[WorkflowJob]
) -> tuple[list[Report], list[Rejected]]:
    """Match what was left, by artifact, with GitHub's jobs; pure."""
    ended = _ended(run, jobs)
    matched: list[tuple[str, Callback, _Ended]] = []
    rejected: list[Rejected] = []
    for artifact, data in left:
        found = _match(data, run, ended)
        if isinstance(found, str):
            rejected.append(Rejected(artifact, found))
        else:
            matched.append((artifact, *found))
    claims = Counter(job.job_id for _, _, job in matched)
    good = [each for each in matched if claims[each[2].job_id] == 1]
    rejected += [Rejected(artifact, "claimed_twice") for artifact, _, job in matched if claims[job.job_id] > 1]
    return [Report(artifact, job.name, _bodies(callback, run, job)) for artifact, callback, job in good], rejected


def _match(data: bytes, run: WorkflowRun, ended: Mapping[str, _Ended | None]) -> tuple[Callback, _Ended] | str:
    try:
        callback, _, _ = read_leniently(Callback, load_passable_json(data))
    except RefusedError as error:
        return error.code
    workflow = callback.workflow
    if workflow.status != "completed":
        return "not_completed"
    if workflow.run_id != str(run.id) or workflow.run_attempt != run.run_attempt:
        return "wrong_run"
    if workflow.job_id not in ended:
        return "foreign_job"
    if not _may_report(run.event, callback.event_type):
        return "wrong_event"
    job = ended[workflow.job_id]
    return "not_over" if job is None else (callback, job)


def _may_report(event: str, event_type: str) -> bool:
    """Say whether a run of this event can report such a result; the relay knows whose pushes may report nightlies."""
    return may_report(GITHUB_EVENTS.get(event), self_reported=is_self_reported(event_type), listed=event == "push")


def _ended(run: WorkflowRun, jobs: Iterable[WorkflowJob]) -> dict[str, _Ended | None]:
    """Give the jobs that ran in this attempt by id, and the run itself by the id that `scope: workflow` gives it."""
    own = [job for job in jobs if job.run_attempt == run.run_attempt]
    found: dict[str, _Ended | None] = {str(job.id): _of_job(job) for job in own}
    starts = [job.started_at for job in own if job.started_at]
    ends = [job.completed_at for job in own if job.completed_at]
    if run.conclusion and starts and ends:
        whole = f"{run.id}-{run.run_attempt}"
        found[whole] = _Ended(
            whole, "workflow", _conclusion(run.conclusion), min(starts).isoformat(), max(ends).isoformat()
        )
    return found


def _conclusion(told: str) -> str:
    """Give GitHub's word, and `failure` for one that callbacks don't have, such as startup_failure."""
    return told if told in get_args(Conclusion) else "failure"


def _of_job(job: WorkflowJob) -> _Ended | None:
    if not (job.status == "completed" and job.conclusion and job.started_at and job.completed_at):
        return None
    return _Ended(
        str(job.id), job.name, _conclusion(job.conclusion), job.started_at.isoformat(), job.completed_at.isoformat()
    )


def _bodies(callback: Callback, run: WorkflowRun, job: _Ended) -> tuple[bytes, bytes]:
    said = callback.model_dump(mode="json", exclude_none=True)
    details = {
        name: said["workflow"][name]
        for name in ("test_results", "failed_tests", "environment", "artifact_url")
        if name in said["workflow"]
    }
    proven: dict[str, Any] = {
        "schema_version": "1",
        "name": cut_name(run.name or "workflow"),
        "url": run.html_url,
        "job_name": cut_name(job.name or "job"),
        "check_run_id": job.job_id,
        "run_id": str(run.id),
        "run_attempt": run.run_attempt,
        "started_at": job.started_at,
    }
    start = {**said, "workflow": {**proven, "status": "in_progress"}}
    end = {"status": "completed", "conclusion": job.conclusion, "completed_at": job.completed_at}
    whole = orjson.dumps({**said, "workflow": {**details, **proven, **end}})
    if len(whole) > RELAY_BODY_BYTES:  # GitHub's names may be longer than the job's own
        details.pop("failed_tests", None)
        whole = orjson.dumps({**said, "workflow": {**details, **proven, **end}})
    return orjson.dumps(start), whole
