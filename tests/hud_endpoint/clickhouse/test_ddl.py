"""The schema: RFC-0054's columns are all there, every target gets its engine, and running it again changes nothing."""

from __future__ import annotations

import json
import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, get_args

import pytest

from hud_endpoint.clickhouse.ddl import Target, insert_columns, migrations, statements
from tests.hud_endpoint.clickhouse.history import in_databases

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clickhouse_connect.driver.client import Client

TABLES = ("oot_workflow_job", "oot_test_failures", "oot_replication_errors")
# clickhouse_db_schema/default.oot_workflow_job/schema.sql of pytorch/test-infra, which is RFC-0054's.
RFC_COLUMNS = {
    **dict.fromkeys(("dynamoKey", "status", "downstream_repo", "upstream_repo", "pytorch_head_sha"), "String"),
    **dict.fromkeys(("delivery_id", "workflow_run_url", "workflow_name", "job_name", "check_run_id"), "String"),
    **dict.fromkeys(("run_id", "conclusion", "failed_tests_json", "artifact_url", "environment"), "String"),
    **dict.fromkeys(("downstream_repo_level", "repository_full_name"), "String"),
    **dict.fromkeys(("pr_number", "total_tests", "passed_tests", "failed_tests", "skipped_tests"), "UInt64"),
    **dict.fromkeys(("queue_time", "execution_time"), "Nullable(Float64)"),
    **dict.fromkeys(("started_at", "completed_at"), "DateTime64(9)"),
    "run_attempt": "UInt32",
    "_inserted_at": "DateTime",
    "duration_seconds": "Float64",
}
OUR_COLUMNS = {
    **dict.fromkeys(("event_type", "origin", "repository_id", "conflicts"), "String"),
    **dict.fromkeys(("error_tests", "flaky_tests", "details_truncated", "version"), "UInt64"),
    **dict.fromkeys(("dispatch_verified", "commit_verified", "times_estimated"), "Bool"),
    "first_seen": "DateTime64(3)",
    "is_deleted": "UInt8",
}


def plain(type_name: str) -> str:
    """A type without how it is stored or shown."""
    return re.sub(r"LowCardinality\((.*)\)", r"\1", type_name).replace(", 'UTC'", "")


@pytest.fixture
def database(clickhouse: Client) -> Iterator[str]:
    """A database of the test's own."""
    name = f"schema_{uuid.uuid4().hex}"
    clickhouse.command(f"CREATE DATABASE {name}")
    yield name
    for database in (f"{name}_oot", name):
        clickhouse.command(f"DROP DATABASE IF EXISTS {database}")


def inside(database: str) -> list[str]:
    return [in_databases(statement, database) for statement in statements()]


class TestRendering:
    @pytest.mark.parametrize(
        ("target", "engine"),
        [
            ("local", "ReplacingMergeTree(version, is_deleted)"),
            (
                "cloud",
                "SharedReplacingMergeTree(version, is_deleted)",
            ),
            (
                "cluster",
                "ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}', version, is_deleted)",
            ),
        ],
    )
    def test_each_target_has_its_engine(self, target: Target, engine: str) -> None:
        text = "\n".join(statements(target))
        assert text.count(f"ENGINE = {engine}\n") == 2
        prefix = engine.partition("ReplacingMergeTree(")[0]
        tables = re.findall(r"CREATE TABLE IF NOT EXISTS", text)
        assert len(re.findall(rf"(?m)^ENGINE = {prefix}\w*MergeTree\b", text)) == len(tables) >= len(TABLES)

    @pytest.mark.parametrize("target", get_args(Target))
    def test_only_a_cluster_is_named(self, target: Target) -> None:
        changes = [one for one in statements(target, cluster="mine") if "INSERT INTO" not in one]
        named = [" ON CLUSTER 'mine'" in statement for statement in changes]
        assert all(named) if target == "cluster" else not any(named)

    @pytest.mark.parametrize("target", get_args(Target))
    def test_nothing_is_left_to_fill_in(self, target: Target) -> None:
        for statement in statements(target, retention_days=42):
            assert "$" not in statement
            assert not statement.endswith(";")
            assert "INTERVAL 100 DAY" not in statement
        for table in TABLES:
            made = rf"CREATE TABLE IF NOT EXISTS default\.{table}\b"
            [created] = [sql for sql in statements(target, retention_days=42) if re.search(made, sql)]
            assert "INTERVAL 42 DAY" in created

    @pytest.mark.parametrize("target", get_args(Target))
    def test_each_statement_may_be_run_again(self, target: Target) -> None:
        for statement in statements(target):
            sql = re.sub(r"(?m)^--.*\n", "", statement)
            assert re.match(
                r"CREATE (TABLE|VIEW|MATERIALIZED VIEW|DATABASE) IF NOT EXISTS \w+"
                r"|ALTER TABLE \S+( ON CLUSTER '\w+')?\s+(ADD (COLUMN|INDEX|PROJECTION) IF NOT EXISTS|MODIFY|COMMENT)"
                r"|DROP (TABLE|VIEW) IF EXISTS"
                r"|INSERT INTO default\.oot_repo_names ",  # minimum and maximum: the same, however often
                sql,
            ), sql[:200]

    @pytest.mark.parametrize("target", get_args(Target))
    def test_no_statement_loses_rows(self, target: Target) -> None:
        for statement in statements(target):
            sql = re.sub(r"(?m)^--.*\n", "", statement)
            assert not re.search(r"\b(DROP TABLE|TRUNCATE|DELETE|DROP PARTITION|DROP COLUMN)\b", sql)


