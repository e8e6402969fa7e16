"""Summarize JUnit XML files: counts, failed tests, slowest tests, and what became of each file.

Standard library only, Python 3.8 or later. As a script it prints the summary as one JSON object:

    PYTHONPATH=scripts python3 -m oot_runner.junit 'reports/**/*.xml'

Files are read as streams (`junit_reader`); memory grows only by a hash for each different test of one suite, and ends
to grow at 300,000 of them (`junit_retries`).
"""

from __future__ import annotations

import glob
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from oot_runner import junit_counting as counting
from oot_runner import junit_reader as reader

if TYPE_CHECKING:
    from typing import Iterable

    from oot_runner.junit_counting import FailedTest, FileCounts, SlowTest
    from oot_runner.junit_reader import Limits, Source


class Fate(NamedTuple):
    """What became of one file: counted, or rejected for a reason."""

    file: str
    total: int = 0
    failed: int = 0
    reason: str = ""


class Report:
    """The summary of files.

    `total` = `passed` + `failed` + `skipped`; `failed` includes `errors`, and `passed` includes `flaky`. What a suite
    states beyond its cases counts too; `remarks` say where.
    """

    def __init__(self, *, max_failed_tests: int = counting.MOST_FAILED_TESTS, max_slowest: int = 10) -> None:
        self.passed = self.failed = self.errors = self.skipped = self.flaky = 0
        self.duration_seconds = 0.0
        self.fates: list[Fate] = []
        self.remarks: list[str] = []
        self.unknown_words: set[str] = set()  # of status attributes: such tests are neither passed nor failed
        self._failed: list[tuple[FailedTest, bool]] = []
        self._unclear = [0, 0, 0]
        self._max_failed_tests, self._max_slowest = max_failed_tests, max_slowest
        self._slowest = counting.Slowest(max_slowest)

    @property
    def total(self) -> int:
        return self.passed + self.failed + self.skipped

    @property
    def failed_tests(self) -> list[FailedTest]:
        """The failed tests, as far as they are kept."""
        return [test for test, _ in self._failed]

    @property
    def failed_tests_left_out(self) -> int:
        return self.failed - len(self._failed)

    @property
    def slowest(self) -> list[SlowTest]:
        """The tests that took longest, the slowest first."""
        return self._slowest.tests()

    @property
    def rejected(self) -> list[Fate]:
        return [fate for fate in self.fates if fate.reason]

    def add(
        self,
        source: Source,
        file: str = "",
        *,
        earlier: Iterable[Source] = (),
        limits: Limits = reader.DEFAULT_LIMITS,
    ) -> Fate:
        """Count one file, a path or a binary stream, as a whole; one that has to be rejected counts nothing.

        `earlier` are files of attempts before it: a test that passed here and failed there is flaky.
        """
        file = file or reader.display_name(source)
        room = self._max_failed_tests - len(self._failed)
        try:
            part = counting.count(
                source, file, earlier=earlier, limits=limits, max_failed_tests=room, max_slowest=self._max_slowest
            )
        except reader.ParseError as error:
            fate = Fate(file, reason=f"line {error.line}: {error.reason}" if error.line else error.reason)
        else:
            fate = Fate(file, part.counts.total, part.counts.failures + part.counts.errors)
            self._merge(part)
        self.fates.append(fate)
        return fate

    def settle(self) -> None:
        """Take tests that failed and then passed for flaky ones, where nothing says that they are two tests each.

        Only for a job that succeeded: there the pass was the last word.
        """
        tests, failures, errors = self._unclear
        self.failed -= failures + errors
        self.errors -= errors
        self.flaky += tests
        self._failed = [(test, is_unclear) for test, is_unclear in self._failed if not is_unclear]
        self._unclear = [0, 0, 0]

    def to_json(self) -> dict[str, object]:
        """Return the summary in JSON's own types. `files` are those counted."""
        rejected = self.rejected
        return {
            "files": len(self.fates) - len(rejected),
            "total": self.total,
            "passed": self.passed,
            "failed": self.failed,
            "errors": self.errors,
            "skipped": self.skipped,
            "flaky": self.flaky,
            "duration_seconds": round(self.duration_seconds, 6),
            "failed_tests": [_without_unknown(test) for test in self.failed_tests],
            "rejected": [{"file": fate.file, "reason": fate.reason} for fate in rejected],
            "remarks": self.remarks,
        }

    def _merge(self, part: FileCounts) -> None:
        counts = part.counts
        self.passed += counts.passed + counts.unwritten
        self.failed += counts.failures + counts.errors
        self.errors += counts.errors
        self.skipped += counts.skipped
        self.flaky += part.flaky
        self.duration_seconds += part.seconds
        self._failed += part.failed
        self._unclear = [was + more for was, more in zip(self._unclear, part.unclear)]
        self.remarks += part.remarks[: counting.MOST_REMARKS - len(self.remarks)]
        self.unknown_words |= part.unknown_words
        for test in part.slowest.tests():
            if test.duration_seconds > self._slowest.threshold:
                self._slowest.add(*test)


