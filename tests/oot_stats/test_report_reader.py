"""A report becomes pytorch's rows and sums, and is refused where the reader refuses it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oot_stats.reading import groups
from oot_stats.reading import report as report_reader
from oot_stats.reading.case_rows import Identity
from oot_stats.reasons import RejectedError
from tests.oot_stats import reference
from tests.oot_stats.reports import reports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WHOSE = Identity("240", 1, 7, "test_ops")
DECLARED = '<?xml version="1.0" encoding="{}"?>'


class Rows:
    """A sink that keeps what it gets."""

    def __init__(self, *, wants_all: bool = True) -> None:
        self.wants_all = wants_all
        self.lines = {"all": b"", "failed": b""}

    def all(self, lines: bytes) -> None:
        self.lines["all"] += lines

    def failed(self, lines: bytes) -> None:
        self.lines["failed"] += lines

    def rows(self, which: str = "all") -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines[which].splitlines()]


def read(report: bytes | str, *, piece: int = 1000, wants_all: bool = True) -> Any:
    data = report.encode() if isinstance(report, str) else report

    def pieces() -> Iterator[bytes]:
        stream = io.BytesIO(data)
        while found := stream.read(piece):
            yield found

    rows = Rows(wants_all=wants_all)
    return report_reader.read_report(pieces(), WHOSE, rows), rows


def refused(report: bytes | str, **told: Any) -> str:
    with pytest.raises(RejectedError) as caught:
        read(report, **told)
    assert caught.value.detail.endswith(".")
    return caught.value.code


def suite(inside: str) -> str:
    return f'<testsuite name="s">{inside}</testsuite>'


def one(case: str) -> dict[str, Any]:
    _, rows = read(suite(case))
    (row,) = rows.rows()
    return {name: value for name, value in row.items() if name not in reference.WHOSE}


# --- the rows


@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(reports(), st.sampled_from([13, 300, 100_000]))
def test_rows_and_sums_are_those_of_pytorch_s_script(report: bytes, piece: int) -> None:
    """Whatever the report, and wherever it is cut on its way. What ElementTree refuses is refused, or mended."""
    try:
        expected = list(reference.rows(report))
    except (ET.ParseError, LookupError, ValueError):
        with suppress(RejectedError):
            read(report, piece=piece)
        return
    if not expected:
        assert refused(report, piece=piece) == "no_test_cases"
        return
    told, rows = read(report, piece=piece)
    assert rows.rows() == expected
    failed = [row for row in expected if row.keys() & {"failure", "error", "rerun"}]
    assert rows.rows("failed") == failed
    assert (told.cases, told.failed) == (len(expected), len(failed))
    assert sums([json.loads(line) for line in told.groups.rows(WHOSE)]) == sums(reference.summary(expected))
    fewer, without = read(report, piece=piece, wants_all=False)
    assert without.lines == {"all": b"", "failed": rows.lines["failed"]}
    assert fewer.groups.rows(WHOSE) == told.groups.rows(WHOSE)


def sums(groups: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps({**group, "time": round(group["time"], 6)}, sort_keys=True) for group in groups)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("0.5", 0.5),
        ("-3", -3),
        ("1e3", 1000.0),
        ("007", 7),
        ("1_000", 1000),
        (" 7 ", 7),
        ("٣", "٣"),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("nan", "nan"),
        ("NaN", "NaN"),
        ("inf", "inf"),
        ("-Infinity", "-Infinity"),
        ("1e999", "1e999"),
        ("1" * 5000, "1" * 5000),
        ("", ""),
        ("1,5", "1,5"),
        ("0x10", "0x10"),
        ("test_nan", "test_nan"),
    ],
)
@pytest.mark.parametrize("count", [1, 5])
def test_numbers_and_what_only_looks_like_one(text: str, value: Any, count: int) -> None:
    _, rows = read(suite(f'<testcase name="{text}" classname="A"/>\n' * count))
    assert [row["name"] for row in rows.rows()] == [value] * count


@pytest.mark.parametrize(
    ("case", "row"),
    [
        ('<testcase name="a"><x>1</x><x>2</x></testcase>', {"name": "a", "x": [{"text": "1"}, {"text": "2"}]}),
        ('<testcase name="a"><name v="1"/></testcase>', {"name": ["a", {"v": 1}]}),
        ('<testcase name="a">t<x/>u</testcase>', {"name": "a", "text": "t", "x": {"tail": "u"}}),
        ('<testcase name="a"/> after', {"name": "a"}),
        ('<testcase name="a"> <x/> </testcase>', {"name": "a", "x": {}}),
        (
            '<testcase name="a"><skipped message="x"/><skipped message="y"/></testcase>',
            {"name": "a", "skipped": [{"message": "x"}, {"message": "y"}]},
        ),
        (
            '<testcase name="a"><properties><property name="p" value="1"/></properties></testcase>',
            {"name": "a", "properties": {"property": {"name": "p", "value": 1}}},
        ),
        (
            '<testcase classname="test.test_ops.TestA" name="a"/>',
            {"classname": "TestA", "file": "test_ops.py", "name": "a"},
        ),
        ('<testcase classname="a.b.C" name="a" file=""/>', {"classname": "C", "file": "a/b.py", "name": "a"}),
        ('<testcase classname="a.b.C" name="a" file="x.py"/>', {"classname": "a.b.C", "file": "x.py", "name": "a"}),
        ('<testcase classname=".C" name="a"/>', {"classname": ".C", "name": "a"}),
    ],
)
def test_elements(case: str, row: dict[str, Any]) -> None:
    assert one(case) == row


def test_whose_it_is_stands_above_what_it_says() -> None:
    _, rows = read(suite('<testcase name="a" job_id="999" workflow_id="1" invoking_file="x"/>'))
    assert reference.WHOSE.items() <= rows.rows()[0].items()


@pytest.mark.parametrize("child", ["failure", "error", "rerun"])
def test_failed_rows(child: str) -> None:
    for inside in (f"<{child}/>", f"<{child}/><{child}/>", f"<skipped/><{child}>t</{child}>"):
        told, rows = read(suite(f'<testcase name="ok"/><testcase name="bad">{inside}</testcase>'))
        assert [row["name"] for row in rows.rows("failed")] == ["bad"]
        assert told.failed == 1


@pytest.mark.parametrize(
    ("time", "seconds"),
    [("1.5", 1.5), ("1,234.5", 1234.5), ("0,5", 0.5), ("nan", 0), ("soon", 0), ("-1", 0), ("1e300", 0), ("", 0)],
)
def test_a_time_that_is_no_number_breaks_no_sum(time: str, seconds: float) -> None:
    told, _ = read(suite(f'<testcase name="a" time="{time}"/><testcase name="b" time="2"/>'))
    (group,) = [json.loads(line) for line in told.groups.rows(WHOSE)]
    assert (group["tests"], group["time"]) == (2, 2 + seconds)


@pytest.mark.parametrize(
    ("inside", "recognised"),
    [
        ("""<skipped message='{"num_red": 3, "num_green": 47}'/>""", True),
        ("""<skipped message="{&quot;num_red&quot;: 3}">x</skipped>""", True),
        ("<skipped message='a'/><skipped message='num_red'/>", True),
        ("<skipped message='no GPU'/>", False),
        ("<failure message='num_red'/>", False),
    ],
)
def test_reruns_of_disabled_tests_are_recognised(inside: str, recognised: bool) -> None:  # noqa: FBT001 - a table
    told, _ = read(suite(f'<testcase name="a"/>\n<testcase name="b">{inside}</testcase>'))
    assert told.reruns_of_disabled is recognised


def test_what_is_too_large_for_a_row_is_cut() -> None:
    huge = "x" * 3_000_000
    told, rows = read(suite(f'<testcase name="a" b="{huge}"><failure>{huge}</failure></testcase>'), piece=100_000)
    (row,) = rows.rows()
    assert huge.startswith(row["failure"]["text"])
    assert 900_000 < len(row["failure"]["text"]) < 1_200_000
    assert row["b"] == huge[:65_536]
    assert told.cut == 1


# --- encodings and markup that carry no meaning


@pytest.mark.parametrize(
    "report",
    [
        suite('<testcase name="é"/>').encode(),
        b"\xef\xbb\xbf" + suite('<testcase name="é"/>').encode(),
        (DECLARED.format("iso-8859-1") + suite('<testcase name="é"/>')).encode("latin-1"),
        (DECLARED.format("windows-1252") + suite('<testcase name="é"/>')).encode("cp1252"),
        (DECLARED.format("utf-16") + suite('<testcase name="é"/>')).encode("utf-16"),
        (DECLARED.format("us-ascii") + suite('<testcase name="&#233;"/>')).encode(),
        (DECLARED.format("gb18030") + suite('<testcase name="é"/>')).encode("gb18030"),
    ],
)
def test_encodings(report: bytes) -> None:
    for piece in (1, 1000):
        _, rows = read(report, piece=piece)
        assert [row["name"] for row in rows.rows()] == ["é"]


def test_a_case_in_a_comment_or_a_text_is_none() -> None:
    hidden = '<testcase name="hidden" />'
    report = suite(
        f"<testcase name='a'/><!-- {hidden} -->{hidden.replace('hidden', 'b')}"
        f"<system-out><![CDATA[{hidden}]]></system-out>"
    )
    _, rows = read(report)
    assert [row["name"] for row in rows.rows()] == ["a", "b"]


def test_a_namespace_hides_no_case() -> None:
    _, rows = read('<testsuite xmlns="urn:x"><testcase name="a"><failure/></testcase></testsuite>')
    assert rows.rows()[0]["failure"] == {}


# --- what is refused


def test_a_job_has_only_so_many_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "MOST_GROUPS", 2)
    assert refused(suite("".join(f'<testcase classname="C{n}" name="a"/>' for n in range(3)))) == "too_many_groups"


def test_a_refusal_says_where() -> None:
    with pytest.raises(RejectedError) as caught:
        read(
            "<testsuite>\n<testcase name='a'/>\n" + '<testcase name="b"/>\n' * 5 + "<testcase name=oops/>\n</testsuite>"
        )
    assert caught.value.code == "malformed_xml"
    assert caught.value.detail.startswith("Line 8: malformed XML at column")
    assert "after 6 test cases" in caught.value.detail


@pytest.mark.parametrize("kind", ["pytest", "unittest"])
def test_a_real_producer_s_report(kind: str, tmp_path: Path) -> None:
    """Its rows are those of pytorch's script; its counts are what really happened."""
    tests = tmp_path / "test_real.py"
    tests.write_text(
        "import unittest\nclass TestReal(unittest.TestCase):\n"
        "    def test_ok(self): pass\n    def test_fails(self): self.assertEqual(1, 2, '<&>\\x1b[31m')\n"
        "    def test_errors(self): raise RuntimeError('é')\n"
        "    @unittest.skip('not here')\n    def test_skipped(self): pass\n"
    )
    out = tmp_path / "reports"
    command = {
        "pytest": ["pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={out / 'junit.xml'}", str(tests)],
        "unittest": ["xmlrunner", "-o", str(out), "test_real"],
    }[kind]
    subprocess.run([sys.executable, "-m", *command], cwd=tmp_path, check=False, capture_output=True)
    (path,) = out.glob("*.xml")
    told, rows = read(path.read_bytes())
    assert rows.rows() == list(reference.rows(path.read_bytes()))
    groups = [json.loads(line) for line in told.groups.rows(WHOSE)]
    counted = {name: sum(group[name] for group in groups) for name in ("tests", "skipped", "successes")}
    assert counted == {"tests": 4, "skipped": 1, "successes": 1}
    assert told.failed == 2
