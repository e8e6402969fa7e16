"""What `/oot/test?name=…` shows: where and when a test fails, across backends, and what that makes of it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from hud_endpoint.views.data.backends import counts_of, read_numbers
from hud_endpoint.views.data.failures import days_of, history, is_new
from hud_endpoint.views.data.rows import events, number, utc
from hud_endpoint.views.data.together import together
from hud_endpoint.views.models.counts import Freshness
from hud_endpoint.views.models.failed_test import FailedTestPage, FailingBackend, Occurrence
from hud_endpoint.views.models.filters import WINDOWS
from hud_endpoint.wire_types import is_sha

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from hud_endpoint.views.data.rows import Ask, Row
    from hud_endpoint.views.models.failed_test import Standing
    from hud_endpoint.views.models.filters import Filters

OCCURRENCES = 50


def read_test(ask: Ask, name: str, classname: str, file: str, filters: Filters, now: datetime) -> FailedTestPage:
    """Ask for everything; raises what `ask` raises."""
    test: dict[str, Any] = {"name": name, "classname": classname, "file": file}
    with together() as start:
        numbering = start(read_numbers, ask, [filters.days], filters.event)
        rows = ask("oot_test_backends", **test, days=filters.days, events=events(filters))
        occurrences = tuple(_read_occurrences(ask, name, rows))
    numbers = numbering.result()
    found = [row for row in rows if row["failures"] or row["flaked_jobs"]]
    repos = sorted({str(row["repo"]) for row in found})
    reporting = {repo: row for repo, row in numbers.by_repo[filters.days].items() if repo}
    variants = sorted({(str(row["classname"]), str(row["file"])) for row in found})
    backends = [
        _backend(
            repo,
            reporting.get(repo),
            [row for row in found if row["repo"] == repo],
            [row for row in rows if row["repo"] == repo and (row["classname"], row["file"]) in variants],
            filters.days,
            days_of(filters.days, now),
        )
        for repo in repos
    ]
    backends.sort(key=lambda one: (-one.failures, -one.flakes, one.repo))
    kind, reason = standing(backends, len(reporting), WINDOWS[filters.days])
    return FailedTestPage(
        name=name,
        classname=classname,
        file=file,
        filters=filters,
        freshness=Freshness(read_at=now, rolled_up_at=numbers.refreshed_at),
        kind=kind,
        reason=reason,
        reporting_backends=len(reporting),
        backends=tuple(backends),
        occurrences=occurrences,
        occurrences_total=sum(int(row["occurrences"]) for row in rows),
        variants=tuple(variants),
    )


def standing(backends: Sequence[FailingBackend], reporting: int, window: str) -> tuple[Standing, str]:
    """Say how a test is known, and why: failing on several backends outdoes new, which outdoes flaky."""
    failing = [one for one in backends if one.failures]
    failures, flakes = sum(one.failures for one in backends), sum(one.flakes for one in backends)
    if not backends:
        return "none", f"It has not failed in the last {window}."
    if len(failing) > 1:
        return (
            "everywhere",
            f"It fails on {len(failing)} of the {reporting} backends that reported in the last {window}.",
        )
    if flakes and flakes >= failures:
        return "flaky", f"In {flakes} job{'s' * (flakes > 1)} it passed on a re-run of the same commit."
    if any(one.is_new for one in failing):
        return "new", f"It began to fail on {failing[0].repo} within the last {window}."
    return "known", f"It has failed on {backends[0].repo} before."


def _backend(
    repo: str, about: Row | None, rows: Sequence[Row], variants: Sequence[Row], window: int, days: list[date]
) -> FailingBackend:
    """Give one backend; `rows` are those it failed in within the window, `variants` those and of the window before."""
    failures: dict[date, int] = defaultdict(int)
    for row in rows:
        for day, failed in row["days"].items():
            failures[day] += int(failed)
    first = min(utc(row["first_in_window"]) for row in rows)
    past = [row for row in variants if row["past_last"]]
    last_before = max((utc(row["past_last"]) for row in past), default=None)
    return FailingBackend(
        repo=repo,
        level=str(about["level"]) if about else "",
        failures=sum(int(row["failures"]) for row in rows),
        judged_jobs=counts_of(about).judged if about else 0,
        flakes=len({flaked for row in rows for flaked in row["flaked_jobs"]}),
        first_seen=min((utc(row["past_first"]) for row in past), default=first),
        last_seen=max(utc(row["last_seen"]) for row in rows),
        is_new=is_new(first, last_before, window),
        history=history(failures, days),
    )


def _read_occurrences(ask: Ask, name: str, groups: Sequence[Row]) -> list[Occurrence]:
    """Give the newest failures of all groups, newest first."""
    newest = sorted((*one, row["repo"]) for row in groups for one in row["newest_failures"])[:OCCURRENCES]
    if not newest:
        return []
    rows = ask(
        "oot_test_occurrences",
        name=name,
        ids=[one[1] for one in newest],
        days=sorted({one[2] for one in newest}),
    )
    told = {row["id"]: row for row in rows}
    return [_occurrence(told[one[1]], one[4], recovered=bool(one[3])) for one in newest if one[1] in told]


def _occurrence(row: Row, backend: str, *, recovered: bool) -> Occurrence:
    return Occurrence(
        repo=backend,
        classname=row["classname"],
        file=row["file"],
        status=row["status"],
        message=row["message"],
        stacktrace=row["stacktrace"],
        duration=number(row["duration"]),
        seen=utc(row["seen"]),
        workflow=row["workflow"],
        job=row["job"],
        attempt=int(row["attempt"]),
        upstream_repo=row["upstream_repo"],
        pr_number=int(row["pr_number"]),
        sha=row["sha"],
        is_sha=is_sha(row["sha"]),
        event_type=row["event_type"],
        run_url=row["run_url"],
        artifact_url=row["artifact_url"],
        recovered=recovered,
    )
