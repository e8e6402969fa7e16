"""Which results a run may report, by the event that started it: the one table that decides it.

The event is what the CI's provider signs into a token (or says of a run that it is asked for), never a word of the
body. A dispatched result (pull_request, push) needs our own record of the dispatch; a self-reported one (nightly,
periodic) has none, so it must come from a run that nobody outside the repo can start or feed with code.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Started by the downstream's own clock: nobody dispatched them, so they can't speak for a pull request.
SELF_REPORTED_EVENTS = frozenset({"nightly", "periodic"})


class Grant(Enum):
    """What the runs of an event may report."""

    DISPATCHED = "what was dispatched to them"
    SELF_REPORTED = "nightlies"
    SELF_REPORTED_IF_LISTED = "nightlies, where the allowlist says so"
    ORIGINAL_RUN = "what the run may that they follow"


# https://docs.github.com/actions/reference/workflows-and-actions/events-that-trigger-workflows
# pull_request_target runs a fork's pull request with the base repo's identity: it must not speak for the repo.
GITHUB_EVENTS: Mapping[str, Grant] = {
    "repository_dispatch": Grant.DISPATCHED,
    "schedule": Grant.SELF_REPORTED,
    "workflow_dispatch": Grant.SELF_REPORTED,
    "push": Grant.SELF_REPORTED_IF_LISTED,
    "workflow_run": Grant.ORIGINAL_RUN,
}


def is_self_reported(event_type: str) -> bool:
    """Tell a nightly or periodic result from a dispatched one."""
    return event_type in SELF_REPORTED_EVENTS


def may_report(grant: Grant | None, *, self_reported: bool, listed: bool) -> bool:
    """Say whether runs with this grant may report a result of this kind; `listed` is the allowlist's opt-in."""
    if self_reported:
        return grant is Grant.SELF_REPORTED or (listed and grant in (Grant.SELF_REPORTED_IF_LISTED, Grant.DISPATCHED))
    return grant is Grant.DISPATCHED
