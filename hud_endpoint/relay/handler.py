"""The Result Handler: the steps between a callback and HUD, in the order that gives strangers the least.

Identity, then allowlist, then the body, then the dispatch record, then rate; what passes is made durable before it is
forwarded or answered. The first step that fails answers, and nothing is written.
"""

from __future__ import annotations

import logging
import random
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from hud_endpoint.contract import Callback, dynamo_key, load_passable_json
from hud_endpoint.errors import RefusedError
from hud_endpoint.events import is_self_reported
from hud_endpoint.lenient import answer_of, read_leniently
from hud_endpoint.links import UPSTREAM, backend_path, pull_request_path
from hud_endpoint.logs import bind
from hud_endpoint.relay.admission import Claim
from hud_endpoint.relay.checks import check_event, check_run, is_deferred, with_attempt
from hud_endpoint.relay.dispatch import check_callback_token, sign_callback_token
from hud_endpoint.relay.envelope import Accepted, with_record
from hud_endpoint.relay.forward import Conflicting, Delivered, Refused
from hud_endpoint.relay.job_store import store_unavailable
from hud_endpoint.relay.lifecycle import Job, Step, advance, forget_identity, leave_to_hud, release_step
from hud_endpoint.relay.outbox import Entry, new_entry, note_entry
from hud_endpoint.relay.repo_pins import check_ids, needs_pin, pin_put
from hud_endpoint.wire_types import Status, cut

if TYPE_CHECKING:
    from collections.abc import Callable

    from hud_endpoint.contract import Dispatch
    from hud_endpoint.relay.allowlist import Allowlist, Listed
    from hud_endpoint.relay.allowlist_source import AllowlistSource
    from hud_endpoint.relay.dispatch import Dispatches, Recorded
    from hud_endpoint.relay.forward import Answer
    from hud_endpoint.relay.github_runs import GitHubRuns
    from hud_endpoint.relay.job_store import JobStore, Known
    from hud_endpoint.relay.oidc import Identity, Verifier
    from hud_endpoint.relay.outbox import Outbox
    from hud_endpoint.relay.rate_limit import RateLimiter
    from hud_endpoint.settings import RelaySettings

log = logging.getLogger(__name__)

LOWEST_LEVEL = "L2"
_STATUSES: tuple[Status, ...] = get_args(Status)
_PAUSE_SECONDS = 0.05
_TRIES = 8  # of the transaction, where equal callbacks come at once: each try that fails means another succeeded


@dataclass(frozen=True)
class CallbackResponse:
    """The answer to a callback that was taken: 200, or 202 while HUD can't take it."""

    status_code: int
    body: dict[str, Any]


class Caller(NamedTuple):
    """A proven identity, and what the allowlist has of it, or why it is not admitted now."""

    identity: Identity
    listed: Listed | None
    refusal: RefusedError | None = None

    def admitted(self) -> Listed:
        """Return the allowlist's entry. Raises the refusal (403, 429, 503)."""
        if self.listed is None:
            raise self.refusal or RefusedError("repo_not_allowed", f"{self.identity.repo} is not admitted.")
        return self.listed


