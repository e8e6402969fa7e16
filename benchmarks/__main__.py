"""Measure the design's budgets on this machine and print one table: `make bench`, `python -m benchmarks`.

Each budget has a room of its own, which starts what it needs on 127.0.0.1 and free ports and ends it again. Nothing is
asserted: a budget that is missed says NO in the table, and the exit code is 1 only where something could not be
measured. Whatever else runs on the machine is measured along; the load at the start is told with the machine.

    python -m benchmarks --quick                       # small sizes, under a minute
    python -m benchmarks --only endpoint --only junit
    python -m benchmarks --only dashboards --rows 10000000   # the size that the budget is stated for; minutes
    python -m benchmarks --rows 10000000 --page docs/performance.md   # all of it, into the document
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import (
    cold_import,
    dashboards,
    endpoint,
    junit,
    latency,
    machine,
    relay,
    replicator,
    report_result,
    table,
    test_stats,
)
from oot_local.stack import stop_on_sigterm

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.result import Row, Say

    Room = Callable[[Say], list[Row]]


def rooms(*, quick: bool, rows: int | None) -> dict[str, Room]:
    """Give each room by its name, ready to run at the asked size. The quiet ones come first, the heavy ones last."""
    dashboard = dashboards.QUICK if quick else dashboards.FULL
    return {
        cold_import.NAME: partial(cold_import.measure, cold_import.QUICK if quick else cold_import.FULL),
        report_result.NAME: partial(report_result.measure, report_result.QUICK if quick else report_result.FULL),
        junit.NAME: partial(junit.measure, junit.QUICK if quick else junit.FULL),
        test_stats.NAME: partial(test_stats.measure, test_stats.QUICK if quick else test_stats.FULL),
        latency.NAME: partial(latency.measure, latency.QUICK if quick else latency.FULL),
        relay.NAME: partial(relay.measure, relay.QUICK if quick else relay.FULL),
        endpoint.NAME: partial(endpoint.measure, endpoint.QUICK if quick else endpoint.FULL),
        replicator.NAME: partial(replicator.measure, replicator.QUICK if quick else replicator.FULL),
        dashboards.NAME: partial(dashboards.measure, dashboard._replace(rows=rows) if rows else dashboard),
    }


def run(chosen: dict[str, Room], say: Say) -> tuple[list[Row], dict[str, str]]:
    """Run the rooms one after another; gives their rows, and why a room could not be measured, by its name."""
    rows: list[Row] = []
    failures: dict[str, str] = {}
    for name, room in chosen.items():
        started = time.monotonic()
        try:
            rows += room(partial(_tell, say, name))
        except Exception as error:  # noqa: BLE001 - a room's outermost edge: the others are measured all the same
            failures[name] = f"{type(error).__name__}: {error}"
            say(f"{name}: could not be measured: {failures[name]}")
        else:
            say(f"{name}: done in {time.monotonic() - started:.1f} s")
    return rows, failures


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; gives the exit code."""
    names = list(rooms(quick=True, rows=None))
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=f"one of {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="small sizes: rougher numbers, under a minute")
    parser.add_argument("--rows", type=_row_count, metavar="N", help="rows behind the dashboards (default: 1,000,000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write machine, rows and failures as JSON as well")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the table between the markers of this document")
    options = parser.parse_args(argv)
    if options.page and (options.only or options.quick):
        parser.error("--page takes a whole run: leave out --only and --quick")
    chosen = {
        name: room
        for name, room in rooms(quick=options.quick, rows=options.rows).items()
        if name in (options.only or names)
    }
    stop_on_sigterm()
    measured_on = machine.describe()
    try:
        found, failures = run(chosen, lambda text: print(f"  {text}", file=sys.stderr, flush=True))
    except KeyboardInterrupt:
        print("benchmarks: stopped", file=sys.stderr)
        return 130
    print(table.to_text(found, measured_on))
    if options.json:
        options.json.write_text(table.to_json(found, measured_on, failures))
    if options.page and not failures:
        options.page.write_text(table.into_page(options.page.read_text(), table.to_markdown(found, measured_on)))
    return 1 if failures else 0


def _row_count(text: str) -> int:
    if not text.isdecimal() or not 1000 <= int(text) <= 100_000_000:
        raise argparse.ArgumentTypeError("a number from 1000 to 100000000")
    return int(text)


def _tell(say: Say, name: str, text: str) -> None:
    say(f"{name}: {text}")


if __name__ == "__main__":
    raise SystemExit(main())
