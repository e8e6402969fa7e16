"""Count one JUnit XML file: its tests by how they ended, the failed ones with their details, and the slowest.

Standard library only, Python 3.8 or later.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from oot_runner import junit_cases as cases
from oot_runner import junit_reader as reader
from oot_runner.junit_retries import ENDINGS, FLAKY, MOST_TESTS, PASSED, RETRY, SuiteTests
from oot_runner.junit_suites import Counts, add_stated
from oot_runner.text import MESSAGE_BYTES, STACKTRACE_BYTES, cut, cut_name

if TYPE_CHECKING:
    from typing import Iterable

    from oot_runner.junit_reader import Attributes, Case, Element, Limits, Source, Suite

MOST_FAILED_TESTS = 1000
MOST_REMARKS = 20
MOST_WORDS = 20
MOST_EARLIER = 100_000  # failed tests of earlier attempts that are remembered


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


class Slowest:
    """The tests that took longest, so many of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._times: dict[tuple[str, str, str], float] = {}
        self.threshold = 0.0 if most else cases.LONGEST_SECONDS  # what a test has to exceed to be among them

    def add(self, name: str, classname: str, file: str, duration: float) -> None:
        """Take a test whose time exceeds the threshold."""
        test, times = (cut_name(name), cut_name(classname), cut_name(file)), self._times
        times[test] = max(duration, times.get(test, 0.0))
        if len(times) > self._most:
            del times[min(times, key=times.__getitem__)]
        if len(times) == self._most:
            self.threshold = min(times.values())

    def tests(self) -> list[SlowTest]:
        """Return them, the slowest first."""
        return [SlowTest(*test, time) for test, time in sorted(self._times.items(), key=lambda item: -item[1])]


class FileCounts:
    """What one file comes to. `unclear` are its tests that failed and passed without a word on why, and their counts.

    These count as failed and as passed; each failed test is kept with whether it is one of them.
    """

    def __init__(self, max_failed_tests: int, max_slowest: int) -> None:
        self.counts = Counts()
        self.flaky = 0
        self.seconds = 0.0
        self.failed: list[tuple[FailedTest, bool]] = []
        self.unclear = [0, 0, 0]  # tests, failures, errors
        self.remarks: list[str] = []
        self.unknown_words: set[str] = set()
        self.slowest = Slowest(max_slowest)
        self.max_failed_tests = max_failed_tests


def count(
    source: Source,
    file: str,
    *,
    earlier: Iterable[Source] = (),
    limits: Limits = reader.DEFAULT_LIMITS,
    max_failed_tests: int = MOST_FAILED_TESTS,
    max_slowest: int = 10,
) -> FileCounts:
    """Count a file, a path or a binary stream; `earlier` are files of attempts before it. Raises reader.ParseError."""
    result = FileCounts(max_failed_tests, max_slowest)
    counting = _Counting(result, file, _failed_in(earlier, limits))
    for batch in reader.read(source, file, limits=limits, watch=cases.WATCHED):
        counting.add(batch)
    return result


def _failed_in(sources: Iterable[Source], limits: Limits) -> set[int]:
    """Return the tests that failed in files of earlier attempts; a file that cannot be read tells of those before."""
    tests: set[int] = set()
    for source in sources:
        with suppress(reader.ParseError):
            tests.update(
                _test(attributes)
                for batch in reader.read(source, limits=limits)
                for segment in batch.segments
                for attributes, content in segment.cases
                if len(tests) < MOST_EARLIER and cases.status(attributes, cases.results(content)) in _FAILED
            )
    return tests


_FAILED = frozenset((cases.FAILURE, cases.ERROR))


def _test(attributes: Attributes) -> int:
    get = attributes.get
    return hash((get("name"), get("classname"), get("file"), get("line")))


class _OpenSuite:
    """What is known of a suite before its end."""

    __slots__ = ("counts", "failed", "further", "seconds", "tests")

    def __init__(self) -> None:
        self.counts = Counts()  # of the suites in it
        self.tests = SuiteTests()  # its own
        self.failed: list[tuple[int, FailedTest]] = []
        self.further: list[FailedTest] = []  # of failures beyond a test's first
        self.seconds = 0.0


