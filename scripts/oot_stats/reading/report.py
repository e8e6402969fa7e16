"""Turn one JUnit report into rows and counts, as it is read, in flat memory.

What a report may hold, how it is cleaned and when it is refused is the reader's matter (`oot_runner.junit_reader`), and
the same as for the counts that a job reports. Each test case becomes a row; attempts of one test are rows each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import orjson

from oot_runner import junit_cases as cases
from oot_runner import junit_reader as reader
from oot_runner.junit_suites import Counts, add_stated
from oot_stats.reading import case_rows
from oot_stats.reading.case_rows import Identity, dump, file_and_class, number
from oot_stats.reading.groups import GroupCounts, Groups
from oot_stats.reasons import RejectedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from oot_runner.junit_reader import Attributes, Batch, Case, Element, Suite

_MOST_REMARKS = 5
_WATCHED = cases.WATCHED | frozenset(Identity._fields)


class Sink(Protocol):
    """Takes rows as JSON lines: all of them, and those of failed test cases."""

    wants_all: bool

    def all(self, lines: bytes) -> None: ...
    def failed(self, lines: bytes) -> None: ...


class Report:
    """What one report came to."""

    def __init__(self) -> None:
        self.groups = Groups()
        self.cases = 0
        self.failed = 0  # or rerun
        self.cut = 0  # cases of which something was cut
        self.reruns_of_disabled = False
        self.remarks: list[str] = []


def read_report(pieces: Iterable[bytes], identity: Identity, sink: Sink) -> Report:
    """Read a report from its bytes in pieces of any size.

    Raises RejectedError, also whatever `pieces` raises; what the sink has taken is then worth nothing.
    """
    report = Report()
    rows = _Rows(report, identity, sink)
    try:
        for batch in reader.read_pieces(pieces, "", watch=_WATCHED):
            rows.add(batch)
    except reader.ParseError as error:
        if error.code == "not_junit":
            raise RejectedError("no_test_cases", _sentence(error)) from None
        raise RejectedError(error.code, _sentence(error)) from None
    if not rows.counts.total:
        raise RejectedError("no_test_cases", "It has no test case, and states none.")
    return report


def _sentence(error: reader.ParseError) -> str:
    if error.line:
        return f"Line {error.line:,}: {error.reason}."
    return f"{error.reason[0].upper()}{error.reason[1:]}."


class _Rows:
    """Makes rows batch by batch."""

    def __init__(self, report: Report, identity: Identity, sink: Sink) -> None:
        self.counts = Counts()  # of the whole report, once it has ended
        self._report = report
        self._sink = sink
        self._identity = identity
        self._ending = b"," + orjson.dumps(identity._asdict())[1:] + b"\n"
        self._of_identity = frozenset(identity._fields)
        self._open: dict[Suite, Counts] = {}
        self._stated_in = ""  # the first suite that states more than it holds

    def add(self, batch: Batch) -> None:
        lines: list[bytes] = []
        for suite, suite_cases, ended in batch.segments:
            counts = self._open.get(suite)
            if counts is None:
                counts = self._open[suite] = Counts()
            self._add_cases(counts, suite, suite_cases, lines, plain=not batch.is_watched)
            self._report.cases += len(suite_cases)
            if ended:
                del self._open[suite]
                self._end(suite, counts, lines)
        if self._sink.wants_all:
            self._sink.all(b"".join(lines))

    def _add_cases(
        self, counts: Counts, suite: Suite, suite_cases: list[Case], lines: list[bytes], *, plain: bool
    ) -> None:
        """Add cases: this loop is what the time of a large report goes into."""
        dumps, ending, wants_all = orjson.dumps, self._ending, self._sink.wants_all
        longest, seconds = cases.LONGEST_SECONDS, cases.seconds
        file: str | None = "\0"  # no report has it
        classname, group = file, GroupCounts()
        for attributes, content in suite_cases:
            get = attributes.get
            if get("classname") != classname or get("file") != file:
                file, classname = get("file"), get("classname")
                group = self._report.groups.get(self._identity.invoking_file, file, classname)
            group.tests += 1
            if content is not None or not plain:
                group.time += seconds(get("time", ""))
                self._add_case(counts, group, suite, attributes, content, lines, plain=plain)
                continue
            counts.passed += 1
            if not wants_all:
                group.time += seconds(get("time", ""))
            else:
                row = {name: text if text >= ":" else number(text) for name, text in attributes.items()}
                time = row.get("time")
                group.time += time if time.__class__ is float and 0 < time <= longest else seconds(get("time", ""))
                if classname and "." in classname:
                    _mend(row, file, classname)
                try:
                    lines.append(dumps(row)[:-1] + ending if row else b"{" + ending[1:])
                except TypeError:  # an integer of more than 64 bits
                    lines.append(dump(row)[:-1] + ending)

    def _add_case(
        self,
        counts: Counts,
        group: GroupCounts,
        suite: Suite,
        attributes: Attributes,
        content: Element | None,
        lines: list[bytes],
        *,
        plain: bool,
    ) -> None:
        """Add a case that has something in it, or an attribute that is not a column alone."""
        told = cases.results(content)
        status = cases.status(attributes, told)
        failed = status in (cases.FAILURE, cases.ERROR)
        self._report.cut += content is not None and content.is_cut
        row = case_rows.of_case(attributes, content, told, status, plain=plain)
        if failed:
            if not attributes.get("name", "").strip():
                row["name"] = suite.name
            counts.further += max(len(cases.failures(told)) - 1, 0)
            counts.errors += status == cases.ERROR
            counts.failures += status == cases.FAILURE
            group.failures += "failure" in row  # as pytorch's script has it: a failure outweighs an error
            group.errors += "failure" not in row
        elif status == cases.SUCCESS:
            counts.passed += 1
        else:
            counts.skipped += 1
            group.skipped += 1
            self._report.reruns_of_disabled |= case_rows.tells_reruns_of_disabled(told)
        classname = attributes.get("classname")
        if classname and "." in classname:
            _mend(row, attributes.get("file"), classname)
        self._write(row, lines, is_listed=failed or any(element.tag == "rerun" for element in told))

    def _write(self, row: dict[str, Any], lines: list[bytes], *, is_listed: bool) -> None:
        if not (is_listed or self._sink.wants_all):
            return
        for name in self._of_identity.intersection(row):
            del row[name]
        line = dump(row)[:-1] + self._ending if row else b"{" + self._ending[1:]
        if self._sink.wants_all:
            lines.append(line)
        if is_listed:
            self._report.failed += 1
            self._sink.failed(line)

    def _end(self, suite: Suite, counts: Counts, lines: list[bytes]) -> None:
        """Close a suite; what it states beyond its cases fails as a case with its name, or only counts."""
        written = counts.total
        beyond = add_stated(counts, suite)
        if counts.total > written or beyond.failures or beyond.errors:
            self._stated_in = self._stated_in or suite.name
        if beyond.remark and len(self._report.remarks) < _MOST_REMARKS:
            self._report.remarks.append(f"{beyond.remark[0].upper()}{beyond.remark[1:]}.")
        if beyond.failures or beyond.errors:
            output = {"text": suite.output} if suite.output else {}
            status = cases.ERROR if beyond.errors else cases.FAILURE
            why = {"message": f"No test case tells of it: {beyond.remark}.", **output}
            self._write({"name": suite.name, "classname": suite.name, status: why}, lines, is_listed=True)
            self._report.cases += 1
        if suite.parent is not None:
            self._open.setdefault(suite.parent, Counts()).add(counts)
            return
        self.counts = counts
        self._add_stated(counts)

    def _add_stated(self, counts: Counts) -> None:
        """Add what the report states beyond its cases to the group of the suite that states it."""
        written = self._report.groups.total()
        if counts.total <= written.tests:
            return
        group = self._report.groups.get(self._identity.invoking_file, None, self._stated_in)
        group.tests += counts.total - written.tests
        group.failures += counts.failures + counts.errors - written.failures - written.errors
        group.skipped += max(counts.skipped - written.skipped, 0)


def _mend(row: dict[str, Any], file: str | None, classname: str | None) -> None:
    shown = file_and_class(file or "", classname or "")
    if shown != (file or "", classname or ""):
        row["file"], row["classname"] = shown
