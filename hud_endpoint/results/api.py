"""`POST /api/oot/results`: where the relay, and nobody else, delivers results (RFC-0054 hop 2)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from hud_endpoint.contract import HUD_BODY_BYTES, RelayPayload, parse
from hud_endpoint.http import read_body
from hud_endpoint.results.record import to_write
from hud_endpoint.service_token import require_service_token

if TYPE_CHECKING:
    from hud_endpoint.results.record import Write
    from hud_endpoint.results.store import Outcome, ResultStore
    from hud_endpoint.settings import HudSettings

TOKEN_HEADER = "x-hud-internal-bot"  # noqa: S105 - a header's name, not a secret


def results_router(settings: HudSettings, store: ResultStore) -> APIRouter:
    """Build the routes around the store; `/api/crcr/results` is CRCR's name for the same."""
    router = APIRouter(tags=["results"])

    def store_result(body: bytes) -> tuple[Write, Outcome]:
        payload = parse(RelayPayload, body)
        write = to_write(payload, now=datetime.now(UTC), retention_days=settings.retention_days)
        return write, store.apply(write)

    @router.post("/api/oot/results")
    @router.post("/api/crcr/results", include_in_schema=False)
    async def receive_result(request: Request) -> JSONResponse:
        """Store one result that the relay vouches for.

        200 `{ok, status, dynamoKey, outcome}` with outcome stored | duplicate; errors are `{error, code}`.
        """
        require_service_token(
            request.headers.get(TOKEN_HEADER),
            settings.internal_api_token,
            settings.internal_api_token_previous,
            header=TOKEN_HEADER,
        )
        body = await read_body(request, HUD_BODY_BYTES)
        # In a thread from here on: two megabytes of test details would hold up every other request.
        write, outcome = await run_in_threadpool(store_result, body)
        return JSONResponse({"ok": True, "status": write.status, "dynamoKey": write.key, "outcome": outcome})

    return router
