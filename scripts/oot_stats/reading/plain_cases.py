"""The fast way for the cases that nearly all are: like each other, and simple; most of them are never decoded.

`<testcase classname="C" name="n" time="0.1" />` one after another is split at the quotes, whole columns are checked at
once, and the bytes of the values become JSON as they are. Everything else goes to expat, together with one small marker
element in the place of each run of such cases: so expat still sees a document that is well-formed exactly if the whole
one is, and only where a marker arrives as an element the run was really made of test cases, not of a comment's text.
What is not certain here is never guessed: it goes to expat as it came. A property test holds both ways to equal rows.
"""

from __future__ import annotations

import json
import re
from collections import deque
from itertools import accumulate, compress, islice, pairwise
from operator import ne
from typing import TYPE_CHECKING, NamedTuple

import orjson

from oot_runner.junit_cases import LONGEST_SECONDS
from oot_stats.reading.case_rows import Identity, dump, duration, file_and_class
from oot_stats.reading.plain_values import (
    CHILDREN,
    EMPTY,
    Column,
    Content,
    NotPlainError,
    column,
    content,
    is_plain,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from oot_stats.reading.case_rows import Groups

OPEN = b"<testcase "
_CLOSE = b"</testcase>"
_BLANKS = b" \n\t"
_CASE = re.compile(rb'<testcase(?: [A-Za-z_][\w.-]{0,60}="[^"<]*"){1,30} ?/>')
# Attributes whose meaning depends on more than themselves: Report knows how.
_RESERVED = frozenset((*map(str.encode, Identity._fields), *CHILDREN, b"text", b"tail", b"xmlns"))
_FALSY = frozenset((b'""', b"0", b"0.0", b"-0.0"))
_MENDED = b"file "  # the column of files that classes tell: no attribute has this name
_MOST_REMEMBERED = 2_000
_LONGEST_REMEMBERED = 1_024


class Run(NamedTuple):
    """Cases one after another: how many, how many of them failed, and the rows of all and of these as JSON lines.

    `rows` is empty where nobody wants it.
    """

    cases: int
    failed: int
    rows: bytes
    failed_rows: bytes


class _Shape(NamedTuple):
    """What the cases have in common: the text around their values."""

    names: tuple[bytes, ...]
    first: bytes  # <testcase classname=
    inner: tuple[bytes, ...]  # [ name=]
    last: bytes  # " />"
    blank: bytes  # between two cases


class _Found:
    """The plain cases of one piece: stretches of text in which they follow each other, and what runs these make."""

    def __init__(self) -> None:
        self.stretches: list[bytes] = []
        self.contents: list[Content] = []  # what the last case of each holds
        self.runs: list[int] = []  # how many stretches each is made of


class PlainCases:
    """Takes the plain cases out of a report, piece by piece; counts them, and makes their rows."""

    def __init__(self, identity: Identity, groups: Groups, marker: bytes, *, rows: bool) -> None:
        self.runs: deque[Run] = deque()  # those whose marker expat has not seen yet
        self._marker = b"<%b/>" % marker
        self._groups = groups
        self._invoking_file = identity.invoking_file
        self._ending = b"," + orjson.dumps(identity._asdict())[1:] + b"\n"
        self._wants_rows = rows
        self._shape: _Shape | None = None
        self._mended: dict[bytes, tuple[bytes, bytes, bytes]] = {}
        self._contents: dict[bytes, Content] = {}

    def take(self, data: bytes) -> bytes:
        """Give what is left for expat of a piece that ends where a case begins, or the file ends."""
        start = data.find(OPEN)
        if start < 0:
            return data
        try:
            found = _Found()
            left = self._look(data, start, self._shape or self._learn(data, start), found)
            if found.stretches:
                self.runs += self._read(found)
        except NotPlainError:
            return data
        return left

    def _learn(self, data: bytes, start: int) -> _Shape:
        case = _CASE.search(data, start)
        if case is None:
            raise NotPlainError
        self._shape = _shape_of(case, data)
        return self._shape

    def _look(self, data: bytes, position: int, shape: _Shape, found: _Found) -> bytes:
        """Find the plain cases; gives the rest, with a marker for each run of them."""
        left = [data[:position]]
        done, in_run = position, False  # up to where everything is found or left
        search = _by_content if data.find(b"testsuite", position) >= 0 else _by_close
        while position >= 0:
            tag, inner = search(data, position)
            following = data.find(OPEN, inner) if inner >= 0 else -1
            end, inside, stretch = 0, EMPTY, b""
            if inner >= 0 and data.startswith(OPEN, tag):
                close = data.find(_CLOSE, inner, following if following >= 0 else len(data))
                if close >= 0 and (told := self._content(data[inner:close])):
                    end, inside, stretch = close + len(_CLOSE), told, data[position : inner - 1] + shape.last
            if not end and (end := data.rfind(b"/>", position, tag) + 2) > 1:
                stretch = data[position:end]
            if stretch:
                between = data[done:position]
                if in_run and not between.strip(_BLANKS):
                    found.runs[-1] += 1
                else:
                    left.append(between + self._marker)
                    found.runs.append(1)
                    in_run = True
                found.stretches.append(stretch)
                found.contents.append(inside)
                done = end
            position = following
        left.append(data[done:])
        return b"".join(left)

    def _content(self, data: bytes) -> Content | None:
        """Read what a case holds; skips are alike, so it remembers the short ones. None for what expat has to read."""
        known = self._contents
        if data in known:
            return known[data]
        try:
            found = content(data)
        except NotPlainError:
            return None
        if len(data) < _LONGEST_REMEMBERED:
            if len(known) >= _MOST_REMEMBERED:
                known.clear()
            known[data] = found
        return found

    def _read(self, found: _Found) -> list[Run]:
        stretches = found.stretches
        shape = self._shape
        if shape is None or not stretches[0].startswith(shape.first):
            shape = self._learn(stretches[0], 0)
        whole = stretches[0] if len(stretches) == 1 else shape.blank.join(stretches)
        width = 2 * len(shape.names)
        parts = whole.split(b'"')
        count, odd = divmod(len(parts) - 1, width)
        sizes = [stretch.count(b"<") for stretch in stretches]
        if odd or sum(sizes) != count:
            raise NotPlainError
        _check_frame(shape, parts, count)
        plain = is_plain(whole, count + (count - 1) * shape.blank.count(b"\n"))
        columns = {name: column(parts[2 * at + 1 :: width], plain=plain) for at, name in enumerate(shape.names)}
        additions = self._mend(columns)
        starts = [0, *accumulate(sizes)]
        contents = {end - 1: inside for end, inside in zip(starts[1:], found.contents, strict=True) if inside.tags}
        if contents:
            additions = additions or [b""] * count
            for at, inside in contents.items():
                additions[at] += inside.json
        self._count(columns, contents, count)
        edges = [starts[at] for at in (0, *accumulate(found.runs))]
        return list(self._runs(columns, additions, contents, edges))

    def _mend(self, columns: dict[bytes, Column]) -> list[bytes] | None:
        """Let a dotted class tell the file where there is none, as `complete` does; gives what each row gets for it."""
        files, classes = columns.get(b"file"), columns.get(b"classname")
        if files is not None:
            if not files.quoted and not _FALSY.isdisjoint(files.values):
                raise NotPlainError
            return None
        if classes is None:
            return None
        mended = self._mended
        if len(mended) > _MOST_REMEMBERED:
            mended.clear()
        for at, classname in enumerate(classes.values):
            if classname not in mended:
                mended[classname] = _mended(classes.json(at))
        found = [mended[classname] for classname in classes.values]
        columns[b"classname"] = Column([classname for classname, _, _ in found], quoted=False)
        columns[_MENDED] = Column([file for _, file, _ in found], quoted=False)
        return [addition for _, _, addition in found]

    def _count(self, columns: dict[bytes, Column], contents: dict[int, Content], count: int) -> None:
        """Add the cases to their groups, which follow each other in a report."""
        nothing = Column([b"null"] * count, quoted=False)
        files, classes = columns.pop(_MENDED, columns.get(b"file", nothing)), columns.get(b"classname", nothing)
        seconds = _seconds(columns.get(b"time"), count)
        edges = sorted({*_changes(files.values), *_changes(classes.values), count})
        told = deque(contents.items())
        start = 0
        for end in edges:
            group = self._groups.of(self._invoking_file, _key(files, start), _key(classes, start))
            group.tests += end - start
            group.time = sum(seconds[start:end], group.time)
            while told and told[0][0] < end:
                _, inside = told.popleft()
                if b"failure" in inside.tags:
                    group.failures += 1
                elif b"error" in inside.tags:
                    group.errors += 1
                elif b"skipped" in inside.tags:
                    group.skipped += 1
            start = end

    def _runs(
        self,
        columns: dict[bytes, Column],
        additions: list[bytes] | None,
        contents: dict[int, Content],
        edges: list[int],
    ) -> Iterator[Run]:
        """Give the runs between these edges, their rows put together a column at a time."""
        failed = [at for at, inside in contents.items() if not inside.tags.isdisjoint((b"failure", b"error", b"rerun"))]
        if not self._wants_rows and not failed:
            yield from (Run(end - start, 0, b"", b"") for start, end in pairwise(edges))
            return
        pieces, filled = _frame(columns, additions, self._ending)
        width = len(pieces)
        rows = pieces * edges[-1]
        for at, values in enumerate(filled):
            rows[2 * at + 1 :: width] = values
        for start, end in pairwise(edges):
            inside = [at for at in failed if start <= at < end]
            yield Run(
                end - start,
                len(inside),
                b"".join(rows[start * width : end * width]) if self._wants_rows else b"",
                b"".join([b"".join(rows[at * width : (at + 1) * width]) for at in inside]),
            )


def _by_content(data: bytes, position: int) -> tuple[int, int]:
    """Give where the next element with content begins, and its content; the end and -1 where there is none."""
    inner = data.find(b'">', position)
    return (data.rfind(b"<", position, inner), inner + 2) if inner >= 0 else (len(data), -1)


def _by_close(data: bytes, position: int) -> tuple[int, int]:
    """Give the same, faster, where only cases have content."""
    close = data.find(_CLOSE, position)
    tag = data.rfind(OPEN, position, close) if close >= 0 else len(data)
    inner = data.find(b'">', tag, close) + 2 if close >= 0 else -1
    if tag < position or inner == 1:
        raise NotPlainError
    return tag, inner


def _shape_of(case: re.Match[bytes], data: bytes) -> _Shape:
    first, *inner, last = case.group().split(b'"')[::2]
    names = [text.rpartition(b" ")[2][:-1] for text in (first, *inner)]
    if len(set(names)) < len(names) or not _RESERVED.isdisjoint(names):
        raise NotPlainError
    following = data.find(b"<", case.end())
    blank = data[case.end() : following] if following >= 0 else b""
    if blank.strip(b" \n"):
        raise NotPlainError
    return _Shape(tuple(names), first, tuple(inner), last, blank)


def _check_frame(shape: _Shape, parts: list[bytes], count: int) -> None:
    """Check that around their values all cases are the same."""
    width = 2 * len(shape.names)
    between = shape.last + shape.blank + shape.first
    same = (
        parts[0] == shape.first
        and parts[-1] == shape.last
        and parts[width:-1:width] == [between] * (count - 1)
        and all(parts[2 * at :: width] == [text] * count for at, text in enumerate(shape.inner, 1))
    )
    if not same:
        raise NotPlainError


def _changes(values: Sequence[bytes]) -> Iterable[int]:
    """Give the places where a value is another than the one before it."""
    return compress(range(1, len(values)), map(ne, values, islice(values, 1, None)))


def _frame(
    columns: dict[bytes, Column], additions: list[bytes] | None, ending: bytes
) -> tuple[list[bytes], list[Sequence[bytes]]]:
    """Give one row with a gap for each value, and what fills the gaps."""
    pieces: list[bytes] = []
    filled: list[Sequence[bytes]] = []
    before = b"{"
    for name, found in columns.items():
        quote = b'"' * found.quoted
        pieces += [b'%b"%b":%b' % (before, name, quote), b""]
        filled.append(found.values)
        before = quote + b","
    before = before[:-1]
    if additions is not None:
        pieces += [before, b""]
        filled.append(additions)
        before = b""
    return [*pieces, before + ending], filled


def _mended(classname: bytes) -> tuple[bytes, bytes, bytes]:
    """Give class and file as JSON, and what the row gets for the latter."""
    both = file_and_class(None, orjson.loads(classname))
    if both is None:
        return classname, b"null", b""
    file, classname = dump(both[0]), dump(both[1])
    return classname, file, b',"file":%b' % file


def _key(column: Column, index: int) -> bytes:
    """Give one value as the JSON that every equal value has."""
    return column.json(index) if column.quoted else dump(json.loads(column.values[index]))


def _seconds(times: Column | None, count: int) -> list[float]:
    if times is None:
        return [0.0] * count
    if times.quoted:
        return [duration(time.decode()) for time in times.values]
    try:
        found = list(map(float, times.values))
    except ValueError:  # one is text, in quotes
        return [duration(orjson.loads(time)) for time in times.values]
    if max(found) > LONGEST_SECONDS or min(found) < -LONGEST_SECONDS:
        return [duration(time) for time in found]
    return found
