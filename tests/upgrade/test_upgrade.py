"""What an earlier commit wrote goes on under this one: nothing is lost, and nothing is turned.

The files beside this one hold all that a commit had left in its tables, some of it in the middle of its way. How they
were made stands in `write_fixture`.
"""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from hud_endpoint.clickhouse.ddl import migrations
from hud_endpoint.clickhouse.migrations import apply
from hud_endpoint.contract import RESULTS_TABLE, ConflictNote, RelayPayload
from hud_endpoint.errors import RefusedError
from hud_endpoint.events import GITHUB_EVENTS
from hud_endpoint.record import to_write
from hud_endpoint.relay.allowlist import Listed
from hud_endpoint.relay.forward import Conflicting, Delivered, Unavailable
from hud_endpoint.relay.outbox import DEAD, QUEUE
from hud_endpoint.relay.stores import RelayStores
from hud_endpoint.results.store import Outcome, ResultStore
from oot_local.github_actions import github_id
from oot_ops.create_tables import dynamodb_tables
from tests.hud_endpoint.clickhouse.history import in_databases
from tests.hud_endpoint.relay.desk import IDENTITY, Clock, Desk, new_table
from tests.hud_endpoint.samples import changed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clickhouse_connect.driver.client import Client
    from types_boto3_dynamodb.client import DynamoDBClient

    from hud_endpoint.relay.forward import Answer

FIXTURES = sorted(Path(__file__).parent.glob("*.json"))
DELIVERED, DUPLICATE, CONFLICT = (200, "delivered"), (200, "duplicate"), (409, "conflicting_completion")
ENDED = ("failed", "succeeded", "failed nightly")  # HUD has their completion
WAITING = ("waiting failure", "waiting success", "waiting both", "timed out, then failed")  # the outbox has it
TURNED = {"failure": "success", "success": "failure"}


