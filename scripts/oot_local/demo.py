"""One real result travels from a job to the dashboard, on the local stack: `make demo`, and `make smoke` as its check.

    oot-hud demo                              # and stay up; Ctrl-C stops everything
    oot-hud demo --junit 'reports/**/*.xml'   # with reports of your own
    oot-hud demo --exit                       # the check: 0 only if the result was read back from ClickHouse

The upstream's dispatch is registered; the real `actions/report-result` runs step by step, as GitHub runs it, around
a real pytest suite (or around reports of your own: `--junit`); the row is read back from ClickHouse and compared
with what the job said. Any broken hop ends it with exit code 1 and a sentence that names the hop.
"""

from __future__ import annotations

import glob
import shutil
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import requests
from botocore.exceptions import BotoCoreError, ClientError

from hud_endpoint.clickhouse.connection import connect
from oot_local import history, stack, state
from oot_local.actions.job import Job
from oot_local.actions.parser import InvalidActionError, NodeModulesMissingError
from oot_local.github import register_dispatch
from oot_local.node import NodeMissingError, find_node
from oot_local.state import LocalError
from oot_runner.junit import summarize

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from oot_local.actions.results import StepResult
    from oot_local.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
ACTION = ROOT / "actions" / "report-result"
SUITE = ROOT / "scripts" / "oot_local" / "sample_backend"
PR_NUMBER, SHA = history.FEATURED
ROW_SECONDS = 15.0  # far above the 2 s budget: this is a check, not a measurement


@dataclass(frozen=True)
class Journey:
    """What a result's way home came to."""

    key: str
    row: dict[str, Any]
    told: dict[str, str]


class Story:
    """Tells each hop as it happens, with its milliseconds."""

    def __init__(self, out: Callable[[str], object] = print) -> None:
        self._out = out
        self._started = time.monotonic()

    def tell(self, hop: str, what: str) -> None:
        """Tell one hop that has just been done."""
        now = time.monotonic()
        self._out(f"  ✓ {hop:<26} {1000 * (now - self._started):>7,.0f} ms   {what}")
        self._started = now


def carry_home(running: Stack, story: Story, junit: str = "", *, row_seconds: float = ROW_SECONDS) -> Journey:
    """Take one result the whole way. Raises LocalError naming the hop that broke."""
    told = running.state
    repo = told["sample_repo"]
    conclusion = _conclusion(junit) if junit else ""  # first: reports that are not there must start nothing
    payload = register_dispatch(told, repo, PR_NUMBER, SHA)
    story.tell("dispatch", f"the upstream asks {repo} to test PR #{PR_NUMBER}; delivery {payload['delivery_id']}")
    with tempfile.TemporaryDirectory(prefix="oot-hud-demo-") as temporary:
        workspace = Path(temporary) / "workspace"
        workspace.mkdir()
        with _job(told, payload, workspace, Path(temporary) / "temp") as job:
            report = {"callback-url": f"{told['relay_url']}/github/callback"}
            opened = _delivered(running, job.run_action(ACTION, {**report, "status": "in_progress"}), "in_progress")
            story.tell("in_progress", "action.yml: OIDC token → relay → HUD")
            _see_running(told, opened["dynamo-key"])
            story.tell("DynamoDB", "the job is there, running; ClickHouse hears of it when it ends")
            reports = junit or _run_suite(job, workspace)
            story.tell("tests", "your own reports" if junit else "a real pytest suite, JUnit XML written")
            inputs = {
                **report,
                "status": "completed",
                "conclusion": conclusion,
                "test-reports": reports,
                "environment": "device=make-believe\nsdk=8.0",
            }
            closed = _delivered(running, job.run_action(ACTION, inputs), "completed")
            counts = ", ".join(
                f"{closed.get(f'tests-{name}') or 0} {name}" for name in ("passed", "failed", "skipped", "flaky")
            )
            story.tell("completed", f"{closed['conclusion']}: {counts}")
    if opened["dynamo-key"] != closed["dynamo-key"]:
        raise LocalError(f"The callbacks did not meet: {opened['dynamo-key']} and {closed['dynamo-key']} differ.")
    row = _read_back(running, closed["dynamo-key"], row_seconds)
    _compare(row, closed)
    story.tell("ClickHouse", f"the row is there and says the same; version {row['version']}")
    _look_at_page(told, repo)
    story.tell("dashboard", f"{told['hud_url']}/pr/{PR_NUMBER} shows {repo}")
    return Journey(closed["dynamo-key"], row, closed)


