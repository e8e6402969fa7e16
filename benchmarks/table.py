"""The table that `make bench` prints: as text for a terminal, as Markdown for docs, as JSON for machines. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.result import Budget, Row

HEADERS = ("what", "ours", "baseline", "ratio", "budget", "met")
BEGIN, END = "<!-- make bench -->", "<!-- end -->"
_NOTHING = "-"


def number(value: float, unit: str) -> str:
    """Write a value with the digits that mean something: 123,456 /s, 12.3 ms, 0.45 ms."""
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2
    return f"{value:,.{digits}f} {unit}".strip()


def to_text(rows: Sequence[Row], machine: Mapping[str, str]) -> str:
    """Lay the table out in columns; notes stand below the row they belong to."""
    cells = [HEADERS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADERS))]
    lines = [_machine(machine), ""]
    for index, line in enumerate(cells):
        padded = [
            cell.ljust(width) if column in (0, len(HEADERS) - 1) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
        if index == 0:
            lines.append("  ".join("-" * width for width in widths))
        elif rows[index - 1].note:
            lines.append(f"    {rows[index - 1].note}")
    return "\n".join(lines)


def to_markdown(rows: Sequence[Row], machine: Mapping[str, str]) -> str:
    """Write the table for a page; notes are a column of their own."""
    lines = [_machine(machine), "", f"| {' | '.join(HEADERS)} | note |", "|---|--:|--:|--:|--:|---|---|"]
    for row in rows:
        cells = (*_cells(row), row.note)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def into_page(page: str, shown: str) -> str:
    """Put the table between the page's markers. Raises ValueError for a page without them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"the page has no {BEGIN} … {END}")
    return f"{before}{begin}\n{shown}{end}{after}"


def to_json(rows: Sequence[Row], machine: Mapping[str, str], failures: Mapping[str, str]) -> str:
    """Write `{machine, rows, failures}`; failures name the rooms that could not be measured."""
    told = {"machine": dict(machine), "rows": [row.to_json() for row in rows], "failures": dict(failures)}
    return json.dumps(told, indent=2, allow_nan=False) + "\n"


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.what,
        number(row.ours, row.unit),
        _NOTHING if row.baseline is None else number(row.baseline, row.unit),
        _NOTHING if row.ratio is None else f"{number(row.ratio, '')}x",
        _budget(row.budget, row.unit),
        {True: "yes", False: "NO", None: _NOTHING}[row.met],
    )


def _budget(budget: Budget | None, unit: str) -> str:
    if budget is None:
        return _NOTHING
    sign = {"at least": ">=", "at most": "<=", "under": "<"}[budget.kind]
    limit = f"{budget.limit:g}x" if budget.of == "ratio" else f"{budget.limit:,g} {unit}"
    return f"{sign} {limit}{f' {budget.when}' if budget.when else ''}"


def _machine(machine: Mapping[str, str]) -> str:
    return "Machine: " + "; ".join(f"{name} {value}" for name, value in machine.items())
