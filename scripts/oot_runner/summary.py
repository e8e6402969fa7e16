"""The step summary: Markdown for GitHub's page, in which nothing that came from elsewhere is anything but text.

Hostile text stands in code spans, code fences or `<code>` alone: there GitHub makes no markup, mention, link or image.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from oot_runner.workflow_commands import SUMMARY_BYTES, plain

if TYPE_CHECKING:
    from oot_runner.junit_counting import SlowTest
    from oot_runner.messages import Message
    from oot_runner.payload import Results

TESTS_SHOWN = 100
SLOWEST_SHOWN = 10
LONGEST_NAME = 500
LONGEST_FACT = 2000
ROOM = SUMMARY_BYTES // 2  # the page shows every step's summary, and becomes slow long before GitHub's cap

_ICONS = {
    None: "⏳",
    "success": "✅",
    "failure": "❌",
    "cancelled": "🚫",
    "timed_out": "⌛",
    "skipped": "⏭️",
    "neutral": "⚪",
    "action_required": "✋",
    "stale": "🕸️",
}
_ALERTS = {"error": "CAUTION", "warning": "WARNING", "notice": "NOTE"}
_OUTCOMES = {
    "delivered": "📡 Reported to HUD",
    "duplicate": "📡 HUD already had this result; nothing changed",
    "queued": "📨 The relay keeps the report and will pass it on to HUD",
    "ignored": "🔇 The relay took the report and does not show it",
    "unknown": "❔ Whether the report arrived is not known",
    "failed": "⛔ **Not reported to HUD**",
    "dry-run": "🧪 Dry run: nothing was sent",
    "deferred": "📦 Left as an artifact, to be reported when the run is over",
}
_COLUMNS = (
    ("total", "Tests"),
    ("passed", "✅ Passed"),
    ("failed", "❌ Failed"),
    ("errors", "💥 Errors"),
    ("skipped", "⏭️ Skipped"),
    ("flaky", "🔁 Flaky"),
)


class Links(NamedTuple):
    """Where the reader can go on; empty where there is no such place."""

    hud: str
    artifacts: str


def render(
    title: str,
    outcome: str,
    found: Results | None,
    slowest: list[SlowTest],
    messages: list[Message],
    links: Links,
) -> str:
    """Give the whole summary, within ROOM; failed tests that have none are counted."""
    head = [f"### {_ICONS[found.conclusion] if found else '⚠️'} {code(title)}", ""]
    head += [alert(message) for message in messages]
    if found and found.counts:
        head.append(_counts(found.counts))
    more = [("See it on HUD", links.hud), ("Logs and reports", links.artifacts)]
    head.append(" · ".join([_OUTCOMES[outcome], *(f"[{name}]({href(url)})" for name, url in more if url)]) + "\n")
    text = "\n".join(head) + "\n"
    tail = _slowest(slowest) if slowest else ""
    if found and found.failed_tests:
        text += _failed(found, ROOM - len((text + tail).encode()))
    return f"{text}{tail}\n"


def code(text: str, limit: int = LONGEST_NAME) -> str:
    """Give hostile text as one code span that shows exactly it, without control characters."""
    line = _line(text, limit)
    ticks = "`" * (_longest_run(line) + 1)
    return f"{ticks} {line} {ticks}" if line.startswith("`") or line.endswith("`") else f"{ticks}{line or ' '}{ticks}"


def fenced(text: str, language: str = "text") -> str:
    """Give hostile text in a code fence longer than any run of backticks in it."""
    body = plain(text)
    fence = "`" * max(3, _longest_run(body) + 1)
    return f"{fence}{language}\n{body}\n{fence}"


def duration(seconds: float) -> str:
    """Give a duration as people write it."""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    hours, minutes = divmod(int(seconds) // 60, 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min {int(seconds) % 60} s"


def alert(message: Message) -> str:
    """Give a message as an alert box."""
    facts = {key: code(fact, LONGEST_FACT) if isinstance(fact, str) else fact for key, fact in message.facts.items()}
    lines = [f"**{message.title}**", "", message.cause.format_map(facts)]
    if message.remedy:
        lines += ["", message.remedy.format_map(facts)]
    if message.yaml:
        lines += ["", *fenced(message.yaml, "yaml").split("\n")]
    lines += ["", f"[More on this]({message.link})"]
    return "\n".join([f"> [!{_ALERTS[message.level]}]", *(f"> {line}".rstrip() for line in lines), ""])


def _counts(counts: dict[str, float]) -> str:
    cells = [(title, f"{int(counts[key]):,}") for key, title in _COLUMNS if key in counts]
    if "duration_seconds" in counts:
        cells.append(("⏱️ Time", duration(counts["duration_seconds"])))
    rows = ([title for title, _ in cells], ["---:"] * len(cells), [value for _, value in cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _failed(found: Results, room: int) -> str:
    number = max(int(found.counts.get("failed", 0)), len(found.failed_tests))
    text = f"#### Failed tests: {number:,}\n\n"
    note = "*{:,} more failed tests are not shown here.*\n\n"
    room -= len((text + note).encode()) + 20
    shown = 0
    for test in found.failed_tests[:TESTS_SHOWN]:
        part = _failed_test(test)
        room -= len(part.encode())
        if room < 0:
            break
        text += part
        shown += 1
    return text + note.format(number - shown) if shown < number else text


def _failed_test(test: dict[str, Any]) -> str:
    name = _name(test.get("classname"), test["name"])
    file = f" · {_html(test['file'])}" if test.get("file") else ""
    detail = "\n\n".join(test[key] for key in ("message", "stacktrace") if test.get(key))
    body = fenced(detail) if detail.strip() else "The report does not say why."
    icon = "💥" if test["status"] == "error" else "❌"
    return f"<details><summary>{icon} {_html(name)}{file}</summary>\n\n{body}\n\n</details>\n\n"


def _slowest(tests: list[SlowTest]) -> str:
    # A list, for a table ends its cells at every pipe, in code spans too.
    rows = "".join(
        f"1. {duration(test.duration_seconds)} {code(_name(test.classname, test.name))}\n"
        for test in tests[:SLOWEST_SHOWN]
    )
    return f"<details><summary>🐢 Slowest tests</summary>\n\n{rows}\n</details>\n"


def _name(*parts: str | None) -> str:
    return "::".join(part for part in parts if part)


def _html(text: str) -> str:
    """Give hostile text for inside an HTML block, where Markdown is not read."""
    return f"<code>{_line(text).replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')}</code>"


def _line(text: str, limit: int = LONGEST_NAME) -> str:
    line = " ".join(plain(text).split())
    return line if len(line) <= limit else f"{line[:limit]}…"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


def href(url: str) -> str:
    """Give a URL for a Markdown link, which nothing in it can end."""
    return quote(plain(url), safe="-._~:/?#@!$&*+,;=%")
