"""The rows of test_run_summary in the making: test cases by the folder of their report, file and class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oot_stats.reading.case_rows import dump, file_and_class, number
from oot_stats.reasons import RejectedError

if TYPE_CHECKING:
    from oot_stats.reading.case_rows import Identity

MOST_GROUPS = 20_000  # different files and classes of tests in one job
MOST_BYTES = 16 * 1024**2  # of their names


class GroupCounts:
    """What one group of test cases comes to."""

    __slots__ = ("errors", "failures", "skipped", "tests", "time")

    def __init__(self) -> None:
        self.tests = self.failures = self.errors = self.skipped = 0
        self.time = 0.0

    def add(self, other: GroupCounts) -> None:
        """Add another group's counts."""
        self.tests += other.tests
        self.failures += other.failures
        self.errors += other.errors
        self.skipped += other.skipped
        self.time += other.time


class Groups:
    """Groups by the folder of their report, and by file and class as the test cases have them; None where absent."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str | None, str | None], GroupCounts] = {}
        self._bytes = 0

    def get(self, invoking_file: str, file: str | None, classname: str | None) -> GroupCounts:
        """Return a group's counts, to add to. Raises RejectedError `too_many_groups`."""
        key = invoking_file, file, classname
        counts = self._groups.get(key)
        if counts is None:
            self._bytes += len(file or "") + len(classname or "")
            if len(self._groups) >= MOST_GROUPS or self._bytes > MOST_BYTES:
                raise RejectedError(
                    "too_many_groups",
                    f"The job has more than {MOST_GROUPS:,} different files and classes of tests, or their names are "
                    f"longer than {MOST_BYTES:,} characters together.",
                )
            counts = self._groups[key] = GroupCounts()
        return counts

    def merge(self, other: Groups) -> None:
        """Add all of another's. Raises RejectedError `too_many_groups`, and then nothing was added."""
        size, known = self._bytes, len(self._groups)
        try:
            for key in other._groups:
                self.get(*key)
        except RejectedError:
            for key in list(self._groups)[known:]:
                del self._groups[key]
            self._bytes = size
            raise
        for key, counts in other._groups.items():
            self._groups[key].add(counts)

    def total(self) -> GroupCounts:
        """Return the sum of all groups."""
        total = GroupCounts()
        for counts in self._groups.values():
            total.add(counts)
        return total

    def slowest(self, most: int) -> list[tuple[str, float]]:
        """Return the folders of reports whose tests took longest together, and their seconds."""
        times: dict[str, float] = {}
        for (invoking_file, *_), counts in self._groups.items():
            times[invoking_file] = times.get(invoking_file, 0.0) + counts.time
        return sorted(times.items(), key=lambda item: -item[1])[:most]

    def rows(self, identity: Identity) -> list[bytes]:
        """Return the summary rows as JSON lines."""
        rows: dict[tuple[str, bytes, bytes], GroupCounts] = {}
        for (invoking_file, file, classname), counts in self._groups.items():  # "01" and "1" are both 1 in a row
            file_value, class_value = _values(file, classname)
            rows.setdefault((invoking_file, dump(file_value), dump(class_value)), GroupCounts()).add(counts)
        lines = []
        for (invoking_file, file_json, class_json), counts in rows.items():
            whose = dump({**identity._asdict(), "invoking_file": invoking_file})
            numbers = dump(
                {
                    "tests": counts.tests,
                    "failures": counts.failures,
                    "errors": counts.errors,
                    "skipped": counts.skipped,
                    "successes": counts.tests - counts.failures - counts.errors - counts.skipped,
                    "time": counts.time,
                }
            )
            lines.append(b'{"file":%b,"classname":%b,%b,%b\n' % (file_json, class_json, whose[1:-1], numbers[1:]))
        return lines


def _values(file: str | None, classname: str | None) -> tuple[object, object]:
    shown = file_and_class(file or "", classname or "")
    if shown != (file or "", classname or ""):
        return shown
    return None if file is None else number(file), None if classname is None else number(classname)
