"""What the relay sends to HUD: what it vouches for, and the body as it came, the dispatch's own word put over it."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import orjson

from hud_endpoint.contract import Callback, RelayPayload, Trusted, Untrusted, Upstream
from hud_endpoint.events import is_self_reported
from hud_endpoint.record import completion_digest, job_identity, to_write
from hud_endpoint.relay.lifecycle import Claim, Job, Phase
from hud_endpoint.relay.repo_pins import stable_id

if TYPE_CHECKING:
    from hud_endpoint.lenient import Dropped
    from hud_endpoint.relay.allowlist import Listed
    from hud_endpoint.relay.dispatch import Recorded
    from hud_endpoint.relay.oidc import Identity

_DETAILS = {"test_results", "failed_tests", "environment", "artifact_url"}


@dataclass(frozen=True)
class Accepted:
    """A callback that passed every check, before anything is written.

    `body` is the JSON as it came but for what was `dropped`, `received_at` in seconds since the epoch;
    `commit_verified` is None where the upstream was not asked. `callback` says what counts: event, pull request and
    commit of the dispatch's record where there is one, and no pull request for a nightly.
    """

    identity: Identity
    listed: Listed
    callback: Callback
    body: dict[str, Any]
    dispatch: Recorded | None
    key: str
    received_at: float
    deferred: bool
    dropped: tuple[Dropped, ...] = ()
    commit_verified: bool | None = None

    @cached_property
    def claim(self) -> Claim:
        """What the callback says of its job, as HUD will judge it."""
        payload = RelayPayload.model_construct(
            trusted=Trusted.model_construct(verified_repo=self.identity.repo),
            untrusted=Untrusted.model_construct(callback_payload=self.callback),
        )
        write = to_write(payload, now=datetime.fromtimestamp(self.received_at, UTC), retention_days=1)
        status = self.callback.workflow.status
        return Claim(status, job_identity(write), completion_digest(write) if status == "completed" else "")

    def payload(self, job: Job) -> dict[str, Any]:
        """Return the `{trusted, untrusted}` payload; `job` has taken the callback's step."""
        body = {name: value for name, value in self.body.items() if name != "callback_token"}
        body["event_type"] = self.callback.event_type
        if self.dispatch is not None:
            body["payload"] = _upstream(self.dispatch)
        elif is_self_reported(self.callback.event_type):
            upstream = body.get("payload") or {}
            body["payload"] = {name: value for name, value in upstream.items() if name != "pull_request"}
        if body["workflow"].get("run_attempt") in (None, ""):
            body["workflow"] = {**body["workflow"], "run_attempt": self.callback.workflow.run_attempt}
        return {"trusted": self.trusted(job), "untrusted": {"callback_payload": body}}

    def trusted(self, job: Job) -> dict[str, Any]:
        """Return what the relay vouches for."""
        identity, status = self.identity, self.callback.workflow.status
        measured = not self.deferred  # else these would be the times of the posting
        queue_time = self._queue_time() if measured and job.phase is Phase.IN_PROGRESS else None
        return {
            "verified_repo": identity.repo,
            "downstream_repo_level": self.listed.level,
            "ci_metrics": {
                "queue_time": queue_time,
                "execution_time": job.execution_time if measured and status == "completed" else None,
            },
            "received_at": iso_time(self.received_at),
            "dispatch_verified": self.dispatch is not None,
            "commit_verified": self.commit_verified,
            "origin": "deferred" if self.deferred else "job",
            "repository_id": stable_id(identity),
            "workflow_ref": identity.workflow_ref,
            "event_name": identity.event_name,
            "ref": identity.ref,
            "sha": identity.sha,
        }

    def start_payload(self, job: Job) -> bytes:
        """Return what the sweeper needs to end the job: who it is, without any details, so that the caps bound it."""
        exclude: Any = {"callback_token": True, "workflow": _DETAILS}
        body = self.callback.model_dump(mode="json", exclude=exclude, exclude_none=True)
        payload = {"trusted": self.trusted(job), "untrusted": {"callback_payload": body}}
        return gzip.compress(orjson.dumps(payload), mtime=0)

    def conflict_note(self) -> dict[str, Any]:
        """Return what HUD is told of a completion that was refused because another had been accepted before."""
        trusted = {"verified_repo": self.identity.repo, "received_at": iso_time(self.received_at)}
        conclusion = self.callback.workflow.conclusion
        conflict = {"dynamoKey": self.key, "conclusion": conclusion, "digest": self.claim.completion}
        return {"trusted": trusted, "conflict": conflict}

    def _queue_time(self) -> float | None:
        """Return the seconds from dispatch to start; a re-run did not wait in that queue."""
        workflow = self.callback.workflow
        if self.dispatch is None or workflow.status != "in_progress" or workflow.run_attempt != 1:
            return None
        return round(max(0.0, self.received_at - self.dispatch.at), 3)


def iso_time(seconds: float) -> str:
    """Write seconds since the epoch as UTC ISO 8601 with microseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def with_record(callback: Callback, dispatch: Recorded | None) -> Callback:
    """Return the callback as it counts: what the dispatch's record knows is put over the reporter's word."""
    if dispatch is not None:
        update: dict[str, Any] = {"event_type": dispatch.dispatch.event_type}
        update["payload"] = Upstream.model_validate(_upstream(dispatch))
        return callback.model_copy(update=update)
    if is_self_reported(callback.event_type):
        upstream = callback.payload.model_copy(update={"pull_request": None})
        return callback.model_copy(update={"payload": upstream})
    return callback


def _upstream(recorded: Recorded) -> dict[str, Any]:
    dispatch = recorded.dispatch
    upstream: dict[str, Any] = {"repository": {"full_name": dispatch.upstream_repo}, "head_sha": dispatch.sha}
    if dispatch.pr_number:
        upstream["pull_request"] = {"number": dispatch.pr_number, "head": {"sha": dispatch.sha}}
    return upstream
