"""A real headless Chromium for the pages: a browser a worker, a context a page, and no console error goes unseen."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from fastapi import FastAPI
from fastapi.responses import Response
from playwright.sync_api import expect

from hud_endpoint.http import answer_errors
from hud_endpoint.views.pages import pages_router
from oot_local.chromium import MISSING, find_chromium, running_chromium
from tests.hud_endpoint.serving import served
from tests.hud_endpoint.views.sample_pages import NOW
from tests.pages.prepared import Prepared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, ConsoleMessage, Page

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
SCREENSHOTS = ROOT / ".local" / "screenshots"
WIDE, PHONE = 1280, 360
BANNER = "Local stack. Made-up data."
PUBLIC_URL = "https://hud.example.org/"

Scheme = Literal["light", "dark"]

expect.set_options(timeout=60_000)  # of a busy machine: what comes at once ends the wait at once


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests of a worker."""
    path = find_chromium()
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(MISSING, pytrace=False)
        pytest.skip(MISSING)
    with running_chromium(path) as browser:
        yield browser


class Visitor:
    """Opens pages as one kind of reader; what the browser complains about is kept in `complaints`."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts = ExitStack()
        self.complaints: list[str] = []

    def open(
        self,
        url: str,
        *,
        scheme: Scheme = "light",
        width: int = WIDE,
        script: bool = True,
        zone: str = "UTC",
        frozen: bool = False,
        status: int = 200,
    ) -> Page:
        """Open a page in a context of its own and wait until it is loaded; `frozen` timers run only by hand."""
        context = self._browser.new_context(
            color_scheme=scheme,
            viewport={"width": width, "height": 900},
            java_script_enabled=script,
            timezone_id=zone,
            locale="en-US",
        )
        self._contexts.callback(context.close)
        context.set_default_timeout(60_000)
        page = context.new_page()
        if frozen:
            page.clock.install()
        page.on("console", lambda message: self._note(message, status))
        page.on("pageerror", lambda error: self.complaints.append(f"page error: {error}"))
        page.on("request", lambda request: self._note_request(url, request.url))
        answer = page.goto(url)
        assert answer is not None
        assert answer.status == status
        return page

    def close(self) -> None:
        self._contexts.close()

    def _note(self, message: ConsoleMessage, status: int) -> None:
        # Chromium calls a page with an error status a failed resource, which it is meant to be.
        expected = status != 200 and f"responded with a status of {status}" in message.text
        if message.type in ("error", "warning") and not expected:
            self.complaints.append(f"{message.type}: {message.text}")

    def _note_request(self, page: str, requested: str) -> None:
        origin = "/".join(page.split("/", 3)[:3]) + "/"
        if not requested.startswith(origin):
            self.complaints.append(f"request to another origin: {requested}")


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Visitor]:
    """Fails the test when the browser complained: CSP violations, script errors, requests to elsewhere."""
    visitor = Visitor(browser)
    try:
        yield visitor
    finally:
        visitor.close()
    assert visitor.complaints == []


@pytest.fixture(scope="session")
def site() -> Iterator[tuple[str, Prepared]]:
    """The pages over a prepared Reader, behind the production server."""
    prepared, app = Prepared(), FastAPI()
    answer_errors(app, "error")
    app.include_router(pages_router(prepared, BANNER, PUBLIC_URL, clock=lambda: NOW))

    @app.get("/badge/{org}/{repo}.svg")
    async def badge() -> Response:
        return Response('<svg xmlns="http://www.w3.org/2000/svg"/>', media_type="image/svg+xml")

    with served(app) as url:
        yield url, prepared


@pytest.fixture
def url(site: tuple[str, Prepared]) -> str:
    """Where the pages are."""
    return site[0]


@pytest.fixture
def prepared(site: tuple[str, Prepared]) -> Prepared:
    """The Reader whose pages a test prepares; each test finds it as it was."""
    return site[1]


@pytest.fixture(autouse=True)
def fresh(site: tuple[str, Prepared]) -> None:
    site[1].reset()


def axe_violations(page: Page, *rules: str) -> list[str]:
    """What axe-core finds on the page by all its rules or by some, by evaluate, so that the page's CSP stays on."""
    page.evaluate(f"() => {{ if (!window.axe) {{ {AXE.read_text()} }} }}")
    asked = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
    found: list[dict[str, Any]] = page.evaluate("async asked => (await axe.run(document, asked)).violations", asked)
    return [
        f"{rule['id']} ({rule['impact']}): {rule['help']}: {node['target']} {node['html'][:200]}"
        for rule in found
        for node in rule["nodes"][:3]
    ]


def scrolls_sideways(page: Page) -> bool:
    """Whether the page as a whole is wider than the window."""
    wide: bool = page.evaluate("() => document.documentElement.scrollWidth > document.documentElement.clientWidth")
    return wide


def keep_screenshot(page: Page, name: str) -> None:
    """Write what the browser shows to the folder of screenshots, for people."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")
