"""The real action.yml against the real relay, HUD endpoint and DynamoDB of the local stack."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from hud_endpoint.contract import RESULTS_TABLE
from oot_local.actions.job import Job
from oot_local.actions.parser import ActionParser
from oot_local.github import register_dispatch
from tests.oot_runner.conftest import SHA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from types_boto3_dynamodb.client import DynamoDBClient

    from oot_local.actions.results import StepResult
    from oot_local.stack import Stack

ACTION = Path(__file__).parents[2] / "actions" / "report-result"
REPORT = (
    '<testsuite name="s"><testcase classname="C" name="a"/><testcase classname="C" name="test_ünï">'
    '<failure message="1 != 2">tests/test_b.py:3: AssertionError</failure></testcase></testsuite>'
)


@pytest.fixture(scope="module")
def parser() -> Iterator[ActionParser]:
    with ActionParser() as parser:
        yield parser


@pytest.fixture
def start_job(stack: Stack, tmp_path: Path, parser: ActionParser) -> Callable[..., Job]:
    """Starts a job of a backend on the local GitHub; those of one run share `run_id`."""

    def start(repo: str = "", *, event: dict[str, Any], event_name: str = "repository_dispatch", **claims: str) -> Job:
        repo = repo or str(stack.state["sample_repo"])
        body = {"repo": repo, "claims": {"event_name": event_name, **claims}}
        started = requests.post(f"{stack.state['github_url']}/_local/jobs", json=body, timeout=60).json()
        told = started["claims"]
        workspace = tmp_path / f"work {told['check_run_id']}"
        workspace.mkdir()
        return Job(
            workspace,
            tmp_path / "temp",
            github={
                "repository": repo,
                "run_id": told["run_id"],
                "run_attempt": told["run_attempt"],
                "event_name": event_name,
                "event": event,
            },
            job={"check_run_id": told["check_run_id"]},
            runner_env={
                "ACTIONS_ID_TOKEN_REQUEST_URL": started["request_url"],
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN": started["request_token"],
            },
            parser=parser,
        )

    return start


@pytest.fixture
def dispatched(stack: Stack) -> dict[str, Any]:
    """The event of a dispatch that the relay knows of."""
    return {"client_payload": register_dispatch(stack.state, stack.state["sample_repo"], 179565, SHA)}


@pytest.fixture
def report(stack: Stack) -> Callable[..., StepResult]:
    def run(job: Job, **inputs: str) -> StepResult:
        given = {"status": "completed", "callback-url": f"{stack.state['relay_url']}/github/callback/"}
        return job.run_action(ACTION, {**given, **{name.replace("_", "-"): text for name, text in inputs.items()}})

    return run


def titles(result: StepResult) -> list[str]:
    return [each.title or "" for each in result.annotations]


def test_a_result_arrives(
    start_job: Callable[..., Job],
    report: Callable[..., StepResult],
    dispatched: dict[str, Any],
    dynamodb: DynamoDBClient,
) -> None:
    job = start_job(event=dispatched)
    first = report(job, status="in_progress")
    (job.workspace / "junit.xml").write_text(REPORT, encoding="utf-8")
    last = report(job, test_reports="*.xml", conclusion="failure", environment="device=npu")
    assert (first.outputs["outcome"], last.outputs["outcome"]) == ("delivered", "delivered"), last.log
    assert first.outputs["dynamo-key"] == last.outputs["dynamo-key"]
    item = dynamodb.get_item(TableName=RESULTS_TABLE, Key={"dynamoKey": {"S": last.outputs["dynamo-key"]}})["Item"]
    assert (item["status"]["S"], item["conclusion"]["S"]) == ("completed", "failure")
    assert "test_ünï" in str(item)


def test_a_second_result_of_one_job_is_an_error_that_says_what_to_do(
    start_job: Callable[..., Job], report: Callable[..., StepResult], dispatched: dict[str, Any]
) -> None:
    job = start_job(event=dispatched)
    assert report(job, conclusion="failure").outputs["outcome"] == "delivered"
    again = report(job, conclusion="success")  # a leg of the matrix with the same name, say
    assert again.outputs["outcome"] == "failed", again.log
    assert titles(again) == ["Another result of this job counts, not this one"]
    assert "job-name: test (${{ matrix.device }}" in again.log
    assert again.conclusion == "success"  # the job stays as it is


def test_jobs_of_one_run_meet(
    start_job: Callable[..., Job], report: Callable[..., StepResult], dispatched: dict[str, Any]
) -> None:
    first = report(start_job(event=dispatched, run_id="77001"), status="in_progress", scope="workflow")
    needs = '{"test": {"result": "failure", "outputs": {}}}'
    last = report(start_job(event=dispatched, run_id="77001"), scope="workflow", needs=needs)
    assert (first.outputs["outcome"], last.outputs["outcome"]) == ("delivered", "delivered"), last.log
    assert first.outputs["dynamo-key"] == last.outputs["dynamo-key"]
    assert last.outputs["conclusion"] == "failure"


def test_a_nightly_needs_no_dispatch(start_job: Callable[..., Job], report: Callable[..., StepResult]) -> None:
    result = report(start_job(event={}, event_name="schedule"), event_type="nightly", delivery_id=SHA)
    assert result.outputs["outcome"] == "delivered", result.log


def test_what_the_relay_refuses_is_told_in_its_words(
    start_job: Callable[..., Job], report: Callable[..., StepResult], dispatched: dict[str, Any]
) -> None:
    unknown = {"client_payload": {**dispatched["client_payload"], "delivery_id": "never-dispatched"}}
    result = report(start_job(event=unknown))
    assert (result.outputs["outcome"], titles(result)) == ("failed", ["The relay refused the report"]), result.log
    assert "never-dispatched" in result.annotations[0].message
    assert "never-dispatched" in result.summary

    result = report(start_job(event=dispatched), audience="somebody-else")
    assert titles(result) == ["The relay does not accept the token"], result.log

    result = report(start_job("stranger/backend", event=dispatched))
    assert titles(result) == ["This repository is not on the relay's allowlist"], result.log
    assert result.outputs["http-status"] == "403"


def test_an_l1_repository_is_told_what_is_missing(
    stack: Stack, start_job: Callable[..., Job], report: Callable[..., StepResult]
) -> None:
    repo = "example-org/torch-newcomer"
    event = {"client_payload": register_dispatch(stack.state, repo, 1, SHA)}
    result = report(start_job(repo, event=event))
    assert (result.outputs["outcome"], result.conclusion) == ("ignored", "success"), result.log
    assert titles(result) == ["The relay does not show this repository's results"]
    assert "L1" in result.annotations[0].message


@pytest.mark.parametrize(("repo", "level"), [("contoso/torch-aurora", "L3"), ("fabrikam/torch-mesa", "L4")])
def test_at_l3_and_l4_it_says_that_upstream_check_runs_are_not_made_here(
    stack: Stack, start_job: Callable[..., Job], report: Callable[..., StepResult], repo: str, level: str
) -> None:
    event = {"client_payload": register_dispatch(stack.state, repo, 1, SHA)}
    result = report(start_job(repo, event=event))
    assert (result.outputs["outcome"], result.conclusion) == ("delivered", "success"), result.log
    (told,) = [note.message for note in result.annotations if level in note.message]
    assert "keep the step with CRCR's callback action" in told
