"""Pages stay harmless and usable whatever jobs send; the browser itself is the judge."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.hud_endpoint.views import sample_pages as sample
from tests.pages import hostile
from tests.pages.conftest import PHONE, PUBLIC_URL, keep_screenshot, scrolls_sideways

if TYPE_CHECKING:
    from tests.pages.conftest import Visitor
    from tests.pages.prepared import Prepared

PATHS = ["/oot", "/oot/example-labs/torch-falcon", "/pr/179565", "/pr/179565?fragment=1", "/oot/test?name=x"]
LINKS = """() => [...document.querySelectorAll("a")].map(a => [a.getAttribute("href"), a.protocol, a.origin, a.rel])"""


@pytest.fixture(autouse=True)
def full_of_hostile_data(prepared: Prepared, fresh: None) -> None:
    prepared.summary_page = hostile.SUMMARY
    prepared.backend_page = hostile.BACKEND
    prepared.pull_request_page = hostile.PULL_REQUEST
    prepared.test_page = hostile.TEST


@pytest.mark.parametrize("path", PATHS)
def test_nothing_runs_and_no_link_leads_astray(visitor: Visitor, url: str, path: str) -> None:
    page = visitor.open(url + path)
    assert page.evaluate("() => window.hacked") is None
    scripts = page.evaluate("() => [...document.querySelectorAll('script')].map(s => s.getAttribute('src'))")
    assert all(str(source).startswith("/static/oot.js?v=") for source in scripts)
    made = "() => document.querySelectorAll('img:not(.badge img), iframe, object, style, [onerror], [style]').length"
    assert page.evaluate(made) == 0
    links = page.evaluate(LINKS)
    assert links
    for href, protocol, origin, rel in links:
        assert protocol in ("http:", "https:"), href
        if origin not in (url, PUBLIC_URL.rstrip("/")):
            assert origin == "https://github.com" or href.startswith("https://artifacts.example.org/"), href
            assert set(rel.split()) >= {"noopener", "noreferrer", "nofollow"}, href


def test_200_columns_and_10_000_failures_stay_usable(visitor: Visitor, url: str) -> None:
    page = visitor.open(f"{url}/oot/example-labs/torch-falcon")
    size = page.evaluate("() => document.documentElement.outerHTML.length")
    assert size < 5_000_000
    assert page.locator("#matrix thead .job").count() == 200
    expect(page.locator("#matrix")).to_contain_text("800 more columns, of the jobs that ran least here, are left out")
    expect(page.locator("#failures")).to_contain_text("The newest 50 of 10,000; a saved query gives all of them.")
    expect(page.locator("#running")).to_contain_text("and 180 more in the JSON")
    assert not scrolls_sideways(page)
    page.locator("#matrix button.cell").first.click()
    drill = page.get_by_role("dialog")
    expect(drill).to_contain_text("and 9,995 more")
    expect(drill).to_contain_text("no links")
    keep_screenshot(page, "backend-hostile-light-1280")
    page.set_viewport_size({"width": PHONE, "height": 800})
    assert not scrolls_sideways(page)


def test_a_long_name_is_cut_and_whole_when_pointed_at(visitor: Visitor, url: str) -> None:
    page = visitor.open(f"{url}/oot")
    name = page.locator("table th[scope=row] bdi", has_text="xxxx")
    expect(name).to_have_text("x" * 59 + "…")
    expect(name).to_have_attribute("title", "x" * 599 + "…")


def test_turned_text_is_spelled_out_and_isolated(visitor: Visitor, url: str) -> None:
    page = visitor.open(f"{url}/oot")
    expect(page.locator("table th[scope=row] bdi", has_text="gnp.exe")).to_have_text(r"\u202egnp.exe\u2066")
    assert "\u202e" not in page.content()
    arabic = page.locator("table th[scope=row] bdi", has_text=hostile.ARABIC)
    assert arabic.evaluate("element => getComputedStyle(element).unicodeBidi") == "isolate"
    expect(page.locator("table th[scope=row] bdi", has_text="red")).to_have_text(r"a\u0000b\u0007cred\u007f\ud800")
    expect(page.locator("table th[scope=row] bdi", has_text="🚀")).to_have_text(hostile.EMOJI)


@pytest.mark.parametrize(
    "query",
    [
        "text=<script>window.hacked=true</script>",
        "text=%22%3E%3Cimg%20src=x%20onerror=window.hacked=true%3E",
        "text=%E2%80%AEabc%00",
        "text={{7*7}}",
    ],
)
def test_what_stands_in_the_address_is_only_text(visitor: Visitor, url: str, query: str) -> None:
    page = visitor.open(f"{url}/oot?{query}")
    assert page.evaluate("() => window.hacked") is None
    assert page.locator("main script, main img").count() == 0
    value = page.get_by_label("Name contains").input_value()
    assert not re.search("[\u202e\x00]", value)
    assert "49" not in value


def test_a_harmless_page_has_its_links(visitor: Visitor, prepared: Prepared, url: str) -> None:
    """The other side of the checks above: they would pass if no link were made at all."""
    prepared.backend_page = sample.BACKEND
    page = visitor.open(f"{url}/oot/example-labs/torch-falcon")
    hrefs = [href for href, *_ in page.evaluate(LINKS)]
    assert {sample.FAILED.run_url, sample.FAILED.artifact_url} <= set(hrefs)
