"""One upload, planned: what goes where under which names; S3's way and GitHub's both start from it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, NamedTuple

from oot_runner.ci import leg_name
from oot_runner.upload import manifest
from oot_runner.upload.manifest import Place, Skipped

if TYPE_CHECKING:
    from pathlib import Path

    from oot_runner.upload.archive import Entry, Read
    from oot_runner.upload.inputs import Settings


class Plan(NamedTuple):
    """The files with their names in the archive called `name`, and what is left out; `temp` is RUNNER_TEMP."""

    settings: Settings
    place: Place
    name: str
    entries: list[Entry]
    skipped: list[Skipped]
    temp: Path

    @property
    def size(self) -> int:
        """The files' size together."""
        return sum(entry.file.size for entry in self.entries)

    @property
    def is_manifest_beside(self) -> bool:
        """Whether the manifest goes beside the archive, and not into it."""
        return self.settings.kind in manifest.BESIDE

    def manifest(self, read: Read) -> bytes:
        """Give the manifest of what was read."""
        return manifest.render(self.place, self.settings.kind, self.name, read.stored, read.skipped)

    def save_manifest(self, read: Read) -> str:
        """Write the manifest into a folder of its own; gives the file's path."""
        folder = self.temp / f"oot-hud-manifest-{os.urandom(8).hex()}"
        folder.mkdir()
        path = folder / manifest.MEMBER
        path.write_bytes(self.manifest(read))
        return str(path)


def place_of(environ: dict[str, str]) -> Place:
    """Tell which job this is; without GitHub's id of it, its id is `run<run id>`, which no collector takes for one."""
    run_id, job_id = environ.get("GITHUB_RUN_ID", "0"), environ.get("OOT_CHECK_RUN_ID", "").strip()
    try:
        matrix = json.loads(environ.get("OOT_MATRIX") or "null")
    except ValueError:
        matrix = None
    return Place(
        repository=environ.get("GITHUB_REPOSITORY", ""),
        run_id=run_id,
        run_attempt=environ.get("GITHUB_RUN_ATTEMPT") or "1",
        job_name=leg_name(environ.get("GITHUB_JOB", "") or "job", environ.get("OOT_MATRIX", "")),
        job_id=job_id if job_id.isdecimal() else f"run{run_id}",
        matrix=matrix if isinstance(matrix, dict) and matrix else None,
        server_url=(environ.get("GITHUB_SERVER_URL") or "https://github.com").rstrip("/"),
    )
