"""Made-up callbacks and what becomes of them: the body at each hop, and the record that DynamoDB's stream tells of it.

Records are built by the server's own code from what the relay would send, so that they are as real as its own.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from hud_endpoint.contract import RelayPayload, parse
from hud_endpoint.record import iso, to_write

SHA = "3f1c9be2d8a04c5e9b7d6a1f0c2e4b8d7a5f9e13"
_TRACE = "Traceback (most recent call last):\n" + "\n".join(
    f'  File "test/test_ops.py", line {line}, in test\n    self.assertEqual(actual, expected)' for line in range(8)
)


def workflow(failed: int = 0, **ids: str) -> dict[str, Any]:
    """Give the `workflow` part of a completed callback with `failed` failed tests."""
    return {
        "schema_version": "1",
        "status": "completed",
        "conclusion": "failure" if failed else "success",
        "name": "npu-ci",
        "url": "https://github.com/example-org/torch-sample/actions/runs/240",
        "job_name": "test (npu, 3.11)",
        "check_run_id": "987",
        "run_id": "240",
        "run_attempt": "1",
        "started_at": "2026-05-04T03:02:01Z",
        "completed_at": "2026-05-04T03:42:01Z",
        "test_results": {
            "passed": 8430,
            "failed": failed,
            "skipped": 20,
            "total": 8450 + failed,
            "errors": 0,
            "flaky": 1,
        },
        "artifact_url": "https://artifacts.example.org/runs/240/reports.zip",
        "failed_tests": [_failed_test(index) for index in range(failed)],
        "environment": {"sdk": "8.0", "device": "npu", "os": "ubuntu-24.04"},
        **ids,
    }


def relayed(failed: int = 0, delivery_id: str = "a8f5f167-0000-4000-8000-000000000000", **ids: str) -> bytes:
    """Give the body that the relay posts to HUD for a completed job."""
    callback = {
        "event_type": "pull_request",
        "delivery_id": delivery_id,
        "payload": {
            "pull_request": {"number": 179565, "head": {"sha": SHA}},
            "repository": {"full_name": "pytorch/pytorch"},
        },
        "workflow": workflow(failed, **ids),
    }
    trusted = {
        "verified_repo": "example-org/torch-sample",
        "downstream_repo_level": "L2",
        "ci_metrics": {"queue_time": None, "execution_time": 2400.5},
        "received_at": "2026-05-04T03:42:02.123456Z",
        "dispatch_verified": True,
        "origin": "job",
        "repository_id": "123456789",
        "workflow_ref": "example-org/torch-sample/.github/workflows/ci.yml@refs/heads/main",
        "event_name": "repository_dispatch",
        "ref": "refs/heads/main",
        "sha": "f" * 40,
    }
    return json.dumps({"trusted": trusted, "untrusted": {"callback_payload": callback}}).encode()


def stream_records(count: int, first: int = 0) -> list[dict[str, Any]]:
    """Give stream records of completed jobs as boto3's GetRecords does; 1 job in 20 has two failed tests."""
    at = datetime.now(UTC) - timedelta(days=1)
    images = {failed: _image(failed) for failed in (0, 2)}
    return [
        _stream_record(images[2 if number % 20 == 0 else 0], number, at + timedelta(milliseconds=10 * number))
        for number in range(first, first + count)
    ]


def _image(failed: int) -> bytes:
    """The item of a completed job, as JSON: parsed anew for each record, so that records share no objects."""
    payload = parse(RelayPayload, relayed(failed))
    write = to_write(payload, now=datetime.now(UTC), retention_days=100)
    started_at = iso(payload.untrusted.callback_payload.workflow.started_at) or ""
    item = write.fields | {"started_at": started_at, "queue_time": 31.25, "expires_at": write.expires_at, "revision": 2}
    return orjson.dumps({name: _attribute(value) for name, value in item.items()})


def _stream_record(image: bytes, number: int, at: datetime) -> dict[str, Any]:
    delivery, check_run_id = f"delivery-{number // 10}", str(10**10 + number)
    key = {"dynamoKey": {"S": f"example-org/torch-sample/{delivery}/npu-ci/test (npu, 3.11)/{check_run_id}"}}
    item = orjson.loads(image) | key
    item |= {"delivery_id": {"S": delivery}, "check_run_id": {"S": check_run_id}, "first_seen": {"S": iso(at)}}
    return {
        "eventID": f"{number:032x}",
        "eventName": "MODIFY",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": {
            "ApproximateCreationDateTime": at.replace(microsecond=0),
            "Keys": key,
            "NewImage": item,
            "OldImage": key | {"status": {"S": "in_progress"}, "revision": {"N": "1"}},
            "SequenceNumber": str(10**24 + number),
            "SizeBytes": 2048,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
    }


def _attribute(value: str | float | bool) -> dict[str, Any]:  # noqa: FBT001 - any value of a field
    if isinstance(value, bool):
        return {"BOOL": value}
    return {"S": value} if isinstance(value, str) else {"N": repr(value)}


def _failed_test(index: int) -> dict[str, Any]:
    return {
        "name": f"test_forward_ad_nn_functional_{index}_float32",
        "classname": "TestOpsPRIVATEUSE1",
        "file": "test/test_ops.py",
        "status": "failure",
        "message": "AssertionError: Tensor-likes are not close! Mismatched elements: 3 / 25 (12.0%)",
        "stacktrace": _TRACE,
        "duration_seconds": 0.125,
    }
