"""HUD away, for real: what the relay took is queued, survives the relay's death, and comes home when HUD is back."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import requests

from hud_endpoint import app as apps
from hud_endpoint.contract import RESULTS_TABLE
from hud_endpoint.errors import RefusedError
from hud_endpoint.metrics import Metrics
from hud_endpoint.relay import forward as forwarding
from hud_endpoint.relay import outbox as outboxes
from hud_endpoint.relay import worker as workers
from hud_endpoint.relay.forward import Delivered, Unavailable
from hud_endpoint.relay.outbox import DEAD, QUEUE, Outbox
from hud_endpoint.relay.sweeper import Sweeper
from hud_endpoint.relay.worker import OutboxWorker
from hud_endpoint.settings import HudSettings, RelaySettings
from tests.hud_endpoint.relay.desk import Clock, Desk, new_table
from tests.hud_endpoint.relay.jobs import REPO, Job
from tests.hud_endpoint.samples import COMPLETED_CALLBACK, IN_PROGRESS, changed
from tests.hud_endpoint.serving import served
from tests.integration.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from types_boto3_dynamodb.client import DynamoDBClient

    from oot_local.stack import Stack

TOKEN = "the-service-token-of-this-test"


class Town:
    """A relay of the test's own, whose HUD is not there yet."""

    def __init__(self, stack: Stack, table: str, folder: Any, closing: ExitStack) -> None:
        self.stack, self.table, self.closing = stack, table, closing
        self.hud_listener = closing.enter_context(socket.socket())
        self.hud_listener.bind(("127.0.0.1", 0))  # bound, but not listening: it refuses every connection
        allowlist = folder / "allowlist.yaml"
        allowlist.write_text(f"L2: [{REPO}]")
        self.settings = RelaySettings(
            hud_api_url=f"http://127.0.0.1:{self.hud_listener.getsockname()[1]}/api/oot/results",
            hud_api_token=TOKEN,
            dispatch_token=TOKEN,
            callback_signing_key="k" * 64,
            allowlist=str(allowlist),
            oidc_issuers=(stack.state["github_url"],),
            relay_table=table,
            dispatch_policy="optional",
        )

    @contextmanager
    def relay(self) -> Iterator[Callable[[Job, dict[str, Any]], tuple[int, str]]]:
        """Run the relay; gives how to post to it: the status and the outcome, or the code."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            with served(apps.relay(self.settings), listener, lifespan="on") as url:

                def post(job: Job, base: dict[str, Any]) -> tuple[int, str]:
                    headers = {"authorization": f"Bearer {job.token()}"}
                    answer = requests.post(f"{url}/github/callback", json=job.body(base), headers=headers, timeout=60)
                    told = answer.json()
                    return answer.status_code, told.get("outcome") or told["code"]

                yield post

    def open_hud(self) -> None:
        hud = apps.hud(HudSettings(internal_api_token=TOKEN, clickhouse_url=self.stack.state["clickhouse_url"]))
        self.closing.enter_context(served(hud, self.hud_listener, lifespan="on"))


@pytest.fixture
def town(
    stack: Stack,
    dynamodb: DynamoDBClient,
    tmp_path: Any,
    aws_environment: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Town]:
    monkeypatch.setattr(outboxes, "INLINE_SECONDS", 0.2)
    monkeypatch.setattr(outboxes, "FIRST_WAIT_SECONDS", 0.05)
    monkeypatch.setattr(outboxes, "LONGEST_WAIT_SECONDS", 0.2)
    monkeypatch.setattr(workers, "PAUSE_SECONDS", 0.02)
    with ExitStack() as closing:
        yield Town(stack, new_table(dynamodb), tmp_path, closing)


def stored(dynamodb: DynamoDBClient, job: Job) -> dict[str, Any]:
    key = f"{REPO}/{job.delivery_id}/npu-ci/test-float32/{job.check_run_id}"
    return dict(dynamodb.get_item(TableName=RESULTS_TABLE, Key={"dynamoKey": {"S": key}}).get("Item", {}))


def arrived(dynamodb: DynamoDBClient, town: Town, job: Job) -> dict[str, Any]:
    """Wait until the job's end is with HUD and the outbox is empty; gives the record."""
    outbox = Outbox(dynamodb, town.table)

    def look() -> dict[str, Any] | None:
        item = stored(dynamodb, job)
        done = item.get("status") == {"S": "completed"} and outbox.depth(QUEUE)[0] == 0
        return item if done else None

    return wait_for(look, "the job's end at HUD")


