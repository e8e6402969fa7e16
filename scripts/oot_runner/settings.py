"""What the user asked for: env variables checked and turned into one frozen Settings."""

from __future__ import annotations

import json
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from oot_runner.inputs import INPUTS
from oot_runner.messages import ReportError

CONCLUSIONS = ("success", "failure", "cancelled", "timed_out", "skipped", "neutral", "action_required", "stale")
_ALIASES = {"failed": "failure", "passed": "success", "canceled": "cancelled", "timedout": "timed_out"}
_WORST_FIRST = ("failure", "timed_out", "cancelled", "action_required", "stale", "success", "neutral", "skipped")
YES = ("true", "1", "yes", "on")
_NO = ("false", "0", "no", "off")
_OF_THE_END = (
    "conclusion",
    "needs",
    "test-reports",
    "test-results",
    "failed-tests",
    "failed-tests-detail",
    "triage-verdict",
)
_COUNTS = ("passed", "failed", "skipped", "total", "errors", "flaky")


class Settings(NamedTuple):
    """What the user asked for, checked; fields are the table's, in the types that the rest works with."""

    status: str
    conclusion: str | None
    test_reports: tuple[str, ...]
    require_tests: bool
    test_results: dict[str, float]
    failed_tests: list[dict[str, Any]] | None
    triage_verdict: dict[str, Any] | None
    artifact_url: str
    environment: dict[str, str | int | float | bool | None]
    job_name: str
    scope: str
    mode: str
    needs: str | None
    delivery_id: str
    event_type: str
    callback_url: str
    audience: str
    max_time: float
    retries: int
    dry_run: bool
    summary: bool
    annotations: int
    client_payload: str
    token_file: str
    token: str


def read(environ: dict[str, str]) -> Settings:
    """Check every input.

    Raises ReportError naming the input, what was wrong with it and what would be right.
    """
    text = {item.name: environ.get(item.env, "").strip() or item.default for item in INPUTS}
    status = _choice(text, "status", ("in_progress", "completed"))
    scope = _choice(text, "scope", ("job", "workflow"))
    if status == "in_progress":
        text.update(dict.fromkeys(_OF_THE_END, ""))  # one `with:` may serve both steps; the files are not there yet
    conclusion, needs = _conclusion(text["conclusion"]), _worst(text["needs"])
    if status == "completed" and scope == "workflow" and not (conclusion or needs):
        raise ReportError("scope_needs_conclusion")
    delivery_id, event_type = text["delivery-id"], text["event-type"]
    if bool(delivery_id) != bool(event_type):
        missing, given = ("event-type", "delivery-id") if delivery_id else ("delivery-id", "event-type")
        raise ReportError("bad_input", name=missing, why=f"it is empty, and {given} is set: nightlies need both")
    if event_type:
        _choice(text, "event-type", ("nightly", "periodic"))
        if status != "completed":
            raise ReportError("bad_input", name="status", why="a nightly sends one callback, `status: completed`")
    _flag(text, "fail-on-error")  # only checked: it is obeyed even where this raises
    failed_tests = text["failed-tests"] or text["failed-tests-detail"]
    return Settings(
        status=status,
        conclusion=conclusion,
        test_reports=tuple(line.strip() for line in text["test-reports"].splitlines() if line.strip()),
        require_tests=_flag(text, "require-tests"),
        test_results=_counts(text["test-results"]),
        failed_tests=_failed_tests("failed-tests" if text["failed-tests"] else "failed-tests-detail", failed_tests),
        triage_verdict=_triage_verdict(text["triage-verdict"]),
        artifact_url=text["artifact-url"] or environ.get("OOT_HUD_ARTIFACT_URL", "").strip(),
        environment=_environment(text["environment"]),
        job_name=text["job-name"],
        scope=scope,
        mode=_choice(text, "mode", ("post", "defer")),
        needs=needs,
        delivery_id=delivery_id,
        event_type=event_type,
        callback_url=text["callback-url"],
        audience=text["audience"],
        max_time=_number(text, "max-time", 1, 600),
        retries=int(_number(text, "retries", 0, 10)),
        dry_run=_flag(text, "dry-run"),
        summary=_flag(text, "summary"),
        annotations=int(_number(text, "annotations", 0, 50)),
        client_payload=text["client-payload"],
        token_file=text["token-file"],
        token=environ.get("OOT_TOKEN", "").strip(),
    )


