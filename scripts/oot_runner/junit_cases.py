"""What one test case of a JUnit report says: how it ended and why, its name, its line, and how long it took.

Standard library only, Python 3.8 or later. There is no standard for JUnit XML: tests/oot_runner tells what each
producer writes and how it is read.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from oot_runner.junit_reader import OUTPUTS, RESULTS

if TYPE_CHECKING:
    from oot_runner.junit_reader import Attributes, Element, Suite

LONGEST_SECONDS = 1e9  # so that no sum of durations becomes infinite, which JSON cannot hold

SUCCESS, SKIPPED, FAILURE, ERROR, UNKNOWN = "success", "skipped", "failure", "error", "unknown"
OUTCOMES = {"error": ERROR, "failure": FAILURE, "skipped": SKIPPED, "disabled": SKIPPED}
SEVEREST = (SUCCESS, UNKNOWN, SKIPPED, FAILURE, ERROR)  # last
_SEVERITIES = {tag: SEVEREST.index(outcome) for tag, outcome in OUTCOMES.items()}
STATUS_ATTRIBUTES = ("status", "result", "outcome")  # they count where no child element tells how the test ended
# Their words in lower case, with letters alone. What is not among them is never taken for a pass.
STATUS_WORDS = {
    **dict.fromkeys(
        (
            *("pass", "passed", "passing", "success", "successful", "succeeded", "succeed", "ok", "okay"),
            *("run", "ran", "executed", "completed", "complete", "done", "finished", "expected", "xpass", "xpassed"),
            *("fixed", "flaky", "warning", "passedwithwarnings", "true"),
        ),
        SUCCESS,
    ),
    **dict.fromkeys(
        (
            *("skip", "skipped", "notrun", "notexecuted", "untested", "inconclusive", "disabled", "suppressed"),
            *("ignore", "ignored", "pending", "todo", "deferred", "excluded", "filtered", "unsupported", "norun"),
            *("notapplicable", "na", "notrunnable", "notstarted", "notimplemented", "xfail", "xfailed", "blocked"),
            *("expectedfailure", "expectedfail", "assumptionfailed", "assumptionviolated", "omitted", "bypassed"),
        ),
        SKIPPED,
    ),
    **dict.fromkeys(
        (
            *("fail", "failed", "failure", "failing", "timeout", "timedout", "timelimitexceeded", "crash", "crashed"),
            *("broken", "abort", "aborted", "killed", "terminated", "interrupted", "cancelled", "canceled", "hung"),
            *(
                "hang",
                "panic",
                "panicked",
                "regression",
                "unexpected",
                "unexpectedsuccess",
                "unexpectedpass",
                "stopped",
            ),
            *("unexpectedpass", "passedbutrunaborted", "segfault", "undefined", "notok", "false", "outofmemory", "oom"),
        ),
        FAILURE,
    ),
    **dict.fromkeys(("error", "errored", "exception", "fatal", "internalerror", "setuperror", "teardownerror"), ERROR),
}
LONGEST_WORD = 100
_NOT_A_LETTER = re.compile(r"[^a-z]")

# Attributes of a test case, or names of its properties, that say whether it is an attempt of a test and not another.
RETRY_ATTRIBUTES = frozenset(
    (
        *("retry", "retries", "retried", "isRetry", "is_retry", "retryCount", "retry_count", "retry-count"),
        *("rerun", "reruns", "isRerun", "is_rerun", "rerunCount", "rerun_count", "flaky", "isFlaky", "is_flaky"),
        *("attempt", "attempts", "attemptNumber", "attempt_number", "retryAttempt", "retry_attempt"),
    )
)
WATCHED = frozenset(STATUS_ATTRIBUTES) | RETRY_ATTRIBUTES
_NO = frozenset(("", "0", "false", "no", "none", "null", "off"))

# `1:02.5`, `01:00:02`
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)")
# `22.2s`, `1 min 3 s`, `1h2m`, `500 ms`, `PT1M3.5S`
_SPAN = re.compile(r"(?:P?T)?((?:[\d.,]+ *[a-zµ]+ *)+)", re.IGNORECASE)
_PART = re.compile(r"([\d.,]+) *([a-zµ]+)", re.IGNORECASE)
_LONGEST_TIME = 60
_UNITS = {
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "msecs", "millis", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "µs", "usec", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("ns", "nsec", "nanosecond", "nanoseconds"), 1e-9),
}
# What people write between thousands and does not end a number: blanks, apostrophes, underscores.
_SPACING = re.compile(r"(?<=\d)[\s'_\u2019\u00a0\u202f](?=\d{3})")


def results(content: Element | None) -> list[Element]:
    """Return the elements in a test case that tell how it, or an earlier attempt of it, ended."""
    if content is None:
        return []
    found = []
    for child in content.children:
        if child.tag in RESULTS:
            found.append(child)
        elif child.children and child.tag not in OUTPUTS:
            found += results(child)
    return found


def status(attributes: Attributes, told: list[Element]) -> str:
    """Return how a test case ended, by its `results`: success, skipped, failure, error; or unknown, for its words are.

    A todo test of node's test runner is allowed to fail, and then skipped.
    """
    best = -1
    for element in told:
        if element.tag == "skipped" and element.attributes.get("type", "").lower() == "todo":
            return SKIPPED
        best = max(best, _SEVERITIES.get(element.tag, 0))
    if not told:
        for name in STATUS_ATTRIBUTES:
            if name in attributes:
                best = max(best, SEVEREST.index(stated_status(attributes[name])))
    return SEVEREST[best] if best > 0 else SUCCESS


@lru_cache(maxsize=256)
def stated_status(word: str) -> str:
    """Return what a word of a status attribute means. Blank says nothing, and counts as success."""
    if not word.strip() or len(word) > LONGEST_WORD:
        return UNKNOWN if word.strip() else SUCCESS
    return STATUS_WORDS.get(_NOT_A_LETTER.sub("", word.lower()), UNKNOWN)


def unknown_words(attributes: Attributes) -> list[str]:
    """Return the words of a test case's status attributes that are not known."""
    words = [attributes[name] for name in STATUS_ATTRIBUTES if name in attributes]
    return [word.strip() for word in words if stated_status(word) == UNKNOWN]


