"""An archive on its way from GitHub, as a stream: its end can be read only if it is what GitHub announced."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import requests
from urllib3.exceptions import HTTPError

from oot_stats.reasons import RejectedError
from oot_stats.sources.downloads import bare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from oot_stats.sources.artifacts import Artifact
    from oot_stats.sources.github_api import GitHub


T = TypeVar("T")

_TRIES = 3


class _BrokenOffError(RejectedError):
    """The connection broke; another try may do."""


class Stream:
    """Reads pieces as a file is read. Reading raises RejectedError: then what was read is worth nothing."""

    def __init__(self, pieces: Iterable[bytes], digest: str, limit: int) -> None:
        self._pieces = iter(pieces)
        self._rest = b""
        self._digest = digest.removeprefix("sha256:")
        self._limit = limit
        self._hash = hashlib.sha256()
        self._size = 0

    def read(self, size: int = -1, /) -> bytes:
        """Read up to `size` bytes, all that is left by default."""
        whole = [self._rest]
        length = len(self._rest)
        while (size < 0 or length < size) and (piece := self._next()):
            whole.append(piece)
            length += len(piece)
        data = b"".join(whole)
        end = len(data) if size < 0 else size
        self._rest = data[end:]
        return data[:end]

    def _next(self) -> bytes:
        try:
            piece = next(self._pieces, b"")
        except (requests.RequestException, HTTPError, OSError) as error:
            raise _BrokenOffError("download_failed", f"It broke off: {type(error).__name__}.") from None
        self._hash.update(piece)
        self._size += len(piece)
        if self._size > self._limit:
            raise RejectedError("run_too_large", f"It has more than the {self._limit:,} bytes that are left for it.")
        if not piece and self._digest and self._digest != self._hash.hexdigest():
            raise RejectedError("wrong_digest", "It is not what GitHub announced: its SHA-256 differs.")
        return piece


def streamed(github: GitHub, artifact: Artifact, limit: int, use: Callable[[Stream], T]) -> T:
    """Give what `use` makes of an artifact; it is called again where the connection broke. Raises RejectedError."""
    for left in reversed(range(_TRIES)):
        try:
            with _opened(github, artifact, limit) as stream:
                return use(stream)
        except _BrokenOffError:
            if not left:
                raise
            github.sleep(2.0 ** (_TRIES - 1 - left))
    raise AssertionError("unreachable")


@contextmanager
def _opened(github: GitHub, artifact: Artifact, limit: int) -> Iterator[Stream]:
    if artifact.size > limit:
        raise RejectedError("run_too_large", f"It has {artifact.size:,} bytes, and {limit:,} are left for it.")
    pieces = bare(github.address(artifact))
    try:
        yield Stream(pieces, artifact.digest, limit)
    finally:
        if hasattr(pieces, "close"):  # a generator: its connection ends with it
            pieces.close()
