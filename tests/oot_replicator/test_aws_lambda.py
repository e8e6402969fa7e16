"""The Lambda handler on real stores: poison is buried and fails nobody, a store that is away fails the first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from hud_endpoint.aws_lambda import HandlerError
from oot_replicator import aws_lambda, connections
from oot_replicator.aws_lambda import stream_handler
from oot_replicator.rows.records import to_event
from tests.hud_endpoint.test_aws_lambda import Context
from tests.oot_replicator.records import record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clickhouse_connect.driver.client import Client

    from oot_local.stack import Stack

NOTHING: dict[str, Any] = {"batchItemFailures": []}
SEEN = (datetime.now(UTC) - timedelta(hours=2)).isoformat()


@pytest.fixture
def environment(stack: Stack, aws: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.setenv("CLICKHOUSE_URL", stack.state["clickhouse_url"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", stack.state["aws_endpoint_url"])
    for name in ("region_name", "aws_access_key_id", "aws_secret_access_key"):
        monkeypatch.setenv("AWS_DEFAULT_REGION" if name == "region_name" else name.upper(), aws[name])
    aws_lambda._writer.cache_clear()
    yield monkeypatch
    aws_lambda._writer.cache_clear()


@pytest.fixture
def repo() -> str:
    return f"lambda/{uuid.uuid4().hex}"


def event(repo: str, *changes: dict[str, Any]) -> dict[str, Any]:
    """An event as Lambda's runtime gives it: parsed from JSON."""
    times = {"first_seen": SEEN, "started_at": SEEN, "completed_at": SEEN, "downstream_repo": repo}
    told = [
        to_event(record(dynamoKey=f"{repo}/{number}", sequence_number=str(500 + number), **times | change))
        for number, change in enumerate(changes)
    ]
    parsed: dict[str, Any] = json.loads(json.dumps({"Records": told}))
    return parsed


def rows(client: Client, repo: str) -> list[str]:
    query = "SELECT dynamoKey FROM default.oot_workflow_job FINAL WHERE downstream_repo = {repo: String} ORDER BY 1"
    return [str(key) for (key,) in client.query(query, parameters={"repo": repo}).result_rows]


def dead(client: Client, repo: str) -> list[tuple[str, str]]:
    query = """
        SELECT sequence_number, reason FROM default.oot_replication_errors FINAL
        WHERE startsWith(record_id, {repo: String}) ORDER BY 1
    """
    return [(str(number), str(why)) for number, why in client.query(query, parameters={"repo": repo}).result_rows]


