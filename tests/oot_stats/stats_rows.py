"""Rows as collect writes them, and files of them."""

from __future__ import annotations

import gzip
import hashlib
import json
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

REPO, RUN_ID, ATTEMPT, JOB = "spec/backend", 240, 2, 77
_OF_EVERY_ROW: dict[str, Any] = {
    "workflow_id": RUN_ID,
    "workflow_run_attempt": ATTEMPT,
    "job_id": JOB,
    "invoking_file": "test_ops",
}
PASSING: dict[str, Any] = {
    "name": "test_add",
    "classname": "TestOps",
    "file": "test_ops.py",
    "time": 0.5,
    **_OF_EVERY_ROW,
}
FAILING: dict[str, Any] = {**PASSING, "name": "test_sub", "failure": {"message": "1 != 2", "text": "Traceback …"}}
SUMMARY: dict[str, Any] = {
    "file": "test_ops.py",
    "classname": "TestOps",
    **_OF_EVERY_ROW,
    "tests": 2,
    "failures": 1,
    "errors": 0,
    "skipped": 0,
    "successes": 1,
    "time": 1.0,
}


def packed(rows: Iterable[bytes | Mapping[str, Any]]) -> bytes:
    """Gzip rows as JSON lines; bytes are lines as they are."""
    lines = [row if isinstance(row, bytes) else orjson.dumps(row) for row in rows]
    return gzip.compress(b"".join(line + b"\n" for line in lines), 1, mtime=0)


def collected(folder: Path, tables: Mapping[str, Sequence[bytes | Mapping[str, Any]]], **changes: Any) -> Path:
    """Write what collect would: a file a table, and the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    told = {}
    for table, rows in tables.items():
        data = packed(rows)
        (folder / f"{table}.jsonl.gz").write_bytes(data)
        told[table] = {"rows": len(rows), "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest = {
        "schema_version": "1",
        "repo": REPO,
        "workflow_run_id": RUN_ID,
        "workflow_run_attempt": ATTEMPT,
        "collected_at": "2026-11-21T20:00:00Z",
        "tables": told,
        "totals": {"artifacts": 1, "cases": 2},
        "artifacts": [{"source": "github", "name": f"test-reports-runattempt{ATTEMPT}-x_{JOB}", "fate": "parsed"}],
        "fallbacks": [],
        **changes,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
