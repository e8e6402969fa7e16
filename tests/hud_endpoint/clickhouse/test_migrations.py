"""Migrations: applied once and in order, whoever else runs them, wherever the last run was cut off."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from hud_endpoint.clickhouse.connection import connect
from hud_endpoint.clickhouse.ddl import Migration, insert_columns, migrations, rollups
from hud_endpoint.clickhouse.migrations import MigrationError, apply, pending
from tests.hud_endpoint.clickhouse import history
from tests.hud_endpoint.clickhouse.history import in_databases

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clickhouse_connect.driver.client import Client

    from oot_local.stack import Stack


@pytest.fixture
def database(clickhouse: Client) -> Iterator[str]:
    """A database of the test's own."""
    name = f"migrations_{uuid.uuid4().hex}"
    clickhouse.command(f"CREATE DATABASE {name} ENGINE = Atomic")
    yield name
    for database in (f"{name}_oot", name):
        clickhouse.command(f"DROP DATABASE IF EXISTS {database}")


def inside(database: str, given: list[Migration] | None = None) -> list[Migration]:
    """The schema's migrations, made for this database."""
    return [
        one._replace(statements=[in_databases(statement, database) for statement in one.statements])
        for one in (migrations() if given is None else given)
    ]


def recorded(client: Client, database: str) -> list[Any]:
    query = f"SELECT number, name FROM {database}.oot_schema_version FINAL ORDER BY number"  # noqa: S608 - our own name
    return list(client.query(query).result_rows)


def tables(client: Client, database: str) -> list[Any]:
    query = "SELECT name, uuid FROM system.tables WHERE database = {name: String} ORDER BY name"
    return list(client.query(query, parameters={"name": database}).result_rows)


def test_a_new_database_gets_all_of_them_and_a_second_run_nothing(clickhouse: Client, database: str) -> None:
    ours = inside(database)
    assert apply(clickhouse, ours, database=database) == ours
    assert recorded(clickhouse, database) == [(one.number, one.name) for one in ours]
    before = tables(clickhouse, database)
    assert apply(clickhouse, ours, database=database) == []
    assert tables(clickhouse, database) == before


def test_runs_of_the_whole_schema_at_the_same_time_end_as_one(clickhouse: Client, database: str, stack: Stack) -> None:
    """Also where a file makes views anew that the other run is about to read."""
    ours, gate = inside(database), threading.Barrier(4)

    def one(number: int) -> None:
        client = connect(stack.state["clickhouse_url"])
        gate.wait()
        threading.Event().wait(0.15 * number)  # one after the other, a few statements apart
        apply(client, ours, database=database)
        client.close()

    with ThreadPoolExecutor(4) as pool:
        for ran in [pool.submit(one, number) for number in range(4)]:
            ran.result()
    assert recorded(clickhouse, database) == [(step.number, step.name) for step in ours]
    views = clickhouse.query(
        "SELECT name FROM system.tables WHERE database = {name: String} AND engine = 'MaterializedView'",
        parameters={"name": f"{database}_oot"},
    )
    assert {name for (name,) in views.result_rows} == {f"{table}_mv" for table in rollups()}


def test_looking_changes_nothing(clickhouse: Client, database: str) -> None:
    ours = inside(database)
    assert pending(clickhouse, ours, database=database) == ours
    assert tables(clickhouse, database) == []


def test_tables_from_before_there_was_a_record_are_taken_over(clickhouse: Client, database: str) -> None:
    for migration in migrations():
        if 0 < migration.number <= 10:  # later files never came without a record
            for statement in migration.statements:
                clickhouse.command(in_databases(statement, database))
    row = {"dynamoKey": "k", "downstream_repo": "o/r", "first_seen": datetime.now(UTC), "version": 1}
    clickhouse.insert(f"{database}.oot_workflow_job", [list(row.values())], column_names=list(row))
    before = tables(clickhouse, database)
    assert apply(clickhouse, inside(database), database=database)
    assert set(before) < set(tables(clickhouse, database))  # the same tables, and the record
    query = f"SELECT dynamoKey FROM {database}.oot_workflow_job"  # noqa: S608 - our own name
    assert clickhouse.query(query).result_rows == [("k",)]
    assert pending(clickhouse, inside(database), database=database) == []


