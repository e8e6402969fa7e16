"""The folder that collect leaves behind: a file for each table with rows, and the manifest that tells of everything.

The manifest is written last, and its size is bounded: names are cut, and files are listed one by one only where there
is something to say about them.
"""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from oot_runner.workflow_commands import plain
from oot_stats.tables import TABLES

if TYPE_CHECKING:
    from pathlib import Path

    from oot_stats.reading.pool import Outcome, Segment
    from oot_stats.sources.artifacts import Artifact

MANIFEST = "manifest.json"
_PIECE = 1024 * 1024
_LONGEST = 300
_MOST_FILES = 20_000
_MOST_ARTIFACTS = 10_000


class Collected:
    """Takes outcomes in any order, and writes their rows in the order of their jobs: same input, same bytes."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError where the folder can't be written to."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for name in (*(f"{table}.jsonl.gz" for table in TABLES), MANIFEST):  # another run's must not be taken for ours
            (folder / name).unlink(missing_ok=True)
        self._next = 0
        self._early: dict[int, dict[str, Segment]] = {}
        self.tables: dict[str, dict[str, Any]] = {}
        self._digests = {table: hashlib.sha256() for table in TABLES}

    def add(self, outcome: Outcome) -> None:
        """Take a job's rows."""
        self._early[outcome.task] = outcome.segments
        while self._next in self._early:
            for table, segment in self._early.pop(self._next).items():
                self._write(table, segment)
            self._next += 1

    def _write(self, table: str, segment: Segment) -> None:
        told = self.tables.setdefault(table, {"rows": 0, "bytes": 0, "sha256": ""})
        position, digest = segment.start, self._digests[table]
        with (self._folder / f"{table}.jsonl.gz").open("ab") as file:
            while position < segment.end:
                piece = os.pread(segment.file.fileno(), min(_PIECE, segment.end - position), position)
                file.write(piece)
                digest.update(piece)
                position += len(piece)
        told["rows"] += segment.rows
        told["bytes"] += segment.end - segment.start
        told["sha256"] = digest.hexdigest()

    def finish(self, manifest: dict[str, Any]) -> None:
        """Write the manifest."""
        whole = {
            "schema_version": "1",
            **manifest,
            "collected_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "tables": self.tables,
        }
        text = json.dumps(_bounded(whole), ensure_ascii=False, indent=1)
        partial = self._folder / f"{MANIFEST}.partial"
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(self._folder / MANIFEST)


def artifact_entry(artifact: Artifact, fate: str, reason: str = "", detail: str = "") -> dict[str, Any]:
    """Give what the manifest tells of an artifact."""
    where = {"key": artifact.key} if artifact.source == "s3" else {"id": int(artifact.place)}
    return {
        "source": artifact.source,
        "name": artifact.name,
        **where,
        "attempt": artifact.attempt,
        "job_id": artifact.job_id,
        "bytes": artifact.size,
        "fate": fate,
        "reason": reason,
        "detail": detail,
    }


def _bounded(manifest: dict[str, Any]) -> dict[str, Any]:
    """Keep the size within reason, whatever the run was."""
    artifacts = manifest["artifacts"]
    files = 0
    for artifact in artifacts:
        told = artifact.get("files", [])
        if files + len(told) > _MOST_FILES:
            artifact["files"] = told[: max(_MOST_FILES - files, 0)]
        files += len(told)
    manifest["artifacts"] = artifacts[:_MOST_ARTIFACTS]
    manifest["artifacts_not_listed"] = max(len(artifacts) - _MOST_ARTIFACTS, 0)
    manifest["fallbacks"] = manifest["fallbacks"][:_MOST_ARTIFACTS]
    shown: dict[str, Any] = _shown(manifest)
    return shown


def _shown(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, str):
        return " ".join(plain(value).split())[:_LONGEST]
    if isinstance(value, dict):
        return {name: _shown(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_shown(inner) for inner in value]
    return value
