"""Dashboards: how long the summary page's query takes over 100 days of jobs, and how the cost follows the window.

Made-up rows are written by ClickHouse itself, in the order of time as they would come; 1 in 50 comes twice. The saved
query runs as the page runs it. Baseline: the same rows in the layout of production's table, asked as production asks.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.result import Budget, Row
from benchmarks.servers import clickhouse
from benchmarks.timing import alternate, median, percentile, seconds
from hud_endpoint.clickhouse import saved_queries

if TYPE_CHECKING:
    from collections.abc import Callable

    from clickhouse_connect.driver.client import Client

    from benchmarks.result import Say

NAME = "dashboards"
FULL_ROWS = 10_000_000
BUDGET = Budget("under", 50, when="at 10 M rows")
WINDOWS = (1, 7, 30)
BLOCK = 250_000
MERGE_SECONDS = 20.0
_SQL = Path(__file__).parent / "sql"


class Size(NamedTuple):
    """Rows in the table, how often each query runs, and the seconds that the runs of a window may take."""

    rows: int
    runs: int
    limit: float


FULL = Size(rows=1_000_000, runs=30, limit=12.0)
QUICK = Size(rows=200_000, runs=10, limit=3.0)


def measure(size: Size, say: Say) -> list[Row]:
    """Give the rows of this budget."""
    with clickhouse() as client:
        fill(client, size.rows, say)
        parts = _settle(client, say)
        return [row for days in WINDOWS for row in _window(client, days, size, parts, say)]


def fill(client: Client, rows: int, say: Say) -> None:
    """Write the made-up jobs; a view writes each block into the reference's layout as well."""
    client.command(_sql("reference_table"))
    client.command(_sql("reference_copy"))
    statement = _sql("fill")
    for first in range(0, rows, BLOCK):
        if first % (4 * BLOCK) == 0:
            say(f"{first:,} of {rows:,} rows written")
        count = min(BLOCK, rows - first)
        for again in (count, count // 50):
            if again:
                client.command(statement, parameters={"rows": rows, "first": first, "count": again})


def _settle(client: Client, say: Say) -> int:
    """Wait for merges that are under way; gives the number of parts of our table."""
    say("waiting for merges")
    deadline = time.monotonic() + MERGE_SECONDS
    while int(str(client.command("SELECT count() FROM system.merges"))) and time.monotonic() < deadline:
        time.sleep(0.2)
    counted = "SELECT count() FROM system.parts WHERE active AND table = 'oot_workflow_job'"
    return int(str(client.command(counted)))


def _window(client: Client, days: int, size: Size, parts: int, say: Say) -> list[Row]:
    say(f"the last {days} days, up to {size.runs} alternating runs")
    runs: dict[str, Callable[[], object]] = {
        "ours": partial(saved_queries.run, client, "oot_summary", {"days": days}),
        "reference": partial(client.query, _sql("reference_summary"), parameters={"days": days}),
    }
    for run in runs.values():
        run()
    samples = alternate({name: partial(seconds, run) for name, run in runs.items()}, size.runs, limit=size.limit)
    times = {name: [1000 * one for one in taken] for name, taken in samples.items()}
    ours = _rows_read(client, saved_queries.saved_query("oot_summary").sql, days)
    reference = _rows_read(client, _sql("reference_summary"), days)
    told = f"{days} day{'s' * (days > 1)}, {size.rows:,} rows"
    note = f"{len(times['ours'])} runs, {parts} parts; reads {ours:,} rows, the reference {reference:,}"
    return [
        Row(NAME, f"summary of {told}, p50", "ms", *_compared(*(median(one) for one in times.values()))),
        Row(
            NAME,
            f"summary of {told}, p95",
            "ms",
            *_compared(*(percentile(one, 0.95) for one in times.values())),
            BUDGET,
            comparable=size.rows >= FULL_ROWS,
            note=note,
        ),
    ]


def _compared(ours: float, reference: float) -> tuple[float, float, float]:
    return ours, reference, reference / ours


def _rows_read(client: Client, sql: str, days: int) -> int:
    summary: dict[str, Any] = client.query(sql, parameters={"days": days}).summary
    return int(summary["read_rows"])


def _sql(name: str) -> str:
    return (_SQL / f"{name}.sql").read_text()
