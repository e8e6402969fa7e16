"""Says for each backend whether its level fits what RFC-0050 asks, and what would, with the numbers.

    oot-hud level-report                                # the last four weeks, as Markdown
    oot-hud level-report --repo org/backend --json
    oot-hud level-report --allowlist allowlist.yml      # also names who is listed and never reports
    oot-hud level-report --pass-rate 0.95 --max-queue-minutes 20

A week counts with --min-jobs judged jobs (success, failure, timed out; nightlies are left out). Suggested is: up from
L2 when every week of the window counts and meets every criterion; down when the two newest weeks that count both miss
one, or when nothing has come for two weeks. L4 is the core maintainers' decision: who meets all is named a candidate.
The numbers are a suggestion for people: nothing is changed. Reads CLICKHOUSE_URL.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from clickhouse_connect.driver.exceptions import ClickHouseError

from hud_endpoint.clickhouse import saved_queries
from hud_endpoint.clickhouse.connection import connect
from hud_endpoint.relay.allowlist import AllowlistError, parse_allowlist

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping

_LEVELS = ("L1", "L2", "L3", "L4")
_PATIENCE_WEEKS = 2
_NOTHING = "\u2013"


@dataclass(frozen=True)
class Thresholds:
    """What a week must meet; shares between 0 and 1, times in seconds."""

    pass_rate: float = 0.9
    timeout_rate: float = 0.01
    end_to_end: float = 3 * 3600
    queue: float = 30 * 60
    min_jobs: int = 20


class Week(NamedTuple):
    """One week of a backend; `ago` 0 is the newest. None where nothing was measured."""

    ago: int
    judged: int
    pass_rate: float | None
    timeout_rate: float | None
    end_to_end_p50: float | None
    queue_p50: float | None
    misses: tuple[str, ...]  # criteria that are not met; () also where the week does not count
    counts: bool


class Verdict(NamedTuple):
    """What is suggested for a backend."""

    repo: str
    level: str
    suggestion: str  # promote, demote, candidate, keep, unknown
    to: str
    reason: str
    weeks: tuple[Week, ...]


def week(row: Mapping[str, Any], wanted: Thresholds) -> Week:
    """Judge one row of the saved query oot_level_report."""
    judged, passed = int(row["judged"]), int(row["passed"])
    pass_rate = passed / judged if judged else None
    timeout_rate = int(row["timed_out"]) / judged if judged else None
    misses = []
    if pass_rate is not None and pass_rate <= wanted.pass_rate:
        misses.append(f"pass rate {_share(pass_rate)}")
    if timeout_rate is not None and timeout_rate >= wanted.timeout_rate:
        misses.append(f"timed out {_share(timeout_rate)}")
    for name, limit in (("end_to_end_p50", wanted.end_to_end), ("queue_p50", wanted.queue)):
        value = row[name]
        if value is not None and value >= limit:
            misses.append(f"{name.removesuffix('_p50').replace('_', ' ')} {_time(value)}")
    counts = judged >= wanted.min_jobs
    return Week(
        int(row["week"]),
        judged,
        pass_rate,
        timeout_rate,
        row["end_to_end_p50"],
        row["queue_p50"],
        tuple(misses) if counts else (),
        counts,
    )


def judge(  # noqa: PLR0911 - one return a rule, in the order in which they hold
    repo: str, level: str, weeks: Iterable[Week], *, window: int
) -> Verdict:
    """Suggest a level from the weeks that are known; `window` is how many there could be."""
    known = tuple(sorted(weeks))
    newest = [one for one in known if one.counts][:_PATIENCE_WEEKS]

    def verdict(suggestion: str, to: str, reason: str) -> Verdict:
        return Verdict(repo, level, suggestion, to, reason, known)

    if level not in _LEVELS:
        return verdict("unknown", level, "its level is not known")
    below = _LEVELS[max(0, _LEVELS.index(level) - 1)]
    if level != "L1" and not any(one.ago < _PATIENCE_WEEKS for one in known):
        return verdict("demote", below, f"nothing has come for {_PATIENCE_WEEKS} weeks")
    missed = [", ".join(one.misses) for one in newest if one.misses]
    if level in ("L3", "L4") and len(missed) == _PATIENCE_WEEKS:
        return verdict("demote", below, f"missed in its {_PATIENCE_WEEKS} newest weeks: {'; before: '.join(missed)}")
    if missed:
        return verdict("keep", level, f"missed: {'; before: '.join(missed)}")
    counted = sum(one.counts for one in known)
    if counted < window:
        return verdict("keep", level, f"{counted} of {window} weeks have enough jobs to judge by")
    if any(one.misses for one in known):
        return verdict("keep", level, "an earlier week missed a criterion")
    if level == "L2":
        return verdict("promote", "L3", f"met every criterion for {window} weeks")
    if level == "L3":
        return verdict("candidate", "L4", f"met every criterion for {window} weeks; the core maintainers decide on L4")
    return verdict("keep", level, f"met every criterion for {window} weeks")


def markdown(verdicts: Iterable[Verdict], wanted: Thresholds, window: int, now: datetime) -> str:
    """Give the report for people."""
    criteria = (
        f"pass rate above {_share(wanted.pass_rate)}, timed out below {_share(wanted.timeout_rate)}, median end to end "
        f"below {_time(wanted.end_to_end)}, median queue below {_time(wanted.queue)}; a week counts with "
        f"{wanted.min_jobs} judged jobs."
    )
    since = now - timedelta(weeks=window)
    lines = [f"# Levels, {since:%Y-%m-%d} to {now:%Y-%m-%d}", "", f"Criteria: {criteria}", ""]
    lines += ["| backend | level | suggested | why |", "|---|---|---|---|"]
    found = list(verdicts)
    for one in found:
        suggested = one.suggestion if one.suggestion in ("keep", "unknown") else f"**{one.suggestion}** to {one.to}"
        lines.append(f"| {_cell(one.repo)} | {one.level or '?'} | {suggested} | {_cell(one.reason)} |")
    lines += ["", "| backend | week | judged | passed | timed out | end to end p50 | queue p50 | misses |"]
    lines += ["|---|--:|--:|--:|--:|--:|--:|---|"]
    for one in found:
        for at in one.weeks:
            cells = [_cell(one.repo), f"{at.ago} ago" if at.ago else "newest", f"{at.judged:,}", _share(at.pass_rate)]
            cells += [_share(at.timeout_rate), _time(at.end_to_end_p50), _time(at.queue_p50)]
            lines.append(f"| {' | '.join([*cells, ', '.join(at.misses) or ('' if at.counts else 'too few jobs')])} |")
    return "\n".join(lines)


def _share(share: float | None) -> str:
    return _NOTHING if share is None else f"{share * 100:.1f} %"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return _NOTHING
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    usual = Thresholds()
    parser.add_argument("--weeks", type=int, default=4, choices=range(1, 14), metavar="N", help="default: 4, up to 13")
    parser.add_argument("--repo", help="one backend only")
    parser.add_argument("--allowlist", type=Path, help="take levels from it, and name who never reports")
    parser.add_argument("--pass-rate", type=float, default=usual.pass_rate, help=f"default: {usual.pass_rate}")
    parser.add_argument("--timeout-rate", type=float, default=usual.timeout_rate, help=f"default: {usual.timeout_rate}")
    parser.add_argument(
        "--max-hours", type=float, default=usual.end_to_end / 3600, help="median end to end; default: 3"
    )
    parser.add_argument("--max-queue-minutes", type=float, default=usual.queue / 60, help="median; default: 30")
    parser.add_argument("--min-jobs", type=int, default=usual.min_jobs, help=f"default: {usual.min_jobs}")
    parser.add_argument("--json", action="store_true", help="for programs")


def main(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    wanted = Thresholds(
        options.pass_rate,
        options.timeout_rate,
        options.max_hours * 3600,
        options.max_queue_minutes * 60,
        options.min_jobs,
    )
    try:
        listed = _listed(options.allowlist)
        client = connect(os.environ.get("CLICKHOUSE_URL", "http://127.0.0.1:8123"))
        rows = saved_queries.run(client, "oot_level_report", {"weeks": options.weeks})
    except (AllowlistError, OSError, ValueError, ClickHouseError) as error:
        print(f"level-report: {' '.join(str(error).split())[:500]}", file=sys.stderr)
        return 1
    verdicts = list(_verdicts(rows, listed, wanted, options.weeks))
    if options.repo:
        verdicts = [one for one in verdicts if one.repo.lower() == options.repo.lower()]
    if options.json:
        told = [one._asdict() | {"weeks": [at._asdict() for at in one.weeks]} for one in verdicts]
        print(json.dumps({"thresholds": asdict(wanted), "weeks": options.weeks, "backends": told}, indent=2))
    else:
        print(markdown(verdicts, wanted, options.weeks, datetime.now(UTC)))
    return 0


def _listed(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    return {entry.repo: entry.level for entry in parse_allowlist(path.read_bytes()).entries()}


def _verdicts(
    rows: list[dict[str, Any]], listed: Mapping[str, str], wanted: Thresholds, window: int
) -> Iterable[Verdict]:
    levels = {repo.lower(): level for repo, level in listed.items()}
    seen = set()
    for repo, group in groupby(rows, key=lambda row: str(row["repo"])):
        of_repo = list(group)
        seen.add(repo.lower())
        level = levels.get(repo.lower()) or str(of_repo[0]["level"])
        yield judge(repo, level, [week(row, wanted) for row in of_repo], window=window)
    for repo, level in listed.items():
        if repo.lower() not in seen and level != "L1":
            yield judge(repo, level, [], window=window)
