"""Read one JUnit XML file as a stream of test cases, with bounded memory and no trust in what it holds.

Standard library only, Python 3.8 or later. Expat is fed in chunks; captured output is never kept, messages and stack
traces only up to their caps, so memory does not grow with the file.

There is no standard for JUnit XML: tests/oot_runner tells what each dialect writes and how it is read.
"""

from __future__ import annotations

import codecs
import os
from typing import TYPE_CHECKING, NamedTuple
from xml.parsers import expat

from oot_runner import xml_bytes

if TYPE_CHECKING:
    from typing import IO, Iterator, Union

    Source = Union[str, os.PathLike[str], IO[bytes]]

CHUNK_BYTES = 64 * 1024
HEAD_BYTES = 256  # enough for a byte order mark and an XML declaration
LONGEST_SECONDS = 1e9  # so that no sum of durations becomes infinite, which JSON cannot hold

SUITES = frozenset(("testsuites", "testsuite"))
OUTPUTS = frozenset(("system-out", "system-err"))
OUTCOMES = {"error": "error", "failure": "failure", "skipped": "skipped", "disabled": "skipped"}
FAILED_ATTEMPTS = ("flakyFailure", "flakyError", "rerunFailure", "rerunError", "rerun")
RESULTS = frozenset((*OUTCOMES, *FAILED_ATTEMPTS))
FAILURES = frozenset(("error", "failure"))
STATUS_WORDS = {  # in the attributes `status` and `result`; they count where no child element tells the outcome
    **dict.fromkeys(("notrun", "disabled", "suppressed", "skipped", "ignored", "pending"), "skipped"),
    **dict.fromkeys(("fail", "failed", "failure"), "failure"),
    "error": "error",
}


class Limits(NamedTuple):
    """What one file may cost: it is refused beyond these, but for text, which is cut."""

    file_bytes: int = 2 * 1024**3
    elements: int = 10_000_000
    depth: int = 100
    token_bytes: int = 4 * 1024**2  # a start tag with its attributes, or a comment: expat holds it whole
    names: int = 10_000  # different element and attribute names: expat keeps each one to the end
    text: int = 4096  # characters of a failure's text


DEFAULT_LIMITS = Limits()


class ParseError(Exception):
    """A file that cannot be counted, and why. `line` is 0 where the fault is not in one place."""

    def __init__(self, file: str, line: int, reason: str) -> None:
        super().__init__(f"{file}:{line}: {reason}" if line else f"{file}: {reason}")
        self.file, self.line, self.reason = file, line, reason


class Result(NamedTuple):
    """A child element of a test case that tells how it, or an earlier attempt of it, ended."""

    attributes: dict[str, str]
    text: str  # its first `Limits.text` characters

    @property
    def message(self) -> str:
        return self.attributes.get("message") or self.text.strip().partition("\n")[0]


class Suite:
    """A <testsuite> or <testsuites> element: its attributes as written, and the number of cases read in it."""

    __slots__ = ("attributes", "cases", "covered", "file")

    def __init__(self, attributes: dict[str, str], parent: Suite | None = None) -> None:
        self.attributes = attributes
        self.file: str = attributes.get("file") or (parent.file if parent else "")
        self.cases = 0
        self.covered = False  # whether a suite inside it told its numbers

    def count(self, *names: str) -> int:
        """Sum the counts that it states, such as `failures`."""
        return sum(integer(self.attributes.get(name, "")) or 0 for name in names)

    @property
    def hides_reruns(self) -> bool:
        """Whether failed attempts are written as if they had passed, which pytest-rerunfailures does.

        Each is a <testcase> without children, like one that passed; but the suite's `tests` leaves them out.
        """
        return self.cases > self.count("tests") > 0


class TestCase(NamedTuple):
    """A <testcase> element: its attributes as written, and its first child element of each kind."""

    attributes: dict[str, str]
    status: str  # success, failure, error or skipped
    results: dict[str, Result]
    suite: Suite

    @property
    def name(self) -> str:
        return self.attributes.get("name", "")

    @property
    def classname(self) -> str:
        return self.attributes.get("classname", "")

    @property
    def file(self) -> str:
        return self.attributes.get("file") or self.suite.file

    @property
    def line(self) -> int | None:
        return integer(self.attributes.get("line", ""))

    @property
    def duration_seconds(self) -> float:
        return seconds(self.attributes.get("time", ""))

    @property
    def flaky(self) -> bool:
        """Whether it passed after an attempt that failed."""
        return self.status == "success" and bool(self.results)


def iter_cases(source: Source, file: str = "", *, limits: Limits = DEFAULT_LIMITS) -> Iterator[TestCase]:
    """Give the test cases of one file, a path or a binary stream, as they are read.

    `file` is the name that errors carry (default: the path). Raises `ParseError`, possibly after many cases, for what
    is not a whole, well-formed JUnit report within the limits. Drop the cases then: a report that was cut off misses
    the very tests that ran when its process died, so it would look better than the run was.
    """
    for cases, _ in iter_batches(source, file, limits=limits):
        yield from cases


