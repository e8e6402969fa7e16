"""How values are written, and what becomes of hostile text."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hud_endpoint.views.formats import NOTHING, ago, band, clip, count, duration, moment, percent, utc, visible

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("share", "told"),
    [(None, NOTHING), (0, "0 %"), (1, "100 %"), (0.9996, "99.9 %"), (0.5, "50 %"), (2 / 3, "66.6 %"), (0.001, "0.1 %")],
)
def test_percent(share: float | None, told: str) -> None:
    assert percent(share) == told


@pytest.mark.parametrize(
    ("share", "told"),
    [(None, "none"), (1, "good"), (0.95, "good"), (0.9499, "fair"), (0.8, "fair"), (0.7999, "poor"), (0, "poor")],
)
def test_bands_are_the_rfcs(share: float | None, told: str) -> None:
    assert band(share) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (None, NOTHING),
        (0, "0 s"),
        (0.0042, "0.0042 s"),
        (0.25, "0.25 s"),
        (1.75, "1.8 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (605, "10 min"),
        (3599.6, "1 h 00 min"),
        (3725, "1 h 02 min"),
        (36_000_000, "10,000 h 00 min"),
    ],
)
def test_duration(seconds: float | None, told: str) -> None:
    assert duration(seconds) == told


@pytest.mark.parametrize(
    ("minutes", "told"),
    [
        (-5, "just now"),
        (0, "just now"),
        (1, "1 min ago"),
        (59, "59 min ago"),
        (60, "1 h ago"),
        (2879, "47 h ago"),
        (2880, "2 d ago"),
    ],
)
def test_ago(minutes: int, told: str) -> None:
    assert ago(NOW, NOW - timedelta(minutes=minutes)) == told


def test_times_are_utc_whatever_zone_they_come_in() -> None:
    there = datetime(2026, 5, 4, 14, tzinfo=timezone(timedelta(hours=2)))
    assert utc(there) == utc(NOW) == utc(NOW.replace(tzinfo=None)) == "2026-05-04T12:00:00Z"
    assert moment(there) == "4 May, 12:00 UTC"
    assert ago(NOW, there) == "just now"
    assert ago(NOW, None) == NOTHING


def test_counts() -> None:
    assert (count(None), count(0), count(1234567)) == (NOTHING, "0", "1,234,567")


def test_clip() -> None:
    assert (clip("abc", 3), clip("abcd", 3), clip("", 3)) == ("abc", "ab…", "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("plain\n\ttext", "plain\n\ttext"),
        ("two\r\nlines", "two\nlines"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\u200bhidden\ufeff", r"\u200bhidden\ufeff"),
        ("nul\x00 bell\x07", r"nul\u0000 bell\u0007"),
        ("half \ud800", r"half \ud800"),
        ("👩\u200d🚀 mi\u200ckh", "👩\u200d🚀 mi\u200ckh"),
    ],
)
def test_visible(text: str, told: str) -> None:
    assert visible(text) == told


@given(st.text(st.characters(exclude_categories=())))
def test_visible_text_misleads_nobody_and_stays(text: str) -> None:
    shown = visible(text)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c not in "\n\t\u200c\u200d"]
    assert visible(shown) == shown
    shown.encode()  # no half of a character is left
