"""Stream records as GetRecords gives them, made from plain values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from boto3.dynamodb.types import TypeSerializer

from hud_endpoint.clickhouse.ddl import Column

CREATED = datetime(2026, 5, 4, 3, 40, tzinfo=UTC)
CREATED_MS = int(CREATED.timestamp() * 1000)
ITEM: dict[str, Any] = {
    "dynamoKey": "o/r/d/ci/test/987",
    "status": "completed",
    "downstream_repo": "o/r",
    "upstream_repo": "pytorch/pytorch",
    "pr_number": 7,
    "pytorch_head_sha": "a" * 40,
    "delivery_id": "d",
    "workflow_run_url": "https://x/y",
    "workflow_name": "ci",
    "job_name": "test",
    "check_run_id": "987",
    "run_id": "240",
    "run_attempt": 1,
    "conclusion": "failure",
    "started_at": "2026-05-04T03:02:01.000000Z",
    "completed_at": "2026-05-04T03:32:01.000000Z",
    "first_seen": "2026-05-04T03:02:02.500000Z",
    "event_type": "pull_request",
    "dispatch_verified": True,
    "origin": "job",
    "revision": 2,
    "expires_at": 1790000000,
}
# What DESCRIBE TABLE says of default.oot_workflow_job; tests/oot_replicator/test_writer.py holds the two together.
_TYPES: dict[str, list[str]] = {
    "String": [
        *("dynamoKey", "pytorch_head_sha", "delivery_id", "workflow_run_url", "check_run_id", "run_id"),
        *("failed_tests_json", "artifact_url", "environment", "repository_id", "conflicts"),
    ],
    "LowCardinality(String)": [
        *("status", "downstream_repo", "upstream_repo", "workflow_name", "job_name", "conclusion"),
        *("downstream_repo_level", "event_type", "origin"),
    ],
    "UInt64": [
        *("pr_number", "total_tests", "passed_tests", "failed_tests", "skipped_tests", "error_tests", "flaky_tests"),
        *("details_truncated", "version"),
    ],
    "UInt32": ["run_attempt"],
    "UInt8": ["is_deleted"],
    "Nullable(Float64)": ["queue_time", "execution_time"],
    "DateTime64(9, 'UTC')": ["started_at", "completed_at"],
    "DateTime64(3, 'UTC')": ["first_seen"],
    "Bool": ["dispatch_verified", "commit_verified", "times_estimated"],
}
_DEFAULTS = {
    **dict.fromkeys(("job_name", "check_run_id", "run_id", "failed_tests_json"), "''"),
    **dict.fromkeys(("artifact_url", "environment", "downstream_repo_level", "repository_id", "conflicts"), "''"),
    **dict.fromkeys(("total_tests", "passed_tests", "failed_tests", "skipped_tests"), "0"),
    **dict.fromkeys(("error_tests", "flaky_tests", "details_truncated", "is_deleted"), "0"),
    **dict.fromkeys(("dispatch_verified", "commit_verified", "times_estimated"), "false"),
    "run_attempt": "1",
    "event_type": "'pull_request'",
    "origin": "'job'",
}
COLUMNS = [Column(name, kind, _DEFAULTS.get(name, "")) for kind, names in _TYPES.items() for name in names]

_serialize = TypeSerializer().serialize


def record(
    item: dict[str, Any] | None = None,
    *,
    event: str = "MODIFY",
    created: datetime | None = CREATED,
    raw: dict[str, Any] | None = None,
    sequence_number: str = "1",
    **changes: Any,
) -> dict[str, Any]:
    """Give the record of a change that left `item` with `changes`; None takes a field out, `raw` is not serialized."""
    whole = {
        name: value for name, value in {**(ITEM if item is None else item), **changes}.items() if value is not None
    }
    image = {name: _serialize(value) for name, value in whole.items()} | (raw or {})
    told: dict[str, Any] = {
        "Keys": {"dynamoKey": image.get("dynamoKey", {"S": "k"})},
        "SequenceNumber": sequence_number,
        "OldImage" if event == "REMOVE" else "NewImage": image,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    }
    if created:
        told["ApproximateCreationDateTime"] = created
    return {"eventID": "e", "eventName": event, "dynamodb": told}
