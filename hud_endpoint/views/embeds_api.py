"""What other places subscribe to, embed or still link: Atom feeds, badges, and CRCR's old addresses."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from hud_endpoint.errors import RefusedError
from hud_endpoint.views.answers import answer
from hud_endpoint.views.badge import draw_badge
from hud_endpoint.views.data.backends import counts_of
from hud_endpoint.views.feed import write_feed

if TYPE_CHECKING:
    from collections.abc import Callable

    from hud_endpoint.views.data.reader import ClickHouseReader

FEED_DAYS = 7
FEED_ENTRIES = 100
BADGE_DAYS = 7
_BADGE_KEPT = "public, max-age=300"


def embeds_router(
    reader: ClickHouseReader, public_url: str = "", now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> APIRouter:
    """Build the routes; `public_url` is the pages' origin for feeds, whose links are paths where it is empty."""
    router = APIRouter(tags=["data"])

    async def feed(request: Request, repo: str) -> Response:
        backend = (await reader.names()).find(repo)
        rows, last_good = await reader.rows("oot_new_failures", days=FEED_DAYS, limit=FEED_ENTRIES, repo=backend)
        body = write_feed(rows, asked=repo, backend=backend, base=public_url.rstrip("/"), now=now())
        return answer(request, body, "application/atom+xml; charset=utf-8", last_good=last_good)

    @router.get("/oot.atom")
    async def summary_feed(request: Request) -> Response:
        """Give the tests that began to fail in the last seven days, on every backend."""
        return await feed(request, "")

    @router.get("/oot/{org}/{repo}.atom")
    async def backend_feed(request: Request, org: str, repo: str) -> Response:
        """Give the tests that began to fail in the last seven days on one backend."""
        return await feed(request, f"{org}/{repo}")

    @router.get("/badge/{org}/{repo}.svg")
    async def badge(request: Request, org: str, repo: str) -> Response:
        """Draw the pass rate of the last seven days; grey without data, and while ClickHouse is away."""
        name, counts = f"{org}/{repo}", None
        try:
            name = (await reader.names()).find(name)
            rows, last_good = await reader.rows("oot_backends", windows=[BADGE_DAYS], event="", repo=name)
        except RefusedError:
            last_good = True
        else:
            counts = next((counts_of(row) for row in rows if row["repo"] == name), None)
        return answer(request, draw_badge(name, counts), "image/svg+xml", kept=_BADGE_KEPT, last_good=last_good)

    @router.get("/crcr", include_in_schema=False)
    @router.get("/crcr/{path:path}", include_in_schema=False)
    async def crcr(request: Request) -> Response:
        """Lead CRCR's addresses to ours, quoted as they came."""
        raw_path = request.scope["raw_path"] or quote(request.scope["path"]).encode()  # Lambda has none
        path = raw_path.decode("ascii").partition("?")[0].removeprefix("/crcr").rstrip("/")
        query = request.scope["query_string"].decode("latin-1")
        return RedirectResponse(f"/oot{path}{'?' * bool(query)}{query}", status_code=308)

    return router
