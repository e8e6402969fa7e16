"""Read one JUnit report as a stream into rows and counts, in flat memory.

Every report goes through expat, most of it only as markers: see plain_cases. Where that way meets anything that it
can't be certain of, the report is read again from its start without it, so what is refused, and why, is always what
expat and the rules here say of the report itself.
"""

from __future__ import annotations

import codecs
import secrets
from typing import TYPE_CHECKING, Any, Protocol
from xml.parsers import expat

from oot_runner import xml_bytes
from oot_stats.reading.case_rows import Groups, complete, dump, is_failed, tells_reruns_of_disabled, value
from oot_stats.reading.plain_cases import OPEN, PlainCases
from oot_stats.reasons import RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from oot_stats.limits import Limits
    from oot_stats.reading.case_rows import Identity

HEAD_BYTES = 256  # enough for a byte order mark and an XML declaration
_MOST_ELEMENTS_IN_CASE = 5_000
_MARKER = f"m{secrets.token_hex(16)}"  # nobody can write it into a report
_NO_ELEMENTS = expat.errors.codes[expat.errors.XML_ERROR_NO_ELEMENTS]


class Sink(Protocol):
    """Takes rows as JSON lines: all of them, and those of failed test cases."""

    wants_all: bool

    def all(self, lines: bytes) -> None: ...
    def failed(self, lines: bytes) -> None: ...
    def start_again(self) -> None: ...


class Report:
    """What one report came to."""

    def __init__(self, groups: Groups) -> None:
        self.groups = groups
        self.cases = 0
        self.failed = 0
        self.cut = 0  # cases whose text was cut
        self.reruns_of_disabled = False


class _UncertainError(Exception):
    """The fast way is not certain of this report."""


class _Node:
    """An element of a test case, while it is read."""

    __slots__ = ("attributes", "children", "tag", "tail", "text")

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag, self.attributes = tag, attributes
        self.text: list[str] = []
        self.tail: list[str] = []
        self.children: list[_Node] = []

    def row(self, namespace: str) -> dict[str, Any]:
        """Give the element as pytorch's script does: attributes, texts, then children by their tags."""
        row: dict[str, Any] = {_name(name): value(text) for name, text in self.attributes.items()}
        for name, texts in (("text", self.text), ("tail", self.tail)):
            text = "".join(texts)
            if text and not text.isspace():
                row[name] = text
        for child in self.children:
            tag, told = _name(child.tag.removeprefix(namespace)), child.row(namespace)
            if tag not in row:
                row[tag] = told
            elif isinstance(row[tag], list):
                row[tag].append(told)
            else:
                row[tag] = [row[tag], told]
        return row


def read_report(read: Callable[[], Iterable[bytes]], identity: Identity, sink: Sink, limits: Limits) -> Report:
    """Read a report; `read` gives its bytes from the start, in pieces, as often as it is called.

    Raises RejectedError, also whatever `read` raises; what the sink has taken is then worth nothing.
    """
    try:
        return _Reader(identity, sink, limits, fast=True).read(read())
    except _UncertainError:
        sink.start_again()
        return _Reader(identity, sink, limits, fast=False).read(read())


