"""The callback's body: pure functions from what is known to JSON that the relay accepts, within its caps.

The format and the caps are those of `hud_endpoint/contract.py`, which this script cannot import: it runs alone on other
people's machines. tests/oot_runner holds the two together.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from oot_runner.messages import Message, ReportError, tell
from oot_runner.text import MESSAGE_BYTES, STACKTRACE_BYTES, cut, cut_name

if TYPE_CHECKING:
    from oot_runner.ci import Run
    from oot_runner.settings import Settings

BODY_BYTES = 2 * 1024 * 1024 - 64 * 1024
URL_BYTES = 2048
ENVIRONMENT_BYTES = 16 * 1024
MAX_FAILED_TESTS = 1000
LONGEST_SECONDS = 1e9

_COUNTS = ("passed", "failed", "skipped", "total", "errors", "flaky", "duration_seconds")


class Results(NamedTuple):
    """How the job went. `failed_tests` are within the caps; `line` in them is for annotations and never sent."""

    conclusion: str | None
    counts: dict[str, float]
    failed_tests: list[dict[str, Any]]
    messages: list[Message]


class Body(NamedTuple):
    """What is sent, and what had to be left out of it."""

    data: bytes
    messages: list[Message]


def results(settings: Settings, run: Run, report: dict[str, Any] | None) -> Results:
    """Judge the job from the settings and the reports' summary (`junit.Report.to_json()`).

    Raises ReportError where it is completed and nothing says how.
    """
    if settings.status == "in_progress":
        return Results(None, {}, [], [])
    conclusion = stated_conclusion(settings, run)
    if not conclusion:
        raise ReportError("bad_input", name="conclusion", why="it is empty, and this CI gives no status of the job")
    counts = {key: report[key] for key in _COUNTS if key in report} if report and report["files"] else {}
    counts.update(settings.test_results)
    if "total" not in settings.test_results and settings.test_results:
        counts["total"] = sum(counts.get(key, 0) for key in ("passed", "failed", "skipped"))
    if counts.get("duration_seconds", 0) > LONGEST_SECONDS:
        del counts["duration_seconds"]
    given = settings.failed_tests if settings.failed_tests is not None else (report or {}).get("failed_tests", [])
    tests = [_failed_test(test) for test in given[:MAX_FAILED_TESTS]]
    messages = []
    failed = int(counts.get("failed") or len(tests))
    if conclusion == "success" and failed:
        messages.append(tell("green_with_failures", failed=failed))
    if conclusion == "success" and settings.require_tests and not counts.get("total"):
        conclusion = "failure"
        messages.append(tell("tests_required"))
    return Results(conclusion, counts, tests, messages)


def stated_conclusion(settings: Settings, run: Run) -> str:
    """Return how the job ended so far as the inputs and the CI say, or nothing."""
    return settings.conclusion or settings.needs or run.job_status


def body(settings: Settings, run: Run, found: Results, now: str) -> Body:
    """Make the callback; `now` is an ISO 8601 time in UTC.

    Raises ReportError `no_upstream` or `too_large`.
    """
    messages: list[Message] = []
    completed = settings.status == "completed"
    workflow: dict[str, Any] = {
        "schema_version": "1",
        "status": settings.status,
        "conclusion": found.conclusion,
        "name": cut_name(run.workflow_name),
        "url": _url("the run's URL", run.run_url, messages),
        "job_name": cut_name(run.job_name),
        "check_run_id": run.check_run_id,
        "run_id": run.run_id,
        "run_attempt": run.run_attempt,
        "started_at": None if completed else now,
        "completed_at": now if completed else None,
    }
    optional = {
        "test_results": found.counts,
        "artifact_url": _url("artifact-url", settings.artifact_url, messages),
        "environment": _environment(settings.environment, messages),
        "triage_verdict": settings.triage_verdict,
    }
    workflow.update({key: value for key, value in optional.items() if value})
    envelope = {**_envelope(settings, run), "workflow": workflow}
    sent = [{key: value for key, value in test.items() if key != "line"} for test in found.failed_tests]
    shed = _fit(envelope, sent)
    if len(found.failed_tests) == MAX_FAILED_TESTS:
        beyond = int(found.counts.get("failed", 0)) - MAX_FAILED_TESTS
        shed["tests"] = shed.get("tests", 0) + max(beyond, 0)
    if any(shed.values()):
        told = ", ".join(f"{count:,} {what}" for what, count in shed.items() if count)
        messages.append(tell("details_shed", tests=MAX_FAILED_TESTS, limit=BODY_BYTES, shed=told))
    return Body(encode(envelope), messages)


def encode(value: object) -> bytes:
    """Give compact JSON in UTF-8; lone surrogates, which UTF-8 does not have, become question marks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _text(value: object) -> str:
    return "" if value is None else str(value).encode("utf-8", "replace").decode("utf-8")


