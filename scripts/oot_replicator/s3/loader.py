"""Loads objects of S3 into ClickHouse, which pulls them itself: the same object adds nothing, a changed one replaces.

A load reads the object once to count its good and its bad lines, which proves that it is whole, notes that it begins,
inserts, drops what an earlier content left behind, and notes that it is done. Rows are keyed by run and line number
and versioned by when the object was written and read, so a load that is cut, repeated, or overtaken by a newer one
ends in the same rows. Readers with FINAL never see a row twice; those without may, between the last two steps.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from clickhouse_connect.driver.exceptions import ClickHouseError
from urllib3.exceptions import HTTPError

from hud_endpoint.clickhouse.connection import connect
from hud_endpoint.clickhouse.ddl import insert_columns
from oot_replicator.s3.source import S3Source, source_from_environment
from oot_replicator.s3.tables import Object, check_prefix, insert_sql, lines_sql, parse_key, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clickhouse_connect.driver.client import Client

log = logging.getLogger(__name__)

LOADS_TABLE = "default.oot_s3_loads"
ERRORS_TABLE = "default.oot_replication_errors"
KEPT_BAD_LINES = 1000  # of each object; all are counted
KEPT_LINE_CHARACTERS = 16_384
_TRIES = 3
# One thread reads in order, which gives each line its number. A bomb ends at the memory limit, alone.
_SETTINGS = {
    "max_threads": 1,
    "max_insert_threads": 1,
    "input_format_parallel_parsing": 0,
    "insert_deduplicate": 0,
    "max_memory_usage": 4 * 1024**3,
    "max_execution_time": 900,
    "s3_skip_empty_files": 0,
    "s3_retry_attempts": 8,  # a few seconds: who sent the event sends it again
}
# ClickHouse's error codes that the object itself is to blame for: what can't be inflated (354), read (6, 27, 117) or
# held (241 memory, 159 time), and tables of somebody else.
_OBJECT_CODES = frozenset({6, 27, 117, 159, 241, 354})

State = Literal["loaded", "unchanged", "failed", "unavailable"]


class Loaded(NamedTuple):
    """What became of a key. `error` is None when every line is in the table.

    `state`: loaded, unchanged (had been loaded before), failed (will fail again until somebody mends the object), or
    unavailable (S3 or ClickHouse was away: try again).
    """

    key: str
    table: str
    rows: int
    error: str | None
    state: State = "loaded"
    bad_lines: int = 0


class ObjectError(Exception):
    """An object that can't be loaded as it is."""


class _Head(NamedTuple):
    etag: str
    version: int


_TIE_BREAK = 1000  # apart what is loaded at the same moment: rows of one version would stay twice


class _Load(NamedTuple):
    etag: str = ""
    state: str = ""
    rows: int = 0
    bad_lines: int = 0
    version: int = 0