@pytest.mark.usefixtures("environment")
class TestStores:
    def test_a_batch_lands(self, clickhouse: Client, repo: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert stream_handler(event(repo, {}, {"status": "in_progress"}, {}), Context()) == NOTHING
        assert rows(clickhouse, repo) == [f"{repo}/0", f"{repo}/2"]
        metrics = json.loads(capsys.readouterr().out)
        assert (metrics["records"], metrics["rows"], metrics["dead_letters"]) == ([3.0], [2.0], [0.0])
        assert metrics["lag"][0] > 0
        assert metrics["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "OotHudReplicator"

    def test_poison_is_buried_and_fails_nobody(self, clickhouse: Client, repo: str) -> None:
        told = event(repo, {}, {"first_seen": "yesterday"}, {}, {"environment": "\ud800"}, {"revision": "x"}, {})
        assert stream_handler(told, Context()) == NOTHING
        assert rows(clickhouse, repo) == [f"{repo}/{number}" for number in (0, 2, 5)]
        assert [number for number, _ in dead(clickhouse, repo)] == ["501", "503", "504"]

    def test_a_removal_by_ttl_deletes_no_history(self, clickhouse: Client, repo: str) -> None:
        stream_handler(event(repo, {}, {}), Context())
        expired, deleted = event(repo, {"event": "REMOVE"}, {"event": "REMOVE"})["Records"]
        expired["userIdentity"] = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
        assert stream_handler({"Records": [expired, deleted]}, Context()) == NOTHING
        assert rows(clickhouse, repo) == [f"{repo}/0"]

    def test_an_event_twice_is_once(self, clickhouse: Client, repo: str) -> None:
        for _ in range(2):
            stream_handler(event(repo, {}, {"first_seen": "x"}), Context())
        assert (rows(clickhouse, repo), len(dead(clickhouse, repo))) == ([f"{repo}/0"], 1)

    def test_one_connection_serves_all_events(self, repo: str) -> None:
        for _ in range(3):
            stream_handler(event(repo, {}), Context())
        assert aws_lambda._writer.cache_info().misses <= 2, "one, or two where a period ended in between"

    def test_a_new_period_sees_the_columns_that_are_there_by_then(
        self, monkeypatch: pytest.MonkeyPatch, repo: str
    ) -> None:
        stream_handler(event(repo, {}), Context())
        before = aws_lambda._writer.cache_info().misses
        monkeypatch.setattr(aws_lambda, "RECONNECT_SECONDS", 1e-6)
        stream_handler(event(repo, {}), Context())
        assert aws_lambda._writer.cache_info().misses == before + 1


def test_while_clickhouse_is_away_lambda_shall_send_all_again(
    environment: pytest.MonkeyPatch, stack: Stack, clickhouse: Client, repo: str
) -> None:
    environment.setenv("CLICKHOUSE_URL", "http://127.0.0.1:9")
    told = event(repo, {}, {"first_seen": "x"}, {})
    assert stream_handler(told, Context()) == {"batchItemFailures": [{"itemIdentifier": "500"}]}
    assert dead(clickhouse, repo) == []
    environment.setenv("CLICKHOUSE_URL", stack.state["clickhouse_url"])
    assert stream_handler(told, Context()) == NOTHING
    assert (len(rows(clickhouse, repo)), len(dead(clickhouse, repo))) == (2, 1)


def test_while_the_dead_letters_store_is_away_as_well(
    environment: pytest.MonkeyPatch, clickhouse: Client, repo: str
) -> None:
    environment.setenv("DEAD_LETTER_QUEUE_URL", "http://127.0.0.1:9/no-such-queue")
    failed = stream_handler(event(repo, {}, {"first_seen": "x"}), Context())
    assert failed == {"batchItemFailures": [{"itemIdentifier": "500"}]}
    assert dead(clickhouse, repo) == []


@pytest.mark.parametrize(("told", "named"), [("complete", "'complete' is no status"), ("", "no status is named")])
def test_a_wrong_status_lets_no_record_pass_by_unwritten(
    environment: pytest.MonkeyPatch, repo: str, told: str, named: str
) -> None:
    environment.setenv("REPLICATE_STATUSES", told)
    with pytest.raises(
        HandlerError, match=f"ArgumentTypeError: {named}: REPLICATE_STATUSES lists in_progress and completed"
    ):
        stream_handler(event(repo, {}), Context())


def test_what_a_secret_holds_is_read_as_from_the_environment(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setattr("hud_endpoint.aws.secret_text", lambda _: '{"ASYNC_INSERT": true, "OTHER": "x"}')
    environment.setenv("OOT_HUD_SECRETS_ARN", "arn")
    environment.setenv("ASYNC_INSERT", "")
    connections.read_secret()
    assert os.environ["ASYNC_INSERT"] == "true"
    assert "OTHER" not in os.environ


@pytest.mark.parametrize("told", [{}, {"Records": []}])
def test_an_event_of_nothing(told: dict[str, Any]) -> None:
    assert stream_handler(told, Context()) == NOTHING


def test_a_cold_start_loads_no_client_before_it_is_needed() -> None:
    for name in ("stream_handler", "stats_handler", "verify_handler"):
        program = f"import sys, oot_replicator.aws_lambda as handlers; handlers.{name}; print(*sys.modules)"
        told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
        assert not {"boto3", "prometheus_client", "starlette", "fastapi"} & set(told.split()), name
