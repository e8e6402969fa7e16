"""Which object of S3 belongs to which ClickHouse table, and the SQL that turns its lines into that table's columns.

An object is gzip JSON lines under `<prefix>/<workflow_run_id>/<run_attempt>`, rows as pytorch's
`tools/stats/upload_test_stats.py` writes them. The SQL reads each line as text and takes the columns out by name, so
a line that is no row is known by its number and spoils no other.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# What a column's JSON may be; the children of a test case come alone as an object, or as a list of them.
_TEXT, _WHOLE, _REAL = "String", "Nullable(Int64)", "Nullable(Float64)"
_OUTCOME = "Tuple(type String, message String, text String)"
_RERUN = "Tuple(message String, text String)"
_PROPERTY = "Tuple(name String, value String)"
_OUTPUT = "Tuple(text String)"
_NUMBERS = (_WHOLE, _REAL)

_SUMMARY = {
    "classname": _TEXT,
    "errors": _WHOLE,
    "failures": _WHOLE,
    "file": _TEXT,
    "invoking_file": _TEXT,
    "job_id": _WHOLE,
    "repo": _TEXT,
    "skipped": _WHOLE,
    "successes": _WHOLE,
    "tests": _WHOLE,
    "time": _REAL,
}
_CASE = {
    "classname": _TEXT,
    "duration": _REAL,
    "error": _OUTCOME,
    "failure": _OUTCOME,
    "file": _TEXT,
    "invoking_file": _TEXT,
    "job_id": _WHOLE,
    "line": _WHOLE,
    "name": _TEXT,
    "properties": _PROPERTY,
    "repo": _TEXT,
    "rerun": _RERUN,
    "result": _TEXT,
    "skipped": _OUTCOME,
    "status": _TEXT,
    "system-err": _OUTPUT,
    "system-out": _OUTPUT,
    "time": _REAL,
    "type_param": _TEXT,
    "value_param": _TEXT,
}
_TABLES = {
    "test_run_summary": ("default.test_run_summary", _SUMMARY),
    "failed_test_runs": ("default.failed_test_runs", _CASE),
    "test_run": ("default.test_run_s3", _CASE),
}
PREFIXES = tuple(_TABLES)
_KEY = re.compile(rf"({'|'.join(_TABLES)})/([1-9][0-9]{{0,17}})/([1-9][0-9]{{0,8}})")
_PREFIX = re.compile(rf"({'|'.join(_TABLES)})/([1-9][0-9]*(/[0-9]*)?)?")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class Object(NamedTuple):
    """One object: where its rows go, and the run that its key names. Nothing in it needs escaping."""

    bucket: str
    key: str
    table: str
    workflow_id: int
    workflow_run_attempt: int
    shape: dict[str, str]


def parse_key(bucket: str, key: str) -> Object:
    """Give the object of a key. Raises ValueError for a bucket or key that can't hold test stats."""
    if not _BUCKET.fullmatch(bucket):
        raise ValueError(f"{bucket[:100]!r} is not the name of a bucket")
    told = _KEY.fullmatch(key)
    if told is None:
        raise ValueError(f"{key[:200]!r} is not <{'|'.join(_TABLES)}>/<workflow_run_id>/<run_attempt>")
    table, shape = _TABLES[told[1]]
    return Object(bucket, key, table, int(told[2]), int(told[3]), shape)


def check_prefix(bucket: str, prefix: str) -> None:
    """Raise ValueError for what is not a prefix of such keys: it becomes part of a glob."""
    if not _BUCKET.fullmatch(bucket):
        raise ValueError(f"{bucket[:100]!r} is not the name of a bucket")
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(f"{prefix[:200]!r} is not <{'|'.join(_TABLES)}>/, with a run's id and a / or without")


def quoted(text: str) -> str:
    """Write a string literal of ClickHouse's SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def lines_sql(which: Object, source: str, etag: str) -> str:
    """Give the subquery of an object's lines: `row_number` from 1, `line`, `cells`, and `bad` ("" for a row).

    `source` is the s3() that reads it. Lines of another content than `etag` are left out.
    """
    types = ", ".join(f"`{name}` {kind if kind in _NUMBERS else _TEXT}" for name, kind in which.shape.items())
    reasons = [
        "NOT isValidJSON(line), 'is not valid JSON'",
        "JSONType(line) != 'Object', 'is not a JSON object'",
        *(
            f"isNull(tupleElement(cells, '{name}')) AND JSONType(line, '{name}') != 'Null', '{name} is not a number'"
            for name, kind in which.shape.items()
            if kind in _NUMBERS
        ),
    ]
    return f"""(
        SELECT row_number, line, JSONExtract(line, 'Tuple({types})') AS cells, multiIf({", ".join(reasons)}, '') AS bad
        FROM (SELECT line, _etag, rowNumberInAllBlocks() + 1 AS row_number FROM {source})
        WHERE trim(BOTH '"' FROM _etag) = {quoted(etag)} AND trim(BOTH ' \\t\\r' FROM line) != ''
    )"""  # noqa: S608 - our own names, and a quoted literal


def insert_sql(which: Object, source: str, etag: str, version: int) -> str:
    """Give the INSERT that writes an object's good lines; the run comes from the key, whatever the lines say."""
    columns = {name: _cell(name, kind) for name, kind in which.shape.items()} | {
        "workflow_id": str(which.workflow_id),
        "workflow_run_attempt": str(which.workflow_run_attempt),
        "meta": f"({quoted(which.bucket)}, {quoted(which.key)})",
        "row_number": "row_number",
        "version": str(version),
    }
    names = ", ".join(f"`{name}`" for name in columns)
    return f"""
        INSERT INTO {which.table} ({names})
        SELECT {", ".join(columns.values())}
        FROM {lines_sql(which, source, etag)} WHERE bad = ''
    """  # noqa: S608 - our own names, and quoted literals


def _cell(name: str, kind: str) -> str:
    told = f"tupleElement(cells, '{name}')"
    if kind == _TEXT:
        return told
    if kind in _NUMBERS:
        return f"ifNull({told}, 0)"
    if kind == _PROPERTY:
        told = f"JSONExtractRaw({told}, 'property')"
    children = (
        f"multiIf({told} = '', [], startsWith({told}, '['), JSONExtract({told}, 'Array({kind})'), "
        f"startsWith({told}, '{{'), [JSONExtract({told}, '{kind}')], [{_bare(told, kind)}])"
    )
    return f"arrayMap(child -> child.text, {children})" if kind == _OUTPUT else children


def _bare(told: str, kind: str) -> str:
    """Keep a bare string, which JSON made by others may have in a child's place."""
    values = {_OUTCOME: f"('', {told}, '')", _RERUN: f"({told}, '')", _PROPERTY: f"('', {told})"}
    return f"CAST({values.get(kind, f'tuple({told})')}, '{kind}')"
