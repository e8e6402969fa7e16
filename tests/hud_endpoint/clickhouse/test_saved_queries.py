"""Saved queries: HUD's own format, read-only whatever they say, and parameters that are never SQL."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from hypothesis import given
from hypothesis import strategies as st

from hud_endpoint.clickhouse import saved_queries
from hud_endpoint.clickhouse.saved_queries import (
    SavedQuery,
    WrongParameterError,
    names,
    read_parameters,
    run,
    run_as_json,
    saved_query,
)

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

FOLDER = Path(saved_queries.__file__).parent / "queries"
NAMES = sorted(names())
# What HUD's own pages take from a row (RFC-0054; pytorch/test-infra, torchci/pages/crcr).
HUDS_COLUMNS = {
    "oot_summary": "repo successes failures timed_out total pass_rate avg_duration_s last_run downstream_repo_level",
    "oot_backend_dashboard": "pr_number pytorch_head_sha job_name status conclusion started_at completed_at "
    "duration_seconds total_tests passed_tests failed_tests skipped_tests workflow_run_url artifact_url queue_time "
    "execution_time",
    "oot_pr_results": "downstream_repo job_name status conclusion duration_seconds workflow_run_url artifact_url "
    "started_at queue_time execution_time",
    "crcr_summary": "repo downstream_repo_level successes failures timed_out total pass_rate avg_duration_s last_run",
    "crcr_nightly_summary": "repo downstream_repo_level successes failures timed_out total pass_rate avg_duration_s "
    "last_run latest_sha",
    "crcr_success_rate": "day repo successes failures timed_out total pass_rate",
    "crcr_nightly_success_rate": "day repo successes failures timed_out total pass_rate",
    "crcr_backend_summary": "successes failures timed_out total_jobs pass_rate total_prs avg_queue_time_s "
    "avg_exec_time_s timeout_rate",
    "crcr_nightly_backend_summary": "successes failures timed_out total nightly_runs pass_rate",
    "crcr_l3_summary": "repo successes timed_out total_jobs pass_rate avg_queue_time_s max_exec_time_s overrun_rate "
    "median_e2e_time_s timeout_rate",
    "crcr_backend_dashboard": "upstream_repo pr_number pytorch_head_sha workflow_name job_name check_run_id run_id "
    "run_attempt status conclusion started_at completed_at duration_seconds total_tests passed_tests failed_tests "
    "skipped_tests workflow_run_url artifact_url queue_time execution_time failed_tests_json triage_verdict_json",
    "crcr_nightly_dashboard": "upstream_repo pytorch_head_sha workflow_name job_name check_run_id run_id run_attempt "
    "status conclusion started_at completed_at duration_seconds total_tests passed_tests failed_tests skipped_tests "
    "workflow_run_url artifact_url queue_time execution_time failed_tests_json",
    "crcr_pr_results": "downstream_repo workflow_name job_name check_run_id run_id run_attempt status conclusion "
    "duration_seconds workflow_run_url artifact_url started_at queue_time execution_time",
    "crcr_hud_results": "pr_number pytorch_head_sha downstream_repo downstream_repo_level workflow_name job_name "
    "check_run_id run_id run_attempt status conclusion workflow_run_url duration_seconds failed_tests_json",
    "crcr_repo_tenure": "current_level level_since first_seen last_seen",
    "crcr_level_history": "changed_at previous_level new_level",
    "crcr_health_last_prs": "pr_number last_run successes total pending overdue_in_progress pass_rate",
    "crcr_health_pr_job_details": "pr_number job_name status conclusion started_at completed_at workflow_run_url "
    "check_run_id is_overdue",
}


@pytest.mark.parametrize("name", HUDS_COLUMNS)
def test_huds_pages_find_their_columns(name: str, clickhouse: Client) -> None:
    query = saved_query(name)
    told = json.loads((FOLDER / name / "params.json").read_text())["tests"][0]
    described = clickhouse.query(f"DESCRIBE TABLE (\n{query.sql})", parameters=read_parameters(query, told))
    assert {row["name"] for row in described.named_results()} >= set(HUDS_COLUMNS[name].split())


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
        query = saved_query(name)
        for told in json.loads((FOLDER / name / "params.json").read_text())["tests"]:
            parameters = read_parameters(query, told)
            assert isinstance(run(clickhouse, name, parameters), list)
            assert isinstance(json.loads(run_as_json(clickhouse, name, parameters)), list)

    @pytest.mark.parametrize("change", ["none", "one too many"])
    def test_other_parameters_are_refused(self, name: str, change: str, clickhouse: Client) -> None:
        parameters = {} if change == "none" else dict.fromkeys((*saved_query(name).params, "made_up"), 1)
        if not parameters and not saved_query(name).params:
            return
        with pytest.raises(ValueError, match=f"{name} takes the parameters"):
            run(clickhouse, name, parameters)

    def test_it_deduplicates_what_it_reads(self, name: str) -> None:
        """Every table is read through FINAL, but where keys are looked for that another FINAL is to judge.

        The views by backend have it inside.
        """
        sql = re.sub(r"--.*", "", saved_query(name).sql)
        sql = re.sub(r"FROM oot\.\w+_by_backend\b", r"\g<0> FINAL", sql)
        tables = re.findall(r"FROM (?:default|oot)\.\w+(?: AS \w+)?", sql)
        assert tables
        assert len(tables) - sql.count(" FINAL") == (name == "oot_pr_jobs")


@pytest.mark.parametrize("value", ["7; DROP TABLE default.oot_workflow_job", "7) OR (1=1", "-1", "x", "'7'", ""])
def test_a_parameter_is_never_sql(clickhouse: Client, value: str) -> None:
    with pytest.raises(DatabaseError):
        run(clickhouse, "oot_summary", {"days": value})


HOSTILE = [
    "'",
    '"',
    "\\",
    "\\'",
    "a\tb",
    "a\nb",
    "\\N",
    "NULL",
    "{repo: String}",
    "%s",
    "';DROP TABLE x--",
    "日本\u202e",
    "[']",
    "\x01",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_text_arrives_as_it_is(clickhouse: Client, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    query = SavedQuery(
        "echo", "SELECT {a: String} AS a, {b: Array(String)} AS b", {"a": "String", "b": "Array(String)"}
    )
    monkeypatch.setattr(saved_queries, "saved_query", lambda _: query)
    [row] = run(clickhouse, "echo", {"a": text, "b": [text, text]})
    assert (row["a"], row["b"]) == (text, [text, text])
    [as_json] = json.loads(run_as_json(clickhouse, "echo", {"a": text, "b": [text]}))
    assert as_json == {"a": text, "b": [text]}


@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30))
def test_any_text_arrives_as_it_is(clickhouse: Client, text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        query = SavedQuery(
            "echo", "SELECT {a: String} AS a, {b: Array(String)} AS b", {"a": "String", "b": "Array(String)"}
        )
        patch.setattr(saved_queries, "saved_query", lambda _: query)
        [row] = run(clickhouse, "echo", {"a": text, "b": [text]})
    assert (row["a"], row["b"]) == (text, [text])


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("INSERT INTO default.oot_workflow_job (dynamoKey) VALUES ('x')", "readonly"),
        ("DROP TABLE default.oot_workflow_job", "readonly"),
        ("CREATE TABLE default.made_up (x UInt8) ENGINE = Memory", "readonly"),
        ("SELECT count() FROM numbers(1e13) WHERE cityHash64(number) = 0", "TIMEOUT_EXCEEDED"),
        ("SELECT number FROM numbers(200000)", "max_result_rows|TOO_MANY_ROWS_OR_BYTES"),
        ("SELECT repeat(toString(number % 10), 1000000) FROM numbers(90)", "TOO_MANY_ROWS_OR_BYTES|result_bytes"),
    ],
)
@pytest.mark.parametrize("how", [run, run_as_json])
def test_a_query_that_does_more_than_reading_a_little_is_refused(
    clickhouse: Client, monkeypatch: pytest.MonkeyPatch, sql: str, told: str, how: Any
) -> None:
    assert saved_queries.LIMITS["max_execution_time"] == 10
    # A test need not wait for it; the others reach their own limit first, on a busy machine too.
    monkeypatch.setitem(saved_queries.LIMITS, "max_execution_time", 0.2 if told == "TIMEOUT_EXCEEDED" else 60)
    monkeypatch.setattr(saved_queries, "saved_query", lambda name: SavedQuery(name, sql, {}))
    with pytest.raises(DatabaseError, match=f"(?i){told}"):
        how(clickhouse, "anything", {})


QUERY = SavedQuery(
    "q",
    "",
    {
        "days": "UInt64",
        "small": "UInt8",
        "signed": "Int64",
        "repo": "String",
        "share": "Float64",
        "all": "Array(Int64)",
        "day": "Date",
    },
)
GOOD: dict[str, Any] = {
    "days": "7",
    "small": 255,
    "signed": "-3",
    "repo": "o/r",
    "share": 1,
    "all": [1, "2"],
    "day": "2026-05-04",
}


def test_parameters_are_read_by_their_types() -> None:
    assert read_parameters(QUERY, GOOD | {"unknown": object()}) == {
        "days": 7,
        "small": 255,
        "signed": -3,
        "repo": "o/r",
        "share": 1.0,
        "all": [1, 2],
        "day": date(2026, 5, 4),
    }


WRONG: dict[str, list[Any]] = {
    "days": [-1, 2**64, 1.5, "1.5", "x", "", None, True, [], {}, "\u0667", "7 ", "1e3"],
    "small": [256, -1, "999999999999999999999999"],
    "repo": [1, None, ["o/r"], "\ud800", True],
    "share": ["1", None, True, 10**400],
    "all": [1, "1", [None], [[1]], {"a": 1}, [2**63]],
    "day": ["x", 5, "2026-13-01", "2026-05-04; DROP"],
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_of_its_type_is_refused_by_name(name: str) -> None:
    for value in WRONG[name]:
        with pytest.raises(WrongParameterError, match=name):
            read_parameters(QUERY, GOOD | {name: value})


@pytest.mark.parametrize("missing", GOOD)
def test_a_missing_parameter_is_named(missing: str) -> None:
    with pytest.raises(WrongParameterError, match=f"{missing} is missing"):
        read_parameters(QUERY, {name: value for name, value in GOOD.items() if name != missing})


@pytest.mark.parametrize("told", [None, [], "x", 1])
def test_parameters_are_an_object(told: object) -> None:
    with pytest.raises(WrongParameterError, match="object"):
        read_parameters(QUERY, told)
