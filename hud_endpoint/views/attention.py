"""What somebody on call must know first: who fails now and since when, who reports twice, who has fallen silent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from hud_endpoint.views.models.counts import TrendPoint
    from hud_endpoint.views.models.summary import BackendRow

FAILING_BELOW = 0.8  # the RFC's lowest band
FEWEST_JOBS = 4  # fewer say nothing


@dataclass(frozen=True, slots=True)
class Attention:
    """A backend that somebody should look at."""

    backend: BackendRow
    kind: Literal["failing", "disputed", "silent"]
    failing_since: datetime | None = None
    pass_rate: float | None = None  # since then
    judged: int = 0


def needing_attention(backends: Sequence[BackendRow]) -> list[Attention]:
    """Return the backends that somebody should look at; one may be there for two reasons.

    Those that fail now come first, the worst first; then those with jobs of which another result was refused, most jobs
    first; then the silent ones, the longest silent first.
    """
    failing, silent = [], []
    for backend in backends:
        run = _failing_run(backend.trend)
        if run and not backend.stale:
            judged = sum(point.counts.judged for point in run)
            passed = sum(point.counts.success for point in run)
            failing.append(Attention(backend, "failing", run[-1].start, passed / judged, judged))
        elif backend.stale:
            silent.append(Attention(backend, "silent"))
    failing.sort(key=lambda one: (one.pass_rate or 0, one.backend.repo))
    silent.sort(key=lambda one: (one.backend.last_run.timestamp() if one.backend.last_run else 0, one.backend.repo))
    disputed = [Attention(backend, "disputed") for backend in backends if backend.disputed]
    disputed.sort(key=lambda one: (-one.backend.disputed, one.backend.repo))
    return failing + disputed + silent


def _failing_run(trend: Sequence[TrendPoint]) -> list[TrendPoint]:
    """The unbroken run of failing points at the trend's end, newest first; [] when it is too short to tell."""
    run: list[TrendPoint] = []
    for point in reversed(trend):
        rate = point.counts.pass_rate
        if rate is None:
            continue
        if rate >= FAILING_BELOW:
            break
        run.append(point)
    return run if sum(point.counts.judged for point in run) >= FEWEST_JOBS else []
