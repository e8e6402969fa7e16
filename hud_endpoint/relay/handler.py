"""The Result Handler: the steps between a callback and HUD, in the order that gives strangers the least.

Identity, then allowlist, then rate, then the body, then the dispatch record; what passes is made durable before it is
forwarded or answered. The first step that fails answers, and nothing is written.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from hud_endpoint.contract import SELF_REPORTED_EVENTS, Callback, dynamo_key, parse
from hud_endpoint.errors import RefusedError
from hud_endpoint.logs import bind
from hud_endpoint.relay.dispatch import Dispatches, check_callback_token, sign_callback_token
from hud_endpoint.relay.forward import Delivered, Refused
from hud_endpoint.relay.ledger import Ledger, store_unavailable
from hud_endpoint.relay.lifecycle import Phase, Step, advance, reject
from hud_endpoint.relay.outbox import Entry, Outbox, new_entry
from hud_endpoint.views.links import UPSTREAM, backend_path, pull_request_path
from hud_endpoint.wire_types import cut

if TYPE_CHECKING:
    from collections.abc import Callable

    from hud_endpoint.contract import Dispatch
    from hud_endpoint.relay.allowlist import Allowlist, Listed
    from hud_endpoint.relay.allowlist_source import AllowlistSource
    from hud_endpoint.relay.dispatch import Recorded
    from hud_endpoint.relay.forward import Answer
    from hud_endpoint.relay.oidc import Identity, Verifier
    from hud_endpoint.relay.rate_limit import RateLimiter
    from hud_endpoint.settings import RelaySettings
    from hud_endpoint.wire_types import Status

log = logging.getLogger(__name__)

LOWEST_LEVEL = "L2"
_PAUSE_SECONDS = 0.05
_TRIES = 8  # of the transaction, where equal callbacks come at once: each try that fails means another succeeded


@dataclass(frozen=True)
class Taken:
    """The answer to a callback that was taken: 200, or 202 while HUD can't take it."""

    status_code: int
    body: dict[str, Any]


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
        ledger: Ledger,
        outbox: Outbox,
        send: Callable[[dict[str, Any]], Answer],
        verifies: Callable[[Callback], bool] = lambda _: False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._verifier = verifier
        self._allowlist = allowlist
        self._limiter = limiter
        self._dispatches = dispatches
        self._ledger = ledger
        self._outbox = outbox
        self._send = send
        self._verifies = verifies  # whether a self-reported callback is about a commit of the upstream
        self._clock = clock

    def verify(self, authorization: str | None) -> Identity:
        """Say who calls. Raises RefusedError (401, 503)."""
        return self._verifier.verify(authorization)

    def admit(self, identity: Identity) -> Listed:
        """Say what the allowlist has of the caller, and count the call. Raises RefusedError (403, 429)."""
        listed = self._allowlist.entry(identity.repo)
        self._limiter.take(identity.repo, self._clock())
        return listed

    def accept(self, identity: Identity, listed: Listed, body: bytes) -> Taken:
        """Take one callback: durable first, then forwarded, then answered. Raises RefusedError."""
        if listed.level < LOWEST_LEVEL:
            return self._ignore(listed)
        now = self._clock()
        callback = _of_this_attempt(parse(Callback, body), identity)
        bind(repo=identity.repo, delivery_id=callback.delivery_id)
        _check_run(identity, callback)
        key = dynamo_key(identity.repo, callback)
        recorded = self._find_dispatch(identity, callback)
        event = recorded.dispatch.event_type if recorded else callback.event_type
        if listed.events and event not in listed.events:
            return _not_wanted(listed, event)
        page = _page(identity.repo, callback, recorded)
        entry = self._make_durable(identity, listed, callback, body, key, recorded, now)
        if recorded:
            self._dispatches.answered(recorded)
        if entry is None:
            return self._answer(200, callback, key, page, listed, "duplicate")
        return self._deliver(entry, callback, key, page, listed)

    def _make_durable(
        self,
        identity: Identity,
        listed: Listed,
        callback: Callback,
        body: bytes,
        key: str,
        recorded: Recorded | None,
        now: float,
    ) -> Entry | None:
        """Write the callback's step, its token's binding and its outbox entry at once; None for a duplicate."""
        status = callback.workflow.status
        digest = hashlib.sha256(body).hexdigest()
        verified = self._verifies(callback) if callback.event_type in SELF_REPORTED_EVENTS else recorded is not None
        for _ in range(_TRIES):
            job, token = self._ledger.read(key, identity.binding(key))
            bound = token.bind(key, status, digest)
            after, step = advance(job.job, status, now)
            if step is Step.DUPLICATE:
                return None
            measured = not _is_deferred(identity, callback)  # else these would be the times of the posting
            metrics = {
                "queue_time": _queue_time(recorded, callback, now)
                if measured and after.phase is Phase.IN_PROGRESS
                else None,
                "execution_time": after.execution_time if measured and status == "completed" else None,
            }
            payload = _payload(identity, listed, callback, body, recorded, metrics, now, verified=verified)
            entry = new_entry(payload, key, status, now)
            if self._ledger.write(
                job,
                after,
                now=now,
                deadline=now + self._settings.job_timeout(identity.repo),
                opening=_opening(payload, callback) if status == "in_progress" else b"",
                token=(token, bound),
                others=[self._outbox.put_item(entry)],
            ):
                return entry
            time.sleep(random.uniform(0, _PAUSE_SECONDS))  # noqa: S311 - spreads load, guards nothing
        raise store_unavailable("contention")

    def _deliver(self, entry: Entry, callback: Callback, key: str, page: str, listed: Listed) -> Taken:
        answer = self._send(entry.payload())
        if isinstance(answer, Refused):
            self.give_step_free(entry)
        self._settle(entry, answer)
        if isinstance(answer, Refused):
            code = "body_too_large" if answer.status == 413 else "invalid_callback"
            raise RefusedError(code, f"HUD refused the callback: {answer.why}")
        if isinstance(answer, Delivered):
            outcome = "duplicate" if answer.duplicate else "delivered"
            return self._answer(200, callback, key, page, listed, outcome)
        return self._answer(202, callback, key, page, listed, "queued")

    def give_step_free(self, entry: Entry) -> None:
        """Let a job's step be taken again, with another body, after HUD refused this one for good."""
        status: Status = "in_progress" if entry.status == "in_progress" else "completed"
        for _ in range(_TRIES):
            job, _ = self._ledger.read(entry.key, "")
            after, now = reject(job.job, status, entry.created_at), self._clock()
            deadline = now + self._settings.job_timeout(entry.repo)
            if after == job.job or self._ledger.write(job, after, now=now, deadline=deadline):
                return
            time.sleep(random.uniform(0, _PAUSE_SECONDS))  # noqa: S311
        raise store_unavailable("contention")

    def send(self, payload: dict[str, Any]) -> Answer:
        """Deliver one payload to HUD, for the outbox's worker."""
        return self._send(payload)

    def register(self, dispatch: Dispatch, now: float) -> dict[str, Any]:
        """Record a dispatch before it is sent, and give the token that its callbacks must echo. Raises RefusedError."""
        listed = self._allowlist.entry(dispatch.repo)
        wanted = not listed.events or dispatch.event_type in listed.events
        self._dispatches.record(dispatch, now, awaited=wanted and listed.level >= LOWEST_LEVEL)
        token = sign_callback_token(dispatch, self._settings.callback_signing_key.get_secret_value(), now)
        return {"ok": True, "delivery_id": dispatch.delivery_id, "callback_token": token}

    def _settle(self, entry: Entry, answer: Answer) -> None:
        """Keep what HUD said; where that can't be kept, the worker asks HUD again, which takes it as a duplicate."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._outbox.settle(entry, answer, self._clock())
        except (ClientError, BotoCoreError) as error:
            log.warning("outbox entry %s stays as it was: %s", entry.entry_id, error)

    def _answer(self, status_code: int, callback: Callback, key: str, page: str, listed: Listed, outcome: str) -> Taken:
        log.info("callback %s", outcome)
        body = {
            "ok": True,
            "status": callback.workflow.status,
            "outcome": outcome,
            "dynamoKey": key,
            "hud_url": f"{self._settings.public_url}{page}",
        }
        if listed.level >= "L3":
            body["message"] = (
                f"This repo is at {listed.level}: the check runs that L3 and L4 have upstream are not made by this "
                "relay yet; keep the step with CRCR's callback action beside this one."
            )
        return Taken(status_code, body)

    def _ignore(self, listed: Listed) -> Taken:
        told = f"{listed.repo} is at {listed.level}; results are shown from {LOWEST_LEVEL} on (RFC-0050)."
        if self._settings.strict_levels:
            raise RefusedError("repo_not_allowed", told)
        return Taken(200, {"ok": True, "status": "ignored", "outcome": "ignored", "message": told})

    def _find_dispatch(self, identity: Identity, callback: Callback) -> Recorded | None:
        if callback.event_type in SELF_REPORTED_EVENTS:
            return None
        recorded = self._dispatches.find(identity.repo, callback.delivery_id)
        if recorded and callback.callback_token is None and _is_deferred(identity, callback):
            # Nothing else ties what was left behind to the delivery that it names.
            raise RefusedError(
                "invalid_callback_token", "A result that was left behind must carry its dispatch's callback_token."
            )
        if recorded and callback.callback_token is not None:
            keys = (self._settings.callback_signing_key, self._settings.callback_signing_key_previous)
            check_callback_token(
                callback.callback_token, recorded.dispatch, *(key.get_secret_value() for key in keys if key)
            )
        if recorded is None and self._settings.dispatch_policy == "required":
            raise RefusedError(
                "no_dispatch",
                f"No dispatch {cut(callback.delivery_id, 100)} was sent to {identity.repo}: "
                "run the workflow on repository_dispatch, or report as nightly with delivery-id and event-type.",
            )
        return recorded


def _page(repo: str, callback: Callback, recorded: Recorded | None) -> str:
    """Where HUD shows this result: on its pull request's page where it has one, else on the backend's."""
    if recorded:
        number, upstream_repo = recorded.dispatch.pr_number, recorded.dispatch.upstream_repo
    else:
        about, repository = callback.payload.pull_request, callback.payload.repository
        number = about.number if about and callback.event_type not in SELF_REPORTED_EVENTS else 0
        upstream_repo = repository.full_name if repository else UPSTREAM
    return pull_request_path(number, upstream_repo) if number else backend_path(repo)


def _not_wanted(listed: Listed, event: str) -> Taken:
    told = f"{listed.repo} takes part in {', '.join(listed.events)} (see the allowlist); this is {cut(event, 100)}."
    return Taken(200, {"ok": True, "status": "ignored", "outcome": "ignored", "message": told})


def _is_deferred(identity: Identity, callback: Callback) -> bool:
    """Whether the body is about an earlier run of the repo, and the token the one of the run that followed it."""
    return identity.may_defer and callback.workflow.run_id not in (None, identity.run_id)


def _of_this_attempt(callback: Callback, identity: Identity) -> Callback:
    """A body that names no attempt is of the token's."""
    told = identity.run_attempt is None or "run_attempt" in callback.workflow.model_fields_set
    if told or _is_deferred(identity, callback):
        return callback
    workflow = callback.workflow.model_copy(update={"run_attempt": identity.run_attempt})
    return callback.model_copy(update={"workflow": workflow})


