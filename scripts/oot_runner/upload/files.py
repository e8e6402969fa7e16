"""Which files `path` names: its globs expanded, and what must not or cannot be uploaded left out by name.

Tests are other people's code: a link that they leave behind must not carry a file from outside into the archive.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from typing import TYPE_CHECKING, BinaryIO, Callable, NamedTuple

from oot_runner import globs
from oot_runner.upload.manifest import Skipped
from oot_runner.upload.messages import UploadError

if TYPE_CHECKING:
    from pathlib import Path

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
        if globs.identity_of(os.fstat(stream.fileno())) != self.identity:
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
        path = globs.absolute(pattern.lstrip("!").strip(), workspace)
        if pattern.startswith("!"):
            excluded = _matcher(path, workspace)
            chosen = {key: each for key, each in chosen.items() if not excluded(key)}
            continue
        base = globs.fixed(path, workspace)
        searched[f"{base} ({_state(base)})"] = None
        root = _root(base, workspace)
        wanted = _matcher(path, workspace)
        for found, is_outward in globs.walk(base, root, None if include_hidden else hidden):
            if is_outward or wanted(found):
                chosen[os.path.normcase(found)] = _judge(found, root, workspace)
    files = sorted((each for each in chosen.values() if isinstance(each, Found)), key=lambda each: each.name)
    skipped = sorted(each for each in chosen.values() if isinstance(each, Skipped))
    return Selection(files, skipped, len(hidden), ", ".join(searched))


def _matcher(path: str, workspace: Path) -> Callable[[str], bool]:
    try:
        return globs.matcher(path, workspace, below=True)
    except re.error as error:
        raise UploadError("bad_input", name="path", why=f"{path!r} is no glob: {error}") from None


def looks_secret(file: Found) -> bool:
    """Tell whether a file's name, or for .git/config its content, says that it holds credentials."""
    if _GIT_CONFIG.search(file.name):
        try:
            with file.open() as stream:
                return bool(_GIT_SECRET.search(stream.read(64 * 1024)))
        except OSError:
            return False
    return bool(_SECRET_NAME.search(file.name)) and not _TEMPLATE_NAME.search(file.name)


def _root(base: str, workspace: Path) -> str:
    """Give the folder that links below `base` must not leave: the workspace, or what the pattern itself names."""
    inside = globs.is_below(base, str(workspace))
    return os.path.realpath(str(workspace) if inside else base)


def _judge(path: str, root: str, workspace: Path) -> Found | Skipped:
    name = _shown(path, str(workspace))
    real = os.path.realpath(path)
    if not globs.is_below(real, root):
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
    return Found(real, name, told.st_size, globs.identity_of(told))


def _open(path: str) -> BinaryIO:
    return os.fdopen(os.open(path, _OPEN_FLAGS), "rb", buffering=0)


def _shown(path: str, workspace: str) -> str:
    """Give a path's name: relative to the workspace, or whole (without its root) where it lies elsewhere."""
    if globs.is_below(path, workspace):
        return os.path.relpath(path, workspace).replace(os.sep, "/")
    drive, rest = os.path.splitdrive(path)
    return f"{drive.rstrip(':')}{rest}".replace(os.sep, "/").lstrip("/")


def _state(folder: str) -> str:
    try:
        return f"{len(os.listdir(folder))} entries"  # noqa: PTH208 - as above
    except NotADirectoryError:
        return "a file"
    except OSError:
        return "does not exist" if not os.path.lexists(folder) else "cannot be read"
