"""level_report: the suggestion for every kind of backend, and the numbers against a count by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from oot_ops.level_report import Thresholds, Week, judge, markdown, week
from tests.hud_endpoint.clickhouse.history import load, refresh

if TYPE_CHECKING:
    from pathlib import Path

    from clickhouse_connect.driver.client import Client

    from oot_local.stack import Stack

WANTED = Thresholds()
SOUND = {"judged": 100, "passed": 95, "timed_out": 0, "queue_p50": 60.0, "end_to_end_p50": 3600.0}


def at(ago: int, **changes: Any) -> Week:
    return week({"week": ago, **SOUND, **changes}, WANTED)


def weeks(*changes: dict[str, Any]) -> list[Week]:
    return [at(ago, **change) for ago, change in enumerate(changes)]


GOOD: dict[str, Any] = {}
POOR, FEW = {"passed": 50}, {"judged": 5, "passed": 1}


@pytest.mark.parametrize(
    ("level", "known", "suggestion", "to", "told"),
    [
        ("L2", weeks(GOOD, GOOD, GOOD, GOOD), "promote", "L3", "met every criterion for 4 weeks"),
        ("L3", weeks(GOOD, GOOD, GOOD, GOOD), "candidate", "L4", "the core maintainers decide"),
        ("L4", weeks(GOOD, GOOD, GOOD, GOOD), "keep", "L4", "met every"),
        ("L1", weeks(GOOD, GOOD, GOOD, GOOD), "keep", "L1", "met every"),
        ("L2", weeks(GOOD, GOOD, GOOD), "keep", "L2", "3 of 4 weeks"),
        ("L2", weeks(GOOD, GOOD, FEW, GOOD), "keep", "L2", "3 of 4 weeks"),
        ("L2", weeks(GOOD, GOOD, GOOD, POOR), "keep", "L2", "earlier week"),
        ("L2", weeks(POOR, GOOD, GOOD, GOOD), "keep", "L2", "pass rate 50.0 %"),
        ("L2", weeks(POOR, POOR), "keep", "L2", "pass rate"),
        ("L3", weeks(POOR, GOOD, GOOD, GOOD), "keep", "L3", "pass rate"),
        ("L3", weeks(POOR, POOR, GOOD, GOOD), "demote", "L2", "its 2 newest weeks"),
        ("L3", weeks(POOR, FEW, POOR, GOOD), "demote", "L2", "its 2 newest weeks"),
        ("L4", weeks(POOR, POOR), "demote", "L3", "its 2 newest weeks"),
        ("L3", [], "demote", "L2", "nothing has come for 2 weeks"),
        ("L2", [at(2), at(3)], "demote", "L1", "nothing has come for 2 weeks"),
        ("L1", [], "keep", "L1", "0 of 4 weeks"),
        ("", weeks(GOOD), "unknown", "", "not known"),
        ("L9", weeks(GOOD), "unknown", "L9", "not known"),
    ],
)
def test_what_is_suggested(level: str, known: list[Week], suggestion: str, to: str, told: str) -> None:
    verdict = judge("org/a", level, reversed(known), window=4)
    assert (verdict.suggestion, verdict.to) == (suggestion, to)
    assert told in verdict.reason


@pytest.mark.parametrize(
    ("change", "misses"),
    [
        ({"passed": 91}, ()),
        ({"passed": 90}, ("pass rate 90.0 %",)),  # above the threshold, not at it
        ({"timed_out": 1}, ("timed out 1.0 %",)),
        ({"end_to_end_p50": 10_800.0}, ("end to end 3.0 h",)),
        ({"end_to_end_p50": 10_799.0}, ()),
        ({"queue_p50": 1800.0}, ("queue 30 min",)),
        ({"queue_p50": None, "end_to_end_p50": None}, ()),
        ({"passed": 10, "timed_out": 9}, ("pass rate 10.0 %", "timed out 9.0 %")),
        ({"judged": 19, "passed": 1}, ()),  # too few to judge by
        ({"judged": 0, "passed": 0}, ()),
    ],
)
def test_what_a_week_misses(change: dict[str, Any], misses: tuple[str, ...]) -> None:
    assert at(0, **change).misses == misses


def test_a_hostile_name_stays_in_its_cell() -> None:
    report = markdown([judge("org/a|b\n# c", "L2", weeks(GOOD), window=4)], WANTED, 4, datetime.now(UTC))
    assert "org/a\\|b # c" in report
    assert "\n# c" not in report


def report(stack: Stack, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "oot_ops", "level-report", *arguments],
        env={**os.environ, "CLICKHOUSE_URL": stack.state["clickhouse_url"], **env},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def job(repo: str, ago: timedelta, number: int, **changes: Any) -> dict[str, Any]:
    seen = (datetime.now(UTC) - ago).replace(microsecond=0)
    return {
        "dynamoKey": f"{repo}/{number}/{ago}",
        "downstream_repo": repo,
        "downstream_repo_level": "L3",
        "upstream_repo": "pytorch/pytorch",
        "delivery_id": f"{repo}-{number}-{ago}",
        "pytorch_head_sha": f"{number:040x}",
        "pr_number": number,
        "workflow_name": "ci",
        "job_name": "test",
        "run_id": str(number),
        "status": "completed",
        "conclusion": "success",
        "event_type": "pull_request",
        "queue_time": 120.0,
        "started_at": seen,
        "completed_at": seen + timedelta(seconds=1000),
        "first_seen": seen,
        "version": 3 * 10**13 + 1,
        **changes,
    }


def test_the_numbers_of_two_weeks_are_those_counted_by_hand(stack: Stack, clickhouse: Client, tmp_path: Path) -> None:
    repo, day = "levels/measured", timedelta(days=1)
    rows = [job(repo, day, number) for number in range(18)]
    rows += [job(repo, day, 18, conclusion="failure"), job(repo, day, 19, conclusion="timed_out")]
    rows += [job(repo, day, 20, conclusion="cancelled"), job(repo, day, 21, conclusion="failure", event_type="nightly")]
    rows += [job(repo, 9 * day, number) for number in range(5)]
    load(clickhouse, rows)
    refresh(clickhouse)
    (tmp_path / "allowlist.yml").write_text(f"L2: [{repo}, levels/silent]\nL1: [levels/newcomer]\n")

    done = report(stack, "--json", "--allowlist", str(tmp_path / "allowlist.yml"))
    assert done.returncode == 0, done.stderr
    told = {backend["repo"]: backend for backend in json.loads(done.stdout)["backends"]}
    measured = told[repo]
    assert measured["level"] == "L2"  # the allowlist's word, not that of the jobs
    newest, before = measured["weeks"]
    assert (newest["ago"], newest["judged"], newest["pass_rate"], newest["timeout_rate"]) == (0, 20, 18 / 20, 1 / 20)
    assert newest["end_to_end_p50"] == 1120  # 120 s of queue, 1,000 s of running
    assert newest["queue_p50"] == 120
    assert (before["ago"], before["judged"], before["counts"]) == (1, 5, False)
    assert newest["misses"] == ["pass rate 90.0 %", "timed out 5.0 %"]
    assert told["levels/silent"]["suggestion"] == "demote"
    assert "levels/newcomer" not in told

    printed = report(stack, "--repo", repo.upper())
    assert f"| {repo} | L3 | keep | missed: pass rate 90.0 %, timed out 5.0 % |" in printed.stdout
    assert "| newest | 20 | 90.0 % | 5.0 % | 19 min | 2 min |" in printed.stdout


@pytest.mark.parametrize(
    ("arguments", "env", "told"),
    [
        ([], {"CLICKHOUSE_URL": "http://127.0.0.1:9"}, "level-report: "),
        (["--allowlist", "nowhere.yml"], {}, "No such file"),
        (["--weeks", "0"], {}, "--weeks"),
    ],
    ids=["no-clickhouse", "no-allowlist", "no-weeks"],
)
def test_what_is_wrong_is_told_in_a_line(stack: Stack, arguments: list[str], env: dict[str, str], told: str) -> None:
    done = report(stack, *arguments, **env)
    assert done.returncode in (1, 2)
    assert told in done.stderr
    assert "Traceback" not in done.stderr