def _job(told: dict[str, Any], payload: dict[str, Any], workspace: Path, temp: Path) -> Job:
    """Start a job of the sample backend, as GitHub would on the dispatch."""
    temp.mkdir()
    repo = told["sample_repo"]
    try:
        started = requests.post(f"{told['github_url']}/_local/jobs", json={"repo": repo}, timeout=10).json()
    except (requests.RequestException, ValueError) as error:
        raise LocalError(f"The local GitHub at {told['github_url']} did not start the job: {error}") from None
    claims = started["claims"]
    return Job(
        workspace,
        temp,
        github={
            "repository": repo,
            "workflow": "ci",
            "job": "test",
            "run_id": claims["run_id"],
            "run_attempt": claims["run_attempt"],
            "event_name": "repository_dispatch",
            "event": {"action": payload["event_type"], "client_payload": payload},
        },
        job={"check_run_id": claims["check_run_id"]},
        runner_env={
            "ACTIONS_ID_TOKEN_REQUEST_URL": started["request_url"],
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": started["request_token"],
        },
    )


def _run_suite(job: Job, workspace: Path) -> str:
    """Run the sample backend's tests as a step of the job; they fail, as backends' tests do."""
    shutil.copytree(SUITE, workspace / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    job.run(f'"{sys.executable}" -m pytest -q -p no:cacheprovider --junitxml=reports/junit.xml tests', name="tests")
    if not (workspace / "reports" / "junit.xml").exists():
        raise LocalError("The sample suite wrote no JUnit XML: is pytest installed? Run `make setup`.")
    return "reports/**/*.xml"


def _conclusion(junit: str) -> str:
    """A job with failed tests fails; whoever brings reports only has no job to ask."""
    found = sorted(glob.glob(junit, recursive=True))  # noqa: PTH207 - the pattern may be absolute
    if not found:
        raise LocalError(f"JUNIT={junit} matches no file: a glob such as 'reports/**/*.xml', in quotes.")
    return "failure" if summarize(found).failed else "success"


def _delivered(running: Stack, result: StepResult, status: str) -> dict[str, str]:
    if result.outputs.get("outcome") == "delivered":
        return dict(result.outputs)
    running.check()
    outcome = result.outputs.get("outcome") or "no outcome"
    log = "\n".join(f"  | {line}" for line in result.log.splitlines()[-15:])
    raise LocalError(f"The {status} callback was not delivered ({outcome}). The step said:\n{log}")


def _see_running(told: dict[str, Any], key: str) -> None:
    try:
        client = boto3.client("dynamodb", **stack.aws_client_options(told))
        table = told["tables"]["results"]
        item = client.get_item(TableName=table, Key={"dynamoKey": {"S": key}}, ConsistentRead=True).get("Item", {})
    except (BotoCoreError, ClientError) as error:
        raise LocalError(f"DynamoDB at {told['aws_endpoint_url']} did not answer: {error}") from None
    if item.get("status") != {"S": "in_progress"} or "running_repo" not in item:
        raise LocalError(f"DynamoDB does not hold the running job {key}.")


def _read_back(running: Stack, key: str, seconds: float) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    problem = "the replicator has not brought it"
    while time.monotonic() < deadline:
        try:
            client = connect(running.state["clickhouse_url"], connect_timeout=2)
            query = "SELECT * FROM default.oot_workflow_job FINAL WHERE dynamoKey = {key: String}"
            rows = list(client.query(query, parameters={"key": key}).named_results())
        except Exception as error:  # noqa: BLE001 - whatever the driver raises while the server is away
            rows, problem = [], f"ClickHouse can't be read ({type(error).__name__})"
        if rows:
            return rows[0]
        time.sleep(0.02)
    running.check()
    raise LocalError(f"No row in ClickHouse {seconds:.0f} s after the callback was accepted: {problem}.")


def _compare(row: dict[str, Any], told: dict[str, str]) -> None:
    """What came out must be what went in."""
    expected = {
        "status": "completed",
        "conclusion": told["conclusion"],
        "total_tests": int(told["tests-total"]),
        "passed_tests": int(told["tests-passed"]),
        "failed_tests": int(told["tests-failed"]),
        "skipped_tests": int(told["tests-skipped"]),
        "pr_number": PR_NUMBER,
        "pytorch_head_sha": SHA,
        "dispatch_verified": True,
    }
    wrong = {name: (row[name], value) for name, value in expected.items() if row[name] != value}
    if wrong:
        raise LocalError(f"The row differs from what the job reported (row, report): {wrong}")


def _look_at_page(told: dict[str, Any], repo: str) -> None:
    """The pull request's page is read live; `/oot` counts jobs some seconds later, and must answer."""
    path = f"/pr/{PR_NUMBER}"
    try:
        summary = requests.get(f"{told['hud_url']}/oot", timeout=15)
        page = requests.get(f"{told['hud_url']}{path}", timeout=15)
        data = requests.get(f"{told['hud_url']}{path}.json", timeout=15).json()
    except (requests.RequestException, ValueError) as error:
        raise LocalError(f"The dashboard did not answer: {error}") from None
    if {summary.status_code, page.status_code} != {200}:
        raise LocalError(f"The dashboard answered HTTP {summary.status_code} on /oot and {page.status_code} on {path}.")
    backends = [backend["repo"] for commit in data["commits"] for backend in commit["backends"]]
    if repo not in page.text or repo not in backends:
        raise LocalError(f"The dashboard does not show {repo} on {path}.")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--junit", default="", metavar="GLOB", help="report your own JUnit XML instead of the sample's")
    parser.add_argument("--exit", action="store_true", help="no sample history, and stop after the check (make smoke)")
    stack.add_arguments(parser)


def main(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    # The check has a folder of its own, so that it never meets a stack that somebody is looking at.
    temporary = tempfile.TemporaryDirectory(prefix="oot-hud-smoke-") if options.exit else nullcontext(options.dir)
    stack.stop_on_sigterm()
    print("\nThe way home of one result\n")
    story = Story()
    try:
        find_node()  # said before anything is started
        junit = str(Path(options.junit).absolute()) if options.junit else ""
        with temporary as folder, stack.running(Path(folder), stack.chosen_ports(options)) as running:
            return _demo(running, story, junit, stay=not options.exit)
    except (LocalError, InvalidActionError, NodeMissingError, NodeModulesMissingError) as error:
        print(f"\n  ✗ {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130


def _demo(running: Stack, story: Story, junit: str, *, stay: bool) -> int:
    story.tell("local stack", "DynamoDB, S3, ClickHouse, OIDC issuer, relay, HUD, replicator")
    if stay and not state.uses_real_clickhouse():
        now, told = datetime.now(UTC), running.state
        count = history.load(connect(told["clickhouse_url"]), now)
        busy = history.start_running(told["hud_url"], told["internal_api_token"], now)
        story.tell("sample history", f"{count:,} made-up jobs of {history.DAYS} days, {busy} still running")
    journey = carry_home(running, story, junit)
    print(f"\n{journey.row['conclusion']} · {journey.key}\n")
    if stay:
        print(f"{running.table()}\n\nOpen {running.state['hud_url']}/oot — Ctrl-C stops everything.")
        stack.supervise(running)
    return 0
