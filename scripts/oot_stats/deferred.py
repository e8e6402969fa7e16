r"""Post what jobs left behind: the reports of jobs without an OIDC token, from the run that follows theirs.

    oot-hud deferred read --repo org/name --workflow-run-id 240 --workflow-run-attempt 1
    oot-hud deferred post --repo org/name --workflow-run-id 240 --workflow-run-attempt 1

`read` opens the artifacts that `mode: defer` of actions/report-result left (a job without credentials does it), and
writes left.jsonl. `post` (a job with `id-token: write`) reads that as hostile lines, asks GitHub who the jobs were and
how they ended, and posts a start and an end of each. GITHUB_TOKEN (`actions: read`) and GITHUB_API_URL are read. Exits
0 where everything was posted or there was nothing to post, 3 where some was not, 1 where none could be.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import orjson

from hud_endpoint.contract import RELAY_BODY_BYTES
from oot_runner import delivery, identity, verdict
from oot_runner.deferral import PREFIX
from oot_runner.inputs import AUDIENCE, CALLBACK_URL
from oot_runner.messages import ReportError
from oot_runner.workflow_commands import Runner
from oot_stats import which_run
from oot_stats.callbacks.archive import ARCHIVE_BYTES, ArchiveError, read_callback
from oot_stats.callbacks.matching import MAX_CALLBACKS, REASONS, Rejected, Report, refusal, reports
from oot_stats.exit_codes import FAILED, PARTLY
from oot_stats.reasons import REASONS as NOT_FETCHED
from oot_stats.reasons import RejectedError
from oot_stats.sources.github_api import GitHub, GitHubError
from oot_stats.sources.stream import streamed

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from oot_stats.sources.github_answers import WorkflowRun

USER_AGENT = "oot-hud-report-deferred/1"
_ALL_BYTES = 256 * 1024 * 1024  # of the callbacks of one run
_LINE_BYTES = RELAY_BODY_BYTES + 64 * 1024
_MAX_TIME, _RETRIES = 20.0, 5
_OPENED = {
    **NOT_FETCHED,
    **REASONS,
    "bad_archive": "it is not the archive of one callback that report-result makes",
    "too_large": "it is larger than any callback, or all of the run's together are too large",
}


class LeftError(Exception):
    """What `read` handed over can't be used."""


class _Where(NamedTuple):
    url: str
    audience: str


def read(options: argparse.Namespace, runner: Runner) -> int:
    """Open the artifacts; what can't be read is told and keeps no other back."""
    rejected: list[Rejected] = []
    lines: list[bytes] = []
    room = _ALL_BYTES
    with GitHub.of(options.repo, runner.say) as github:
        run = github.run(options.workflow_run_id, options.workflow_run_attempt)
        if why := refusal(run):
            return _nothing(runner, why)
        wanted = f"{PREFIX}-runattempt{run.run_attempt}-"
        found = [each for each in github.artifacts(run.id) if each[0].name.startswith(wanted)]
        for artifact, expired in found[:MAX_CALLBACKS]:
            if expired:
                rejected.append(Rejected(artifact.place, "gone"))
                continue
            try:
                data = streamed(github, artifact, min(ARCHIVE_BYTES, room), lambda stream: stream.read())
                callback = read_callback(data)
                lines.append(orjson.dumps({"artifact": artifact.place, "callback": callback}) + b"\n")
                room = max(room - len(lines[-1]), 0)
            except (RejectedError, ArchiveError) as error:
                code = "too_large" if error.code == "run_too_large" else error.code
                rejected.append(Rejected(artifact.place, code))
    options.out.write_bytes(b"".join(lines))
    runner.say(f"{len(lines)} reports were left behind in run {run.id}, attempt {run.run_attempt}.")
    runner.set_outputs({"left": str(len(lines))})
    _tell(runner, rejected, len(found) - len(found[:MAX_CALLBACKS]))
    return 0 if not rejected else PARTLY if lines else FAILED


