"""The tables while they grow: a report's rows wait compressed until it is whole, then they are appended."""

from __future__ import annotations

import shutil
import tempfile
from typing import IO

from isal import isal_zlib

_IN_MEMORY = 4 * 1024 * 1024  # beyond it rows wait on disk
_LEVEL = 2  # on such rows smaller than zlib's 6, at ten times its speed
_GZIP = 31  # zlib's number for gzip's format; its header holds no time, so equal rows are equal bytes


class Member:
    """JSON lines on their way into a table's file, as a gzip member of their own."""

    def __init__(self) -> None:
        self.rows = 0
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed once appended
        self._compressor = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP)

    def write(self, lines: bytes) -> None:
        """Add lines."""
        self.rows += lines.count(b"\n")
        self._file.write(self._compressor.compress(lines))

    def append_to(self, table: IO[bytes]) -> int:
        """End the member and append it, so that all of it is in the table's file; return how many rows it has."""
        self._file.write(self._compressor.flush())
        self._file.seek(0)
        shutil.copyfileobj(self._file, table)
        table.flush()
        self._file.close()
        return self.rows


class Rows:
    """The rows of the report that is being read: a Sink. `wants_all`: not only those of failed test cases."""

    def __init__(self, *, wants_all: bool) -> None:
        self.wants_all = wants_all
        self.members: dict[str, Member] = {}

    def all(self, lines: bytes) -> None:
        self._add("test_run", lines)

    def failed(self, lines: bytes) -> None:
        self._add("failed_test_runs", lines)

    def _add(self, table: str, lines: bytes) -> None:
        if lines:
            if table not in self.members:
                self.members[table] = Member()
            self.members[table].write(lines)
