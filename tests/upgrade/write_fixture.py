"""Let an earlier commit write what a later one will find: its tables in DynamoDB and its rows in ClickHouse, as JSON.

How the files beside this one were made; ask for it again for each commit whose data must still be understood:

    git worktree add --detach FOLDER 12853ad
    python -m tests.upgrade.write_fixture FOLDER scripts.local.stack tests/upgrade/12853ad.json

That commit's own stack runs in FOLDER: its relay, HUD, sweeper and replicator on a real DynamoDB and ClickHouse. HUD is
stopped in the middle, as if it hung, so that results wait in the outbox; one of them that commit's own code gives up,
with a clock four days ahead.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import requests

from hud_endpoint.contract import AUDIENCE
from oot_local.github import register_dispatch
from oot_local.stack import aws_client_options
from tests.hud_endpoint.samples import COMPLETED_CALLBACK, IN_PROGRESS, SHA, changed
from tests.integration.waiting import wait_for

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient

SAMPLE, SILENT = "example-org/torch-sample", "northwind/pytorch-npu"
START: dict[str, Any] = IN_PROGRESS
FAILURE: dict[str, Any] = COMPLETED_CALLBACK
SUCCESS = changed(FAILURE, {"workflow.conclusion": "success", "workflow.failed_tests": []})
# Each job's callbacks while HUD is there, and while it hangs.
JOBS: dict[str, tuple[str, str, list[dict[str, Any]], list[dict[str, Any]]]] = {
    "running": (SAMPLE, "pull_request", [START], []),
    "running push": (SAMPLE, "push", [START], []),
    "running nightly": (SAMPLE, "nightly", [START], []),
    "failed": (SAMPLE, "pull_request", [START, FAILURE], []),
    "succeeded": (SAMPLE, "pull_request", [SUCCESS], []),
    "failed nightly": (SAMPLE, "nightly", [FAILURE], []),
    "dispatched": (SAMPLE, "pull_request", [], []),
    "timed out": (SILENT, "pull_request", [START], []),
    "timed out, then failed": (SILENT, "pull_request", [START], [FAILURE]),
    "waiting failure": (SAMPLE, "pull_request", [START], [FAILURE]),
    "waiting success": (SAMPLE, "pull_request", [], [SUCCESS]),
    "waiting start": (SAMPLE, "pull_request", [], [START]),
    "waiting both": (SAMPLE, "push", [], [START, FAILURE]),
    "dead failure": (SAMPLE, "pull_request", [START], [FAILURE]),
}
GIVE_UP = """
import os, sys, time, boto3
from hud_endpoint.relay.forward import Unavailable
from hud_endpoint.relay.outbox import QUEUE, Outbox
ahead = time.time() + 4 * 86400
outbox = Outbox(boto3.client("dynamodb"), os.environ["RELAY_TABLE"], clock=lambda: ahead)
for entry in list(outbox.entries(QUEUE)):
    if entry.delivery_id == sys.argv[1]:
        outbox.settle(entry, Unavailable("no answer (ReadTimeout)", ours=False), ahead)
