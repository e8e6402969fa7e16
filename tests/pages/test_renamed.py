"""A renamed backend, and another repo of the same name: what pages say of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from hud_endpoint.links import backend_path
from tests.hud_endpoint.views import sample_pages as sample

if TYPE_CHECKING:
    from tests.pages.conftest import Visitor
    from tests.pages.prepared import Prepared

TAG = "earlier repository of this name"
both = pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])


@both
def test_the_old_name_shows_the_page_and_says_so(
    visitor: Visitor, prepared: Prepared, url: str, *, script: bool
) -> None:
    prepared.backend_page = sample.RENAMED_BACKEND
    page = visitor.open(f"{url}/oot/{sample.OLD_NAME}", script=script)
    expect(page.get_by_role("heading", level=1)).to_contain_text("example-labs/torch-falcon")
    notice = page.get_by_role("status").filter(has_text="is named")
    expect(notice).to_have_text(
        "The repository example-labs/torch-hawk is named example-labs/torch-falcon now. "
        "This is its page, with its results under every name."
    )
    expect(page.locator(".facts")).to_contain_text("was named example-labs/torch-hawk until 9 d ago")
    twin = page.get_by_role("link", name="JSON", exact=True)
    assert twin.get_attribute("href") == "/oot/example-labs/torch-falcon.json"
    page.get_by_role("link", name="30 days").first.click()
    assert page.url == f"{url}/oot/example-labs/torch-falcon?days=30"


@both
def test_an_earlier_repo_of_the_name_is_a_page_of_its_own(
    visitor: Visitor, prepared: Prepared, url: str, *, script: bool
) -> None:
    prepared.backend_page = sample.RENAMED_BACKEND
    page = visitor.open(f"{url}/oot/{sample.OLD_NAME}", script=script)
    notices = page.get_by_role("status").filter(has_text="An earlier repository of this name")
    expect(notices).to_have_count(2)
    expect(notices.nth(0)).to_contain_text("(id 500) reported until 12 d ago")
    expect(notices.nth(0)).to_contain_text(f"Its results are not counted here: example-labs/torch-falcon {TAG}.")
    expect(notices.nth(1)).to_contain_text("not counted here: northwind/pytorch-npu.")  # it goes by another name now
    prepared.backend_page = sample.EARLIER_BACKEND
    notices.nth(0).get_by_role("link").click()
    assert page.url == f"{url}/oot/example-labs/torch-falcon%40500"
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"example-labs/torch-falcon {TAG}")
    expect(page.get_by_text("told apart by its id 500.")).to_contain_text("another repository's now")
    expect(page.get_by_role("link", name="GitHub")).to_have_count(0)  # it would lead to the other one
    expect(page.locator(".badge")).to_have_count(0)


def test_lists_tell_them_apart(visitor: Visitor, prepared: Prepared, url: str) -> None:
    prepared.summary_page = sample.SUMMARY_OF_BOTH
    page = visitor.open(f"{url}/oot")
    rows = page.locator("tr[data-text]")
    expect(rows).to_have_count(2)
    expect(rows.filter(has_text=TAG)).to_have_count(1)
    link = rows.filter(has_text=TAG).get_by_role("link")
    expect(link).to_have_text("example-labs/torch-falcon")
    assert link.get_attribute("href") == backend_path(sample.EARLIER)
    cell = rows.filter(has_text=TAG).get_by_role("rowheader")
    assert cell.evaluate("cell => cell.scrollWidth <= cell.clientWidth")  # or the words would be cut
    expect(page.locator(".attention li").filter(has_text="silent")).to_contain_text(TAG)
    prepared.test_page = sample.TEST_OF_BOTH
    page.goto(f"{url}/oot/test?name=x")
    expect(page.locator("#where + .scroll tbody tr").nth(1)).to_contain_text(TAG)
    expect(page.locator(".failed-test summary")).to_contain_text(TAG)
    prepared.pull_request_page = sample.PULL_REQUEST_OF_THREE
    page.goto(f"{url}/pr/179565")
    summaries = page.locator(".pr-backend > summary")
    expect(summaries.nth(0)).not_to_contain_text("of this name")
    expect(summaries.nth(1)).to_contain_text(f"example-labs/torch-falcon {TAG}")
    expect(summaries.nth(2)).to_contain_text("example-labs/torch-falcon new repository of this name")
    expect(page.get_by_role("link", name="on other commits")).to_have_count(0)  # closed: nothing failed there
