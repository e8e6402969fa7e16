"""What a callback's body may say, given who calls: its run, its job, its event. Pure; each check refuses or returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hud_endpoint.errors import RefusedError
from hud_endpoint.events import GITHUB_EVENTS, Grant, is_self_reported, may_report
from hud_endpoint.wire_types import cut

if TYPE_CHECKING:
    from hud_endpoint.contract import Callback
    from hud_endpoint.relay.allowlist import Listed
    from hud_endpoint.relay.dispatch import Recorded
    from hud_endpoint.relay.github_runs import GitHubRun
    from hud_endpoint.relay.oidc import Identity


def is_deferred(identity: Identity, callback: Callback) -> bool:
    """Say whether the body is about an earlier run of the repo, and the token of the run that followed it."""
    return identity.grant is Grant.ORIGINAL_RUN and callback.workflow.run_id not in (None, identity.run_id)


def with_attempt(callback: Callback, identity: Identity) -> Callback:
    """Return the callback with the token's attempt where the body names none."""
    named = identity.run_attempt is None or "run_attempt" in callback.workflow.model_fields_set
    if named or is_deferred(identity, callback):
        return callback
    workflow = callback.workflow.model_copy(update={"run_attempt": identity.run_attempt})
    return callback.model_copy(update={"workflow": workflow})


def check_run(identity: Identity, callback: Callback) -> None:
    """Raise RefusedError `run_mismatch` unless the body speaks for the run and job of its token.

    A deferred one may speak for any run of that repo. Where the issuer does not say which job a token was issued to,
    the job is known by the proven run alone.
    """
    if is_deferred(identity, callback):
        return
    workflow = callback.workflow
    claims = {
        "run_id": (workflow.run_id, identity.run_id),
        "run_attempt": (workflow.run_attempt, identity.run_attempt),
    }
    for name, (value, proven) in claims.items():
        if None not in (value, proven) and value != proven:
            raise _mismatch(name, str(value), str(proven))
    whole_run = f"{identity.run_id}-{workflow.run_attempt}"
    if identity.check_run_id is None and workflow.job_id != whole_run:
        raise RefusedError(
            "run_mismatch",
            f"workflow.check_run_id is {cut(workflow.job_id, 100)}, and {cut(identity.issuer, 200)} does not say which "
            f"job a token is of: leave it out, or send {whole_run}; job_name tells the jobs of the run apart.",
        )
    if workflow.job_id not in (identity.check_run_id, whole_run):
        raise _mismatch("check_run_id", workflow.job_id, str(identity.check_run_id))


def check_event(
    identity: Identity, listed: Listed, callback: Callback, dispatch: Recorded | None, run: GitHubRun | None
) -> None:
    """Raise RefusedError `event_mismatch` unless runs of the token's event may report a result of this kind.

    `run` is the run that a deferred callback is about, as GitHub knows it. What was dispatched stays dispatched,
    whatever the body calls itself.
    """
    self_reported = is_self_reported(callback.event_type)
    event_type = cut(callback.event_type, 100)
    if dispatch is not None and self_reported:
        raise RefusedError(
            "event_mismatch",
            f"Delivery {cut(callback.delivery_id, 100)} was dispatched as {dispatch.dispatch.event_type}, so its jobs "
            f"can't report it as {event_type}: pass the dispatch's client_payload on as it came.",
        )
    event, grant = identity.event_name, identity.grant
    if run is not None:
        if run.repository_id != identity.repository_id:
            raise _mismatch("run_id", str(callback.workflow.run_id), f"repository {identity.repository_id}")
        event, grant = run.event, GITHUB_EVENTS.get(run.event)
    elif grant is Grant.ORIGINAL_RUN and dispatch is not None and callback.callback_token is not None:
        return  # its own run follows one that nobody can ask for; the signed token proves the dispatch
    listed_event = identity.event_listed or event in listed.nightly_on
    if may_report(grant, self_reported=self_reported, listed=listed_event):
        return
    if self_reported:
        accepted = "schedule or workflow_dispatch (or of push, with `nightly_on: [push]` in the allowlist)"
    else:
        accepted = "repository_dispatch; a scheduled run reports as nightly, with delivery-id and event-type"
    raise RefusedError(
        "event_mismatch", f"A run of the event {event} can't report {event_type}: only runs of {accepted} can."
    )


def _mismatch(name: str, value: str, proven: str) -> RefusedError:
    return RefusedError("run_mismatch", f"workflow.{name} is {cut(value, 100)}, but the token was issued to {proven}.")
