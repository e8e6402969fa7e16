"""Waiting for what must come: a generous deadline, and an end at once when it can't come any more."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


SECONDS = 240  # of a very busy machine: what is there ends the wait at once


def wait_for(
    look: Callable[[], T | None], what: str, seconds: float = SECONDS, *, alive: Callable[[], bool] = lambda: True
) -> T:
    """Look until there is something to see, as long as whoever makes it is alive."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        assert alive() or look(), f"{what}: who makes it has ended"
        time.sleep(0.01)
    raise AssertionError(f"{what}: nothing to see after {seconds} s")
