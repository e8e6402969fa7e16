"""Callbacks and relay payloads that are fine as they are, and how to change one field of them."""

from __future__ import annotations

import copy
import uuid
from typing import Any

from hud_endpoint.contract import RelayPayload

ABSENT: Any = object()
SHA = "0123456789abcdef0123456789abcdef01234567"
STARTED, COMPLETED = "2026-05-04T03:02:01Z", "2026-05-04T03:32:01Z"

IN_PROGRESS: dict[str, Any] = {
    "event_type": "pull_request",
    "delivery_id": "a8f5f167-1c3e-4f6b-9a47-2f8f3f3f3f3f",
    "payload": {
        "pull_request": {"number": 179565, "head": {"sha": SHA}},
        "repository": {"full_name": "pytorch/pytorch"},
    },
    "workflow": {
        "schema_version": "1",
        "status": "in_progress",
        "conclusion": None,
        "name": "npu-ci",
        "url": "https://github.com/o/r/actions/runs/240",
        "job_name": "test-float32",
        "check_run_id": "987",
        "run_id": "240",
        "run_attempt": "1",
        "started_at": STARTED,
        "completed_at": None,
    },
}


def changed(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Give a copy with fields set by their dotted paths; ABSENT takes one out."""
    whole = copy.deepcopy(base)
    for path, value in changes.items():
        *parents, last = path.split(".")
        place = whole
        for parent in parents:
            place = place.setdefault(parent, {})
        if value is ABSENT:
            place.pop(last, None)
        else:
            place[last] = value
    return whole


COMPLETED_CALLBACK = changed(
    IN_PROGRESS,
    {
        "workflow.status": "completed",
        "workflow.conclusion": "failure",
        "workflow.started_at": None,
        "workflow.completed_at": COMPLETED,
        "workflow.test_results": {"passed": 8430, "failed": 2, "skipped": 20, "total": 8452},
        "workflow.artifact_url": "https://artifacts.example.org/240",
        "workflow.failed_tests": [{"name": "test_a", "message": "boom"}, {"name": "test_b", "status": "error"}],
        "workflow.environment": {"sdk": "8.0", "device": "npu"},
    },
)


def relay_payload(
    callback: dict[str, Any] = COMPLETED_CALLBACK, *, repo: str = "example-org/torch-sample", **trusted: Any
) -> dict[str, Any]:
    """Wrap a callback as the relay does."""
    vouched = {"verified_repo": repo, "downstream_repo_level": "L2", "received_at": "2026-05-04T03:32:02Z", **trusted}
    return {"trusted": vouched, "untrusted": {"callback_payload": callback}}


def parsed(callback: dict[str, Any] = COMPLETED_CALLBACK, **given: Any) -> RelayPayload:
    return RelayPayload.model_validate(relay_payload(callback, **given))


def new_repo(owner: str = "spec") -> str:
    """A repo name that no other test uses."""
    return f"{owner}/{uuid.uuid4().hex}"
