"""From a relay payload to the write it means: the flat job record of RFC-0054, and who owns which field of it.

The relay and HUD both judge by it whether two callbacks are about one job, and whether two completions say the same.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Literal

import orjson

from hud_endpoint.contract import MAX_FAILED_TESTS, RelayPayload, capped, dynamo_key
from hud_endpoint.events import is_self_reported

if TYPE_CHECKING:
    from hud_endpoint.contract import FailedTest, TestResults, Trusted, Workflow

Value = str | int | float | bool

ITEM_BYTES = 350 * 1024  # DynamoDB's limit is 400 KB
_OTHERS_BYTES = 16 * 1024  # what all fields but the failed tests and the environment can take together
OPENING_FIELDS = ("started_at", "queue_time")  # owned by in_progress
RUNNING_FIELDS = ("running_repo", "running_pr")  # sparse indexes: only on a job that has not ended
IDENTITY_FIELDS = (
    "status",
    "downstream_repo",
    "upstream_repo",
    "pr_number",
    "pytorch_head_sha",
    "delivery_id",
    "workflow_run_url",
    "workflow_name",
    "job_name",
    "check_run_id",
    "run_id",
    "run_attempt",
    "downstream_repo_level",
    "event_type",
    "dispatch_verified",
    "commit_verified",
    "origin",
    "repository_id",
)
# What a job is: each of its steps says the same, or it is another job's (design 4.3).
JOB_FIELDS = (
    "event_type",
    "upstream_repo",
    "pr_number",
    "pytorch_head_sha",
    "delivery_id",
    "workflow_name",
    "job_name",
    "check_run_id",
)
RESULT_FIELDS = (
    "conclusion",
    "execution_time",
    "completed_at",
    "total_tests",
    "passed_tests",
    "failed_tests",
    "skipped_tests",
    "error_tests",
    "flaky_tests",
    "failed_tests_json",
    "details_truncated",
    "artifact_url",
    "environment",
)
TERMINAL_FIELDS = IDENTITY_FIELDS + RESULT_FIELDS  # owned by the write that ends the job
# Measured or vouched for by the relay anew at each try: two tries of one completion may differ in them.
RELAY_FIELDS = frozenset(
    {"execution_time", "downstream_repo_level", "dispatch_verified", "commit_verified", "origin", "repository_id"}
)


class Rank(IntEnum):
    """What outdoes what: a write applies only over a lower rank (design 4.3)."""

    IN_PROGRESS = 1
    SWEPT = 2
    COMPLETED = 3


@dataclass(frozen=True)
class Write:
    """One write to one record: `opening` holds the fields that in_progress owns, `fields` all others that are set."""

    key: str
    rank: Rank
    status: str
    first_seen: datetime
    expires_at: int
    opening: dict[str, Value]
    fields: dict[str, Value]


def to_write(payload: RelayPayload, *, now: datetime, retention_days: int) -> Write:
    """Flatten a payload into the write it means. Pure; `now` stands in where the relay gave no `received_at`.

    Raises RefusedError `key_too_long`.
    """
    trusted, callback = payload.trusted, payload.untrusted.callback_payload
    workflow, upstream = callback.workflow, callback.payload
    completed = workflow.status == "completed"
    speaks_for_pr = upstream.pull_request is not None and not is_self_reported(callback.event_type)
    pr_number = upstream.pull_request.number if upstream.pull_request and speaks_for_pr else 0
    upstream_repo = upstream.repository.full_name if upstream.repository else "pytorch/pytorch"
    first_seen = trusted.received_at or now

    identity: dict[str, Value | None] = {
        "status": workflow.status,
        "downstream_repo": trusted.verified_repo,
        "upstream_repo": upstream_repo,
        "pr_number": pr_number,
        "pytorch_head_sha": callback.upstream_sha,
        "delivery_id": callback.delivery_id,
        "workflow_run_url": workflow.url or "",
        "workflow_name": workflow.name,
        "job_name": workflow.job_name,
        "check_run_id": workflow.job_id,
        "run_id": workflow.run_id or "",
        "run_attempt": workflow.run_attempt,
        "downstream_repo_level": trusted.downstream_repo_level,
        "event_type": callback.event_type,
        "dispatch_verified": trusted.dispatch_verified,
        "commit_verified": trusted.commit_verified,
        "origin": trusted.origin,
        "repository_id": trusted.repository_id,
    }
    if completed:
        rank = Rank.SWEPT if trusted.origin == "sweeper" else Rank.COMPLETED
        fields = identity | _result(workflow, trusted)
        opening: dict[str, Value | None] = {}
    else:
        rank = Rank.IN_PROGRESS
        running_pr = f"{upstream_repo}#{pr_number}" if pr_number else None
        fields = identity | {"running_repo": trusted.verified_repo, "running_pr": running_pr}
        opening = {"started_at": iso(workflow.started_at), "queue_time": trusted.ci_metrics.queue_time}
    return Write(
        key=dynamo_key(trusted.verified_repo, callback),
        rank=rank,
        status=workflow.status,
        first_seen=first_seen,
        expires_at=int((first_seen + timedelta(days=retention_days)).timestamp()),
        opening={name: value for name, value in opening.items() if value is not None},
        fields={name: value for name, value in fields.items() if value is not None},
    )


def job_identity(write: Write) -> dict[str, Value]:
    """Return what says which job a write is about; absent and empty are the same."""
    return {name: write.fields.get(name, "") for name in JOB_FIELDS}


def completion_digest(write: Write) -> str:
    """Return a hash of what a completion says; equal for two that the store would take for the same."""
    meaning = {
        name: value
        for name in TERMINAL_FIELDS
        if name not in RELAY_FIELDS and (value := write.fields.get(name, "")) != ""
    }
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()


def iso(time: datetime | None) -> str | None:
    """Write a time as UTC ISO 8601 with microseconds and `Z`, so that equal times are equal strings."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z") if time else None


