"""Which files `path` names: its globs expanded, and what must not or cannot be uploaded left out by name.

Tests are other people's code: a link that they leave behind must not carry a file from outside into the archive.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from typing import TYPE_CHECKING, BinaryIO, Iterator, NamedTuple

from scripts.runner.upload.manifest import Skipped
from scripts.runner.upload.messages import UploadError

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = re.compile(r"[*?\[]")
_SECRET_NAME = re.compile(
    r"(?i)(^|/)(\.env(\.[^/]*)?|[^/]*\.(pem|key|pfx|p12|jks|keystore|kdbx)|id_(rsa|dsa|ecdsa|ed25519)|\.netrc|_netrc"
    r"|\.npmrc|\.pypirc|\.git-credentials|\.aws/credentials|\.docker/config\.json|\.kube/config|\.terraformrc)$"
)
_TEMPLATE_NAME = re.compile(r"(?i)\.env\.(example|sample|template|dist)$")
_GIT_CONFIG = re.compile(r"(^|/)\.git/(modules/.+/)?config$")
_GIT_SECRET = re.compile(rb"(?i)extraheader\s*=\s*authorization|://[^/\s@]*:[^/\s@]+@|://gh[a-z]_[^/\s@]+@")
_KINDS = (
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISDIR, "a folder that cannot be read"),
    (stat.S_ISLNK, "a link that leads nowhere"),
)
# Never wait for a pipe's other end; never follow a link that was put in the file's place meanwhile.
_OPEN_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"))


class Found(NamedTuple):
    """A file to upload: where it really is, its name for people and archives, and what it was when it was found."""

    real: str
    name: str
    size: int
    identity: tuple[int, int]

    def open(self) -> BinaryIO:
        """Open it; raises OSError, also where another file has taken its place since."""
        stream = _open(self.real)
        if _identity(os.fstat(stream.fileno())) != self.identity:
            stream.close()
            raise OSError(errno.ESTALE, "another file has taken its place")
        return stream


class Selection(NamedTuple):
    """What was found, by name in order, and what was left out; `searched` says where, `hidden` counts such files."""

    files: list[Found]
    skipped: list[Skipped]
    hidden: int
    searched: str


def select(patterns: tuple[str, ...], workspace: Path, *, include_hidden: bool) -> Selection:
    """Expand the patterns one after another; a later one overrules the earlier ones.

    Raises UploadError for a pattern that is no glob.
    """
    chosen: dict[str, Found | Skipped] = {}
    hidden: set[str] = set()
    searched: dict[str, None] = {}
    for pattern in patterns:
        path = _absolute(pattern.lstrip("!").strip(), workspace)
        if pattern.startswith("!"):
            excluded = _regex(path, workspace)
            chosen = {key: each for key, each in chosen.items() if not excluded.fullmatch(key.replace(os.sep, "/"))}
            continue
        base = _fixed(path, workspace)
        searched[f"{base} ({_state(base)})"] = None
        root = _root(base, workspace)
        wanted = _regex(path, workspace)
        for found, is_outward in _walk(base, root, None if include_hidden else hidden):
            if is_outward or wanted.fullmatch(found.replace(os.sep, "/")):
                chosen[os.path.normcase(found)] = _judge(found, root, workspace)
    files = sorted((each for each in chosen.values() if isinstance(each, Found)), key=lambda each: each.name)
    skipped = sorted(each for each in chosen.values() if isinstance(each, Skipped))
    return Selection(files, skipped, len(hidden), ", ".join(searched))


def looks_secret(file: Found) -> bool:
    """Tell whether a file's name, or for .git/config its content, says that it holds credentials."""
    if _GIT_CONFIG.search(file.name):
        try:
            with file.open() as stream:
                return bool(_GIT_SECRET.search(stream.read(64 * 1024)))
        except OSError:
            return False
    return bool(_SECRET_NAME.search(file.name)) and not _TEMPLATE_NAME.search(file.name)


def _absolute(pattern: str, workspace: Path) -> str:
    if os.sep != "/":
        pattern = pattern.replace("/", os.sep)
    return os.path.normpath(os.path.join(str(workspace), os.path.expanduser(pattern)))  # noqa: PTH111, PTH118 - Path has no normpath, and may not touch a pattern


def _fixed(path: str, workspace: Path) -> str:
    """Give the part of a pattern in which nothing is a wildcard; all of it, where it exists as it is written."""
    found = None if os.path.lexists(path) else _MAGIC.search(path, len(_literal(path, workspace)))
    return path[: path.rindex(os.sep, 0, found.start()) + 1].rstrip(os.sep) or os.sep if found else path


