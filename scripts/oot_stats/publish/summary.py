"""How publishing went, for the log and the step's summary. No word of what was collected is in it: only our own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from oot_runner.workflow_commands import escape, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from oot_stats.publish.normalised import Run
    from oot_stats.publish.outcome import Loads, Table


def tell(whose: Run, tables: Sequence[Table], loads: Sequence[Loads], summary_file: str) -> None:
    """Print it, and add it to the step's summary where there is one."""
    for line in _problems(tables, loads):
        told = (
            f"::warning title=Some test stats were not stored::{escape(line)}" if summary_file else f"publish: {line}"
        )
        print(told)
    for table in tables:
        if table.fate:
            print(f"{table.fate} {table.key}: {table.tally.rows:,} rows, {table.tally.bytes:,} bytes")
    if not any(table.fate for table in tables):
        print("Nothing was stored.")
    if summary_file:
        with Path(summary_file).open("a", encoding="utf-8") as file:
            file.write(render(whose, tables, loads))


def render(whose: Run, tables: Sequence[Table], loads: Sequence[Loads]) -> str:
    """Give the summary as Markdown."""
    lines = [f"### Test stats of {whose.repo}, run {whose.run_id}, attempt {whose.attempt}", ""]
    if tables:
        lines += ["| table | rows | left out | object | in ClickHouse |", "| --- | ---: | ---: | --- | ---: |"]
    in_clickhouse = {load.key: f"{load.rows:,}" for load in loads}
    for table in tables:
        where = f"{table.key} ({table.fate})" if table.fate else (table.error[0] if table.error else "nothing to store")
        left_out, rows = sum(table.tally.rejected.values()), in_clickhouse.get(table.key, "")
        lines.append(f"| {table.name} | {table.tally.rows:,} | {left_out:,} | {where} | {rows} |")
    problems = list(_problems(tables, loads))
    if not any(table.fate for table in tables):
        lines.append("Nothing was stored.")
    return "\n".join([*lines, "", *(f"- {problem}" for problem in problems), ""])


def _problems(tables: Sequence[Table], loads: Sequence[Loads]) -> Iterator[str]:
    for table in tables:
        if table.error:
            code, why = table.error
            yield f"{table.name} was not stored ({code}): {why}"
        elif table.tally.rows + table.tally.rejected.total() != table.collected:
            lines = table.tally.rows + table.tally.rejected.total()
            yield f"{table.name} has {lines:,} lines, and collect's manifest says {table.collected:,}."
        if table.tally.rejected:
            told = ", ".join(f"{count:,} {code}" for code, count in sorted(table.tally.rejected.items()))
            first = ", ".join(str(line) for line, _ in table.tally.examples[:5])
            yield f"{table.name}: lines were left out ({told}); the first are {first}."
    for load in loads:
        if load.rows != load.expected:
            yield f"{load.key}: ClickHouse has {load.rows:,} rows of it, and the manifest says {load.expected:,}."
        if load.error:
            said = " ".join(plain(load.error).split()).replace("`", "'")[:500]
            yield f"{load.key}: `{said}`"
