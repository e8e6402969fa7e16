"""Summarize JUnit XML files: counts, failed tests, slowest tests, and what became of each file.

Standard library only, Python 3.8 or later. As a script it prints the summary as one JSON object:

    PYTHONPATH=scripts python3 -m oot_runner.junit 'reports/**/*.xml'

Files are read as streams (`junit_cases`); memory grows only by a hash for each different test of one suite.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from oot_runner import junit_cases as cases

if TYPE_CHECKING:
    from typing import Iterable

NAME_BYTES = 512
MESSAGE_BYTES = 1024
STACKTRACE_BYTES = 4096

SEVERITIES = {"skipped": 0, "success": 1, "failure": 2, "error": 3}
SEVERITY, FLAKY, REPEATED = 3, 4, 8  # bits of a test's state: its severity so far, passed after it failed, passed twice


class FailedTest(NamedTuple):
    """A failed test as a callback carries it: each text cut to its cap."""

    name: str
    classname: str
    file: str
    line: int | None
    status: str  # failure or error
    message: str
    stacktrace: str
    duration_seconds: float


class SlowTest(NamedTuple):
    """A test, and the longest time that one attempt of it took."""

    name: str
    classname: str
    file: str
    duration_seconds: float


class Fate(NamedTuple):
    """What became of one file: counted, or rejected for a reason."""

    file: str
    total: int = 0
    failed: int = 0
    reason: str = ""


class Report:
    """The summary of files. A test counts once in each suite that holds it, however many attempts it took.

    `total` = `passed` + `failed` + `skipped`; `failed` includes `errors`, and `passed` includes `flaky`. A suite that
    states counts but holds no cases counts by them: its failed tests are among `failed_tests_left_out`.
    """

    def __init__(self, *, max_failed_tests: int = 1000, max_slowest: int = 10) -> None:
        self.passed = self.failed = self.errors = self.skipped = self.flaky = 0
        self.duration_seconds = 0.0
        self.failed_tests: list[FailedTest] = []
        self.fates: list[Fate] = []
        self._max_failed_tests, self._max_slowest = max_failed_tests, max_slowest
        self._slowest: dict[tuple[str, str, str], float] = {}
        self._slow = 0.0 if max_slowest else cases.LONGEST_SECONDS  # what a test has to exceed to be among them

    @property
    def total(self) -> int:
        return self.passed + self.failed + self.skipped

    @property
    def failed_tests_left_out(self) -> int:
        return self.failed - len(self.failed_tests)

    @property
    def slowest(self) -> list[SlowTest]:
        """The tests that took longest, the slowest first."""
        return [SlowTest(*test, time) for test, time in sorted(self._slowest.items(), key=lambda item: -item[1])]

    @property
    def rejected(self) -> list[Fate]:
        return [fate for fate in self.fates if fate.reason]

    def add(self, source: cases.Source, file: str = "", *, limits: cases.Limits = cases.DEFAULT_LIMITS) -> Fate:
        """Count one file, a path or a binary stream, as a whole; one that has to be rejected counts nothing."""
        file = file or cases.display_name(source)
        part = Report(max_failed_tests=self._max_failed_tests - len(self.failed_tests), max_slowest=self._max_slowest)
        try:
            part._count(cases.iter_batches(source, file, limits=limits))
        except cases.ParseError as error:
            fate = Fate(file, reason=f"line {error.line}: {error.reason}" if error.line else error.reason)
        else:
            fate = Fate(file, part.total, part.failed)
            self._merge(part)
        self.fates.append(fate)
        return fate

    def to_json(self) -> dict[str, object]:
        """The summary in JSON's own types. `files` are those counted."""
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
        }

    def _count(self, batches: Iterable[tuple[list[cases.TestCase], list[cases.Suite]]]) -> None:
        open_suites: dict[cases.Suite, _Tests] = {}
        for batch, ended in batches:
            for case in batch:
                tests = open_suites.get(case.suite)
                if tests is None:
                    tests = open_suites[case.suite] = _Tests(self._max_failed_tests)
                tests.add(case)
                duration = case.duration_seconds
                self.duration_seconds += duration
                if duration > self._slow:
                    names = cut_name(case.name), cut_name(case.classname), cut_name(case.file)
                    self._keep_slow(names, duration)
            for suite in ended:
                tests = open_suites.pop(suite, None)
                if tests is not None:
                    self._count_tests(tests, suite)
                elif not suite.covered:
                    self._count_stated(suite)

    def _count_tests(self, tests: _Tests, suite: cases.Suite) -> None:
        hides_reruns = suite.hides_reruns
        for state, count in Counter(tests.states.values()).items():
            severity = state & SEVERITY
            if severity == SEVERITIES["skipped"]:
                self.skipped += count
            elif severity == SEVERITIES["success"]:
                self.passed += count
                if state & FLAKY or (state & REPEATED and hides_reruns):
                    self.flaky += count
            else:
                self.failed += count
                self.errors += count * (severity == SEVERITIES["error"])
        room = self._max_failed_tests - len(self.failed_tests)
        self.failed_tests += list(tests.failed.values())[:room]

    def _count_stated(self, suite: cases.Suite) -> None:
        errors = suite.count("errors")
        failed = suite.count("failures") + errors
        skipped = suite.count("skipped", "disabled")
        self.errors += errors
        self.failed += failed
        self.skipped += skipped
        self.passed += max(suite.count("tests") - failed - skipped, 0)
        self.duration_seconds += cases.seconds(suite.attributes.get("time", ""))

    def _keep_slow(self, test: tuple[str, str, str], duration: float) -> None:
        slowest = self._slowest
        slowest[test] = max(duration, slowest.get(test, 0.0))
        if len(slowest) > self._max_slowest:
            del slowest[min(slowest, key=slowest.__getitem__)]
        if len(slowest) == self._max_slowest:
            self._slow = min(slowest.values())

    def _merge(self, part: Report) -> None:
        self.passed += part.passed
        self.failed += part.failed
        self.errors += part.errors
        self.skipped += part.skipped
        self.flaky += part.flaky
        self.duration_seconds += part.duration_seconds
        self.failed_tests += part.failed_tests
        for test, duration in part._slowest.items():
            if duration > self._slow:
                self._keep_slow(test, duration)


