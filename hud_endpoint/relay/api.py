"""`POST /github/callback` for downstream jobs (RFC-0054 hop 1), `POST /internal/dispatch` for the upstream."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from hud_endpoint.contract import RELAY_BODY_BYTES, Dispatch, parse
from hud_endpoint.http import read_body
from hud_endpoint.service_token import require_service_token

if TYPE_CHECKING:
    from hud_endpoint.relay.handler import ResultHandler
    from hud_endpoint.settings import RelaySettings

DISPATCH_HEADER = "x-relay-dispatch-token"
_DISPATCH_BYTES = 16 * 1024


def relay_router(settings: RelaySettings, handler: ResultHandler) -> APIRouter:
    """Build the routes around the handler."""
    router = APIRouter(tags=["relay"])

    @router.post("/github/callback")
    async def receive_callback(request: Request) -> JSONResponse:
        """Take a job's callback.

        200 `{ok, status, outcome, dynamoKey, hud_url}` with outcome delivered | duplicate | ignored; errors are
        `{detail, code}`.
        """
        identity, entry = await run_in_threadpool(handler.identify, request.headers.get("authorization"))
        body = await read_body(request, RELAY_BODY_BYTES)
        return JSONResponse(await run_in_threadpool(handler.accept, identity, entry, body))

    @router.post("/internal/dispatch")
    async def register_dispatch(request: Request) -> JSONResponse:
        """Record a dispatch before it is sent: 200 `{ok, delivery_id, callback_token}`; errors are `{detail, code}`."""
        require_service_token(request.headers.get(DISPATCH_HEADER), settings.dispatch_token, header=DISPATCH_HEADER)
        dispatch = parse(Dispatch, await read_body(request, _DISPATCH_BYTES))
        return JSONResponse(await run_in_threadpool(handler.register, dispatch, time.time()))

    return router
