"""Globs, expanded as hostile: tests made the tree, and may have made it deep, or full of links that lead round.

No folder is walked twice, and a pattern costs no more than its parts times a path's: the standard library's glob
follows every link, and goes round in circles where two lead to their own folder.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Callable, Iterator

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = re.compile(r"[*?\[]")
_NOTHING = re.compile("(?!)")


def absolute(pattern: str, workspace: Path) -> str:
    """Give a pattern as a whole path; it may hold `~` and `..`."""
    if os.sep != "/":
        pattern = pattern.replace("/", os.sep)
    return os.path.normpath(os.path.join(str(workspace), os.path.expanduser(pattern)))  # noqa: PTH111, PTH118 - Path has no normpath, and may not touch a pattern


def fixed(path: str, workspace: Path) -> str:
    """Give the part of a pattern in which nothing is a wildcard; all of it, where it exists as it is written."""
    found = None if os.path.lexists(path) else _MAGIC.search(path, len(_literal(path, workspace)))
    return path[: path.rindex(os.sep, 0, found.start()) + 1].rstrip(os.sep) or os.sep if found else path


def _literal(path: str, workspace: Path) -> str:
    """Give the beginning of a pattern that is no glob, whatever characters it has: the whole if it exists so."""
    if os.path.lexists(path):
        return path
    return str(workspace) if is_below(path, str(workspace)) else ""


def matcher(path: str, workspace: Path, *, below: bool) -> Callable[[str], bool]:
    """Give what tells whether a path is one that a pattern names, or with `below` lies below one.

    Part by part and never back beyond the last `**`: a tree that tests made a thousand folders deep costs no more.
    Raises re.error for a pattern that is no glob.
    """
    literal = _literal(path, workspace) or os.path.splitdrive(path)[0]
    head = _slashed(literal).rstrip("/")
    told = filter(None, path[len(literal) :].replace(os.sep, "/").split("/"))
    flags = re.DOTALL | (re.IGNORECASE if os.name == "nt" else 0)
    parts = [None if part == "**" else re.compile(_component(part), flags) for part in told]
    if below:
        parts.append(None)

    def matches(found: str) -> bool:
        shown = _slashed(found)
        return (shown == head or shown.startswith(f"{head}/")) and _fits(shown[len(head) :].split("/")[1:], parts)

    return matches


def _fits(names: list[str], parts: list[re.Pattern[str] | None]) -> bool:
    """Tell whether the parts of a pattern match names; None stands for any number of names."""
    name = part = 0
    resume: tuple[int, int] | None = None  # after the last None: the part to go on with, and the names it left
    while name < len(names) or part < len(parts):
        wanted = parts[part] if part < len(parts) else _NOTHING
        if wanted is None:
            part += 1
            resume = part, name
            if part == len(parts):
                return True
        elif name < len(names) and wanted.fullmatch(names[name]):
            name, part = name + 1, part + 1
        elif resume and resume[1] < len(names):
            part, name = resume = resume[0], resume[1] + 1
        else:
            return False
    return True


def _slashed(path: str) -> str:
    return os.path.normcase(path).replace(os.sep, "/")


def _component(part: str) -> str:
    told, rest = "", part
    while rest:
        char, rest = rest[0], rest[1:]
        end = rest.find("]", 2 if rest[:1] in ("!", "^") else 1)
        if char == "[" and end > 0:
            inside, rest = re.sub(r"([\\\[&~|])", r"\\\1", rest[:end]), rest[end + 1 :]
            told += f"[{'^' + inside[1:] if inside[0] in '!^' else inside}]"
        else:
            told += {"*": "[^/]*", "?": "[^/]"}.get(char) or re.escape(char)
    return told


def walk(base: str, root: str, hidden: set[str] | None) -> Iterator[tuple[str, bool]]:
    """Give the path of all that is no folder at or below `base`, and whether it is a link to a folder outside `root`.

    Links to folders inside are followed after everything else, and no folder is walked twice. What begins with a dot
    is put into `hidden` instead, if that is given.
    """
    if not os.path.lexists(base):
        return
    is_outward = not is_below(os.path.realpath(base), root)
    if is_outward or not os.path.isdir(base):  # noqa: PTH112 - strings all the way: names need not be valid text
        yield base, is_outward
        return
    seen: set[tuple[int, int]] = set()
    folders = [base]
    links: list[str] = []
    while folders or links:
        folder = folders.pop() if folders else links.pop(0)
        try:
            identity = identity_of(os.stat(folder))  # noqa: PTH116 - as above
            if identity in seen:
                continue
            seen.add(identity)
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            yield folder, False
            continue
        below = []
        for entry in listed:
            if hidden is not None and entry.name.startswith("."):
                hidden.add(entry.path)
            elif not _is_folder(entry):
                yield entry.path, False
            elif not entry.is_symlink():
                below.append(entry.path)
            elif is_below(os.path.realpath(entry.path), root):
                links.append(entry.path)
            else:
                yield entry.path, True
        folders += reversed(below)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def is_below(path: str, folder: str) -> bool:
    """Tell whether a path is a folder, or lies in it."""
    path, folder = os.path.normcase(path), os.path.normcase(folder)
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def identity_of(told: os.stat_result) -> tuple[int, int]:
    """Give what two names of one file have in common."""
    return told.st_dev, told.st_ino
