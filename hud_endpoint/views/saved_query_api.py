"""`GET /api/clickhouse/{query}?parameters={…}`: saved queries as HUD's own API answers them, so its pages work here."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import orjson
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from hud_endpoint.clickhouse import saved_queries
from hud_endpoint.errors import RefusedError
from hud_endpoint.views.answers import answer
from hud_endpoint.views.data.reader import unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from clickhouse_connect.driver.client import Client

QUERY_THREADS = 4  # beside those of the pages: somebody's own queries never hold a page up
MAX_PARAMETERS = 16 * 1024


def saved_query_router(connect: Callable[[], Client]) -> APIRouter:
    """Build the route; `connect` gives a ClickHouse client of the calling thread's own."""
    router = APIRouter(tags=["data"])
    threads = anyio.CapacityLimiter(QUERY_THREADS)

    @router.get("/api/clickhouse/{query}")
    async def saved_query(request: Request, query: str, parameters: str = Query(default="{}")) -> Response:
        """Run a saved query, read-only and bounded; gives its rows as a JSON array of objects.

        `parameters` is a JSON object with the parameters that the query's params.json names; others are ignored.
        """
        if query not in saved_queries.names():
            raise RefusedError("not_found", f"There is no saved query {query[:100]!r}.")
        found = saved_queries.saved_query(query)
        values = _parameters(found, parameters)
        body = await anyio.to_thread.run_sync(partial(_run, connect, query, values), limiter=threads)
        return answer(request, body, "application/json")

    return router


def _parameters(query: saved_queries.SavedQuery, text: str) -> dict[str, object]:
    if len(text) > MAX_PARAMETERS:
        raise RefusedError("invalid_parameter", f"parameters has at most {MAX_PARAMETERS:,} characters.")
    try:
        told = orjson.loads(text)
    except ValueError as error:
        raise RefusedError("invalid_parameter", "parameters is not valid JSON.") from error
    try:
        return saved_queries.read_parameters(query, told)
    except saved_queries.WrongParameterError as error:
        raise RefusedError("invalid_parameter", f"{query.name}: {error}.") from error


def _run(connect: Callable[[], Client], name: str, parameters: dict[str, object]) -> bytes:
    from clickhouse_connect.driver.exceptions import ClickHouseError

    try:
        return saved_queries.run_as_json(connect(), name, parameters)
    except (ClickHouseError, OSError) as error:
        raise unavailable() from error
