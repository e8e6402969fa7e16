"""The tables while they grow: rows of a report wait until it is whole, then go compressed into their table's file."""

from __future__ import annotations

import tempfile
from typing import IO, TYPE_CHECKING

from isal import isal_zlib

if TYPE_CHECKING:
    from collections.abc import Iterator

_IN_MEMORY = 4 * 1024 * 1024
_PIECE = 256 * 1024
_LEVEL = 2  # on such rows smaller than zlib's 6, at ten times its speed
_GZIP = 31  # zlib's number for gzip's format; its header holds no time, so equal rows are equal bytes


class Spool:
    """Bytes that wait; beyond a few MB they wait on disk."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._file: IO[bytes] | None = None

    def write(self, data: bytes) -> None:
        """Take some bytes."""
        self._pieces.append(data)
        self._size += len(data)
        if self._size > _IN_MEMORY:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the spool
            self._file.write(b"".join(self._pieces))
            self._pieces, self._size = [], 0

    def pieces(self) -> Iterator[bytes]:
        """Give everything, in order; then it is empty."""
        if self._file is not None:
            self._file.seek(0)
            while piece := self._file.read(_PIECE):
                yield piece
        yield b"".join(self._pieces)
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._pieces, self._size = [], 0
        if self._file is not None:
            self._file.close()
            self._file = None


class Waiting:
    """The rows of the report that is being read: a Sink."""

    def __init__(self, *, wants_all: bool) -> None:
        self.wants_all = wants_all
        self.spools = {"failed_test_runs": Spool(), "test_run": Spool()}

    def all(self, lines: bytes) -> None:
        self.spools["test_run"].write(lines)

    def failed(self, lines: bytes) -> None:
        self.spools["failed_test_runs"].write(lines)

    def start_again(self) -> None:
        for spool in self.spools.values():
            spool.clear()


class Table:
    """One table's file: a gzip member for each job that has rows in it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._compressor: isal_zlib.Compress | None = None
        self._rows = 0

    def write(self, lines: bytes) -> None:
        """Add JSON lines."""
        if not lines:
            return
        if self._compressor is None:
            self._compressor = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP)
        self._rows += lines.count(b"\n")
        self._file.write(self._compressor.compress(lines))

    def finish(self) -> int:
        """End the member, so that all of it is in the file; gives how many rows it has."""
        if self._compressor is not None:
            self._file.write(self._compressor.flush())
            self._compressor = None
        self._file.flush()
        rows, self._rows = self._rows, 0
        return rows
