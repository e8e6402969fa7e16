"""What collect hands over, taken as hostile: bounded gzip, and one JSON line at a time checked against its table.

The job that wrote these files opened archives and XML of strangers, so nothing in them is believed: not their sizes,
not whose run they are about, not which jobs. What passes is written again from what was understood of it. The shapes
are those of pytorch's tools/stats/upload_test_stats.py, with the repository added.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import orjson
from isal import igzip, isal_zlib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Check = Callable[[object], bool]

LINE_BYTES = 8 * 1024 * 1024  # collect cuts a row at 1 MiB of text, which escaped may be six times that
MAX_DEPTH = 64
MAX_KEYS = 2_500
KEY_BYTES = 4096
MAX_JOB_ID = 2**63
_RATIO = 400  # rows that repeat compress about 40 to 1; deflate ends at 1,032
_FREE_BYTES = 64 * 1024 * 1024  # below this, no ratio is suspicious
_CHUNK = 1024 * 1024

REASONS = {
    "not_json": "is not one JSON object in UTF-8",
    "line_too_long": f"has more than {LINE_BYTES:,} bytes",
    "wrong_shape": "does not have its table's columns and types",
    "too_deep": f"is nested more than {MAX_DEPTH} deep",
    "too_many_keys": f"has an object with more than {MAX_KEYS} names, or a name beyond {KEY_BYTES} bytes",
    "wrong_run": "is about another run or attempt",
    "foreign_job": "names a job that is none of this run's",
}


class LineError(Exception):
    """A line that is left out; `code` is one of REASONS."""

    def __init__(self, code: str) -> None:
        super().__init__(REASONS[code])
        self.code = code


class FileError(Exception):
    """A file that is left out as a whole."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Run(NamedTuple):
    """Whose rows these must be, as GitHub tells it; `jobs` are the ids of the run's jobs, None where nobody asked."""

    repo: str
    run_id: int
    attempt: int
    jobs: frozenset[int] | None = None


class Limits(NamedTuple):
    """What one file may hold, decompressed."""

    file_bytes: int = 16 * 1024**3
    rows: int = 20_000_000


@dataclass
class Tally:
    """How a file went: rows that passed, and lines that did not, by reason; the first of these by number."""

    rows: int = 0
    bytes: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    examples: list[tuple[int, str]] = field(default_factory=list)

    def reject(self, line: int, code: str) -> None:
        """Count a line that is left out."""
        self.rejected[code] += 1
        if len(self.examples) < 20:
            self.examples.append((line, code))


def normalise(source: BinaryIO, table: str, run: Run, tally: Tally, limits: Limits | None = None) -> Iterator[bytes]:
    """Give the table's rows again, many to a piece of bytes, each line ended; what is left out is in `tally`.

    Raises FileError `bad_gzip`, `gzip_bomb`, `file_too_large` or `too_many_rows`; what came before is then worth
    nothing.
    """
    limits = limits or Limits()
    number = 0
    for lines in _lines(source, limits):
        kept = bytearray()
        for line in lines:
            number += 1
            if line is None:
                tally.reject(number, "line_too_long")
                continue
            try:
                kept += _row(line, table, run)
                tally.rows += 1
            except LineError as error:
                tally.reject(number, error.code)
        if number > limits.rows:
            raise FileError("too_many_rows", f"It has more than {limits.rows:,} lines.")
        tally.bytes += len(kept)
        if kept:
            yield bytes(kept)


def _lines(source: BinaryIO, limits: Limits) -> Iterator[list[bytes | None]]:
    """Split the decompressed stream, a batch at a time; None stands for a line that is too long to be looked at."""
    total, rest, skipping = 0, b"", False
    for chunk in _decompressed(source):
        total += len(chunk)
        if total > limits.file_bytes:
            raise FileError("file_too_large", f"It has more than {limits.file_bytes:,} bytes, decompressed.")
        if total > _FREE_BYTES and total > _RATIO * source.tell():
            raise FileError("gzip_bomb", f"It is compressed more than {_RATIO} to 1.")
        pieces: list[bytes | None] = [*(rest + chunk).split(b"\n")]
        rest = pieces.pop() or b""
        if skipping and pieces:  # the end of a line that was counted when it grew too long
            pieces, skipping = pieces[1:], False
        if skipping:
            rest = b""
        elif len(rest) > LINE_BYTES:
            pieces.append(None)
            rest, skipping = b"", True
        yield [None if piece is not None and len(piece) > LINE_BYTES else piece for piece in pieces]
    if rest:
        yield [rest]


