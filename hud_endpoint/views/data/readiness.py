"""A backend held against the criteria of RFC-0050 for the next level; the thresholds are settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

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
        Criterion(
            name="timeout_rate",
            label="Timeout rate",
            unit="share",
            comparison="<",
            threshold=criteria.timeout_rate,
            value=timeouts,
            met=None if timeouts is None else timeouts < criteria.timeout_rate,
            samples=jobs,
        ),
        Criterion(
            name="end_to_end_p50",
            label="End to end, median",
            unit="seconds",
            comparison="<",
            threshold=criteria.end_to_end_seconds,
            value=end_to_end,
            met=None if end_to_end is None else end_to_end < criteria.end_to_end_seconds,
            samples=commits,
        ),
        Criterion(
            name="pass_rate",
            label="Pass rate",
            unit="share",
            comparison=">",
            threshold=criteria.pass_rate,
            value=passed,
            met=None if passed is None else passed > criteria.pass_rate,
            samples=jobs,
        ),
    )
    met = [one.met for one in told]
    return Readiness(criteria=told, ready=False if False in met else None if None in met else True)
