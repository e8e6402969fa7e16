"""The file and line that a failed test points to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from oot_runner.failure_annotations import annotate, locate
from oot_runner.workflow_commands import Runner

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = tmp_path / "work"
    for name in ("tests/test_ops.py", "src/ops.py", "tests/ä b.py", "setup.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (tmp_path / "secret.py").touch()
    return root


PYTEST = "def test():\n>   add()\n\ntests/test_ops.py:12: \n_ _ _\nsrc/ops.py:7: AssertionError"
PYTHON = 'Traceback:\n  File "{root}/tests/test_ops.py", line 12, in test\n  File "{root}/src/ops.py", line 7, in add\n'


@pytest.mark.parametrize(
    ("test", "place"),
    [
        ({"file": "tests/test_ops.py", "stacktrace": PYTEST}, ("tests/test_ops.py", 12)),
        ({"stacktrace": PYTEST}, ("src/ops.py", 7)),
        ({"file": "tests/test_ops.py", "stacktrace": PYTHON}, ("tests/test_ops.py", 12)),
        ({"file": "{root}/tests/test_ops.py", "line": 5}, ("tests/test_ops.py", 5)),
        ({"file": "tests/test_ops.py"}, ("tests/test_ops.py", None)),
        ({"file": "tests/ä b.py", "line": 1}, ("tests/ä b.py", 1)),
        ({"file": "tests/gone.py", "line": 5}, ("", None)),
        ({"file": "../secret.py", "line": 5}, ("", None)),
        ({"stacktrace": "../secret.py:1: x\n/etc/passwd:1: x"}, ("", None)),
        ({"file": "tests", "line": 5}, ("", None)),
        ({"file": "nul\0", "line": 5}, ("", None)),
        ({"stacktrace": "12:30:45: no file\nhttps://a:80: x"}, ("", None)),
        ({}, ("", None)),
        # The workspace has another place in a container, and paths are written otherwise on Windows and in URLs.
        ({"file": "/workspace/tests/test_ops.py", "line": 5}, ("tests/test_ops.py", 5)),
        (
            {"file": "/workspace/tests/test_ops.py", "stacktrace": "/workspace/tests/test_ops.py:2: E"},
            ("tests/test_ops.py", 2),
        ),
        (
            {"file": "C:\\w\\tests\\test_ops.py", "stacktrace": "C:\\w\\tests\\test_ops.py:2: E"},
            ("tests/test_ops.py", 2),
        ),
        ({"file": "file:///src/tests/%C3%A4%20b.py", "line": 1}, ("tests/ä b.py", 1)),
        ({"file": "/workspace/../tests/test_ops.py", "line": 1}, ("", None)),
        ({"file": "/workspace/other/test_ops.py", "line": 1}, ("", None)),
        ({"stacktrace": "/workspace/src/ops.py:7: E\n/opt/lib/python3/setup.py:3: E"}, ("src/ops.py", 7)),
        # pytest names the test, not the fixture that failed.
        (
            {"file": "tests/test_ops.py", "line": 9, "message": 'failed on setup with "E"', "stacktrace": PYTEST},
            ("tests/test_ops.py", 9),
        ),
    ],
)
def test_places(workspace: Path, test: dict[str, Any], place: tuple[str, int | None]) -> None:
    told = {
        key: text.replace("{root}", str(workspace)) if isinstance(text, str) else text for key, text in test.items()
    }
    assert locate(told, workspace) == place


def test_the_first_ones_are_annotated(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tests = [{"name": f"test_{number}", "classname": "C", "message": "no\n::set-output::x"} for number in range(5)]
    annotate(Runner({"GITHUB_ACTIONS": "true"}), tests, 2, workspace)
    assert capsys.readouterr().out.splitlines() == [
        f"::error title=C%3A%3Atest_{number}::no%0A::set-output::x" for number in range(2)
    ]