def _check_run(identity: Identity, callback: Callback) -> None:
    """The body may only speak for the run whose token came along; a deferred one, for any of that repo's."""
    if _is_deferred(identity, callback):
        return
    workflow = callback.workflow
    claimed = {
        "run_id": (workflow.run_id, identity.run_id),
        "run_attempt": (workflow.run_attempt, identity.run_attempt),
    }
    own = {identity.check_run_id, f"{identity.run_id}-{workflow.run_attempt}"}
    for name, (said, proven) in claimed.items():
        if None not in (said, proven) and said != proven:
            raise _mismatch(name, str(said), str(proven))
    if identity.check_run_id is not None and workflow.job_id not in own:
        raise _mismatch("check_run_id", workflow.job_id, identity.check_run_id)


def _mismatch(name: str, said: str, proven: str) -> RefusedError:
    return RefusedError("run_mismatch", f"workflow.{name} is {cut(said, 100)}, but the token was issued to {proven}.")


def _upstream(dispatch: Dispatch) -> dict[str, Any]:
    """What the dispatch record knows, in the body's own shape: it is believed over the reporter."""
    about: dict[str, Any] = {"repository": {"full_name": dispatch.upstream_repo}, "head_sha": dispatch.sha}
    if dispatch.pr_number:
        about["pull_request"] = {"number": dispatch.pr_number, "head": {"sha": dispatch.sha}}
    return {"event_type": dispatch.event_type, "payload": about}