class TestFiles:
    def test_they_are_read_by_number(self) -> None:
        numbers = [migration.number for migration in migrations()]
        assert numbers == sorted(set(numbers))
        assert numbers[0] == 0
        assert all(migration.statements for migration in migrations())

    def test_a_digest_is_of_the_text_and_not_of_where_it_runs(self) -> None:
        here, there = migrations("local"), migrations("cluster", retention_days=7, cluster="x")
        assert [one.sha256 for one in here] == [one.sha256 for one in there]
        assert len({one.sha256 for one in here}) == len(here)

    @pytest.mark.parametrize("name", ["no_number.sql", "12_short.sql", "001_a.txt", "001-a.sql"])
    def test_a_name_without_a_number_is_told(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).touch()
        with pytest.raises(ValueError, match=f"{re.escape(name)} in the schema's folder"):
            migrations(folder=tmp_path)

    def test_two_files_with_one_number_are_told(self, tmp_path: Path) -> None:
        for name in ("001_a.sql", "001_b.sql"):
            (tmp_path / name).write_text("SELECT 1")
        with pytest.raises(ValueError, match="have the same number"):
            migrations(folder=tmp_path)

    def test_statements_end_at_a_semicolon_that_ends_a_line(self, tmp_path: Path) -> None:
        (tmp_path / "001_a.sql").write_text("SELECT ';', 'a;b';\n\nSELECT 2 -- ;no\n;\nSELECT 3;")
        [migration] = migrations(folder=tmp_path)
        assert migration.statements == ["SELECT ';', 'a;b'", "SELECT 2 -- ;no", "SELECT 3"]


def test_the_columns_are_the_rfcs_and_ours(clickhouse: Client) -> None:
    described = clickhouse.query("DESCRIBE TABLE default.oot_workflow_job").named_results()
    assert {column["name"]: plain(column["type"]) for column in described} == RFC_COLUMNS | OUR_COLUMNS


def test_rows_are_inserted_into_all_but_what_is_computed(clickhouse: Client) -> None:
    computed = {"_inserted_at", "repository_full_name", "duration_seconds"}
    inserted = {column.name for column in insert_columns(clickhouse, "default.oot_workflow_job")}
    assert inserted == (RFC_COLUMNS | OUR_COLUMNS).keys() - computed


def test_running_it_again_changes_nothing(clickhouse: Client, database: str) -> None:
    def tables() -> list[Any]:
        query = "SELECT name, uuid, create_table_query FROM system.tables WHERE database = {name: String} ORDER BY name"
        return list(clickhouse.query(query, parameters={"name": database}).result_rows)

    for migration in migrations():  # a run that was cut off begins its file again
        for statement in migration.statements:
            clickhouse.command(in_databases(statement, database))
        before = tables()
        for statement in migration.statements:
            clickhouse.command(in_databases(statement, database))
        assert tables() == before, migration.name
    assert {*TABLES, "oot_test_failures_mv", "crcr_workflow_job"} <= {name for name, *_ in before}


