"""The two server halves wired up from their settings: `relay()` and `hud()` are application factories for ASGI servers.

uvicorn --factory hud_endpoint.app:hud

`results()` and `pages()` are HUD's two parts, for those who run them apart: what strangers may ask then has neither the
rights nor the secret of what takes results in.

Each half imports its own parts inside its factory, so that a cold start pays for what it uses and nothing else. What
takes results in is plain Starlette; the pages are FastAPI, which takes as long to import as all the rest.
"""

from __future__ import annotations

import gc
import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.responses import RedirectResponse
from starlette.routing import Route

from hud_endpoint import aws
from hud_endpoint.http import answer_errors, redirect_slashes_by_path
from hud_endpoint.lazy_app import LazyApp
from hud_endpoint.logs import set_up
from hud_endpoint.metrics import Metrics, make_metrics
from hud_endpoint.openapi.document import document
from hud_endpoint.openapi.page import docs_routes
from hud_endpoint.readiness import clickhouse_part, dynamodb_part, health_operations
from hud_endpoint.settings import HudSettings, PagesSettings, RelaySettings, ResultsSettings, load

if TYPE_CHECKING:
    from collections.abc import Callable

    from clickhouse_connect.driver.client import Client
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response
    from types_boto3_dynamodb.client import DynamoDBClient

    from hud_endpoint.openapi.document import Operation
    from hud_endpoint.readiness import Part
    from hud_endpoint.relay.forward import Answer
    from hud_endpoint.relay.github_calls import GitHubCalls
    from hud_endpoint.relay.handler import ResultHandler
    from hud_endpoint.relay.outbox import Bodies, Outbox
    from hud_endpoint.relay.sweeper import Sweeper
    from hud_endpoint.relay.upstream import Upstream

# A body of 2 MB may hold 700,000 empty lists. With the garbage collector run after each 700 of them, as is its default,
# reading it holds up every other request for 170 ms: three times as long as so.
_GC_OBJECTS = 10_000


@dataclass(frozen=True)
class RelayParts:
    """What the relay is made of, for the application and for what a schedule runs."""

    settings: RelaySettings
    handler: ResultHandler
    send: Callable[[dict[str, Any]], Answer]
    outbox: Outbox
    sweeper: Sweeper
    metrics: Metrics


def relay(settings: RelaySettings | None = None) -> Starlette:
    """Build the relay's Result Handler; wrong settings or a wrong allowlist end the process with a sentence."""
    from hud_endpoint.relay.api import relay_operations
    from hud_endpoint.relay.worker import OutboxWorker

    set_up()
    gc.set_threshold(_GC_OBJECTS)
    parts = relay_parts(settings or load(RelaySettings))
    table = dynamodb_part(aws.prompt_dynamodb, parts.settings.relay_table, "pk", "RELAY_TABLE")
    operations = [
        *relay_operations(parts.settings, parts.handler, parts.metrics),
        *health_operations([table], "detail"),
    ]
    worker = OutboxWorker(parts.outbox, parts.send, parts.handler.undo_step, parts.sweeper, parts.metrics)
    app = Starlette(routes=_routes(operations), lifespan=worker.lifespan)
    answer_errors(app, "detail")
    redirect_slashes_by_path(app)
    app.routes.extend(docs_routes(lambda: document("oot-hud relay", operations, "detail")))
    return app


def relay_parts(settings: RelaySettings) -> RelayParts:
    """Wire up the relay; a wrong allowlist ends the process with a sentence."""
    import requests
    from requests.adapters import HTTPAdapter

    from hud_endpoint.relay.allowlist import AllowlistError
    from hud_endpoint.relay.allowlist_source import AllowlistSource, find_source
    from hud_endpoint.relay.forward import forward
    from hud_endpoint.relay.github_calls import GitHubCalls
    from hud_endpoint.relay.github_runs import GitHubRuns, ask_github_for_runs
    from hud_endpoint.relay.handler import ResultHandler
    from hud_endpoint.relay.oidc import Verifier
    from hud_endpoint.relay.rate_limit import RateLimiter
    from hud_endpoint.relay.stores import RelayStores

    session = requests.Session()
    session.mount("http://", HTTPAdapter(pool_maxsize=aws.CONNECTIONS))
    session.mount("https://", HTTPAdapter(pool_maxsize=aws.CONNECTIONS))
    session.trust_env = False  # no netrc, no proxy from the environment: tokens travel over these connections
    try:
        read = find_source(settings.allowlist, session=session, raw_url=settings.github_raw_url, s3=aws.s3)
        allowlist = AllowlistSource(settings.allowlist, read, settings.allowlist_ttl_seconds)
    except AllowlistError as error:
        raise SystemExit(f"The allowlist can't be used: {error}.") from None
    dynamodb, table = aws.patient_dynamodb(), settings.relay_table
    hud_token = settings.hud_api_token.get_secret_value()
    github_token = settings.github_token.get_secret_value() if settings.github_token else None
    stores = RelayStores.of(dynamodb, table, _bodies(settings.outbox_bucket))
    send = partial(forward, session, settings.hud_api_url, hud_token)
    calls = GitHubCalls()
    handler = ResultHandler(
        settings,
        verifier=Verifier(settings.oidc_issuers, settings.oidc_audience, session, allowlist.pipeline),
        allowlist=allowlist,
        limiter=RateLimiter(dynamodb, table, settings.rate_limit_per_minute),
        dispatches=stores.dispatches,
        jobs=stores.jobs,
        outbox=stores.outbox,
        send=send,
        runs=GitHubRuns(ask_github_for_runs(settings.github_api_url, github_token), calls),
        is_upstream_commit=_upstream(settings, github_token, calls).is_upstream_commit,
    )
    metrics = make_metrics("relay", settings.metrics, settings.metrics_port, settings.metrics_address)
    return RelayParts(settings, handler, send, stores.outbox, stores.sweeper, metrics)


