"""`POST /github/callback` for downstream jobs (RFC-0054 hop 1), `POST /internal/dispatch` for the upstream."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from hud_endpoint.contract import RELAY_BODY_BYTES, Dispatch, parse
from hud_endpoint.errors import RefusedError
from hud_endpoint.http import read_body
from hud_endpoint.relay import audit
from hud_endpoint.service_token import require_service_token

if TYPE_CHECKING:
    from hud_endpoint.relay.handler import ResultHandler
    from hud_endpoint.relay.metrics import Metrics
    from hud_endpoint.relay.oidc import Identity
    from hud_endpoint.settings import RelaySettings

DISPATCH_HEADER = "x-relay-dispatch-token"
_DISPATCH_BYTES = 16 * 1024


def relay_router(settings: RelaySettings, handler: ResultHandler, metrics: Metrics) -> APIRouter:
    """Build the routes around the handler; each decision is counted, and audited where the caller is known."""
    router = APIRouter(tags=["relay"])

    @router.post("/github/callback")
    async def receive_callback(request: Request) -> JSONResponse:
        """Take a job's callback.

        200 `{ok, status, outcome, dynamoKey, hud_url}` with outcome delivered | duplicate | ignored, 202 with outcome
        queued while HUD can't take it; errors are `{detail, code}`.
        """
        started = time.monotonic()
        identity: Identity | None = None
        try:
            identity = await run_in_threadpool(handler.verify, request.headers.get("authorization"))
            listed = await run_in_threadpool(handler.admit, identity)
            body = await read_body(request, RELAY_BODY_BYTES)
            taken = await run_in_threadpool(handler.accept, identity, listed, body)
        except RefusedError as error:
            metrics.count("refusals", code=error.code)
            if identity is not None:
                audit.record(identity, "refused", code=error.code)
            raise
        finally:
            metrics.observe("latency", time.monotonic() - started)
        metrics.count("callbacks", outcome=taken.body["outcome"])
        audit.record(identity, taken.body["outcome"], key=taken.body.get("dynamoKey", ""))
        return JSONResponse(taken.body, status_code=taken.status_code)

    @router.post("/internal/dispatch")
    async def register_dispatch(request: Request) -> JSONResponse:
        """Record a dispatch before it is sent: 200 `{ok, delivery_id, callback_token}`; errors are `{detail, code}`."""
        require_service_token(request.headers.get(DISPATCH_HEADER), settings.dispatch_token, header=DISPATCH_HEADER)
        dispatch = parse(Dispatch, await read_body(request, _DISPATCH_BYTES))
        return JSONResponse(await run_in_threadpool(handler.register, dispatch, time.time()))

    return router
