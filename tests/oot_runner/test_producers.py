"""Producers that really run: what is counted is what each says of itself on its last line."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from oot_runner import junit

for plugin in ("xdist", "pytest_rerunfailures"):  # the producers; the environment of Python 3.8 has none of them
    pytest.importorskip(plugin)

if TYPE_CHECKING:
    from pathlib import Path

TESTS = """
import unittest
import pytest

RUNS = []

def test_flaky():
    RUNS.append(1)
    assert len(RUNS) > 1

def test_broken(): assert 0

@pytest.fixture
def broken(): raise RuntimeError("no device")

@pytest.fixture
def cannot_free():
    yield
    raise RuntimeError("cannot free")

def test_setup(broken): pass
def test_teardown(cannot_free): pass
def test_both(cannot_free): assert 0

@pytest.mark.parametrize("x", ["ü", "a/b::c", "\\x1b[31mred", "", "same", "same"])
def test_names(x): assert x != "a/b::c"

@pytest.mark.xfail
def test_xfail(): assert 0

@pytest.mark.xfail
def test_xpass(): pass

@pytest.mark.skip
def test_skip(): pass

def test_subtests(subtests):
    for number in range(4):
        with subtests.test(number=number):
            assert number != 1

class TestUnit(unittest.TestCase):
    def test_sub(self):
        for number in range(3):
            with self.subTest(number=number):
                self.assertNotEqual(number, 1)

    @unittest.expectedFailure
    def test_expected(self): self.fail()

    def test_skip(self): self.skipTest("no")
"""
LAST_LINE = re.compile(r"(\d+) (failed|passed|skipped|errors?|xfailed|xpassed|subtests passed|subtests failed)")


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["-o", "junit_family=xunit1"],
        ["-o", "junit_suite_name=npu"],
        ["-n", "2"],
        ["--dist=each", "--tx=2*popen"],
        # With subtests, the report and the last line of pytest contradict each other on attempts.
        ["--reruns", "2", "-k", "not sub"],
        ["--reruns", "1", "-k", "not sub", "-o", "junit_suite_name=npu"],
        ["-k", "names"],
        ["-k", "nothing_of_this_name"],
        ["-x"],
    ],
    ids=" ".join,
)
def test_pytest_counts_as_its_last_line_says(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "test_mix.py").write_text(TESTS, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=r.xml", "-c", "/dev/null"]
    done = subprocess.run(
        [*command, "--rootdir=.", *options], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    last = done.stdout.strip().splitlines()[-1]
    said = {
        name.rstrip("s") if name.startswith("error") else name: int(count) for count, name in LAST_LINE.findall(last)
    }
    report = junit.summarize([tmp_path / "r.xml"])
    failed = said.get("failed", 0) + said.get("error", 0) + said.get("subtests failed", 0)
    assert report.failed == len(report.failed_tests) == failed, last
    assert report.errors == said.get("error", 0), last
    assert report.skipped == said.get("skipped", 0) + said.get("xfailed", 0), last
    # Its last line counts a test that failed and whose teardown failed then twice, its `tests` once.
    twice = sum(test.name == "test_both" and test.status == "error" for test in report.failed_tests)
    assert report.total == sum(said.values()) - twice, last
    assert report.flaky == ("--reruns" in options)


def test_unittest_xml_reporting_counts_as_its_last_lines_say(tmp_path: Path) -> None:
    (tmp_path / "test_unit.py").write_text(
        "import unittest\nclass TestReal(unittest.TestCase):\n"
        "    def test_ok(self): pass\n    def test_fails(self): self.assertEqual(1, 2, '<&>\\x1b[31m')\n"
        "    def test_errors(self): raise RuntimeError('é')\n"
        "    @unittest.skip('not here')\n    def test_skipped(self): pass\n"
    )
    command = [sys.executable, "-m", "xmlrunner", "--output-file", "r.xml", "test_unit"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Ran 4 tests" in done.stderr
    assert "FAILED (failures=1, errors=1, skipped=1)" in done.stderr
    report = junit.summarize([tmp_path / "r.xml"])
    assert (report.total, report.failed, report.errors, report.skipped) == (4, 2, 1, 1)