def hud(settings: HudSettings | None = None) -> Starlette:
    """Build the results endpoint and the pages; wrong settings end the process with a sentence."""
    set_up()
    gc.set_threshold(_GC_OBJECTS)
    settings = settings or load(HudSettings)
    dynamodb = aws.prompt_dynamodb()
    operations = [
        _results(settings, dynamodb),
        *health_operations([_results_table(dynamodb, settings), clickhouse_part(settings.clickhouse_url)], "error"),
    ]
    return _with_pages(operations, LazyApp(lambda: _pages(settings)))


def results(settings: ResultsSettings | None = None) -> Starlette:
    """Build the results endpoint alone; wrong settings end the process with a sentence."""
    set_up()
    gc.set_threshold(_GC_OBJECTS)
    settings = settings or load(ResultsSettings)
    dynamodb = aws.prompt_dynamodb()
    health = health_operations([_results_table(dynamodb, settings)], "error")
    operations = [_results(settings, dynamodb), *health]
    app = Starlette(routes=_routes(operations))
    answer_errors(app, "error")
    redirect_slashes_by_path(app)
    app.routes.extend(docs_routes(lambda: document("oot-hud results", operations, "error")))
    return app


def pages(settings: PagesSettings | None = None) -> Starlette:
    """Build the pages alone, which need no service token and write nothing; wrong settings end the process."""
    set_up()
    settings = settings or load(PagesSettings)
    table = _results_table(aws.prompt_dynamodb(), settings)
    lazy = LazyApp(lambda: _pages(settings))
    lazy.built()
    return _with_pages(health_operations([table, clickhouse_part(settings.clickhouse_url)], "error"), lazy)


def _results(settings: ResultsSettings, dynamodb: DynamoDBClient) -> Operation:
    from hud_endpoint.results.api import results_operation
    from hud_endpoint.results.store import ResultStore

    return results_operation(settings, ResultStore(dynamodb, settings.results_table))


def _results_table(dynamodb: DynamoDBClient, settings: ResultsSettings | PagesSettings) -> Part:
    return dynamodb_part(lambda: dynamodb, settings.results_table, "dynamoKey", "RESULTS_TABLE")


def _with_pages(operations: list[Operation], pages: LazyApp[FastAPI]) -> Starlette:
    async def home(_request: Request) -> Response:
        return RedirectResponse("/oot")

    app = Starlette(routes=[*_routes(operations), Route("/", home)], lifespan=pages.lifespan)
    answer_errors(app, "error")
    app.router.default = pages  # behind the routes, so that a wrong method of theirs is 405
    redirect_slashes_by_path(app)
    app.routes.extend(docs_routes(lambda: document("oot-hud", operations, "error", pages.built().openapi())))
    return app


def _pages(settings: PagesSettings) -> FastAPI:
    """Build the pages and their data twins, from FastAPI's routers."""
    from fastapi import FastAPI

    from hud_endpoint.views.data.reader import ClickHouseReader
    from hud_endpoint.views.data.readiness import Criteria
    from hud_endpoint.views.data.running import RunningJobs
    from hud_endpoint.views.data_api import data_router
    from hud_endpoint.views.embeds_api import embeds_router
    from hud_endpoint.views.pages import pages_router
    from hud_endpoint.views.saved_query_api import saved_query_router

    connect = _client_per_thread(settings.clickhouse_url)
    criteria = Criteria(
        settings.readiness_days,
        settings.readiness_timeout_rate,
        settings.readiness_end_to_end_seconds,
        settings.readiness_pass_rate,
    )
    reader = ClickHouseReader(connect, RunningJobs(aws.prompt_dynamodb(), settings.results_table), criteria)
    app = FastAPI(title="oot-hud", docs_url=None, redoc_url=None, openapi_url=None)
    answer_errors(app, "error")
    redirect_slashes_by_path(app)
    app.include_router(data_router(reader))
    app.include_router(embeds_router(reader, settings.hud_public_url))
    app.include_router(saved_query_router(connect))
    app.include_router(pages_router(reader, settings.banner, settings.hud_public_url))
    return app


def _routes(operations: list[Operation]) -> list[Any]:
    return [route for operation in operations for route in operation.routes()]


def _bodies(bucket: str) -> Bodies | None:
    if not bucket:
        return None
    from hud_endpoint.relay.bodies import S3Bodies

    return S3Bodies(aws.s3(), bucket)


def _upstream(settings: RelaySettings, token: str | None, calls: GitHubCalls) -> Upstream:
    from hud_endpoint.relay.upstream import Upstream, ask_github

    repo = settings.upstream_repo
    return Upstream(repo, ask_github(settings.github_api_url, repo, token), calls=calls)


def _client_per_thread(url: str) -> Callable[[], Client]:
    from hud_endpoint.clickhouse.connection import connect

    local = threading.local()

    def client() -> Client:
        if not hasattr(local, "client"):
            local.client = connect(url, read_timeout=15)  # above the queries' own limit of 10 s
        found: Client = local.client
        return found

    return client