"""


class Old:
    """The stack of the earlier commit, running."""

    def __init__(self, state: dict[str, Any], environment: dict[str, str], folder: Path) -> None:
        self.state, self.environment, self.folder = state, environment, folder
        self.dynamodb: DynamoDBClient = boto3.client("dynamodb", **aws_client_options(state))
        self.jobs = {name: self._job(number, *job) for number, (name, job) in enumerate(JOBS.items())}

    def _job(self, number: int, repo: str, event: str, *_: Any) -> dict[str, Any]:
        claims = {"run_id": str(7000 + number), "check_run_id": str(8000 + number), "jti": str(uuid.uuid4())}
        claims["event_name"] = "schedule" if event == "nightly" else "repository_dispatch"
        job = {"repo": repo, "event": event, "delivery_id": str(uuid.uuid4()), "claims": claims, "callbacks": []}
        if event != "nightly":
            pr = 0 if event == "push" else 100 + number
            register_dispatch(self.state, repo, pr, SHA, event_type=event, delivery_id=str(job["delivery_id"]))
        return job

    def post(self, name: str, base: dict[str, Any]) -> None:
        """Let a job report, each time with its one token."""
        job = self.jobs[name]
        claims = job["claims"]
        own = {"workflow.run_id": claims["run_id"], "workflow.check_run_id": claims["check_run_id"]}
        body = changed(base, {"delivery_id": job["delivery_id"], "event_type": job["event"], **own})
        minted = {"repo": job["repo"], "claims": claims, "audience": AUDIENCE}
        token = requests.post(f"{self.state['github_url']}/_local/mint", json=minted, timeout=10).json()["token"]
        headers = {"authorization": f"Bearer {token}"}
        answer = requests.post(f"{self.state['relay_url']}/github/callback", json=body, headers=headers, timeout=20)
        assert answer.ok, answer.text
        told = {name: answer.json()[name] for name in ("outcome", "dynamoKey")}
        job["callbacks"].append({"body": body, "status": answer.status_code, **told})

    def scan(self, table: str) -> list[dict[str, Any]]:
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=self.state["tables"][table], ConsistentRead=True)
        return [item for page in pages for item in page["Items"]]

    def item(self, name: str) -> dict[str, Any]:
        [item] = [item for item in self.scan("results") if item["delivery_id"]["S"] == self.jobs[name]["delivery_id"]]
        return item

    def give_up(self, name: str) -> None:
        """Let the old code give up what waits of a job."""
        delivery_id = self.jobs[name]["delivery_id"]

        def dead() -> bool:
            command = [sys.executable, "-c", GIVE_UP, delivery_id]
            environment = {**self.environment, "RELAY_TABLE": self.state["tables"]["relay"]}
            subprocess.run(command, cwd=self.folder, env=environment, check=True)
            [entry] = [item for item in self.scan("relay") if is_entry(item, delivery_id)]
            return str(entry["queue"]["S"]).startswith("dead/")

        wait_for(dead, "the dead letter")

    def rows(self) -> dict[str, Any]:
        columns, *rows = self._select("* FROM default.oot_workflow_job FINAL ORDER BY dynamoKey")
        _, *applied = self._select("number FROM default.oot_schema_version FINAL ORDER BY number")
        return {"columns": columns, "rows": rows, "migrations": [number for (number,) in applied]}

    def _select(self, query: str) -> list[list[Any]]:
        text = f"SELECT {query} FORMAT JSONCompactEachRowWithNames"
        answer = requests.post(self.state["clickhouse_url"], data=text, timeout=10)
        return [json.loads(line) for line in answer.text.splitlines()]


def is_entry(item: dict[str, Any], delivery_id: str) -> bool:
    return bool(item["pk"]["S"].startswith("outbox#") and item["delivery_id"]["S"] == delivery_id)


def plain(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item with its bytes as text."""
    return {
        name: {kind: base64.b64encode(data).decode() if kind == "B" else data for kind, data in value.items()}
        for name, value in item.items()
    }


def write(old: Old) -> dict[str, Any]:
    """Let everything happen; returns what is left."""
    for name, (*_, callbacks, _late) in JOBS.items():
        for base in callbacks:
            old.post(name, base)
    for name in ("timed out", "timed out, then failed"):
        wait_for(lambda name=name: "conclusion" in old.item(name), f"the sweeper of {name}", 180)  # type: ignore[misc]
    ended = sum("conclusion" in item for item in old.scan("results"))
    wait_for(lambda: len(old.rows()["rows"]) == ended, "the replicator")
    hud = old.state["processes"]["hud"]
    os.kill(hud, signal.SIGSTOP)
    for name, (*_, callbacks) in JOBS.items():
        for base in callbacks:
            old.post(name, base)
    old.give_up("dead failure")
    left = {"made_at": time.time(), "jobs": old.jobs, "clickhouse": old.rows()}
    left |= {table: sorted(map(plain, old.scan(table)), key=str) for table in ("relay", "results")}
    os.kill(hud, signal.SIGCONT)
    return left


def main() -> int:
    """Run from the command line; gives the exit code."""
    folder, module, target = Path(sys.argv[1]).resolve(), sys.argv[2], Path(sys.argv[3])
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{folder / 'scripts'}"}
    environment |= {"RATE_LIMIT_PER_MINUTE": "60000", "JOB_TIMEOUTS": json.dumps({SILENT: 60})}
    with tempfile.TemporaryDirectory() as state_folder:
        command = [sys.executable, "-m", module, "up", "--dir", state_folder]
        with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL) as stack:
            try:
                path = Path(state_folder) / "stack.json"
                wait_for(path.exists, "the stack", 120)
                state = json.loads(path.read_text())
                aws = {name.upper(): str(value) for name, value in aws_client_options(state).items()}
                aws = {"AWS_ENDPOINT_URL": aws.pop("ENDPOINT_URL"), "AWS_DEFAULT_REGION": aws.pop("REGION_NAME"), **aws}
                left = write(Old(state, environment | aws, folder))
            finally:
                stack.send_signal(signal.SIGTERM)
    target.write_text(json.dumps(left, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