def summarize(
    paths: Iterable[str | os.PathLike[str]],
    *,
    limits: Limits = reader.DEFAULT_LIMITS,
    max_failed_tests: int = counting.MOST_FAILED_TESTS,
    max_slowest: int = 10,
) -> Report:
    """Count each file of `paths`; one that has to be rejected is named in `Report.rejected`, and the others count."""
    report = Report(max_failed_tests=max_failed_tests, max_slowest=max_slowest)
    for path in paths:
        report.add(path, limits=limits)
    return report


def _without_unknown(test: FailedTest) -> dict[str, object]:
    return {key: value for key, value in test._asdict().items() if value is not None}


def find(patterns: Iterable[str]) -> list[str]:
    """The files that paths and globs (`**` too) name, sorted, each once; a folder names the .xml files inside it."""
    found: set[str] = set()
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            found.update(map(str, path.rglob("*.xml")))
        elif path.exists():  # also where its name holds brackets
            found.add(str(path))
        else:
            matches = glob.glob(pattern, recursive=True)  # noqa: PTH207 - pathlib takes no absolute pattern
            found.update(str(Path(match)) for match in matches)
    return sorted(path for path in found if not Path(path).is_dir())


def main(arguments: list[str] | None = None) -> int:
    """Print the summary. Gives 0 if a file was counted, 1 if each was rejected, 2 if there is none."""
    import argparse

    parser = argparse.ArgumentParser(
        description="Summarize JUnit XML files as one JSON object on stdout.",
        epilog="Exits with 0 if at least one file was counted (files that had to be rejected are listed with the "
        "reason), 1 if every file was rejected, 2 if no file was found. "
        "Example: python3 -m oot_runner.junit 'reports/**/*.xml' | python3 -m json.tool",
    )
    parser.add_argument("paths", nargs="*", metavar="PATH", help="a file, a folder, or a quoted glob ('**' works)")
    patterns = parser.parse_args(arguments).paths
    paths = find(patterns)
    if not patterns:
        sys.stderr.write("junit.py: no PATH given: name a file, a folder or a quoted glob (--help shows how)\n")
        return 2
    if not paths:
        sys.stderr.write(f"junit.py: no file matches {' '.join(patterns)}: check the path, and that the tests ran\n")
        return 2
    report = summarize(paths)
    for fate in report.rejected:  # a name as Python writes it: one with a newline cannot forge a line of the log
        sys.stderr.write(f"junit.py: {fate.file!r} was rejected: {fate.reason}\n")
    try:
        print(json.dumps(report.to_json(), allow_nan=False), flush=True)
    except BrokenPipeError:  # the reader has seen enough; without this Python fails again when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0 if len(report.rejected) < len(paths) else 1


if __name__ == "__main__":
    sys.exit(main())
