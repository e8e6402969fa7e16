"""`POST /github/callback` for downstream jobs (RFC-0054 hop 1), `POST /internal/dispatch` for the upstream."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from hud_endpoint.contract import RELAY_BODY_BYTES, Callback, Dispatch, parse
from hud_endpoint.errors import RefusedError
from hud_endpoint.http import as_json, read_body
from hud_endpoint.openapi.document import BEARER, Operation
from hud_endpoint.relay import audit
from hud_endpoint.relay.admission import Admission, client_address
from hud_endpoint.service_token import require_service_token

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from hud_endpoint.metrics import Metrics
    from hud_endpoint.relay.allowlist import Listed
    from hud_endpoint.relay.handler import ResultHandler
    from hud_endpoint.relay.oidc import Identity
    from hud_endpoint.settings import RelaySettings

DISPATCH_HEADER = "x-relay-dispatch-token"
_DISPATCH_BYTES = 16 * 1024


def relay_operations(settings: RelaySettings, handler: ResultHandler, metrics: Metrics) -> list[Operation]:
    """Build the operations around the handler; each decision is counted, and audited where the caller is known."""
    admission = Admission(settings.rate_limit_per_minute)
    behind_proxy = bool(settings.forwarded_allow_ips)

    async def receive_callback(request: Request) -> Response:
        """Take a job's callback."""
        started = time.monotonic()
        authorization = request.headers.get("authorization")
        address, claim = client_address(request.scope, behind_proxy=behind_proxy), handler.claim(authorization)
        identity: Identity | None = None
        listed: Listed | None = None
        try:
            admission.check_stranger(address, claim)
            # One hop for who calls, one for what is said: between them the body is read, of members alone.
            caller = await run_in_threadpool(handler.identify, authorization)
            identity = caller.identity
            listed = caller.admitted()
            admission.check_token(identity.token_id)
            body = await read_body(request, RELAY_BODY_BYTES)
            taken = await run_in_threadpool(handler.accept, identity, listed, body)
        except RefusedError as error:
            if identity is not None and listed is not None:
                admission.count_token(identity.token_id, error)
                refusal = error
            else:
                refusal = admission.count_stranger(address, claim, error)
            metrics.record({"refusals": 1}, code=refusal.code)
            if identity is not None:
                audit.record(identity, "refused", code=refusal.code)
            raise refusal from None
        finally:
            metrics.record({"latency": time.monotonic() - started})
        metrics.record({"callbacks": 1}, outcome=taken.body["outcome"])
        if taken.body["outcome"] in ("duplicate", "ignored"):
            admission.count_token(identity.token_id)
        if dropped := len(taken.body.get("dropped", ())):
            metrics.record({"dropped_fields": dropped})
        audit.record(identity, taken.body["outcome"], key=taken.body.get("dynamoKey", ""))
        return as_json(taken.body, taken.status_code)

    async def register_dispatch(request: Request) -> Response:
        """Record a dispatch before it is sent."""
        require_service_token(
            request.headers.get(DISPATCH_HEADER),
            settings.dispatch_token,
            settings.dispatch_token_previous,
            header=DISPATCH_HEADER,
        )
        dispatch = parse(Dispatch, await read_body(request, _DISPATCH_BYTES))
        return as_json(await run_in_threadpool(handler.register, dispatch, time.time()))

    return [
        Operation(
            "POST",
            "/github/callback",
            receive_callback,
            "relay",
            {
                200: "`{ok, status, outcome, dynamoKey, hud_url}`; outcome is delivered, duplicate or ignored.",
                202: "The same, outcome queued: HUD can't take it now, the relay keeps it and delivers it later.",
            },
            body=Callback,
            token=BEARER,
        ),
        Operation(
            "POST",
            "/internal/dispatch",
            register_dispatch,
            "relay",
            {200: "`{ok, delivery_id, callback_token}`; the job's callbacks must echo the token."},
            body=Dispatch,
            token=DISPATCH_HEADER,
        ),
    ]
