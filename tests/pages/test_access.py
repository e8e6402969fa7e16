"""Every page for everybody: axe-core finds nothing, in light and dark, on wide and small screens, empty or broken."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from hud_endpoint.errors import RefusedError
from hud_endpoint.links import backend_path
from tests.hud_endpoint.views import sample_pages as sample
from tests.pages import hostile
from tests.pages.conftest import PHONE, WIDE, axe_violations, keep_screenshot, scrolls_sideways

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.pages.conftest import Visitor
    from tests.pages.prepared import Prepared

SUMMARY, BACKEND, PULL_REQUEST, TEST = "/oot", "/oot/example-labs/torch-falcon", "/pr/179565", "/oot/test?name=test_rng"
AWAY = RefusedError("dashboard_unavailable", "ClickHouse does not answer; results are still being accepted.")


def has(**pages: object) -> Callable[[Prepared], None]:
    """Prepare some pages."""

    def prepare(prepared: Prepared) -> None:
        for name, page in pages.items():
            setattr(prepared, name, page)

    return prepare


PAGES: dict[str, tuple[str, int, Callable[[Prepared], None]]] = {
    "summary": (SUMMARY, 200, has()),
    "summary-calm": (SUMMARY, 200, has(summary_page=replace(sample.SUMMARY, breakers=()))),
    "summary-empty": (SUMMARY, 200, has(summary_page=sample.EMPTY_SUMMARY)),
    "summary-filtered": (f"{SUMMARY}?level=L1&event=nightly&text=no+such&days=30", 200, has()),
    "summary-last-good": (SUMMARY, 200, has(summary_page=sample.LAST_GOOD_SUMMARY)),
    "summary-hostile": (SUMMARY, 200, has(summary_page=hostile.SUMMARY)),
    "backend": (BACKEND, 200, has()),
    "backend-empty": (BACKEND, 200, has(backend_page=sample.EMPTY_BACKEND)),
    "backend-two-results": (BACKEND, 200, has(backend_page=sample.DISPUTED_BACKEND)),
    "backend-renamed": (f"/oot/{sample.OLD_NAME}", 200, has(backend_page=sample.RENAMED_BACKEND)),
    "backend-earlier": (backend_path(sample.EARLIER), 200, has(backend_page=sample.EARLIER_BACKEND)),
    "summary-two-results": (SUMMARY, 200, has(summary_page=sample.DISPUTED_SUMMARY)),
    "summary-earlier": (SUMMARY, 200, has(summary_page=sample.SUMMARY_OF_BOTH)),
    "pull-request": (PULL_REQUEST, 200, has()),
    "pull-request-two-results": (PULL_REQUEST, 200, has(pull_request_page=sample.DISPUTED_PULL_REQUEST)),
    "pull-request-earlier": (PULL_REQUEST, 200, has(pull_request_page=sample.PULL_REQUEST_OF_THREE)),
    "test-earlier": (TEST, 200, has(test_page=sample.TEST_OF_BOTH)),
    "pull-request-empty": (PULL_REQUEST, 200, has(pull_request_page=sample.EMPTY_PULL_REQUEST)),
    "pull-request-hostile": (PULL_REQUEST, 200, has(pull_request_page=hostile.PULL_REQUEST)),
    "test": (TEST, 200, has()),
    "test-not-failing": (TEST, 200, has(test_page=sample.NOT_FAILING)),
    "test-hostile": (TEST, 200, has(test_page=hostile.TEST)),
    "unknown-backend": ("/oot/no/one", 404, has(problem=RefusedError("not_found", "no/one has never reported."))),
    "wrong-window": ("/oot?days=4", 400, has()),
    "outage": (SUMMARY, 503, has(problem=AWAY)),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_for_everybody(visitor: Visitor, prepared: Prepared, url: str, name: str) -> None:
    path, status, prepare = PAGES[name]
    prepare(prepared)
    page = visitor.open(url + path, status=status)
    assert not scrolls_sideways(page)
    keep_screenshot(page, f"{name}-light-{WIDE}")
    assert axe_violations(page) == []
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": PHONE, "height": 900})
    assert not scrolls_sideways(page)
    keep_screenshot(page, f"{name}-dark-{PHONE}")
    assert axe_violations(page, "color-contrast", "target-size", "link-in-text-block") == []


def test_dark_is_dark(visitor: Visitor, url: str) -> None:
    background = "() => getComputedStyle(document.body).backgroundColor"
    light = visitor.open(url + SUMMARY, scheme="light").evaluate(background)
    dark = visitor.open(url + SUMMARY, scheme="dark").evaluate(background)
    assert (light, dark) == ("rgb(255, 255, 255)", "rgb(20, 23, 28)")


def test_states_are_told_by_words_and_shapes_too(visitor: Visitor, url: str) -> None:
    page = visitor.open(url + BACKEND)
    cells = page.locator("#matrix .cell")
    told = {
        cells.nth(at).inner_text().split()[0]: cells.nth(at).locator("use").first.get_attribute("href")
        for at in range(cells.count())
    }
    assert told == {"passed": "#i-pass", "failed": "#i-fail", "cancelled": "#i-stop", "timed": "#i-clock"}