class S3Loader:
    """Loads objects through one ClickHouse client; not to be shared between threads."""

    def __init__(self, client: Client, source: S3Source) -> None:
        self._client = client
        self._source = source
        self._checked: set[str] = set()

    @classmethod
    def from_environment(cls) -> S3Loader:
        """Connect as CLICKHOUSE_URL, AWS_ENDPOINT_URL, AWS_REGION and S3_CREDENTIALS say.

        Raises ValueError for wrong settings, and clickhouse_connect's errors when the server is away.
        """
        source = source_from_environment()
        return cls(connect(os.environ.get("CLICKHOUSE_URL", "http://127.0.0.1:8123"), read_timeout=960), source)

    def load(self, bucket: str, keys: Iterable[str], *, force: bool = False) -> list[Loaded]:
        """Load the objects, each by itself; with `force`, those too that are there already. Raises nothing."""
        return [self._try(bucket, key, force=force) for key in dict.fromkeys(keys)]

    def keys(self, bucket: str, prefix: str) -> list[str]:
        """List the keys of test stats under a prefix. Raises ValueError for another prefix, and ClickHouse's errors."""
        check_prefix(bucket, prefix)
        # S3 lists what starts with the part before the glob; `**` goes through the folders below.
        listing = self._source.sql(f"{bucket}/{prefix}**", "One")
        paths = self._client.query(f"SELECT DISTINCT _path FROM {listing} ORDER BY _path").result_rows  # noqa: S608
        return [path.removeprefix(f"{bucket}/") for (path,) in paths]

    def to_replay(self) -> list[tuple[str, str]]:
        """Give bucket and key of every object that something is wrong with."""
        rows = self._client.query(
            f"SELECT DISTINCT record_id FROM {ERRORS_TABLE} WHERE source = 's3' ORDER BY record_id"  # noqa: S608
        ).result_rows
        return [(bucket, key) for bucket, _, key in (record_id.partition("/") for (record_id,) in rows)]

    def _try(self, bucket: str, key: str, *, force: bool) -> Loaded:
        table = ""
        try:
            which = parse_key(bucket, key)
            table = which.table
            return self._load(which, force=force)
        except (ValueError, ObjectError) as error:
            return self._failed(bucket, key, Loaded(key, table, 0, str(error), "failed"))
        except (ClickHouseError, HTTPError, OSError) as error:
            told = self._source.hidden(" ".join(str(error).split()))[:1000]
            state: State = "failed" if _blames_the_object(told) else "unavailable"
            return self._failed(bucket, key, Loaded(key, table, 0, told, state))

    def _load(self, which: Object, *, force: bool) -> Loaded:
        self._check_table(which.table)
        for _ in range(_TRIES):
            head, before = self._head(which), self._noted(which)
            if not force and before.state == "loaded" and before.etag == head.etag:
                self._drop_older(which, before.version)
                told = _bad_told(before.bad_lines)
                return Loaded(which.key, which.table, before.rows, told, "unchanged", before.bad_lines)
            lines = lines_sql(which, self._text(which), head.etag)
            good, bad = self._row(f"SELECT countIf(bad = ''), countIf(bad != '') FROM {lines}")  # noqa: S608
            load = _Load(head.etag, "loading", good, bad, head.version)
            self._note(which, load)
            self._client.command(insert_sql(which, self._text(which), head.etag, head.version), settings=_SETTINGS)
            if self._landed(which, head.version) == good and self._head(which).etag == head.etag:
                self._drop_older(which, head.version)
                self._keep_bad_lines(which, lines, bad)
                self._note(which, load._replace(state="loaded"))
                return Loaded(which.key, which.table, good, _bad_told(bad), "loaded", bad)
        raise ObjectError(f"the object changed during each of {_TRIES} loads: load it again when it is at rest")

    def _text(self, which: Object) -> str:
        return self._source.sql(f"{which.bucket}/{which.key}", "LineAsString", "line String", "gzip")

    def _row(self, sql: str) -> tuple[Any, ...]:
        return tuple(self._client.query(sql, settings=_SETTINGS).result_rows[0])

    def _check_table(self, table: str) -> None:
        if table in self._checked:
            return
        names = {column.name for column in insert_columns(self._client, table)}
        if not {"row_number", "version"} <= names:
            raise ObjectError(
                f"{table} has no columns row_number and version: it is not this project's, and rows would double. "
                "Leave it to the replicator it belongs to, or rename it and run `oot-hud tables`."
            )
        self._checked.add(table)

    def _head(self, which: Object) -> _Head:
        """Give the object's ETag, and a version above all that was loaded of it when it was older, or read earlier.

        Seconds when it was written, then tenths of seconds since (up to a day), then what breaks ties.
        """
        source = self._source.sql(f"{which.bucket}/{which.key}", "One")
        etag, written, now = self._row(
            f"SELECT trim(BOTH '\"' FROM _etag), toUnixTimestamp(_time), toUnixTimestamp64Milli(now64(3)) FROM {source}"  # noqa: S608
        )
        age = min(max(now - written * 1000, 0) // 100, 10**6 - 1)
        _, newest = self._versions(which)
        tie_break = secrets.randbelow(_TIE_BREAK)
        return _Head(etag, max((written * 10**6 + age) * _TIE_BREAK, newest + 1) + tie_break)

    def _versions(self, which: Object) -> tuple[int, int]:
        """Give the oldest and the newest version of the run's rows; 0 where there is none."""
        oldest, newest = self._row(f"SELECT min(version), max(version) FROM {which.table} WHERE {_run(which)}")  # noqa: S608
        return int(oldest), int(newest)

    def _landed(self, which: Object, version: int) -> int:
        count, *_ = self._row(f"SELECT count() FROM {which.table} WHERE {_run(which)} AND version = {version}")  # noqa: S608
        return int(count)

    def _drop_older(self, which: Object, version: int) -> None:
        """Drop the rows of older contents, this load's own among them when a newer one has overtaken it."""
        oldest, newest = self._versions(which)
        if newest and oldest < max(newest, version):
            self._client.command(
                f"DELETE FROM {which.table} WHERE {_run(which)} AND version < {max(newest, version)}"  # noqa: S608
            )

    def _noted(self, which: Object) -> _Load:
        rows = self._client.query(
            f"SELECT etag, state, rows, bad_lines, version FROM {LOADS_TABLE} FINAL "  # noqa: S608
            f"WHERE bucket = {quoted(which.bucket)} AND key = {quoted(which.key)}"
        ).result_rows
        return _Load(*rows[0]) if rows else _Load()

    def _note(self, which: Object, load: _Load) -> None:
        self._client.insert(
            LOADS_TABLE, [[which.bucket, which.key, *load]], column_names=["bucket", "key", *_Load._fields]
        )

    def _keep_bad_lines(self, which: Object, lines: str, bad: int) -> None:
        """Replace what is on record of the object by the lines that are bad now."""
        record = quoted(f"{which.bucket}/{which.key}")
        recorded = f"FROM {ERRORS_TABLE} WHERE source = 's3' AND record_id = {record}"
        if self._row(f"SELECT count() {recorded}") != (0,):
            self._client.command(f"DELETE {recorded}")
        if bad:
            self._client.command(
                f"INSERT INTO {ERRORS_TABLE} (source, record_id, sequence_number, reason, record) "  # noqa: S608
                f"SELECT 's3', {record}, toString(row_number), concat('line ', toString(row_number), ' ', bad), "
                f"toValidUTF8(substringUTF8(line, 1, {KEPT_LINE_CHARACTERS})) "
                f"FROM {lines} WHERE bad != '' LIMIT {KEPT_BAD_LINES}",
                settings=_SETTINGS,
            )

    def _failed(self, bucket: str, key: str, outcome: Loaded) -> Loaded:
        """Put the failure on record, where it can be: what is not recorded is to be tried again."""
        log.error("s3://%s/%s: %s", bucket, ascii(key), outcome.error)
        told = ("s3", f"{bucket}/{key}", "", outcome.error or "", json.dumps({"bucket": bucket, "key": key}))
        row = [text.encode(errors="backslashreplace").decode() for text in told]
        names = ["source", "record_id", "sequence_number", "reason", "record"]
        try:
            self._client.insert(ERRORS_TABLE, [row], column_names=names)
        except (ClickHouseError, HTTPError, OSError):
            return outcome._replace(state="unavailable")
        return outcome


def _run(which: Object) -> str:
    return f"workflow_id = {which.workflow_id} AND workflow_run_attempt = {which.workflow_run_attempt}"


def _bad_told(bad: int) -> str | None:
    return f"{bad} lines are no rows and were left out; they are in {ERRORS_TABLE}" if bad else None


def _blames_the_object(told: str) -> bool:
    code = re.search(r"\bcode: (\d+)", told)
    gone = "HTTP response code: 404" in told or "NoSuchKey" in told
    return code is not None and (int(code[1]) in _OBJECT_CODES or (code[1] == "499" and gone))
