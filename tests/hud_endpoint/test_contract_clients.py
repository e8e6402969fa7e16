"""What production's own clients send is accepted unchanged: RFC-0054, CRCR's callback action, vLLM's Buildkite lane."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from hud_endpoint.contract import Callback, RelayPayload, dynamo_key, parse
from hud_endpoint.record import to_write
from hud_endpoint.wire_types import is_sha
from tests.hud_endpoint.samples import SHA, changed

NOW = "2026-05-20T10:30:00.123456Z"
# The action takes `event_type`, `delivery_id` and `payload` from the dispatch and adds `workflow`; completed carries
# `started_at: null`, and in_progress `completed_at: null`.
CRCR_IN_PROGRESS: dict[str, Any] = {
    "event_type": "pull_request",
    "delivery_id": "0f9a2d40-3d3c-11f0-8c53-6b1f5a1f4a52",
    "payload": {
        "action": "synchronize",
        "number": 153211,
        "pull_request": {"number": 153211, "title": "x", "head": {"sha": SHA, "ref": "b"}, "base": {"sha": SHA}},
        "repository": {"id": 65600975, "full_name": "pytorch/pytorch", "private": False},
        "sender": {"login": "someone"},
    },
    "workflow": {
        "schema_version": "1",
        "status": "in_progress",
        "conclusion": None,
        "name": "npu-ci",
        "url": "https://github.com/Ascend/pytorch/actions/runs/15200000001",
        "run_attempt": "1",
        "job_name": "build-and-test",
        "check_run_id": "42750000001",
        "run_id": "15200000001",
        "started_at": NOW,
        "completed_at": None,
    },
}
CRCR_COMPLETED = changed(
    CRCR_IN_PROGRESS,
    {
        "workflow.status": "completed",
        "workflow.conclusion": "success",
        "workflow.started_at": None,
        "workflow.completed_at": NOW,
        "workflow.test_results": {"passed": 100, "failed": 0, "skipped": 5},
        "workflow.artifact_url": "https://obs.example.org/logs/1.zip",
    },
)
CRCR_PUSH = changed(
    CRCR_COMPLETED,
    {
        "event_type": "push",
        "payload": {
            "ref": "refs/tags/ciflow/trunk/153211",
            "after": SHA,
            "repository": {"full_name": "pytorch/pytorch"},
        },
    },
)
CRCR_NIGHTLY = changed(
    CRCR_COMPLETED,
    {
        "event_type": "nightly",
        "delivery_id": SHA,
        "payload": {"repository": {"full_name": "pytorch/pytorch"}, "head_sha": SHA},
        "workflow.check_run_id": "15200000001-1",
    },
)
BUILDKITE = changed(
    CRCR_NIGHTLY,
    {
        "delivery_id": "buildkite-91827-0198c0de-77aa-4bbb-8ccc-1234567890ab",
        "payload": {"repository": {"full_name": "pytorch/pytorch"}},
        "workflow.run_id": "0198c0de-1111-4bbb-8ccc-1234567890ab",
        "workflow.check_run_id": "0198c0de-77aa-4bbb-8ccc-1234567890ab",
        "workflow.run_attempt": 2,
        "workflow.name": "ci",
        "workflow.job_name": ":docker: build image (torch nightly)",
    },
)
RFC_EXAMPLE: dict[str, Any] = {
    "trusted": {
        "verified_repo": "Ascend/pytorch",
        "downstream_repo_level": "L2",
        "ci_metrics": {"queue_time": 12.5, "execution_time": None},
    },
    "untrusted": {"callback_payload": changed(CRCR_IN_PROGRESS, {"event_type": "workflow_job"})},
}


@pytest.mark.parametrize(
    ("body", "key", "sha", "pr_number"),
    [
        (CRCR_IN_PROGRESS, "npu-ci/build-and-test/42750000001", SHA, 153211),
        (CRCR_COMPLETED, "npu-ci/build-and-test/42750000001", SHA, 153211),
        (CRCR_PUSH, "npu-ci/build-and-test/42750000001", SHA, 0),
        (CRCR_NIGHTLY, "npu-ci/build-and-test/15200000001-1", SHA, 0),
        (
            BUILDKITE,
            "ci/:docker: build image (torch nightly)/0198c0de-77aa-4bbb-8ccc-1234567890ab",
            BUILDKITE["delivery_id"],
            0,
        ),
    ],
    ids=["in_progress", "completed", "push", "nightly", "buildkite"],
)
def test_what_productions_clients_send_is_accepted(body: dict[str, Any], key: str, sha: str, pr_number: int) -> None:
    callback = parse(Callback, json.dumps(body).encode())
    assert dynamo_key("o/r", callback) == f"o/r/{body['delivery_id']}/{key}"
    assert callback.upstream_sha == sha
    sent = {"trusted": {"verified_repo": "o/r"}, "untrusted": {"callback_payload": body}}
    write = to_write(RelayPayload.model_validate(sent), now=datetime.now(UTC), retention_days=1)
    assert write.fields["pr_number"] == pr_number
    assert write.fields["status"] == body["workflow"]["status"]


def test_the_rfcs_own_example_is_accepted() -> None:
    payload = parse(RelayPayload, json.dumps(RFC_EXAMPLE).encode())
    assert payload.trusted.ci_metrics.queue_time == 12.5
    assert payload.trusted.received_at is None  # CRCR's relay does not send it: HUD mints it


def test_a_commit_and_a_build_are_told_apart() -> None:
    assert is_sha(CRCR_NIGHTLY["delivery_id"])
    assert not is_sha(BUILDKITE["delivery_id"])
