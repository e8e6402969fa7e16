"""The Result Handler: the steps between a callback and HUD, in the order that gives strangers the least.

Identity, then allowlist, then the body, then the dispatch record, then HUD; the first step that fails answers.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import orjson

from hud_endpoint.contract import SELF_REPORTED_EVENTS, Callback, cut, dynamo_key, parse
from hud_endpoint.errors import RefusedError
from hud_endpoint.relay.dispatch import Dispatches, check_callback_token, sign_callback_token
from hud_endpoint.relay.forward import forward

if TYPE_CHECKING:
    import requests

    from hud_endpoint.contract import Dispatch
    from hud_endpoint.relay.allowlist import Allowlist, Entry
    from hud_endpoint.relay.dispatch import Recorded
    from hud_endpoint.relay.oidc import Identity, Verifier
    from hud_endpoint.settings import RelaySettings

log = logging.getLogger(__name__)

LOWEST_LEVEL = "L2"
_UPSTREAM_CHECKS = (
    "This repo is at {level}: the check runs that L3 and L4 have upstream are not made by this relay yet; "
    "keep the step with CRCR's callback action beside this one."
)

Outcome = Literal["delivered", "duplicate", "ignored"]


class ResultHandler:
    """Takes callbacks of verified callers to HUD."""

    def __init__(
        self,
        settings: RelaySettings,
        verifier: Verifier,
        allowlist: Allowlist,
        dispatches: Dispatches,
        session: requests.Session,
    ) -> None:
        self._settings = settings
        self._verifier = verifier
        self._allowlist = allowlist
        self._dispatches = dispatches
        self._session = session

    def identify(self, authorization: str | None) -> tuple[Identity, Entry]:
        """Say who calls and at which level. Raises RefusedError (401, 403, 503)."""
        identity = self._verifier.verify(authorization)
        return identity, self._allowlist.entry(identity.repo)

    def accept(self, identity: Identity, entry: Entry, body: bytes) -> dict[str, Any]:
        """Take one callback home and give the answer for its sender. Raises RefusedError."""
        if entry.level < LOWEST_LEVEL:
            return self._ignore(entry)
        received_at = datetime.now(UTC)
        callback = parse(Callback, body)
        _check_run(identity, callback)
        recorded = self._find_dispatch(identity, callback)
        try:
            raw: dict[str, Any] = orjson.loads(body)
        except orjson.JSONDecodeError as error:  # NaN and 1e999, which pydantic lets pass where nobody reads them
            raise RefusedError("invalid_json", f"The body is not JSON ({error.msg}): send one object, UTF-8.") from None
        if recorded:
            raw |= _upstream(recorded.dispatch)
        elif callback.event_type in SELF_REPORTED_EVENTS:
            raw["payload"] = {
                name: value for name, value in (raw.get("payload") or {}).items() if name != "pull_request"
            }
        raw.pop("callback_token", None)
        trusted = {
            "verified_repo": identity.repo,
            "downstream_repo_level": entry.level,
            "ci_metrics": {"queue_time": _queue_time(recorded, callback, received_at), "execution_time": None},
            "received_at": received_at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "dispatch_verified": recorded is not None,
            "origin": "job",
            "repository_id": identity.repository_id,
            "workflow_ref": identity.workflow_ref,
            "event_name": identity.event_name,
            "ref": identity.ref,
            "sha": identity.sha,
        }
        key = dynamo_key(identity.repo, callback)
        outcome = forward(
            self._session,
            self._settings.hud_api_url,
            self._settings.hud_api_token.get_secret_value(),
            {"trusted": trusted, "untrusted": {"callback_payload": raw}},
        )
        log.info("callback %s", outcome, extra={"repo": identity.repo, "delivery_id": callback.delivery_id})
        answer = {
            "ok": True,
            "status": callback.workflow.status,
            "outcome": outcome,
            "dynamoKey": key,
            "hud_url": f"{self._settings.public_url}/oot#{quote(identity.repo)}",
        }
        return answer | ({"message": _UPSTREAM_CHECKS.format(level=entry.level)} if entry.level >= "L3" else {})

    def register(self, dispatch: Dispatch, now: float) -> dict[str, Any]:
        """Record a dispatch before it is sent, and give the token that its callbacks must echo. Raises RefusedError."""
        self._allowlist.entry(dispatch.repo)
        self._dispatches.record(dispatch, now)
        token = sign_callback_token(dispatch, self._settings.callback_signing_key.get_secret_value(), now)
        return {"ok": True, "delivery_id": dispatch.delivery_id, "callback_token": token}

    def _ignore(self, entry: Entry) -> dict[str, Any]:
        told = f"{entry.repo} is at {entry.level}; results are shown from {LOWEST_LEVEL} on (RFC-0050)."
        if self._settings.strict_levels:
            raise RefusedError("repo_not_allowed", told)
        return {"ok": True, "status": "ignored", "outcome": "ignored", "message": told}

    def _find_dispatch(self, identity: Identity, callback: Callback) -> Recorded | None:
        if callback.event_type in SELF_REPORTED_EVENTS:
            return None
        recorded = self._dispatches.find(identity.repo, callback.delivery_id)
        if recorded and callback.callback_token is not None:
            key = self._settings.callback_signing_key.get_secret_value()
            check_callback_token(callback.callback_token, recorded.dispatch, key)
        if recorded is None and self._settings.dispatch_policy == "required":
            raise RefusedError(
                "no_dispatch",
                f"No dispatch {cut(callback.delivery_id, 100)} was sent to {identity.repo}: "
                "run the workflow on repository_dispatch, or report as nightly with delivery-id and event-type.",
            )
        return recorded


def _check_run(identity: Identity, callback: Callback) -> None:
    """The body may only speak for the run whose token came along."""
    workflow = callback.workflow
    claimed = {
        "run_id": (workflow.run_id, identity.run_id),
        "run_attempt": (workflow.run_attempt, identity.run_attempt),
    }
    own = {identity.check_run_id, f"{identity.run_id}-{identity.run_attempt}"}
    for name, (said, proven) in claimed.items():
        if said is not None and said != proven:
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


def _queue_time(recorded: Recorded | None, callback: Callback, received_at: datetime) -> float | None:
    """Seconds from dispatch to start; a re-run did not wait in that queue."""
    if recorded is None or callback.workflow.status != "in_progress" or callback.workflow.run_attempt != 1:
        return None
    return round(max(0.0, received_at.timestamp() - recorded.at), 3)