def _result(workflow: Workflow, trusted: Trusted) -> dict[str, Value | None]:
    # json, not orjson: an environment may hold integers beyond 64 bits.
    environment = json.dumps(workflow.environment, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    limit = ITEM_BYTES - _OTHERS_BYTES - len(environment.encode())  # escaped, it may be six times its cap
    details, truncated = _failed_tests_json(workflow.failed_tests, limit)
    return {
        "conclusion": workflow.conclusion,
        "execution_time": trusted.ci_metrics.execution_time,
        "completed_at": iso(workflow.completed_at),
        **_counts(workflow.test_results),
        "failed_tests_json": details,
        "details_truncated": truncated or None,
        "artifact_url": workflow.artifact_url,
        "environment": environment if workflow.environment else None,
    }


def _counts(results: TestResults | None) -> dict[str, Value | None]:
    if results is None:
        return {}
    total = results.total
    if total is None:
        total = (results.passed or 0) + (results.failed or 0) + (results.skipped or 0)
    return {
        "total_tests": total,
        "passed_tests": results.passed,
        "failed_tests": results.failed,
        "skipped_tests": results.skipped,
        "error_tests": results.errors,
        "flaky_tests": results.flaky,
    }


def _failed_tests_json(tests: list[FailedTest], limit: int) -> tuple[str | None, int]:
    """Give the failed tests as JSON within `limit` bytes, and how many were cut short or left out.

    Where the item would grow past its cap, stacktraces go first, then messages, then whole entries.
    """
    if not tests:
        return None, 0
    rows = [capped(test) for test in tests[:MAX_FAILED_TESTS]]
    shortened = {index for index, row in enumerate(rows) if row is not tests[index]}
    details = orjson.dumps(rows)
    if len(details) <= limit:
        return details.decode(), len(tests) - len(rows) + len(shortened)
    sizes = [len(orjson.dumps(row)) + 1 for row in rows]
    total = sum(sizes)
    fields: tuple[Literal["stacktrace", "message"], ...] = ("stacktrace", "message")
    for field in fields:
        for index in reversed(range(len(rows))):
            if total <= limit:
                break
            if rows[index][field]:
                rows[index] = rows[index].copy()
                rows[index][field] = ""
                shortened.add(index)
                total -= sizes[index]
                sizes[index] = len(orjson.dumps(rows[index])) + 1
                total += sizes[index]
    while rows and total > limit:
        rows.pop()
        total -= sizes.pop()
    left_out = len(tests) - len(rows)
    return orjson.dumps(rows).decode(), left_out + sum(index < len(rows) for index in shortened)
