"""deploy/clickhouse/users.sql on a real server: each user can do its work, all of it, and nothing else."""

from __future__ import annotations

import argparse
import gzip
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
import boto3
import pytest
import requests
from clickhouse_connect.driver.exceptions import DatabaseError

from hud_endpoint.clickhouse.connection import connect
from hud_endpoint.clickhouse.ddl import insert_columns, migrations, rollups
from hud_endpoint.clickhouse.migrations import pending
from hud_endpoint.clickhouse.saved_queries import names, read_parameters, run, saved_query
from hud_endpoint.views.data.reader import ClickHouseReader
from hud_endpoint.views.models.filters import Filters
from oot_local.processes import reserve_port
from oot_ops.cli import main
from oot_ops.create_tables import create_clickhouse
from oot_ops.doctor import operator
from oot_replicator import verify
from oot_replicator.rows.transform import scanned
from oot_replicator.s3.loader import S3Loader
from oot_replicator.s3.source import S3Source
from oot_replicator.writing.letters import Table, letter
from oot_replicator.writing.writer import TABLE, Writer
from tests.deploy.own_clickhouse import configured_clickhouse
from tests.deploy.own_users import ACCESS_CONTROL, PASSWORDS, limits, statements, users_xml
from tests.hud_endpoint.clickhouse import history
from tests.hud_endpoint.clickhouse.test_saved_queries import FOLDER
from tests.hud_endpoint.views.test_oracle import RUNNING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clickhouse_connect.driver.client import Client
    from types_boto3_dynamodb.client import DynamoDBClient
NOW = datetime.now(UTC).replace(microsecond=0)
NOT_ALLOWED = r"(?i)not enough privileges|code: 497|in readonly mode|code: 164"
TABLES = [
    *("oot_workflow_job", "oot_test_failures", "oot_replication_errors", "oot_schema_version", "oot_s3_loads"),
    *("test_run_summary", "failed_test_runs", "test_run_s3"),
]


class Server(NamedTuple):
    """A ClickHouse with our schema and our users."""

    port: int

    def url(self, user: str) -> str:
        password = PASSWORDS.get(user, "")
        return f"http://{user}:{password}@127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(reserve_port(0, "clickhouse"))
    folder, files = tmp_path_factory.mktemp("users"), {"users.xml": users_xml()}
    with configured_clickhouse(folder, server.port, ACCESS_CONTROL, files):
        create_clickhouse(server.url("default"), "local", 100, "default")
        admin = connect(server.url("default"))
        history.load(admin, history.made_up(["users/a", "users/b"], NOW, "users"))
        history.refresh(admin)
        admin.close()
        yield server


def client_of(server: Server, user: str) -> Iterator[Client]:
    client = connect(server.url(user))
    yield client
    client.close()


@pytest.fixture(scope="module")
def admin(server: Server) -> Iterator[Client]:
    yield from client_of(server, "default")


@pytest.fixture(scope="module")
def reader(server: Server) -> Iterator[Client]:
    yield from client_of(server, "oot_hud_reader")


@pytest.fixture(scope="module")
def writer(server: Server) -> Iterator[Client]:
    yield from client_of(server, "oot_hud_writer")


@pytest.mark.parametrize("statement", statements(), ids=range(len(statements())))
def test_the_server_understands_each_statement(server: Server, statement: str) -> None:
    """It has nowhere to store users in: what it could not parse would end with code 62 instead."""
    secrets = {"param_reader_password": "a", "param_writer_password": "b"}
    answer = requests.post(f"http://127.0.0.1:{server.port}", params=secrets, data=statement, timeout=60)
    assert answer.headers["x-clickhouse-exception-code"] in ("514", "495"), answer.text