def post(options: argparse.Namespace, runner: Runner) -> int:
    """Post a start and an end of each job."""
    if not os.environ.get(identity.ENDPOINT):
        raise ReportError("no_id_token_permission")
    where = _Where(delivery.check_url(options.callback_url, "callback-url").geturl().rstrip("/"), options.audience)
    with GitHub.of(options.repo, runner.say) as github:
        run = github.run(options.workflow_run_id, options.workflow_run_attempt)
        if why := refusal(run):
            return _nothing(runner, why)
        found, rejected = reports(left(options.left), run, github.jobs(run.id, run.run_attempt))
    _tell(runner, rejected, 0)
    outcomes = [_post_one(report, where, run, runner) for report in found]
    good = sum(outcome != "failed" for outcome in outcomes)
    rows = [f"| {_cell(each.job)} | {outcome} |" for each, outcome in zip(found, outcomes, strict=True)]
    if rows:
        runner.add_summary("\n".join(["### Deferred reports", "", "| job | outcome |", "| --- | --- |", *rows, "\n"]))
    runner.say(f"{good} of {len(found)} reports were posted.")
    lost = rejected or good < len(found)
    return 0 if not lost else PARTLY if good else FAILED


def left(path: Path) -> Iterator[tuple[str, bytes]]:
    """Give the artifacts and callbacks of a file that `read` wrote. Raises LeftError for anything else."""
    try:
        with path.open("rb") as file:
            for number in range(MAX_CALLBACKS + 1):
                line = file.readline(_LINE_BYTES)
                if not line:
                    return
                told = orjson.loads(line) if line.endswith(b"\n") and number < MAX_CALLBACKS else None
                if not isinstance(told, dict) or not str(told.get("artifact")).isdecimal():
                    raise LeftError(f"{path}, line {number + 1} is not what `read` writes: run it again.")
                yield str(told["artifact"]), orjson.dumps(told.get("callback"))
    except FileNotFoundError:
        raise LeftError(f"There is no {path}: run `read` first.") from None
    except orjson.JSONDecodeError:
        raise LeftError(f"{path} holds a line that is not JSON: run `read` again.") from None


def _post_one(report: Report, where: _Where, run: WorkflowRun, runner: Runner) -> str:
    """Post both callbacks with one token of their own; gives the end's outcome."""
    try:
        url, bearer = os.environ[identity.ENDPOINT], os.environ.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "")
        token = identity.mint(url, bearer, where.audience, _MAX_TIME, _RETRIES, runner.say)
        runner.mask(token)
        start, end = (_send(body, token, where, run, runner) for body in report.bodies)
    except ReportError as error:
        runner.annotate("error", error.message.text(), title=error.message.title)
        return "failed"
    if told := end.message or start.message or end.dropped:
        runner.annotate(told.level, f"{report.job}: {told.text()}", title=told.title)
    return end.outcome


def _send(body: bytes, token: str, where: _Where, run: WorkflowRun, runner: Runner) -> verdict.Verdict:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "User-Agent": USER_AGENT}
    request = delivery.Request("POST", where.url, headers, body)
    delivered = delivery.send(request, _MAX_TIME, _RETRIES, say=runner.say)
    host = delivery.check_url(where.url).netloc
    return verdict.judge(delivered, host, where.audience, run.repository.full_name, len(body))


def _tell(runner: Runner, rejected: list[Rejected], too_many: int) -> None:
    for each in rejected:
        why = f"Artifact {each.artifact} is not reported ({each.code}): {_OPENED[each.code]}."
        runner.annotate("warning", why, title="A deferred report was left out")
    if too_many:
        runner.annotate("warning", f"{too_many} reports beyond the first {MAX_CALLBACKS} were left out.")


def _nothing(runner: Runner, why: str) -> int:
    runner.annotate("notice", why, title="Nothing is reported")
    runner.set_outputs({"left": "0"})
    return 0


def _cell(text: str) -> str:
    from oot_runner.summary import code

    return code(text).replace("|", "\\|")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    reading = commands.add_parser("read", help="open the artifacts, without credentials")
    which_run.add_arguments(reading)
    reading.add_argument("--out", type=Path, default=Path("left.jsonl"), metavar="FILE")
    reading.set_defaults(work=read)
    posting = commands.add_parser("post", help="post what `read` wrote, with an OIDC token")
    which_run.add_arguments(posting)
    posting.add_argument("--left", type=Path, default=Path("left.jsonl"), metavar="FILE")
    posting.add_argument("--callback-url", default=CALLBACK_URL, help="the relay (default: production's)")
    posting.add_argument("--audience", default=AUDIENCE, help="of the OIDC token, as the relay asks for it")
    posting.set_defaults(work=post)


def main(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    try:
        return int(options.work(options, Runner(dict(os.environ))))
    except ReportError as error:
        print(f"deferred: {error.message.text()}", file=sys.stderr)
    except (GitHubError, LeftError, OSError) as error:
        print(f"deferred: {error}", file=sys.stderr)
    return FAILED
