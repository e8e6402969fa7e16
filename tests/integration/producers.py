"""Test runners that really run, and the JUnit reports they write: pytest, unittest-xml-reporting, gtest's and ctest's.

gtest's report comes from a small runner that writes its format; ctest's from ctest itself where the machine has one.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

ROOT = Path(__file__).resolve().parents[2]


class Produced(NamedTuple):
    """A report, and how its test cases really ended."""

    report: str
    cases: int
    failed: int
    skipped: int


def pytest_report(folder: Path, count: int) -> Produced:
    """Run pytest: one in a hundred fails, one in twenty is skipped."""
    (folder / "test_real_ops.py").write_text(
        f"import pytest\n@pytest.mark.parametrize('number', range({count}))\nclass TestRealOps:\n"
        "    def test_forward(self, number):\n"
        "        if number % 20 == 3: pytest.skip('no device')\n"
        "        assert number % 100 != 50, 'a < b & \"c\"'\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:randomly"]
    _run([*command, "--junitxml=junit.xml", "-o", "junit_family=xunit1", "test_real_ops.py"], folder)
    failed, skipped = len(range(50, count, 100)), len(range(3, count, 20))
    return Produced((folder / "junit.xml").read_text(encoding="utf-8"), count, failed, skipped)


def unittest_report(folder: Path, count: int) -> Produced:
    """Run unittest through unittest-xml-reporting."""
    (folder / "test_real_nn.py").write_text(
        "import unittest\nclass TestRealNN(unittest.TestCase): pass\n"
        f"for number in range({count}):\n"
        "    def test(self, number=number):\n"
        "        if number % 20 == 3: self.skipTest('no device')\n"
        "        self.assertNotEqual(number % 100, 50)\n"
        "    setattr(TestRealNN, f'test_{number}', test)\n"
    )
    _run([sys.executable, "-m", "xmlrunner", "--output-file", "junit-nn.xml", "test_real_nn"], folder)
    failed, skipped = len(range(50, count, 100)), len(range(3, count, 20))
    return Produced((folder / "junit-nn.xml").read_text(encoding="utf-8"), count, failed, skipped)


def gtest_report(count: int) -> Produced:
    """Run tests in this process and write what googletest's XML printer would."""
    cases, failed = [], 0
    for number in range(count):
        started = time.perf_counter()
        passed = number % 60 != 30
        seconds = time.perf_counter() - started
        start = (
            f'    <testcase name="Copies/{number}" value_param={quoteattr(f"<{number}>")} file="stream_test.cpp" '
            f'line="12" status="run" result="completed" time="{seconds:.3f}" '
            'timestamp="2026-06-01T12:00:00.000" classname="RealStream"'
        )
        if passed:
            cases.append(f"{start} />\n")
        else:
            failed += 1
            why = f"stream_test.cpp:{number}\nExpected: (a) < (b)"
            message = f'<failure message={quoteattr(why)} type=""><![CDATA[{why}]]></failure>'
            cases.append(f"{start}>\n      {message}\n    </testcase>\n")
    suite = f'  <testsuite name="RealStream" tests="{count}" failures="{failed}">\n{"".join(cases)}  </testsuite>\n'
    report = f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites tests="{count}">\n{suite}</testsuites>\n'
    return Produced(report, count, failed, 0)


def ctest_report(folder: Path, count: int) -> Produced:
    """Run ctest; where there is none, write its format."""
    failed = 1
    program = shutil.which("ctest")
    if program:
        lines = [f"add_test(real_copy_{number} {'false' if not number else 'true'})" for number in range(count)]
        (folder / "CTestTestfile.cmake").write_text("\n".join(lines) + "\n")
        _run([program, "--output-junit", "junit-ctest.xml", "--quiet"], folder)
        if (folder / "junit-ctest.xml").exists():  # before 3.21 it can't
            return Produced((folder / "junit-ctest.xml").read_text(encoding="utf-8"), count, failed, 0)
    cases = "".join(
        f'\t<testcase name="real_copy_{number}" classname="real_copy_{number}" time="0.01" '
        f'status="{"run" if number else "fail"}">\n'
        + ("" if number else '\t\t<failure message="Failed"/>\n')
        + f"\t\t<system-out>{escape('<said>')}</system-out>\n\t</testcase>\n"
        for number in range(count)
    )
    return Produced(f'<testsuite name="Linux-c++"\n\ttests="{count}"\n\t>\n{cases}</testsuite>\n', count, failed, 0)


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=False, capture_output=True, timeout=60)