class _Counting:
    """Counts batch by batch."""

    def __init__(self, result: FileCounts, file: str, failed_earlier: set[int]) -> None:
        self._result = result
        self._file = file
        self._failed_earlier = failed_earlier
        self._open: dict[Suite, _OpenSuite] = {}

    def add(self, batch: reader.Batch) -> None:
        plain = not batch.is_watched and not self._failed_earlier
        for suite, suite_cases, ended in batch.segments:
            open_suite = self._open.get(suite)
            if open_suite is None:
                open_suite = self._open[suite] = _OpenSuite()
            self._add_cases(suite, open_suite, suite_cases, plain=plain)
            if ended:
                del self._open[suite]
                self._end(suite, open_suite)

    def _add_cases(self, suite: Suite, open_suite: _OpenSuite, suite_cases: list[Case], *, plain: bool) -> None:
        """Add cases: this loop is what the time of a large report goes into, so it calls nothing."""
        states, slowest, sum_of_times = open_suite.tests.states, self._result.slowest, 0.0
        plain = plain and len(states) + len(suite_cases) < MOST_TESTS
        for attributes, content in suite_cases:
            get = attributes.get
            test = hash((get("name"), get("classname"), get("file"), get("line")))  # `_test`, in place
            if plain and content is None and test not in states:
                states[test] = PASSED
            else:
                self._add_case(suite, open_suite, test, attributes, content)
            time = get("time")
            if time:
                try:
                    duration = float(time)
                except ValueError:
                    duration = cases.seconds(time)
                if 0 < duration <= cases.LONGEST_SECONDS:
                    sum_of_times += duration
                    if duration > slowest.threshold:
                        slowest.add(*_names(attributes, suite), duration)
        open_suite.seconds += sum_of_times

    def _add_case(
        self, suite: Suite, open_suite: _OpenSuite, test: int, attributes: Attributes, content: Element | None
    ) -> None:
        told = cases.results(content)
        status = cases.status(attributes, told)
        state = ENDINGS[status]
        if (told and cases.has_failed_attempts(told)) or (test in self._failed_earlier and status == cases.SUCCESS):
            state |= FLAKY
        if cases.is_retry(attributes, content):
            state |= RETRY
        open_suite.tests.add(test, state)
        if status in _FAILED:
            self._add_failed(suite, open_suite, test, status, attributes, content, cases.failures(told))
        elif status == cases.UNKNOWN and len(self._result.unknown_words) < MOST_WORDS:
            self._result.unknown_words |= {cut(word, 40) for word in cases.unknown_words(attributes)}

    def _add_failed(
        self,
        suite: Suite,
        open_suite: _OpenSuite,
        test: int,
        status: str,
        attributes: Attributes,
        content: Element | None,
        elements: list[Element],
    ) -> None:
        open_suite.counts.further += max(len(elements) - 1, 0)
        room = self._result.max_failed_tests - len(self._result.failed)
        if len(open_suite.failed) < room:
            first = elements[0] if elements else None
            open_suite.failed.append((test, _failed_test(suite, status, attributes, content, first)))
        for element in elements[1:]:
            if len(open_suite.further) < room:
                open_suite.further.append(_failed_test(suite, element.tag, attributes, content, element))

    def _end(self, suite: Suite, open_suite: _OpenSuite) -> None:
        result, counts = self._result, open_suite.counts
        ending = open_suite.tests.end(suite)
        counts.add(ending.counts)
        result.flaky += ending.flaky
        failed = [(each, test in ending.unclear) for test, each in _listed(open_suite.failed, ending.listed)]
        for failures, errors in ending.unclear.values():
            result.unclear = [was + more for was, more in zip(result.unclear, (1, failures, errors))]
        beyond = add_stated(counts, suite)
        failed += [(each, False) for each in open_suite.further[: beyond.further_failures]]
        if beyond.failures or beyond.errors:
            failed.append((self._stated_failure(suite, beyond.remark, is_error=beyond.errors > 0), False))
        result.failed += failed[: max(result.max_failed_tests - len(result.failed), 0)]
        if beyond.remark and len(result.remarks) < MOST_REMARKS:
            result.remarks.append(f"{self._file}: {beyond.remark}" if self._file else beyond.remark)
        seconds = open_suite.seconds or cases.seconds(suite.attributes.get("time", ""))
        if suite.parent is None:
            result.counts, result.seconds = counts, seconds
            return
        parent = self._open.get(suite.parent)
        if parent is None:
            parent = self._open[suite.parent] = _OpenSuite()
        parent.counts.add(counts)
        parent.seconds += seconds

    def _stated_failure(self, suite: Suite, remark: str, *, is_error: bool) -> FailedTest:
        """Return the failed test that stands for failures which only the suite's counts tell of."""
        output = suite.output
        return FailedTest(
            name=cut_name(suite.name or self._file or "(no name)"),
            classname="",
            file=cut_name(suite.file),
            line=None,
            status=cases.ERROR if is_error else cases.FAILURE,
            message=cut(output.partition("\n")[0] or f"No test case tells of it: {remark}.", MESSAGE_BYTES),
            stacktrace=cut(output, STACKTRACE_BYTES),
            duration_seconds=0.0,
        )


def _listed(failed: list[tuple[int, FailedTest]], listed: dict[int, int]) -> list[tuple[int, FailedTest]]:
    """Return the failed cases that count as tests, of attempts of one test the severest."""
    if not listed:
        return failed
    chosen: dict[int, FailedTest] = {}
    for test, each in failed:
        if listed.get(test) and (test not in chosen or (each.status == cases.ERROR != chosen[test].status)):
            chosen[test] = each
    return [(test, each) for test, each in failed if test not in listed or chosen.get(test) is each]


def _names(attributes: Attributes, suite: Suite) -> tuple[str, str, str]:
    return cases.name_of(attributes, suite), attributes.get("classname", ""), attributes.get("file") or suite.file


def _failed_test(
    suite: Suite, status: str, attributes: Attributes, content: Element | None, element: Element | None
) -> FailedTest:
    name, classname, file = map(cut_name, _names(attributes, suite))
    text = cases.text_of(element).lstrip("\r\n").rstrip() if element is not None else ""
    message = element.attributes.get("message", "") if element is not None else cases.stated_message(attributes)
    return FailedTest(
        name=name,
        classname=classname,
        file=file,
        line=cases.line_of(attributes, suite),
        status=status,
        message=cut(message or text.strip().partition("\n")[0], MESSAGE_BYTES),
        stacktrace=cut(text or cases.output_of(content), STACKTRACE_BYTES),
        duration_seconds=cases.seconds(attributes.get("time", "")),
    )
