"""Failed tests as error annotations at their file and line, so that they show in the change itself."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from pathlib import Path

    from oot_runner.workflow_commands import Runner

# `path/to/test.py:12: AssertionError` and `File "path/to/test.py", line 12, in test`
_FRAME = re.compile(
    r'^(?:\s*File ")?(?P<file>(?:[A-Za-z]:)?[^\s":*<>|]{1,400})(?:", line |:)(?P<line>\d{1,7})\b', re.MULTILINE
)
_FIXTURE_FAILED = ("failed on setup with ", "failed on teardown with ")
_MOST_PARTS = 50


def annotate(runner: Runner, tests: list[dict[str, Any]], limit: int, workspace: Path) -> None:
    """Annotate the first `limit` failed tests; on other CIs, list them."""
    for test in tests[:limit]:
        name = "::".join(part for part in (test.get("classname"), test["name"]) if part)
        file, line = locate(test, workspace)
        message = test.get("message") or test.get("stacktrace") or "It failed, and the report does not say why."
        runner.annotate("error", message, file=file, line=line, title=name[:200])


def locate(test: dict[str, Any], workspace: Path) -> tuple[str, int | None]:
    """Return the file in the workspace, and the line, that a failed test points to; "" and None where nothing does.

    The line is that of the last frame in the test's own file, or else in any file of the workspace; but where pytest
    failed before or after the test, in a fixture, it is the test's own.
    """
    root = workspace.resolve()
    own = _inside(test.get("file", ""), root, least=1)
    if own and test.get("line") and test.get("message", "").startswith(_FIXTURE_FAILED):
        return own, test["line"]
    frames = [(frame["file"], int(frame["line"])) for frame in _FRAME.finditer(test.get("stacktrace", ""))]
    for path, line in reversed(frames):
        file = _inside(path, root, least=1 if own else 2)
        if file and file == (own or file):
            return file, line
    return own, test.get("line") if own else None


def _inside(path: str, root: Path, least: int) -> str:
    """Return a file of the workspace as GitHub wants it, relative and with slashes; "" for what is none.

    A container may have the workspace elsewhere, and Windows writes paths its own way: of a path that is not there, the
    longest end that exists in the workspace is taken, if it has `least` parts.
    """
    if path.startswith("file:"):
        path = unquote(urlsplit(path).path)
    parts = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".")]
    file = _file_in(root / path, root)
    if file or ".." in parts or "\0" in path or os.path.exists(root / path):  # noqa: PTH110 - Path's own may raise
        return file
    ends = (parts[start:] for start in range(max(len(parts) - _MOST_PARTS, 0), len(parts)))
    matches = (_file_in(root.joinpath(*end), root) for end in ends if len(end) >= least)
    return next(filter(None, matches), "")


def _file_in(path: Path, root: Path) -> str:
    try:
        full = path.resolve()
        return full.relative_to(root).as_posix() if full.is_file() else ""
    except (OSError, ValueError, RuntimeError):
        return ""
