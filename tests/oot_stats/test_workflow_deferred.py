"""report-deferred.yml, run job by job: from the artifact that `mode: defer` leaves to the row on HUD."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from hud_endpoint.contract import RESULTS_TABLE
from oot_local.actions.job import Job, UsesCall
from oot_local.actions.parser import ActionParser
from oot_local.github import register_dispatch
from tests.hud_endpoint.samples import SHA
from tests.oot_stats.local_runs import archive, new_id
from tests.oot_stats.workflow_jobs import ROOT, Jobs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from types_boto3_dynamodb.client import DynamoDBClient

    from oot_local.stack import Stack
    from tests.oot_stats.local_runs import LocalRuns

REPO = "example-org/torch-sample"


@pytest.fixture(scope="module")
def parser() -> Iterator[ActionParser]:
    with ActionParser() as parser:
        yield parser


def follow(stack: Stack, parser: ActionParser, folder: Path, run: int, event: str) -> Jobs:
    """The run that follows on the default branch, as GitHub starts it."""
    claims = {"event_name": "workflow_run", "run_id": str(new_id()), "check_run_id": str(new_id())}
    body = {"repo": REPO, "claims": claims}
    started = requests.post(f"{stack.state['github_url']}/_local/jobs", json=body, timeout=60).json()
    return Jobs(
        "report-deferred.yml",
        folder,
        parser,
        oidc={
            "ACTIONS_ID_TOKEN_REQUEST_URL": started["request_url"],
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": started["request_token"],
        },
        github={
            "repository": REPO,
            "event_name": "workflow_run",
            "event": {"workflow_run": {"id": run, "run_attempt": 1, "event": event}},
            "token": "the-job-s-own",
            "api_url": stack.state["github_url"],
        },
        inputs={
            "callback-url": f"{stack.state['relay_url']}/github/callback/",
            "audience": "pytorch-cross-repo-ci-relay",
        },
    )


def test_a_report_left_behind_becomes_a_row(
    stack: Stack, github: LocalRuns, parser: ActionParser, tmp_path: Path, dynamodb: DynamoDBClient
) -> None:
    job_id, run_id = new_id(), new_id()
    payload = register_dispatch(stack.state, REPO, 7, SHA)
    kept: dict[str, bytes] = {}

    def keep(call: UsesCall) -> Mapping[str, str]:
        kept[call.inputs["name"]] = archive((Path(call.inputs["path"]).name, Path(call.inputs["path"]).read_bytes()))
        return {}

    (tmp_path / "backend").mkdir()
    with Job(
        tmp_path / "backend",
        tmp_path / "temp",
        github={
            "repository": REPO,
            "run_id": str(run_id),
            "event_name": "repository_dispatch",
            "event": {"client_payload": payload},
        },
        job={"check_run_id": job_id},
        uses_handlers={"actions/upload-artifact": keep},
        parser=parser,
    ) as job:
        inputs = {"status": "completed", "mode": "defer", "conclusion": "success", "test-results": '{"passed": 3}'}
        left = job.run_action(ROOT / "actions" / "report-result", inputs)
    assert left.outputs["outcome"] == "deferred", left.log

    ended = {"id": job_id, "name": "test", "conclusion": "failure"}  # whatever the step said before
    github.add(REPO, id=run_id, event="repository_dispatch", name="oot-ci", attempts=[{"jobs": [ended]}])
    ((name, data),) = kept.items()
    github.upload(run_id, name, data)
    (tmp_path / "following").mkdir()
    jobs = follow(stack, parser, tmp_path / "following", run_id, "repository_dispatch")
    assert (jobs.run("read"), jobs.run("post")) == ("success", "success"), jobs.logs
    key = f"{REPO}/{payload['delivery_id']}/oot-ci/test/{job_id}"
    item = dynamodb.get_item(TableName=RESULTS_TABLE, Key={"dynamoKey": {"S": key}})["Item"]
    assert {name: item[name]["S"] for name in ("conclusion", "origin")} == {
        "conclusion": "failure",
        "origin": "deferred",
    }
    assert item["passed_tests"]["N"] == "3"
    assert "`test`" in jobs.summaries["post"]
    assert payload["callback_token"] not in "".join(jobs.logs.values())


@pytest.mark.parametrize(
    ("event", "told", "results"),
    [
        ("pull_request", {"event": "pull_request"}, ("skipped", "skipped")),
        ("push", {"event": "pull_request"}, ("success", "skipped")),  # should the event have it wrong
        ("push", {"event": "push", "head_repository": "stranger/torch-sample"}, ("success", "skipped")),
        ("push", {"event": "push"}, ("success", "skipped")),  # nothing was left
    ],
    ids=range(4),
)
def test_nothing_is_posted_where_there_is_nothing_to_post(
    stack: Stack,
    github: LocalRuns,
    parser: ActionParser,
    tmp_path: Path,
    event: str,
    told: dict[str, Any],
    results: tuple[str, str],
) -> None:
    run_id = github.add(REPO, **told)
    if told != {"event": "push"}:
        github.upload(run_id, f"oot-hud-deferred-runattempt1-{uuid.uuid4()}", archive(("callback.json", b"{}")))
    jobs = follow(stack, parser, tmp_path, run_id, event)
    assert (jobs.run("read"), jobs.run("post")) == results, jobs.logs
