"""The test reports that the globs name, and their summary."""

from __future__ import annotations

import fnmatch
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from oot_runner import globs
from oot_runner.messages import Message, tell

if TYPE_CHECKING:
    from oot_runner import junit

BIG_BYTES = 32 * 1024 * 1024  # above it, reading takes long enough to say so
_REASONS_SHOWN = 5
_MAGIC = re.compile(r"[*?\[]")


class Found(NamedTuple):
    """The reports' summary, as `junit.Report.to_json()` has it, its slowest tests, and what is to be told."""

    report: dict[str, Any] | None
    slowest: list[junit.SlowTest]
    messages: list[Message]


def summarize(patterns: tuple[str, ...], workspace: Path, say: Callable[[str], None]) -> Found:
    """Find and read the reports; no match and unreadable files are messages, never errors."""
    if not patterns:
        return Found(None, [], [])
    files = find(patterns, workspace)
    if not files:
        told = tell("no_reports", patterns=", ".join(patterns), searched=_searched(patterns, workspace))
        return Found(None, [], [told])
    from oot_runner import junit

    size = sum(path.stat().st_size for path in files)
    if size > BIG_BYTES:
        say(f"Reading test reports: {len(files):,} files, {size / 1e6:,.0f} MB.")
    started = said = time.monotonic()
    report = junit.Report()
    for number, path in enumerate(files, 1):
        report.add(path, _shown(path, workspace))
        if time.monotonic() - said > 5:
            said = time.monotonic()
            say(f"{number:,} of {len(files):,} files, {report.total:,} tests, {said - started:.0f} s.")
    rejected = report.rejected
    if not rejected:
        return Found(report.to_json(), report.slowest, [])
    reasons = "; ".join(f"{fate.file}: {fate.reason}" for fate in rejected[:_REASONS_SHOWN])
    more = f"; and {len(rejected) - _REASONS_SHOWN} more" if len(rejected) > _REASONS_SHOWN else ""
    told = tell("rejected_reports", rejected=len(rejected), files=len(files), reasons=reasons + more)
    return Found(report.to_json(), report.slowest, [told])


def find(patterns: tuple[str, ...], workspace: Path) -> list[Path]:
    """Give the files that the patterns name, in order, each once; a later pattern overrules the earlier ones.

    A pattern may also be a file's name as it is, brackets and all, or a folder, which stands for `**/*.xml` in it.
    """
    kept: dict[str, Path] = {}
    for pattern in patterns:
        for path in _expand(pattern.lstrip("!").strip(), workspace):
            key = os.path.normcase(path.resolve())
            if pattern.startswith("!"):
                kept.pop(key, None)
            else:
                kept.setdefault(key, path)
    return list(kept.values())


def _expand(pattern: str, workspace: Path) -> list[Path]:
    workspace = workspace.absolute()
    path = workspace / Path(pattern).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        found = (each for each, _ in globs.walk(str(path), path.anchor, set()) if fnmatch.fnmatch(each, "*.xml"))
    else:
        wanted = globs.absolute(pattern, workspace)
        try:
            matches = globs.matcher(wanted, workspace, below=False)
        except re.error:
            return []
        base = globs.fixed(wanted, workspace)
        asks_for_hidden = re.search(r"[\\/]\.", wanted[len(base) :])
        hidden: set[str] | None = None if asks_for_hidden else set()
        found = (each for each, _ in globs.walk(base, path.anchor, hidden) if matches(each))
    return sorted(each for each in map(Path, found) if each.is_file())


def _searched(patterns: tuple[str, ...], workspace: Path) -> str:
    folders: dict[str, None] = {}
    for pattern in patterns:
        if not pattern.startswith("!"):
            parts = Path(pattern).parts
            fixed = next((index for index, part in enumerate(parts) if _MAGIC.search(part)), len(parts) - 1)
            folder = workspace.joinpath(*parts[:fixed])
            state = f"{sum(1 for _ in folder.iterdir())} entries" if folder.is_dir() else "does not exist"
            folders[f"{folder} ({state})"] = None
    return ", ".join(folders) or "nothing, since every pattern excludes"


def _shown(path: Path, workspace: Path) -> str:
    try:
        return path.relative_to(workspace.absolute()).as_posix()
    except ValueError:
        return str(path)