class _Reader:
    """Turns the events of expat into rows."""

    def __init__(self, identity: Identity, sink: Sink, limits: Limits, *, fast: bool) -> None:
        self._identity, self._sink, self._limits = identity, sink, limits
        self._report = Report(Groups(limits.groups))
        self._plain: PlainCases | None = None
        if fast:
            self._plain = PlainCases(identity, self._report.groups, _MARKER.encode(), rows=sink.wants_all)
        self._path: list[_Node] = []  # of the open case and its open elements
        self._ended: _Node | None = None  # a case whose tail is not over yet
        self._namespace = ""
        self._depth = self._elements = self._bytes = 0
        self._case_elements = self._case_bytes = self._text_bytes = 0
        self._was_cut = self._after_run = False
        self._names: dict[str, str] = {}
        parser = self._parser = expat.ParserCreate("utf-8", "}", intern=self._names)
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        if hasattr(parser, "SetReparseDeferralEnabled"):  # what is fed is to be told at once
            parser.SetReparseDeferralEnabled(False)  # noqa: FBT003 - its signature

    def read(self, pieces: Iterable[bytes]) -> Report:
        stream = _utf8(pieces)
        if self._plain is None:
            for piece in stream:
                self._feed(piece)
        else:
            self._read_fast(self._plain, stream)
        try:
            self._parser.Parse(b"", True)  # noqa: FBT003 - its signature
        except expat.ExpatError as error:
            raise self._explained(error, final=True) from None
        self._finish()
        if not self._report.cases:
            raise RejectedError("no_test_cases", "It is XML without any <testcase>.")
        return self._report

    def _read_fast(self, plain: PlainCases, stream: Iterator[bytes]) -> None:
        rest = b""
        for piece in stream:
            data = rest + piece
            cut = data.rfind(OPEN)
            if cut > 0:
                data, rest = data[:cut], data[cut:]
                self._feed(plain.take(data))
            elif len(data) > self._limits.tag_bytes:  # a large case, or none at all
                rest = b""
                self._feed(data)
            else:
                rest = data
            if plain.runs:  # a marker that was no element
                raise _UncertainError
        self._feed(plain.take(rest))
        if plain.runs:
            raise _UncertainError

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.Parse(data, False)  # noqa: FBT003 - its signature
        except expat.ExpatError as error:
            raise self._explained(error, final=False) from None
        self._bytes += len(data)
        limits = self._limits
        if self._bytes - self._parser.CurrentByteIndex > limits.tag_bytes:
            raise self._refusal("tag_too_large", f"A tag or comment is larger than {limits.tag_bytes:,} bytes")
        if len(self._names) > limits.names:
            raise self._refusal(
                "too_many_names", f"There are more than {limits.names:,} different element and attribute names"
            )

    def _refusal(self, code: str, sentence: str) -> Exception:
        if self._plain is not None:  # the line would be wrong: the plain cases are missing in what expat got
            return _UncertainError()
        return RejectedError(code, f"{sentence}, at line {self._parser.CurrentLineNumber}.")

    def _explained(self, error: expat.ExpatError, *, final: bool) -> Exception:
        if self._plain is not None:
            return _UncertainError()
        fault = expat.ErrorString(error.code)
        if not self._elements:
            if final and error.code == _NO_ELEMENTS:
                return RejectedError("empty_report", "It has no content.")
            return RejectedError("not_xml", f"It is not XML: {fault}, at line {error.lineno}.")
        read = f"after {self._report.cases + (self._ended is not None):,} test cases"
        if final:
            return RejectedError("cut_off", f"It ends {read} in the middle: {fault}, at line {error.lineno}.")
        where = f"line {error.lineno}, column {error.offset + 1}"
        return RejectedError("malformed_xml", f"It is malformed: {fault}, at {where}, {read}.")

    def _refuse_doctype(self, *_: object) -> None:
        raise self._refusal("doctype", "It has a DOCTYPE")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if self._ended is not None:
            self._finish()
        self._depth += 1
        if tag == _MARKER:
            self._add_run()
            return
        self._after_run = False
        self._elements += 1
        if self._depth > self._limits.depth:
            raise self._refusal("too_deep", f"Elements are nested more than {self._limits.depth} deep")
        if self._elements + self._report.cases > self._limits.elements:
            raise self._refusal("too_many_elements", f"There are more than {self._limits.elements:,} elements")
        is_case = tag == "testcase" or tag.endswith("}testcase")
        if self._path:
            if is_case:
                raise self._refusal("nested_test_cases", "A <testcase> is inside another")
            self._open(tag, attributes)
        elif is_case:
            self._namespace = tag.removesuffix("testcase")
            self._case_elements = self._case_bytes = self._text_bytes = 0
            self._was_cut = False
            self._open(tag, attributes)

    def _open(self, tag: str, attributes: dict[str, str]) -> None:
        node = _Node(tag, attributes)
        if self._path:
            self._path[-1].children.append(node)
        self._path.append(node)
        self._case_elements += 1
        self._case_bytes += sum(map(len, attributes.values()))
        if self._case_bytes > self._limits.row_bytes or self._case_elements > _MOST_ELEMENTS_IN_CASE:
            raise self._refusal(
                "row_too_large",
                f"The attributes of one test case are longer than {self._limits.row_bytes:,} characters, or it has "
                f"more than {_MOST_ELEMENTS_IN_CASE:,} elements",
            )

    def _end(self, tag: str) -> None:
        if self._ended is not None:
            self._finish()
        self._depth -= 1
        self._after_run = tag == _MARKER
        if self._path:
            node = self._path.pop()
            if not self._path:
                self._ended = node

    def _text(self, text: str) -> None:
        if self._path:
            node = self._path[-1]
            texts = node.children[-1].tail if node.children else node.text
        elif self._ended is not None:
            texts = self._ended.tail
        elif self._after_run and not text.isspace():
            raise _UncertainError  # it is the tail of a plain case
        else:
            return
        room = self._limits.row_bytes - self._text_bytes
        self._text_bytes += len(text)
        if len(text) > room:
            text, self._was_cut = text[: max(room, 0)], True
        if text:
            texts.append(text)

    def _add_run(self) -> None:
        plain = self._plain
        if plain is None or not plain.runs or self._path or self._depth < 2:  # inside a case, or instead of a root
            raise _UncertainError
        run = plain.runs.popleft()
        self._report.cases += run.cases
        self._report.failed += run.failed
        if run.rows:
            self._sink.all(run.rows)
        if run.failed_rows:
            self._sink.failed(run.failed_rows)

    def _finish(self) -> None:
        """Make the row of the case that ended: now its tail is known."""
        node, self._ended = self._ended, None
        if node is None:
            return
        row = complete(node.row(self._namespace), self._identity)
        report = self._report
        report.groups.add_row(row)
        report.cases += 1
        report.cut += self._was_cut
        failed = is_failed(row)
        if failed or self._sink.wants_all:
            line = dump(row) + b"\n"
            if self._sink.wants_all:
                self._sink.all(line)
            if failed:
                report.failed += 1
                self._sink.failed(line)
        if "skipped" in row and tells_reruns_of_disabled(row):
            report.reruns_of_disabled = True


def _name(name: str) -> str:
    """Give a name as ElementTree writes it: the namespace in braces."""
    return "{" + name if "}" in name else name


def _utf8(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Give the report in UTF-8, whatever its encoding. Raises RejectedError `unknown_encoding`."""
    stream = iter(pieces)
    head = b""
    for piece in stream:
        head += piece
        if len(head) >= HEAD_BYTES:
            break
    try:
        codec = xml_bytes.codec(head)
    except LookupError as error:
        raise RejectedError("unknown_encoding", f"{str(error.args[0]).capitalize()}.") from None
    if codec in ("utf-8", "utf-8-sig"):  # expat reads these as they are
        yield head
        yield from stream
        return
    decoder = codecs.getincrementaldecoder(codec)()
    try:
        yield decoder.decode(head).encode()
        for piece in stream:
            yield decoder.decode(piece).encode()
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError as error:
        raise RejectedError("unknown_encoding", f"It is not in the encoding that it declares: {codec}.") from error
