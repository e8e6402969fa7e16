"""The capacity plan: its arithmetic, checked by hand, and docs/capacity.md, which shows it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oot_ops.capacity import Plan, callbacks_per_second, costs, limits, report, write_units

ROOT = Path(__file__).resolve().parents[2]
SHOWN = re.findall(r"<!-- (oot-hud .+?) -->\n(.+?)\n<!-- end -->", (ROOT / "docs/capacity.md").read_text(), re.DOTALL)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "oot_ops", "capacity", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("command", "shown"), SHOWN, ids=[command for command, _ in SHOWN])
def test_the_documents_tables_are_what_the_command_prints(command: str, shown: str) -> None:
    assert run(*shlex.split(command)[2:]).stdout.strip() == shown.strip()


def test_both_loads_are_shown() -> None:
    assert len(SHOWN) == 2


def test_the_figures_that_can_be_checked_by_hand() -> None:
    plan = Plan()
    assert callbacks_per_second(plan) == pytest.approx((347.2, 1736.1), abs=0.1)  # 1,000 x 50 x 300 x 2 / 86,400
    # One job: a record of 2 KB is written twice, put into two indexes and taken out of both.
    assert write_units(plan)["results"] == 2 + 2 + 4 + 4
    # One callback: a transaction over 2 + 1 + 2 KB at double price, a 2 KB deletion, a rate, three index writes.
    assert write_units(plan)["relay"] == 2 * (2 * 5 + 2 + 1 + 3)
    assert costs(plan)["DynamoDB writes"] == pytest.approx(15e6 * 30 * (32 + 12) * 0.625 / 1e6)
    assert costs(plan)["API Gateway"] == pytest.approx(30e6 * 30 * 2 * 3.5 / 1e6)


@given(st.integers(1, 2000), st.integers(1, 100), st.integers(1, 1000), st.integers(2, 5))
def test_cost_is_proportional_to_the_load(backends: int, jobs: int, prs: int, factor: int) -> None:
    plan = Plan(backends=backends, jobs=jobs, prs=prs)
    more = replace(plan, backends=backends * factor)
    assert sum(costs(more).values()) == pytest.approx(sum(costs(plan).values()) * factor)


@given(st.integers(1, 5000), st.floats(1, 50))
def test_every_plan_has_a_report(backends: int, peak: float) -> None:
    plan = Plan(backends=backends, peak=peak)
    assert len(limits(plan)) == len({line.what for line in limits(plan)})
    assert "together" in report(plan)


def test_a_plan_beyond_a_new_tables_start_is_told_to_warm_it() -> None:
    told = {line.what: line.remedy for line in limits(Plan())}
    assert told["DynamoDB, results"] == "set the table's WarmThroughput to 20,000 before the first busy day"
    assert {line.what: line.remedy for line in limits(Plan(backends=10))}["DynamoDB, results"] == "none"


def test_json_is_for_programs() -> None:
    told = json.loads(run("--json", "--backends", "3").stdout)
    assert told["plan"]["backends"] == 3
    assert {"what", "value", "limit", "remedy"} == set(told["limits"][0])


@pytest.mark.parametrize("wrong", [["--backends", "0"], ["--peak", "0.5"], ["--item-kb", "-1"], ["--prs", "x"]])
def test_a_wrong_figure_is_told_in_a_line(wrong: list[str]) -> None:
    done = run(*wrong)
    assert done.returncode == 2
    assert "error:" in done.stderr
    assert "Traceback" not in done.stderr
