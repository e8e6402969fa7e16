"""Read a JUnit XML file as a stream of test cases and suites, in flat memory and without trust in what it holds.

Standard library only, Python 3.8 or later. Expat is fed in pieces, and what it reports is handed on a piece at a time.
What the cases mean is decided elsewhere: `junit_cases`, `junit_suites`.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple
from xml.parsers import expat

from oot_runner import xml_bytes

if TYPE_CHECKING:
    from typing import IO, Dict, Iterable, Iterator, Optional, Tuple, Union

    Source = Union[str, os.PathLike[str], IO[bytes]]
    Attributes = Dict[str, str]
    # A test case: its attributes as written, and itself as an element if there is anything in it.
    Case = Tuple[Attributes, Optional["Element"]]

PIECE_BYTES = 32 * 1024  # small enough for a processor's first cache, in which what is read is looked through
MOST_ELEMENTS = 5_000  # of one test case that are kept; of its children that tell how it ended twice as many
KEPT_ATTRIBUTES = ("message", "type")  # of those, where a test case has more bytes than are kept
CUT_CHARACTERS = 1_024
OUTPUT_CHARACTERS = 4_096  # of what a suite printed itself

SUITES = frozenset(("testsuites", "testsuite", "testrun"))
OUTPUTS = frozenset(("system-out", "system-err"))
FAILURES = frozenset(("error", "failure"))
RESULTS = FAILURES | {
    "skipped",
    "disabled",
    "flakyFailure",
    "flakyError",
    "rerunFailure",
    "rerunError",
    "rerun",
}

_NO_ELEMENTS = expat.errors.codes[expat.errors.XML_ERROR_NO_ELEMENTS]


class Limits(NamedTuple):
    """What one file may cost: it is refused beyond these, but for the content of a test case, which is cut."""

    file_bytes: int = 4 * 1024**3
    depth: int = 100
    token_bytes: int = 4 * 1024**2  # a start tag with its attributes, or a comment: expat holds it whole
    names: int = 10_000  # different element and attribute names: expat keeps each one to the end
    case_bytes: int = 1024**2  # of what is in a test case: beyond it only how it ended is kept


DEFAULT_LIMITS = Limits()


class ParseError(Exception):
    """A file that cannot be counted: `code` for programs, `reason` for people; `line` 0 where no line is at fault."""

    def __init__(self, code: str, file: str, line: int, reason: str) -> None:
        super().__init__(f"{file}:{line}: {reason}" if line else f"{file}: {reason}")
        self.code, self.file, self.line, self.reason = code, file, line, reason


_NO_CHILDREN: list[Element] = []  # of every element that has none: making a list takes as long as all else


class Element:
    """An element of a test case; `is_cut` where the test case had more in it than is kept."""

    text = ""  # before its first child, if it is more than blanks
    tail = ""  # after it, up to the next child of its parent, if it is more than blanks
    is_cut = False

    def __init__(self, tag: str, attributes: Attributes) -> None:
        self.tag = tag  # without its namespace
        self.attributes = attributes
        self.children: list[Element] = _NO_CHILDREN

    def append(self, child: Element) -> None:
        """Add a child."""
        if self.children:
            self.children.append(child)
        else:
            self.children = [child]


class Suite:
    """A <testsuite>, or what stands for one: its attributes as written, and the text that it printed itself."""

    __slots__ = ("attributes", "output", "parent")

    def __init__(self, attributes: Attributes, parent: Suite | None = None) -> None:
        self.attributes = attributes
        self.parent = parent
        self.output = ""

    @property
    def name(self) -> str:
        """Its name, or that of the innermost suite around it that has one."""
        return self.attributes.get("name", "").strip() or (self.parent.name if self.parent else "")

    @property
    def file(self) -> str:
        """The file of its tests, or that of the innermost suite around it that has one."""
        return self.attributes.get("file") or (self.parent.file if self.parent else "")


class Segment(NamedTuple):
    """Test cases that follow each other directly in a suite, and whether the suite ends after them."""

    suite: Suite
    cases: list[Case]
    ended: bool


class Batch(NamedTuple):
    """What one piece of the file holds.

    `is_watched`: its cases may have attributes that the caller watches for, that are long, or that have a namespace.
    """

    segments: list[Segment]
    is_watched: bool


def read(
    source: Source, file: str = "", *, limits: Limits = DEFAULT_LIMITS, watch: frozenset[str] = frozenset()
) -> Iterator[Batch]:
    """Yield what a file holds, a path or a binary stream, in its order; the last suite to end is the file itself.

    `file` is the name that errors carry (default: the path); `watch` are names of attributes, for `Batch.is_watched`.
    Raises ParseError, possibly after many cases, for what is not a whole, well-formed JUnit report within the limits.
    Drop the cases then: a report that was cut off misses the very tests that ran when its process died, so it would
    look better than the run was.
    """
    file = file or display_name(source)
    try:
        if isinstance(source, (str, os.PathLike)):
            with open(source, "rb", opener=_open_without_waiting) as stream:
                if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                    raise ParseError("unreadable", file, 0, "it is not a regular file")
                yield from read_pieces(pieces_of(stream), file, limits=limits, watch=watch)
        else:
            yield from read_pieces(pieces_of(source), file, limits=limits, watch=watch)
    except OSError as error:
        raise ParseError("unreadable", file, 0, f"the file cannot be read: {error.strerror or error}") from error


def read_pieces(
    pieces: Iterable[bytes], file: str, *, limits: Limits = DEFAULT_LIMITS, watch: frozenset[str] = frozenset()
) -> Iterator[Batch]:
    """Yield what a file holds like `read`, from its bytes in pieces of any size."""
    parser = _Parser(file, limits, watch)
    started = False
    try:
        for data, final in xml_bytes.clean(_small(pieces, parser), lambda: parser.in_section):
            if not started:
                data, lines = xml_bytes.without_blank_head(data)  # noqa: PLW2901 - what is left is fed like any other
                parser.blank_lines += lines
                started = bool(data)
            if data or final:
                yield parser.feed(data, final=final)
    except xml_bytes.UnknownEncodingError as error:
        raise parser.refusal("unknown_encoding", str(error)) from None


def pieces_of(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the rest of a stream in pieces."""
    while piece := stream.read(PIECE_BYTES):
        yield piece