def stated_message(attributes: Attributes) -> str:
    """Return what a test case's status attributes say, for one that has nothing else to say why it failed."""
    return ", ".join(f'{name}="{attributes[name]}"' for name in STATUS_ATTRIBUTES if name in attributes)


def failures(told: list[Element]) -> list[Element]:
    """Return those of a test case's `results` that say why it failed, errors first."""
    return [each for each in told if each.tag == "error"] + [each for each in told if each.tag == "failure"]


def has_failed_attempts(told: list[Element]) -> bool:
    """Return whether a test case's `results` tell of attempts that failed before the one that counts."""
    return any(each.tag not in OUTCOMES for each in told)


def is_retry(attributes: Attributes, content: Element | None) -> bool:
    """Return whether a test case says of itself that it is an attempt of a test."""
    if not RETRY_ATTRIBUTES.isdisjoint(attributes) and any(_says_retry(*pair) for pair in attributes.items()):
        return True
    for properties in content.children if content is not None else ():
        if properties.tag == "properties":
            pairs = (child.attributes for child in properties.children)
            if any(_says_retry(pair.get("name", ""), pair.get("value", "")) for pair in pairs):
                return True
    return False


def _says_retry(name: str, value: str) -> bool:
    if name not in RETRY_ATTRIBUTES:
        return False
    if "attempt" in name.lower() and value.strip().isdecimal():
        return int(value) > 1  # the first attempt is no retry
    return value.strip().lower() not in _NO


def text_of(element: Element) -> str:
    """Return all text in an element but for captured output."""
    parts = [element.text]
    for child in element.children:
        if child.tag not in OUTPUTS:
            parts.append(text_of(child))
        parts.append(child.tail)
    return "".join(parts)


def output_of(content: Element | None) -> str:
    """Return what a test printed, if that is in its test case."""
    children = content.children if content is not None else ()
    return "\n".join(child.text.strip("\r\n") for child in children if child.tag in OUTPUTS).strip()


def name_of(attributes: Attributes, suite: Suite) -> str:
    """Return a test case's name; a nameless one has its suite's."""
    name = attributes.get("name", "")
    return name if name.strip() else suite.name


def line_of(attributes: Attributes, suite: Suite) -> int | None:
    """Return the line that a test case begins at, counted from 1."""
    line = integer(attributes.get("line", ""))
    return line + 1 if line is not None and (line == 0 or is_pytest(suite)) else line


def is_pytest(suite: Suite) -> bool:
    """Return whether pytest wrote a suite: it counts lines from 0."""
    names = tuple(suite.attributes)
    return suite.attributes.get("name") == "pytest" or names[:6] == _PYTEST_SUITE or names == _OLD_PYTEST_SUITE


_PYTEST_SUITE = ("name", "errors", "failures", "skipped", "tests", "time")  # in this order, whatever name it is given
_OLD_PYTEST_SUITE = ("errors", "failures", "name", "skipped", "tests", "time")


def seconds(text: str) -> float:
    """Return the seconds of a `time` attribute, in whatever notation; 0 for what is none."""
    try:
        value = float(text)
    except ValueError:
        value = _odd_seconds(_SPACING.sub("", text.strip()[: _LONGEST_TIME + 1]))
    return value if 0 < value <= LONGEST_SECONDS else 0.0


def _odd_seconds(text: str) -> float:
    if len(text) > _LONGEST_TIME:
        return 0.0
    clock = _CLOCK.fullmatch(text)
    if clock:
        hours, minutes, rest = clock.groups()
        return int(hours or 0) * 3600.0 + int(minutes) * 60.0 + float(rest)
    span = _SPAN.fullmatch(text)
    parts = [(_number(part[1]), _UNITS.get(part[2].lower())) for part in _PART.finditer(span[1])] if span else []
    if parts and all(unit for _, unit in parts):
        return sum(number * (unit or 0.0) for number, unit in parts)
    return _number(text)


def _number(text: str) -> float:
    """Return "1,234.56", "1.234,56" or "0,5" as a number; 0 for what is none."""
    if text.rfind(",") < text.rfind(".") or text.count(",") > 1:
        text = text.replace(",", "")
    else:
        text = text.replace(".", "").replace(",", ".") if "," in text else text
    try:
        return float(text)
    except ValueError:
        return 0.0


def integer(text: str) -> int | None:
    """Return the number of a count or line attribute, if it is one."""
    return int(text) if text.isdecimal() and len(text) < 10 else None