class Upgraded:
    """A relay and a HUD of this commit, on the tables of an earlier one, an hour after it was stopped."""

    def __init__(self, client: DynamoDBClient, fixture: Path) -> None:
        self.client, self.left = client, json.loads(fixture.read_text())
        self.jobs: dict[str, Any] = self.left["jobs"]
        self.table, self.results = new_table(client), f"results-{uuid.uuid4().hex}"
        [like] = [table for table in dynamodb_tables() if table["TableName"] == RESULTS_TABLE]
        client.create_table(**{**like, "TableName": self.results})
        for table, items in ((self.table, "relay"), (self.results, "results")):
            for item in self.left[items]:
                client.put_item(TableName=table, Item=unplain(item))
        self.store = ResultStore(client, self.results)
        self.away = False
        self.desk = Desk(client, self.table, self._hud, clock=Clock(self.left["made_at"] + 3600))
        self.desk.handler._runs._ask = lambda _repo, _run: None
        self.stores = RelayStores.of(client, self.table)

    def _hud(self, payload: dict[str, Any]) -> Answer:
        if self.away:
            return Unavailable("no answer", ours=False)
        if "conflict" in payload:
            self.store.note_conflict(ConflictNote.model_validate(payload).conflict)
            return Delivered(duplicate=False)
        write = to_write(RelayPayload.model_validate(payload), now=datetime.now(UTC), retention_days=100)
        try:
            return Delivered(duplicate=self.store.apply(write) is Outcome.DUPLICATE)
        except RefusedError as error:
            return Conflicting(error.code, error.message)

    def body(self, name: str, status: str) -> dict[str, Any]:
        """Return what a job posted; where it has not ended yet, its end."""
        for callback in self.jobs[name]["callbacks"]:
            if callback["body"]["workflow"]["status"] == status:
                return dict(callback["body"])
        like, job = "failed" if status == "completed" else "running", self.jobs[name]
        ids = {f"workflow.{claim}": job["claims"][claim] for claim in ("run_id", "check_run_id")}
        return changed(self.body(like, status), {"delivery_id": job["delivery_id"], "event_type": job["event"], **ids})

    def post(self, name: str, body: dict[str, Any], token: str = "", **proven: Any) -> tuple[int, str]:
        """Post in a job's name; `token` "own" is the one that it used before, else it is a new one."""
        job = self.jobs[name]
        claims, repo = job["claims"], job["repo"]
        owned = [item["pk"]["S"] for item in self.left["relay"] if item.get("key", {}).get("S") == self.key(name)]
        [own] = [pk.removeprefix("token#") for pk in owned if pk.startswith("token#")] or [""]
        identity = replace(
            IDENTITY,
            repo=repo,
            repository_id=github_id(repo),
            repository_owner_id=github_id(repo.partition("/")[0]),
            run_id=claims["run_id"],
            check_run_id=claims["check_run_id"],
            event_name=claims["event_name"],
            grant=GITHUB_EVENTS[claims["event_name"]],
            token_id=own if token == "own" else uuid.uuid4().hex,
        )
        try:
            taken = self.desk.handler.accept(replace(identity, **proven), Listed(repo, "L2"), orjson.dumps(body))
        except RefusedError as error:
            return error.status, error.code
        return taken.status_code, taken.body["outcome"]

    def end(self, name: str, *, turned: bool = False, token: str = "") -> tuple[int, str]:
        """Post a job's end, or the other end."""
        body = self.body(name, "completed")
        conclusion = body["workflow"]["conclusion"]
        return self.post(
            name, changed(body, {"workflow.conclusion": TURNED[conclusion] if turned else conclusion}), token
        )

    def key(self, name: str) -> str:
        job = self.jobs[name]
        return f"{job['repo']}/{job['delivery_id']}/npu-ci/test-float32/{job['claims']['check_run_id']}"

    def item(self, name: str) -> dict[str, Any]:
        key = {"dynamoKey": {"S": self.key(name)}}
        return dict(self.client.get_item(TableName=self.results, Key=key, ConsistentRead=True).get("Item", {}))

    def shown(self, name: str) -> str:
        """Return what HUD shows of a job: its status, or how it ended and who said so."""
        item = self.item(name)
        if item.get("status") == {"S": "completed"}:
            return f"{item['conclusion']['S']} by {item['origin']['S']}"
        return str(item.get("status", {"S": "nothing"})["S"])

    def drain(self) -> None:
        """Let the worker do all that is due within two hours."""
        for _ in range(2):
            self.desk.clock.now += 3600  # type: ignore[attr-defined]
            self.desk.drain()