class TestReader:
    @pytest.mark.parametrize("name", sorted(names()))
    def test_it_runs_every_saved_query(self, name: str, reader: Client) -> None:
        for told in json.loads((FOLDER / name / "params.json").read_text())["tests"]:
            run(reader, name, read_parameters(saved_query(name), told))

    def test_it_reads_every_page(self, reader: Client) -> None:
        pages = ClickHouseReader(lambda: reader, RUNNING)

        async def read() -> None:
            summary = await pages.summary(Filters(days=30))
            assert {"users/a", "users/b"} <= {row.repo for row in summary.backends}
            assert (await pages.backend("users/a", Filters(days=30))).repo == "users/a"
            assert (await pages.pull_request(104)).number == 104
            assert (await pages.test("test_sdpa", Filters(days=30))).backends

        anyio.run(read)

    def test_it_makes_the_level_report(
        self, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("CLICKHOUSE_URL", server.url("oot_hud_reader"))
        assert main(["level-report", "--json"]) == 0
        assert "users/a" in capsys.readouterr().out

    @pytest.mark.parametrize(
        "statement",
        [
            *(f"INSERT INTO default.{name} SELECT * FROM default.{name} LIMIT 0" for name in TABLES),  # noqa: S608
            *(f"{verb} TABLE default.oot_workflow_job" for verb in ("DROP", "TRUNCATE", "OPTIMIZE")),
            "ALTER TABLE default.oot_workflow_job DELETE WHERE 1",
            "DELETE FROM default.oot_workflow_job WHERE 1",
            "CREATE TABLE default.mine (a Int8) ENGINE = MergeTree ORDER BY a",
            "CREATE TABLE oot.mine (a Int8) ENGINE = MergeTree ORDER BY a",
            "CREATE VIEW default.oot_verify_mine AS SELECT 1",
            "CREATE FUNCTION mine AS x -> x",
            "SYSTEM REFRESH VIEW oot.backend_hours_mv",
            "SYSTEM SHUTDOWN",
            "KILL QUERY WHERE 1",
            "CREATE USER mine",
            "GRANT SELECT ON *.* TO oot_hud_reader",
        ],
    )
    def test_it_changes_nothing(self, reader: Client, statement: str) -> None:
        with pytest.raises(DatabaseError, match=NOT_ALLOWED):
            reader.command(statement)

    @pytest.mark.parametrize(
        "source",
        [
            *("default.oot_replication_errors", "default.oot_schema_version", "default.oot_s3_loads"),
            *("default.test_run_summary", "default.failed_test_runs", "default.test_run_s3"),
            *("system.processes", "system.users", "system.named_collections", "system.clusters", "system.macros"),
            *("url('http://127.0.0.1:1', 'CSV', 'a String')", "file('/etc/passwd', 'LineAsString', 'a String')"),
            *("s3('http://127.0.0.1:1/bucket/key', NOSIGN, 'CSV', 'a String')", "remote('127.0.0.1', system.one)"),
            *("executable('id', 'CSV', 'a String')", "mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')"),
        ],
    )
    def test_it_reads_nothing_that_pages_do_not_show(self, reader: Client, source: str) -> None:
        with pytest.raises(DatabaseError, match=NOT_ALLOWED):
            reader.query(f"SELECT * FROM {source} LIMIT 1")  # noqa: S608 - from the table above

    @pytest.mark.parametrize("value", ["above", "none"])
    @pytest.mark.parametrize("limit", [one for one in limits() if one.high], ids=lambda one: one.name)
    def test_it_can_not_raise_its_limits(self, server: Server, limit: Any, value: str) -> None:
        raised = str(int(limit.high) + 1) if value == "above" else "0"
        address, user = f"http://127.0.0.1:{server.port}/", ("oot_hud_reader", PASSWORDS["oot_hud_reader"])
        for asked, code in ((raised, "452"), (limit.high, None)):
            answer = requests.get(address, {"query": "SELECT 1", limit.name: asked}, auth=user, timeout=60)
            assert answer.headers.get("x-clickhouse-exception-code") == code, answer.text

    def test_it_stays_a_reader(self, server: Server) -> None:
        asked = {"query": "SELECT 1", "readonly": "0"}
        user = ("oot_hud_reader", PASSWORDS["oot_hud_reader"])
        answer = requests.get(f"http://127.0.0.1:{server.port}/", asked, auth=user, timeout=60)
        assert answer.headers["x-clickhouse-exception-code"] == "164", answer.text


def job(number: int) -> dict[str, Any]:
    seen = (NOW - timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    return {
        "dynamoKey": {"S": f"users/w/d{number}/ci/test/{number}"},
        "status": {"S": "completed"},
        "conclusion": {"S": "failure"},
        "downstream_repo": {"S": "users/w"},
        "delivery_id": {"S": f"d{number}"},
        "first_seen": {"S": seen},
        "completed_at": {"S": seen},
        "failed_tests_json": {"S": json.dumps([{"name": f"test_{number}", "status": "failure"}])},
        "revision": {"N": "2"},
    }


class TestWriter:
    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_it_replicates(self, writer: Client, admin: Client, *, asynchronous: bool) -> None:
        number = 10 + asynchronous
        replicator = Writer(writer, insert_columns(writer, TABLE), ["completed"], asynchronous=asynchronous)
        assert replicator.write([scanned(job(number), NOW)]) == (1, 0)
        found = admin.query(f"SELECT count() FROM default.oot_test_failures WHERE name = 'test_{number}'")  # noqa: S608
        assert found.result_rows == [(1,)]

    def test_it_verifies_and_repairs(
        self,
        server: Server,
        dynamodb: DynamoDBClient,
        aws: dict[str, Any],
        monkeypatch: pytest.MonkeyPatch,
        admin: Client,
    ) -> None:
        table = f"users-{uuid.uuid4().hex}"
        dynamodb.create_table(
            TableName=table,
            KeySchema=[{"AttributeName": "dynamoKey", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "dynamoKey", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        dynamodb.put_item(TableName=table, Item=job(20))
        monkeypatch.setenv("AWS_DEFAULT_REGION", aws["region_name"])
        for name in ("endpoint_url", "aws_access_key_id", "aws_secret_access_key"):
            monkeypatch.setenv(f"AWS_{name.removeprefix('aws_')}".upper(), aws[name])
        options = argparse.Namespace(
            table=table,
            clickhouse_url=server.url("oot_hud_writer"),
            statuses="completed",
            since=timedelta(hours=2),
            retention_days=100,
            lag=0.0,
            segments=1,
            units_per_second=0.0,
            json=True,
        )
        report = verify.run(options, repair=True, delete_extra=True)
        assert report.counts()["missing"] == 1
        assert report.repaired >= 1
        assert verify.run(options, repair=False).different == 0
        assert admin.query("SELECT name FROM system.tables WHERE name LIKE 'oot_verify%'").result_rows == []

    def test_it_keeps_replays_and_drops_dead_letters(
        self, server: Server, writer: Client, capsys: pytest.CaptureFixture[str]
    ) -> None:
        url, one = server.url("oot_hud_writer"), letter(scanned(job(30), NOW), "why")

        def told(*command: str) -> str:
            assert main(["dead-letters", *command, "--clickhouse-url", url]) == 0
            return capsys.readouterr().out.splitlines()[-1]

        for command, done in ((["replay"], "replayed"), (["drop", "--all"], "dropped")):
            Table(writer).bury([one])
            assert told("list") == "1 dead letters"
            assert told(*command) == f"1 dead letters {done}"
            assert told("list") == "0 dead letters"

    @pytest.mark.parametrize("prefix", ["test_run_summary", "failed_test_runs", "test_run"])
    def test_it_loads_test_stats_again_and_again(self, writer: Client, aws: dict[str, Any], prefix: str) -> None:
        s3, bucket, key = boto3.client("s3", **aws), f"users-{uuid.uuid4().hex}", f"{prefix}/240/1"
        s3.create_bucket(Bucket=bucket)
        loader = S3Loader(writer, S3Source(aws["endpoint_url"], "environment", keys=lambda: ("local", "local")))
        for count in (3, 2):  # the second content is shorter: rows are deleted
            lines = b'{"classname": "A", "file": "a.py", "job_id": 1}\n' * count + b"no row\n"
            s3.put_object(Bucket=bucket, Key=key, Body=gzip.compress(lines))
            (loaded,) = loader.load(bucket, [key], force=True)
            assert (loaded.state, loaded.rows, loaded.bad_lines) == ("loaded", count, 1), loaded
        assert loader.keys(bucket, f"{prefix}/") == [key]
        assert (bucket, key) in loader.to_replay()
        s3.close()

    def test_doctor_sees_the_schema_and_the_rollups(self, writer: Client) -> None:
        assert pending(writer, migrations()) == []
        rollups_views = [f"{table}_mv" for table in rollups()]
        told = list(operator._rollups(writer))
        assert {check.state for check in told} <= {"ok", "warn"}, told  # warn: not refreshed yet
        assert {check.name for check in told} <= {"rollups", *(f"rollup {view}" for view in rollups_views)}
        assert "sees none" not in str(told)

    @pytest.mark.parametrize(
        "statement",
        [
            *(f"DROP TABLE default.{name}" for name in TABLES),
            *(f"TRUNCATE TABLE default.{name}" for name in TABLES),
            *(f"ALTER TABLE default.{name} ADD COLUMN mine Int8" for name in TABLES),
            "DELETE FROM default.oot_workflow_job WHERE 1",
            "INSERT INTO default.oot_schema_version (number) VALUES (99)",
            "INSERT INTO default.oot_test_failures (name) VALUES ('mine')",
            "DROP VIEW default.oot_test_failures_mv",
            "CREATE TABLE default.oot_mine (a Int8) ENGINE = MergeTree ORDER BY a",
            "CREATE TABLE default.oot_verify_mine (a String) ENGINE = URL('http://127.0.0.1:1', 'CSV')",
            "INSERT INTO FUNCTION s3('http://127.0.0.1:1/bucket/key', NOSIGN, 'CSV', 'a String') VALUES ('x')",
            "DROP DATABASE oot",
            "SELECT * FROM oot.backend_hours",
            "SELECT * FROM system.processes",
            "CREATE USER mine",
        ],
    )
    def test_it_leaves_the_schema_and_the_history_alone(self, writer: Client, statement: str) -> None:
        with pytest.raises(DatabaseError, match=NOT_ALLOWED):
            writer.command(statement)