def _decompressed(source: BinaryIO) -> Iterator[bytes]:
    try:
        with igzip.IGzipFile(fileobj=source, mode="rb") as stream:  # type: ignore[no-untyped-call]
            while chunk := stream.read(_CHUNK):
                yield chunk
    except (EOFError, OSError, ValueError, isal_zlib.error) as error:  # type: ignore[misc]  # its stubs call it a value
        raise FileError("bad_gzip", f"It is no gzip file, or a damaged one ({type(error).__name__}).") from None


def _row(line: bytes, table: str, run: Run) -> bytes:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:  # also NaN, an infinite number, and bytes that are no UTF-8
        raise LineError("not_json") from None
    if type(row) is not dict:
        raise LineError("not_json")
    columns = _COLUMNS[table]
    row["repo"] = run.repo  # whatever a test's attribute of that name says
    if table == "test_run_summary" and row.keys() != columns.keys():
        raise LineError("wrong_shape")
    try:
        fits = all(holds(row[name]) for name, holds in columns.items())
    except KeyError:
        raise LineError("wrong_shape") from None
    if not fits or not _RULES[table](row):
        raise LineError("wrong_shape")
    _check_bounds(row, line)
    # pytorch's script writes the run's id as its command line has it: as text, or as a number.
    if row["workflow_id"] not in (run.run_id, str(run.run_id)) or row["workflow_run_attempt"] != run.attempt:
        raise LineError("wrong_run")
    if run.jobs is not None and row["job_id"] is not None and row["job_id"] not in run.jobs:
        raise LineError("foreign_job")
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def _check_bounds(row: dict[str, Any], line: bytes) -> None:
    if len(row) > MAX_KEYS:
        raise LineError("too_many_keys")
    level: list[Any] = [row]
    # A row without brackets after its first has only plain values, as most have.
    flat = line.find(b"{", 1) < 0 and b"[" not in line
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for value in level:
            inner = value
            if type(value) is dict:
                if len(value) > MAX_KEYS or len(max(value, key=len, default="")) > KEY_BYTES:
                    raise LineError("too_many_keys")
                inner = value.values()
            if not flat:
                below += [each for each in inner if type(each) in (dict, list)]
        if not below:
            return
        level = below
    raise LineError("too_deep")


def _is_text(value: object) -> bool:
    return type(value) is str


def _is_name(value: object) -> bool:  # pytorch's script turns what looks like a number into one
    return value is None or type(value) in (str, int, float)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 10**9


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


def _is_job(value: object) -> bool:
    return value is None or (type(value) is int and 0 < value < MAX_JOB_ID)


_OF_EVERY_ROW: dict[str, Check] = {
    "workflow_id": lambda value: type(value) in (int, str),
    "workflow_run_attempt": _is_count,
    "job_id": _is_job,
    "invoking_file": _is_text,
    "repo": _is_text,
}
_COUNTS = ("failures", "errors", "skipped", "successes")
_COLUMNS: Mapping[str, Mapping[str, Check]] = {
    "test_run_summary": {
        **_OF_EVERY_ROW,
        "file": _is_name,
        "classname": _is_name,
        "time": _is_number,
        "tests": _is_count,
        **dict.fromkeys(_COUNTS, _is_count),
    },
    "failed_test_runs": _OF_EVERY_ROW,
    "test_run": _OF_EVERY_ROW,
}
_RULES: Mapping[str, Callable[[dict[str, Any]], bool]] = {
    "test_run_summary": lambda row: row["tests"] == sum([row[name] for name in _COUNTS]),
    "failed_test_runs": lambda row: "failure" in row or "error" in row or "rerun" in row,
    "test_run": lambda _row: True,
}
