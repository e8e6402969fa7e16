"""The pages for people: `/oot`, `/oot/{org}/{repo}`, `/pr/{number}` and `/oot/test`.

Each is one call of the Reader and one template. A page loads nothing from elsewhere, holds no inline script or style,
and works without a script. Its data as JSON, CSV or a feed is at the same path.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from hud_endpoint import links
from hud_endpoint.errors import RefusedError
from hud_endpoint.views.attention import needing_attention
from hud_endpoint.views.environment import (
    LONGEST_TEST_NAME,
    MOST_POPOVERS,
    Budget,
    StaticFile,
    make_environment,
    static_files,
)
from hud_endpoint.views.models.filters import LEVELS, MAX_PAGE, Filters

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from hud_endpoint.views.models.reader import Reader
    from hud_endpoint.views.models.summary import Summary

RENDERING_THREADS = 4  # pages are rendered aside, so that a large one never holds up the results that come in
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
_HEADINGS = {
    "invalid_parameter": "This address asks for something that pages don't have",
    "not_found": "Nothing is known of this backend",
    "dashboard_unavailable": "This page can't be shown right now",
}
_PULL_REQUEST = re.compile(
    r"(?:https://github\.com/)?(?P<repo>[\w.-]+/[\w.-]+)?(?:/pull/|#)?(?P<number>[1-9][0-9]{0,14})(?:[/?#].*)?",
    re.ASCII,
)
_REPO = re.compile(r"(?:https://github\.com/)?(?P<repo>[\w.-]+/[\w.-]+)/?", re.ASCII)


class Pages:
    """Reads, renders and answers; what can't be shown is answered as a page too."""

    def __init__(self, static: Mapping[str, StaticFile], banner: str, clock: Callable[[], datetime]) -> None:
        self._environment = make_environment(static)
        self._banner = banner
        self._clock = clock
        self._threads = anyio.CapacityLimiter(RENDERING_THREADS)

    async def show(
        self,
        request: Request,
        template: str,
        read: Callable[[], Awaitable[Any]],
        values: Callable[[Any], dict[str, Any]] = lambda page: {"filters": page.filters},
        origin: str = "",
    ) -> Response:
        """Answer with the page that the template makes of what was read, or with what to do instead."""
        try:
            page = await read()
        except RefusedError as error:
            problem = {
                "problem": error,
                "heading": _HEADINGS.get(error.code, "This page can't be shown"),
                "ways_out": _ways_out(request.scope["path"], error),
            }
            return await self._render(request, "problem.html", problem, error.status)
        return await self._render(request, template, {"page": page, **values(page)}, origin=origin)

    async def _render(
        self, request: Request, template: str, values: dict[str, Any], status: int = 200, origin: str = ""
    ) -> Response:
        given = {"banner": self._banner, "now": self._clock(), "popovers": Budget(MOST_POPOVERS), **values}
        written = self._environment.get_template(template).render
        text = await anyio.to_thread.run_sync(lambda: written(given), limiter=self._threads)
        if origin:  # no text of others can hold a quotation mark that is not escaped
            text = text.replace('href="/', f'href="{origin.rstrip("/")}/')
        body = text.encode(errors="replace")
        tag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
        headers = {**HEADERS, "etag": tag, "cache-control": "no-cache"}
        if status == 200 and tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return HTMLResponse(body, status_code=status, headers=headers)


