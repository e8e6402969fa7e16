"""What runs is read again by itself, that part alone, and the reader's place in it is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from hud_endpoint.views.models.counts import Counts
from tests.hud_endpoint.views import sample_pages as sample

if TYPE_CHECKING:
    from tests.pages.conftest import Visitor
    from tests.pages.prepared import Prepared

BACKEND = "/oot/example-labs/torch-falcon"
COMMIT = sample.PULL_REQUEST.commits[0]
DONE = replace(sample.RUNNING, state="success", completed_at=sample.NOW, duration=60.0)
AFTER = replace(
    sample.PULL_REQUEST,
    commits=(
        replace(
            COMMIT,
            counts=Counts.of(success=3, failure=1, timed_out=1),
            running=0,
            backends=(
                replace(COMMIT.backends[0], running=0, jobs=(sample.FAILED, sample.TIMED_OUT, DONE)),
                COMMIT.backends[1],
            ),
        ),
    ),
)


def test_a_pull_request_follows_its_jobs_until_they_ended(visitor: Visitor, prepared: Prepared, url: str) -> None:
    page = visitor.open(f"{url}/pr/179565", frozen=True)
    expect(page.get_by_role("heading", name="2/5 passed, 1 running")).to_be_visible()
    second = page.locator(".pr-backend").nth(1)
    second.locator("summary").first.click()  # opened by hand, and focused
    prepared.pull_request_page = AFTER
    with page.expect_response("**/pr/179565?fragment=1"):
        page.clock.fast_forward("00:31")
    expect(page.get_by_role("heading", name="Out-of-Tree Backends: 3/5 passed")).to_be_visible()
    expect(second).to_have_attribute("open", "")
    expect(second.locator("summary").first).to_be_focused()
    asked = len(prepared.asked)
    page.clock.fast_forward("10:00")
    assert len(prepared.asked) == asked  # nothing runs, so nothing is asked


def test_only_the_running_part_of_a_backend_is_replaced(visitor: Visitor, prepared: Prepared, url: str) -> None:
    page = visitor.open(url + BACKEND, frozen=True)
    page.evaluate("() => { document.querySelector('#failures').dataset.mine = 'kept' }")
    prepared.backend_page = replace(sample.BACKEND, running=(), failures=())
    with page.expect_response(f"**{BACKEND}"):
        page.clock.fast_forward("00:31")
    expect(page.get_by_text("Nothing is running.")).to_be_visible()
    expect(page.locator("#failures")).to_have_attribute("data-mine", "kept")
    expect(page.locator(".failed-test")).to_have_count(2)


def test_a_page_on_which_nothing_runs_asks_nothing(visitor: Visitor, prepared: Prepared, url: str) -> None:
    prepared.backend_page = replace(sample.BACKEND, running=())
    page = visitor.open(url + BACKEND, frozen=True)
    asked = len(prepared.asked)
    page.clock.fast_forward("10:00")
    page.wait_for_load_state("networkidle")
    assert len(prepared.asked) == asked


def test_an_outage_in_between_leaves_the_page_as_it_is(visitor: Visitor, prepared: Prepared, url: str) -> None:
    page = visitor.open(url + BACKEND, frozen=True, status=200)
    page.route("**/oot/**", lambda route: route.abort())
    page.clock.fast_forward("00:31")
    expect(page.locator("#live-told")).to_contain_text("could not be read again; the next try is in 30 s")
    expect(page.locator("#running li")).to_have_count(1)
    page.unroute("**/oot/**")
    prepared.backend_page = replace(sample.BACKEND, running=())
    with page.expect_response(f"**{BACKEND}"):
        page.clock.fast_forward("00:31")
    expect(page.get_by_text("Nothing is running.")).to_be_visible()
    expect(page.locator("#live-told")).to_be_empty()
    visitor.complaints = [one for one in visitor.complaints if "ERR_FAILED" not in one]


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_the_fragment_is_the_section_alone(visitor: Visitor, url: str, *, script: bool) -> None:
    page = visitor.open(f"{url}/pr/179565?fragment=1", script=script)
    expect(page.locator("body > section")).to_have_id("out-of-tree-backends")
    assert page.locator("header, footer, link, script").count() == 0
    expect(page.get_by_role("heading", name="2/5 passed, 1 running")).to_be_visible()
