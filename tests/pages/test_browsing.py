"""Getting around with mouse, keyboard and addresses, with and without a script."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from hud_endpoint.views.models.filters import Filters
from tests.hud_endpoint.views import sample_pages as sample

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.pages.conftest import Visitor
    from tests.pages.prepared import Prepared

BACKEND = "/oot/example-labs/torch-falcon"

LEADS_TO = [
    ("#179565", "/pr/179565"),
    ("179565", "/pr/179565"),
    ("https://github.com/pytorch/pytorch/pull/179565/files", "/pr/179565"),
    ("intel/pytorch#12", "/pr/12?upstream_repo=intel%2Fpytorch"),
    ("example-labs/torch-falcon", BACKEND),
    ("https://github.com/example-labs/torch-falcon/", BACKEND),
    ("test_matmul & <b>", "/oot/test?name=test_matmul+%26+%3Cb%3E"),
    ("//evil.example/x", "/oot/test?name=%2F%2Fevil.example%2Fx"),
]


def path_of(page: Page) -> str:
    return "/" + page.url.split("/", 3)[3]


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_from_the_upstream_change_to_the_failed_test(visitor: Visitor, url: str, *, script: bool) -> None:
    page = visitor.open(f"{url}/oot", script=script)
    expect(page.get_by_role("heading", level=2).first).to_have_text("2 upstream changes break several backends at once")
    page.get_by_role("link", name="#179565").click()
    assert path_of(page) == "/pr/179565"
    expect(page.get_by_role("heading", name="Out-of-Tree Backends: 2/5 passed, 1 running")).to_be_visible()
    page.get_by_role("link", name="test_matmul_cpu_float32").first.click()
    assert path_of(page) == "/oot/test?name=test_matmul_cpu_float32"
    expect(page.get_by_role("heading", name="Failing on several backends")).to_be_visible()
    expect(page.locator(".trace")).to_contain_text("Traceback (most recent call last)")
    page.get_by_role("link", name="example-labs/torch-falcon").first.click()
    assert path_of(page) == f"{BACKEND}#failures"
    expect(page.get_by_role("heading", level=1)).to_contain_text("example-labs/torch-falcon")


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_drill_down_to_message_trace_and_history(visitor: Visitor, url: str, *, script: bool) -> None:
    page = visitor.open(url + BACKEND, script=script)
    trace = page.locator(".failed-test").first.locator(".trace")
    expect(trace).to_be_hidden()
    page.locator(".failed-test summary").first.click()
    expect(trace).to_contain_text("line 12, in test_matmul")
    detail = page.locator(".failed-test").first.locator(".detail")
    expect(detail).to_contain_text("Also fails onfabrikam/torch-mesa")
    expect(detail).to_contain_text("It fails on fabrikam/torch-mesa as well.")
    expect(detail.get_by_role("img")).to_have_attribute("aria-label", re.compile(r"failed on \d of 7 days"))
    detail.get_by_role("link", name="History of this test on every backend").click()
    assert path_of(page).startswith("/oot/test?name=test_matmul_cpu_float32&classname=TestLinalgCPU&file=")


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_a_cell_tells_its_legs(visitor: Visitor, url: str, *, script: bool) -> None:
    page = visitor.open(url + BACKEND, script=script)
    cell = page.locator("#matrix button.cell").first
    expect(cell).to_have_accessible_name(re.compile(r"failed\s*1/2\s*attempts:\s*2"))
    cell.click()
    drill = page.get_by_role("dialog", name="test-float32")
    expect(drill).to_contain_text("8,430 of 8,452 passed, 2 failed (1 error), 20 skipped")
    expect(drill).to_contain_text("details of 1 cut")
    expect(drill.get_by_role("link", name="artifacts")).to_have_attribute("href", sample.FAILED.artifact_url)
    page.keyboard.press("Escape")
    expect(drill).to_be_hidden()


FILTERS = [
    ("30 days", Filters(days=30)),
    ("L4 1", Filters(level="L4")),
    ("Nightly", Filters(event="nightly")),
]


@pytest.mark.parametrize(("link", "filters"), FILTERS, ids=[link for link, _ in FILTERS])
def test_each_filter_has_an_address_and_is_marked(
    visitor: Visitor, prepared: Prepared, url: str, link: str, filters: Filters
) -> None:
    page = visitor.open(f"{url}/oot", script=False)
    page.get_by_role("link", name=link, exact=True).click()
    assert path_of(page) == f"/oot{filters.query()}"
    assert prepared.last() == ("summary", filters)
    expect(page.get_by_role("link", name=link, exact=True)).to_have_attribute("aria-current", "true")


def test_filters_add_up_and_go_along(visitor: Visitor, prepared: Prepared, url: str) -> None:
    page = visitor.open(f"{url}/oot?days=30&event=nightly", script=False)
    page.get_by_label("Name contains").fill("falcon")
    page.get_by_role("button", name="Filter").click()
    assert prepared.last() == ("summary", Filters(days=30, event="nightly", text="falcon"))
    page.get_by_role("link", name="L2 2").click()
    assert prepared.last() == ("summary", Filters(days=30, event="nightly", text="falcon", level="L2"))
    expect(page.get_by_label("Name contains")).to_have_value("falcon")
    page.locator("table").get_by_role("link", name="example-labs/torch-falcon").click()
    assert prepared.last() == ("backend", "example-labs/torch-falcon", Filters(days=30, event="nightly"), 1)


def test_typing_narrows_the_table_at_once(visitor: Visitor, prepared: Prepared, url: str) -> None:
    page = visitor.open(f"{url}/oot")
    asked = len(prepared.asked)
    page.get_by_label("Name contains").press_sequentially("NPU")
    rows = page.locator("tr[data-text]:visible")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("northwind/pytorch-npu")
    expect(page.locator("#backend-rows-told")).to_have_text("1 of 4 shown")
    expect(page.locator("tr.group:visible")).to_have_count(1)
    page.get_by_label("Name contains").fill("")
    expect(rows).to_have_count(4)
    assert len(prepared.asked) == asked


def test_nothing_found_says_how_to_go_on(visitor: Visitor, url: str) -> None:
    page = visitor.open(f"{url}/oot?text=zzz&level=L2&days=1")
    expect(page.get_by_role("heading", name="No backend matches these filters")).to_be_visible()
    page.get_by_role("link", name="Clear the filters").click()
    assert path_of(page) == "/oot?days=1"


def test_paging(visitor: Visitor, prepared: Prepared, url: str) -> None:
    page = visitor.open(f"{url}{BACKEND}?event=pull_request", script=False)
    page.get_by_role("link", name="Older").click()
    assert path_of(page) == f"{BACKEND}?event=pull_request&page=2#matrix"
    assert prepared.last() == ("backend", "example-labs/torch-falcon", Filters(event="pull_request"), 2)
    expect(page.get_by_text("Page 2 of 2")).to_be_visible()
    expect(page.get_by_role("link", name="Older")).to_have_count(0)
    twin = page.get_by_role("link", name="JSON", exact=True)
    assert twin.get_attribute("href") == f"{BACKEND}.json?event=pull_request&page=2"
    page.get_by_role("link", name="Newer").click()
    assert path_of(page) == f"{BACKEND}?event=pull_request#matrix"


def test_the_search_box_of_every_page_leads_there(visitor: Visitor, url: str) -> None:
    page = visitor.open(f"{url}/oot", script=False)
    for typed, there in LEADS_TO:
        page.get_by_role("searchbox", name="Go to").fill(typed)
        page.keyboard.press("Enter")
        page.wait_for_url(url + there)


def test_by_keyboard_alone(visitor: Visitor, url: str) -> None:
    page = visitor.open(f"{url}/oot")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")  # 24 hours
    page.keyboard.press("Tab")
    week = page.get_by_role("link", name="7 days")
    expect(week).to_be_focused()
    assert week.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"
    page.goto(url + BACKEND)
    summary = page.locator(".failed-test summary").first
    summary.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".failed-test").first.locator(".trace")).to_be_visible()
    cell = page.locator("#matrix button.cell").first
    cell.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(cell).to_be_focused()


def test_every_stop_of_the_keyboard_shows_where_it_is(visitor: Visitor, url: str) -> None:
    page = visitor.open(url + BACKEND)
    stops = page.evaluate("() => [...document.querySelectorAll('a, button, input, summary, [tabindex=\"0\"]')].length")
    seen = 0
    for _ in range(stops + 5):
        page.keyboard.press("Tab")
        style = page.evaluate(
            "() => document.activeElement === document.body ? null"
            " : getComputedStyle(document.activeElement).outlineStyle"
        )
        if style is None:
            break
        seen += 1
        assert style != "none", page.evaluate("() => document.activeElement.outerHTML.slice(0, 200)")
    assert seen > 30


def test_times_are_the_readers_with_utc_on_hover(visitor: Visitor, url: str) -> None:
    page = visitor.open(f"{url}/oot", zone="Asia/Tokyo")
    time = page.locator("#example-labs\\/torch-falcon time")
    expect(time.locator(".at")).to_have_text("Nov 21, 21:16")
    expect(time).to_have_attribute("title", re.compile(r"9:16:00\sPM here · 2026-11-21 12:16:00 UTC"))
    expect(time).to_have_attribute("datetime", "2026-11-21T12:16:00Z")


def test_without_a_script_times_are_utc_and_say_so(visitor: Visitor, url: str) -> None:
    page = visitor.open(f"{url}/oot", zone="Asia/Tokyo", script=False)
    expect(page.locator("#example-labs\\/torch-falcon time")).to_have_text("14 min ago 21 Nov, 12:16 UTC")


def test_what_can_not_be_relied_on_is_flagged(visitor: Visitor, prepared: Prepared, url: str) -> None:
    page = visitor.open(f"{url}/pr/179565", script=False)
    unverified = page.get_by_text("unverified: not dispatched by PyTorch")
    expect(unverified).to_have_count(1)
    expect(unverified).to_have_attribute("title", re.compile("no record that PyTorch asked for this job"))
    expect(page.locator("text=fell silent")).to_have_count(1)
    expect(page.locator("text=not measured").first).to_have_attribute("title", re.compile("would be a guess"))
    expect(page.locator("text=details of 1 cut").first).to_have_attribute("title", re.compile("size limit"))
    page.goto(url + BACKEND)
    nightly = page.locator("#nightly tbody tr")
    expect(nightly.nth(0)).to_contain_text("unverified: its commit is not known upstream")
    expect(nightly.nth(1)).to_contain_text("not a commit")
    expect(page.locator("#matrix tbody tr").first).not_to_contain_text("unverified")
    prepared.summary_page = sample.LAST_GOOD_SUMMARY
    page.goto(f"{url}/oot")
    expect(page.get_by_role("heading", name="ClickHouse does not answer: this is the last good data")).to_be_visible()
    expect(page.get_by_text("DynamoDB does not answer: what runs right now is not shown.")).to_be_visible()
    expect(page.locator("#running")).to_contain_text("unknown")


def test_backends_that_fail_now_stand_on_top(visitor: Visitor, prepared: Prepared, url: str) -> None:
    failing = replace(sample.FALCON, trend=sample.trend(0, 0, 1, 9, 12, 15))
    prepared.summary_page = replace(sample.SUMMARY, breakers=(), backends=(failing, sample.NPU, sample.MESA))
    page = visitor.open(f"{url}/oot", script=False)
    expect(page.get_by_role("heading", name="No upstream change breaks several backends")).to_be_visible()
    told = page.locator(".attention li")
    expect(told.nth(0)).to_contain_text("failing example-labs/torch-falcon 40 % of 60 jobs pass since 12 h ago")
    expect(told.nth(1)).to_contain_text("silent northwind/pytorch-npu no finished job since 37 h ago")
    expect(told).to_have_count(2)
