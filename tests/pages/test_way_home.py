"""The real way: a job reports to the relay, and the page that the answer names shows it, down to the failed test."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.hud_endpoint.clickhouse.history import refresh
from tests.hud_endpoint.relay.jobs import REPO, Job
from tests.hud_endpoint.samples import IN_PROGRESS
from tests.integration.waiting import wait_for

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from oot_local.stack import Stack
    from tests.pages.conftest import Visitor

FAILED = {
    "name": "test_<script>matmul</script>",
    "classname": "TestWayHome",
    "file": "test/test_way_home.py",
    "message": "AssertionError: 2 != 3",
    "stacktrace": "Traceback (most recent call last):\n  line 7, in test_matmul",
}


def test_a_result_is_seen_running_then_failed_then_in_detail(
    visitor: Visitor, stack: Stack, clickhouse: Client
) -> None:
    number, sha = 1 + uuid.uuid4().int % 10**9, f"{uuid.uuid4().int % 16**40:040x}"
    name = f"{FAILED['name']} {uuid.uuid4()}"
    job = Job(stack)
    job.dispatch(pr_number=number, sha=sha)
    told = job.report(IN_PROGRESS)
    assert told["hud_url"] == f"{stack.state['hud_url']}/pr/{number}"
    page = visitor.open(told["hud_url"])
    expect(page.get_by_role("heading", name="Out-of-Tree Backends: 0/1 passed, 1 running")).to_be_visible()
    failed = {"workflow.conclusion": "failure", "workflow.failed_tests": [{**FAILED, "name": name}]}
    job.report(changes=failed)

    def ended() -> bool:
        page.reload()
        return page.get_by_role("heading", name="Out-of-Tree Backends: 0/1 passed", exact=True).count() == 1

    wait_for(ended, "the end of the job")
    expect(page.locator(".pr-backend")).to_contain_text(REPO)
    refresh(clickhouse)  # comes by itself every ten seconds
    page.get_by_role("link", name=name).click()
    expect(page.locator(".trace")).to_contain_text("line 7, in test_matmul")
    expect(page.get_by_role("link", name=f"#{number}")).to_be_visible()
    page.get_by_role("link", name=REPO).first.click()
    drill = page.locator(".failed-test", has_text=name)
    drill.locator("summary").click()
    expect(drill).to_contain_text("AssertionError: 2 != 3")
