"""JUnit XML to JSONL.gz, as collect does it: cases/s beside the naive pipeline on the same files, and peak memory.

The naive pipeline is ElementTree.parse, json and gzip 9, written here as straightforwardly as it can be: it makes the
rows alone. Ours also sums them into groups and keeps the failed ones apart. Both on one core, in alternating runs, by
the CPU time they take; memory is the peak of a process of its own, which reads a report of that many cases.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree as ET

from benchmarks import reports
from benchmarks.junit import PEAK
from benchmarks.result import Budget, Row
from benchmarks.timing import alternate, cpu_seconds, median, python
from oot_stats.reading.case_rows import Identity
from oot_stats.reading.report import read_report
from oot_stats.reading.tables import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.result import Say

NAME = "test-stats"
RATE = Budget("at least", 3, of="ratio")
WHOSE = Identity("5596745227", 1, 15163201871, "test_ops")
_PIECE = 128 * 1024  # what the archive's reader gives at a time
_MEMORY = """
import sys
from pathlib import Path
from benchmarks import test_stats
test_stats.{way}([Path(sys.argv[1])], Path(sys.argv[2]))
try:
    peak = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0]
except OSError:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)
print(peak)
"""


class Size(NamedTuple):
    """How many cases, in how many files, how often; and whether the memory of the naive pipeline is taken too."""

    cases: tuple[int, ...]
    files: int
    runs: int


FULL = Size(cases=(10_000, 100_000, 1_000_000), files=8, runs=5)
QUICK = Size(cases=(10_000,), files=4, runs=3)


def measure(size: Size, say: Say) -> list[Row]:
    """Give the rows of this budget."""
    rows = []
    for cases in size.cases:
        with tempfile.TemporaryDirectory(prefix="oot-hud-bench-") as name:
            folder = Path(name)
            runs = max(min(size.runs, 300_000 // cases), 1)
            say(f"{cases:,} cases in {size.files} files, {runs} alternating runs")
            rows.append(_rate(folder, cases, size.files, runs))
            rows.append(_peak(folder, cases, say))
    return rows


def ours(paths: Sequence[Path], folder: Path) -> int:
    """Make the rows as collect does; gives how many."""
    total = 0
    with (folder / "test_run.gz").open("wb") as whole, (folder / "failed.gz").open("wb") as failed:
        files = {"test_run": whole, "failed_test_runs": failed}
        for path in paths:
            rows = Rows(wants_all=True)
            total += read_report(_pieces(path), WHOSE, rows).cases
            for name, member in rows.members.items():
                member.append_to(files[name])
    return total


def naive(paths: Sequence[Path], folder: Path) -> int:
    """Make the rows the straightforward way; gives how many."""
    rows = []
    for path in paths:
        for case in ET.parse(path).getroot().iter("testcase"):  # noqa: S314 - a report that we have just written
            children = {child.tag: {**child.attrib, "text": child.text} for child in case}
            rows.append({**case.attrib, **children, **WHOSE._asdict()})
    (folder / "naive.gz").write_bytes(gzip.compress("".join(f"{json.dumps(row)}\n" for row in rows).encode(), 9))
    return len(rows)


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _rate(folder: Path, cases: int, files: int, runs: int) -> Row:
    paths = reports.write(folder, cases, files=files)
    ways = {"ours": ours, "naive": naive}
    assert {way(paths, folder) for way in ways.values()} == {cases}
    times = alternate(
        {name: partial(cpu_seconds, partial(way, paths, folder)) for name, way in ways.items()},
        runs,
    )
    rates = {name: cases / median(samples) for name, samples in times.items()}
    sizes = {
        name: (folder / file).stat().st_size / 1e6 for name, file in (("ours", "test_run.gz"), ("naive", "naive.gz"))
    }
    note = f"per CPU second; JSONL.gz of {sizes['ours']:.1f} MB, the naive one's is {sizes['naive']:.1f} MB"
    what = f"JUnit XML to JSONL.gz, {cases:,} cases"
    return Row(NAME, what, "cases/s", rates["ours"], rates["naive"], rates["ours"] / rates["naive"], RATE, note=note)


def _peak(folder: Path, cases: int, say: Say) -> Row:
    say(f"peak memory at {cases:,} cases in one report")
    path = reports.write(folder, cases)[0]
    megabytes = {
        way: int(python("-c", _MEMORY.format(way=way), str(path), str(folder))[1]) / 1024 for way in ("ours", "naive")
    }
    note = f"a report of {path.stat().st_size / 1e6:.0f} MB; one process"
    what = f"JUnit XML to JSONL.gz, peak RSS at {cases:,} cases"
    return Row(
        NAME, what, "MB", megabytes["ours"], megabytes["naive"], megabytes["naive"] / megabytes["ours"], PEAK, note=note
    )
