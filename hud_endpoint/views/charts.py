"""Small charts as inline SVG: no script, no style attribute, a sentence for who can't see them, a title on each bar.

Colours come from the stylesheet by class. Charts stretch with their box, so that words stand outside of them.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

from markupsafe import Markup

from hud_endpoint.views.formats import count, moment, percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hud_endpoint.views.models.counts import DayCount, TrendPoint

_STEP, _BAR = 4, 3
_HEIGHT = 24
_LEAST = 3  # one failure among thousands still shows
_PARTS = ("success", "cancelled", "timed_out", "failure")  # from below: what matters stands on top
_WORDS = {"success": "passed", "cancelled": "cancelled or other", "timed_out": "timed out", "failure": "failed"}


def sparkline(points: Sequence[TrendPoint]) -> Markup:
    """Failure rates: a base line where jobs passed, a bar where some failed, nothing where nothing ran.

    A bar is as high as the rate's square root: a few percent are seen, and everything failing still stands out.
    """
    if not points:
        return Markup('<span class="muted">no data</span>')
    rates = [1 - point.counts.pass_rate if point.counts.pass_rate is not None else None for point in points]
    worst = max((rate for rate in rates if rate is not None), default=0.0)
    told = f"Failure rate over time: at most {percent(worst)}" if worst else "No failures"
    marks = []
    for place, (point, rate) in enumerate(zip(points, rates, strict=True)):
        if rate is None:
            continue
        counts = point.counts
        failed = counts.judged - counts.success
        title = f"{moment(point.start)}: {count(failed)} of {count(counts.judged)} failed"
        marks.append(_bar(place, 0, 2, "ok", title))
        if rate > 0:
            marks.append(_bar(place, 0, max(_LEAST, _HEIGHT * sqrt(rate)), "bad", title))
    return _svg("sparkline", told, len(points), marks)


def day_bars(days: Sequence[DayCount]) -> Markup:
    """Failures a day, the highest day as high as the chart."""
    most = max((day.failures for day in days), default=0)
    if not most:
        return Markup('<span class="muted">none</span>')
    marks = []
    for place, day in enumerate(days):
        title = f"{day.day:%-d %b}: {count(day.failures)} failed"
        marks.append(_bar(place, 0, 2, "ok", title))
        if day.failures:
            marks.append(_bar(place, 0, max(_LEAST, _HEIGHT * day.failures / most), "bad", title))
    failing = sum(1 for day in days if day.failures)
    return _svg(
        "sparkline", f"Failures a day: failed on {failing} of {len(days)} days, at most {most}", len(days), marks
    )


def trend_chart(points: Sequence[TrendPoint]) -> Markup:
    """How jobs ended over time, stacked: passed below, failed on top."""
    most = max((point.counts.total for point in points), default=0)
    if not most:
        return Markup("")
    marks = []
    for place, point in enumerate(points):
        counts = point.counts
        numbers = {
            "success": counts.success,
            "cancelled": counts.cancelled + counts.other,
            "timed_out": counts.timed_out,
            "failure": counts.failure,
        }
        told = ", ".join(f"{count(numbers[part])} {_WORDS[part]}" for part in reversed(_PARTS) if numbers[part])
        below = 0.0
        for part in _PARTS:
            if numbers[part]:
                high = 100 * numbers[part] / most
                marks.append(_bar(place, below, high, part, f"{moment(point.start)}: {told}", height=100))
                below += high
    return _svg("trend", "How jobs ended over time; the table below has the numbers", len(points), marks, height=100)


def _bar(place: int, below: float, high: float, kind: str, title: str, *, height: int = _HEIGHT) -> Markup:
    return Markup('<rect x="{}" y="{}" width="{}" height="{}" class="{}"><title>{}</title></rect>').format(
        place * _STEP, round(height - below - high, 2), _BAR, round(high, 2), kind, title
    )


def _svg(kind: str, told: str, places: int, marks: Iterable[Markup], *, height: int = _HEIGHT) -> Markup:
    return Markup(
        '<svg class="{}" role="img" aria-label="{}" viewBox="0 0 {} {}" preserveAspectRatio="none">{}</svg>'
    ).format(kind, told, places * _STEP, height, Markup("").join(marks))