def _opening(payload: dict[str, Any], callback: Callback) -> bytes:
    """Give what the sweeper needs to end the job: who it is, without any details, so that the caps bound its size."""
    details = {"test_results", "failed_tests", "environment", "artifact_url"}
    said = callback.model_dump(mode="json", exclude={"callback_token": True, "workflow": details}, exclude_none=True)
    proven = payload["untrusted"]["callback_payload"]
    said["event_type"], said["payload"] = proven.get("event_type", said["event_type"]), said["payload"]
    if callback.event_type in SELF_REPORTED_EVENTS:  # verified or not, its payload is the reporter's own
        said["payload"].pop("pull_request", None)
    elif payload["trusted"]["dispatch_verified"]:
        said["payload"] = proven["payload"]
    return gzip.compress(
        orjson.dumps({"trusted": payload["trusted"], "untrusted": {"callback_payload": said}}), mtime=0
    )


def _queue_time(recorded: Recorded | None, callback: Callback, now: float) -> float | None:
    """Seconds from dispatch to start; a re-run did not wait in that queue."""
    if recorded is None or callback.workflow.status != "in_progress" or callback.workflow.run_attempt != 1:
        return None
    return round(max(0.0, now - recorded.at), 3)


def _payload(
    identity: Identity,
    listed: Listed,
    callback: Callback,
    body: bytes,
    recorded: Recorded | None,
    metrics: dict[str, float | None],
    now: float,
    *,
    verified: bool,
) -> dict[str, Any]:
    """Build what HUD gets: what we vouch for, and the body as it came, the dispatch's own word put over it."""
    try:
        raw: dict[str, Any] = orjson.loads(body)
    except orjson.JSONDecodeError as error:  # NaN and 1e999, which pydantic lets pass where nobody reads them
        raise RefusedError("invalid_json", f"The body is not JSON ({error.msg}): send one object, UTF-8.") from None
    if recorded:
        raw |= _upstream(recorded.dispatch)
    elif callback.event_type in SELF_REPORTED_EVENTS:
        about = raw.get("payload") or {}
        raw["payload"] = {name: value for name, value in about.items() if name != "pull_request"}
    raw.pop("callback_token", None)
    if raw["workflow"].get("run_attempt") in (None, ""):
        raw["workflow"]["run_attempt"] = callback.workflow.run_attempt
    received_at = datetime.fromtimestamp(now, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    trusted = {
        "verified_repo": identity.repo,
        "downstream_repo_level": listed.level,
        "ci_metrics": metrics,
        "received_at": received_at,
        "dispatch_verified": verified,
        "origin": "deferred" if _is_deferred(identity, callback) else "job",
        "repository_id": identity.repository_id,
        "workflow_ref": identity.workflow_ref,
        "event_name": identity.event_name,
        "ref": identity.ref,
        "sha": identity.sha,
    }
    return {"trusted": trusted, "untrusted": {"callback_payload": raw}}
