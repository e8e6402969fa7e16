"""Charts say in words what they draw, and draw in proportion."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import timedelta

import pytest

from hud_endpoint.views.charts import day_bars, sparkline, trend_chart
from hud_endpoint.views.models.counts import Counts, DayCount, TrendPoint
from tests.hud_endpoint.views.sample_pages import NOW


def points(*counts: Counts) -> list[TrendPoint]:
    return [TrendPoint(start=NOW + timedelta(hours=hour), counts=one) for hour, one in enumerate(counts)]


def bars(svg: str, kind: str) -> list[tuple[float, float, str]]:
    """Where each bar of a kind stands, how high it is, and its title."""
    return [
        (float(rect.attrib["x"]), float(rect.attrib["height"]), rect[0].text or "")
        for rect in ET.fromstring(svg)  # noqa: S314 - our own
        if rect.attrib["class"] == kind
    ]


def test_a_sparkline_draws_rates_and_leaves_gaps() -> None:
    svg = sparkline(points(Counts.of(success=4), Counts(), Counts.of(success=1, failure=2, timed_out=1)))
    assert bars(svg, "bad") == [(8.0, 20.78, "21 Nov, 14:30 UTC: 3 of 4 failed")]
    assert [place for place, *_ in bars(svg, "ok")] == [0.0, 8.0]
    assert ET.fromstring(svg).attrib["aria-label"] == "Failure rate over time: at most 75 %"  # noqa: S314


def test_one_failure_among_thousands_is_seen() -> None:
    assert bars(sparkline(points(Counts.of(success=9999, failure=1))), "bad")[0][1] == 3


@pytest.mark.parametrize(
    ("svg", "told"),
    [
        (sparkline([]), "no data"),
        (sparkline(points(Counts(), Counts.of(cancelled=2))), "No failures"),
        (day_bars([]), "none"),
        (day_bars([DayCount(day=NOW, failures=0)]), "none"),
    ],
    ids=["nothing", "nothing-judged", "no-days", "calm-days"],
)
def test_without_data_it_says_so(svg: str, told: str) -> None:
    assert told in svg


def test_days_are_drawn_against_the_worst() -> None:
    days = [DayCount(day=NOW + timedelta(days=number), failures=failures) for number, failures in enumerate((0, 5, 10))]
    assert [(place, height) for place, height, _ in bars(day_bars(days), "bad")] == [(4.0, 12.0), (8.0, 24.0)]
    assert 'aria-label="Failures a day: failed on 2 of 3 days, at most 10"' in day_bars(days)


def test_a_trend_stacks_every_job_once() -> None:
    counts = [Counts.of(success=5, failure=2, timed_out=1, cancelled=1, other=1), Counts.of(success=5), Counts()]
    svg = trend_chart(points(*counts))
    heights = {
        kind: [high for _, high, _ in bars(svg, kind)] for kind in ("success", "cancelled", "timed_out", "failure")
    }
    assert heights == {"success": [50.0, 50.0], "cancelled": [20.0], "timed_out": [10.0], "failure": [20.0]}
    assert bars(svg, "failure")[0][2] == ("21 Nov, 12:30 UTC: 2 failed, 1 timed out, 2 cancelled or other, 5 passed")
    assert trend_chart(points(Counts())) == ""
