"""The two server halves wired up from their settings: `relay()` and `hud()` are application factories for ASGI servers.

uvicorn --factory hud_endpoint.app:hud

Each half imports its own parts inside its factory, so that a cold start pays for what it uses and nothing else.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.responses import RedirectResponse

from hud_endpoint.http import answer_errors
from hud_endpoint.settings import HudSettings, RelaySettings, load

if TYPE_CHECKING:
    from collections.abc import Callable

    from clickhouse_connect.driver.client import Client
    from types_boto3_dynamodb.client import DynamoDBClient


def relay(settings: RelaySettings | None = None) -> FastAPI:
    """Build the relay's Result Handler; wrong settings or a wrong allowlist end the process with a sentence."""
    import requests

    from hud_endpoint.relay.allowlist import AllowlistError, load_allowlist
    from hud_endpoint.relay.api import relay_router
    from hud_endpoint.relay.dispatch import Dispatches
    from hud_endpoint.relay.handler import ResultHandler
    from hud_endpoint.relay.oidc import Verifier

    settings = settings or load(RelaySettings)
    try:
        allowlist = load_allowlist(settings.allowlist)
    except AllowlistError as error:
        raise SystemExit(f"The allowlist can't be used: {error}.") from None
    session = requests.Session()
    session.trust_env = False  # no netrc, no proxy from the environment: tokens travel over these connections
    handler = ResultHandler(
        settings,
        Verifier(settings.oidc_issuers, settings.oidc_audience, session),
        allowlist,
        Dispatches(_dynamodb(), settings.relay_table),
        session,
    )
    app = FastAPI(title="oot-hud relay", docs_url=None, redoc_url=None)
    answer_errors(app, "detail")
    app.include_router(relay_router(settings, handler))
    _add_health(app)
    return app


def hud(settings: HudSettings | None = None) -> FastAPI:
    """Build the results endpoint and the pages; wrong settings end the process with a sentence."""
    from hud_endpoint.results.api import results_router
    from hud_endpoint.results.store import ResultStore
    from hud_endpoint.views.summary import summary_router

    settings = settings or load(HudSettings)
    app = FastAPI(title="oot-hud", docs_url=None, redoc_url=None)
    answer_errors(app, "error")
    app.include_router(results_router(settings, ResultStore(_dynamodb(), settings.results_table)))
    app.include_router(summary_router(_client_per_thread(settings.clickhouse_url), settings.banner))
    _add_health(app)

    @app.get("/", include_in_schema=False)
    async def home() -> RedirectResponse:
        return RedirectResponse("/oot")

    return app


def _add_health(app: FastAPI) -> None:
    @app.get("/healthz", tags=["operation"])
    async def alive() -> dict[str, bool]:
        return {"ok": True}


def _dynamodb() -> DynamoDBClient:
    import boto3
    from botocore.config import Config

    config = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 4})
    return boto3.client("dynamodb", config=config)


def _client_per_thread(url: str) -> Callable[[], Client]:
    from hud_endpoint.clickhouse.connection import connect

    local = threading.local()

    def client() -> Client:
        if not hasattr(local, "client"):
            local.client = connect(url)
        found: Client = local.client
        return found

    return client
