"""The reader beside xml.etree and lxml: on valid documents it reads what they read; what they doubt it refuses."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oot_runner import junit
from oot_runner import junit_cases as cases
from oot_runner import junit_reader as reader

if TYPE_CHECKING:
    import random

lxml_etree: Any = pytest.importorskip("lxml.etree")
SAMPLES = sorted((Path(__file__).parent / "junit_samples").glob("*.xml"))

# What XML permits, with what looks like markup, references to control characters and ends of sections in it.
TEXT = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), max_size=8),
        st.sampled_from(["&#27;", "<testcase/>", "]]", "&amp;", "\n", "\t", "😀", "<![CDATA[", "-->"]),
    ),
    max_size=4,
).map("".join)


def as_section(text: str) -> str:
    return "<![CDATA[" + text.replace("]]>", "]]]]><![CDATA[>") + "]]>"


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A valid report."""
    parts = ['<?xml version="1.0"?><testsuites><!-- &#27; <testcase/> --><testsuite name="s">']
    for number in range(draw(st.integers(1, 6))):
        name, text = quoteattr(draw(TEXT)).replace("\n", "&#10;").replace("\t", "&#9;"), draw(TEXT)
        inside = as_section(text) if draw(st.booleans()) else escape(text)
        tag = draw(st.sampled_from(["failure", "error", "skipped", "system-out", ""]))
        content = f"<{tag} message={name}>{inside}</{tag}>" if tag else ""
        parts.append(
            f'<testcase name={name} classname="c{number}">{content}</testcase>{draw(st.sampled_from(["", " "]))}'
        )
    return "".join([*parts, "</testsuite></testsuites>"])


def ours(data: bytes) -> list[tuple[dict[str, str], list[tuple[str, dict[str, str], str]]]]:
    found = []
    for batch in reader.read(io.BytesIO(data)):
        for segment in batch.segments:
            for attributes, content in segment.cases:
                children = content.children if content is not None else ()
                found.append((attributes, [(each.tag, each.attributes, each.text) for each in children]))
    return found


def theirs(root: Any) -> list[tuple[dict[str, str], list[tuple[str, dict[str, str], str]]]]:
    """Return the same of an element tree; text that is blank says nothing."""
    return [
        (
            dict(case.attrib),
            [(each.tag, dict(each.attrib), each.text if (each.text or "").strip() else "") for each in case],
        )
        for case in root.iter("testcase")
    ]


@given(documents(), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), st.sampled_from([7, 1_000, 32_768]))
def test_a_valid_document_is_read_as_others_read_it(document: str, encoding: str, piece: int) -> None:
    data = document.encode(encoding)
    expected = theirs(ET.fromstring(data))  # noqa: S314 - made here
    assert theirs(lxml_etree.fromstring(data)) == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "PIECE_BYTES", piece)
        assert ours(data) == expected


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_a_producer_s_report_is_read_as_others_read_it(sample: Path) -> None:
    data = sample.read_bytes().lstrip()
    assert ours(data) == theirs(ET.fromstring(data)) == theirs(lxml_etree.fromstring(data))  # noqa: S314 - ours


CASE = '<testcase name="a"/>'


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (f'<!DOCTYPE t [<!ENTITY c "{CASE}">]><testsuite>&c;</testsuite>', "doctype"),  # lxml counts one, etree too
        (f'<!DOCTYPE t [<!ATTLIST testcase status CDATA "failed">]><testsuite>{CASE}</testsuite>', "doctype"),
        (f"<!DOCTYPE t SYSTEM 'file:///etc/passwd'><testsuite>{CASE}</testsuite>", "doctype"),
        (f"<testsuite>{CASE}</testsuite><testsuite>{CASE}</testsuite>", "malformed_xml"),
        ('<testsuite><testcase name="a" name="b"/></testsuite>', "malformed_xml"),
        ('<testsuite><testcase name="a" x:name="b"/></testsuite>', "malformed_xml"),  # the prefix is bound to nothing
        ("<testsuite><x:testcase/></testsuite>", "malformed_xml"),
        ("<testsuite><testcase name='a'><testcase name='b'><failure/></testcase></testcase></testsuite>",
         "nested_test_cases"),
        ("<testsuite><system-out><testcase name='b'/></system-out></testsuite>", "nested_test_cases"),
        (f"<testsuite>{CASE}]]>{CASE}</testsuite>", "malformed_xml"),
        (f"<testsuite><!-- a -- b -->{CASE}</testsuite>", "malformed_xml"),
        (f"<testsuite>{CASE}", "cut_off"),
        (f"<html><body>{CASE}</body></html>", "not_junit"),
    ],
)  # fmt: skip
def test_what_others_refuse_or_may_read_otherwise_is_refused(document: str, code: str) -> None:
    with pytest.raises(reader.ParseError) as caught:
        ours(document.encode())
    assert caught.value.code == code


OUTCOMES = {"passed": "", "failures": "<failure/>", "errors": "<error/>", "skipped": "<skipped/>"}


@st.composite
def exact_suites(draw: st.DrawFn, depth: int = 2) -> tuple[str, dict[str, int]]:
    """A suite that states exactly what it and the suites in it hold, whatever names its tests share."""
    counts = dict.fromkeys(OUTCOMES, 0)
    inside = []
    for outcome in draw(st.lists(st.sampled_from(sorted(OUTCOMES)), max_size=6)):
        counts[outcome] += 1
        name = draw(st.sampled_from(["a", "b", ""]))
        inside.append(f'<testcase name="{name}">{OUTCOMES[outcome]}</testcase>')
    for _ in range(draw(st.integers(0, 2)) if depth else 0):
        xml, its = draw(exact_suites(depth - 1))
        counts = {name: counts[name] + its[name] for name in counts}
        inside.append(xml)
    order = draw(st.randoms(use_true_random=False))
    order.shuffle(inside)
    stated = f'tests="{sum(counts.values())}" ' + " ".join(f'{name}="{counts[name]}"' for name in list(counts)[1:])
    return f'<testsuite name="s" {stated}>{"".join(inside)}</testsuite>', counts


@given(exact_suites(), st.randoms(use_true_random=False))
def test_where_suites_state_what_they_hold_totals_are_their_sum(
    suite: tuple[str, dict[str, int]], order: random.Random
) -> None:
    xml, counts = suite
    report = junit.Report()
    report.add(io.BytesIO(xml.encode()))
    assert (report.passed, report.failed, report.errors, report.skipped, report.flaky) == (
        counts["passed"],
        counts["failures"] + counts["errors"],
        counts["errors"],
        counts["skipped"],
        0,
    )
    assert report.total == sum(counts.values())
    assert len(report.failed_tests) == report.failed
    assert report.remarks == []


def test_text_between_test_cases_is_nobody_s() -> None:
    assert ours(b"<testsuite>x<testcase>y</testcase>z</testsuite>") == [({}, [])]
    assert cases.status({}, []) == "success"
