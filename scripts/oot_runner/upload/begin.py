"""The action's first step: find the files, and put them into S3, or make them ready for GitHub's own action."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from oot_runner.upload import files, inputs, manifest, to_github, to_s3
from oot_runner.upload.archive import Entry, Read
from oot_runner.upload.messages import UploadError
from oot_runner.upload.names import MemberNames, artifact_name, clean
from oot_runner.upload.plan import Plan, place_of
from oot_runner.upload.story import Story
from oot_runner.workflow_commands import Runner, plain

if TYPE_CHECKING:
    from typing import Iterable

    from oot_runner.upload.inputs import Settings
    from oot_runner.upload.manifest import Place

USED = "OOT_HUD_UPLOADS"  # what this job has uploaded: `kind/name`, one a line
_LISTED = 5


def main(environ: dict[str, str]) -> int:
    """Do it, and write down the story for the last step; never fails by itself."""
    runner = Runner(environ)
    story = Story()
    temp = Path(environ.get("RUNNER_TEMP") or ".")
    path = temp / f"oot-hud-upload-{os.urandom(8).hex()}.json"
    # Known before anything else: if this process is killed, the last step can still tell.
    runner.set_outputs({"python": sys.executable, "story": str(path)})
    try:
        _begin(environ, temp, runner, story)
    except UploadError as error:
        story.outcome = "failed"
        story.told.insert(0, (error.message.code, error.message.facts))
    except Exception as error:  # noqa: BLE001 - the process's outermost edge: a mistake of ours fails nobody's job
        runner.say(traceback.format_exc())
        story.outcome = "uploaded" if story.outcome == "uploaded" else "failed"
        story.tell("crashed", why=f"{type(error).__name__}: {error}")
    story.save(path)
    if story.outcome == "handed":
        beside = story.manifest if story.kind in manifest.BESIDE else ""
        runner.set_outputs({"name": story.name, "path": story.folder, "manifest": beside})
    return 0


def _begin(environ: dict[str, str], temp: Path, runner: Runner, story: Story) -> None:
    settings = inputs.read(environ)
    place = place_of(environ)
    story.kind, story.job_name = settings.kind, place.job_name
    workspace = Path(environ.get("GITHUB_WORKSPACE") or ".").absolute()
    found = files.select(settings.path, workspace, include_hidden=settings.include_hidden)
    if found.skipped:
        _tell_skipped(found, story)
    if not found.files:
        _tell_nothing(settings, found, story)
        return
    names = MemberNames(manifest.MEMBER)
    entries = [Entry(file, names.take(file.name)) for file in found.files]
    plan = Plan(settings, place, _name(settings, place, environ), entries, found.skipped, temp)
    story.name, story.files, story.bytes = plan.name, len(entries), plan.size
    if plan.size > settings.max_size:
        largest = sorted(found.files, key=lambda file: -file.size)[:3]
        named = ", ".join(f"{file.name} ({file.size:,})" for file in largest)
        raise UploadError("too_large", size=plan.size, limit=settings.max_size, largest=named)
    _tell_files(entries, story)

    read = _upload(plan, environ, runner, story)
    story.files, story.bytes = len(read.stored), sum(file.size for file in read.stored)
    unread = [each.path for each in read.skipped[len(found.skipped) :]]
    if unread or read.changed:
        story.tell("changed", files=_few([*read.changed, *unread]))


def _name(settings: Settings, place: Place, environ: dict[str, str]) -> str:
    if settings.name:
        return clean(settings.name)
    used = [line.partition("/")[2] for line in environ.get(USED, "").splitlines()]
    return artifact_name(settings.kind, place.run_attempt, place.job_name, place.job_id, used)


def _upload(plan: Plan, environ: dict[str, str], runner: Runner, story: Story) -> Read:
    settings = plan.settings
    story.why = "it was asked for"
    if settings.destination == "auto":
        story.why = "`s3-bucket` is set" if settings.s3_bucket else "no `s3-bucket` is set"
    if settings.s3_bucket and settings.destination != "github":
        try:
            return to_s3.upload(plan, environ, runner, story)
        except UploadError as error:
            if settings.destination == "s3" or not to_github.is_there(plan.place):
                raise
            words = error.message.cause.format_map(error.message.facts)
            story.tell("went_to_github", why=f"{words} ({error.message.code})")
            story.why = "S3 failed"
    return to_github.stage(plan, runner, story)


def _tell_nothing(settings: Settings, found: files.Selection, story: Story) -> None:
    story.outcome = "nothing"
    if settings.if_no_files_found == "ignore":
        return
    hidden = f"; {found.hidden:,} hidden ones are left out" if found.hidden else ""
    code = "no_files_error" if settings.if_no_files_found == "error" else "no_files"
    story.must_fail = settings.if_no_files_found == "error"
    story.tell(code, patterns=", ".join(settings.path), searched=f"{found.searched}{hidden}")


def _tell_files(entries: list[Entry], story: Story) -> None:
    secret = [entry.file.name for entry in entries if files.looks_secret(entry.file)]
    if secret:
        story.tell("looks_secret", files=_few(secret))
    renamed = [f"{entry.file.name} is {entry.name}" for entry in entries if entry.name != entry.file.name]
    if renamed:
        story.tell("renamed", files=_few(renamed))


def _tell_skipped(found: files.Selection, story: Story) -> None:
    reasons = "; ".join(plain(f"{each.path}: {each.reason}") for each in found.skipped[:_LISTED])
    more = len(found.skipped) - _LISTED
    story.tell("skipped", count=len(found.skipped), reasons=f"{reasons}; and {more} more" if more > 0 else reasons)


def _few(names: Iterable[str]) -> str:
    listed = [plain(name) for name in names]
    more = len(listed) - _LISTED
    return ", ".join(listed[:_LISTED]) + (f" and {more} more" if more > 0 else "")
