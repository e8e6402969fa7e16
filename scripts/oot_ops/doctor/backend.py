"""Say what is wrong with a backend's set-up, and what to do: everything that report-result needs is tried.

    oot-hud doctor backend --test-reports 'reports/**/*.xml'
    oot-hud doctor backend --allowlist allowlist.yml --repo org/backend

It belongs into a step of the job that reports, before report-result, and takes the same flags; elsewhere it checks what
it can. Nothing is reported. Exits 0 when all is well or only warned about, 1 when something failed.
"""

from __future__ import annotations

import json
import logging
import os
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests

from hud_endpoint.errors import RefusedError
from hud_endpoint.relay.allowlist import AllowlistError, parse_allowlist
from hud_endpoint.relay.allowlist_source import find_source
from oot_ops.doctor.check import Check, tell
from oot_runner import ci, command_line, delivery, identity, payload, reports
from oot_runner.messages import Message, ReportError
from oot_runner.settings import read as read_settings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from types_boto3_s3.client import S3Client

    from oot_runner.settings import Settings

ALLOWLIST = "https://github.com/pytorch/pytorch/blob/main/.github/allowlist.yml"
RAW_URL = "https://raw.githubusercontent.com"
SKEW_SECONDS = 20  # the relay's leeway is 30
EVENTS = ("repository_dispatch", "schedule", "workflow_dispatch", "push", "workflow_run")
_COUNTS = ("total", "passed", "failed", "errors", "skipped", "flaky")
_PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags: our own, and those of report-result."""
    parser.add_argument("--json", action="store_true", help="all checks as JSON, for a program")
    parser.add_argument("--allowlist", help="the relay's allowlist, a path, s3:// or a file's page on GitHub")
    parser.add_argument("--repo", help="owner/name (default: GITHUB_REPOSITORY)")
    command_line.add_arguments(parser.add_argument_group("the flags of report-result"))


def main(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    logging.disable(logging.CRITICAL)  # the checks say what is wrong
    expected = {"OOT_STATUS": "completed", "OOT_CONCLUSION": "success"}  # how the job ends is not known yet
    environ = {**expected, **os.environ, **command_line.settings(options)}
    return tell(examine(environ, allowlist=options.allowlist, repo=options.repo), as_json=options.json)


def examine(environ: dict[str, str], *, allowlist: str | None = None, repo: str | None = None) -> Iterator[Check]:
    """Give the checks in the order in which report-result meets these things."""
    try:
        settings = read_settings(environ)
        run = ci.detect(environ, settings)
    except ReportError as error:
        yield _told("inputs", error.message)
        return
    repo = repo or run.repository
    yield Check("job", "ok", f"{repo or 'no repo known'}, {run.workflow_name} / {run.job_name}, run {run.run_id}")
    found = reports.summarize(settings.test_reports, run.workspace, lambda _: None)
    yield from _reports(settings, found)
    yield from _body(settings, run, found)
    yield _proxy(environ, settings.callback_url)
    yield from _relay(settings)
    yield from _token(environ, settings, run)
    yield _level(allowlist or ALLOWLIST, repo)


def _told(name: str, message: Message) -> Check:
    cause, remedy = message.cause.format_map(message.facts), message.remedy.format_map(message.facts)
    return Check(
        name, "fail" if message.level == "error" else "warn", cause, "\n".join(filter(None, (remedy, message.yaml)))
    )


def _reports(settings: Settings, found: reports.Summary) -> Iterator[Check]:
    if not settings.test_reports:
        yield Check("test reports", "skip", "none are named", "Name them: --test-reports 'reports/**/*.xml'")
        return
    yield from (_told("test reports", message) for message in found.messages)
    if found.report:
        counts = [f"{found.report[name]:,} {name}" for name in _COUNTS if found.report[name]]
        yield Check("test reports", "ok", f"{found.report['files']:,} files: {', '.join(counts) or 'no test'}")


def _body(settings: Settings, run: ci.Run, found: reports.Summary) -> Iterator[Check]:
    try:
        results = payload.results(settings, run, found.report)
        body = payload.body(settings, run, results, "2000-01-01T00:00:00.000Z")
    except ReportError as error:
        yield _told("what would be sent", error.message)
        return
    yield from (_told("what would be sent", message) for message in (*results.messages, *body.messages))
    told = json.loads(body.data)
    event, delivery_id = told.get("event_type", "pull_request"), told.get("delivery_id")
    seen = f"{results.conclusion}, {event}, delivery {delivery_id}, {len(body.data):,} bytes"
    yield Check("what would be sent", "ok", f"{seen}, {len(told['workflow'].get('failed_tests', []))} failed tests")


def _proxy(environ: dict[str, str], url: str) -> Check:
    named = [name for name in _PROXIES if environ.get(name)]
    host = urlsplit(url).hostname or ""
    if not named:
        return Check("proxy", "ok", "none is set")
    exempt = [part.strip().lstrip(".") for part in environ.get("NO_PROXY", environ.get("no_proxy", "")).split(",")]
    if any(part == "*" or (part and (host == part or host.endswith(f".{part}"))) for part in exempt):
        return Check("proxy", "ok", f"{', '.join(named)} set, and {host} is exempt")
    where = urlsplit(environ[named[0]]).hostname or "?"
    return Check("proxy", "ok", f"requests to {host} go through {where} ({named[0]})")


def _relay(settings: Settings) -> Iterator[Check]:
    """Any answer will do: a relay answers GET with 404 or 405, and its clock stands in the answer."""
    try:
        outcome = delivery.send(
            delivery.Request("GET", settings.callback_url.rstrip("/"), {"User-Agent": "oot-hud-doctor"}),
            settings.max_time,
            0,
            say=lambda _: None,
        )
    except ReportError as error:
        yield _told("relay", error.message)
        return
    host = urlsplit(settings.callback_url).netloc
    if outcome.answer is None:
        remedy = "Check callback-url, and whether this runner may reach it (firewall, proxy, DNS)."
        yield Check("relay", "fail", f"{host} did not answer: {outcome.why}", remedy)
        return
    state: Check = Check("relay", "ok", f"{host} answers in {outcome.seconds * 1000:.0f} ms")
    if outcome.answer.status not in (200, 400, 401, 403, 404, 405):
        remedy = "Check callback-url, and whether a proxy or a login page stands in between."
        state = Check("relay", "fail", f"{host} answers GET with {outcome.answer.status}", remedy)
    yield state
    date = {name.lower(): value for name, value in outcome.answer.headers.items()}.get("date", "")
    try:
        skew = time.time() - parsedate_to_datetime(date).timestamp()
    except ValueError:
        yield Check("clock", "skip", "the relay does not tell its time")
        return
    yield _clock(skew, "the relay's")


def _clock(skew: float, whose: str) -> Check:
    if abs(skew) <= SKEW_SECONDS:
        return Check("clock", "ok", f"within {max(1, abs(round(skew)))} s of {whose}")
    remedy = "Set the runner's clock (chrony, w32tm): tokens count as expired or not yet valid."
    return Check("clock", "fail", f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} {whose}", remedy)


def _token(environ: dict[str, str], settings: Settings, run: ci.Run) -> Iterator[Check]:
    if run.provider == "other" and not settings.token and not settings.token_file:
        remedy = "Run this in a step of the job that reports, or give --token-file."
        yield Check("token", "skip", "this is no CI that gives tokens", remedy)
        return
    try:
        identity.refuse_fork(environ, run)
        claims = identity.claims(identity.obtain(environ, settings, run, lambda _: None))
    except ReportError as error:
        yield _told("token", error.message)
        return
    seen = f"{claims.get('repository', claims.get('sub', '?'))}, event {claims.get('event_name', '?')}"
    yield Check("token", "ok", f"{seen}, from {claims.get('iss', '?')}")
    if claims.get("aud") != settings.audience:
        remedy = f"Ask for a token with the audience {settings.audience}."
        yield Check("token's audience", "fail", str(claims.get("aud")), remedy)
    else:
        yield Check("token's audience", "ok", settings.audience)
    if run.provider == "github" and (event := claims.get("event_name")) not in EVENTS:
        remedy = f"Report from runs that {', '.join(EVENTS)} started."
        yield Check("token's event", "fail", f"{event} is not accepted by the relay", remedy)
    issued = claims.get("iat")
    if isinstance(issued, (int, float)) and time.time() - issued < -SKEW_SECONDS:
        yield _clock(time.time() - issued, "the issuer's")


def _level(allowlist: str, repo: str) -> Check:
    if not repo:
        return Check("level", "skip", "no repo is known", "Name it: --repo owner/name")
    try:
        found = parse_allowlist(find_source(allowlist, session=requests.Session(), raw_url=RAW_URL, s3=_s3)()).entry(
            repo
        )
    except AllowlistError as error:
        return Check("level", "warn", f"{allowlist} can't be used: {error}", "Name the relay's own with --allowlist.")
    except RefusedError:
        remedy = "Ask for it: a pull request to the allowlist of pytorch/test-infra (RFC-0050)."
        return Check("level", "fail", f"{repo} is not on the allowlist", remedy)
    if found.level == "L1":
        remedy = "Ask for L2 in the allowlist: until then results are taken and not shown."
        return Check("level", "warn", f"{repo} is at L1", remedy)
    return Check("level", "ok", f"{repo} is at {found.level}")


def _s3() -> S3Client:
    import boto3

    return boto3.client("s3")