def iter_batches(
    source: Source, file: str = "", *, limits: Limits = DEFAULT_LIMITS
) -> Iterator[tuple[list[TestCase], list[Suite]]]:
    """Give the test cases like `iter_cases`, a chunk's at a time, with the suites that ended in that chunk."""
    file = file or display_name(source)
    try:
        if isinstance(source, (str, os.PathLike)):
            with open(source, "rb") as stream:  # noqa: PTH123 - a path may come as text
                yield from _read(stream, file, limits)
        else:
            yield from _read(source, file, limits)
    except OSError as error:
        raise ParseError(file, 0, f"the file cannot be read: {error.strerror or error}") from error


def display_name(source: Source) -> str:
    """The path of a source as text that every encoder takes, or nothing for a stream."""
    return os.fsencode(source).decode("utf-8", "replace") if isinstance(source, (str, os.PathLike)) else ""


def seconds(text: str) -> float:
    """The number of a `time` attribute: "1.5", "1,234.56", "1.234,56" or "0,5"; 0 for anything else."""
    try:
        value = float(text)
    except ValueError:
        if text.rfind(",") < text.rfind(".") or text.count(",") > 1:
            text = text.replace(",", "")
        else:
            text = text.replace(".", "").replace(",", ".")
        try:
            value = float(text)
        except ValueError:
            return 0.0
    return value if 0 < value <= LONGEST_SECONDS else 0.0


def integer(text: str) -> int | None:
    """The number of a count or line attribute, if it is one."""
    return int(text) if text.isdecimal() and len(text) < 10 else None


def _read(stream: IO[bytes], file: str, limits: Limits) -> Iterator[tuple[list[TestCase], list[Suite]]]:
    """Feed a stream to expat as UTF-8, without the characters that XML forbids."""
    chunk = stream.read(CHUNK_BYTES)
    while len(chunk) < HEAD_BYTES and (more := stream.read(CHUNK_BYTES)):
        chunk += more
    handler = _Handler(file, limits)
    try:
        decoder = codecs.getincrementaldecoder(xml_bytes.codec(chunk))("replace")
    except LookupError as error:
        raise handler.refusal(str(error.args[0])) from None
    size, rest = 0, b""
    while True:
        size += len(chunk)
        if size > limits.file_bytes:
            raise handler.refusal(f"the file is larger than {limits.file_bytes:,} bytes; split the report")
        data = rest + decoder.decode(chunk, final=not chunk).encode("utf-8", "replace")
        data, rest = xml_bytes.permitted(data, final=not chunk)
        yield handler.feed(data, final=not chunk)
        if not chunk:
            return
        chunk = stream.read(CHUNK_BYTES)


NO_CASE: dict[str, str] = {}
NO_ELEMENTS = expat.errors.codes[expat.errors.XML_ERROR_NO_ELEMENTS]
_new = tuple.__new__  # a NamedTuple's own constructor takes twice the time


