"""`make bench`: what it says, how it judges, and that every room measures something. No time is asserted anywhere."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks import (
    __main__ as command,
)
from benchmarks import (
    callbacks,
    cold_import,
    dashboards,
    endpoint,
    junit,
    latency,
    machine,
    relay,
    replicator,
    report_result,
    reports,
    table,
    test_stats,
    timing,
)
from benchmarks.result import BenchmarkError, Budget, Row
from benchmarks.servers import REAL_SERVICES
from oot_replicator.rows.transform import PoisonError, Transform
from oot_runner.junit import summarize

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.result import Say

MACHINE = {"cpu": "Fast CPU", "cores": "2"}

ROOMS: dict[str, Callable[[Say], list[Row]]] = {
    "cold-import": lambda say: cold_import.measure(cold_import.Size(runs=1), say),
    "report-result": lambda say: report_result.measure(report_result.Size(cases=20, runs=1), say),
    "junit": lambda say: junit.measure(junit.Size(cases=50, files=2, runs=1, memory_cases=(50,)), say),
    "test-stats": lambda say: test_stats.measure(test_stats.Size(cases=(60,), files=2, runs=1), say),
    "latency": lambda say: latency.measure(latency.Size(callbacks=6, rate=30), say),
    "relay": lambda say: relay.measure(relay.Size(callbacks=8), say),
    "endpoint": lambda say: endpoint.measure(endpoint.Size(requests=50, limit=5), say),
    "replicator": lambda say: replicator.measure(replicator.Size(batch=40, batches=1), say),
    "dashboards": lambda say: dashboards.measure(dashboards.Size(rows=2_000, runs=2, limit=5), say),
}


def row(**values: object) -> Row:
    return Row(**({"room": "room", "what": "thing", "unit": "ms", "ours": 10.0} | values))  # type: ignore[arg-type]


# --- the rooms


def test_every_room_has_a_test_of_its_own() -> None:
    assert set(ROOMS) == set(command.rooms(quick=True, rows=None)) == set(command.rooms(quick=False, rows=None))


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_measures_its_budget(name: str) -> None:
    progress: list[str] = []
    rows = ROOMS[name](progress.append)
    assert rows
    assert any(row.budget for row in rows) or name == "relay"  # the design names no budget for it
    assert progress
    for found in rows:
        assert found.room == name
        assert found.unit in {"ms", "MB", "/s", "rows/s", "cases/s"}
        for value in (found.ours, found.baseline, found.ratio):
            assert value is None or (math.isfinite(value) and value > 0)
        assert found.met in {True, False, None}
    assert len({found.what for found in rows}) == len(rows)
    json.loads(table.to_json(rows, MACHINE, {}))


@pytest.mark.parametrize("service", REAL_SERVICES)
def test_no_room_writes_to_a_real_service(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(service, "https://production.example.org")
    with pytest.raises(BenchmarkError, match=service):
        latency.measure(latency.QUICK, print)


def test_a_program_that_fails_is_told_with_its_last_words() -> None:
    with pytest.raises(BenchmarkError, match="no such thing"):
        timing.python("-c", "import sys; sys.exit('no such thing')")


# --- what is measured


def test_reports_hold_the_cases_that_were_asked_for(tmp_path: Path) -> None:
    paths = reports.write(tmp_path, 410, files=3)
    report = summarize(paths)
    assert (report.total, report.rejected, len(paths)) == (410, [], 3)
    assert report.failed > 0
    assert report.skipped > 0
    assert report.total == sum(len(junit._elementtree(path)) for path in paths)


def test_stream_records_become_rows_of_different_keys() -> None:
    from hud_endpoint.clickhouse.ddl import Column

    transform = Transform([Column("dynamoKey", "String", ""), Column("failed_tests_json", "String", "''")])
    try:
        rows = [transform.row(record) for record in callbacks.stream_records(40, 40)]
    except PoisonError as error:
        pytest.fail(str(error))
    assert all(rows)
    assert len({found[0] for found in rows if found}) == 40
    assert sum(bool(found[1]) for found in rows if found) == 2


# --- judging


@pytest.mark.parametrize(
    ("found", "met"),
    [
        (row(), None),
        (row(budget=Budget("at most", 10)), True),
        (row(budget=Budget("under", 10)), False),
        (row(budget=Budget("at least", 10)), True),
        (row(budget=Budget("at least", 10.5)), False),
        (row(budget=Budget("at least", 5, of="ratio"), baseline=2.0, ratio=5.0), True),
        (row(budget=Budget("at least", 5, of="ratio"), baseline=2.0, ratio=4.9), False),
        (row(budget=Budget("at least", 5, of="ratio")), None),
        (row(budget=Budget("at most", 10, when="at 10 M rows"), comparable=False), None),
    ],
)
def test_a_row_is_judged_by_its_budget(found: Row, met: bool | None) -> None:  # noqa: FBT001 - a parameter of the table
    assert found.met is met


@pytest.mark.parametrize(
    ("samples", "share", "expected"),
    [
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([4.0, 1.0, 2.0, 3.0], 0.5, 2.0),
        ([1.0], 0.99, 1.0),
        ([float(number) for number in range(100, 0, -1)], 0.99, 99.0),
    ],
)
def test_percentiles_are_samples(samples: list[float], share: float, expected: float) -> None:
    assert timing.percentile(samples, share) == expected


def test_no_samples_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no samples"):
        timing.median([])


def test_runs_alternate() -> None:
    order: list[str] = []

    def timed(name: str) -> float:
        order.append(name)
        return float(len(order))

    assert timing.alternate({name: partial(timed, name) for name in ("a", "b")}, 2) == {
        "a": [1.0, 3.0],
        "b": [2.0, 4.0],
    }
    assert order == ["a", "b", "a", "b"]
    assert len(timing.alternate({"a": partial(timed, "a")}, 1000, limit=0)["a"]) < 1000


# --- the table

TOLD = [
    row(what="fast thing", ours=1234.5, unit="/s", baseline=246.9, ratio=5.0, budget=Budget("at least", 5, of="ratio")),
    row(what="slow thing", ours=0.5, budget=Budget("under", 0.25, when="at 10 M rows"), note="why it is slow"),
    row(what="mere fact", ours=12.34),
]


def test_the_table_as_text() -> None:
    assert table.to_text(TOLD, MACHINE).splitlines() == [
        "Machine: cpu Fast CPU; cores 2",
        "",
        "what            ours  baseline  ratio                  budget  met",
        "----------  --------  --------  -----  ----------------------  ---",
        "fast thing  1,234 /s    247 /s  5.00x                   >= 5x  yes",
        "slow thing   0.50 ms         -      -  < 0.25 ms at 10 M rows  NO",
        "    why it is slow",
        "mere fact    12.3 ms         -      -                       -  -",
    ]


def test_the_table_as_markdown() -> None:
    lines = table.to_markdown([*TOLD, row(what="a|b")], MACHINE).splitlines()
    assert lines[0] == "Machine: cpu Fast CPU; cores 2"
    assert lines[4:7] == [
        "| fast thing | 1,234 /s | 247 /s | 5.00x | >= 5x | yes |  |",
        "| slow thing | 0.50 ms | - | - | < 0.25 ms at 10 M rows | NO | why it is slow |",
        "| mere fact | 12.3 ms | - | - | - | - |  |",
    ]
    assert lines[7].startswith("| a\\|b |")
    assert all(line.replace("\\|", "").count("|") == 8 for line in lines[2:])


PAGE = f"# Performance\n\n{table.BEGIN}\nold numbers\n{table.END}\n\nmore\n"


def test_the_table_in_a_page() -> None:
    page = table.into_page(PAGE, table.to_markdown(TOLD, MACHINE))
    assert page.startswith(f"# Performance\n\n{table.BEGIN}\nMachine: cpu Fast CPU")
    assert page.endswith(f"{table.END}\n\nmore\n")
    assert "old numbers" not in page
    assert table.into_page(page, table.to_markdown(TOLD, MACHINE)) == page
    with pytest.raises(ValueError, match="make bench"):
        table.into_page("# Performance\n", "x")


def test_the_document_shows_every_room_measured() -> None:
    """What the document says must come from a whole run: each room has its rows there."""
    shown = (timing.ROOT / "docs/performance.md").read_text().partition(table.BEGIN)[2].partition(table.END)[0]
    assert shown.startswith("\nMachine: cpu ")
    for words in (
        "cold start",
        "report-result",
        "JUnit",
        "cases",
        "callback",
        "relay",
        "endpoint",
        "replicator",
        "summary",
    ):
        assert words in shown


def test_the_table_as_json() -> None:
    told = json.loads(table.to_json(TOLD, MACHINE, {"endpoint": "OSError: no"}))
    assert told["machine"] == MACHINE
    assert told["failures"] == {"endpoint": "OSError: no"}
    assert [found["met"] for found in told["rows"]] == [True, False, None]
    assert told["rows"][0]["budget"] == {"kind": "at least", "limit": 5, "of": "ratio", "when": ""}


def test_the_machine_is_named() -> None:
    told = machine.describe()
    assert set(told) == {"cpu", "cores", "memory", "python", "os", "load"}
    assert all(told.values())


# --- the command


def test_help_teaches_every_room_and_option() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--help"], capture_output=True, text=True, check=True, cwd=timing.ROOT
    )
    for word in (*ROOMS, "--only", "--quick", "--rows", "--json", "--page", "make bench"):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--only", "nothing"], "cold-import"),
        (["--rows", "many"], "a number"),
        (["--rows", "5"], "a number"),
        (["--quick", "--page", "x.md"], "a whole run"),
    ],
)
def test_a_wrong_option_is_explained(argv: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(argv)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_the_rest_is_measured_when_a_room_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_say: Say) -> list[Row]:
        raise BenchmarkError("the server would not start")

    def works(say: Say) -> list[Row]:
        say("half way")
        return TOLD

    monkeypatch.setattr(command, "rooms", lambda **_: {"first": broken, "second": works})
    monkeypatch.setattr(command, "stop_on_sigterm", lambda: None)
    told_json, page = tmp_path / "table.json", tmp_path / "page.md"
    page.write_text(PAGE)
    assert command.main(["--json", str(told_json), "--page", str(page)]) == 1
    told = capsys.readouterr()
    assert "fast thing" in told.out
    assert "first: could not be measured: BenchmarkError: the server would not start" in told.err
    assert "second: half way" in told.err
    assert "first" in json.loads(told_json.read_text())["failures"]
    assert page.read_text() == PAGE  # half a table would look like a whole one


def test_a_missed_budget_is_no_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    ran: list[str] = []

    def room(name: str, _say: Say) -> list[Row]:
        ran.append(name)
        return TOLD

    monkeypatch.setattr(command, "rooms", lambda **_: {name: partial(room, name) for name in ("first", "second")})
    monkeypatch.setattr(command, "stop_on_sigterm", lambda: None)
    assert command.main(["--only", "second"]) == 0
    assert ran == ["second"]
    assert "NO" in capsys.readouterr().out


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are looked up in Linux's /proc")
def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A room stopped half way ends its server and removes its folder."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before, started = _children(), set[int]()

    def interrupt(text: str) -> None:
        started.update(_children() - before)
        assert list(tmp_path.iterdir())
        raise KeyboardInterrupt(text)

    with pytest.raises(KeyboardInterrupt):
        replicator.measure(replicator.Size(batch=10, batches=1), interrupt)
    assert started
    assert not started & _children()
    assert list(tmp_path.iterdir()) == []


def _children() -> set[int]:
    return {int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}
