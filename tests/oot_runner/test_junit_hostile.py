"""What a JUnit file may hold and still count, what is refused and how it is told, and what reading it may cost."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oot_runner import junit
from oot_runner import junit_cases as cases
from oot_runner import junit_reader as reader

HEAD = b'<?xml version="1.0" encoding="%s"?>'
CASE = '<testsuite><testcase name="%s"><failure message="%s">%s</failure></testcase></testsuite>'


class Case(NamedTuple):
    """A test case as it was read."""

    name: str
    status: str
    text: str  # of what tells how it ended


def read_stream(stream: io.BytesIO, **limits: int) -> list[Case]:
    found = []
    for batch in reader.read(stream, "report.xml", limits=reader.Limits(**limits)):
        for segment in batch.segments:
            for attributes, content in segment.cases:
                told = cases.results(content)
                text = "".join(map(cases.text_of, told))
                found.append(Case(attributes.get("name", ""), cases.status(attributes, told), text))
    return found


def read(data: bytes, **limits: int) -> list[Case]:
    return read_stream(io.BytesIO(data), **limits)


def refusal(data: bytes, **limits: int) -> reader.ParseError:
    with pytest.raises(reader.ParseError) as raised:
        read(data, **limits)
    return raised.value


class InBytes(io.BytesIO):
    """Gives one byte a read: every boundary between two chunks."""

    def read(self, _size: int | None = -1, /) -> bytes:
        return super().read(1)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (CASE.encode("utf-8-sig") % (b"\xc3\xa9", b"", b""), "é"),
        ((CASE % ("é😀", "", "")).encode("utf-16"), "é😀"),
        (b"\xff\xfe" + ('<?xml version="1.0" encoding="utf-16"?>' + CASE % ("é", "", "")).encode("utf-16-le"), "é"),
        (b"\xfe\xff" + (CASE % ("é", "", "")).encode("utf-16-be"), "é"),
        ((CASE % ("é", "", "")).encode("utf-16-le"), "é"),
        ((CASE % ("é", "", "")).encode("utf-16-be"), "é"),
        (HEAD % b"utf-16" + (CASE % ("é", "", "")).encode(), "é"),  # .NET writes so: it meant its strings
        (HEAD % b"US-ASCII" + (CASE % ("é", "", "")).encode(), "é"),
        (HEAD % b"ISO-8859-1" + (CASE % ("é", "", "")).encode("latin-1"), "é"),
        (HEAD % b"windows-1252" + (CASE % ("€", "", "")).encode("cp1252"), "€"),
        (HEAD % b"GB18030" + (CASE % ("漢", "", "")).encode("gb18030"), "漢"),
        (HEAD % b"UTF-8" + (CASE % ("a", "", "")).encode().replace(b'"a"', b'"a\xff\xc3"'), "a\ufffd\ufffd"),
    ],
)
def test_every_encoding_that_producers_use_is_read(data: bytes, name: str) -> None:
    assert [case.name for case in read(data)] == [name]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\x1b[31mred\x1b[0m", "[31mred[0m"),
        (b"a\x00b\x01c\x0bd\x0ce\x1ff", "abcdef"),
        (b"&#x1b;[31m&#27;&#0;&#x0;&#x1F;", "[31m"),
        (b"&#xD800;&#xFFFE;&#65535;&#x110000;a", "a"),
        ("a\ufffeb\uffffc".encode(), "abc"),
        (b"&#9;&#10;&#x41;&#x1F600;", "\t\nA😀"),
        (b"&lt;&gt;&amp;&quot;&apos;", "<>&\"'"),
        (b"\x7f\xc2\x85", "\x7f\x85"),
    ],
)
def test_characters_that_xml_forbids_are_dropped_and_lose_no_file(raw: bytes, text: str) -> None:
    data = b'<testsuite><testcase name="' + raw + b'"><failure message="' + raw + b'">x' + raw + b"</failure>"
    data += b"</testcase><!-- \x1b --><system-out><![CDATA[\x1b]]></system-out></testsuite>"
    for stream in (io.BytesIO(data), InBytes(data)):
        (case,) = read_stream(stream)
        spaced = text.replace("\t", " ").replace("\n", " ") if b"&#" not in raw else text
        assert case.name == spaced
        assert case.text == "x" + text


def test_cdata_is_text_even_where_it_looks_like_xml() -> None:
    failure = b"<failure><![CDATA[</failure> & <error/> ]]]]><![CDATA[>]]></failure>"
    (case,) = read(b"<testsuite><testcase>" + failure + b"</testcase></testsuite>")
    assert (case.status, case.text) == ("failure", "</failure> & <error/> ]]>")


@pytest.mark.parametrize(
    "xml",
    [
        '<testsuites xmlns="urn:j"><testsuite><testcase name="t"><failure/></testcase></testsuite></testsuites>',
        '<j:testsuite xmlns:j="urn:j"><j:testcase name="t"><j:failure/></j:testcase></j:testsuite>',
        '<testsuite xmlns:xsi="x" xsi:schema="y"><testcase name="t" xsi:name="u"><failure/></testcase></testsuite>',
        '<?xml-stylesheet href="x"?><!-- c --><testsuite><testcase name="t"><?p?><failure/></testcase></testsuite>',
    ],
)
def test_namespaces_and_processing_instructions_do_not_hide_cases(xml: str) -> None:
    assert [(case.name, case.status) for case in read(xml.encode())] == [("t", "failure")]


BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><testsuite><testcase name="&b;"/></testsuite>'


@pytest.mark.parametrize(
    ("data", "line", "reason"),
    [
        (b"", 1, "the file is empty: look in the job's log"),
        (b"\n\n", 3, "the file is empty"),
        (b"\xef\xbb\xbf", 1, "the file is empty"),
        (HEAD % b"utf-8", 1, "the file is empty"),
        (b"<testsuite>\n<testcase/>\n<testcase>\n", 4, "the report breaks off after 1 test cases"),
        (b"<testsuite>\n<testcase/>\n<testcase name='", 3, "the report breaks off after 1 test cases"),
        (b"<testsuite><testcase><failure><![CDATA[x", 1, "the report breaks off after 0 test cases"),
        ((CASE % ("a", "b", "c")).encode("utf-16")[:-3], 1, "the report breaks off"),
        (b"<testsuite>\n<testcase name=>", 2, "malformed XML at column 16, after 0 test cases (not well-formed"),
        (b"<testsuite><testcase></testsuite>", 1, "malformed XML at column 24, after 0 test cases (mismatched tag)"),
        (b"<testsuite/><testsuite/>", 1, "malformed XML at column 13, after 0 test cases (junk after document"),
        (
            b"<testsuite><testcase name='&nbsp;'/></testsuite>",
            1,
            "malformed XML at column 12, after 0 test cases (undef",
        ),
        (b"<testsuite><testcase a='1' a='2'/></testsuite>", 1, "malformed XML at column 28"),
        (b'{"tests": 1}', 1, "this is not XML"),
        (b"\x1f\x8b\x08\x00\x00", 1, "this is not XML"),
        (b"PK\x03\x04", 1, "this is not XML"),
        (b"<!doctype html><html></html>", 1, "this is not XML"),
        (b"<html/>", 1, "the root element is <html>, not <testsuites> or <testsuite>: not JUnit XML"),
        (b"<coverage><testcase/></coverage>", 1, "the root element is <coverage>"),
        (b"<testsuite><testcase><testcase/></testcase></testsuite>", 1, "a <testcase> is inside another"),
        (BOMB, 1, "a DOCTYPE is not allowed"),
        (b'<?xml version="1.0"?>\n<!DOCTYPE testsuite SYSTEM "file:///etc/passwd"><testsuite/>', 2, "a DOCTYPE is not"),
        (BOMB.decode().encode("utf-16"), 1, "a DOCTYPE is not allowed"),
        (HEAD % b"utf-7" + b"<testsuite/>", 1, "the encoding utf-7 is not read here; write the report as UTF-8"),
        (HEAD % b"punycode" + b"<testsuite/>", 1, "the encoding punycode is not read here"),
        (HEAD % b"rot13" + b"<testsuite/>", 1, "the encoding rot13 is not read here"),
        (HEAD % b"no-such" + b"<testsuite/>", 1, "the encoding no-such is not read here"),
        (b"<testsuite>" + b"<a>" * 200, 1, "elements are nested more than 100 deep"),
        (b"<testsuite>" * 200, 1, "elements are nested more than 100 deep"),
        (b"<testsuite><testcase><failure>" + b"<failure>" * 200, 1, "elements are nested more than 100 deep"),
        (b"<testsuite>" + b"".join(b"<a%d/>" % n for n in range(20_000)), 1, "there are more than 10,000 different"),
        (
            b"<testsuite " + b"".join(b'a%d="" ' % n for n in range(900_000)),
            1,
            "a tag or comment is larger than 4,194,304",
        ),
        (b"<testsuite><testcase name='" + b"x" * 5_000_000, 1, "a tag or comment is larger than 4,194,304"),
        (b"<testsuite>\n<!--" + b"x" * 5_000_000, 2, "a tag or comment is larger than 4,194,304"),
        (b"<testsuite>\n<?x " + b"x" * 5_000_000, 2, "a tag or comment is larger than 4,194,304"),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, (bytes, str)) else str(value),
)
def test_what_is_refused_says_what_is_wrong_and_where(data: bytes, line: int, reason: str) -> None:
    error = refusal(data)
    assert error.reason.startswith(reason)
    assert (error.file, error.line) == ("report.xml", line)
    assert str(error) == f"report.xml:{line}: {error.reason}"


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"file_bytes": 400_000}, "the file is larger than 400,000 bytes"),
        ({"depth": 1}, "elements are nested more than 1 deep"),
        ({"token_bytes": 1_000}, "a tag or comment is larger than 1,000 bytes"),
        ({"names": 3}, "there are more than 3 different element and attribute names"),
    ],
)
def test_each_limit_is_settable(limits: dict[str, int], reason: str) -> None:
    data = b"<testsuites><testsuite>" + b'<testcase name="the name of a test"/>\n' * 10_000
    data += b'<testcase name="' + b"x" * 200_000 + b'"/></testsuite></testsuites>'
    assert len(read(data)) == 10_001
    assert refusal(data, **limits).reason.startswith(reason)


@pytest.mark.parametrize("size", [100, 5_000, 500_000])
@pytest.mark.parametrize("inside", ["<failure>{}</failure>", "<failure><b>{}</b></failure>", "<failure/>{}", "{}"])
def test_a_test_case_is_kept_up_to_the_limit_and_a_piece(inside: str, size: int) -> None:
    xml = f"<testsuite><testcase>{inside.format('x&lt;' * size)}</testcase><testcase name='last'/></testsuite>"
    (first, last) = (
        case for batch in reader.read(io.BytesIO(xml.encode())) for s in batch.segments for case in s.cases
    )
    assert last == ({"name": "last"}, None)
    content = first[1]
    assert content is not None
    (kept,) = filter(
        None, (content.text, *(child.tail for child in content.children), *map(cases.text_of, content.children))
    )
    assert ("x<" * size).startswith(kept)
    assert content.is_cut == (len(kept) < 2 * size) == (size == 500_000)
    assert len(kept) >= min(2 * size, reader.DEFAULT_LIMITS.case_bytes * 2 // 5)


def test_how_a_test_ended_is_kept_beyond_the_limit() -> None:
    """After a megabyte of output, or thousands of elements."""
    for before in ("<system-out>" + "x" * 2 * 1024**2 + "</system-out>", "<properties/>" * 20_000):
        failure = f'<failure message="{"m" * 5_000}" other="o">text</failure>'
        report = junit.Report()
        xml = f"<testsuite><testcase name='t'>{before}{failure}</testcase></testsuite>"
        assert report.add(io.BytesIO(xml.encode())).failed == 1
        assert report.failed_tests[0].message == "m" * 1024


@pytest.mark.timeout(20)  # it takes a second or two; joining what is new to what was there would take hours
def test_a_text_in_a_million_sections_costs_no_more_than_its_size() -> None:
    xml = b"<testsuite><testcase><failure>" + b"<![CDATA[x]]>" * 500_000 + b"</failure></testcase></testsuite>"
    assert read(xml)[0].status == "failure"


def test_a_message_as_large_as_a_tag_may_be_is_cut_too() -> None:
    report = junit.Report()
    report.add(io.BytesIO((CASE % ("n" * 1_000_000, "m" * 1_000_000, "")).encode()), "report.xml")
    (test,) = report.failed_tests
    assert (len(test.name), len(test.message)) == (512, 1024)


def test_an_unreadable_path_is_a_parse_error(tmp_path: Path) -> None:
    with pytest.raises(reader.ParseError, match=r"absent\.xml: the file cannot be read: No such file") as raised:
        list(reader.read(tmp_path / "absent.xml"))
    assert raised.value.line == 0


DAMAGE = st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=4)), max_size=4)
WHOLE = b'<?xml version="1.0"?>\n' + (CASE % ("a", "b", "c")).encode()


@given(DAMAGE, st.booleans())
@example(damage=[(0, b"\xff\xfe")], wide=False)
@example(damage=[(0, b"\x00<")], wide=False)
@example(damage=[(36, b"&#27")], wide=False)
def test_any_bytes_give_cases_or_a_parse_error(damage: list[tuple[int, bytes]], wide: bool) -> None:  # noqa: FBT001
    data = WHOLE.decode().encode("utf-16") if wide else WHOLE
    for position, replacement in damage:
        data = data[:position] + replacement + data[position + len(replacement) :]
    report = junit.Report()
    for stream in (io.BytesIO(data), InBytes(data)):
        report.add(stream, "report.xml")
    whole, in_bytes = report.fates
    assert (whole.total, bool(whole.reason)) == (in_bytes.total, bool(in_bytes.reason))


MEASURE = """
import io, pathlib, sys
from oot_runner import junit