def test_a_table_of_somebody_else_is_left_alone(clickhouse: Client, database: str) -> None:
    clickhouse.command(f"CREATE TABLE {database}.oot_workflow_job (dynamoKey String) ENGINE = Memory")  # RFC-0054's
    with pytest.raises(MigrationError, match=r"oot_workflow_job exists and has no column `version`.*Rename it"):
        apply(clickhouse, inside(database), database=database)
    assert len(tables(clickhouse, database)) == 1


class TestOrder:
    FIRST = "CREATE TABLE IF NOT EXISTS default.t (a UInt8) ENGINE = MergeTree ORDER BY a"
    THEN = "ALTER TABLE default.t ADD COLUMN IF NOT EXISTS b UInt8 DEFAULT 7"

    def all(self, database: str, *sql: list[str]) -> list[Migration]:
        numbered = [
            Migration(number, f"{number:03}_x.sql", f"{number:064}", told) for number, told in enumerate(sql, start=1)
        ]
        return inside(database, [migrations()[0], *numbered])

    def columns(self, client: Client, database: str) -> list[str]:
        return [column.name for column in insert_columns(client, f"{database}.t")]

    def test_a_run_cut_off_in_the_middle_goes_on(self, clickhouse: Client, database: str) -> None:
        broken = self.all(database, [self.FIRST], [self.THEN, "ALTER TABLE default.none ADD COLUMN x UInt8"])
        with pytest.raises(DatabaseError):
            apply(clickhouse, broken, database=database)
        assert [number for number, _ in recorded(clickhouse, database)] == [0, 1]
        mended = self.all(database, [self.FIRST], [self.THEN, self.THEN.replace(" b ", " c ")])
        assert [one.number for one in apply(clickhouse, mended, database=database)] == [2]
        assert self.columns(clickhouse, database) == ["a", "b", "c"]

    def test_many_runs_at_the_same_time_end_as_one(self, clickhouse: Client, database: str, stack: Stack) -> None:
        steps = [[self.FIRST], [self.THEN], [self.THEN.replace(" b ", " c ")]]
        ours = self.all(database, *steps)
        gate = threading.Barrier(6)

        def one() -> None:
            client = connect(stack.state["clickhouse_url"])
            gate.wait()
            apply(client, ours, database=database)
            client.close()

        with ThreadPoolExecutor(6) as pool:
            for ran in [pool.submit(one) for _ in range(6)]:
                ran.result()
        assert [number for number, _ in recorded(clickhouse, database)] == [0, 1, 2, 3]
        assert self.columns(clickhouse, database) == ["a", "b", "c"]

    def test_a_file_changed_after_it_was_applied_is_refused(self, clickhouse: Client, database: str) -> None:
        ours = self.all(database, [self.FIRST])
        apply(clickhouse, ours, database=database)
        changed = [ours[0], ours[1]._replace(sha256="f" * 64, statements=[f"DROP TABLE {database}.t"])]
        for what in (apply, pending):
            with pytest.raises(MigrationError, match=r"001_x\.sql was changed after .* with the next number"):
                what(clickhouse, changed, database=database)
        assert self.columns(clickhouse, database) == ["a"]

    def test_a_database_newer_than_the_code_is_told(self, clickhouse: Client, database: str) -> None:
        apply(clickhouse, self.all(database, [self.FIRST], [self.THEN]), database=database)
        with pytest.raises(MigrationError, match=r"has 002_x\.sql, which this code does not know"):
            pending(clickhouse, self.all(database, [self.FIRST]), database=database)

    def test_a_number_left_out_earlier_is_applied_as_well(self, clickhouse: Client, database: str) -> None:
        ours = self.all(database, [self.FIRST], [self.THEN], [self.THEN.replace(" b ", " c ")])
        apply(clickhouse, [*ours[:2], ours[3]], database=database)  # another branch was merged first
        assert [one.number for one in apply(clickhouse, ours, database=database)] == [2]


