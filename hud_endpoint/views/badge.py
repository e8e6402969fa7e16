"""The badge that a backend puts into its README: the pass rate of the last seven days, as a small SVG."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hud_endpoint.views.models.counts import Counts

LABEL = "PyTorch OOT CI"
# The RFC's bands, dark enough for white text (WCAG AA).
_GOOD, _FAIR, _POOR, _UNKNOWN = "#1a7f37", "#8a5a00", "#c0291d", "#59636e"
_CHARACTER, _PADDING, _HEIGHT = 6.6, 6.0, 20


def draw_badge(repo: str, counts: Counts | None) -> bytes:
    """Give the badge; None, or nothing judged, is grey and says so."""
    rate = counts.pass_rate if counts else None
    told = "no data" if rate is None else f"{int(rate * 1000) / 10:g}% passed"
    color = _UNKNOWN if rate is None else _GOOD if rate >= 0.95 else _FAIR if rate >= 0.8 else _POOR
    judged = f": {counts.success:,} of {counts.judged:,} jobs in the last 7 days" if counts and counts.judged else ""
    title = escape(f"{repo} {told}{judged}".encode(errors="replace").decode())
    left, right = (len(text) * _CHARACTER + 2 * _PADDING for text in (LABEL, told))
    width = left + right
    return f"""<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{_HEIGHT}" role="img" \
aria-label="{title}">
<title>{title}</title>
<clipPath id="r"><rect width="{width:.0f}" height="{_HEIGHT}" rx="3"/></clipPath>
<g clip-path="url(#r)"><rect width="{left:.1f}" height="{_HEIGHT}" fill="#3b434b"/>\
<rect x="{left:.1f}" width="{right:.1f}" height="{_HEIGHT}" fill="{color}"/></g>
<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">
<text x="{left / 2:.1f}" y="14" textLength="{left - 2 * _PADDING:.0f}">{LABEL}</text>
<text x="{left + right / 2:.1f}" y="14" textLength="{right - 2 * _PADDING:.0f}">{told}</text></g>
</svg>
""".encode()
