"""What a suite of a JUnit report states beyond the test cases that are written in it.

Standard library only, Python 3.8 or later. A browser that went away, a hook that failed, a suite that never loaded, or
a report of failed cases only leave their mark in the counts of a <testsuite> alone. The stated counts are taken where
they are above those of the cases; what contradicts itself is remarked upon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from oot_runner.junit_cases import integer

if TYPE_CHECKING:
    from oot_runner.junit_reader import Attributes, Suite

_SKIPPED = ("skipped", "skips", "skip", "ignored")


class Stated(NamedTuple):
    """The counts in a suite's attributes; None where there is none."""

    tests: int | None
    failures: int | None
    errors: int | None
    skipped: int | None

    @property
    def failed(self) -> int | None:
        """The failures and errors together."""
        return None if self.failures is None and self.errors is None else (self.failures or 0) + (self.errors or 0)


class Counts:
    """The tests of a suite and of those inside it, by how they ended.

    `unwritten` are those that it states and does not hold as cases; `further` counts the elements that tell of a
    further failure of a test already counted.
    """

    __slots__ = ("errors", "failures", "further", "passed", "skipped", "unwritten")

    def __init__(self) -> None:
        self.passed = self.failures = self.errors = self.skipped = self.unwritten = self.further = 0

    @property
    def total(self) -> int:
        return self.passed + self.failures + self.errors + self.skipped + self.unwritten

    def add(self, other: Counts) -> None:
        """Add those of a suite inside it."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Beyond(NamedTuple):
    """What was added to a suite's counts because it states more than it holds."""

    further_failures: int = 0  # of tests that are written: each tells of another that is not, such as a subtest
    failures: int = 0  # of no test that is written
    errors: int = 0
    remark: str = ""


def stated(attributes: Attributes) -> Stated:
    """Return the counts that a suite states."""
    tests, failures, errors, disabled = (
        integer(attributes.get(name, "")) for name in ("tests", "failures", "errors", "disabled")
    )
    skips = [number for name in _SKIPPED if (number := integer(attributes.get(name, ""))) is not None]
    skipped = max(skips, default=0) + (disabled or 0) if skips or disabled is not None else None
    return Stated(tests, failures, errors, skipped)


def counts_assertions(attributes: Attributes) -> bool:
    """Return whether a suite's counts are of assertions: Catch2's are, and doctest's."""
    return attributes.get("hostname") == "tbd" or tuple(attributes) == ("name", "errors", "failures", "tests")


def add_stated(counts: Counts, suite: Suite) -> Beyond:
    """Add what a suite states beyond its cases, and beyond the suites in it, to their counts; return what that is."""
    if counts_assertions(suite.attributes):
        return Beyond()
    told = stated(suite.attributes)
    written, held_failed = counts.total, counts.failures + counts.errors
    room = max((told.tests or 0) - written, 0)
    excess = max((told.failed or 0) - held_failed, 0)

    further = min(excess, counts.further, room)
    counts.failures += further
    room -= further
    excess -= min(excess, counts.further)
    if told.failed is not None:
        counts.further = 0

    counts.unwritten += room
    errors = min(max((told.errors or 0) - counts.errors, 0), excess)
    counts.unwritten -= min(excess, counts.unwritten)
    counts.errors += errors
    counts.failures += excess - errors

    skipped = max((told.skipped or 0) - counts.skipped, 0)
    skipped = skipped if told.tests is None else min(skipped, counts.unwritten)
    counts.unwritten -= min(skipped, counts.unwritten)
    counts.skipped += skipped
    return Beyond(further, excess - errors, errors, _remark(told, suite, written, held_failed, excess))


def _remark(told: Stated, suite: Suite, written: int, held_failed: int, excess: int) -> str:
    parts = []
    if (told.tests or 0) > written > 0:
        parts.append(f"{told.tests:,} tests and holds {written:,}")
    if excess and written:
        parts.append(f"{told.failed:,} failed tests and holds {held_failed:,}")
    return f"{suite.name or 'the report'} states {' and '.join(parts)}" if parts else ""