def test_rollups_that_were_counted_by_name_are_counted_by_id(clickhouse: Client, database: str) -> None:
    """Of file 012: the same numbers before and after, and those that come in then are of the same backend."""
    ours = inside(database)
    apply(clickhouse, [one for one in ours if one.number < 12], database=database)

    def report(repo: str, repository_id: str, hours: int) -> None:
        at = datetime.now(UTC) - timedelta(hours=hours)
        row = {"dynamoKey": f"{repo}/{hours}", "downstream_repo": repo, "repository_id": repository_id}
        about = {"status": "completed", "conclusion": "success", "first_seen": at, "started_at": at, "completed_at": at}
        values = [*row.values(), *about.values(), 3 * 10**13]
        clickhouse.insert(f"{database}.oot_workflow_job", [values], column_names=[*row, *about, "version"])

    def counted(table: str) -> list[Any]:
        query = f"SELECT repo, sum(success) FROM {database}_oot.{table} GROUP BY repo ORDER BY repo"  # noqa: S608
        return list(clickhouse.query(query).result_rows)

    report("org/old", "", 50)
    report("org/old", "7", 30)
    report("org/other", "", 20)
    history.refresh(clickhouse, f"{database}_oot", ["backend_hours", "commit_hours", "failed_tests"])
    assert counted("backend_hours FINAL") == [("org/old", 2), ("org/other", 1)]
    apply(clickhouse, ours, database=database)
    history.refresh(clickhouse, f"{database}_oot")
    assert counted("hours_by_backend") == [("org/old", 2), ("org/other", 1)]
    report("org/new", "7", 1)
    report("org/old", "8", 1)
    history.refresh(clickhouse, f"{database}_oot")
    assert counted("hours_by_backend") == [("org/new", 3), ("org/old", 1), ("org/other", 1)]


def test_a_column_is_added_in_one_place(clickhouse: Client, database: str, tmp_path: Path) -> None:
    """A migration's file adds it; the replicator finds it in the table and fills it from the field of that name."""
    from oot_replicator.rows.transform import Transform

    apply(clickhouse, inside(database), database=database)
    (tmp_path / "999_driver_version.sql").write_text(
        "ALTER TABLE default.oot_workflow_job${on_cluster} "
        "ADD COLUMN IF NOT EXISTS driver_version LowCardinality(String) DEFAULT 'unknown',"
        "ADD COLUMN IF NOT EXISTS devices UInt16 DEFAULT 1"
    )
    apply(clickhouse, inside(database, [*migrations(), *migrations(folder=tmp_path)]), database=database)
    table = f"{database}.oot_workflow_job"
    columns = insert_columns(clickhouse, table)
    transform = Transform(columns)
    now = datetime.now(UTC)
    for key, more in {"new": {"driver_version": {"S": "7.1"}, "devices": {"N": "8"}}, "old": {}}.items():
        required = {"dynamoKey": {"S": key}, "status": {"S": "completed"}, "downstream_repo": {"S": "o/r"}}
        image = {**required, "first_seen": {"S": now.isoformat()}, "revision": {"N": "1"}, **more}
        change = {"NewImage": image, "SequenceNumber": "1", "ApproximateCreationDateTime": now}
        row = transform.row({"eventName": "INSERT", "dynamodb": change})
        assert row is not None
        clickhouse.insert(table, [row], column_names=[column.name for column in columns])
    query = f"SELECT dynamoKey, driver_version, devices FROM {table} ORDER BY dynamoKey"  # noqa: S608 - our own name
    assert clickhouse.query(query).result_rows == [("new", "7.1", 8), ("old", "unknown", 1)]
