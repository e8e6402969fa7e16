"""How many calls of GitHub's API one repo's callbacks may cause: GITHUB_TOKEN has 5,000 an hour for all repos together.

What is known already costs none, so an honest repo needs one for each run that it reports for, and one for each commit
that its nightlies test. It is counted in memory, by each process for itself.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from hud_endpoint.relay.admission import Budget

if TYPE_CHECKING:
    from collections.abc import Callable

CALLS_PER_MINUTE = 20


class GitHubCalls:
    """The calls of each repo: CALLS_PER_MINUTE, all at once if it likes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._budget = Budget(CALLS_PER_MINUTE, clock)
        self._lock = threading.Lock()

    def take(self, repo: str) -> bool:
        """Count one call; returns False, and counts nothing, where the repo has had its calls."""
        with self._lock:
            if self._budget.wait(repo.lower()):
                return False
            self._budget.count(repo.lower())
            return True