class ResultHandler:
    """Takes callbacks of verified callers to HUD."""

    def __init__(
        self,
        settings: RelaySettings,
        *,
        verifier: Verifier,
        allowlist: Allowlist | AllowlistSource,
        limiter: RateLimiter,
        dispatches: Dispatches,
        jobs: JobStore,
        outbox: Outbox,
        send: Callable[[dict[str, Any]], Answer],
        runs: GitHubRuns,
        is_upstream_commit: Callable[[Callback, str], bool | None] = lambda _callback, _repo: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._verifier = verifier
        self._allowlist = allowlist
        self._limiter = limiter
        self._dispatches = dispatches
        self._jobs = jobs
        self._outbox = outbox
        self._send = send
        self._runs = runs
        self._is_upstream_commit = is_upstream_commit  # whether a self-reported callback is about the upstream's commit
        self._clock = clock

    def identify(self, authorization: str | None) -> Caller:
        """Return who calls, and whether they may. Raises RefusedError (401, 503) where nobody is proven."""
        identity = self._verifier.verify(authorization)
        try:
            return Caller(identity, self.admit(identity))
        except RefusedError as refusal:
            return Caller(identity, None, refusal)

    def claim(self, authorization: str | None) -> Claim:
        """Return whom a token names, unverified: good for who has to wait, and for nothing else."""
        source, repo = self._verifier.claimed_source(authorization)
        try:
            self._allowlist.entry(repo)
        except RefusedError:
            return Claim(source, is_listed=False)
        return Claim(source, is_listed=True)

    def admit(self, identity: Identity) -> Listed:
        """Return what the allowlist has of the caller. Raises RefusedError (403, 429)."""
        listed = self._allowlist.entry(identity.repo)
        self._limiter.check(identity.repo, self._clock())
        return listed

    def accept(self, identity: Identity, listed: Listed, body: bytes) -> CallbackResponse:
        """Take one callback: checked, then durable, then forwarded, then answered. Raises RefusedError."""
        if listed.level < LOWEST_LEVEL:
            reason = f"{listed.repo} is at {listed.level}; results are shown from {LOWEST_LEVEL} on (RFC-0050)."
            if self._settings.strict_levels:
                raise RefusedError("repo_not_allowed", reason)
            return _ignored(reason)
        accepted, known = self._check(identity, listed, body)
        event_type = accepted.callback.event_type
        if not listed.takes_part_in(event_type):
            events = ", ".join(listed.events)
            return _ignored(
                f"{listed.repo} takes part in {events} (see the allowlist); this is {cut(event_type, 100)}."
            )
        entry = self._make_durable(accepted, known)
        if accepted.dispatch is not None:
            self._dispatches.acknowledge(accepted.dispatch)
        if entry is None:
            return self._respond(200, accepted, "duplicate")
        return self._deliver(entry, accepted)

    def _check(self, identity: Identity, listed: Listed, body: bytes) -> tuple[Accepted, Known]:
        """Return the callback as it counts, and what is known of its job. Raises RefusedError."""
        read, data, dropped = read_leniently(Callback, load_passable_json(body))
        callback = with_attempt(read, identity)
        bind(repo=identity.repo, delivery_id=callback.delivery_id)
        check_run(identity, callback)
        key = dynamo_key(identity.repo, callback)
        known = self._jobs.read(identity, callback.delivery_id, key)
        check_ids(identity, listed, known.pin)
        deferred = is_deferred(identity, callback)
        self._check_dispatch(identity, callback, known.dispatch, deferred=deferred)
        run = self._runs.find(identity.repo, str(callback.workflow.run_id)) if deferred else None
        check_event(identity, listed, callback, known.dispatch, run)
        accepted = Accepted(
            identity=identity,
            listed=listed,
            callback=with_record(callback, known.dispatch),
            body=data,
            dispatch=known.dispatch,
            key=key,
            received_at=self._clock(),
            deferred=deferred,
            dropped=tuple(dropped),
            commit_verified=(
                self._is_upstream_commit(callback, identity.repo) if is_self_reported(callback.event_type) else None
            ),
        )
        return accepted, known

    def _check_dispatch(
        self, identity: Identity, callback: Callback, dispatch: Recorded | None, *, deferred: bool
    ) -> None:
        if dispatch is None:
            if self._settings.dispatch_policy == "required" and not is_self_reported(callback.event_type):
                raise RefusedError(
                    "no_dispatch",
                    f"No dispatch {cut(callback.delivery_id, 100)} was sent to {identity.repo}: "
                    "run the workflow on repository_dispatch, or report as nightly with delivery-id and event-type.",
                )
            return
        if callback.callback_token is not None:
            keys = (self._settings.callback_signing_key, self._settings.callback_signing_key_previous)
            secrets = [key.get_secret_value() for key in keys if key]
            check_callback_token(callback.callback_token, dispatch.dispatch, *secrets)
        elif deferred:  # nothing else ties what was left behind to the delivery that it names
            raise RefusedError(
                "invalid_callback_token", "A result that was left behind must carry its dispatch's callback_token."
            )

    def _make_durable(self, accepted: Accepted, known: Known) -> Entry | None:
        """Write the callback's step, its token's binding and its outbox entry at once; None for a duplicate.

        Raises RefusedError: 401 `replayed_token`, 403 `repo_id_changed`, 409 for what differs from an earlier step, 429
        `rate_limited` for more new steps than the repo may take.
        """
        claim, now = accepted.claim, accepted.received_at
        counted = False
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(random.uniform(0, _PAUSE_SECONDS))  # noqa: S311 - spreads load, guards nothing
                known = self._jobs.read(accepted.identity, accepted.callback.delivery_id, accepted.key)
                check_ids(accepted.identity, accepted.listed, known.pin)
            record, token = known.job, known.token.bind(accepted.key)
            job, step = advance(self._with_waiting_completion(record.job, accepted), claim, now)
            if step is Step.FORWARD and not counted:  # what is refused, or said again, costs the repo nothing
                run = accepted.identity.run_key if accepted.identity.reports_whole_run else ""
                self._limiter.take(accepted.identity.repo, self._clock(), run)
                counted = True
            new_conflict = step is Step.CONFLICT and job.conflicts != record.job.conflicts
            if step in (Step.DUPLICATE, Step.CONFLICT, Step.OTHER_JOB) and not new_conflict:
                if known.token != token:
                    self._jobs.bind(token, now)
                _refuse_difference(step, accepted, record.job)
                return None
            if new_conflict:
                entry = note_entry(accepted.conflict_note(), accepted.callback.delivery_id, now)
            else:
                entry = new_entry(accepted.payload(job), accepted.key, claim.status, now)
            start_payload = b""
            if step is Step.FORWARD and claim.status == "in_progress":
                start_payload = accepted.start_payload(job)
            others = [self._outbox.put_item(entry)]
            if known.pin is None and needs_pin(accepted.identity, accepted.listed):
                others.append(pin_put(self._jobs.table, accepted.identity, now))
            if self._jobs.write(
                record,
                job,
                now=now,
                deadline=now + self._settings.job_timeout(accepted.identity.repo),
                start_payload=start_payload,
                token=token,
                others=others,
            ):
                _refuse_difference(step, accepted, record.job)
                return entry
        raise store_unavailable("contention")

    def _with_waiting_completion(self, job: Job, accepted: Accepted) -> Job:
        """Return a job whose accepted completion is known where it still waits for HUD, or for an operator.

        An earlier version of the relay did not keep what it accepted. What is not with HUD yet, HUD can't judge.
        """
        if job.completed_at is None or job.identity is not None or accepted.claim.status != "completed":
            return job
        completion = job.completion or self._outbox.waiting_completion(accepted.key, job.completed_at)
        return replace(job, completion=completion)

    def _deliver(self, entry: Entry, accepted: Accepted) -> CallbackResponse:
        answer = self._send(entry.payload())
        if isinstance(answer, Conflicting | Refused):
            self.undo_step(entry, answer)
        if isinstance(answer, Conflicting):
            self._settle(entry, Delivered(duplicate=True))  # whoever sent it is told: nothing is left to deliver
            raise RefusedError(answer.code, answer.why)
        self._settle(entry, answer)
        if isinstance(answer, Refused):
            code = "body_too_large" if answer.status == 413 else "invalid_callback"
            raise RefusedError(code, f"HUD refused the callback: {answer.why}")
        if isinstance(answer, Delivered):
            return self._respond(200, accepted, "duplicate" if answer.duplicate else "delivered")
        return self._respond(202, accepted, "queued")

    def undo_step(self, entry: Entry, answer: Conflicting | Refused) -> None:
        """Take back a job's step, after HUD has said that it will never take this entry.

        Another body may then take the step. Where HUD holds another completion, or another job, it judges what comes.
        """
        status: Status | None = next((status for status in _STATUSES if status == entry.status), None)
        if status is None:
            return  # a note has taken no step
        completion = self._outbox.completion(entry) if status == "completed" else ""
        other_job = isinstance(answer, Conflicting) and (not completion or answer.code == "conflicting_identity")
        refused = isinstance(answer, Refused)

        def undo(job: Job) -> Job:
            released = release_step(job, status, entry.created_at) if refused or other_job else job
            if released == job:
                return leave_to_hud(job, completion)
            return forget_identity(released) if other_job else released

        self._update_job(entry, undo)

    def _update_job(self, entry: Entry, change: Callable[[Job], Job]) -> None:
        for _ in range(_TRIES):
            record = self._jobs.read_job(entry.key)
            after, now = change(record.job), self._clock()
            deadline = now + self._settings.job_timeout(entry.repo)
            if after == record.job or self._jobs.write(record, after, now=now, deadline=deadline):
                return
            time.sleep(random.uniform(0, _PAUSE_SECONDS))  # noqa: S311
        raise store_unavailable("contention")

    def register(self, dispatch: Dispatch, now: float) -> dict[str, Any]:
        """Record a dispatch before it is sent, and return its `callback_token`. Raises RefusedError."""
        if is_self_reported(dispatch.event_type):
            raise RefusedError("invalid_callback", f"event_type: {dispatch.event_type} results are not dispatched.")
        listed = self._allowlist.entry(dispatch.repo)
        awaited = listed.takes_part_in(dispatch.event_type) and listed.level >= LOWEST_LEVEL
        self._dispatches.record(dispatch, now, awaited=awaited)
        token = sign_callback_token(dispatch, self._settings.callback_signing_key.get_secret_value(), now)
        return {"ok": True, "delivery_id": dispatch.delivery_id, "callback_token": token}

    def _settle(self, entry: Entry, answer: Answer) -> None:
        """Keep what HUD said; where that can't be kept, the worker asks HUD again, which takes it as a duplicate."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._outbox.settle(entry, answer, self._clock())
        except (ClientError, BotoCoreError) as error:
            log.warning("outbox entry %s stays as it was: %s", entry.entry_id, error)

    def _respond(self, status_code: int, accepted: Accepted, outcome: str) -> CallbackResponse:
        log.info("callback %s", outcome)
        if accepted.dropped:
            log.warning("%d fields were left out, %s first", len(accepted.dropped), accepted.dropped[0].field)
        body = {
            "ok": True,
            "status": accepted.callback.workflow.status,
            "outcome": outcome,
            "dynamoKey": accepted.key,
            "hud_url": f"{self._settings.public_url}{_page(accepted)}",
            **answer_of(accepted.dropped),
        }
        if accepted.listed.level >= "L3":
            body["message"] = (
                f"This repo is at {accepted.listed.level}: the check runs that L3 and L4 have upstream are not made by "
                "this relay yet; keep the step with CRCR's callback action beside this one."
            )
        return CallbackResponse(status_code, body)


def _ignored(reason: str) -> CallbackResponse:
    return CallbackResponse(200, {"ok": True, "status": "ignored", "outcome": "ignored", "message": reason})


def _refuse_difference(step: Step, accepted: Accepted, job: Job) -> None:
    """Raise RefusedError (409) for what differs from what was accepted before."""
    if step is Step.CONFLICT:
        raise RefusedError(
            "conflicting_completion",
            f"Job {cut(accepted.key, 200)} has already ended with another result, which is final: "
            "report each attempt once, and give each matrix leg a job-name of its own.",
        )
    if step is Step.OTHER_JOB:
        before, claim = job.identity or {}, accepted.claim.identity
        differences = ", ".join(
            f"{name} {cut(str(before.get(name, '')), 60)!r} then and {cut(str(value), 60)!r} now"
            for name, value in claim.items()
            if before.get(name, "") != value
        )
        raise RefusedError(
            "conflicting_identity",
            f"Job {cut(accepted.key, 200)} has already reported as another one ({differences}), and its first report "
            "counts: send the same event, commit and names in each of a job's callbacks.",
        )


def _page(accepted: Accepted) -> str:
    """Return where HUD shows this result: its pull request's page where it has one, else its backend's."""
    upstream = accepted.callback.payload
    if upstream.pull_request is None:
        return backend_path(accepted.identity.repo)
    return pull_request_path(
        upstream.pull_request.number, upstream.repository.full_name if upstream.repository else UPSTREAM
    )
