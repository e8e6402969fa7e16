"""doctor: a sound set-up passes every check, and each broken one is named with its remedy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import requests

from hud_endpoint.clickhouse.ddl import rollups
from hud_endpoint.contract import RELAY_TABLE
from hud_endpoint.relay.outbox import Outbox
from hud_endpoint.relay.sweeper import HEARTBEAT
from oot_ops.create_tables import dynamodb_tables
from oot_ops.doctor import backend
from oot_ops.doctor import operator as doctor_operator
from oot_ops.doctor.operator import examine as examine_stores
from oot_runner.command_line import overlay
from tests.hud_endpoint.web import Answer, Web
from tests.oot_ops.test_relay_commands import store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from types_boto3_dynamodb.client import DynamoDBClient

    from oot_local.stack import Stack
    from oot_ops.doctor.check import Check

SHA = "3f1c9be2d8a04c5e9b7d6a1f0c2e4b8d7a5f9e13"
ALLOWLIST = "L1: [example-org/newcomer]\nL2: [example-org/torch-sample]\n"


class Seen(NamedTuple):
    checks: dict[str, Check]

    def state(self, name: str) -> str:
        return self.checks[name].state

    def failed(self) -> set[str]:
        return {name for name, check in self.checks.items() if check.state == "fail"}


def seen_of(made: Iterable[Check]) -> Seen:
    """The worst check of each name; every one that is not well says what to do."""
    checks: dict[str, Check] = {}
    order = ("skip", "ok", "warn", "fail")
    for check in made:
        known = checks.get(check.name)
        if known is None or order.index(known.state) < order.index(check.state):
            checks[check.name] = check
    for check in checks.values():
        assert check.remedy or check.state in ("ok", "skip"), check
    return Seen(checks)


@pytest.fixture
def job(stack: Stack, tmp_path: Path) -> dict[str, str]:
    """The environment of a sound job, in GitHub's own variables and report-result's inputs."""
    asked = {"repo": "example-org/torch-sample", "claims": {}}
    started = requests.post(f"{stack.state['github_url']}/_local/jobs", json=asked, timeout=60).json()
    (tmp_path / "allowlist.yml").write_text(ALLOWLIST)
    (tmp_path / "junit.xml").write_text('<testsuite><testcase classname="a" name="b"/></testsuite>')
    payload = {"event_type": "pull_request", "delivery_id": "d1", "payload": {"pull_request": {"number": 1}}}
    (tmp_path / "event.json").write_text(json.dumps({"client_payload": payload}))
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_REPOSITORY": "example-org/torch-sample",
        "GITHUB_RUN_ID": "240",
        "GITHUB_RUN_ATTEMPT": "1",
        "GITHUB_WORKFLOW": "ci",
        "GITHUB_JOB": "test",
        "GITHUB_EVENT_NAME": "repository_dispatch",
        "GITHUB_EVENT_PATH": str(tmp_path / "event.json"),
        "GITHUB_WORKSPACE": str(tmp_path),
        "ACTIONS_ID_TOKEN_REQUEST_URL": started["request_url"],
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": started["request_token"],
        "OOT_CALLBACK_URL": f"{stack.state['relay_url']}/github/callback",
        "OOT_TEST_REPORTS": "*.xml",
        "OOT_RETRIES": "0",
    }


def examine(job: dict[str, str], *flags: str, repo: str | None = None) -> Seen:
    environ = overlay(list(flags), {"OOT_STATUS": "completed", "OOT_CONCLUSION": "success", **job})
    return seen_of(backend.examine(environ, allowlist=f"{job['GITHUB_WORKSPACE']}/allowlist.yml", repo=repo))


class TestBackend:
    def test_a_sound_job_is_told_so(self, job: dict[str, str]) -> None:
        seen = examine(job)
        assert seen.failed() == set(), seen
        assert seen.checks["test reports"].seen == "1 files: 1 total, 1 passed"
        assert "pull_request, delivery d1" in seen.checks["what would be sent"].seen
        assert seen.checks["level"].seen == "example-org/torch-sample is at L2"
        assert seen.state("token's audience") == seen.state("clock") == seen.state("relay") == "ok"

    def test_no_permission_for_tokens(self, job: dict[str, str]) -> None:
        del job["ACTIONS_ID_TOKEN_REQUEST_URL"]
        seen = examine(job)
        assert seen.failed() == {"token"}
        assert "id-token: write" in seen.checks["token"].remedy

    def test_a_token_for_another_audience(self, job: dict[str, str], stack: Stack, tmp_path: Path) -> None:
        asked = {"repo": "example-org/torch-sample", "audience": "sts.amazonaws.com"}
        minted = requests.post(f"{stack.state['github_url']}/_local/mint", json=asked, timeout=60).json()
        (tmp_path / "token").write_text(minted["token"])
        seen = examine(job, "--token-file", str(tmp_path / "token"))
        assert seen.failed() == {"token's audience"}
        assert "pytorch-cross-repo-ci-relay" in seen.checks["token's audience"].remedy

    def test_an_event_that_the_relay_refuses(self, job: dict[str, str], stack: Stack, tmp_path: Path) -> None:
        asked = {"repo": "example-org/torch-sample", "claims": {"event_name": "pull_request_target"}}
        minted = requests.post(f"{stack.state['github_url']}/_local/mint", json=asked, timeout=60).json()
        (tmp_path / "token").write_text(minted["token"])
        assert examine(job, "--token-file", str(tmp_path / "token")).failed() == {"token's event"}

    @pytest.mark.parametrize(
        ("repo", "state", "told"),
        [("example-org/newcomer", "warn", "at L1"), ("example-org/stranger", "fail", "not on the allowlist")],
    )
    def test_a_repo_that_is_not_shown(self, job: dict[str, str], repo: str, state: str, told: str) -> None:
        seen = examine(job, repo=repo)
        assert seen.state("level") == state
        assert told in seen.checks["level"].seen

    def test_no_reports(self, job: dict[str, str]) -> None:
        seen = examine(job, "--test-reports", "nowhere/*.xml")
        assert seen.state("test reports") == "warn"
        assert "does not exist" in seen.checks["test reports"].seen

    def test_a_relay_that_does_not_answer(self, job: dict[str, str]) -> None:
        seen = examine(job, "--callback-url", "http://127.0.0.1:9/github/callback")
        assert seen.failed() == {"relay"}
        assert "refused" in seen.checks["relay"].seen

    @pytest.mark.parametrize(("ahead", "told"), [(-3600, "behind"), (3600, "ahead of")])
    def test_a_clock_that_is_wrong(self, job: dict[str, str], web: Web, ahead: int, told: str) -> None:
        date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() - ahead))
        web.answers["/github/callback"] = Answer(405, headers={"Date": date})
        seen = examine(job, "--callback-url", f"{web.url}/github/callback")
        assert seen.failed() == {"clock"}
        assert told in seen.checks["clock"].seen

    def test_a_proxy_is_named_without_its_password(self, job: dict[str, str]) -> None:
        seen = examine({**job, "HTTPS_PROXY": "http://user:hunter2@proxy.example:3128", "NO_PROXY": "127.0.0.1"})
        assert "is exempt" in seen.checks["proxy"].seen
        seen = examine({**job, "HTTPS_PROXY": "http://user:hunter2@proxy.example:3128"}, "--retries", "0")
        assert "through proxy.example" in seen.checks["proxy"].seen
        assert "hunter2" not in str(seen)

    def test_a_wrong_input_is_told_and_ends_it(self, job: dict[str, str]) -> None:
        assert examine(job, "--max-time", "soon").failed() == {"inputs"}

    def test_outside_any_ci_it_checks_what_it_can(self, job: dict[str, str], stack: Stack) -> None:
        told = ["--run-id", "1", "--workflow-name", "ci", "--event-type", "nightly"]
        told += ["--delivery-id", SHA, "--callback-url", f"{stack.state['relay_url']}/github/callback"]
        env = {"GITHUB_WORKSPACE": job["GITHUB_WORKSPACE"]}
        seen = examine(env, *told, repo="example-org/torch-sample")
        assert seen.failed() == set()
        assert seen.state("token") == "skip"


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    yield server
    server.close()


@pytest.fixture
def relay(dynamodb: DynamoDBClient) -> str:
    """A relay's table of the test's own, which a sweeper has just swept."""
    table = f"relay-{uuid.uuid4().hex[:8]}"
    (made,) = [table for table in dynamodb_tables() if table["TableName"] == RELAY_TABLE]
    dynamodb.create_table(**{**made, "TableName": table})
    expiry: Any = {"Enabled": True, "AttributeName": "expires_at"}
    dynamodb.update_time_to_live(TableName=table, TimeToLiveSpecification=expiry)
    beat(dynamodb, table, time.time())
    return table


@pytest.fixture
def operator(stack: Stack, dynamodb: DynamoDBClient, relay: str) -> Iterator[Callable[..., Seen]]:
    """Runs doctor on the stack's stores."""

    def run(**changes: str) -> Seen:
        env = {
            "AWS_ENDPOINT_URL": stack.state["aws_endpoint_url"],
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": "us-east-1",
            "CLICKHOUSE_URL": stack.state["clickhouse_url"],
            "HUD_API_URL": f"{stack.state['hud_url']}/api/oot/results",
            "HUD_API_TOKEN": stack.state["internal_api_token"],
            "RELAY_TABLE": relay,
        }
        with pytest.MonkeyPatch.context() as environment:
            for name, value in {**env, **changes}.items():
                environment.setenv(name, value)
            return seen_of(examine_stores(dict(os.environ)))

    yield run
    dynamodb.delete_table(TableName=relay)


