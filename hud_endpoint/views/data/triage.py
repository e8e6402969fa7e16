"""What a failure is likely about: upstream, the backend, infrastructure, or chance. Rules over what is known, in order.

Nobody can tell for sure from results alone: each verdict comes with its reason, and where nothing speaks for any of
them, none is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hud_endpoint.views.models.jobs import Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from hud_endpoint.views.data.breakers import Baseline
    from hud_endpoint.views.models.jobs import Job

FAILED = frozenset({"failure", "timed_out"})


def judge_job(  # noqa: PLR0911 - one return for each rule, in order
    job: Job,
    *,
    broken: Collection[str],
    judged: Collection[str],
    known: Mapping[str, Baseline],
    recovered: bool = False,
) -> Verdict:
    """Judge a failed job execution.

    `broken` and `judged` are the backends that are broken on, and that judged, its commit; `known` the baselines of
    all; `recovered` says that a later attempt of the job succeeded.
    """
    if job.state not in FAILED:
        return Verdict()
    if recovered:
        return Verdict(triage="flake", reason="A later attempt on the same commit succeeded.")
    if job.state == "timed_out" and job.origin == "sweeper":
        return Verdict(triage="infra", reason="The job fell silent and never reported its end.")
    others = sorted(repo for repo in broken if repo != job.repo and (base := known.get(repo)) and base.is_well)
    own = known.get(job.repo)
    if others and own and own.is_well:
        return Verdict(
            triage="upstream",
            reason=f"{len(others) + 1} backends are broken on this commit that are well otherwise.",
        )
    if own and own.commits and not own.is_well and own.share < 1:
        return Verdict(triage="backend", reason=f"It is broken on {1 - own.share:.0%} of its other commits too.")
    passing = len(set(judged) - set(broken) - {job.repo})
    if passing:
        return Verdict(
            triage="backend", reason=f"{passing} other backend{'s pass' if passing > 1 else ' passes'} on this commit."
        )
    return Verdict()


def judge_test(*, failures: int, flakes: int, also_on: Collection[str], is_new: bool, failed_before: bool) -> Verdict:
    """Judge a test that fails on a backend, by what it does on the others and what it did before."""
    if also_on:
        more = f" and {len(also_on) - 1} more" if len(also_on) > 1 else ""
        return Verdict(triage="upstream", reason=f"It fails on {min(also_on)}{more} as well.")
    if flakes and flakes >= failures:
        return Verdict(triage="flake", reason=f"It passed on a re-run {flakes} time{'s' * (flakes > 1)}.")
    if failed_before and not is_new:
        return Verdict(triage="backend", reason="It has failed on this backend before, and on no other.")
    return Verdict()