def summarize(
    paths: Iterable[str | os.PathLike[str]],
    *,
    limits: cases.Limits = cases.DEFAULT_LIMITS,
    max_failed_tests: int = 1000,
    max_slowest: int = 10,
) -> Report:
    """Count each file of `paths`; one that has to be rejected is told in `Report.rejected`, and the others count."""
    report = Report(max_failed_tests=max_failed_tests, max_slowest=max_slowest)
    for path in paths:
        report.add(path, limits=limits)
    return report


class _Tests:
    """The tests of an open suite: the state of each after the attempts read so far, and details of the failed ones."""

    def __init__(self, max_failed_tests: int) -> None:
        self.states: dict[int, int] = {}
        self.failed: dict[int, FailedTest] = {}
        self._max_failed_tests = max_failed_tests

    def add(self, case: cases.TestCase) -> None:
        attributes, status, results, _ = case
        # The names' 64-bit hash stands for them: among a million tests the odds that two share one are 3 in 10^8.
        test = hash((attributes.get("name"), attributes.get("classname"), attributes.get("file")))
        state = SEVERITIES[status]
        if results and case.flaky:
            state |= FLAKY
        before = self.states.get(test)
        if before is not None:
            state = _after(before, state)
        if state != before:
            self.states[test] = state
            if state & SEVERITY >= SEVERITIES["failure"]:
                if test in self.failed or len(self.failed) < self._max_failed_tests:
                    self.failed[test] = _failed_test(case)
            elif before is not None:
                self.failed.pop(test, None)


def _after(before: int, attempt: int) -> int:
    """The state of a test after one more attempt: the severest, unless it passed after it had failed."""
    if attempt & SEVERITY == SEVERITIES["success"]:
        if before & SEVERITY > SEVERITIES["success"]:
            return attempt | FLAKY
        if before & SEVERITY == SEVERITIES["success"]:
            return before | attempt | REPEATED
    return attempt if attempt & SEVERITY > before & SEVERITY else before


def _failed_test(case: cases.TestCase) -> FailedTest:
    result = case.results.get(case.status, cases.Result({}, ""))
    return FailedTest(
        name=cut_name(case.name),
        classname=cut_name(case.classname),
        file=cut_name(case.file),
        line=case.line,
        status=case.status,
        message=cut(result.message, MESSAGE_BYTES),
        stacktrace=cut(result.text.lstrip("\r\n").rstrip(), STACKTRACE_BYTES),
        duration_seconds=case.duration_seconds,
    )


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


def cut(text: str, limit: int) -> str:
    """The first `limit` bytes of a text's UTF-8, less a character that would be cut in two."""
    if len(text) * 4 <= limit:
        return text
    return text[:limit].encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")


def cut_name(name: str, limit: int = NAME_BYTES) -> str:
    """A name of at most `limit` bytes of UTF-8; one that had to be cut ends in a hash of the whole."""
    if len(name) * 4 <= limit:
        return name
    whole = name.encode("utf-8", "replace")
    if len(whole) <= limit:
        return name
    digest = "~" + hashlib.sha256(whole).hexdigest()[:12]
    return cut(name, limit - len(digest)) + digest


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
