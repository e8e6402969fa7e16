"""Dashboards: how long the queries of each page take over 100 days of jobs, and how the cost follows the window.

Made-up rows are written by ClickHouse itself, in the order of time as they would come; 1 in 50 comes twice. Each page
is read as the pages' reader reads it, without what is kept between requests, and parts at the same time. A page's
queries take from its first question until the rows of its last answer are there; its data is complete when Python has
made of them what is shown. Baseline of the summary: the same rows in the layout of production's table, asked as
production asks.
"""

from __future__ import annotations

import time
from collections import defaultdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.result import Budget, Row
from benchmarks.servers import clickhouse
from benchmarks.timing import alternate, median, percentile, seconds
from hud_endpoint.clickhouse import saved_queries
from hud_endpoint.clickhouse.ddl import rollups
from hud_endpoint.views.data.backend_page import read_backend
from hud_endpoint.views.data.names import read_names
from hud_endpoint.views.data.pull_request_page import read_pull_request
from hud_endpoint.views.data.reader import QUERY_THREADS
from hud_endpoint.views.data.readiness import Criteria
from hud_endpoint.views.data.summary_page import read_summary
from hud_endpoint.views.data.test_page import read_test
from hud_endpoint.views.models.filters import Filters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from clickhouse_connect.driver.client import Client

    from benchmarks.result import Say
    from hud_endpoint.views.data.names import Names
    from hud_endpoint.views.models.jobs import Job

NAME = "dashboards"
FULL_ROWS = 10_000_000
BUDGET = Budget("under", 50, when="at 10 M rows")
WINDOWS = (1, 7, 30)
BLOCK = 250_000
SETTLE_SECONDS = 120.0
WARM_UPS = 4  # ClickHouse compiles an aggregation once, when it has seen it three times
UNMERGED = 3  # refreshes whose parts are not merged yet
_SQL = Path(__file__).parent / "sql"
_HOURS = ("backend_hours", "commit_hours", "failed_tests")
_BACKEND = "org-3/torch-backend-3"
_TEST = "test_conv_7"


class Size(NamedTuple):
    """Rows in the table, how often each page is read, and the seconds that the runs of a page may take."""

    rows: int
    runs: int
    limit: float


FULL = Size(rows=1_000_000, runs=30, limit=8.0)
QUICK = Size(rows=200_000, runs=10, limit=1.0)


class NothingRuns:
    """DynamoDB without a running job: what runs is not ClickHouse's."""

    def under_name(self, _repo: str, _names: Names) -> list[tuple[Job, str]]:
        """No job."""
        return []

    def of_pull_request(self, _upstream_repo: str, _number: int, _names: Names) -> list[tuple[Job, str]]:
        """No job."""
        return []

    def counts(self, _backends: Iterable[str], _names: Names) -> dict[str, int]:
        """No job."""
        return {}