def _literal(path: str, workspace: Path) -> str:
    """Give the beginning of a pattern that is no glob, whatever characters it has: the whole if it exists so."""
    if os.path.lexists(path):
        return path
    return str(workspace) if _below(path, str(workspace)) else ""


def _regex(path: str, workspace: Path) -> re.Pattern[str]:
    """Give what the paths match that a pattern names, and everything below them; `/` between their parts."""
    literal = _literal(path, workspace) or os.path.splitdrive(path)[0]
    told = re.escape(literal.replace(os.sep, "/").rstrip("/"))
    for part in filter(None, path[len(literal) :].replace(os.sep, "/").split("/")):
        told += "(?:/[^/]+)*" if part == "**" else f"/{_component(part)}"
    try:
        return re.compile(told + "(?:/.*)?", re.DOTALL | (re.IGNORECASE if os.name == "nt" else 0))
    except re.error as error:
        raise UploadError("bad_input", name="path", why=f"{path!r} is no glob: {error}") from None


def _component(part: str) -> str:
    told, rest = "", part
    while rest:
        char, rest = rest[0], rest[1:]
        end = rest.find("]", 2 if rest[:1] in ("!", "^") else 1)
        if char == "[" and end > 0:
            inside, rest = rest[:end].replace("\\", "\\\\"), rest[end + 1 :]
            told += f"(?!/)[{'^' + inside[1:] if inside[0] in '!^' else inside}]"
        else:
            told += {"*": "[^/]*", "?": "[^/]"}.get(char) or re.escape(char)
    return told


def _walk(base: str, root: str, hidden: set[str] | None) -> Iterator[tuple[str, bool]]:
    """Give the path of all that is no folder at or below `base`, and whether it is a link to a folder outside `root`.

    Links to folders inside are followed after everything else, and no folder is walked twice. What begins with a dot
    is put into `hidden` instead, if that is given.
    """
    if not os.path.lexists(base):
        return
    is_outward = not _below(os.path.realpath(base), root)
    if is_outward or not os.path.isdir(base):  # noqa: PTH112 - strings all the way: names need not be valid text
        yield base, is_outward
        return
    seen: set[tuple[int, int]] = set()
    folders = [base]
    links: list[str] = []
    while folders or links:
        folder = folders.pop() if folders else links.pop(0)
        try:
            identity = _identity(os.stat(folder))  # noqa: PTH116 - as above
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
            elif _below(os.path.realpath(entry.path), root):
                links.append(entry.path)
            else:
                yield entry.path, True
        folders += reversed(below)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _root(base: str, workspace: Path) -> str:
    """Give the folder that links below `base` must not leave: the workspace, or what the pattern itself names."""
    inside = _below(base, str(workspace))
    return os.path.realpath(str(workspace) if inside else base)


def _judge(path: str, root: str, workspace: Path) -> Found | Skipped:
    name = _shown(path, str(workspace))
    real = os.path.realpath(path)
    if not _below(real, root):
        return Skipped(name, "a link that leads out of the workspace")
    try:
        told = os.lstat(real)
        if not stat.S_ISREG(told.st_mode):
            kind = next((kind for fits, kind in _KINDS if fits(told.st_mode)), "a device")
            return Skipped(name, kind)
        with _open(real) as stream:
            told = os.fstat(stream.fileno())  # what the same call will tell when it is read
    except FileNotFoundError:
        return Skipped(name, "a link that leads nowhere")
    except OSError as error:
        return Skipped(name, f"it cannot be read ({error.strerror or error})")
    return Found(real, name, told.st_size, _identity(told))


def _open(path: str) -> BinaryIO:
    return os.fdopen(os.open(path, _OPEN_FLAGS), "rb", buffering=0)


def _shown(path: str, workspace: str) -> str:
    """Give a path's name: relative to the workspace, or whole (without its root) where it lies elsewhere."""
    if _below(path, workspace):
        return os.path.relpath(path, workspace).replace(os.sep, "/")
    drive, rest = os.path.splitdrive(path)
    return f"{drive.rstrip(':')}{rest}".replace(os.sep, "/").lstrip("/")


def _below(path: str, folder: str) -> bool:
    path, folder = os.path.normcase(path), os.path.normcase(folder)
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _identity(told: os.stat_result) -> tuple[int, int]:
    return told.st_dev, told.st_ino


def _state(folder: str) -> str:
    try:
        return f"{len(os.listdir(folder))} entries"  # noqa: PTH208 - as above
    except NotADirectoryError:
        return "a file"
    except OSError:
        return "does not exist" if not os.path.lexists(folder) else "cannot be read"
