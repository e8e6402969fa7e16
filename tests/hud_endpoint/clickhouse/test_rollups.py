"""The rollups: refreshed by the hour, only where something came in, and never counting twice."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hud_endpoint.clickhouse.ddl import rollups
from hud_endpoint.clickhouse.saved_queries import run
from tests.hud_endpoint.clickhouse import history
from tests.integration.waiting import wait_for

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

ROOT = Path(__file__).resolve().parents[3]
TABLES = ("backend_hours", "commit_hours", "failed_tests")


def job(repo: str, hours_ago: float, name: str = "test", **changes: Any) -> history.Row:
    """A finished job of a run of its own."""
    seen = (datetime.now(UTC) - timedelta(hours=hours_ago)).replace(microsecond=0)
    return {
        "dynamoKey": f"{repo}/{name}/{changes.get('run_attempt', 1)}",
        "downstream_repo": repo,
        "upstream_repo": "pytorch/pytorch",
        "delivery_id": f"{repo}-{name}",
        "workflow_name": "ci",
        "job_name": name,
        "run_id": name,
        "run_attempt": 1,
        "status": "completed",
        "conclusion": "success",
        "started_at": seen,
        "completed_at": seen,
        "failed_tests_json": "",
        "first_seen": seen,
        "version": 3 * 10**13,
        "is_deleted": 0,
        **changes,
    }


def summary(client: Client, repo: str, days: int = 30) -> dict[str, Any] | None:
    return next((row for row in run(client, "oot_summary", {"days": days}) if row["repo"] == repo), None)


def test_refreshing_again_changes_nothing(clickhouse: Client) -> None:
    repo = "rollup/again"
    history.load(clickhouse, [job(repo, hours) for hours in (1, 1)] + [job(repo, 50, "other", conclusion="failure")])
    told = []
    for _ in range(3):
        history.refresh(clickhouse)
        told.append(summary(clickhouse, repo))
    assert told[0] == told[1] == told[2]
    assert told[0] is not None
    assert (told[0]["successes"], told[0]["failures"], told[0]["pass_rate"]) == (1, 1, 0.5)


def test_what_leaves_an_hour_is_gone_from_it(clickhouse: Client) -> None:
    repo = "rollup/deleted"
    history.load(clickhouse, [job(repo, 100), job(repo, 200, "other")])
    history.refresh(clickhouse)
    found = summary(clickhouse, repo)
    assert found
    assert found["total"] == 2
    history.load(clickhouse, [job(repo, 100, is_deleted=1, version=4 * 10**13)] * 2)
    history.refresh(clickhouse)
    found = summary(clickhouse, repo)
    assert found
    assert found["total"] == 1
    history.load(clickhouse, [job(repo, 200, "other", is_deleted=1, version=4 * 10**13)] * 2)
    history.refresh(clickhouse)
    assert summary(clickhouse, repo) is None


def test_a_level_is_that_of_the_newest_job(clickhouse: Client) -> None:
    repo = "rollup/level"
    jobs = [job(repo, 9 - number, str(number), downstream_repo_level=f"L{number}") for number in (1, 4, 2)]
    history.load(clickhouse, [*jobs, job(repo, 1, "newest", downstream_repo_level="L3")])
    history.refresh(clickhouse)
    found = summary(clickhouse, repo)
    assert found
    assert found["downstream_repo_level"] == "L3"


def test_a_refresh_computes_the_hours_that_were_touched_and_no_others(clickhouse: Client) -> None:
    """As if a minute had passed since the last refresh: its generation is put into the future instead."""
    repo = "rollup/touched"
    old = [job(repo, 300, "rerun", conclusion="failure"), job(repo, 400, "untouched")]
    history.load(clickhouse, old)
    history.refresh(clickhouse)
    [[refreshed]] = clickhouse.query("SELECT now()").result_rows
    later = refreshed + timedelta(seconds=2)
    wait_for(lambda: clickhouse.query("SELECT now()").result_rows[0][0] >= later, "two seconds later")
    for table in TABLES:
        clickhouse.command(
            f"INSERT INTO oot.{table} (hour, generation, is_deleted) "
            "SELECT toStartOfHour(now()) - 8000000, toDateTime64({at: DateTime}, 9) + 61, 1",
            parameters={"at": refreshed},
        )
    history.load(clickhouse, [job(repo, 1, "rerun", run_attempt=2), job(repo, 2, "new")])
    touched = {hour for (hour,) in clickhouse.query("SELECT hour FROM oot.touched_hours").result_rows}
    hours = {
        name: clickhouse.query(
            "SELECT toStartOfHour(toDateTime(first_seen, 'UTC')) FROM default.oot_workflow_job FINAL "
            "WHERE downstream_repo = {repo: String} AND job_name = {name: String} ORDER BY first_seen",
            parameters={"repo": repo, "name": name},
        ).result_columns[0]
        for name in ("rerun", "new", "untouched")
    }
    assert {*hours["rerun"], *hours["new"]} <= touched  # the hour of the first attempt too
    assert not {*hours["untouched"]} & touched
    history.refresh(clickhouse)
    found = summary(clickhouse, repo)
    assert found
    assert (found["successes"], found["failures"]) == (3, 0)


def test_a_backend_that_is_gone_is_gone_from_the_windows_and_from_readiness(clickhouse: Client) -> None:
    repo = "rollup/gone"
    jobs = [job(repo, 2, str(number)) for number in range(3)]
    history.load(clickhouse, jobs)
    history.refresh(clickhouse)

    def found() -> list[dict[str, Any]]:
        windows = run(clickhouse, "oot_backends", {"windows": [1, 7, 30], "event": "", "repo": repo})
        readiness = run(clickhouse, "oot_backend_readiness", {"days": 14, "repo": repo})
        return [row for row in windows if row["repo"] == repo] + readiness

    assert [row.get("days") for row in found()] == [1, 7, 30, None]
    history.load(clickhouse, [{**row, "is_deleted": 1, "version": 4 * 10**13} for row in jobs])
    history.refresh(clickhouse)
    assert found() == []


def test_the_age_is_that_of_the_oldest_rollup_by_hour(clickhouse: Client) -> None:
    """What is computed from them is only as new as they are."""

    def oldest() -> datetime:
        newest = ", ".join(f"(SELECT max(generation) FROM oot.{table})" for table in TABLES)  # noqa: S608 - ours
        found: datetime = clickhouse.query(f"SELECT least({newest})").result_rows[0][0]
        return found

    history.refresh(clickhouse)
    before = oldest()
    clickhouse.command("SYSTEM REFRESH VIEW oot.backend_windows_mv")
    clickhouse.command("SYSTEM WAIT VIEW oot.backend_windows_mv")
    rows = run(clickhouse, "oot_backends", {"windows": [7], "event": "", "repo": ""})
    (told,) = {row["refreshed_at"] for row in rows}
    assert before <= told <= oldest()


def test_an_hour_without_failures_is_not_computed_again_and_again(clickhouse: Client) -> None:
    """Each refresh leaves its mark, also where it finds nothing."""

    def marks() -> list[datetime]:
        newest = "SELECT max(generation) FROM oot.{} WHERE hour >= toStartOfHour(now()) - 3600"
        return [clickhouse.query(newest.format(table)).result_rows[0][0] for table in TABLES]

    history.refresh(clickhouse)
    first = marks()
    history.refresh(clickhouse)
    assert all(before < after for before, after in zip(first, marks(), strict=True))
    assert clickhouse.query("SELECT count() FROM oot.backend_hours FINAL WHERE repo = ''").result_rows == [(0,)]


def test_every_view_is_known_and_writes_one_block(clickhouse: Client) -> None:
    """More than one block could be written in part, and what is missing would never be computed again."""
    views = clickhouse.query(
        "SELECT name, create_table_query FROM system.tables WHERE database = 'oot' AND engine = 'MaterializedView'"
    ).result_rows
    assert {name for name, _ in views} == {f"{table}_mv" for table in rollups()}
    assert len(rollups()) == len(set(rollups()))
    for name, query in views:
        assert "min_insert_block_size_rows = 1000000000000" in query, name


def test_a_refresh_is_one_part(clickhouse: Client) -> None:
    """However much it is: the setting of the view reaches the insert."""
    clickhouse.command("CREATE DATABASE IF NOT EXISTS one_part")
    clickhouse.command("CREATE TABLE one_part.rows (a UInt64) ENGINE = MergeTree ORDER BY a")
    clickhouse.command("SYSTEM STOP MERGES one_part.rows")
    clickhouse.command(
        "CREATE MATERIALIZED VIEW one_part.mv REFRESH EVERY 1 YEAR APPEND TO one_part.rows AS "
        "SELECT number AS a FROM numbers(2500000) UNION ALL SELECT 1 "
        "SETTINGS min_insert_block_size_rows = 1000000000000, min_insert_block_size_bytes = 0"
    )
    clickhouse.command("SYSTEM WAIT VIEW one_part.mv")
    parts = clickhouse.query(
        "SELECT sum(rows), max(rows) FROM system.parts WHERE active AND database = 'one_part' AND table = 'rows'"
    ).result_rows
    assert parts[0][0] == parts[0][1] > 0
    clickhouse.command("DROP DATABASE one_part SYNC")


def test_the_rollups_from_scratch_as_documented(clickhouse: Client) -> None:
    repo = "rollup/scratch"
    history.load(clickhouse, [job(repo, hours, str(hours), conclusion="failure") for hours in (1, 50, 300)])
    history.refresh(clickhouse)
    before = summary(clickhouse, repo)
    document = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    statements = re.findall(r"(?m)^TRUNCATE TABLE oot\.\w+;$", document)
    assert len(statements) == len(TABLES)
    for statement in statements:
        clickhouse.command(statement)
    history.refresh(clickhouse)
    assert before
    assert summary(clickhouse, repo) == before


def test_a_view_may_be_refreshed_less_often_as_documented(clickhouse: Client) -> None:
    document = " ".join((ROOT / "docs" / "capacity.md").read_text(encoding="utf-8").split())
    (statement,) = re.findall(r"`(ALTER TABLE oot\.failing_tests_mv MODIFY REFRESH [^`]+)`", document)
    clickhouse.command(statement)
    clickhouse.command(statement.replace("5 MINUTE", "30 SECOND"))
    history.refresh(clickhouse)
    [[query]] = clickhouse.query(
        "SELECT create_table_query FROM system.tables WHERE database = 'oot' AND name = 'failing_tests_mv'"
    ).result_rows
    assert "REFRESH EVERY 30 SECOND APPEND TO oot.failing_tests" in query