class Made(io.RawIOBase):
    def __init__(self, pieces):
        self.pieces, self.rest, self.size = pieces, b"", 0
    def read(self, size=-1):
        while len(self.rest) < size:
            piece = next(self.pieces, None)
            if piece is None:
                break
            self.rest += piece
        data, self.rest = self.rest[:size], self.rest[size:]
        self.size += len(data)
        return data

def made():
    yield b"<testsuites>"
    for suite in range(20):
        yield b"<testsuite>"
        for number in range(5_000):
            yield b'<testcase classname="tests.test_ops.TestOps" name="test_op_%d" time="0.01">' % number
            yield b'<failure message="m">'
            yield b"trace \\x1b[31m &lt; &#x1b; \\n" * 8 + b"</failure></testcase>"
        yield b"<system-out>" + b"output &amp; more\\n" * 40_000 + b"</system-out><system-out><![CDATA["
        yield b"\\x00 output " * 50_000 + b"]]></system-out></testsuite>"
    yield b"</testsuites>"

stream = Made(made())
report = junit.Report()
assert report.add(stream, "made").reason == ""
peak = pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
print(report.total, len(report.failed_tests), stream.size, int(peak) * 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc: rusage holds pytest's")
def test_memory_does_not_grow_with_the_file() -> None:
    command = [sys.executable, "-c", MEASURE]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    total, kept, size, peak = map(int, done.stdout.split())
    assert (total, kept) == (100_000, 1000)
    assert size > 50 * 1024**2
    assert peak < 64 * 1024**2