class _Handler:
    """Turns expat's events into test cases and the suites that ended."""

    def __init__(self, file: str, limits: Limits) -> None:
        self._file, self._limits = file, limits
        self._bytes = 0
        self._cases: list[TestCase] = []  # of the chunk being fed
        self._ended: list[Suite] = []
        self._suites = [Suite({})]  # the open ones; the first stands for the file, for cases outside any element
        self._tallied = 0  # how many of `_cases` their suites have counted
        self._all_cases = 0
        self._elements = 0  # other than test cases
        # Of elements other than test cases and their results: these are nearly all there are, and cannot nest.
        self._depth = 0
        self._case = NO_CASE  # the attributes of the open one
        self._results: dict[str, Result] = {}
        self._result: dict[str, str] = {}
        self._result_depth = -1  # of what is inside the open result; -1: none is open
        self._text: list[str] = []
        self._text_room = 0
        self._names: dict[str, str] = {}
        # What arrives here is UTF-8, whatever encoding the XML declares.
        parser = self._parser = expat.ParserCreate("utf-8", intern=self._names)
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.StartElementHandler = self._start_root

    def refusal(self, reason: str) -> ParseError:
        return ParseError(self._file, self._parser.CurrentLineNumber, reason)

    def feed(self, data: bytes, *, final: bool) -> tuple[list[TestCase], list[Suite]]:
        """Give the cases and suites that ended in this piece of the file."""
        limits = self._limits
        try:
            self._parser.Parse(data, final)
        except expat.ExpatError as error:
            raise self.refusal(self._explain(error, final=final)) from error
        self._tally()
        if final:
            self._ended += self._suites
        self._bytes += len(data)
        if self._bytes - self._parser.CurrentByteIndex > limits.token_bytes:
            raise self.refusal(f"a tag or comment is larger than {limits.token_bytes:,} bytes; keep output out of them")
        if self._elements + self._all_cases > limits.elements:
            raise self.refusal(f"there are more than {limits.elements:,} elements; split the report")
        if len(self._names) > limits.names:
            raise self.refusal(
                f"there are more than {limits.names:,} different element and attribute names: not JUnit XML"
            )
        batch = self._cases, self._ended
        self._cases, self._ended, self._tallied = [], [], 0
        return batch

    def _explain(self, error: expat.ExpatError, *, final: bool) -> str:
        fault = expat.ErrorString(error.code)
        self._tally()
        read = f"after {self._all_cases:,} test cases"
        if self._parser.StartElementHandler == self._start_root:
            if final and error.code == NO_ELEMENTS:
                return "the file is empty: look in the job's log for why the test run did not write its report"
            return f"this is not XML ({fault}); pass only JUnit XML reports"
        if final:
            return f"the report breaks off {read}: look in the job's log for what ended the test run"
        return f"malformed XML at column {error.offset + 1}, {read} ({fault}): mend the program that wrote it"

    def _tally(self) -> None:
        """Count the new cases in their suite: before another one is the innermost, and after each chunk."""
        new = len(self._cases) - self._tallied
        self._suites[-1].cases += new
        self._all_cases += new
        self._tallied += new

    def _refuse_doctype(self, *_: object) -> None:
        raise self.refusal("a DOCTYPE is not allowed: JUnit reports need none, and entity bombs do")

    def _start_root(self, tag: str, attributes: dict[str, str]) -> None:
        prefix, _, name = tag.rpartition(":")
        if name != "testcase" and name not in SUITES:
            raise self.refusal(f"the root element is <{tag[:80]}>, not <testsuites> or <testsuite>: not JUnit XML")
        if prefix:
            self._parser.StartElementHandler = lambda tag, attributes: self._start(tag.rpartition(":")[2], attributes)
            self._parser.EndElementHandler = lambda tag: self._end(tag.rpartition(":")[2])
        else:
            self._parser.StartElementHandler, self._parser.EndElementHandler = self._start, self._end
        self._start(name, attributes)

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "testcase":
            if self._case is not NO_CASE:
                raise self.refusal("a <testcase> is inside another: not JUnit XML")
            self._case = attributes
        elif tag in RESULTS and self._result_depth < 0 and (self._case is not NO_CASE or tag in FAILURES):
            self._elements += 1
            self._result, self._result_depth = attributes, self._depth
            self._text_room = self._limits.text
            self._parser.CharacterDataHandler = self._keep_text
        else:
            self._start_other(tag, attributes)

    def _end(self, tag: str) -> None:
        if tag == "testcase":
            attributes, results = self._case, self._results
            status = "success"
            if results:
                status = next(filter(results.__contains__, ("error", "failure", "skipped")), status)
                self._results = {}
            elif "status" in attributes or "result" in attributes:
                status = _stated_status(attributes)
            self._cases.append(_new(TestCase, (attributes, status, results, self._suites[-1])))
            self._case = NO_CASE
        elif self._depth == self._result_depth:
            self._end_result(tag)
        else:
            self._end_other(tag)

    def _keep_text(self, text: str) -> None:
        # Not unset here when the room is used up: expat's wrapper would call it again with the same text, without end.
        if self._text_room > 0:
            self._text.append(text[: self._text_room])
            self._text_room -= len(text)

    def _end_result(self, tag: str) -> None:
        self._parser.CharacterDataHandler = None
        self._result_depth = -1
        result = Result(self._result, "".join(self._text))
        self._text = []
        self._results = {OUTCOMES.get(tag, tag): result, **self._results}
        if self._case is NO_CASE:  # the suite's own, say of its set-up: a failed test with the suite's name
            self._case = {"name": self._suites[-1].attributes.get("name", "")}
            self._end("testcase")

    def _start_other(self, tag: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        self._depth += 1
        if self._depth > self._limits.depth:
            raise self.refusal(f"elements are nested more than {self._limits.depth} deep: not JUnit XML")
        if tag in SUITES:
            self._tally()
            self._suites.append(Suite(attributes, self._suites[-1]))
        elif tag in OUTPUTS and self._result_depth >= 0:
            self._parser.CharacterDataHandler = None

    def _end_other(self, tag: str) -> None:
        self._depth -= 1
        if tag in SUITES:
            self._tally()
            suite = self._suites.pop()
            covers = suite.covered or suite.cases > 0 or suite.count("tests", "failures", "errors") > 0
            self._suites[-1].covered |= covers
            self._ended.append(suite)
        elif tag in OUTPUTS and self._result_depth >= 0:
            self._parser.CharacterDataHandler = self._keep_text


def _stated_status(attributes: dict[str, str]) -> str:
    for key in ("status", "result"):
        status = STATUS_WORDS.get(attributes.get(key, "").lower())
        if status:
            return status
    return "success"