def test_what_is_queued_while_hud_is_down_comes_home_when_it_is_back(dynamodb: DynamoDBClient, town: Town) -> None:
    job = Job(town.stack)
    with town.relay() as post:
        assert post(job, IN_PROGRESS) == (202, "queued")
        assert post(job, COMPLETED_CALLBACK) == (202, "queued")
        assert post(job, COMPLETED_CALLBACK) == (200, "duplicate")
        outbox = Outbox(dynamodb, town.table)
        wait_for(lambda: min(entry.attempts for entry in outbox.entries(QUEUE)) > 2, "the worker to try")
        assert stored(dynamodb, job) == {}
        town.open_hud()
        item = arrived(dynamodb, town, job)
        assert post(job, COMPLETED_CALLBACK) == (200, "duplicate")
    assert item["started_at"] == {"S": "2026-05-04T03:02:01.000000Z"}
    assert float(item["execution_time"]["N"]) >= 0
    assert outbox.depth(DEAD) == (0, None)


def test_what_one_relay_queued_another_delivers(dynamodb: DynamoDBClient, town: Town) -> None:
    job = Job(town.stack)
    with town.relay() as post:
        assert post(job, COMPLETED_CALLBACK) == (202, "queued")
    town.open_hud()
    with town.relay():
        assert arrived(dynamodb, town, job)["revision"] == {"N": "1"}


def test_a_relay_that_dies_before_it_answers_has_lost_nothing(
    dynamodb: DynamoDBClient, town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, dies = forwarding.forward, threading.Event()

    def forward(*arguments: Any) -> forwarding.Answer:
        if dies.is_set():
            dies.clear()
            raise SystemError("killed, between the transaction and the answer")
        return real(*arguments)

    monkeypatch.setattr(forwarding, "forward", forward)
    town.open_hud()
    job = Job(town.stack)
    with town.relay() as post:
        dies.set()
        assert post(job, COMPLETED_CALLBACK) == (500, "internal_error")
        assert post(job, COMPLETED_CALLBACK) == (200, "duplicate")  # it is durable
        assert arrived(dynamodb, town, job)["revision"] == {"N": "1"}


class TestTheWorkersRound:
    @pytest.fixture
    def desk(self, dynamodb: DynamoDBClient) -> Desk:
        self.table, self.away = new_table(dynamodb), True
        self.clock = Clock()

        def hud(_: dict[str, Any]) -> forwarding.Answer:
            return Unavailable("HTTP 503", ours=False) if self.away else Delivered(duplicate=False)

        return Desk(dynamodb, self.table, hud, clock=self.clock, dispatch_policy="optional")

    def worker(self, client: DynamoDBClient, desk: Desk) -> OutboxWorker:
        sweeper = Sweeper(client, self.table, desk.jobs, desk.outbox, desk.dispatches)
        return OutboxWorker(desk.outbox, desk.send, desk.handler.undo_step, sweeper, Metrics())

    def test_tries_what_is_due(self, dynamodb: DynamoDBClient, desk: Desk) -> None:
        for number in range(3):
            desk.post(changed(COMPLETED_CALLBACK, {"workflow.job_name": f"{number}"}), f"token-{number}")
        worker, self.away = self.worker(dynamodb, desk), False
        assert worker.drain() == 0
        self.clock.now += 3600
        assert [worker.drain(), worker.drain()] == [3, 0]

    def test_waits_while_the_store_is_away(
        self, dynamodb: DynamoDBClient, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: Any) -> None:
            raise RefusedError("store_unavailable", "no")

        desk.post(COMPLETED_CALLBACK, "a-token")
        self.clock.now += 3600
        with monkeypatch.context() as broken:
            broken.setattr(desk.outbox, "settle", fail)
            assert self.worker(dynamodb, desk).drain() == 0
        self.clock.now += 3600
        assert self.worker(dynamodb, desk).drain() == 1

    def test_goes_on_after_an_error_that_nobody_foresaw(self, town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
        rounds: list[int] = []

        def drain(worker: OutboxWorker) -> int:
            rounds.append(1)
            raise SystemError("unforeseen")

        monkeypatch.setattr(OutboxWorker, "drain", drain)
        with town.relay():
            wait_for(lambda: len(rounds) > 2, "another round")
