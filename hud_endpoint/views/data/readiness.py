"""A backend held against the criteria of RFC-0050 for the next level; the thresholds are settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from hud_endpoint.views.data.rows import number
from hud_endpoint.views.models.backend import Criterion, Readiness

if TYPE_CHECKING:
    from hud_endpoint.views.data.rows import Row


class Criteria(NamedTuple):
    """What is asked, over the jobs of the last `days` that PyTorch dispatched; times in seconds."""

    days: int = 14
    timeout_rate: float = 0.01
    end_to_end_seconds: float = 3 * 3600
    pass_rate: float = 0.9


def judge_readiness(row: Row, criteria: Criteria) -> Readiness:
    """Judge the row of oot_backend_readiness. Rates are of judged jobs: success + failure + timed_out."""
    jobs = int(row["judged_jobs"])
    timeouts = int(row["timed_out_jobs"]) / jobs if jobs else None
    passed = int(row["passed_jobs"]) / jobs if jobs else None
    commits = int(row["end_to_end_commits"])
    end_to_end = number(row["end_to_end_p50"]) if commits else None
    told = (
        _criterion("timeout_rate", "Timeout rate", "share", "<", criteria.timeout_rate, timeouts, jobs),
        _criterion(
            "end_to_end_p50", "End to end, median", "seconds", "<", criteria.end_to_end_seconds, end_to_end, commits
        ),
        _criterion("pass_rate", "Pass rate", "share", ">", criteria.pass_rate, passed, jobs),
    )
    met = [one.met for one in told]
    return Readiness(criteria=told, ready=False if False in met else None if None in met else True)


def _criterion(
    name: Literal["timeout_rate", "end_to_end_p50", "pass_rate"],
    label: str,
    unit: Literal["share", "seconds"],
    comparison: Literal["<", ">"],
    threshold: float,
    value: float | None,
    samples: int,
) -> Criterion:
    met = None if value is None else value < threshold if comparison == "<" else value > threshold
    return Criterion(
        name=name,
        label=label,
        unit=unit,
        comparison=comparison,
        threshold=threshold,
        value=value,
        met=met,
        samples=samples,
    )
