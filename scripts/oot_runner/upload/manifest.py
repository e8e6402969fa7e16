"""The manifest that goes with every upload: what was stored, and what was left out and why, so that loss is visible.

In an archive it is the last member, `oot-hud-manifest.json`. The readers of `test-jsons` expect only their own files
there, so theirs lies beside the archive. It holds no time, so that the same files make the same bytes.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

MEMBER = "oot-hud-manifest.json"
SCHEMA_VERSION = "1"
SKIPPED_LISTED = 1000
BESIDE = ("test-jsons",)


class Place(NamedTuple):
    """Where an upload comes from; ids are strings, `matrix` is the leg's values."""

    repository: str
    run_id: str
    run_attempt: str
    job_name: str
    job_id: str
    matrix: dict[str, Any] | None
    server_url: str

    @property
    def run_url(self) -> str:
        """The run's page."""
        return f"{self.server_url}/{self.repository}/actions/runs/{self.run_id}"


class Stored(NamedTuple):
    """A file as it was stored: its path in the archive, and the path it had before where that differs."""

    path: str
    size: int
    sha256: str
    source: str = ""


class Skipped(NamedTuple):
    """A file that was left out, and why."""

    path: str
    reason: str


def render(place: Place, kind: str, name: str, stored: list[Stored], skipped: list[Skipped]) -> bytes:
    """Give the manifest as JSON."""
    value = {
        "schema_version": SCHEMA_VERSION,
        "repo": place.repository,
        "workflow_run_id": place.run_id,
        "workflow_run_attempt": place.run_attempt,
        "job": place.job_name,
        "job_id": place.job_id,
        "matrix": place.matrix,
        "kind": kind,
        "name": name,
        "files": [{key: value for key, value in file._asdict().items() if value or key != "source"} for file in stored],
        "skipped": [file._asdict() for file in skipped[:SKIPPED_LISTED]],
        "skipped_total": len(skipped),
    }
    # Lone surrogates, which names may have and strict readers of JSON refuse, become question marks.
    return json.dumps(value, indent=1, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
