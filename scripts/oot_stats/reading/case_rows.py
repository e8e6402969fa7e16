"""A test case as the row that pytorch's tools/stats/upload_test_stats.py makes of it, and the groups it is summed into.

A row has the element's attributes, `text` and `tail` where they are more than blanks, and each child element under its
tag, several of a tag as a list. Attributes that Python's int() or float() takes become numbers; but what is not finite
stays the text it was, so that a test named "nan" keeps its name.
"""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from oot_runner.junit_cases import LONGEST_SECONDS, seconds
from oot_stats.reasons import RejectedError

if TYPE_CHECKING:
    from collections.abc import Collection

# What begins so is never a number: everything printable in ASCII but digits, signs, the dot and the blank.
TEXT_STARTS = bytes(set(range(0x21, 0x7F)) - set(b"0123456789+-."))
_TEXT_STARTS = frozenset(TEXT_STARTS.decode())
_FAILED = ("failure", "error", "rerun")  # a row with one of these is kept for every run
# An unsanitized pytest report (its process was killed) has the module in the class and no file.
_DOTTED = re.compile(r"(?:test\.)?(?P<file>.*)\.(?P<classname>[^.]*)")


class Identity(NamedTuple):
    """Whose test cases these are. `workflow_id` is text: that is how pytorch's script gets it, and writes it."""

    workflow_id: str
    workflow_run_attempt: int
    job_id: int | None
    invoking_file: str  # the name of the folder that the report lies in


def value(text: str) -> str | int | float:
    """Give an attribute as a row has it: a number where it is one."""
    if not text or text[0] in _TEXT_STARTS:
        return text
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return text
    return number if isfinite(number) else text


def dump(anything: object) -> bytes:
    """Give JSON; an integer may have any length."""
    try:
        return b"%b" % orjson.dumps(anything)  # copied: its own bytes keep a buffer of several KB each
    except TypeError:
        return json.dumps(anything, ensure_ascii=False, separators=(",", ":")).encode()


def file_and_class(file: object, classname: object) -> tuple[str, str] | None:
    """Give both as they should be where a dotted class stands for a missing file; None where nothing is to be done."""
    if file or not isinstance(classname, str):
        return None
    parts = _DOTTED.fullmatch(classname)
    if parts is None or not parts["file"] or not parts["classname"]:
        return None
    return f"{parts['file'].replace('.', '/')}.py", parts["classname"]


def complete(row: dict[str, Any], identity: Identity) -> dict[str, Any]:
    """Add to a case's row what its place tells, and mend the file of an unsanitized pytest report."""
    mended = file_and_class(row.get("file"), row.get("classname"))
    if mended:
        row["file"], row["classname"] = mended
    return {**row, **identity._asdict()}


def is_failed(row: dict[str, Any]) -> bool:
    """Say whether a row is one of failed_test_runs: a failure, an error or a rerun, also several of them."""
    return any(name in row for name in _FAILED)


def tells_reruns_of_disabled(row: dict[str, Any]) -> bool:
    """Say whether a skip's message is the account that pytorch's runs of disabled tests write: how often it was red."""
    skipped = row.get("skipped")
    skips = skipped if isinstance(skipped, list) else [skipped]
    return any(isinstance(skip, dict) and "num_red" in str(skip.get("message", "")) for skip in skips)


class Counts:
    """What one group of test cases comes to."""

    __slots__ = ("errors", "failures", "skipped", "tests", "time")

    def __init__(self) -> None:
        self.tests = self.failures = self.errors = self.skipped = 0
        self.time = 0.0

    def add(self, other: Counts) -> None:
        """Add another's counts."""
        self.tests += other.tests
        self.failures += other.failures
        self.errors += other.errors
        self.skipped += other.skipped
        self.time += other.time


class Groups:
    """The rows of test_run_summary in the making: test cases by the folder of their report, file and class.

    File and class are held as JSON: an attribute may be a number, a child element of that name even an object.
    """

    def __init__(self, most: int, most_bytes: int = 16 * 1024**2) -> None:
        self._groups: dict[tuple[str, bytes, bytes], Counts] = {}
        self._most, self._most_bytes = most, most_bytes
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._groups)

    def of(self, invoking_file: str, file: bytes, classname: bytes) -> Counts:
        """Give a group's counts, to add to. Raises RejectedError `too_many_groups`."""
        key = invoking_file, file, classname
        counts = self._groups.get(key)
        if counts is None:
            self._make_room([key])
            counts = self._groups[key] = Counts()
        return counts

    def add_row(self, row: dict[str, Any]) -> None:
        """Add one complete row to its group."""
        counts = self.of(row["invoking_file"], dump(row.get("file")), dump(row.get("classname")))
        counts.tests += 1
        if "failure" in row:
            counts.failures += 1
        elif "error" in row:
            counts.errors += 1
        elif "skipped" in row:
            counts.skipped += 1
        counts.time += duration(row.get("time"))

    def merge(self, other: Groups) -> None:
        """Add all of another's. Raises RejectedError `too_many_groups`, and then nothing was added."""
        new = other._groups.keys() - self._groups.keys()
        self._make_room(new)
        for key in new:
            self._groups[key] = Counts()
        for key, counts in other._groups.items():
            self._groups[key].add(counts)

    def _make_room(self, keys: Collection[tuple[str, bytes, bytes]]) -> None:
        size = self._bytes + sum(len(file) + len(classname) for _, file, classname in keys)
        if len(self._groups) + len(keys) > self._most or size > self._most_bytes:
            raise RejectedError(
                "too_many_groups",
                f"The job has more than {self._most:,} different files and classes of tests, or their names are "
                f"longer than {self._most_bytes:,} bytes together.",
            )
        self._bytes = size

    def slowest(self, most: int) -> list[tuple[str, float]]:
        """Give the folders of reports whose tests took longest together, and their seconds."""
        times: dict[str, float] = {}
        for (invoking_file, *_), counts in self._groups.items():
            times[invoking_file] = times.get(invoking_file, 0.0) + counts.time
        return sorted(times.items(), key=lambda item: -item[1])[:most]

    def rows(self, identity: Identity) -> list[bytes]:
        """Give the summary rows as JSON lines."""
        lines = []
        for (invoking_file, file, classname), counts in self._groups.items():
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
            lines.append(b'{"file":%b,"classname":%b,%b,%b\n' % (file, classname, whose[1:-1], numbers[1:]))
        return lines


def duration(time: object) -> float:
    """Give a case's seconds; 0 where it has none, or none that can be meant."""
    if isinstance(time, str):
        return seconds(time)
    return float(time) if isinstance(time, int | float) and abs(time) <= LONGEST_SECONDS else 0.0
