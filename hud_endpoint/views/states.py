"""How states of jobs, triage verdicts and standings of tests are said and drawn: a word, a shape and a tone each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hud_endpoint.events import is_self_reported

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hud_endpoint.views.models.jobs import Job


@dataclass(frozen=True, slots=True)
class Look:
    """A word for everybody, a shape of the icon set, and a tone of the palette; never a colour alone."""

    word: str
    icon: str
    tone: str


STATES: Mapping[str, Look] = {
    "success": Look("passed", "pass", "good"),
    "failure": Look("failed", "fail", "poor"),
    "timed_out": Look("timed out", "clock", "fair"),
    "action_required": Look("needs action", "warn", "fair"),
    "running": Look("running", "run", "busy"),
    "cancelled": Look("cancelled", "stop", "none"),
    "skipped": Look("skipped", "skip", "none"),
    "neutral": Look("neutral", "skip", "none"),
    "stale": Look("stale", "clock", "none"),
}
TRIAGE: Mapping[str, Look] = {
    "upstream": Look("upstream", "warn", "poor"),
    "backend": Look("backend", "fail", "fair"),
    "infra": Look("infrastructure", "clock", "fair"),
    "flake": Look("flake", "flake", "busy"),
}
STANDINGS: Mapping[str, Look] = {
    "new": Look("New failure", "warn", "poor"),
    "everywhere": Look("Failing on several backends", "fail", "poor"),
    "flaky": Look("Known flaky", "flake", "fair"),
    "known": Look("Has been failing", "fail", "fair"),
    "none": Look("Not failing", "pass", "good"),
}
BANDS: Mapping[str, Look] = {
    "good": Look("good", "pass", "good"),
    "fair": Look("below 95 %", "warn", "fair"),
    "poor": Look("below 80 %", "fail", "poor"),
    "none": Look("nothing judged", "skip", "none"),
}
# What is missing of an unverified job, and what that means.
NOT_DISPATCHED = (
    "not dispatched by PyTorch",
    "There is no record that PyTorch asked for this job: only the job itself says what it is about.",
)
UNKNOWN_COMMIT = (
    "its commit is not known upstream",
    "Nobody has found this nightly's commit in the upstream repository: only the job itself says what it tested.",
)
LEVELS: Mapping[str, str] = {
    "L4": "required check upstream",
    "L3": "check run upstream, not blocking",
    "L2": "shown on HUD",
    "L1": "dispatched only",
    "": "level not known",
}


def unverified(event_type: str) -> tuple[str, str]:
    """Return what is missing of an unverified job of this event, in short and as a sentence."""
    return UNKNOWN_COMMIT if is_self_reported(event_type) else NOT_DISPATCHED


def job_state(job: Job) -> Look:
    """Return the look of a job; one that passed while another result for it was refused has not plainly passed."""
    look = state(job.state)
    return look if not job.refused or look.tone == "poor" else Look(look.word, "warn", "fair")


def other_results(job: Job) -> str:
    """Return the refused results of a job in words, the same ones counted: "failed, passed (2)"."""
    words = Counter(state(result).word for result in job.refused)
    return ", ".join(f"{word} ({count})" if count > 1 else word for word, count in words.items())


def state(name: str) -> Look:
    """Give the look of a job's state; one we do not know is told by its own name."""
    return STATES.get(name) or Look(name[:20] or "unknown", "skip", "none")
