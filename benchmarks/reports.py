"""Made-up JUnit reports of the shape that pytest writes: the same for every run, so that numbers can be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_TRACE = "\n".join(
    f'  File "/opt/venv/lib/python3.11/site-packages/torch/testing/_internal/common_utils.py", line {3000 + line}, '
    f"in wrapper\n    return test(self, *args, **kwargs)"
    for line in range(8)
)
_OUTPUT = "\n".join(f"[rank0]: step {line} loss 0.{line:04d}" for line in range(40))


def write(folder: Path, cases: int, *, files: int = 1) -> list[Path]:
    """Write `cases` test cases over `files` reports: 1 in 100 fails (with a trace and output), 1 in 20 is skipped."""
    paths = []
    for index in range(files):
        count = cases // files + (index < cases % files)
        path = folder / f"report-{index}.xml"
        with path.open("w", encoding="utf-8") as report:
            report.write(
                '<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="pytest" errors="0" '
                f'failures="{-(-count // 100)}" skipped="{count // 20}" tests="{count}" time="812.5">'
            )
            report.writelines(_case(number) for number in range(count))
            report.write("</testsuite></testsuites>")
        paths.append(path)
    return paths


def _case(number: int) -> str:
    suite = number // 200
    opening = (
        f'<testcase classname="TestOpsSuite{suite}PRIVATEUSE1" '
        f'name="test_forward_ad_nn_functional_{number}_float32" time="0.{number % 1000:03d}" '
        f'file="test/test_ops_{suite}.py" line="{number % 4000 + 1}"'
    )
    if number % 100 == 0:
        message = "AssertionError: Tensor-likes are not close! Mismatched elements: 3 / 25 (12.0%)"
        return (
            f'{opening}><failure message="{message}">Traceback (most recent call last):\n{_TRACE}\n{message}</failure>'
            f"<system-out>{_OUTPUT}</system-out></testcase>\n"
        )
    if number % 20 == 1:
        return f'{opening}><skipped type="pytest.skip" message="not supported here">Skipped</skipped></testcase>\n'
    return f"{opening} />\n"
