"""The whole report in order: settings, results, token, delivery; and, however that went, the story of it."""

from __future__ import annotations

import json
import os
import traceback
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from oot_runner import ci, deferral, delivery, failure_annotations, identity, payload, reports, summary, verdict
from oot_runner.messages import Message, ReportError, tell
from oot_runner.settings import YES
from oot_runner.settings import read as read_settings
from oot_runner.workflow_commands import Runner

if TYPE_CHECKING:
    from oot_runner.junit_counting import SlowTest
    from oot_runner.settings import Settings

USER_AGENT = "oot-hud-report-result/1"
COUNTS = ("total", "passed", "failed", "skipped", "errors", "flaky")
OUTPUTS = (
    "outcome",
    "http-status",
    "dynamo-key",
    "hud-url",
    "conclusion",
    *(f"tests-{name}" for name in COUNTS),
    "payload",
    "deferred-name",
    "deferred-path",
)


class _Story:
    """What is known so far; whatever happens next, it is told at the end."""

    def __init__(self) -> None:
        self.settings: Settings | None = None
        self.run: ci.Run | None = None
        self.found: payload.Results | None = None
        self.slowest: list[SlowTest] = []
        self.verdict = verdict.Verdict("failed")
        self.payload_file = ""
        self.left = deferral.Left()
        self.messages: list[Message] = []


def main(argv: list[str], environ: dict[str, str]) -> int:
    """Report, and give the exit status: 1 only where the report failed and `fail-on-error` was asked for."""
    if argv:
        from oot_runner.command_line import overlay

        environ = overlay(argv, environ)
    runner = Runner(environ)
    story = _Story()
    try:
        _report(environ, runner, story)
    except ReportError as error:
        story.messages.insert(0, error.message)
    except Exception as error:  # noqa: BLE001 - the process's outermost edge: a mistake of ours fails nobody's job
        runner.say(traceback.format_exc())
        story.messages.insert(0, tell("crashed", why=f"{type(error).__name__}: {error}"))
    _tell(runner, story)
    asked = environ.get("OOT_FAIL_ON_ERROR", "").strip().lower() in YES
    return 1 if asked and story.verdict.outcome == "failed" else 0


def _report(environ: dict[str, str], runner: Runner, story: _Story) -> None:
    settings = story.settings = read_settings(environ)
    run = story.run = ci.detect(environ, settings)
    if environ.get("OOT_INPUTS_LEFT_OUT"):
        story.messages.append(tell("inputs_too_large"))
    report = None
    succeeded = payload.stated_conclusion(settings, run) == "success"
    try:
        read = reports.summarize(settings.test_reports, run.workspace, runner.say, succeeded=succeeded)
        report, story.slowest = read.report, read.slowest
        story.messages += read.messages
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a report, or our reading of it, costs the counts
        runner.say(traceback.format_exc())
        story.messages.append(tell("reports_unreadable", why=f"{type(error).__name__}: {error}"))
    story.found = payload.results(settings, run, report)
    story.messages += story.found.messages

    posts = settings.mode == "post"
    if posts and not settings.dry_run:
        identity.refuse_fork(environ, run)
    host = delivery.check_url(settings.callback_url, "callback-url").netloc
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body = payload.body(settings, run, story.found, now)
    story.messages += body.messages
    runner.mask(str(json.loads(body.data).get("callback_token") or ""))
    if environ.get("RUNNER_TEMP"):
        story.payload_file = _save(body.data, runner, environ["RUNNER_TEMP"])
    if settings.dry_run:
        story.verdict = verdict.Verdict("dry-run")
        runner.say("Dry run. This would be sent:")
        runner.say(json.dumps(json.loads(body.data), indent=2, ensure_ascii=False))
        return

    if not posts:
        if settings.status == "in_progress":
            story.messages.append(tell("deferred_start"))
        else:
            story.left = deferral.leave(body.data, settings, run, environ.get("RUNNER_TEMP") or ".")
        story.verdict = verdict.Verdict("deferred")
        return

    token = identity.obtain(environ, settings, run, runner.say)
    runner.mask(token)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "User-Agent": USER_AGENT}
    request = delivery.Request("POST", settings.callback_url.rstrip("/"), headers, body.data)
    delivered = delivery.send(request, settings.max_time, settings.retries, say=runner.say)
    repository = run.repository or "this repository"
    story.verdict = verdict.judge(delivered, host, settings.audience, repository, len(body.data))
    story.messages[:0] = [each for each in (story.verdict.message, story.verdict.dropped) if each]


def _save(data: bytes, runner: Runner, folder: str) -> str:
    path = Path(folder) / f"oot-hud-payload-{os.urandom(8).hex()}.json"
    try:
        path.write_bytes(data)
    except OSError as error:
        runner.annotate("warning", f"The output `payload` is empty: {error}")
        return ""
    return str(path)


def _tell(runner: Runner, story: _Story) -> None:
    settings, found, result = story.settings, story.found, story.verdict
    counts = found.counts if found else {}
    outputs = dict.fromkeys(OUTPUTS, "")
    outputs.update(
        {
            "outcome": result.outcome,
            "http-status": result.http_status,
            "dynamo-key": result.dynamo_key,
            "hud-url": result.hud_url,
            "conclusion": (found and found.conclusion) or "",
            "payload": story.payload_file,
            "deferred-name": story.left.name,
            "deferred-path": story.left.path,
            **{f"tests-{name}": str(int(counts[name])) for name in COUNTS if name in counts},
        }
    )
    runner.set_outputs(outputs)

    for message in story.messages:
        runner.annotate(message.level, message.text(), title=message.title)
    title = story.run.job_name if story.run else "HUD report"
    if settings and story.run and found:
        failure_annotations.annotate(runner, found.failed_tests, settings.annotations, story.run.workspace)
        told = ", ".join(f"{int(counts[name]):,} {name}" for name in COUNTS[1:] if counts.get(name))
        runner.say(f"{title}: {found.conclusion or 'in progress'}{f' ({told})' if told else ''}")
    runner.say(f"HUD report: {result.outcome}{f' {result.hud_url}' if result.hud_url else ''}")
    wanted = settings is None or settings.summary
    if wanted and (story.messages or not found or found.conclusion):
        links = summary.Links(result.hud_url, settings.artifact_url if settings else "")
        runner.add_summary(summary.render(title, result.outcome, found, story.slowest, story.messages, links))