def load_json(name: str, text: str) -> Any:  # noqa: ANN401 - JSON is of any type until it is checked
    """Parse JSON as the relay will: no NaN, and no number that would become infinite.

    Raises ReportError naming the input and the place.
    """
    try:
        return json.loads(text, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise ReportError("bad_input", name=name, why=f"it is not JSON: {error}") from None


def read_text(name: str, path: str) -> str:
    """Read a small UTF-8 file that an input names."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise ReportError("bad_input", name=name, why=f"{path} cannot be read: {error}") from None


def _finite(number: str) -> float:
    value = float(number)
    if not isfinite(value):
        raise ValueError(f"{number} is not a number in JSON")
    return value


def _choice(text: dict[str, str], name: str, choices: tuple[str, ...]) -> str:
    if text[name] not in choices:
        was = f"it is {text[name]!r}" if text[name] else "it is missing"
        raise ReportError("bad_input", name=name, why=f"{was}; one of {', '.join(choices)} is needed")
    return text[name]


def _flag(text: dict[str, str], name: str) -> bool:
    value = text[name].lower()
    if value not in YES + _NO:
        raise ReportError("bad_input", name=name, why=f"{text[name]!r} is neither true nor false")
    return value in YES


def _number(text: dict[str, str], name: str, low: int, high: int) -> float:
    try:
        value = float(text[name])
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise ReportError("bad_input", name=name, why=f"{text[name]!r} is not a number from {low} to {high}")
    return value


def _conclusion(text: str) -> str | None:
    if not text:
        return None
    value = _ALIASES.get(text.lower(), text.lower())
    if value not in CONCLUSIONS:
        raise ReportError("bad_input", name="conclusion", why=f"{text!r} is not one of {', '.join(CONCLUSIONS)}")
    return value


def _worst(text: str) -> str | None:
    if not text or text == "null":
        return None
    needs = load_json("needs", text)
    if isinstance(needs, dict):
        results = [job.get("result") for job in needs.values() if isinstance(job, dict)]
    else:  # `needs.*.result`
        results = needs if isinstance(needs, list) else []
    if not results or any(result not in _WORST_FIRST for result in results):
        raise ReportError(
            "bad_input",
            name="needs",
            why="it is not what `${{ toJSON(needs) }}` or `${{ toJSON(needs.*.result) }}` gives",
        )
    return next(result for result in _WORST_FIRST if result in results)


def _counts(text: str) -> dict[str, float]:
    given = load_json("test-results", text) if text else {}
    if not isinstance(given, dict):
        raise ReportError("bad_input", name="test-results", why="it is not a JSON object of counts")
    counts: dict[str, float] = {}
    for key in _COUNTS:
        value = given.get(key)
        if isinstance(value, str) and value.strip().isdecimal():
            value = int(value)  # shells quote numbers; CRCR's relay took both
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 10**12 or value % 1:
            raise ReportError("bad_input", name="test-results", why=f"{key} is {value!r}, not a count")
        counts[key] = int(value)
    duration = given.get("duration_seconds")
    if isinstance(duration, (int, float)) and not isinstance(duration, bool) and 0 <= duration <= 10**9:
        counts["duration_seconds"] = duration
    return counts


def _failed_tests(name: str, text: str) -> list[dict[str, Any]] | None:
    if not text:
        return None
    tests = load_json(name, text if text.startswith(("[", "{")) else read_text(name, text))
    if not isinstance(tests, list) or not all(isinstance(test, dict) for test in tests):
        raise ReportError("bad_input", name=name, why="it is not a JSON array of objects, nor a file with one")
    return tests


def _triage_verdict(text: str) -> dict[str, Any] | None:
    try:
        verdict = load_json("triage-verdict", text) if text else None
    except ReportError:
        return None  # advisory: a broken triage tool means no verdict, never a lost result
    return verdict if isinstance(verdict, dict) else None


def _environment(text: str) -> dict[str, str | int | float | bool | None]:
    if not text.startswith("{"):
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        pairs = [line.partition("=") for line in lines]
        bad = next((line for line, (key, sign, _) in zip(lines, pairs) if not sign or not key.strip()), None)
        if bad is not None:
            raise ReportError("bad_input", name="environment", why=f"the line {bad[:80]!r} is not key=value")
        return {key.strip(): value.strip() for key, _, value in pairs}
    given = load_json("environment", text)
    return {
        key: value if value is None or isinstance(value, (str, int, float, bool)) else json.dumps(value)
        for key, value in given.items()
    }