def display_name(source: Source) -> str:
    """Return the path of a source as text that every encoder takes, or nothing for a stream."""
    return os.fsencode(source).decode("utf-8", "replace") if isinstance(source, (str, os.PathLike)) else ""


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a FIFO that nobody writes to would wait for ever


def _small(pieces: Iterable[bytes], parser: _Parser) -> Iterator[bytes]:
    """Yield the bytes in pieces of PIECE_BYTES at most."""
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > parser.limits.file_bytes:
            raise parser.refusal(
                "file_too_large", f"the file is larger than {parser.limits.file_bytes:,} bytes; split the report"
            )
        for start in range(0, len(piece), PIECE_BYTES):
            yield piece[start : start + PIECE_BYTES]


class _Parser:
    """Turns expat's events into batches. Methods that run for each test case come first, and do next to nothing."""

    def __init__(self, file: str, limits: Limits, watch: frozenset[str]) -> None:
        self.limits = limits
        self.blank_lines = 0  # in front of what was fed
        self.in_section = False
        self._file = file
        self._watch, self._is_watched, self._has_namespaces = watch, False, False
        self._names: dict[str, str] = {}
        self._names_seen = 0
        self._bytes = 0
        self._depth, self._most_depth = 0, limits.depth  # of elements other than test cases, which cannot nest
        self._count = 0  # of test cases before those in `_cases`
        self._suites = [Suite({})]  # the open ones; the first stands for the file, for cases outside any element
        self._segments: list[Segment] = []
        self._cases: list[Case] = []  # of the innermost suite, since its last segment
        self._case: Attributes | None = None  # the open one
        self._content: Element | None = None  # the open one as an element, once there is anything in it
        self._path: list[Element] = []  # the open elements in it; or one of a suite's own, and those in that
        self._pieces: list[str] = []  # of the text since the last tag
        self._elements = self._content_bytes = 0  # in there, the latter in whole pieces of the file
        self._most_elements = MOST_ELEMENTS  # that are kept of it; none once it has too many bytes
        # What arrives here is UTF-8, whatever encoding the XML declares.
        parser = self._parser = expat.ParserCreate("utf-8", "}", intern=self._names)
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.StartElementHandler = self._start_root
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._pieces.append
        parser.StartNamespaceDeclHandler = self._note_namespace
        parser.StartCdataSectionHandler = self._start_section
        parser.EndCdataSectionHandler = self._end_section

    def feed(self, data: bytes, *, final: bool) -> Batch:
        limits = self.limits
        try:
            self._parser.Parse(data, final)
        except expat.ExpatError as error:
            raise self._explained(error, final=final) from error
        self._close_segment(ended=final)
        self._bytes += len(data)
        pending = self._bytes - self._parser.CurrentByteIndex  # of a tag or comment that has not ended
        self._is_watched |= pending > PIECE_BYTES
        if self._path:
            self._content_bytes += len(data)
            if self._content_bytes > limits.case_bytes:
                self._close_text()
                self._most_elements = 0
        elif self._case is None:
            self._pieces.clear()  # between the cases
        elif "".join(self._pieces).strip():
            self._open_content(self._case)
        if pending > limits.token_bytes:
            raise self.refusal(
                "tag_too_large",
                f"a tag or comment is larger than {limits.token_bytes:,} bytes; keep output out of them",
            )
        if len(self._names) > self._names_seen:
            self._names_seen = len(self._names)
            self._is_watched |= self._has_namespaces or not self._watch.isdisjoint(self._names)
            if self._names_seen > limits.names:
                raise self.refusal(
                    "too_many_names",
                    f"there are more than {limits.names:,} different element and attribute names: not JUnit XML",
                )
        batch = Batch(self._segments, self._is_watched)
        self._segments = []
        return batch

    def refusal(self, code: str, reason: str) -> ParseError:
        return ParseError(code, self._file, self._parser.CurrentLineNumber + self.blank_lines, reason)

    def _start(self, tag: str, attributes: Attributes) -> None:
        path = self._path
        if tag == "testcase" and self._case is None and not path:
            self._case = attributes
            if self._pieces:
                self._pieces.clear()
            return
        if "}" in tag:
            self._strip_namespaces(tag, attributes)
            return
        self._depth += 1
        if self._depth > self._most_depth:
            raise self.refusal("too_deep", f"elements are nested more than {self._most_depth} deep: not JUnit XML")
        if not path:
            if self._case is None:
                self._start_of_suites_own(tag, attributes)
                return
            self._open_content(self._case)
        if self._pieces:
            self._close_text()
        self._elements += 1
        if self._elements > self._most_elements or tag == "testcase":
            path.append(self._odd_element(tag, attributes))
            return
        element = Element(tag, attributes)
        path[-1].append(element)
        path.append(element)

    def _end(self, tag: str) -> None:
        if tag == "testcase" and self._case is not None:
            if self._pieces:
                self._close_case_text(self._case)
            if self._content is not None:
                self._path.clear()
            self._cases.append((self._case, self._content))
            self._case = self._content = None
            return
        self._depth -= 1
        if self._path:
            if self._pieces:
                self._close_text()
            element = self._path.pop()
            if not self._path:
                self._end_of_suites_own(element)
        elif tag in SUITES:
            self._close_segment(ended=True)

    def _close_text(self) -> None:
        text = "".join(self._pieces)
        self._pieces.clear()
        if text.isspace():
            return
        if not self._most_elements:
            self._path[0].is_cut = True
        elif self._path[-1].children:
            self._path[-1].children[-1].tail = text
        else:
            self._path[-1].text = text

    def _close_case_text(self, case: Attributes) -> None:
        if self._content is None and "".join(self._pieces).strip():
            self._open_content(case)
        if self._content is not None:
            self._close_text()

    def _open_content(self, case: Attributes) -> None:
        self._content = Element("testcase", case)
        self._open(self._content)

    def _open(self, element: Element) -> None:
        self._path.append(element)
        self._elements = self._content_bytes = 0
        self._most_elements = MOST_ELEMENTS

    def _odd_element(self, tag: str, attributes: Attributes) -> Element:
        """Return an element where no more of a test case is kept: itself only if it tells how the test ended."""
        path = self._path
        if tag == "testcase":
            where = "another" if self._case is not None else f"a <{path[0].tag}>"
            raise self.refusal("nested_test_cases", f"a <testcase> is inside {where}: not JUnit XML")
        path[0].is_cut = True
        kept = {name: attributes[name][:CUT_CHARACTERS] for name in KEPT_ATTRIBUTES if name in attributes}
        element = Element(tag, kept)
        if tag in RESULTS and len(path) == 1 and len(path[0].children) < 2 * MOST_ELEMENTS:
            path[0].append(element)
        return element

    def _start_root(self, tag: str, attributes: Attributes) -> None:
        name = tag.rpartition("}")[2]
        if name != "testcase" and name not in SUITES:
            raise self.refusal(
                "not_junit", f"the root element is <{name[:80]}>, not <testsuites> or <testsuite>: not JUnit XML"
            )
        self._parser.StartElementHandler = self._start
        self._start(tag, attributes)

    def _strip_namespaces(self, tag: str, attributes: Attributes) -> None:
        """Read elements without their namespaces from here on."""
        self._parser.StartElementHandler = lambda tag, attributes: self._start(tag.rpartition("}")[2], attributes)
        self._parser.EndElementHandler = lambda tag: self._end(tag.rpartition("}")[2])
        self._start(tag.rpartition("}")[2], attributes)

    def _start_of_suites_own(self, tag: str, attributes: Attributes) -> None:
        if tag in SUITES:
            self._close_segment(ended=False)
            self._suites.append(Suite(attributes, self._suites[-1]))
        elif tag in FAILURES or tag in OUTPUTS:
            self._pieces.clear()
            self._open(Element(tag, attributes))

    def _end_of_suites_own(self, element: Element) -> None:
        suite = self._suites[-1]
        if element.tag in FAILURES:  # say of its set-up: a failed test with the suite's name
            case = Element("testcase", {"name": suite.name})
            case.children = [element]
            self._cases.append((case.attributes, case))
        elif element.tag == "system-err" or not suite.output:
            suite.output = element.text.strip()[:OUTPUT_CHARACTERS] or suite.output

    def _close_segment(self, *, ended: bool) -> None:
        if self._cases or ended:
            self._count += len(self._cases)
            self._segments.append(Segment(self._suites[-1], self._cases, ended))
            self._cases = []
            if ended:
                self._suites.pop()

    def _note_namespace(self, *_: object) -> None:
        self._has_namespaces = True

    def _start_section(self) -> None:
        self.in_section = True

    def _end_section(self) -> None:
        self.in_section = False

    def _refuse_doctype(self, *_: object) -> None:
        raise self.refusal("doctype", "a DOCTYPE is not allowed: JUnit reports need none, and entity bombs do")

    def _explained(self, error: expat.ExpatError, *, final: bool) -> ParseError:
        fault = expat.ErrorString(error.code)
        read = f"after {self._count + len(self._cases):,} test cases"
        if self._parser.StartElementHandler == self._start_root:
            if final and error.code == _NO_ELEMENTS:
                return self.refusal(
                    "empty_report",
                    "the file is empty: look in the job's log for why the test run did not write its report",
                )
            return self.refusal("not_xml", f"this is not XML ({fault}); pass only JUnit XML reports")
        if final:
            return self.refusal(
                "cut_off", f"the report breaks off {read}: look in the job's log for what ended the test run"
            )
        return self.refusal(
            "malformed_xml",
            f"malformed XML at column {error.offset + 1}, {read} ({fault}): mend the program that wrote it",
        )
