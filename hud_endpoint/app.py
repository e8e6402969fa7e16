"""The two server halves wired up from their settings: `relay()` and `hud()` are application factories for ASGI servers.

uvicorn --factory hud_endpoint.app:hud

Each half imports its own parts inside its factory, so that a cold start pays for what it uses and nothing else.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.responses import RedirectResponse

from hud_endpoint.contract import Callback, Dispatch, RelayPayload
from hud_endpoint.http import answer_errors, describe
from hud_endpoint.logs import set_up
from hud_endpoint.settings import HudSettings, RelaySettings, load

if TYPE_CHECKING:
    from collections.abc import Callable

    from botocore.config import Config
    from clickhouse_connect.driver.client import Client
    from types_boto3_dynamodb.client import DynamoDBClient
    from types_boto3_s3.client import S3Client

    from hud_endpoint.relay.outbox import Bodies
    from hud_endpoint.relay.upstream import Upstream

_CONNECTIONS = 50  # more than the 40 threads that handle requests


def relay(settings: RelaySettings | None = None) -> FastAPI:
    """Build the relay's Result Handler; wrong settings or a wrong allowlist end the process with a sentence."""
    import requests
    from requests.adapters import HTTPAdapter

    from hud_endpoint.relay.allowlist import AllowlistError
    from hud_endpoint.relay.allowlist_source import AllowlistSource, find_source
    from hud_endpoint.relay.api import relay_router
    from hud_endpoint.relay.dispatch import Dispatches
    from hud_endpoint.relay.forward import forward
    from hud_endpoint.relay.handler import ResultHandler
    from hud_endpoint.relay.ledger import Ledger
    from hud_endpoint.relay.metrics import make_metrics
    from hud_endpoint.relay.oidc import Verifier
    from hud_endpoint.relay.outbox import Outbox
    from hud_endpoint.relay.rate_limit import RateLimiter
    from hud_endpoint.relay.sweeper import Sweeper
    from hud_endpoint.relay.worker import OutboxWorker

    set_up()
    settings = settings or load(RelaySettings)
    session = requests.Session()
    session.mount("http://", HTTPAdapter(pool_maxsize=_CONNECTIONS))
    session.mount("https://", HTTPAdapter(pool_maxsize=_CONNECTIONS))
    session.trust_env = False  # no netrc, no proxy from the environment: tokens travel over these connections
    try:
        read = find_source(settings.allowlist, session=session, raw_url=settings.github_raw_url, s3=_s3)
        allowlist = AllowlistSource(settings.allowlist, read, settings.allowlist_ttl_seconds)
    except AllowlistError as error:
        raise SystemExit(f"The allowlist can't be used: {error}.") from None
    dynamodb, table = _dynamodb(), settings.relay_table
    hud_token = settings.hud_api_token.get_secret_value()
    outbox = Outbox(dynamodb, table, _bodies(settings.outbox_bucket))
    ledger, dispatches = Ledger(dynamodb, table), Dispatches(dynamodb, table)
    handler = ResultHandler(
        settings,
        verifier=Verifier(settings.oidc_issuers, settings.oidc_audience, session, allowlist.pipeline),
        allowlist=allowlist,
        limiter=RateLimiter(dynamodb, table, settings.rate_limit_per_minute),
        dispatches=dispatches,
        ledger=ledger,
        outbox=outbox,
        send=lambda payload: forward(session, settings.hud_api_url, hud_token, payload),
        verifies=_upstream(settings).verifies,
    )
    metrics = make_metrics(settings)
    worker = OutboxWorker(outbox, handler, Sweeper(dynamodb, table, ledger, outbox, dispatches), metrics)
    app = FastAPI(title="oot-hud relay", docs_url=None, redoc_url=None, lifespan=worker.lifespan)
    answer_errors(app, "detail")
    app.include_router(relay_router(settings, handler, metrics))
    _add_health(app)
    describe(app, {"/github/callback": Callback, "/internal/dispatch": Dispatch}, "detail")
    return app


def hud(settings: HudSettings | None = None) -> FastAPI:
    """Build the results endpoint and the pages; wrong settings end the process with a sentence."""
    from hud_endpoint.results.api import results_router
    from hud_endpoint.results.store import ResultStore
    from hud_endpoint.views.summary import summary_router

    set_up()
    settings = settings or load(HudSettings)
    app = FastAPI(title="oot-hud", docs_url=None, redoc_url=None)
    answer_errors(app, "error")
    app.include_router(results_router(settings, ResultStore(_dynamodb(), settings.results_table)))
    app.include_router(summary_router(_client_per_thread(settings.clickhouse_url), settings.banner))
    _add_health(app)

    @app.get("/", include_in_schema=False)
    async def home() -> RedirectResponse:
        return RedirectResponse("/oot")

    describe(app, {"/api/oot/results": RelayPayload}, "error")
    return app


def _add_health(app: FastAPI) -> None:
    @app.get("/healthz", tags=["operation"])
    async def alive() -> dict[str, bool]:
        return {"ok": True}


def _dynamodb() -> DynamoDBClient:
    import boto3

    return boto3.client("dynamodb", config=_patience())


def _patience() -> Config:
    """How long AWS is waited for: a request is waiting behind it."""
    from botocore.config import Config

    return Config(
        connect_timeout=2,
        read_timeout=5,
        retries={"mode": "standard", "total_max_attempts": 4},
        max_pool_connections=_CONNECTIONS,
    )


def _bodies(bucket: str) -> Bodies | None:
    if not bucket:
        return None
    from hud_endpoint.relay.bodies import S3Bodies

    return S3Bodies(_s3(), bucket)


def _upstream(settings: RelaySettings) -> Upstream:
    from hud_endpoint.relay.upstream import Upstream, ask_github

    repo, token = settings.upstream_repo, settings.github_token
    return Upstream(repo, ask_github(settings.github_api_url, repo, token.get_secret_value() if token else None))


def _s3() -> S3Client:
    import boto3

    return boto3.client("s3")


def _client_per_thread(url: str) -> Callable[[], Client]:
    from hud_endpoint.clickhouse.connection import connect

    local = threading.local()

    def client() -> Client:
        if not hasattr(local, "client"):
            local.client = connect(url, read_timeout=15)  # above the queries' own limit of 10 s
        found: Client = local.client
        return found

    return client
