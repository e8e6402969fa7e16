"""How the pages write values: shares, durations, times, names; and how hostile text is made harmless to read."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime

NOTHING = "\u2013"
NAME_SHOWN = 80
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")  # ECMA-48 control sequences: test runners colour their output
_MAY_STAY = "\n\t"


def percent(share: float | None) -> str:
    """A share of 1 as a percentage; 99.96 % does not read as 100 %: only a clean sheet does."""
    return NOTHING if share is None else f"{int(share * 1000) / 10:.1f} %".replace(".0 %", " %")


def band(share: float | None) -> str:
    """The RFC's bands of a pass rate: good from 95 %, fair from 80 %, poor below; `none` without data."""
    if share is None:
        return "none"
    return "good" if share >= 0.95 else "fair" if share >= 0.8 else "poor"


def duration(seconds: float | None) -> str:
    """Seconds as people say them: `0.25 s`, `45 s`, `3 min 20 s`, `48 min`, `1 h 02 min`."""
    if seconds is None:
        return NOTHING
    if 0 < seconds < 9.5:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes:02} min"
    return f"{minutes} min" if minutes >= 10 else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def ago(now: datetime, time: datetime | None) -> str:
    """How long before `now`, in the one unit that says enough."""
    if time is None:
        return NOTHING
    minutes = max(0, round((aware(now) - aware(time)).total_seconds() / 60))
    if minutes < 60:
        return f"{minutes} min ago" if minutes else "just now"
    hours = minutes // 60
    return f"{hours} h ago" if hours < 48 else f"{hours // 24} d ago"


def aware(time: datetime) -> datetime:
    """The same moment in UTC; a time without a zone is UTC already."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def utc(time: datetime) -> str:
    """ISO 8601 in UTC, to the second."""
    return aware(time).isoformat(timespec="seconds").replace("+00:00", "Z")


def moment(time: datetime) -> str:
    """A time as it is read without a script: `19 Nov, 06:00 UTC`."""
    return f"{aware(time):%-d %b, %H:%M} UTC"


def count(number: float | None) -> str:
    """A whole number with its thousands set apart."""
    return NOTHING if number is None else f"{int(number):,}"


def clip(text: str, longest: int = NAME_SHOWN) -> str:
    """The beginning of a long text, ended by an ellipsis."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def visible(text: str) -> str:
    r"""Text as it can be read without being misled, line ends and tabs kept.

    Colour codes go; other control characters and the marks that turn the reading direction (U+202E and friends) are
    spelled out, `\u202e`, so that no name can look like another (Trojan Source, CVE-2021-42574).
    """
    plain = _ANSI.sub("", text).replace("\r\n", "\n")
    return plain if plain.isprintable() else "".join(map(_spell, plain))


def _spell(character: str) -> str:
    # Cc: controls. Cf: invisible formatting, but joiners belong to words and emoji. Cs: halves of a broken character.
    if character in _MAY_STAY or unicodedata.category(character) not in ("Cc", "Cf", "Cs"):
        return character
    if character in "\u200c\u200d":
        return character
    return f"\\u{ord(character):04x}"


def repo_name(backend: str) -> str:
    """The name of a backend's repo, without the id that tells it from a later repo of the same name."""
    return backend.partition("@")[0]


def short_sha(sha: str) -> str:
    """The first ten characters of a commit, as git shows them in a repo of PyTorch's size."""
    return sha[:10]
