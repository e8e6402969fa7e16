"""JUnit parsing: cases/s of oot_runner.junit, and its peak memory by the size of the report.

The same generated files go through ours and through the standard library's way, in alternating runs in this process;
medians. Twice: against ElementTree.parse + findall, which does as much as ours; and against the whole baseline of the
budget (that and json and gzip 9), which does more. Memory is the peak of a process of its own for each size.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree as ET

from benchmarks import reports
from benchmarks.result import Budget, Row
from benchmarks.timing import alternate, median, python, seconds
from oot_runner import junit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.result import Say

NAME = "junit"
PEAK = Budget("at most", 64)
# VmHWM, not getrusage: Linux counts into ru_maxrss what the process held before exec, which after a vfork is all of
# ours. Elsewhere ru_maxrss it is (in bytes on macOS).
_PEAK = """
import sys
from oot_runner import junit
assert junit.summarize(sys.argv[1:]).total
try:
    peak = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0]
except OSError:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)
print(peak)
"""


class Size(NamedTuple):
    """How much is parsed, how often, and the sizes whose memory is taken."""

    cases: int
    files: int
    runs: int
    memory_cases: tuple[int, ...]


FULL = Size(cases=40_000, files=8, runs=7, memory_cases=(10_000, 100_000))
QUICK = Size(cases=10_000, files=4, runs=3, memory_cases=(10_000, 100_000))


def measure(size: Size, say: Say) -> list[Row]:
    """Give the rows of this budget."""
    with tempfile.TemporaryDirectory(prefix="oot-hud-bench-") as folder:
        paths = reports.write(Path(folder), size.cases, files=size.files)
        say(f"{size.cases:,} cases in {size.files} files, {size.runs} alternating runs")
        times = alternate(
            {
                "ours": lambda: seconds(lambda: junit.summarize(paths)),
                "parse": lambda: seconds(lambda: [_elementtree(path) for path in paths]),
                "pipeline": lambda: seconds(lambda: [_compressed(path) for path in paths]),
            },
            size.runs,
        )
        rates = {name: size.cases / median(samples) for name, samples in times.items()}
        rows = [
            _rate("JUnit parse, against ElementTree.parse + findall", rates["ours"], rates["parse"]),
            _rate(
                "JUnit parse, against ElementTree + json + gzip 9",
                rates["ours"],
                rates["pipeline"],
                "parsing alone; the whole pipeline is the room test-stats",
            ),
        ]
        return rows + [_peak(Path(folder), cases, say) for cases in size.memory_cases]


def _rate(what: str, ours: float, baseline: float, note: str = "") -> Row:
    return Row(NAME, what, "cases/s", ours, baseline, ours / baseline, note=note)


def _peak(folder: Path, cases: int, say: Say) -> Row:
    say(f"peak memory at {cases:,} cases")
    path = reports.write(folder, cases)[0]
    _, printed = python("-c", _PEAK, str(path))
    note = f"a report of {path.stat().st_size / 1e6:.0f} MB"
    return Row(NAME, f"JUnit parse, peak RSS at {cases:,} cases", "MB", int(printed) / 1024, budget=PEAK, note=note)


def _elementtree(path: Path) -> Sequence[dict[str, Any]]:
    """Read a report the straightforward way: the attributes of each case, and its children's."""
    root = ET.parse(path).getroot()  # noqa: S314 - a report that we have just written
    rows = []
    for case in root.findall(".//testcase"):
        row: dict[str, Any] = dict(case.attrib)
        for child in case:
            row[child.tag] = {**child.attrib, "text": child.text}
        rows.append(row)
    return rows


def _compressed(path: Path) -> bytes:
    return gzip.compress("\n".join(json.dumps(row) for row in _elementtree(path)).encode(), 9)