def beat(dynamodb: DynamoDBClient, table: str, at: float) -> None:
    dynamodb.put_item(TableName=table, Item={**HEARTBEAT, "at": {"N": str(at)}, "timed_out": {"N": "0"}})


class TestOperator:
    def test_a_sound_stack_is_told_so(self, operator: Callable[..., Seen]) -> None:
        seen = operator()
        assert seen.failed() == set(), seen
        assert "accepts the relay's token" in seen.checks["HUD endpoint"].seen
        assert "migrations are applied" in seen.checks["schema"].seen
        assert seen.checks["outbox"].seen == "0 results wait for HUD"
        views = [check for name, check in seen.checks.items() if name.startswith("rollup")]
        assert views
        assert all(check.state == "ok" or check.seen == "not refreshed yet" for check in views), views

    def test_a_rollup_that_is_not_there(self, operator: Callable[..., Seen], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(doctor_operator, "rollups", lambda: [*rollups(), "newer"])
        assert "newer_mv" in operator().checks["rollups"].seen

    def test_rollups_that_nobody_refreshes(
        self, operator: Callable[..., Seen], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(doctor_operator, "ROLLUP_SECONDS", -1)
        seen = operator()
        assert "rollup backend_hours_mv" in seen.failed()
        assert "SYSTEM REFRESH VIEW oot.backend_hours_mv" in seen.checks["rollup backend_hours_mv"].remedy

    def test_no_dynamodb(self, operator: Callable[..., Seen]) -> None:
        assert operator(AWS_ENDPOINT_URL="http://127.0.0.1:9").failed() == {"DynamoDB"}

    def test_a_table_that_is_not_there(self, operator: Callable[..., Seen]) -> None:
        seen = operator(RESULTS_TABLE="nowhere")
        assert seen.failed() == {"table nowhere"}
        assert "oot-hud tables" in seen.checks["table nowhere"].remedy

    def test_a_table_without_a_stream_or_its_indexes(
        self, operator: Callable[..., Seen], dynamodb: DynamoDBClient
    ) -> None:
        wanted = dict(dynamodb_tables()[0])
        for name, change in {"streamless": {"StreamSpecification"}, "indexless": {"GlobalSecondaryIndexes"}}.items():
            kept = {key: value for key, value in wanted.items() if key not in change}
            if name == "indexless":
                kept["AttributeDefinitions"] = kept["AttributeDefinitions"][:1]
            dynamodb.create_table(**{**kept, "TableName": name})
        assert operator(RESULTS_TABLE="streamless").failed() == {"stream of streamless"}
        assert operator(RESULTS_TABLE="indexless").failed() == {"table indexless"}

    def test_no_clickhouse(self, operator: Callable[..., Seen]) -> None:
        seen = operator(CLICKHOUSE_URL="http://someone:hunter2@127.0.0.1:9")
        assert seen.failed() == {"ClickHouse"}
        assert "hunter2" not in str(seen)

    def test_a_token_that_hud_refuses(self, operator: Callable[..., Seen]) -> None:
        seen = operator(HUD_API_TOKEN="0123456789abcdef")
        assert seen.failed() == {"HUD endpoint"}
        assert "INTERNAL_API_TOKEN" in seen.checks["HUD endpoint"].remedy

    def test_an_address_that_is_not_huds(self, operator: Callable[..., Seen], stack: Stack) -> None:
        assert operator(HUD_API_URL=f"{stack.state['hud_url']}/nowhere").failed() == {"HUD endpoint"}

    def test_a_sweeper_that_sleeps(self, operator: Callable[..., Seen], dynamodb: DynamoDBClient, relay: str) -> None:
        beat(dynamodb, relay, time.time() - 7200)
        assert operator().failed() == {"sweeper"}
        dynamodb.delete_item(TableName=relay, Key=HEARTBEAT)
        assert "never run" in operator().checks["sweeper"].seen

    def test_results_that_wait_and_dead_letters(
        self, operator: Callable[..., Seen], dynamodb: DynamoDBClient, relay: str
    ) -> None:
        outbox = Outbox(dynamodb, relay)
        store(dynamodb, outbox, "org/a", queue="dead")
        store(dynamodb, outbox, "org/b", created_at=time.time() - 7200, entry_id=f"{int(time.time() - 7200) * 1000}-x")
        seen = operator()
        assert seen.failed() == {"outbox"}
        assert seen.state("dead letters of the relay") == "warn"


def test_people_get_signs_and_remedies_on_lines_of_their_own(job: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "oot_ops", "doctor", "backend", "--callback-url", "http://127.0.0.1:9/x"],
        env={**job, "PATH": os.environ["PATH"], "PYTHONPATH": os.environ["PYTHONPATH"], "OOT_MAX_TIME": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 1
    assert "ok   job: example-org/torch-sample, ci / test, run 240\n" in done.stdout
    assert "FAIL relay: 127.0.0.1:9 did not answer" in done.stdout
    assert "\n       Check callback-url" in done.stdout
    assert "1 failed" in done.stdout
