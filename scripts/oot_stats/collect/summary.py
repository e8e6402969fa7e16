"""How collecting goes and went: a line on the terminal meanwhile, then the log and the step's summary.

Names of artifacts and files are strangers' words: they stand in code spans, and no line of the log is a command.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oot_runner.summary import code, duration
from oot_runner.workflow_commands import annotation, harmless

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOLD = 50
_EVERY_SECONDS = 10.0
_WIDTH = 100


class Progress:
    """Tells how far it is: on a terminal in one line, elsewhere now and then."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._told = time.monotonic()

    def tell(self, done: int, total: int, cases: int, megabytes: float) -> None:
        """Tell it, if it is time."""
        now = time.monotonic()
        if now - self._told < (0.1 if self._terminal else _EVERY_SECONDS) and done < total:
            return
        self._told = now
        text = f"{done:,} of {total:,} artifacts, {cases:,} test cases, {megabytes:,.0f} MB fetched"
        end = "\n" if done >= total or not self._terminal else ""
        print(f"\r{text:<{_WIDTH}}{end}" if self._terminal else text, end=end, file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """Tell something else, on a line of its own."""
        print(f"\r{text:<{_WIDTH}}" if self._terminal else text, file=sys.stderr, flush=True)


def tell(manifest: dict[str, Any], tables: dict[str, Any], slowest: list[tuple[str, float]], summary: str) -> None:
    """Print how it went, and add it to the step's summary where there is one."""
    for table, told in tables.items():
        print(f"{table}: {told['rows']:,} rows, {told['bytes']:,} bytes")
    if not tables:
        print("There is nothing to store.")
    rejected = list(_rejected(manifest))
    for name, reason, detail in rejected[:_TOLD]:
        print(harmless(f"rejected {name}: {reason}: {detail}"))
    if not summary:
        return
    totals = manifest["totals"]
    if rejected and os.environ.get("GITHUB_ACTIONS") == "true":
        count = totals["artifacts"]["rejected"] + totals["files"]["rejected"]
        message = f"{count:,} artifacts or reports were rejected; the step's summary says why. All others are stored."
        print(annotation("warning", message, title="Some test reports are not among the test stats"))
    with Path(summary).open("a", encoding="utf-8") as file:
        file.write(render(manifest, tables, slowest, rejected))


def render(
    manifest: dict[str, Any],
    tables: dict[str, Any],
    slowest: list[tuple[str, float]],
    rejected: list[tuple[str, str, str]],
) -> str:
    """Give the summary as Markdown."""
    totals = manifest["totals"]
    run = f"{manifest['repo']}, run {manifest['workflow_run_id']}, attempt {manifest['workflow_run_attempt']}"
    lines = [f"### Test stats collected: {code(run)}", ""]
    lines += ["| | read | rejected | skipped |", "| --- | ---: | ---: | ---: |"]
    for kind in ("artifacts", "files"):
        told = totals[kind]
        lines.append(f"| {kind} | {told['parsed']:,} | {told['rejected']:,} | {told['skipped']:,} |")
    lines += ["", f"{totals['cases']:,} test cases, {totals['failed_cases']:,} of them failed or were rerun.", ""]
    lines += [f"- {table}: {told['rows']:,} rows" for table, told in tables.items()]
    if not tables:
        lines.append("There is nothing to store.")
    if rejected:
        lines += ["", f"#### Rejected: {len(rejected):,}", ""]
        lines += [f"- {code(name)}: {reason}: {code(detail)}" for name, reason, detail in rejected[:_TOLD]]
        if len(rejected) > _TOLD:
            lines.append(f"- and {len(rejected) - _TOLD:,} more, in the manifest")
    if manifest["fallbacks"]:
        lines += [
            "",
            f"{len(manifest['fallbacks']):,} artifacts were taken by a fallback rule; the manifest says which.",
        ]
    if slowest:
        lines += ["", "#### Slowest test files", ""]
        lines += [f"1. {duration(seconds)} {code(name)}" for name, seconds in slowest]
    return "\n".join([*lines, "", ""])


def _rejected(manifest: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for artifact in manifest["artifacts"]:
        if artifact["fate"] == "rejected":
            yield artifact["name"], artifact["reason"], artifact["detail"]
        for file in artifact.get("files", []):
            if file["fate"] == "rejected":
                yield f"{artifact['name']}: {file['path']}", file["reason"], file["detail"]
