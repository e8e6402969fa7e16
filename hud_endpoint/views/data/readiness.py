"""A backend held against the criteria of RFC-0050 for the next level; the thresholds are settings."""

from __future__ import annotations

from typing import Literal, NamedTuple

from hud_endpoint.views.data.rows import number
from hud_endpoint.views.models.backend import Criterion, Readiness


class Criteria(NamedTuple):
    """What is asked, over the jobs of the last `days` that PyTorch dispatched; times in seconds."""

    days: int = 14
    timeout_rate: float = 0.01
    end_to_end_seconds: float = 3 * 3600
    pass_rate: float = 0.9


class Record(NamedTuple):
    """What a backend's jobs came to: a row of oot_backend_readiness."""

    judged: int = 0  # jobs: success + failure + timed_out
    passed: int = 0
    timed_out: int = 0
    end_to_end_p50: float = 0  # seconds
    end_to_end_commits: int = 0


def judge_readiness(record: Record, criteria: Criteria) -> Readiness:
    """Judge what a backend's jobs came to. Rates are of judged jobs."""
    jobs, commits = record.judged, record.end_to_end_commits
    timeouts = record.timed_out / jobs if jobs else None
    passed = record.passed / jobs if jobs else None
    end_to_end = number(record.end_to_end_p50) if commits else None
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