def job(key: str, **changes: Any) -> dict[str, Any]:
    """A row of yesterday: what is older than the retention would expire."""
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    times = {"first_seen": at, "started_at": at, "completed_at": at + timedelta(seconds=90)}
    return {
        "dynamoKey": key,
        "status": "completed",
        "conclusion": "failure",
        "downstream_repo": "o/r",
        "version": 1,
        **times,
        **changes,
    }


def insert(client: Client, database: str, row: dict[str, Any]) -> None:
    client.insert(f"{database}.oot_workflow_job", [list(row.values())], column_names=list(row))


@pytest.fixture
def filled(clickhouse: Client, database: str) -> str:
    for statement in inside(database):
        clickhouse.command(statement)
    return database


class TestCrcrView:
    def test_answers_with_final_and_all_columns(self, clickhouse: Client, filled: str) -> None:
        for version, conclusion in ((2, "success"), (1, "stale")):
            insert(clickhouse, filled, job("k1", version=version, conclusion=conclusion))
        insert(clickhouse, filled, job("k2"))
        insert(clickhouse, filled, job("k2", version=9, is_deleted=1))
        found = clickhouse.query(f"SELECT * FROM {filled}.crcr_workflow_job")  # noqa: S608 - our own name
        later = {"commit_verified", "repository_id", "conflicts"}  # which none of CRCR's queries reads
        assert set(found.column_names) == (RFC_COLUMNS | OUR_COLUMNS).keys() - later
        [row] = found.named_results()
        assert (row["conclusion"], row["repository_full_name"], row["duration_seconds"]) == ("success", "o/r", 90)

    def test_is_not_made_where_crcrs_own_table_exists(self, clickhouse: Client, database: str) -> None:
        clickhouse.command(f"CREATE TABLE {database}.crcr_workflow_job (x UInt8) ENGINE = Memory")
        for statement in inside(database):
            clickhouse.command(statement)
        query = "SELECT engine FROM system.tables WHERE database = {name: String} AND name = 'crcr_workflow_job'"
        assert clickhouse.query(query, parameters={"name": database}).result_rows == [("Memory",)]


class TestTestFailures:
    def rows(self, client: Client, database: str) -> list[Any]:
        query = f"SELECT name, classname, status, message, duration_seconds FROM {database}.oot_test_failures FINAL ORDER BY name"  # noqa: S608, E501 - our own name
        return list(client.query(query).result_rows)

    def test_a_row_a_failed_test(self, clickhouse: Client, filled: str) -> None:
        tests = [
            {
                "name": "a",
                "classname": "é",
                "file": "",
                "status": "error",
                "message": "<b>",
                "stacktrace": "",
                "duration_seconds": 1.5,
            },
            {"name": "nan", "classname": "", "file": "f", "status": "failure", "message": "", "stacktrace": ""},
        ]
        insert(clickhouse, filled, job("k1", failed_tests_json=json.dumps(tests)))
        insert(clickhouse, filled, job("k2"))
        assert self.rows(clickhouse, filled) == [("a", "é", "error", "<b>", 1.5), ("nan", "", "failure", "", None)]

    def test_they_leave_with_their_job(self, clickhouse: Client, filled: str) -> None:
        told = json.dumps([{"name": "a"}])
        insert(clickhouse, filled, job("k1", failed_tests_json=told))
        insert(clickhouse, filled, job("k1", failed_tests_json=told, version=9, is_deleted=1))
        assert self.rows(clickhouse, filled) == []

    @pytest.mark.parametrize("told", ["x", "{}", "null", "[1]", '["x"]', '[{"name": 5}]', '[{"name": "a"'])
    def test_what_is_no_list_of_tests_spoils_no_job(self, clickhouse: Client, filled: str, told: str) -> None:
        insert(clickhouse, filled, job("k1", failed_tests_json=told))  # CRCR's own HUD may have written it
        found = clickhouse.query(f"SELECT failed_tests_json FROM {filled}.oot_workflow_job")  # noqa: S608 - our own name
        assert found.result_rows == [(told,)]
