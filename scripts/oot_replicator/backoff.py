"""How long to wait before the next try: longer each time, never all at the same moment."""

from __future__ import annotations

import random

FIRST_SECONDS = 0.2
LONGEST_SECONDS = 10.0


class Backoff:
    """Doubles from FIRST_SECONDS to LONGEST_SECONDS, with jitter: who failed together does not return together."""

    def __init__(self) -> None:
        self._next = FIRST_SECONDS

    def seconds(self) -> float:
        """Give the next wait."""
        wait, self._next = self._next, min(self._next * 2, LONGEST_SECONDS)
        return wait * random.uniform(0.5, 1)  # noqa: S311 - no secret

    def reset(self) -> None:
        """Start again: it worked."""
        self._next = FIRST_SECONDS
