"""The way to GitHub's artifacts: the files copied to a folder that GitHub's own action then uploads as it is.

A copy, for the files are hashed as they are read, and what is uploaded must be what the manifest says. It lets names be
stored that the action refuses, and nothing of `path` is expanded a second time.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from oot_runner.upload import manifest
from oot_runner.upload.archive import Read, UnreadableError
from oot_runner.upload.messages import UploadError

if TYPE_CHECKING:
    from pathlib import Path

    from oot_runner.upload.manifest import Place
    from oot_runner.upload.plan import Plan
    from oot_runner.upload.story import Story
    from oot_runner.workflow_commands import Runner


def is_there(place: Place) -> bool:
    """Tell whether this GitHub takes artifacts from the action's present versions: Enterprise Server does not."""
    host = urlsplit(place.server_url).hostname or ""
    return host == "github.com" or host.endswith(".ghe.com")


def stage(plan: Plan, runner: Runner, story: Story) -> Read:
    """Copy the files into place for actions/upload-artifact; raises UploadError where it cannot work."""
    if not is_there(plan.place):
        raise UploadError("ghes", server=plan.place.server_url)
    folder = plan.temp / f"oot-hud-artifact-{os.urandom(8).hex()}"
    story.folder = str(folder)
    runner.say(f"Copying {len(plan.entries):,} files, {plan.size:,} bytes, for the artifact {plan.name} …")
    try:
        folder.mkdir()
        read = _copy(plan, folder)
        story.manifest = plan.save_manifest(read)
        if not plan.is_manifest_beside:
            shutil.copyfile(story.manifest, str(folder / manifest.MEMBER))
    except OSError as error:
        raise UploadError("no_room", why=error, size=plan.size) from None
    story.outcome, story.destination = "handed", "github"
    return read


def _copy(plan: Plan, folder: Path) -> Read:
    read = Read(plan.skipped)
    for entry in plan.entries:
        chunks = read.chunks(entry)
        try:
            first = next(chunks, b"")
        except UnreadableError:
            continue
        target = folder.joinpath(*entry.name.split("/"))
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as stream:
            stream.write(first)
            stream.writelines(chunks)
    return read
