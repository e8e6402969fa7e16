"""Which test cases of a suite are attempts of one test, and which are tests that share a name.

Standard library only, Python 3.8 or later. jest, node, mocha, Robot, TestNG's data providers and others write two tests
of one name as two cases; pytest-rerunfailures, Gradle and gotestsum write two attempts of one test so. Cases are taken
for attempts only where the report gives evidence: the suite states fewer tests than it holds cases, or a case says that
it is one. The order of the cases decides nothing.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from oot_runner import junit_cases as cases
from oot_runner.junit_suites import Counts, stated

if TYPE_CHECKING:
    from oot_runner.junit_reader import Suite

MOST_TESTS = 300_000  # of a suite that are compared with each other: 25 MB; any further one is a test of its own
# How a case ended, in two bits of its state; and what it says of attempts, in two more.
SKIPPED, PASSED, FAILED, ERROR = range(4)
FLAKY, RETRY = 4, 8  # it tells of attempts that failed before it; it says that it is an attempt
ENDINGS = {
    cases.SKIPPED: SKIPPED,
    cases.UNKNOWN: SKIPPED,
    cases.SUCCESS: PASSED,
    cases.FAILURE: FAILED,
    cases.ERROR: ERROR,
}


class Ending(NamedTuple):
    """What the cases of a suite come to.

    `listed` are the tests, by their hash, of whose failed cases fewer count than there are: how many do. `unclear` are
    those that may have failed and then passed when they were tried again: how many failures and errors each has. They
    are counted as tests of their own.
    """

    counts: Counts
    flaky: int
    listed: dict[int, int]
    unclear: dict[int, tuple[int, int]]


class SuiteTests:
    """The tests of an open suite; each is known by a hash of its name, class, file and line.

    Among a million tests the odds that two share a hash of 64 bits are 3 in 10^8.
    """

    def __init__(self) -> None:
        self.states: dict[int, int] = {}  # of the first case of each test; a case that only passed may be put in here
        self._namesakes: dict[int, _Namesakes] = {}  # of tests with more than one
        self._uncompared = [0, 0, 0, 0]

    def add(self, test: int, state: int) -> None:
        """Count a case."""
        namesakes = self._namesakes.get(test)
        if namesakes is not None:
            namesakes.add(state)
        elif test in self.states:
            namesakes = self._namesakes[test] = _Namesakes()
            namesakes.add(self.states[test])
            namesakes.add(state)
        elif len(self.states) < MOST_TESTS:
            self.states[test] = state
        else:
            self._uncompared[state & 3] += 1

    def end(self, suite: Suite) -> Ending:
        """Return what the cases come to, once the suite is complete."""
        total = _Total(self._uncompared)
        for state, number in (
            Counter(self.states.values()) - Counter(self.states[test] for test in self._namesakes)
        ).items():
            total.add(state & 3, number)
            total.flaky += number * (state & 3 == PASSED and state & FLAKY > 0)
        hidden = self._hidden_attempts(suite, total)
        open_groups = {}
        for test, group in self._namesakes.items():
            if group.is_retried:
                hidden -= total.add_as_one(test, group)
            else:
                open_groups[test] = group
        if hidden > 0:
            _add_with_attempts(total, open_groups, stated(suite.attributes).failed, hidden)
        else:
            for test, group in open_groups.items():
                total.add_apart(test, group)
        return Ending(total.counts(), total.flaky, total.listed, total.unclear)

    def _hidden_attempts(self, suite: Suite, alone: _Total) -> int:
        """Return how many cases the suite leaves out of the tests that it states, where these may be attempts.

        jest leaves out its todo tests, which look like skipped ones; pytest counts everything but attempts.
        """
        tests = stated(suite.attributes).tests
        groups = self._namesakes.values()
        held = sum(alone.endings) + sum(sum(group.endings) for group in groups)
        skipped = alone.endings[SKIPPED] + sum(group.endings[SKIPPED] for group in groups)
        hidden = held - tests if tests else 0
        return hidden if hidden > skipped or cases.is_pytest(suite) else 0


class _Namesakes:
    """The cases of one test: how many ended in each way."""

    __slots__ = ("endings", "is_flaky", "is_retried")

    def __init__(self) -> None:
        self.endings = [0, 0, 0, 0]
        self.is_flaky = self.is_retried = False

    def add(self, state: int) -> None:
        self.endings[state & 3] += 1
        self.is_flaky |= state & 3 == PASSED and state & FLAKY > 0
        self.is_retried |= state & RETRY > 0

    @property
    def failed(self) -> int:
        return self.endings[FAILED] + self.endings[ERROR]


class _Total:
    """The sum over a suite's tests, while it grows."""

    def __init__(self, endings: list[int]) -> None:
        self.endings = list(endings)
        self.flaky = 0
        self.listed: dict[int, int] = {}
        self.unclear: dict[int, tuple[int, int]] = {}

    def add(self, ending: int, number: int = 1) -> None:
        self.endings[ending] += number

    def add_apart(self, test: int, group: _Namesakes) -> None:
        """Add each case as a test of its own."""
        for ending, number in enumerate(group.endings):
            self.add(ending, number)
        self.flaky += group.is_flaky
        if group.failed and group.endings[PASSED] == 1 and not group.endings[SKIPPED]:
            self.unclear[test] = group.endings[FAILED], group.endings[ERROR]

    def add_as_one(self, test: int, group: _Namesakes, *, has_failed: bool = False) -> int:
        """Add the cases as attempts of one test, which passed if any of them did; return how many that leaves out."""
        if group.endings[PASSED] and not has_failed:
            self.add(PASSED)
            self.flaky += group.is_flaky or group.failed > 0 or group.endings[PASSED] > 1
            self.listed[test] = 0
        elif group.failed:
            self.add(ERROR if group.endings[ERROR] else FAILED)
            self.listed[test] = 1
        else:
            self.add(SKIPPED)
        return sum(group.endings) - 1

    def counts(self) -> Counts:
        counts = Counts()
        counts.skipped, counts.passed, counts.failures, counts.errors = self.endings
        return counts


def _add_with_attempts(total: _Total, groups: dict[int, _Namesakes], stated_failed: int | None, hidden: int) -> None:
    """Add cases of which some are attempts that the suite does not count as tests.

    Where it counts every failed case, only passed ones are attempts: pytest-rerunfailures writes those that failed
    without children, as if they had passed. Else a test that failed and passed is flaky, or failed if so counted.
    """
    flaky = total.flaky
    alone = total.endings[FAILED] + total.endings[ERROR]
    if stated_failed is not None and stated_failed >= alone + sum(group.failed for group in groups.values()):
        for test, group in groups.items():
            if group.failed:
                total.add(FAILED, group.endings[FAILED])
                total.add(ERROR, group.endings[ERROR])
            else:
                total.add_as_one(test, group)
    else:
        never_passed = sum(1 for group in groups.values() if not group.endings[PASSED] and group.failed)
        still_failed = max((stated_failed or 0) - alone - never_passed, 0)
        for test, group in groups.items():
            has_failed = group.failed > 0 and still_failed > 0
            still_failed -= has_failed and group.endings[PASSED] > 0
            total.add_as_one(test, group, has_failed=has_failed)
    total.flaky = min(total.flaky, flaky + hidden)
