"""What the summary of JUnit files says: each dialect, attempts, counts, caps, and the command line."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oot_runner import junit
from oot_runner import junit_cases as cases
from oot_runner import junit_reader as reader
from oot_runner.junit_counting import SlowTest
from oot_runner.text import cut_name

SAMPLES = Path(__file__).parent / "junit_samples"
RUNNER = Path(junit.__file__).parent
COUNTS = ("total", "passed", "failed", "errors", "skipped", "flaky")


def report_of(xml: str | bytes, **options: int) -> junit.Report:
    report = junit.Report(**options)
    fate = report.add(io.BytesIO(xml.encode() if isinstance(xml, str) else xml), "report.xml")
    assert fate.reason == ""
    return report


def the_case(xml: str) -> tuple[str, bool]:
    """How the one test case in a report ended, and whether it tells of attempts that failed before."""
    ((attributes, content),) = (
        case for batch in reader.read(io.BytesIO(xml.encode())) for segment in batch.segments for case in segment.cases
    )
    told = cases.results(content)
    status = cases.status(attributes, told)
    return status, status == cases.SUCCESS and cases.has_failed_attempts(told)


def counts(report: junit.Report) -> tuple[int, ...]:
    return tuple(getattr(report, name) for name in COUNTS)


def suite(*test_cases: str, attributes: str = "") -> str:
    return f"<testsuites><testsuite {attributes}>{''.join(test_cases)}</testsuite></testsuites>"


DIALECTS: list[tuple[str, tuple[int, ...], list[str] | None]] = [
    # total, passed, failed (with errors), errors, skipped, flaky
    ("bazel", (1, 0, 1, 1, 0, 0), ["c10/npu/stream_test"]),
    ("catch2", (4, 1, 2, 1, 1, 0), ["adds/small", "throws"]),
    ("ctest", (5, 1, 2, 0, 2, 0), ["copy", "timeout"]),
    ("go_junit_report", (4, 2, 1, 0, 1, 0), ["TestTwo"]),
    ("gtest", (4, 1, 1, 0, 2, 0), ["Wait"]),
    ("jest", (4, 1, 2, 1, 1, 0), ["hud page links", "broken.test.ts"]),
    ("mocha", (3, 1, 1, 0, 1, 0), ["api refuses"]),
    ("nextest", (3, 2, 1, 0, 0, 1), ["tests::broken"]),
    # Written by pytest 9.2 with pytest-rerunfailures 16.7: two tests passed in a later attempt. pytest counts a test
    # that passed and whose teardown then failed as passed and as an error.
    (
        "pytest_rerunfailures",
        (11, 5, 5, 3, 1, 2),
        ["test_broken", "test_td", "test_td_fail", "test_td_fail", "test_setup"],
    ),
    # Written by pytest 9.2: its `tests` counts the subtests, of which the file holds only the failed ones.
    ("pytest_subtests", (17, 13, 3, 0, 1, 0), ["test_sub", "test_u", "test_sub"]),
    ("pytorch_reruns", (4, 2, 1, 0, 1, 1), ["test_errors_div_privateuse1"]),
    ("surefire", (4, 2, 1, 1, 1, 1), ["always"]),
    ("unittest_xml", (5, 1, 3, 1, 1, 0), ["test_sub (i=1)", "test_unexpected", "test_raises"]),
    # Tests that share a name. "# fail 5" of node counts the test `parent` too, which it writes as a suite.
    ("testng", (3, 2, 1, 0, 0, 0), ["addMatches"]),
    ("rspec", (2, 1, 1, 0, 0, 0), ["adds"]),
    ("robot", (7, 2, 4, 0, 1, 0), ["No", "Same", "X", "Y"]),  # robot: 7 tests, 2 passed, 4 failed, 1 skipped
    ("node_test", (13, 5, 6, 0, 2, 0), ["b", "same", "child bad", "never", "never2", "bad -- dashes"]),
    # mocha: 4 failing, 2 pending; it states 12 tests and writes neither the pending ones nor those that a hook kept
    # from running.
    (
        "mocha_hooks",
        (12, 6, 4, 0, 2, 0),
        ["d no", "d same", 'hook "before all" hook: boom for "h1"', 'each hook "before each" hook for "e2"'],
    ),
    ("jest_todo", (3, 2, 0, 0, 1, 0), []),  # todo tests are not among the stated ones
    ("node_todo", (2, 1, 0, 0, 1, 0), []),  # node: pass 1, fail 0, todo 1
    # What is stated and not written.
    ("root_error", (3, 2, 1, 1, 0, 0), ["run"]),
    ("pytest_xunit1", (36, 18, 13, 5, 5, 0), None),  # pytest: 8 failed, 5 errors, 3 skipped, 2 xfailed
    # Odd ones.
    ("gtest_nameless", (3, 2, 1, 0, 0, 0), ["NonTestSuiteFailure"]),
    ("status_words", (9, 1, 5, 0, 3, 0), ["b", "c", "d", "e", "i"]),
    ("blank_head", (1, 1, 0, 0, 0, 0), []),
    ("no_tests", (0, 0, 0, 0, 0, 0), []),
]


@pytest.mark.parametrize(("sample", "expected", "failed"), DIALECTS)
def test_a_dialect_is_counted_as_its_runner_meant(
    sample: str, expected: tuple[int, ...], failed: list[str] | None
) -> None:
    report = junit.summarize([SAMPLES / f"{sample}.xml"])
    assert counts(report) == expected
    assert failed is None or [test.name for test in report.failed_tests] == failed
    assert report.rejected == []
    assert len(report.failed_tests) == report.failed


@pytest.mark.parametrize("sample", sorted(path.stem for path in SAMPLES.iterdir()))
def test_the_order_of_cases_in_a_file_changes_no_count(sample: str) -> None:
    """The cases of each suite stand the other way round."""
    tree = ET.fromstring((SAMPLES / f"{sample}.xml").read_bytes().strip())  # noqa: S314 - ours
    for suite_ in tree.iter():
        if suite_.tag in ("testsuite", "testsuites"):
            test_cases = [child for child in suite_ if child.tag == "testcase"]
            places = [place for place, child in enumerate(suite_) if child.tag == "testcase"]
            for place, case in zip(places, reversed(test_cases)):
                suite_[place] = case
    turned = report_of(ET.tostring(tree))
    assert counts(turned) == counts(junit.summarize([SAMPLES / f"{sample}.xml"]))
    assert len(turned.failed_tests) == turned.failed


def test_every_sample_is_in_the_table_above() -> None:
    assert {row[0] for row in DIALECTS} == {path.stem for path in SAMPLES.iterdir()}


@pytest.mark.parametrize(
    ("sample", "name", "expected"),
    [
        (
            "gtest",
            "Wait",
            {
                "name": "Wait",
                "classname": "Stream",
                "file": "stream_test.cpp",
                "line": 20,
                "status": "failure",
                "message": "stream_test.cpp:22\nExpected equality of these values:\n  1\n  2",
                "stacktrace": "stream_test.cpp:22\nExpected equality of these values:\n  1\n  2",
                "duration_seconds": 0.01,
            },
        ),
        (
            "jest",  # no message attribute: the text's first line; no line is known
            "hud page links",
            {
                "name": "hud page links",
                "classname": "hud page links",
                "file": "",
                "status": "failure",
                "message": "Error: expect(received).toBe(expected) // Object.is equality",
                "stacktrace": "Error: expect(received).toBe(expected) // Object.is equality\n\nExpected: 1\n"
                "    at Object.<anonymous> (hud.test.ts:9:5)",
                "duration_seconds": 0.006,
            },
        ),
        (
            "mocha",  # the suite tells the file
            "api refuses",
            {
                "name": "api refuses",
                "classname": "refuses",
                "file": "/w/test/api.js",
                "status": "failure",
                "message": "expected 200 to equal 401",
                "stacktrace": "AssertionError: expected 200 to equal 401\n    at Context.<anonymous> (test/api.js:9:3)",
                "duration_seconds": 0.021,
            },
        ),
    ],
)
def test_a_failed_test_is_told_with_all_that_is_known(sample: str, name: str, expected: dict[str, object]) -> None:
    told = junit.summarize([SAMPLES / f"{sample}.xml"]).to_json()["failed_tests"]
    assert isinstance(told, list)
    assert [test for test in told if test["name"] == name] == [expected]


PASSED, SKIPPED = '<testcase name="t"/>', '<testcase name="t"><skipped/></testcase>'
FAILED, ERROR = '<testcase name="t"><failure/></testcase>', '<testcase name="t"><error/></testcase>'
FLAKY = '<testcase name="t"><flakyFailure/></testcase>'
RETRY = '<testcase name="t"><properties><property name="retry" value="1"/></properties></testcase>'
RETRY_FAILED = '<testcase name="t" attempt="2"><failure/></testcase>'


@pytest.mark.parametrize("states", ["", "tests='{n}'", "tests='{n}' failures='{f}' errors='{e}'", "tests='99'"])
@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    "tests",
    [
        [PASSED, PASSED],
        [SKIPPED, PASSED],
        [PASSED, FAILED],
        [FAILED, PASSED],
        [FAILED, PASSED, PASSED],
        [FAILED, ERROR, PASSED],
        [FAILED, FAILED],
        [FAILED, SKIPPED],
        [PASSED, SKIPPED, FAILED, ERROR],
        ["<testcase/>"] * 4,
        ["<testcase/>", "<testcase><failure/></testcase>"],
    ],
)
def test_tests_that_share_a_name_are_tests_each(tests: list[str], order: int, states: str) -> None:
    """Whatever their order, and also where the suite states more; 99 tests are 99, and all the failed ones failed."""
    failed, errors, skipped = (sum(f"<{tag}/>" in case for case in tests) for tag in ("failure", "error", "skipped"))
    stated = states.format(n=len(tests), f=failed, e=errors)
    report = report_of(suite(*tests[::order], attributes=stated))
    total = 99 if "99" in states else len(tests)
    passed = total - failed - errors - skipped
    assert counts(report) == (total, passed, failed + errors, errors, skipped, 0)
    assert len(report.failed_tests) == report.failed


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("attempts", "expected", "states"),
    [
        # The suite states fewer tests than it holds cases.
        ([PASSED, PASSED], (1, 1, 0, 0, 0, 1), "tests='1'"),
        ([FAILED, PASSED], (1, 1, 0, 0, 0, 1), "tests='1'"),
        ([FAILED, PASSED], (1, 1, 0, 0, 0, 1), "tests='1' failures='0'"),
        ([FAILED, PASSED], (1, 0, 1, 0, 0, 0), "tests='1' failures='1'"),  # a rerun that passed is none
        ([FAILED, FAILED, FAILED], (1, 0, 1, 0, 0, 0), "tests='1' failures='1'"),
        ([FAILED, ERROR], (1, 0, 1, 1, 0, 0), "tests='1'"),
        ([ERROR, FAILED, PASSED], (1, 1, 0, 0, 0, 1), "tests='1' failures='0' errors='0'"),
        ([PASSED, PASSED, FAILED], (1, 0, 1, 0, 0, 0), "tests='1' failures='1'"),
        ([PASSED, PASSED, '<testcase name="u"/>'], (2, 2, 0, 0, 0, 1), "tests='2'"),
        ([PASSED, PASSED, '<testcase name="u"/>'] * 2, (4, 4, 0, 0, 0, 2), "tests='4'"),
        # A case says that it is an attempt.
        ([FAILED, RETRY], (1, 1, 0, 0, 0, 1), ""),
        ([FAILED, RETRY], (1, 1, 0, 0, 0, 1), "tests='1' failures='0'"),
        ([FAILED, RETRY_FAILED, RETRY_FAILED], (1, 0, 1, 0, 0, 0), ""),
        ([FAILED, '<testcase name="t" retry="0"/>'], (2, 1, 1, 0, 0, 0), ""),
        ([FAILED, '<testcase name="t" attempt="1"/>'], (2, 1, 1, 0, 0, 0), ""),
        # A case that holds its attempts is whole: its namesakes are other tests.
        ([FLAKY], (1, 1, 0, 0, 0, 1), ""),
        ([FLAKY, PASSED], (2, 2, 0, 0, 0, 1), "tests='2'"),
        ([FLAKY, FAILED], (2, 1, 1, 0, 0, 1), ""),
        # jest leaves todo tests, which it writes as skipped ones, out of `tests`.
        ([PASSED, PASSED, SKIPPED], (3, 2, 0, 0, 1, 0), "tests='2'"),
        ([PASSED, FAILED, SKIPPED], (3, 1, 1, 0, 1, 0), "tests='2' failures='1'"),
    ],
)
def test_cases_are_attempts_of_one_test_only_on_evidence(
    attempts: list[str], expected: tuple[int, ...], states: str, order: int
) -> None:
    report = report_of(suite(*attempts[::order], attributes=states))
    assert counts(report) == expected
    assert len(report.failed_tests) == report.failed


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("tests", "red", "green"),
    [
        ([FAILED, PASSED], (2, 1, 1, 0, 0, 0), (1, 1, 0, 0, 0, 1)),
        ([FAILED, ERROR, PASSED], (3, 1, 2, 1, 0, 0), (1, 1, 0, 0, 0, 1)),
        # Nobody tries again what has passed: rows of a data provider.
        ([FAILED, PASSED, PASSED], (3, 2, 1, 0, 0, 0), (3, 2, 1, 0, 0, 0)),
        ([FAILED, FAILED], (2, 0, 2, 0, 0, 0), (2, 0, 2, 0, 0, 0)),
        (
            ['<testcase name="t" line="1"><failure/></testcase>', '<testcase name="t" line="9"/>'],
            (2, 1, 1, 0, 0, 0),
            (2, 1, 1, 0, 0, 0),
        ),
    ],
)
def test_what_may_be_a_retry_is_flaky_in_a_job_that_succeeded_alone(
    tests: list[str], red: tuple[int, ...], green: tuple[int, ...], order: int
) -> None:
    report = report_of(suite(*tests[::order], attributes=f"tests='{len(tests)}'"))
    assert counts(report) == red
    report.settle()
    assert counts(report) == green
    assert len(report.failed_tests) == report.failed


def test_a_nested_suite_keeps_its_own_count_and_its_parents_file() -> None:
    inner = '<testsuite tests="1"><testcase name="u"><failure/></testcase></testsuite>'
    report = report_of(f'<testsuite tests="1" file="a.php">{PASSED}{PASSED}{inner}</testsuite>')
    assert (report.total, report.flaky) == (2, 1)
    assert [test.file for test in report.failed_tests] == ["a.php"]


def test_the_same_test_counts_again_in_another_suite_and_another_file() -> None:
    report = report_of(f"<testsuites><testsuite>{PASSED}</testsuite><testsuite>{FAILED}</testsuite></testsuites>")
    report.add(io.BytesIO(suite(ERROR).encode()), "other.xml")
    assert counts(report) == (3, 1, 2, 1, 0, 0)


@pytest.mark.parametrize("other", ['name="u"', 'name="t" classname="c"', 'name="t" file="f"', 'name="t" line="3"'])
def test_tests_of_other_names_classes_files_or_lines_are_other_tests(other: str) -> None:
    assert counts(report_of(suite(PASSED, f"<testcase {other}/>", attributes="tests='1'"))) == (2, 2, 0, 0, 0, 0)


def test_the_details_kept_are_those_of_the_severest_attempt() -> None:
    attempts = ['<testcase name="t" time="1"><failure message="first"/></testcase>']
    attempts.append('<testcase name="t" time="2"><error message="second">trace</error></testcase>')
    attempts.append('<testcase name="t" time="3"><failure message="third"/></testcase>')
    (test,) = report_of(suite(*attempts, attributes="tests='1'")).failed_tests
    assert (test.status, test.message, test.stacktrace, test.duration_seconds) == ("error", "second", "trace", 2.0)


@pytest.mark.parametrize(
    ("children", "status", "flaky"),
    [
        ("", "success", False),
        ("<skipped/>", "skipped", False),
        ("<disabled/>", "skipped", False),
        ("<skipped/><skipped/>", "skipped", False),
        ("<failure/>", "failure", False),
        ("<skipped/><failure/>", "failure", False),
        ("<failure/><error/>", "error", False),
        ("<error/><failure/><skipped/>", "error", False),
        ("<flakyFailure/>", "success", True),
        ("<flakyError/>", "success", True),
        ("<rerun/>", "success", True),
        ("<rerunFailure/>", "success", True),
        ("<rerun/><failure/>", "failure", False),
        ("<failure/><rerunFailure/><rerunError/>", "failure", False),
        ("<rerun/><skipped/>", "skipped", False),
        ("<properties><property name='failure' value='1'/></properties>", "success", False),
        ("<system-out>&lt;failure/&gt;</system-out>", "success", False),
        ("<properties><failure/></properties>", "failure", False),
    ],
)
def test_the_severest_child_decides_a_case(children: str, status: str, flaky: bool) -> None:  # noqa: FBT001 - a table
    assert the_case(suite(f"<testcase>{children}</testcase>")) == (status, flaky)


@pytest.mark.parametrize(
    ("attributes", "children", "status"),
    [
        ('status="run" result="completed"', "", "success"),
        ('status="notrun" result="suppressed"', "", "skipped"),
        ('status="run" result="skipped"', "", "skipped"),
        ('status="disabled"', "", "skipped"),
        ('status="Failed"', "", "failure"),
        ('result="error"', "", "error"),
        ('status="passed"', "", "success"),
        ('status="fail"', "<skipped/>", "skipped"),
        ('status="notrun"', "<failure/>", "failure"),
        ('status="fail"', "<flakyFailure/>", "success"),
    ],
)
def test_a_status_attribute_counts_where_no_child_tells_the_outcome(
    attributes: str, children: str, status: str
) -> None:
    assert the_case(f"<testsuite><testcase {attributes}>{children}</testcase></testsuite>")[0] == status


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        ("<testsuites/>", (0, 0, 0, 0, 0, 0)),
        ("<testsuite/>", (0, 0, 0, 0, 0, 0)),
        ("<testcase/>", (1, 1, 0, 0, 0, 0)),
        ("<testsuites><testcase/></testsuites>", (1, 1, 0, 0, 0, 0)),
        (f"<testsuite><testsuite><testsuite>{FAILED}</testsuite></testsuite>{PASSED}</testsuite>", (2, 1, 1, 0, 0, 0)),
        # Counts without cases: the innermost suites that state any.
        ('<testsuite tests="9" failures="2" errors="1" skipped="3"/>', (9, 3, 3, 1, 3, 0)),
        ('<testsuites tests="5"><testsuite tests="2"/><testsuite tests="3"/></testsuites>', (5, 5, 0, 0, 0, 0)),
        ('<testsuites tests="5" failures="1"><testsuite/></testsuites>', (5, 4, 1, 0, 0, 0)),
        (f'<testsuites tests="9"><testsuite tests="8">{PASSED}</testsuite></testsuites>', (9, 9, 0, 0, 0, 0)),
        (
            f'<testsuites tests="3"><testsuite>{PASSED}</testsuite><testsuite tests="2"/></testsuites>',
            (3, 3, 0, 0, 0, 0),
        ),
        ('<testsuite tests="0" errors="1"/>', (1, 0, 1, 1, 0, 0)),
        ('<testsuite tests="many" failures="-1" skipped="٣"/>', (3, 0, 0, 0, 3, 0)),
        ('<testsuite tests="99999999999999999999"/>', (0, 0, 0, 0, 0, 0)),
        # A suite's own failure: its set-up, say.
        ('<testsuite name="S" tests="0"><error message="no device"/></testsuite>', (1, 0, 1, 1, 0, 0)),
        ("<testsuite><skipped/><rerun/></testsuite>", (0, 0, 0, 0, 0, 0)),
    ],
)
def test_suites_nested_missing_or_with_counts_only(xml: str, expected: tuple[int, ...]) -> None:
    assert counts(report_of(xml)) == expected


def test_a_suites_own_failure_is_told_by_the_suites_name() -> None:
    (test,) = report_of('<testsuite name="S"><error message="no device">trace</error></testsuite>').failed_tests
    assert (test.name, test.status, test.message, test.stacktrace) == ("S", "error", "no device", "trace")


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("1.5", 1.5),
        ("0.", 0.0),
        ("2e-3", 0.002),
        ("1,234.56", 1234.56),
        ("1,234,567.5", 1234567.5),
        ("1.234,56", 1234.56),
        ("0,123", 0.123),
        ("1,234,567", 1234567.0),
        ("", 0.0),
        ("-1", 0.0),
        ("nan", 0.0),
        ("inf", 0.0),
        ("1e308", 0.0),
        ("fast", 0.0),
        (",", 0.0),
    ],
)
def test_times_are_read_in_every_notation_and_are_never_nan(time: str, expected: float) -> None:
    assert report_of(suite(f'<testcase name="t" time="{time}"/>')).duration_seconds == expected
    assert report_of(f'<testsuite tests="1" time="{time}"/>').duration_seconds == expected


def test_a_test_named_nan_stays_text() -> None:
    told = report_of(
        suite('<testcase name="nan" classname="inf" time="nan"><failure message="NaN"/></testcase>')
    ).to_json()
    (test,) = json.loads(json.dumps(told, allow_nan=False))["failed_tests"]
    assert (test["name"], test["classname"], test["message"]) == ("nan", "inf", "NaN")


@pytest.mark.parametrize("letter", ["x", "é", "漢", "😀"])
def test_texts_are_cut_in_bytes_on_a_character(letter: str) -> None:
    long = letter * 5000
    attributes = f'name="{long}" classname="{long}" file="{long}"'
    xml = suite(f'<testcase {attributes}><failure message="{long}">{long}</failure></testcase>')
    (test,) = report_of(xml).failed_tests
    sizes = {key: len(value.encode()) for key, value in test._asdict().items() if isinstance(value, str)}
    assert 1021 <= sizes["message"] <= 1024
    assert 4093 <= sizes["stacktrace"] <= 4096
    assert all(509 <= sizes[key] <= 512 for key in ("name", "classname", "file"))
    assert long.startswith((test.message, test.stacktrace))


def test_cut_names_stay_distinct_and_whole_names_stay_whole() -> None:
    common = "é" * 300
    first, second = cut_name(common + "1"), cut_name(common + "2")
    assert first != second
    assert cut_name(common + "1") == first
    assert cut_name("é" * 256) == "é" * 256
    assert cut_name("é" * 257) != "é" * 257


def test_only_so_many_failed_tests_are_kept_and_the_rest_is_counted() -> None:
    failing = [f'<testcase name="t{number}"><failure/></testcase>' for number in range(7)]
    report = report_of(suite(*failing), max_failed_tests=5)
    report.add(io.BytesIO(suite(*failing).encode()), "second.xml")
    assert [test.name for test in report.failed_tests] == ["t0", "t1", "t2", "t3", "t4"]
    assert (report.failed, report.failed_tests_left_out) == (14, 9)


def test_the_slowest_tests_are_kept_across_files_each_once() -> None:
    report = junit.Report(max_slowest=3)
    for file, times in enumerate([(0, 1, 9.5, 3), (5, 9, 8.5, 7)]):
        timed = [
            f'<testcase name="{"again" if i == 2 else f"t{time}"}" time="{time}"/>' for i, time in enumerate(times)
        ]
        report.add(io.BytesIO(suite(*timed).encode()), f"{file}.xml")
    assert report.slowest == [
        SlowTest("again", "", "", 9.5),
        SlowTest("t9", "", "", 9.0),
        SlowTest("t7", "", "", 7.0),
    ]
    assert report_of(suite('<testcase name="t" time="1"/>'), max_slowest=0).slowest == []


def test_a_stack_trace_keeps_its_indentation() -> None:
    (test,) = report_of(
        suite("<testcase><failure>\n\n    def test():\n&gt;       fail\n\n</failure></testcase>")
    ).failed_tests
    assert (test.message, test.stacktrace) == ("def test():", "    def test():\n>       fail")


def test_captured_output_is_never_part_of_a_failure() -> None:
    failure = "<failure>before<system-out>noise</system-out><b>inside</b>after<system-err>noise</system-err></failure>"
    (test,) = report_of(suite(f"<testcase>{failure}<system-out>noise</system-out></testcase>")).failed_tests
    assert test.stacktrace == "beforeinsideafter"


def test_each_file_has_its_fate_and_a_rejected_one_counts_nothing(tmp_path: Path) -> None:
    (tmp_path / "good.xml").write_text(suite(PASSED, '<testcase name="u" time="1"><failure/></testcase>'))
    (tmp_path / "cut.xml").write_text("<testsuite>\n" + '<testcase name="f" time="9"><error/></testcase>\n' * 3)
    (tmp_path / "none.xml").write_bytes(b"")
    paths = [tmp_path / name for name in ("good.xml", "cut.xml", "none.xml", "absent.xml")]
    report = junit.summarize(paths)
    assert counts(report) == (2, 1, 1, 0, 0, 0)
    assert [test.name for test in report.slowest] == ["u"]
    assert report.fates[0] == junit.Fate(str(paths[0]), total=2, failed=1)
    assert report.rejected == report.fates[1:]
    told = report.to_json()
    assert told["files"] == 1
    assert told["rejected"] == [
        {
            "file": str(paths[1]),
            "reason": "line 5: the report breaks off after 3 test cases: "
            "look in the job's log for what ended the test run",
        },
        {
            "file": str(paths[2]),
            "reason": "line 1: the file is empty: look in the job's log for why the test run did not write its report",
        },
        {"file": str(paths[3]), "reason": "the file cannot be read: No such file or directory"},
    ]


def test_a_zip_member_is_read_as_a_stream() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/report.xml", suite(*[f'<testcase name="t{n}"/>' for n in range(10_000)]))
    with zipfile.ZipFile(buffer) as archive, archive.open("a/report.xml") as member:
        report = junit.Report()
        assert report.add(member, "a/report.xml").total == 10_000


TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), max_size=30)
STATUSES = st.sampled_from(["success", "skipped", "failure", "error"])


def render(tests: dict[str, tuple[str, str]]) -> str:
    children = {"success": "", "skipped": "<skipped>{}</skipped>"}
    rendered = [
        f"<testcase name={quoteattr(name)}>"
        + children.get(status, f"<{status} message='m'>{{}}</{status}>").replace("{}", escape(text))
        + "</testcase>"
        for name, (status, text) in tests.items()
    ]
    return suite(*rendered)


@given(st.dictionaries(TEXT, st.tuples(STATUSES, TEXT), max_size=20), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_what_is_rendered_is_counted(tests: dict[str, tuple[str, str]], encoding: str) -> None:
    report = report_of(render(tests).encode(encoding))
    statuses = [status for status, _ in tests.values()]
    assert (report.total, report.passed, report.skipped) == (
        len(tests),
        statuses.count("success"),
        statuses.count("skipped"),
    )
    assert report.errors == statuses.count("error")
    assert [(test.name, test.status, test.stacktrace) for test in report.failed_tests] == [
        (name if name.strip() else "", status, text.rstrip())  # a blank one takes the suite's, which has none
        for name, (status, text) in tests.items()
        if status in ("failure", "error")
    ]


@given(st.lists(st.tuples(st.sampled_from("abc"), STATUSES), max_size=12), st.integers(0, 12))
def test_files_add_up(attempts: list[tuple[str, str]], split: int) -> None:
    children = {"success": "", "skipped": "<skipped/>", "failure": "<failure/>", "error": "<error/>"}
    files = [
        suite(*(f'<testcase name="{name}">{children[status]}</testcase>' for name, status in part))
        for part in (attempts[:split], attempts[split:])
    ]
    together = report_of(files[0])
    together.add(io.BytesIO(files[1].encode()), "second.xml")
    apart = [counts(report_of(file)) for file in files]
    assert counts(together) == tuple(map(sum, zip(*apart)))


def run(*arguments: str, python: str = sys.executable, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [python, "-m", "oot_runner.junit", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


def test_the_command_prints_one_json_object() -> None:
    done = run(str(SAMPLES / "surefire.xml"), str(SAMPLES / "nextest.xml"))
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert list(told) == ["files", *COUNTS, "duration_seconds", "failed_tests", "rejected", "remarks"]
    assert [told[name] for name in ("files", *COUNTS)] == [2, 7, 4, 2, 1, 1, 2]


def test_the_command_takes_files_folders_and_globs_and_reads_each_file_once(tmp_path: Path) -> None:
    for name in ("a.xml", "deep/er/b.xml", "deep/[1].xml", "deep/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(suite(PASSED))
    assert json.loads(run("a.xml", "./a.xml", "*.xml", cwd=tmp_path).stdout)["files"] == 1
    assert json.loads(run("**/*.xml", cwd=tmp_path).stdout)["files"] == 3
    assert json.loads(run("deep/[1].xml", cwd=tmp_path).stdout)["files"] == 1
    assert json.loads(run(str(tmp_path), cwd=tmp_path).stdout)["files"] == 3
    assert json.loads(run(str(tmp_path / "deep/**/*.xml")).stdout)["files"] == 2


@pytest.mark.parametrize("arguments", [(), ("absent.xml",), ("**/*.xml", "absent/")])
def test_no_file_is_an_error_of_one_line(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("junit.py: no ")
    assert all(argument in done.stderr for argument in arguments)
    assert done.stderr.count("\n") == 1


def test_rejected_files_are_told_and_fail_the_command_only_if_none_is_left(tmp_path: Path) -> None:
    (tmp_path / "bad.xml").write_text("{}")
    (tmp_path / "good.xml").write_text(suite(PASSED))
    alone, both = run("bad.xml", cwd=tmp_path), run("*.xml", cwd=tmp_path)
    assert (alone.returncode, both.returncode) == (1, 0)
    assert json.loads(both.stdout)["total"] == 1
    for done in (alone, both):
        assert [rejected["file"] for rejected in json.loads(done.stdout)["rejected"]] == ["bad.xml"]
        assert done.stderr.startswith("junit.py: 'bad.xml' was rejected: line 1: this is not XML")
        assert done.stderr.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no newline in a file name")
def test_a_file_name_cannot_forge_a_line_of_the_log(tmp_path: Path) -> None:
    (tmp_path / "a\n::error::forged.xml").write_text("{}")
    done = run(str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1


def test_help_teaches() -> None:
    told = " ".join(run("--help").stdout.split())
    assert "PATH" in told
    assert "'reports/**/*.xml'" in told
    assert "Exits with 0" in told


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes close otherwise on Windows")
def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = [sys.executable, "-m", "oot_runner.junit", str(SAMPLES)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


OLDEST = "python3.8"


@pytest.mark.skipif(shutil.which(OLDEST) is None, reason=f"{OLDEST} is not installed")
def test_the_oldest_python_gives_the_same() -> None:
    environment = {**os.environ, "PYENV_VERSION": "3.8"}  # where pyenv has it, a shell has to choose it
    command = [OLDEST, "-W", "error", "-m", "oot_runner.junit", str(SAMPLES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == json.loads(run(str(SAMPLES)).stdout)
