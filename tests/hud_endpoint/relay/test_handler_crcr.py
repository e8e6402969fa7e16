"""CRCR's own client would succeed: curl, as its report_callback.py runs it, with the bodies that it builds.

https://github.com/pytorch/test-infra/blob/main/.github/actions/cross-repo-ci-relay-callback/report_callback.py
"""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.hud_endpoint.relay.jobs import Job

if TYPE_CHECKING:
    from pathlib import Path

    from oot_local.stack import Stack

CURL = shutil.which("curl") or "curl"


class Client:
    """What CRCR's action does on a runner, for one job."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.job, self.folder = Job(stack), folder
        self.url = f"{stack.state['relay_url']}/github/callback/"  # the action's default ends so; the script strips it

    def body(self, client_payload: dict[str, Any], status: str, **more: Any) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        workflow = {
            "schema_version": "1",
            "status": status,
            "conclusion": None if status == "in_progress" else "success",
            "name": "npu-ci",
            "url": f"https://github.com/{self.job.repo}/actions/runs/{self.job.run_id}",
            "run_attempt": "1",
            "job_name": "test",
            "check_run_id": self.job.check_run_id,
            "run_id": self.job.run_id,
            "started_at": now if status == "in_progress" else None,
            "completed_at": None if status == "in_progress" else now,
            **more,
        }
        return {**client_payload, "workflow": workflow}

    def send(self, body: dict[str, Any], **claims: str) -> tuple[int, int, dict[str, Any]]:
        """Post as the script does; gives curl's exit code, the HTTP status and the answer."""
        payload, answer = self.folder / "payload.json", self.folder / "relay_response.json"
        payload.write_text(json.dumps(body))
        quiet = ["--silent", "--show-error", "--fail-with-body", "--output", str(answer), "--write-out", "%{http_code}"]
        headers = ["-H", "Content-Type: application/json", "-H", f"Authorization: Bearer {self.job.token(**claims)}"]
        data = ["--data", f"@{payload}", self.url.rstrip("/")]
        ran = subprocess.run(
            [CURL, *quiet, "-X", "POST", "--max-time", "10", *headers, *data],
            capture_output=True,
            text=True,
            check=False,
        )
        return ran.returncode, int(ran.stdout.strip()), json.loads(answer.read_text())


@pytest.fixture
def client(stack: Stack, tmp_path: Path) -> Client:
    return Client(stack, tmp_path)


def test_a_dispatched_jobs_two_callbacks(client: Client) -> None:
    client_payload = client.job.dispatch()
    counts = {"test_results": {"passed": 8430, "failed": 0, "skipped": 20}, "artifact_url": "https://a.example.org/1"}
    for status, more in (("in_progress", {}), ("completed", counts)):
        code, status_code, answer = client.send(client.body(client_payload, status, **more))
        assert (code, status_code) == (0, 200), answer
        assert (answer["ok"], answer["status"], answer["outcome"]) == (True, status, "delivered")


def test_its_newer_fields_do_no_harm(client: Client) -> None:
    verdict = {"schema_version": 1, "category": "infra", "confidence": "low", "summary": "a runner died"}
    more = {"failed_tests_detail": [{"name": "test_a", "duration": 1.5}], "triage_verdict": verdict}
    code, status_code, answer = client.send(client.body(client.job.dispatch(), "completed", **more))
    assert (code, status_code, answer["outcome"]) == (0, 200, "delivered")


@pytest.mark.parametrize("event_type", ["nightly", "periodic"])
def test_what_its_own_clock_started(client: Client, event_type: str) -> None:
    sha = "b" * 40
    payload = {"repository": {"full_name": "pytorch/pytorch"}, "head_sha": sha}
    client_payload = {"event_type": event_type, "delivery_id": sha, "payload": payload}
    code, status_code, answer = client.send(client.body(client_payload, "completed"), event_name="schedule")
    assert (code, status_code, answer["outcome"]) == (0, 200, "delivered")


def test_a_job_without_a_check_run_id(client: Client) -> None:
    made_up = f"{client.job.run_id}-1"  # by the script
    body = client.body(client.job.dispatch(), "in_progress", check_run_id=made_up)
    code, status_code, answer = client.send(body)
    assert (code, status_code, answer["outcome"]) == (0, 200, "delivered")


def test_its_retries_are_no_failures(client: Client) -> None:
    body = client.body(client.job.dispatch(), "completed")
    assert [client.send(body)[2]["outcome"] for _ in range(3)] == ["delivered", "duplicate", "duplicate"]


def test_a_refusal_is_told_in_the_field_that_it_shows(client: Client) -> None:
    code, status_code, answer = client.send(client.body({"event_type": "push", "delivery_id": "made-up"}, "completed"))
    assert (code, status_code) == (22, 400)
    assert answer["detail"].startswith("No dispatch made-up was sent")