class Stopwatch:
    """Asks saved queries as pages do, keeps the seconds and the rows read of each, and when the last was answered."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.answered = 0.0
        self.taken: dict[str, list[float]] = defaultdict(list)
        self.rows_read: dict[str, int] = {}

    def ask(self, query: str, /, **parameters: Any) -> Sequence[dict[str, Any]]:  # noqa: ANN401 - any parameter
        """Run one query."""
        sql = saved_queries.saved_query(query).sql
        started = time.perf_counter()
        settings = saved_queries.LIMITS | {"max_threads": QUERY_THREADS}
        result = self._client.query(sql, parameters=parameters, settings=settings)
        rows = list(result.named_results())
        self.answered = time.perf_counter()
        self.taken[query].append(self.answered - started)
        self.rows_read[query] = max(int(result.summary["read_rows"]), self.rows_read.get(query, 0))
        return rows


def measure(size: Size, say: Say) -> list[Row]:
    """Give the rows of this budget."""
    with clickhouse() as client:
        fill(client, size.rows, say)
        parts = _settle(client, say)
        rows = [_refreshes(client)]
        rows += [row for days in WINDOWS for row in _against_production(client, days, size, parts, say)]
        names = read_names(Stopwatch(client).ask)
        newest = client.command("SELECT max(pr_number) - 1 FROM default.oot_workflow_job")
        for days in WINDOWS:
            for page, read in _pages(days, int(str(newest)), names).items():
                rows += _page(client, page, read, size, say)
        return rows


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
    """Bring the rollups up to date, hold them there, and wait for merges; gives the number of parts of our table.

    In a day of service each hour but the last was merged long ago: the last refreshes are parts of their own.
    """
    say("refreshing the rollups")
    _refresh(client)
    for table in _HOURS:
        client.command(f"OPTIMIZE TABLE oot.{table} FINAL")
    for _ in range(UNMERGED):
        _refresh(client)
    for table in rollups():
        client.command(f"SYSTEM STOP VIEW oot.{table}_mv")
    say("waiting for merges")
    deadline = time.monotonic() + SETTLE_SECONDS
    while int(str(client.command("SELECT count() FROM system.merges"))) and time.monotonic() < deadline:
        time.sleep(0.2)
    counted = "SELECT count() FROM system.parts WHERE active AND table = 'oot_workflow_job'"
    return int(str(client.command(counted)))


def _refresh(client: Client) -> None:
    for table in rollups():
        for command in ("WAIT", "REFRESH", "WAIT"):
            client.command(f"SYSTEM {command} VIEW oot.{table}_mv")


def _refreshes(client: Client) -> Row:
    """Give what keeping the rollups ready costs: a refresh of each, one after the other."""
    taken = client.query("SELECT view, last_success_duration_ms FROM system.view_refreshes WHERE database = 'oot'")
    told = {str(view).removesuffix("_mv"): int(milliseconds) for view, milliseconds in taken.result_rows}
    note = ", ".join(f"{table} {told[table]} ms" for table in rollups())
    note += "; all every 10 s, but failing_tests every 30 s and readiness every minute"
    return Row(NAME, "refreshing every rollup once", "ms", float(sum(told.values())), note=note)


def _pages(days: int, number: int, names: Names) -> dict[str, Callable[[Stopwatch], object]]:
    """Give what reads each page of a window; the PR's page has none, so that it is read once."""
    now, filters = datetime.now(UTC), Filters(days=days)
    runs: Any = NothingRuns()
    told = f"{days} day{'s' * (days > 1)}"
    pages: dict[str, Callable[[Stopwatch], object]] = {
        f"/oot, {told}": lambda watch: read_summary(watch.ask, runs, names, filters, now),
        f"/oot/org/repo, {told}": lambda watch: read_backend(
            watch.ask, runs, names, Criteria(), _BACKEND, filters, 1, now
        ),
        f"/oot/test, {told}": lambda watch: read_test(watch.ask, _TEST, "", "", filters, now),
    }
    if days == WINDOWS[0]:
        pages["/pr/N"] = lambda watch: read_pull_request(watch.ask, runs, names, number, "pytorch/pytorch", now)
        pages["the names of backends, every 10 s"] = lambda watch: read_names(watch.ask)
        pages["/oot.atom"] = lambda watch: watch.ask("oot_new_failures", days=7, limit=100, repo="")
    return pages


def _page(client: Client, page: str, read: Callable[[Stopwatch], object], size: Size, say: Say) -> list[Row]:
    say(f"{page}, up to {size.runs} runs")
    for _ in range(WARM_UPS):
        read(Stopwatch(client))
    watch = Stopwatch(client)
    complete: list[float] = []

    def queries() -> float:
        taken = seconds(partial(read, watch))
        complete.append(1000 * taken)
        return 1000 * (watch.answered - (time.perf_counter() - taken))

    times = alternate({page: queries}, size.runs, limit=size.limit)[page]
    told = [
        f"{query} {1000 * median(taken):.0f}/{1000 * percentile(taken, 0.95):.0f} ms, {watch.rows_read[query]:,} rows"
        for query, taken in watch.taken.items()
    ]
    return [
        Row(NAME, f"{page}: its queries, p50", "ms", median(times)),
        Row(
            NAME,
            f"{page}: its queries, p95",
            "ms",
            percentile(times, 0.95),
            budget=BUDGET,
            comparable=size.rows >= FULL_ROWS,
            note=f"{len(times)} runs over {size.rows:,} rows; p50/p95 and rows read: {'; '.join(told)}",
        ),
        Row(NAME, f"{page}: its data complete, p95", "ms", percentile(complete, 0.95)),
    ]


def _against_production(client: Client, days: int, size: Size, parts: int, say: Say) -> list[Row]:
    say(f"the summary of {days} days beside production's, up to {size.runs} alternating runs")
    runs: dict[str, Callable[[], object]] = {
        "ours": partial(saved_queries.run, client, "oot_summary", {"days": days}),
        "reference": partial(client.query, _sql("reference_summary"), parameters={"days": days}),
    }
    for run in (*runs.values(), *[runs["ours"]] * WARM_UPS):
        run()
    samples = alternate({name: partial(seconds, run) for name, run in runs.items()}, size.runs, limit=size.limit)
    times = {name: [1000 * one for one in taken] for name, taken in samples.items()}
    ours = _rows_read(client, saved_queries.saved_query("oot_summary").sql, days)
    reference = _rows_read(client, _sql("reference_summary"), days)
    told = f"{days} day{'s' * (days > 1)}, {size.rows:,} rows"
    note = f"{len(times['ours'])} runs, {parts} parts; reads {ours:,} rows, the reference {reference:,}"
    return [
        Row(NAME, f"oot_summary of {told}, p50", "ms", *_compared(*(median(one) for one in times.values()))),
        Row(
            NAME,
            f"oot_summary of {told}, p95",
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
