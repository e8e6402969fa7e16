"""A stand-in for actions/upload-artifact, played at its `uses:` step: it refuses what the real one refuses.

Source: README of actions/upload-artifact v7 (inputs, outputs), and actions/toolkit packages/artifact
(path-and-artifact-name-validation) for the characters that it takes in names and paths.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from oot_local.actions.job import UsesError

if TYPE_CHECKING:
    from oot_local.actions.job import UsesCall

USES = "actions/upload-artifact"
INPUTS = {
    *("name", "path", "if-no-files-found", "retention-days", "compression-level", "overwrite"),
    *("include-hidden-files", "archive"),
}
_IN_PATHS = re.compile(r'[":<>|*?\r\n]')
_IN_NAMES = re.compile(r'[":<>|*?\r\n\\/]')


@dataclass
class Artifacts:
    """The artifacts of a run, by name, as the zips that GitHub would give out; what matches `refuses` fails."""

    zips: dict[str, bytes] = field(default_factory=dict)
    calls: list[dict[str, str]] = field(default_factory=list)
    refuses: str = r"(?!)"
    url: str = "https://github.com/example/backend/actions/runs/240/artifacts"

    def __call__(self, call: UsesCall) -> dict[str, str]:
        given = dict(call.inputs)
        self.calls.append(given)
        assert re.fullmatch(r"actions/upload-artifact@[0-9a-f]{40}", call.uses), "it is pinned by its SHA"
        assert set(given) <= INPUTS, given
        name = given["name"]
        if re.match(self.refuses, name):
            raise UsesError("Failed to CreateArtifact: Unable to make request: ECONNREFUSED")
        if not name or _IN_NAMES.search(name):
            raise UsesError(f"The artifact name is not valid: {name}")
        if name in self.zips:
            raise UsesError("Failed to CreateArtifact: Received non-retryable error: Conflict: an artifact exists")
        if given.get("retention-days", "") not in ("", "0"):
            assert 1 <= int(given["retention-days"]) <= 400
        self.zips[name] = data = self._zip(Path(given["path"]), given)
        number = 1000 + len(self.zips)
        return {
            "artifact-id": str(number),
            "artifact-url": f"{self.url}/{number}",
            "artifact-digest": hashlib.sha256(data).hexdigest(),
        }

    def download(self, name: str, folder: Path) -> None:
        """Play actions/download-artifact."""
        for path, data in members(self.zips[name]).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)

    def _zip(self, path: Path, given: dict[str, str]) -> bytes:
        assert path.is_absolute()
        files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
        root = path.parent if path.is_file() else path
        if given.get("include-hidden-files") != "true":
            files = [each for each in files if not any(part[0] == "." for part in each.relative_to(root).parts)]
        if not files:
            raise UsesError("No files were found with the provided path")
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for each in files:
                shown = each.relative_to(root).as_posix()
                if _IN_PATHS.search(shown):
                    raise UsesError(f"The path for one of the files in artifact is not valid: {shown}")
                os.fsencode(shown).decode("utf-8")
                archive.write(each, shown)
        return stream.getvalue()


def members(data: bytes) -> dict[str, bytes]:
    """Give what a zip holds, its checksums verified."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {info.filename: archive.read(info) for info in archive.infolist()}
