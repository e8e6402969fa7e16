"""Two results for one job name are seen by everybody: in words, with a mouse, by keyboard, without a script."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.hud_endpoint.views import sample_pages as sample

if TYPE_CHECKING:
    from tests.pages.conftest import Scheme, Visitor
    from tests.pages.prepared import Prepared

BACKEND = "/oot/example-labs/torch-falcon"
ADVICE = "give each leg a job-name of its own in the report step, and report each attempt once."


@pytest.fixture(autouse=True)
def disputed(prepared: Prepared, fresh: None) -> None:
    prepared.summary_page = sample.DISPUTED_SUMMARY
    prepared.backend_page = sample.DISPUTED_BACKEND
    prepared.pull_request_page = sample.DISPUTED_PULL_REQUEST


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_the_backend_lists_them_on_top(visitor: Visitor, url: str, *, script: bool) -> None:
    page = visitor.open(f"{url}/oot", script=script)
    lines = page.locator(".attention li")
    expect(lines.nth(0)).to_contain_text("unclear example-labs/torch-falcon more than one result for one job name")
    expect(lines.nth(0)).to_contain_text("in 3 jobs")
    expect(lines.nth(1)).to_contain_text("in 1 job")
    lines.nth(0).get_by_role("link").click()
    assert page.url == f"{url}{BACKEND}#disputed"
    section = page.locator("#disputed")
    expect(section.get_by_role("heading", name="15 jobs have more than one result")).to_be_visible()
    expect(section).to_contain_text(ADVICE)
    jobs = section.locator("li")
    expect(jobs).to_have_count(3)
    expect(jobs.nth(0)).to_contain_text("still running here")
    expect(jobs.nth(0)).to_contain_text("2 results for one job name accepted: not here yet; refused: failed")
    expect(jobs.nth(1)).to_contain_text("4 results for one job name accepted: passed; refused: failed (2), passed")
    expect(jobs.nth(2)).to_contain_text("2 results for one job name accepted: failed; refused: passed")
    expect(section).to_contain_text("Those on other pages of the matrix are marked there.")
    expect(page.locator("#running li")).to_contain_text("2 results for one job name")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_cell_of_the_matrix_is_no_plain_green(visitor: Visitor, url: str, scheme: Scheme) -> None:
    page = visitor.open(url + BACKEND, scheme=scheme)
    row = page.locator("#matrix tbody tr").first
    disputed, plain = row.locator(".cell").nth(0), row.locator(".cell").nth(2)
    expect(disputed).to_have_accessible_name(re.compile("passed, more than one result"))
    expect(plain).to_have_accessible_name("passed")
    color = "element => getComputedStyle(element).color"
    assert disputed.evaluate(color) != plain.evaluate(color)
    shapes = "element => [...element.querySelectorAll('use')].map(use => use.getAttribute('href'))"
    assert disputed.evaluate(shapes) == ["#i-pass", "#i-warn"]
    assert plain.evaluate(shapes) == ["#i-pass"]
    failed = row.locator(".cell").nth(1)
    expect(failed).to_have_class(re.compile("poor"))  # worse than that is nothing
    expect(failed).to_have_accessible_name(re.compile("failed, more than one result"))


def test_a_cell_is_opened_by_keyboard(visitor: Visitor, url: str) -> None:
    page = visitor.open(url + BACKEND)
    cell = page.locator("#matrix button.cell").first
    cell.focus()
    page.keyboard.press("Enter")
    drill = page.get_by_role("dialog", name="build")
    expect(drill).to_contain_text("4 results for one job name accepted: passed; refused: failed (2), passed")
    page.keyboard.press("Escape")
    expect(cell).to_be_focused()


@pytest.mark.parametrize("path", ["/pr/179565", "/pr/179565?fragment=1"])
@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_a_pull_request_that_passed_twice_is_not_said_to_have_passed(
    visitor: Visitor, url: str, path: str, *, script: bool
) -> None:
    page = visitor.open(url + path, script=script)
    heading = "Out-of-Tree Backends: 2/3 passed, 1 running, 2 with more than one result"
    expect(page.get_by_role("heading", name=heading)).to_be_visible()
    expect(page.locator(".pr-commit > .notice")).to_contain_text("2 jobs have more than one result, marked below.")
    expect(page.locator(".pr-commit > .notice")).to_contain_text(ADVICE)
    backend = page.locator(".pr-backend").first
    expect(backend).to_have_attribute("open", "")
    expect(backend.locator("summary").first).to_contain_text("2 with more than one result")
    rows = backend.locator("tbody tr")
    expect(rows.nth(0)).to_contain_text("4 results for one job name accepted: passed; refused: failed (2), passed")
    expect(rows.nth(0).locator(".look").first).to_have_class("look fair")
    expect(rows.nth(1)).to_contain_text("accepted: not here yet; refused: failed")
    backend.locator(".earlier summary").click()
    expect(backend.locator(".earlier li")).to_contain_text("2 results for one job name accepted: failed")
    expect(page.locator(".pr-backend").nth(1)).not_to_contain_text("result for one")


def test_where_nothing_is_disputed_nothing_is_said(visitor: Visitor, prepared: Prepared, url: str) -> None:
    prepared.reset()
    for path in ("/oot", BACKEND, "/pr/179565"):
        page = visitor.open(url + path, script=False)
        main = page.locator("main").inner_text()
        assert "for one job name" not in main
        assert "with more than one result" not in main
