"""`/healthz` says that the process lives; `/readyz` whether its stores answer, which of them does not, and what to do.

Strangers may ask: the stores are looked at once a second at most, by one check at a time, and neither an address nor
the store's own words are told.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from hud_endpoint import __version__
from hud_endpoint.http import as_json
from hud_endpoint.openapi.document import Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from types_boto3_dynamodb.client import DynamoDBClient

FRESH_SECONDS = 1.0
WAIT_SECONDS = 2.5
PING_SECONDS = 1.0


class Part(NamedTuple):
    """A store: `check` raises when it does not answer, `remedy` is for who runs it."""

    name: str
    check: Callable[[], None]
    remedy: str


class NotAnsweringError(Exception):
    """A store answered, but not as it should; the message may be told to strangers."""


class Readiness:
    """What was found a moment ago, or is found now."""

    def __init__(self, parts: Sequence[Part], clock: Callable[[], float] = time.monotonic) -> None:
        self._parts = parts
        self._clock = clock
        self._threads = ThreadPoolExecutor(max(len(parts), 1), thread_name_prefix="ready")
        self._running: dict[str, Future[None]] = {}
        self._lock = asyncio.Lock()
        self._found: dict[str, dict[str, Any]] = {}
        self._found_at = float("-inf")

    async def look(self) -> dict[str, dict[str, Any]]:
        """Give `{ok}` or `{ok, problem, remedy}` for each part."""
        async with self._lock:
            if self._clock() - self._found_at >= FRESH_SECONDS:
                found = await asyncio.gather(*(self._ask(part) for part in self._parts))
                self._found = {part.name: told for part, told in zip(self._parts, found, strict=True)}
                self._found_at = self._clock()
            return self._found

    async def _ask(self, part: Part) -> dict[str, Any]:
        check = self._running.get(part.name)
        if check is None or check.done():  # one that hangs is waited for, and never joined by another
            check = self._running[part.name] = self._threads.submit(copy_context().run, part.check)
        try:
            await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(check)), WAIT_SECONDS)
        except TimeoutError:
            return {"ok": False, "problem": "no answer in time", "remedy": part.remedy}
        except Exception as error:  # noqa: BLE001 - whatever a client raises means that its store is not ready
            return {"ok": False, "problem": _name(error), "remedy": part.remedy}
        return {"ok": True}


def health_operations(parts: Sequence[Part], error_field: str) -> list[Operation]:
    """Build `/healthz` and `/readyz`."""
    readiness = Readiness(parts)

    async def alive(_request: Request) -> Response:
        """Return that the process lives, and its version; no store is asked."""
        return as_json({"ok": True, "version": __version__})

    async def ready(_request: Request) -> Response:
        """Tell whether every store answers, as found at most a second ago: `{ok, parts: {name: {ok}}}`.

        A part that does not answer has a `problem` and a `remedy`.
        """
        found = await readiness.look()
        away = [name for name, told in found.items() if not told["ok"]]
        body: dict[str, Any] = {"ok": not away, "parts": found}
        if away:
            body |= {error_field: f"{' and '.join(away)}: not ready, see parts for what to do.", "code": "not_ready"}
        return as_json(body, 503 if away else 200, {"cache-control": "no-store"})

    return [
        Operation("GET", "/healthz", alive, "operation", {200: "It lives."}),
        Operation("GET", "/readyz", ready, "operation", {200: "Every store answers.", 503: "One does not."}),
    ]


def dynamodb_part(make_client: Callable[[], DynamoDBClient], table: str, key: str, setting: str) -> Part:
    """Ask a DynamoDB table for an item that is not there; `setting` is the variable that names the table."""
    client = cache(make_client)

    def check() -> None:
        client().get_item(TableName=table, Key={key: {"S": "readyz"}}, ProjectionExpression=key)

    return Part(
        "dynamodb",
        check,
        f"Check that the table of {setting} exists in this region, that the role may dynamodb:GetItem it, "
        "and DynamoDB's own health.",
    )


def clickhouse_part(url: str) -> Part:
    """Ask ClickHouse for `SELECT 1` as the pages' user."""

    @cache
    def pool() -> Any:  # noqa: ANN401 - urllib3 is imported when it is first needed
        import urllib3

        return urllib3.PoolManager(timeout=PING_SECONDS, retries=False)

    def check() -> None:
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        place = f"{parts.scheme}://{parts.hostname or 'localhost'}:{parts.port or (8443 if secure else 8123)}"
        headers = {"x-clickhouse-user": unquote(parts.username or "default")}
        if parts.password:
            headers["x-clickhouse-key"] = unquote(parts.password)
        answer = pool().request("GET", f"{place}/?query=SELECT%201", headers=headers)
        if answer.status != 200:
            raise NotAnsweringError(f"HTTP {answer.status}")

    remedy = "Check CLICKHOUSE_URL, its user and password; pages wait for it, results are still taken in."
    return Part("clickhouse", check, remedy)


def _name(error: Exception) -> str:
    """An error's name, or AWS's code for it: its message may hold addresses and names of accounts."""
    if isinstance(error, NotAnsweringError):
        return str(error)
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return str(code or type(error).__name__)[:100]
