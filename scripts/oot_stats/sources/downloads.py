"""Archives on their way to a file that has no name: within the quotas, checked against what the source announced."""

from __future__ import annotations

import hashlib
import tempfile
import threading
import time
from typing import IO, TYPE_CHECKING

import requests

from oot_stats.reasons import RejectedError
from oot_stats.sources.github_api import is_fetched, session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from oot_stats.limits import Limits
    from oot_stats.sources.artifacts import Artifact

_PIECE = 256 * 1024
_TIMEOUT = (10, 60)
_TRIES = 3
_GONE = (404, 410)


class Downloads:
    """Fetches archives; the quota of the whole run is shared by all threads."""

    def __init__(self, limits: Limits, sleep: Callable[[float], None] = time.sleep) -> None:
        self._limits = limits
        self._sleep = sleep
        self._total = 0
        self._lock = threading.Lock()

    @property
    def total_bytes(self) -> int:
        """How much has been fetched."""
        return self._total

    def fetch(self, artifact: Artifact, pieces: Callable[[], Iterable[bytes]]) -> IO[bytes]:
        """Give an open file with what `pieces` gives, which is called again where the connection breaks.

        Raises RejectedError, also what `pieces` raises.
        """
        if artifact.size > self._limits.artifact_bytes:
            raise self._too_large(artifact.size)
        for left in reversed(range(_TRIES)):
            file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
            try:
                self._store(artifact, pieces(), file)
            except (OSError, requests.RequestException) as error:
                file.close()
                if not left:
                    raise RejectedError("download_failed", f"It broke off: {type(error).__name__}.") from None
                self._sleep(2.0 ** (_TRIES - 1 - left))
            except BaseException:
                file.close()
                raise
            else:
                file.seek(0)
                return file
        raise AssertionError("unreachable")

    def _store(self, artifact: Artifact, pieces: Iterable[bytes], file: IO[bytes]) -> None:
        size, digest = 0, hashlib.sha256()
        for piece in pieces:
            size += len(piece)
            if size > self._limits.artifact_bytes:
                raise self._too_large(size)
            with self._lock:
                self._total += len(piece)
                if self._total > self._limits.bytes:
                    limit = self._limits.bytes
                    raise RejectedError("run_too_large", f"The run's archives have more than {limit:,} bytes together.")
            if artifact.digest:
                digest.update(piece)
            file.write(piece)
        announced = artifact.digest.removeprefix("sha256:")
        if artifact.digest.startswith("sha256:") and announced != digest.hexdigest():
            raise RejectedError("wrong_digest", "It is not what the source announced: its SHA-256 differs.")
        file.flush()

    def _too_large(self, size: int) -> RejectedError:
        limit = self._limits.artifact_bytes
        return RejectedError("artifact_too_large", f"It has {size:,} bytes or more; archives up to {limit:,} are read.")


def bare(url: str) -> Iterable[bytes]:
    """Give what is at an address, asked for without any credential but the address itself.

    Raises RejectedError, and what requests raises where the connection breaks.
    """
    if not is_fetched(url):
        raise RejectedError("bad_redirect", "It is neither https nor on this machine.")
    headers = {"Accept-Encoding": "identity"}
    with (
        session(url) as client,
        client.get(url, headers=headers, stream=True, allow_redirects=False, timeout=_TIMEOUT) as answer,
    ):
        if answer.status_code in _GONE:
            raise RejectedError("gone", f"Its storage answered {answer.status_code}: it is there no longer.")
        if 300 <= answer.status_code < 400:
            raise RejectedError("bad_redirect", "Its storage points somewhere else.")
        if answer.status_code >= 500 or answer.status_code == 429:
            raise requests.ConnectionError(f"HTTP {answer.status_code}")
        if answer.status_code != 200:
            raise RejectedError("download_failed", f"Its storage answered {answer.status_code}.")
        announced = answer.headers.get("Content-Length", "")
        size = 0
        for piece in answer.raw.stream(_PIECE, decode_content=False):
            size += len(piece)
            yield piece
        if announced.isdecimal() and int(announced) != size:
            raise requests.ConnectionError("it ended too early")
