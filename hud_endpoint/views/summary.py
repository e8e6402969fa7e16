"""`/oot`: every backend at a glance, worst first; `/oot.json` holds the same data."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import jinja2
from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, JSONResponse, Response

from hud_endpoint.clickhouse import saved_queries
from hud_endpoint.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from clickhouse_connect.driver.client import Client

log = logging.getLogger(__name__)

PAGE_THREADS = 8
NOTHING = "\u2013"
WINDOWS = {1: "24 hours", 7: "7 days", 30: "30 days"}
# Everything that a page needs comes from its own origin, and no script runs at all.
_PAGE_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


def summary_router(connect: Callable[[], Client], banner: str = "") -> APIRouter:
    """Build the routes; `connect` gives a ClickHouse client of the calling thread's own."""
    router = APIRouter(tags=["pages"])
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("hud_endpoint.views"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"percent": _percent, "duration": _duration, "utc": _utc, "verdict": _verdict}
    templates.globals |= {"ago": _ago}
    style = (files("hud_endpoint.views") / "static" / "style.css").read_bytes()

    # Pages have few threads, and not those that take results in: a ClickHouse that hangs holds up its readers only.
    threads = anyio.CapacityLimiter(PAGE_THREADS)

    def backends(days: int) -> list[dict[str, Any]]:
        if days not in WINDOWS:
            raise RefusedError("invalid_parameter", f"days is one of {', '.join(map(str, WINDOWS))}.")
        try:
            return saved_queries.run(connect(), "oot_summary", {"days": days})
        except Exception as error:
            log.warning("summary query failed", exc_info=error)
            raise RefusedError(
                "dashboard_unavailable",
                "ClickHouse did not answer this page's query; results are still being accepted. Try again in a minute.",
            ) from error

    @router.get("/oot.json")
    async def summary_json(days: int = Query(default=7)) -> JSONResponse:
        """Give the summary: `{days, generated_at, backends: [...]}`."""
        rows = await anyio.to_thread.run_sync(backends, days, limiter=threads)
        for row in rows:
            row["last_run"] = _utc(row["last_run"])
        return JSONResponse({"days": days, "generated_at": _utc(datetime.now(UTC)), "backends": rows})

    @router.get("/oot")
    async def summary_page(days: int = Query(default=7)) -> HTMLResponse:
        """Show the summary."""
        rows: list[dict[str, Any]] = []
        problem, status = None, 200
        try:
            rows = await anyio.to_thread.run_sync(backends, days, limiter=threads)
        except RefusedError as error:
            problem, status = error, error.status
        page = templates.get_template("summary.html").render(
            backends=rows,
            days=days,
            windows=WINDOWS,
            problem=problem,
            banner=banner,
            now=datetime.now(UTC),
        )
        return HTMLResponse(page, status_code=status, headers=_PAGE_HEADERS)

    @router.get("/static/style.css", include_in_schema=False)
    async def stylesheet() -> Response:
        return Response(style, media_type="text/css", headers={"cache-control": "public, max-age=300"})

    return router


def _verdict(share: float | None) -> str:
    """The RFC's bands: green from 95 %, yellow from 80 %, red below."""
    if share is None:
        return "none"
    return "good" if share >= 0.95 else "fair" if share >= 0.8 else "poor"


def _ago(now: datetime, time: datetime) -> str:
    minutes = max(0, round((now - _aware(time)).total_seconds() / 60))
    if minutes < 60:
        return f"{minutes} min ago" if minutes else "just now"
    hours = minutes // 60
    return f"{hours} h ago" if hours < 48 else f"{hours // 24} d ago"


def _aware(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _percent(share: float | None) -> str:
    # 99.96 % must not read as 100 %: only a clean sheet does.
    return NOTHING if share is None else f"{int(share * 1000) / 10:.1f} %".replace(".0 %", " %")


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return NOTHING
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min" if minutes >= 10 else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _utc(time: datetime) -> str:
    return _aware(time).isoformat(timespec="seconds").replace("+00:00", "Z")
