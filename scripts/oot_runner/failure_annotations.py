"""Failed tests as error annotations at their file and line, so that they show in the change itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from oot_runner.workflow_commands import Runner

# `path/to/test.py:12: AssertionError` and `File "path/to/test.py", line 12, in test`
_FRAME = re.compile(r'^(?:\s*File ")?(?P<file>[^\s":*<>|]{1,400})(?:", line |:)(?P<line>\d{1,7})\b', re.MULTILINE)


def annotate(runner: Runner, tests: list[dict[str, Any]], limit: int, workspace: Path) -> None:
    """Annotate the first `limit` failed tests; on other CIs, list them."""
    for test in tests[:limit]:
        name = "::".join(part for part in (test.get("classname"), test["name"]) if part)
        file, line = locate(test, workspace)
        message = test.get("message") or test.get("stacktrace") or "It failed, and the report does not say why."
        runner.annotate("error", message, file=file, line=line, title=name[:200])


def locate(test: dict[str, Any], workspace: Path) -> tuple[str, int | None]:
    """Give the file in the workspace, and the line, that a failed test points to; "" and None where nothing does.

    The line is that of the last frame in the test's own file, or else in any file of the workspace.
    """
    root = workspace.resolve()
    own = _inside(test.get("file", ""), root)
    frames = [(frame["file"], int(frame["line"])) for frame in _FRAME.finditer(test.get("stacktrace", ""))]
    for path, line in reversed(frames):
        file = _inside(path, root)
        if file and file == (own or file):
            return file, line
    return own, test.get("line") if own else None


def _inside(path: str, root: Path) -> str:
    """Give the path as GitHub wants it, relative to the workspace with slashes; "" for what is no file in it."""
    try:
        full = (root / path).resolve()
        return full.relative_to(root).as_posix() if path and full.is_file() else ""
    except (OSError, ValueError):
        return ""