def _envelope(settings: Settings, run: Run) -> dict[str, Any]:
    if settings.delivery_id:
        return {
            "event_type": settings.event_type,
            "delivery_id": settings.delivery_id,
            "payload": {"repository": {"full_name": "pytorch/pytorch"}, "head_sha": settings.delivery_id},
        }
    dispatched = run.event.get("client_payload")
    if not isinstance(dispatched, dict) or not dispatched.get("delivery_id"):
        raise ReportError("no_upstream", event=run.event_name or "none")
    return dispatched  # as it came, `callback_token` with it: CRCR's relay reads fields that ours does not


def _failed_test(test: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": cut_name(_text(test.get("name")).strip() or "(no name)"),
        "status": "error" if test.get("status") == "error" else "failure",
    }
    for key in ("classname", "file"):
        if test.get(key):
            told[key] = cut_name(test[key])
    for key, limit in (("message", MESSAGE_BYTES), ("stacktrace", STACKTRACE_BYTES)):
        if test.get(key):
            told[key] = cut(_text(test[key]), limit)
    duration = test.get("duration_seconds", test.get("duration"))
    if isinstance(duration, (int, float)) and not isinstance(duration, bool) and 0 <= duration <= LONGEST_SECONDS:
        told["duration_seconds"] = duration
    if isinstance(test.get("line"), int):
        told["line"] = test["line"]
    return told


def _url(what: str, url: str, messages: list[Message]) -> str | None:
    if not url:
        return None
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # a wrong port raises
        good = parts.scheme in ("http", "https") and bool(host)
    except ValueError:
        good = False
    # As the contract has it: what makes one address look like another is refused.
    good = good and parts.username is None and url.isprintable() and " " not in url and "\\" not in url
    if good and len(_text(url).encode()) <= URL_BYTES:
        return _text(url)
    messages.append(tell("left_out", what=what, why=f"it is not an http(s) address of at most {URL_BYTES} bytes"))
    return None


def _environment(given: dict[str, Any], messages: list[Message]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    left = ENVIRONMENT_BYTES
    for key, value in given.items():
        name, told = _text(key), _text(value) if isinstance(value, str) else value
        left -= len(f"{name}{told}".encode())
        if left >= 0:
            kept[name] = told
    if len(kept) < len(given):
        why = f"{len(given) - len(kept)} of its {len(given)} values are beyond {ENVIRONMENT_BYTES} bytes"
        messages.append(tell("left_out", what="environment", why=why))
    return kept


def _fit(envelope: dict[str, Any], tests: list[dict[str, Any]]) -> dict[str, int]:
    """Put the failed tests in, within BODY_BYTES; gives what was shed.

    From the last test on, stack traces go first, then messages, then the tests themselves.
    """
    size = len(encode(envelope)) + len(b',"failed_tests":[]')
    if size > BODY_BYTES:
        raise ReportError("too_large", size=size, limit=BODY_BYTES)
    excess = size + sum(len(encode(test)) + 1 for test in tests) - BODY_BYTES
    shed: dict[str, int] = {}
    for key, what in (("stacktrace", "stack traces"), ("message", "messages")):
        for test in reversed(tests):
            if excess > 0 and key in test:
                heavy = len(encode(test))
                del test[key]
                excess -= heavy - len(encode(test))
                shed[what] = shed.get(what, 0) + 1
    while excess > 0:
        excess -= len(encode(tests.pop())) + 1
        shed["tests"] = shed.get("tests", 0) + 1
    if tests:
        envelope["workflow"]["failed_tests"] = tests
    return shed
