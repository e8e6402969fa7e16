"""The test reports that the globs name, and their summary."""

from __future__ import annotations

import fnmatch
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from oot_runner import attempts, globs
from oot_runner.messages import Message, tell

if TYPE_CHECKING:
    from oot_runner.junit import Report
    from oot_runner.junit_counting import SlowTest

BIG_BYTES = 32 * 1024 * 1024  # above it, reading takes long enough to say so
_REASONS_SHOWN = 5
_MAGIC = re.compile(r"[*?\[]")
# What people write into a glob and globs do not know, each with what to do; the first that fits is told.
_MISTAKES = (
    (re.compile(r"([\"']).*\1"), "it is in quotes, which would be part of the name: leave them out"),
    (re.compile(r"file://.*"), "it is an address: write the path alone"),
    (re.compile(r".*\$\{?\w.*|.*%\w+%.*"), "variables are not expanded here: use ${{ env.NAME }}"),
    (re.compile(r".*\{[^{}]*,[^{}]*\}.*"), "braces are not expanded: write one pattern a line"),
    (re.compile(r".*\\.*"), "it holds a backslash: write folders with /"),
    (re.compile(r".*[,;].*"), "it holds a comma or semicolon: write one pattern a line"),
    (re.compile(r".*\S\s+\S.*"), "it holds a blank: write one pattern a line"),
    (re.compile(r".*\.\*.*\\?\.xml\$?"), "it looks like a regular expression: in a glob, * stands for any name"),
)


class Summary(NamedTuple):
    """The reports' summary, as `junit.Report.to_json()` has it, its slowest tests, and messages on what was odd."""

    report: dict[str, Any] | None
    slowest: list[SlowTest]
    messages: list[Message]


class Found(NamedTuple):
    """What patterns name: files, what cannot be read, each with why; and the patterns that name nothing."""

    files: list[Path]
    unreadable: list[tuple[Path, str]]
    empty: list[str]


def summarize(
    patterns: tuple[str, ...], workspace: Path, say: Callable[[str], None], *, succeeded: bool = False
) -> Summary:
    """Find and read the reports of a job, which succeeded or not; whatever is wrong with them is a message."""
    if not patterns:
        return Summary(None, [], [])
    found = find(patterns, workspace)
    mistakes = [f"{pattern}: {why}" for pattern in found.empty for why in [_mistake(pattern)] if why]
    messages = [tell("odd_pattern", patterns=_some(mistakes, "; "))] if mistakes else []
    if not found.files and not found.unreadable:
        missing = tell("no_reports", patterns=", ".join(patterns), searched=_searched(patterns, workspace))
        return Summary(None, [], [missing, *messages])
    from oot_runner import junit

    report = junit.Report()
    report.fates += [junit.Fate(_shown(path, workspace), reason=why) for path, why in found.unreadable]
    _read(report, found.files, workspace, say)
    if succeeded:
        report.settle()
    return Summary(report.to_json(), report.slowest, [*messages, *_messages(report, succeeded=succeeded)])


def _read(report: Report, files: list[Path], workspace: Path, say: Callable[[str], None]) -> None:
    size = sum(map(_size, files))
    if size > BIG_BYTES:
        say(f"Reading test reports: {len(files):,} files, {size / 1e6:,.0f} MB.")
    paths = {path.as_posix(): path for path in files}
    earlier = attempts.earlier(paths)
    superseded = {path for before in earlier.values() for path in before}
    started = said = time.monotonic()
    for number, (name, path) in enumerate(paths.items(), 1):
        if name not in superseded:
            report.add(path, _shown(path, workspace), earlier=[paths[before] for before in earlier.get(name, ())])
        if time.monotonic() - said > 5:
            said = time.monotonic()
            say(f"{number:,} of {len(files):,} files, {report.total:,} tests, {said - started:.0f} s.")


