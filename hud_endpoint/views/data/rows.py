"""From rows of saved queries to the values that pages are made of: jobs, their latest attempts, counts, spreads."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from hud_endpoint.events import is_self_reported
from hud_endpoint.views.models.counts import Counts, Spread
from hud_endpoint.views.models.jobs import Job
from hud_endpoint.wire_types import is_sha

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hud_endpoint.views.data.names import Names
    from hud_endpoint.views.models.filters import Filters
    from hud_endpoint.views.models.jobs import State

    Row = Mapping[str, Any]
    # Runs a saved query by its name and parameters.
    Ask = Callable[..., Sequence[Row]]

# What a reader must see first; a disputed job has another result, which was refused.
_WORST_FIRST = (
    "failure",
    "timed_out",
    "disputed",
    "running",
    "cancelled",
    "action_required",
    "stale",
    "neutral",
    "skipped",
)
_SEVERITY = {state: place for place, state in enumerate(_WORST_FIRST)}


def utc(time: datetime) -> datetime:
    """Give the time aware; ClickHouse's client gives some columns without a zone, which are UTC."""
    if time.tzinfo is UTC:
        return time
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def events(filters: Filters) -> list[str]:
    """Give the event types a query is to keep; none means all."""
    return [filters.event] if filters.event else []


def window_start(now: datetime, days: int) -> datetime:
    """Give the start of the window: the hour that was running `days` ago began then."""
    return (now - timedelta(days=days)).replace(minute=0, second=0, microsecond=0)


def number(value: float | None) -> float | None:
    """Give a finite number, or None: ClickHouse's quantile of nothing is NaN."""
    return None if value is None or not math.isfinite(value) else float(value)


def severity(state: State) -> int:
    """Order states, the worst first; success is the last."""
    return _SEVERITY.get(state, len(_WORST_FIRST) if state != "success" else len(_WORST_FIRST) + 1)


def urgency(job: Job) -> int:
    """Order jobs, the one to be seen first, first: one with another result that was refused is never plainly passed."""
    return min(severity(job.state), severity("disputed")) if job.refused else severity(job.state)


def count(states: Iterable[State]) -> Counts:
    """Count how finished jobs ended; what runs is not counted."""
    tally: dict[str, int] = defaultdict(int)
    for state in states:
        if state != "running":
            tally[state if state in ("success", "failure", "timed_out", "cancelled") else "other"] += 1
    return Counts.of(**tally)


def spread(row: Row, name: str) -> Spread:
    """Give the distribution of `{name}_seconds` over `{name}_jobs`, with its `{name}_quantiles`."""
    samples = int(row[f"{name}_jobs"])
    if not samples:
        return Spread()
    p50, p95 = row[f"{name}_quantiles"]
    return Spread(average=row[f"{name}_seconds"] / samples, p50=number(p50), p95=number(p95), samples=samples)


def spread_of(samples: Sequence[float]) -> Spread:
    """Give the distribution of these samples; quantiles are samples themselves (nearest rank)."""
    if not samples:
        return Spread()
    ordered = sorted(samples)
    p50, p95 = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.95))
    return Spread(average=sum(ordered) / len(ordered), p50=p50, p95=p95, samples=len(ordered))


def is_verified(event_type: str, *, dispatch: bool, commit: bool) -> bool:
    """Return whether somebody else than the job says what it is about: our dispatch's record, or a nightly's commit.

    Of a nightly, earlier relays wrote to `dispatch_verified` that the upstream has its commit.
    """
    return bool(dispatch or (commit and is_self_reported(event_type)))


def refused_results(conflicts: str) -> tuple[State, ...]:
    """Return the conclusions of the refused results that a row of oot_workflow_job names, "conclusion digest" each."""
    try:
        notes = json.loads(conflicts) if conflicts else []
    except ValueError:
        notes = [conflicts]
    return tuple(str(note).partition(" ")[0] for note in (notes if isinstance(notes, list) else [notes]))


def job(row: Row, names: Names) -> Job:
    """Give the job execution of a row of oot_pr_jobs or oot_commit_jobs."""
    completed = row["status"] == "completed"
    timed = completed and not row["times_estimated"]
    first_seen = utc(row["first_seen"])
    started, ended = utc(row["started_at"]), utc(row["completed_at"])
    known_start = started.year > 1970 and not (row["times_estimated"] and row["origin"] != "sweeper")
    return Job(
        key=row["key"],
        repo=names.backend_of(row["repo"], row["repository_id"], first_seen),
        reported_as=row["repo"],
        level=row["level"],
        workflow=row["workflow"],
        name=row["name"],
        check_run_id=row["check_run_id"],
        run_id=row["run_id"],
        attempt=int(row["attempt"]),
        state=row["conclusion"] if completed else "running",
        refused=refused_results(row["conflicts"]),
        origin=row["origin"],
        event_type=row["event_type"],
        upstream_repo=row["upstream_repo"],
        pr_number=int(row["pr_number"]),
        sha=row["sha"],
        is_sha=is_sha(row["sha"]),
        verified=is_verified(row["event_type"], dispatch=row["dispatch_verified"], commit=row["commit_verified"]),
        first_seen=first_seen,
        started_at=started if known_start else None,
        completed_at=ended if completed and ended.year > 1970 else None,
        duration=float(int(ended.timestamp()) - int(started.timestamp())) if timed else None,
        queue_time=number(row["queue_time"]),
        total_tests=int(row["total_tests"]),
        passed_tests=int(row["passed_tests"]),
        failed_tests=int(row["failed_tests"]),
        skipped_tests=int(row["skipped_tests"]),
        error_tests=int(row["error_tests"]),
        flaky_tests=int(row["flaky_tests"]),
        details_truncated=int(row["details_truncated"]),
        run_url=row["run_url"],
        artifact_url=row["artifact_url"],
        failures=tuple(row["failures"]),
    )


def latest_attempts(jobs: Iterable[Job], deliveries: Mapping[str, str]) -> tuple[list[Job], list[Job]]:
    """Part executions into those that count, every check run of each job's latest attempt, and the superseded ones.

    `deliveries` gives the delivery of each key: a job is told by repo, delivery, workflow, run and name. A job that
    runs supersedes its earlier attempts too, since nobody knows yet how it ends.
    """
    attempts = defaultdict(list)
    for one in jobs:
        attempts[one.repo, deliveries[one.key], one.workflow, one.run_id, one.name].append(one)
    latest: list[Job] = []
    superseded: list[Job] = []
    for executions in attempts.values():
        last = max(one.attempt for one in executions)
        for one in executions:
            (latest if one.attempt == last else superseded).append(one)
    return latest, superseded
