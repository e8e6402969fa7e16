"""The action's last step: how the upload went, as outputs, annotations, a summary, and a link for report-result."""

from __future__ import annotations

import re
import shutil
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from oot_runner import delivery, summary
from oot_runner.messages import ReportError
from oot_runner.upload import inputs
from oot_runner.upload.begin import USED
from oot_runner.upload.story import Story
from oot_runner.workflow_commands import Runner

if TYPE_CHECKING:
    from oot_runner.upload.messages import UploadMessage

OUTPUTS = ("outcome", "artifact-url", "destination", "name", "files", "bytes", "sha256", "manifest")
LINK = "OOT_HUD_ARTIFACT_URL"  # where report-result looks when its `artifact-url` is left out
_PLACES = {"s3": "S3", "github": "GitHub's artifacts (the link needs a GitHub login)"}
_HEADS = {"uploaded": "📦", "nothing": "🫙", "failed": "⚠️"}


def main(environ: dict[str, str]) -> int:
    """Tell it, and give the exit status: 1 only where the user asked for that."""
    runner = Runner(environ)
    try:
        story = Story.load(Path(environ.get("OOT_STORY", "")))
    except (OSError, ValueError, TypeError, KeyError):
        story = Story()
        story.tell("broke_off")
    try:
        _end(environ, runner, story)
    except Exception as error:  # noqa: BLE001 - the process's outermost edge: a mistake of ours fails nobody's job
        runner.say(traceback.format_exc())
        story.tell("crashed", why=f"{type(error).__name__}: {error}")
    _tell(environ, runner, story)
    return 1 if story.must_fail or (story.outcome == "failed" and inputs.fails(environ)) else 0


def _end(environ: dict[str, str], runner: Runner, story: Story) -> None:
    if story.outcome == "handed":
        outcome, url = environ.get("OOT_GITHUB_OUTCOME", ""), environ.get("OOT_GITHUB_URL", "")
        if outcome == "success" and url:
            story.outcome, story.url = "uploaded", url
            digest = environ.get("OOT_GITHUB_DIGEST", "").lower()
            story.sha256 = digest if re.fullmatch("[0-9a-f]{64}", digest) else ""
            if environ.get("OOT_MANIFEST_OUTCOME", "") in ("failure", "cancelled"):
                story.tell("manifest_failed", why="actions/upload-artifact failed for it")
        else:
            story.outcome = "failed"
            story.told.insert(0, ("github_failed", {"outcome": outcome or "nothing"}))
    elif story.destination == "s3":
        _look_from_outside(runner, story)
    if story.folder:
        shutil.rmtree(story.folder, ignore_errors=True)


def _look_from_outside(runner: Runner, story: Story) -> None:
    """See whether someone without credentials gets the link's page, as HUD's readers would want to."""
    try:
        outcome = delivery.send(delivery.Request("HEAD", story.url, {}), 5, 0, say=runner.say, told="The link")
    except ReportError:
        return  # not https: the user's own address, which we don't judge
    if outcome.answer and outcome.answer.status in (401, 403):
        story.tell("not_public", url=story.url, status=outcome.answer.status)


def _tell(environ: dict[str, str], runner: Runner, story: Story) -> None:
    uploaded = story.outcome == "uploaded"
    told = {
        "outcome": story.outcome,
        "artifact-url": story.url if uploaded else "",
        "destination": story.destination if uploaded else "",
        "name": story.name if uploaded else "",
        "files": str(story.files if uploaded else 0),
        "bytes": str(story.bytes if uploaded else 0),
        "sha256": story.sha256 if uploaded else "",
        "manifest": story.manifest if uploaded else "",
    }
    runner.set_outputs(told)
    if story.name:
        _pass_on(environ, runner, story)
    messages = story.messages
    for message in messages:
        runner.annotate(message.level, message.text(), title=message.title)
    if uploaded:
        place = f"{_PLACES[story.destination]}, since {story.why}"
        runner.say(f"{story.files:,} files, {story.bytes:,} bytes, are in {place}: {story.url}")
    if uploaded or messages:
        runner.add_summary(_summary(story, messages))


def _pass_on(environ: dict[str, str], runner: Runner, story: Story) -> None:
    """Give later steps of the job the link: that of logs if there are any, for they are what people read first."""
    used = environ.get(USED, "").splitlines()
    variables = {USED: "\n".join([*used, f"{story.kind}/{story.name}"])}
    had_logs = any(line.startswith("logs/") for line in used) and environ.get(LINK)
    if story.outcome == "uploaded" and story.url and (story.kind == "logs" or not had_logs):
        variables[LINK] = story.url
    runner.set_env(variables)


def _summary(story: Story, messages: list[UploadMessage]) -> str:
    head = (
        f"### {_HEADS[story.outcome]} {summary.code(story.kind or 'upload')} of {summary.code(story.job_name or 'job')}"
    )
    parts = [head, "", *(summary.alert(message) for message in messages)]
    if story.outcome == "uploaded":
        packed = f", {size(story.archive_bytes)} packed" if story.archive_bytes else ""
        parts.append(
            f"[{story.files:,} files, {size(story.bytes)}{packed}]({summary.href(story.url)}) in "
            f"{_PLACES[story.destination]}, since {story.why}.\n"
        )
        parts.append(f"<details><summary>Name and hash</summary>\n\n{summary.code(story.name)}\n")
        parts.append(f"SHA-256 {summary.code(story.sha256 or 'not known')}\n\n</details>\n")
    return "\n".join(parts) + "\n"


def size(number: int) -> str:
    """Give a number of bytes as people write it."""
    amount = float(number)
    for unit in ("bytes", "kB", "MB"):
        if amount < 1000:
            return f"{amount:,.0f} {unit}" if unit == "bytes" else f"{amount:,.1f} {unit}"
        amount /= 1000
    return f"{amount:,.1f} GB"
