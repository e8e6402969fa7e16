"""One examined thing: what was seen, and, where it is not well, what to do about it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

State = Literal["ok", "warn", "fail", "skip"]
_SIGNS: dict[State, str] = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL", "skip": "-   "}


class Check(NamedTuple):
    """What was looked at, how it is, what was seen, and the remedy ("" where it is well)."""

    name: str
    state: State
    seen: str
    remedy: str = ""


def tell(checks: Iterable[Check], *, as_json: bool) -> int:
    """Print each check as soon as it is made; gives the exit code: 1 when one failed."""
    made: list[Check] = []
    for check in checks:
        made.append(check)
        if as_json:
            continue
        print(f"{_SIGNS[check.state]} {check.name}: {_line(check.seen)}", flush=True)
        for line in check.remedy.splitlines():
            print(f"       {line}", flush=True)
    failed = sum(check.state == "fail" for check in made)
    if as_json:
        print(json.dumps([check._asdict() for check in made], indent=2))
    else:
        warned = sum(check.state == "warn" for check in made)
        print(f"\n{len(made)} checks: {failed} failed, {warned} with a warning.")
    return 1 if failed else 0


def _line(text: str) -> str:
    """Keep what others said on one line, and out of the terminal's control."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:600]
