"""The sample history: honest about being one, whole, and holding what the screenshots show."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from hud_endpoint.contract import RelayPayload, parse
from hud_endpoint.wire_types import is_sha
from oot_local import history
from oot_local.screenshots import SHOTS, Shot
from oot_local.state import LocalError
from tests.hud_endpoint.web import Answer, Web, as_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clickhouse_connect.driver.client import Client

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
ROWS = list(history.rows(NOW))


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    yield server
    server.close()


def test_the_same_seed_gives_the_same_history() -> None:
    assert list(history.rows(NOW)) == ROWS
    assert list(history.rows(NOW, seed=1)) != ROWS


def test_every_row_says_that_it_is_made_up() -> None:
    assert {row["workflow_name"] for row in ROWS} == {history.LABEL}
    assert all(json.loads(row["environment"])["sample"] for row in ROWS)
    assert len({row["dynamoKey"] for row in ROWS}) == len(ROWS)


def test_finished_jobs_are_of_the_past_and_of_the_days_told() -> None:
    assert all(row["first_seen"] <= row["started_at"] <= row["completed_at"] <= NOW for row in ROWS)
    assert min(row["first_seen"] for row in ROWS) > NOW - timedelta(days=history.DAYS + 1)


def test_counts_add_up() -> None:
    for row in ROWS:
        assert row["total_tests"] == row["passed_tests"] + row["failed_tests"] + row["skipped_tests"]
        assert row["failed_tests"] == len(json.loads(row["failed_tests_json"] or "[]"))


def test_there_is_something_to_see_of_every_kind() -> None:
    assert {row["conclusion"] for row in ROWS} == {"success", "failure", "timed_out", "cancelled"}
    assert {row["event_type"] for row in ROWS} == {"pull_request", "push", "nightly"}
    assert {row["run_attempt"] for row in ROWS} == {1, 2}
    assert {row["dispatch_verified"] for row in ROWS} == {True, False}
    nightlies = {
        (row["commit_verified"], is_sha(row["pytorch_head_sha"])) for row in ROWS if row["event_type"] == "nightly"
    }
    assert nightlies == {(True, True), (False, True), (False, False)}
    week = [row for row in ROWS if row["first_seen"] > NOW - timedelta(days=7)]
    broken = {(row["pr_number"], row["downstream_repo"]) for row in week if "foreach" in row["failed_tests_json"]}
    assert len(broken) == 3
    assert len({pull for pull, _ in broken}) == 1  # one pull request on three backends


def test_there_are_two_results_for_one_job_name_this_week() -> None:
    week = [row for row in ROWS if row["first_seen"] > NOW - timedelta(days=7)]
    disputed = [row for row in week if row["conflicts"]]
    assert {row["downstream_repo"] for row in disputed} == {"northwind/pytorch-npu"}
    assert any((row["conclusion"], json.loads(row["conflicts"])[0][:8]) == ("success", "failure ") for row in disputed)


def test_one_repo_was_renamed_and_another_one_took_a_name() -> None:
    names: dict[str, set[str]] = {}
    for row in ROWS:
        names.setdefault(row["repository_id"], set()).add(row["downstream_repo"])
    without_id = names.pop("")
    assert without_id  # the oldest results
    assert [sorted(two) for two in names.values() if len(two) > 1] == [["northwind/pytorch-npu", "northwind/torch-npu"]]
    assert list(names.values()).count({"tailspin/torch-vortex"}) == 2
    newest = {row["repository_id"]: row["first_seen"] for row in sorted(ROWS, key=lambda row: row["first_seen"])}
    assert newest["700501"] < newest["700500"]


def test_the_table_has_every_column(clickhouse: Client) -> None:
    columns = {row[0] for row in clickhouse.query("DESCRIBE TABLE default.oot_workflow_job").result_rows}
    assert set(ROWS[0]) <= columns


@pytest.mark.parametrize("shot", SHOTS, ids=lambda shot: shot.name)
def test_what_is_pictured_is_in_the_history(shot: Shot) -> None:
    parts = urlsplit(shot.path)
    week = [row for row in ROWS if row["first_seen"] > NOW - timedelta(days=7)]
    if parts.path == "/oot/test":
        [name] = parse_qs(parts.query)["name"]
        assert any(name in row["failed_tests_json"] for row in week)
    elif parts.path.startswith("/pr/"):
        assert any(row["pr_number"] == int(parts.path.removeprefix("/pr/")) for row in week)
    elif parts.path != "/oot":
        assert any(row["downstream_repo"] == parts.path.removeprefix("/oot/") for row in week)


def test_what_runs_is_reported_as_the_relay_reports_and_is_not_in_the_history(web: Web) -> None:
    web.answers["/api/oot/results"] = as_json({"ok": True})
    count = history.start_running(web.url, "a-token-of-the-tests", NOW)
    payloads = [parse(RelayPayload, asked.body) for asked in web.asked]
    assert len(payloads) == count > 0
    assert {asked.headers["x-hud-internal-bot"] for asked in web.asked} == {"a-token-of-the-tests"}
    finished = {(row["downstream_repo"], row["job_name"], row["pytorch_head_sha"]) for row in ROWS}
    for payload in payloads:
        callback = payload.untrusted.callback_payload
        assert callback.workflow.status == "in_progress"
        running = (payload.trusted.verified_repo, callback.workflow.job_name, callback.upstream_sha)
        assert running not in finished
        assert any(row["delivery_id"] == callback.delivery_id for row in ROWS)


def test_a_refusal_is_said(web: Web) -> None:
    web.answers["/api/oot/results"] = Answer(503, b"store away")
    with pytest.raises(LocalError, match=r"HTTP 503\): store away"):
        history.start_running(web.url, "a-token-of-the-tests", NOW)
