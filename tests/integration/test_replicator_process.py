"""The stream replicator as a process, on real stores: kill -9, ClickHouse away and back, an orderly end, replays."""

from __future__ import annotations

import argparse
import os
import re
import signal
import threading
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import requests

from hud_endpoint.clickhouse.connection import connect
from hud_endpoint.metrics import Metrics
from oot_local.processes import reserve_port
from oot_ops.create_tables import REPLICATOR_TABLE, dynamodb_tables
from oot_replicator import dynamo_to_clickhouse
from tests.integration.own_servers import own_clickhouse, python, start
from tests.integration.waiting import SECONDS, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clickhouse_connect.driver.client import Client
    from types_boto3_dynamodb.client import DynamoDBClient

    from oot_local.processes import Process
    from oot_local.stack import Stack

TODAY = datetime.now(UTC).isoformat()


class World:
    """A job table with a stream of its own, and replicators on it."""

    def __init__(self, stack: Stack, dynamodb: DynamoDBClient, aws: dict[str, Any], folder: Path) -> None:
        self.name = f"jobs-{uuid.uuid4().hex}"
        self.repo = f"workers/{uuid.uuid4().hex}"
        self.clickhouse_url = stack.state["clickhouse_url"]
        self._dynamodb = dynamodb
        self._folder = folder
        self._workers: list[Process] = []
        self.environment = {
            "AWS_ENDPOINT_URL": stack.state["aws_endpoint_url"],
            "AWS_DEFAULT_REGION": aws["region_name"],
            "AWS_ACCESS_KEY_ID": aws["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": aws["aws_secret_access_key"],
            "RESULTS_TABLE": self.name,
        }
        made = dynamodb.create_table(**{**dynamodb_tables()[0], "TableName": self.name})
        self.stream_arn = made["TableDescription"]["LatestStreamArn"]

    def put(self, first: int, count: int, **changes: dict[str, str]) -> None:
        for start_at in range(first, first + count, 25):
            items = [self._item(number, changes) for number in range(start_at, min(start_at + 25, first + count))]
            puts: Any = [{"PutRequest": {"Item": item}} for item in items]
            assert not self._dynamodb.batch_write_item(RequestItems={self.name: puts})["UnprocessedItems"]

    def _item(self, number: int, changes: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        return {
            "dynamoKey": {"S": f"{self.repo}/{number}"},
            "status": {"S": "completed"},
            "conclusion": {"S": "success"},
            "downstream_repo": {"S": self.repo},
            "first_seen": {"S": TODAY},
            "completed_at": {"S": TODAY},
            "total_tests": {"N": str(number)},
            "revision": {"N": "1"},
            **changes,
        }

    def worker(self, name: str, *flags: str, program: str = "") -> Process:
        argv = ["-c", program] if program else ["-m", "oot_ops", "replicate", *flags]
        env = self.environment | {"CLICKHOUSE_URL": self.clickhouse_url}
        process = python(name, argv, self._folder, env)
        self._workers.append(process)
        start(process)
        return process

    def log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text()

    def forget(self) -> None:
        """Forget how far the stream has been read."""
        self._dynamodb.delete_item(TableName=REPLICATOR_TABLE, Key={"pk": {"S": self.stream_arn}})

    def count(self, client: Client) -> int:
        query = "SELECT count() FROM default.oot_workflow_job FINAL WHERE downstream_repo = {repo: String}"
        return int(client.query(query, parameters={"repo": self.repo}).result_rows[0][0])

    def stop(self) -> None:
        for worker in self._workers:
            worker.stop()
        self._dynamodb.delete_table(TableName=self.name)


@pytest.fixture
def world(stack: Stack, dynamodb: DynamoDBClient, aws: dict[str, Any], tmp_path: Path) -> Iterator[World]:
    made = World(stack, dynamodb, aws, tmp_path)
    yield made
    made.stop()


def end(process: Process) -> int:
    """SIGTERM, and its exit code."""
    os.kill(process.pid, signal.SIGTERM)
    assert process.popen
    return process.popen.wait(SECONDS)


# Batches of 100, so that a kill comes between or within them.
SMALL_BATCHES = """
from oot_ops import cli
from oot_replicator.reading import stream
stream.BATCH = stream._READ = 100
raise SystemExit(cli.main(["replicate"]))
"""


def test_killed_in_mid_stream_it_loses_and_doubles_nothing(world: World, clickhouse: Client) -> None:
    world.put(0, 3000)
    for _ in range(3):
        before = world.count(clickhouse)
        assert before < 3000, "the kill must come in mid-stream"
        worker = world.worker("replicator", program=SMALL_BATCHES)
        wait_for(lambda: world.count(clickhouse) > before, "progress of the replicator")  # noqa: B023
        os.kill(worker.pid, signal.SIGKILL)
        assert worker.popen
        worker.popen.wait(SECONDS)
    world.worker("replicator")
    wait_for(lambda: world.count(clickhouse) == 3000, "all jobs in ClickHouse")
    query = """
        SELECT count(), uniqExact(dynamoKey), sum(total_tests), groupUniqArray(version % (5 * 10000000000000))
        FROM default.oot_workflow_job FINAL WHERE downstream_repo = {repo: String}
    """
    totals = clickhouse.query(query, parameters={"repo": world.repo}).result_rows[0]
    assert totals == (3000, 3000, sum(range(3000)), [3 * 10**13 + 1])
    errors = "SELECT count() FROM default.oot_replication_errors WHERE startsWith(record_id, {repo: String})"
    assert clickhouse.query(errors, parameters={"repo": world.repo}).result_rows == [(0,)]


def test_clickhouse_killed_and_back_nothing_is_lost(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    with own_clickhouse(folder) as (server, url):
        world.clickhouse_url = url
        world.worker("replicator")
        client = connect(url)
        world.put(0, 100)
        wait_for(lambda: world.count(client) == 100, "the rows of before")
        os.kill(server.pid, signal.SIGKILL)
        world.put(100, 300)
        wait_for(lambda: "store that is away" in world.log("replicator") or None, "the replicator to notice")
        back_at = time.monotonic()
        start(server)
        wait_for(lambda: world.count(connect(url)) == 400, "all rows")
        print(f"ClickHouse killed and back: 300 rows had waited, all there {time.monotonic() - back_at:.1f} s after")
        client.close()


def test_sigterm_ends_it_between_two_batches(world: World, clickhouse: Client) -> None:
    worker = world.worker("replicator")
    world.put(0, 1)
    wait_for(lambda: world.count(clickhouse) == 1, "the first row")
    world.put(1, 400)
    assert end(worker) == 0
    rest = world.worker("rest", "--once")
    assert rest.popen
    assert rest.popen.wait(SECONDS) == 0
    assert world.count(clickhouse) == 401
    rows = [int(rows) for name in ("replicator", "rest") for rows in re.findall(r'"rows":(\d+)', world.log(name))]
    assert sum(rows) == 401, "what was written is in the checkpoint: nothing is written twice"


def test_yesterdays_whole_stream_over_todays_data_changes_nothing(world: World, clickhouse: Client) -> None:
    world.put(0, 60, conclusion={"S": "failure"}, origin={"S": "sweeper"})
    world.put(0, 40, revision={"N": "2"})
    for number in range(5):
        world._dynamodb.delete_item(TableName=world.name, Key={"dynamoKey": {"S": f"{world.repo}/{number}"}})
    again = datetime.now(UTC).isoformat()
    world.put(0, 2, first_seen={"S": again}, conclusion={"S": "cancelled"})  # reported anew after their deletion
    query = "SELECT * FROM default.oot_workflow_job FINAL WHERE downstream_repo = {repo: String} ORDER BY dynamoKey"

    def replicated() -> list[Any]:
        assert world.worker("once", "--once").popen.wait(SECONDS) == 0  # type: ignore[union-attr]
        return list(clickhouse.query(query, parameters={"repo": world.repo}).result_rows)

    today = replicated()
    assert len(today) == 57  # five were deleted, two of them are back
    world.forget()
    assert replicated() == today
    written = sum(int(rows) for rows in re.findall(r'"rows":(\d+)', world.log("once")))
    assert written >= 2 * (60 + 40 + 5 + 2)
    print(f"the stream replayed: {written // 2} records again, 57 rows as they were")


def test_a_worker_reconnects_now_and_then_and_goes_on(
    world: World, clickhouse: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that it writes the columns that a migration has added since."""
    monkeypatch.setattr(dynamo_to_clickhouse, "RECONNECT_SECONDS", 0.2)
    connections = []
    connect_anew = dynamo_to_clickhouse.make_worker

    def make_worker(*arguments: Any) -> Any:
        connections.append(connect_anew(*arguments))
        return connections[-1]

    monkeypatch.setattr(dynamo_to_clickhouse, "make_worker", make_worker)
    for name, value in world.environment.items():
        monkeypatch.setenv(name, value)
    options = argparse.Namespace(
        table=world.name,
        clickhouse_url=world.clickhouse_url,
        statuses=["completed"],
        once=False,
        dead_letter_queue="",
        async_insert=False,
    )
    stop = threading.Event()
    thread = threading.Thread(target=dynamo_to_clickhouse.run, args=(options, stop, Metrics()))
    thread.start()
    try:
        for number in range(3):
            world.put(number, 1)
            wait_for(lambda: len(connections) > number + 1, "another connection")  # noqa: B023
        wait_for(lambda: world.count(clickhouse) == 3, "the rows")
    finally:
        stop.set()
        thread.join(SECONDS)


def test_metrics_are_served(world: World, clickhouse: Client) -> None:
    port = reserve_port(0, "metrics")
    world.worker("replicator", "--metrics-port", str(port))
    world.put(0, 7)
    world.put(7, 1, first_seen={"S": "yesterday"})
    wait_for(lambda: world.count(clickhouse) == 7, "the rows")

    def told() -> dict[str, float] | None:
        text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=60).text
        values = {name: float(value) for name, value in re.findall(r"^oot_replicator_(\w+) (\S+)$", text, re.MULTILINE)}
        return values if values.get("dead_letters_total") else None

    metrics = wait_for(told, "the metrics")
    assert (metrics["rows_total"], metrics["records_total"], metrics["shards"]) == (7, 8, 1)
    assert 0 <= metrics["lag_seconds"] < 60
