"""Who is said to fail now, and since when."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from hud_endpoint.views.attention import needing_attention
from hud_endpoint.views.models.counts import Counts, TrendPoint
from tests.hud_endpoint.views.sample_pages import FALCON, NOW

GOOD, BAD, FEW, SILENT = (
    Counts.of(success=9, failure=1),
    Counts.of(success=1, failure=3),
    Counts.of(failure=1),
    Counts(),
)


def told(*trend: Counts, stale: bool = False) -> list[tuple[int | None, float | None, int]]:
    """(hours since it fails, pass rate, judged) of one backend with this trend, an hour a point."""
    points = tuple(TrendPoint(start=NOW - timedelta(hours=len(trend) - n), counts=one) for n, one in enumerate(trend))
    found = needing_attention([replace(FALCON, trend=points, stale=stale)])
    hour = timedelta(hours=1)
    return [
        (round((NOW - one.failing_since) / hour) if one.failing_since else None, one.pass_rate, one.judged)
        for one in found
    ]


@pytest.mark.parametrize(
    ("trend", "expected"),
    [
        ((), []),
        ((GOOD, GOOD), []),
        ((BAD, GOOD), []),
        ((GOOD, BAD), [(1, 0.25, 4)]),
        ((GOOD, BAD, SILENT, BAD, SILENT), [(4, 0.25, 8)]),
        ((GOOD, FEW), []),  # one job says nothing
        ((GOOD, FEW, FEW, FEW, FEW), [(4, 0.0, 4)]),
        ((BAD, BAD), [(2, 0.25, 8)]),
    ],
    ids=str,
)
def test_the_run_of_failing_points_at_the_end(trend: tuple[Counts, ...], expected: list[object]) -> None:
    assert told(*trend) == expected


def test_a_silent_backend_is_silent_first_of_all() -> None:
    assert told(GOOD, BAD, stale=True) == [(None, None, 0)]


def test_worst_first_then_the_longest_silent() -> None:
    bad = (TrendPoint(start=NOW, counts=BAD),)
    worse = (TrendPoint(start=NOW, counts=Counts.of(failure=9)),)
    rows = [
        replace(FALCON, repo="o/silent", stale=True, last_run=NOW - timedelta(days=3)),
        replace(FALCON, repo="o/never", stale=True, last_run=None),
        replace(FALCON, repo="o/bad", trend=bad),
        replace(FALCON, repo="o/worse", trend=worse),
    ]
    assert [one.backend.repo for one in needing_attention(rows)] == ["o/worse", "o/bad", "o/never", "o/silent"]
