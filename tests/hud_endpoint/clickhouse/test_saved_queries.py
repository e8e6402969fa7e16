"""Saved queries: HUD's own format, read-only whatever they say, and numbers that plain Python agrees with."""

from __future__ import annotations

import json
import re
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from hud_endpoint.clickhouse import saved_queries
from hud_endpoint.clickhouse.saved_queries import SavedQuery, run, saved_query
from tests.hud_endpoint.clickhouse.history import TABLE, counted, made_up, summary

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

FOLDER = Path(saved_queries.__file__).parent / "queries"
NAMES = sorted(path.name for path in FOLDER.iterdir())


@pytest.mark.parametrize("name", NAMES)
class TestFormat:
    def test_a_folder_holds_a_query_and_its_parameters(self, name: str) -> None:
        assert {path.name for path in (FOLDER / name).iterdir()} == {"query.sql", "params.json"}
        told = json.loads((FOLDER / name / "params.json").read_text())
        assert set(told) == {"params", "tests"}
        assert told["tests"], "HUD's CI runs a query with each of its `tests`"
        assert all(set(test) == set(told["params"]) for test in told["tests"])

    def test_the_parameters_are_those_of_the_sql(self, name: str) -> None:
        query = saved_query(name)
        used = dict(re.findall(r"\{\s*(\w+)\s*:\s*([^}]+?)\s*\}", query.sql))
        assert used == dict(query.params)

    def test_it_runs_as_its_tests_say(self, name: str, clickhouse: Client) -> None:
        for parameters in json.loads((FOLDER / name / "params.json").read_text())["tests"]:
            assert isinstance(run(clickhouse, name, parameters), list)

    @pytest.mark.parametrize("change", ["none", "one too many"])
    def test_other_parameters_are_refused(self, name: str, change: str, clickhouse: Client) -> None:
        parameters = {} if change == "none" else dict.fromkeys((*saved_query(name).params, "made_up"), 1)
        with pytest.raises(ValueError, match=f"{name} takes the parameters"):
            run(clickhouse, name, parameters)

    def test_it_reads_through_final(self, name: str) -> None:
        sql = saved_query(name).sql
        assert sql.count("default.oot_") == sql.count(" FINAL") > 0


@pytest.mark.parametrize("value", ["7; DROP TABLE default.oot_workflow_job", "7) OR (1=1", "-1", "x", "'7'", ""])
def test_a_parameter_is_never_sql(clickhouse: Client, value: str) -> None:
    with pytest.raises(DatabaseError):
        run(clickhouse, "oot_summary", {"days": value})


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("INSERT INTO default.oot_workflow_job (dynamoKey) VALUES ('x')", "readonly"),
        ("DROP TABLE default.oot_workflow_job", "readonly"),
        ("CREATE TABLE default.made_up (x UInt8) ENGINE = Memory", "readonly"),
        ("SELECT count() FROM numbers(1e13) WHERE cityHash64(number) = 0", "TIMEOUT_EXCEEDED"),
        ("SELECT number FROM numbers(200000)", "max_result_rows|TOO_MANY_ROWS_OR_BYTES"),
    ],
)
def test_a_query_that_does_more_than_reading_a_little_is_refused(
    clickhouse: Client, monkeypatch: pytest.MonkeyPatch, sql: str, told: str
) -> None:
    assert saved_queries._LIMITS["max_execution_time"] == 10
    monkeypatch.setitem(saved_queries._LIMITS, "max_execution_time", 0.2)  # a test need not wait for it
    monkeypatch.setattr(saved_queries, "saved_query", lambda name: SavedQuery(name, sql, {}))
    with pytest.raises(DatabaseError, match=f"(?i){told}"):
        run(clickhouse, "anything", {})


@pytest.mark.parametrize("seed", range(3))
def test_the_summary_counts_as_plain_python_does(clickhouse: Client, seed: int) -> None:
    now = datetime.now(UTC)
    repos = [f"oracle-{number}/{uuid.uuid4().hex}" for number in range(4)]
    rows = made_up(repos, now, seed)
    names = list(rows[0])
    for part in (rows[::2], rows[1::2]):  # two parts, so that FINAL has something to merge
        clickhouse.insert(TABLE, [[row[name] for name in names] for row in part], column_names=names)
    for days in (1, 7, 30):
        expected = summary(counted(rows, now, days))
        found = [row for row in run(clickhouse, "oot_summary", {"days": days}) if row["repo"] in repos]
        assert len(expected) == len(repos)
        assert [comparable(row) for row in found] == [comparable(row) for row in expected]


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    average = row["avg_duration_s"]
    return {**row, "last_run": str(row["last_run"])[:19], "avg_duration_s": average and round(average, 6)}