def pages_router(
    reader: Reader, banner: str = "", public_url: str = "", clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> APIRouter:
    """Build the routes; `banner` is a line on top of every page.

    `public_url` is the pages' origin: where it is known, the links of the fragment that others embed begin with it.
    """
    router = APIRouter(tags=["pages"])
    static = static_files()
    pages = Pages(static, banner, clock)

    @router.get("/oot", response_class=HTMLResponse)
    async def summary_page(
        request: Request, days: str = "", level: str = "", event: str = "", text: str = ""
    ) -> Response:
        """Show every backend, and the upstream changes that break several of them."""
        return await pages.show(
            request,
            "oot.html",
            lambda: reader.summary(Filters.parse(days=days, level=level, event=event, text=text)),
            _summary_values,
        )

    @router.get("/oot/go", response_class=RedirectResponse, status_code=303)
    async def jump(to: str = Query(default="", max_length=500)) -> Response:
        """Lead to what was typed: a pull request's number, a backend's name, or a test's."""
        return RedirectResponse(_destination(to.strip()), status_code=303, headers=HEADERS)

    @router.get("/oot/test", response_class=HTMLResponse)
    async def test_page(
        request: Request, name: str = "", classname: str = "", file: str = "", days: str = "", event: str = ""
    ) -> Response:
        """Show where and when a test fails, across backends."""
        return await pages.show(
            request,
            "test.html",
            lambda: reader.test(
                _test_name(name, classname, file), Filters.parse(days=days, event=event), classname=classname, file=file
            ),
        )

    @router.get("/oot/{org}/{repo}", response_class=HTMLResponse)
    async def backend_page(
        request: Request, org: str, repo: str, days: str = "", event: str = "", page: str = ""
    ) -> Response:
        """Show one backend: its health, what runs, what fails, and its jobs by commit."""
        return await pages.show(
            request,
            "backend.html",
            lambda: reader.backend(f"{org}/{repo}", Filters.parse(days=days, event=event), _page_number(page)),
            lambda shown: {"filters": shown.filters, "path": links.backend_path(shown.repo)},
        )

    @router.get("/pr/{number}", response_class=HTMLResponse)
    async def pull_request_page(
        request: Request, number: str, upstream_repo: str = links.UPSTREAM, fragment: str = ""
    ) -> Response:
        """Show what backends say about an upstream pull request; `fragment=1` gives the section alone, to embed."""
        return await pages.show(
            request,
            "pull_request_fragment.html" if fragment else "pull_request.html",
            lambda: reader.pull_request(_pull_request_number(number), upstream_repo),
            lambda page: {"path": links.pull_request_path(page.number, page.upstream_repo), "filters": Filters()},
            origin=public_url if fragment else "",
        )

    @router.get("/favicon.ico", include_in_schema=False)
    async def favicon() -> Response:
        return RedirectResponse("/static/icon.svg", status_code=308)

    @router.get("/static/{name}", include_in_schema=False)
    async def static_file(name: str, v: str = "") -> Response:
        if name not in static:
            raise RefusedError("not_found", "There is no such file.")
        found = static[name]
        # An address with the content's own hash never changes its meaning.
        age = "public, max-age=31536000, immutable" if v == found.version else "no-cache"
        headers = {"cache-control": age, "x-content-type-options": "nosniff"}
        return Response(found.content, media_type=found.media_type, headers=headers)

    return router


def _summary_values(page: Summary) -> dict[str, Any]:
    counted, chosen = page.levels, page.filters.level
    there = [level for level in LEVELS if counted.get(level) or level == chosen]  # the chosen one stays, to be left
    choices = [("", f"All {sum(counted.values())}"), *((level, f"{level} {counted.get(level, 0)}") for level in there)]
    return {"filters": page.filters, "attention": needing_attention(page.backends), "level_choices": choices}


def _test_name(name: str, classname: str, file: str) -> str:
    if name and max(map(len, (name, classname, file))) <= LONGEST_TEST_NAME:
        return name
    raise RefusedError(
        "invalid_parameter", f"name is a test's name, as its report has it, of 1 to {LONGEST_TEST_NAME} characters."
    )


def _page_number(told: str) -> int:
    if not told:
        return 1
    if told.isascii() and told.isdecimal() and len(told) < 10 and 1 <= int(told) <= MAX_PAGE:
        return int(told)
    raise RefusedError("invalid_parameter", f"page is a whole number from 1 to {MAX_PAGE}.")


def _pull_request_number(told: str) -> int:
    if told.isascii() and told.isdecimal() and len(told) <= 15 and int(told) > 0:
        return int(told)
    raise RefusedError("invalid_parameter", "A pull request's number is a whole number, such as 179565.")


def _destination(told: str) -> str:
    """Where somebody wants to go who types this: `#179565`, a GitHub address of either, `org/repo`, or a test."""
    if found := _PULL_REQUEST.fullmatch(told):
        return links.pull_request_path(int(found["number"]), found["repo"] or links.UPSTREAM)
    if found := _REPO.fullmatch(told):
        return links.backend_path(found["repo"])
    return links.failed_test_path(told) if told else "/oot"


def _ways_out(path: str, error: RefusedError) -> list[tuple[str, str]]:
    """Links that help: (label, path)."""
    backends = ("All backends", "/oot")
    if error.code == "dashboard_unavailable":
        return [("Try again", path), backends]
    if error.code == "invalid_parameter" and path != "/oot/test" and not path.startswith("/pr/"):
        return [("The same page without its parameters", path)]
    return [backends, ("Backends of the last 30 days", "/oot?days=30")]