def _messages(report: Report, *, succeeded: bool) -> list[Message]:
    messages = []
    rejected = [f"{fate.file}: {fate.reason}" for fate in report.rejected]
    if rejected:
        reasons = _some(rejected, "; ")
        messages.append(tell("rejected_reports", rejected=len(rejected), files=len(report.fates), reasons=reasons))
    if succeeded and not report.total and len(rejected) < len(report.fates):
        messages.append(tell("no_tests", files=len(report.fates) - len(rejected)))
    if report.unknown_words:
        messages.append(tell("unknown_status", words=_some(sorted(report.unknown_words), ", ")))
    if report.remarks:
        messages.append(tell("stated_beyond_cases", remarks=_some(report.remarks, "; ")))
    return messages


def _some(texts: list[str], separator: str) -> str:
    more = f"{separator}and {len(texts) - _REASONS_SHOWN} more" if len(texts) > _REASONS_SHOWN else ""
    return separator.join(texts[:_REASONS_SHOWN]) + more


def find(patterns: tuple[str, ...], workspace: Path) -> Found:
    """Find the files that the patterns name, in order, each once; a later pattern overrules the earlier ones.

    A pattern may also be a file's name as it is, brackets and all, or a folder, which stands for `**/*.xml` in it.
    """
    files: dict[str, Path] = {}
    unreadable: dict[str, tuple[Path, str]] = {}
    empty = []
    for pattern in patterns:
        paths = _expand(pattern.lstrip("!").strip(), workspace)
        if not paths and not pattern.startswith("!"):
            empty.append(pattern)
        for path in paths:
            key = os.path.normcase(os.path.realpath(path))
            if pattern.startswith("!"):
                files.pop(key, None)
                unreadable.pop(key, None)
            elif os.path.isfile(path):  # noqa: PTH113 - Path's own raises where a folder may not be entered
                files.setdefault(key, path)
            else:
                unreadable.setdefault(key, (path, _why_unreadable(path)))
    return Found(list(files.values()), list(unreadable.values()), empty)


def _expand(pattern: str, workspace: Path) -> list[Path]:
    """Return what a pattern names, and the folders that could not be looked into for it."""
    workspace = workspace.absolute()
    path = workspace / Path(pattern).expanduser()
    hidden: set[str] | None = set()
    matches: Callable[[str], bool]
    if os.path.isdir(path):  # noqa: PTH112 - as above
        base, matches = str(path), _is_xml
    elif os.path.lexists(path):
        return [path]
    else:
        wanted = globs.absolute(pattern, workspace)
        try:
            matches = globs.matcher(wanted, workspace, below=False)
        except re.error:
            return []
        base = globs.fixed(wanted, workspace)
        if re.search(r"[\\/]\.", wanted[len(base) :]):
            hidden = None
    walked = (each for each, _ in globs.walk(base, path.anchor, hidden))
    return sorted(Path(each) for each in walked if matches(each) or os.path.isdir(each))  # noqa: PTH112 - as above


def _is_xml(path: str) -> bool:
    return fnmatch.fnmatch(path, "*.xml")


def _why_unreadable(path: Path) -> str:
    if os.path.isdir(path):  # noqa: PTH112 - as above
        return "the folder cannot be read: let the job's user read what its containers write"
    if os.path.exists(path):  # noqa: PTH110 - as above
        return "it is not a regular file"
    return "it is a link to nothing" if os.path.islink(path) else "it cannot be read"  # noqa: PTH114 - as above


def _mistake(pattern: str) -> str:
    """Return what may be wrong with a pattern that names nothing."""
    return next((why for mistake, why in _MISTAKES if mistake.fullmatch(pattern)), "")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _searched(patterns: tuple[str, ...], workspace: Path) -> str:
    folders: dict[str, None] = {}
    for pattern in patterns:
        if not pattern.startswith("!"):
            parts = Path(pattern).parts
            fixed = next((index for index, part in enumerate(parts) if _MAGIC.search(part)), len(parts) - 1)
            folder = workspace.joinpath(*parts[:fixed])
            folders[f"{folder} ({_state(folder)})"] = None
    return ", ".join(folders) or "nothing, since every pattern excludes"


def _state(folder: Path) -> str:
    try:
        return f"{sum(1 for _ in folder.iterdir())} entries"
    except NotADirectoryError:
        return "is no folder"
    except FileNotFoundError:
        return "does not exist"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _shown(path: Path, workspace: Path) -> str:
    try:
        return path.relative_to(workspace.absolute()).as_posix()
    except ValueError:
        return str(path)