def unplain(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item as boto3 takes it."""
    return {
        name: {kind: base64.b64decode(data) if kind == "B" else data for kind, data in value.items()}
        for name, value in item.items()
    }


@pytest.fixture(params=FIXTURES, ids=lambda path: path.stem)
def upgraded(dynamodb: DynamoDBClient, request: pytest.FixtureRequest) -> Upgraded:
    return Upgraded(dynamodb, request.param)


def test_nothing_is_lost_where_nobody_does_anything(upgraded: Upgraded) -> None:
    upgraded.drain()
    assert {name: upgraded.shown(name) for name in upgraded.jobs} == {
        "running": "in_progress",
        "running push": "in_progress",
        "running nightly": "in_progress",
        "failed": "failure by job",
        "succeeded": "success by job",
        "failed nightly": "failure by job",
        "dispatched": "nothing",
        "timed out": "timed_out by sweeper",
        "timed out, then failed": "failure by job",
        "waiting failure": "failure by job",
        "waiting success": "success by job",
        "waiting start": "in_progress",
        "waiting both": "failure by job",
        "dead failure": "in_progress",  # until an operator replays it
    }
    assert list(upgraded.desk.outbox.entries(QUEUE)) == []
    for name in ENDED:
        [before] = [item for item in upgraded.left["results"] if item["dynamoKey"]["S"] == upgraded.key(name)]
        assert upgraded.item(name) == unplain(before)


@pytest.mark.parametrize("name", ENDED)
@pytest.mark.parametrize("token", ["own", "another"])
def test_what_hud_has_is_judged_by_hud(upgraded: Upgraded, name: str, token: str) -> None:
    before = upgraded.item(name)
    assert [upgraded.end(name, token=token) for _ in range(2)] == [DUPLICATE] * 2
    assert [upgraded.end(name, turned=True, token=token) for _ in range(2)] == [CONFLICT] * 2
    assert upgraded.end(name, token=token) == DUPLICATE
    upgraded.drain()
    after = upgraded.item(name)
    assert len(after.pop("conflicts")["SS"]) == 1  # the page says so
    assert {**after, "revision": before["revision"]} == before


@pytest.mark.parametrize("name", ENDED)
def test_the_other_end_first_is_refused_by_hud(upgraded: Upgraded, name: str) -> None:
    assert upgraded.end(name, turned=True) == CONFLICT
    assert upgraded.end(name) == DUPLICATE
    upgraded.away = True
    assert upgraded.end(name, turned=True) == CONFLICT  # by now the relay knows as well
    upgraded.away = False
    upgraded.drain()
    assert upgraded.item(name)["conclusion"]["S"] != TURNED[upgraded.item(name)["conclusion"]["S"]]


@pytest.mark.parametrize("name", WAITING)
@pytest.mark.parametrize("token", ["own", "another"])
@pytest.mark.parametrize("away", [True, False], ids=["HUD away", "HUD back"])
def test_nothing_overtakes_an_end_that_waits(upgraded: Upgraded, name: str, token: str, away: bool) -> None:  # noqa: FBT001 - a column
    upgraded.away = away
    assert upgraded.end(name, turned=True, token=token) == CONFLICT
    assert upgraded.end(name, token=token) == DUPLICATE
    assert upgraded.end(name, turned=True, token=token) == CONFLICT
    upgraded.away = False
    upgraded.drain()
    conclusion = upgraded.body(name, "completed")["workflow"]["conclusion"]
    assert upgraded.shown(name) == f"{conclusion} by job"
    assert len(upgraded.item(name)["conflicts"]["SS"]) == 1


def test_nor_a_dead_letter_which_an_operator_may_replay(upgraded: Upgraded) -> None:
    name = "dead failure"
    assert upgraded.end(name, turned=True) == CONFLICT
    assert upgraded.end(name) == DUPLICATE
    [letter] = upgraded.desk.outbox.entries(DEAD)
    assert upgraded.desk.outbox.replay(letter, upgraded.desk.clock())
    upgraded.drain()
    assert upgraded.shown(name) == "failure by job"
    assert upgraded.end(name, turned=True) == CONFLICT


@pytest.mark.parametrize("name", ["running", "running push", "running nightly", "timed out", "waiting start"])
def test_a_job_that_ran_ends(upgraded: Upgraded, name: str) -> None:
    assert upgraded.post(name, upgraded.body(name, "in_progress"), "own") == DUPLICATE
    assert upgraded.end(name, token="own") == DELIVERED
    assert upgraded.end(name, turned=True) == CONFLICT
    assert upgraded.end(name) == DUPLICATE
    upgraded.drain()
    assert upgraded.shown(name) == "failure by job"
    assert "started_at" in upgraded.item(name)


def test_who_comes_with_the_key_of_a_job_that_ran_does_not_take_it(upgraded: Upgraded) -> None:
    """The earlier relay did not keep which job it was; HUD did."""
    other = {"payload.head_sha": "b" * 40, "workflow.conclusion": "success"}
    body = changed(upgraded.body("running nightly", "completed"), other)
    assert [upgraded.post("running nightly", body) for _ in range(2)] == [(409, "conflicting_identity")] * 2
    assert upgraded.end("running nightly") == DELIVERED
    assert upgraded.post("running nightly", body) == (409, "conflicting_identity")
    assert upgraded.shown("running nightly") == "failure by job"


def test_a_job_that_stays_silent_is_timed_out(upgraded: Upgraded) -> None:
    silent = ["running", "running push", "running nightly", "waiting start"]
    upgraded.drain()
    swept = upgraded.stores.sweeper.sweep(upgraded.desk.clock() + 6 * 3600)
    assert sorted(swept.timed_out) == sorted(map(upgraded.key, silent))
    upgraded.desk.clock.now += 6 * 3600  # type: ignore[attr-defined]
    upgraded.drain()
    assert {upgraded.shown(name) for name in silent} == {"timed_out by sweeper"}
    assert upgraded.end("running") == DELIVERED
    assert upgraded.shown("running") == "failure by job"


@pytest.mark.parametrize("name", ["failed", "running", "waiting failure"])
def test_a_token_that_was_used_stays_its_job_s(upgraded: Upgraded, name: str) -> None:
    body = changed(upgraded.body(name, "completed"), {"workflow.job_name": "another"})
    assert upgraded.post(name, body, "own") == (401, "replayed_token")
    assert upgraded.post(name, body) == DELIVERED


@pytest.mark.parametrize("name", ["dispatched", "running", "waiting failure", "timed out"])
def test_what_was_dispatched_stays_dispatched(upgraded: Upgraded, name: str) -> None:
    nightly = changed(upgraded.body(name, "completed"), {"event_type": "nightly", "workflow.conclusion": "success"})
    scheduled: dict[str, Any] = {"event_name": "schedule", "grant": GITHUB_EVENTS["schedule"]}
    assert upgraded.post(name, nightly, **scheduled) == (403, "event_mismatch")
    upgraded.drain()
    assert not upgraded.shown(name).startswith("success")


def test_a_dispatch_is_answered(upgraded: Upgraded) -> None:
    assert upgraded.end("dispatched") == DELIVERED
    item = upgraded.item("dispatched")
    assert (item["dispatch_verified"], item["pr_number"]) == ({"BOOL": True}, {"N": "106"})


@pytest.fixture(params=FIXTURES, ids=lambda path: path.stem)
def database(clickhouse: Client, request: pytest.FixtureRequest) -> Iterator[tuple[str, dict[str, Any]]]:
    """A database with the migrations that an earlier commit had, and the rows that it wrote."""
    name, left = f"upgrade_{uuid.uuid4().hex}", json.loads(request.param.read_text())["clickhouse"]
    clickhouse.command(f"CREATE DATABASE {name} ENGINE = Atomic")
    apply(clickhouse, [step for step in inside(name) if step.number in left["migrations"]], database=name)
    rows = "\n".join(json.dumps(dict(zip(left["columns"], row, strict=True))) for row in left["rows"])
    clickhouse.raw_query(f"INSERT INTO {name}.oot_workflow_job FORMAT JSONEachRow\n{rows}")
    yield name, left
    for own in (f"{name}_oot", name):
        clickhouse.command(f"DROP DATABASE {own}")


def inside(database: str) -> list[Any]:
    """Return the migrations for a database, which keeps rows for a lifetime: those of the files get old."""
    return [
        step._replace(statements=[in_databases(statement, database) for statement in step.statements])
        for step in migrations(retention_days=10_000)
    ]


def test_rows_go_through_the_migrations(clickhouse: Client, database: tuple[str, dict[str, Any]]) -> None:
    name, left = database
    assert apply(clickhouse, inside(name), database=name)
    columns = ", ".join(f"`{column}`" for column in left["columns"])
    query = f"SELECT {columns} FROM {name}.oot_workflow_job FINAL ORDER BY dynamoKey FORMAT JSONCompactEachRow"  # noqa: S608
    rows = [json.loads(line) for line in clickhouse.raw_query(query).decode().splitlines()]
    assert rows == left["rows"]
    assert len(rows) >= 5
    query = f"SELECT DISTINCT commit_verified, repository_id, conflicts FROM {name}.oot_workflow_job FINAL"  # noqa: S608
    assert clickhouse.query(query).result_rows == [(False, "", "")]
    repos = {row[left["columns"].index("downstream_repo")] for row in rows}
    names = clickhouse.query(f"SELECT DISTINCT repo, repository_id FROM {name}.oot_repo_names").result_rows  # noqa: S608
    assert set(names) == {(repo, "") for repo in repos}  # the pages find what came before the names were kept
    query = f"SELECT count(), countIf(duration_seconds >= 0) FROM {name}.crcr_workflow_job"  # noqa: S608 - CRCR's
    assert clickhouse.query(query).result_rows == [(len(rows), len(rows))]
