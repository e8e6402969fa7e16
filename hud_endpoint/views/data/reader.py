"""The Reader of the real thing: saved queries in threads of their own, each answer kept for seconds and for outages."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread

from hud_endpoint.clickhouse import saved_queries
from hud_endpoint.errors import RefusedError
from hud_endpoint.views.data.backend_page import read_backend
from hud_endpoint.views.data.kept import Keeper, UnavailableError
from hud_endpoint.views.data.names import read_names
from hud_endpoint.views.data.pull_request_page import read_pull_request
from hud_endpoint.views.data.readiness import Criteria
from hud_endpoint.views.data.summary_page import read_summary
from hud_endpoint.views.data.test_page import read_test
from hud_endpoint.views.models.filters import MAX_PAGE, TEXT_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from clickhouse_connect.driver.client import Client

    from hud_endpoint.views.data.names import Names
    from hud_endpoint.views.data.rows import Ask, Row
    from hud_endpoint.views.data.running import RunningJobs
    from hud_endpoint.views.models.backend import BackendPage
    from hud_endpoint.views.models.failed_test import FailedTestPage
    from hud_endpoint.views.models.filters import Filters
    from hud_endpoint.views.models.pull_request import PullRequestPage
    from hud_endpoint.views.models.summary import Summary

log = logging.getLogger(__name__)

PAGE_THREADS = 8
QUERY_THREADS = 1  # of ClickHouse: a page asks several small questions at once, and so do other readers
MAX_NUMBER = 2**63 - 1
P = TypeVar("P", "Summary", "BackendPage", "PullRequestPage", "FailedTestPage")


class ClickHouseReader:
    """Gives the pages' data; `connect` gives a ClickHouse client of the calling thread's own."""

    def __init__(
        self,
        connect: Callable[[], Client],
        running: RunningJobs,
        criteria: Criteria | None = None,
        keeper: Keeper | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._connect = connect
        self._running = running
        self._criteria = criteria or Criteria()
        self._keeper = keeper or Keeper()
        self._now = now
        # Few threads, and not those that take results in: a ClickHouse that hangs holds up its readers only.
        self._threads = anyio.CapacityLimiter(PAGE_THREADS)

    async def summary(self, filters: Filters) -> Summary:
        """Give every backend of the window."""
        names = await self.names()
        return await self._page(
            ("summary", filters), lambda: read_summary(self._ask, self._running, names, filters, self._now())
        )

    async def backend(self, repo: str, filters: Filters, page: int = 1) -> BackendPage:
        """Give one backend; raises RefusedError `not_found` for a repo that has never reported."""
        if not 1 <= page <= MAX_PAGE:
            raise RefusedError("invalid_parameter", f"page is a number from 1 to {MAX_PAGE}.")
        names = await self.names()
        return await self._page(
            ("backend", repo, filters, page),
            lambda: read_backend(self._ask, self._running, names, self._criteria, repo, filters, page, self._now()),
        )

    async def pull_request(self, number: int, upstream_repo: str = "pytorch/pytorch") -> PullRequestPage:
        """Give what backends say about an upstream PR; one nobody has reported on has no commits."""
        if not 1 <= number <= MAX_NUMBER:
            raise RefusedError("invalid_parameter", "A pull request's number is positive, and below 2^63.")
        names = await self.names()
        return await self._page(
            ("pull_request", number, upstream_repo),
            lambda: read_pull_request(self._ask, self._running, names, number, upstream_repo, self._now()),
        )

    async def test(self, name: str, filters: Filters, *, classname: str = "", file: str = "") -> FailedTestPage:
        """Give where and when a test fails; one that doesn't has no backends."""
        if not name:
            raise RefusedError("invalid_parameter", "name is the test's name, and is missing.")
        for told, value in (("name", name), ("classname", classname), ("file", file)):
            if len(value) > 10 * TEXT_CHARACTERS:
                raise RefusedError("invalid_parameter", f"{told} has at most {10 * TEXT_CHARACTERS} characters.")
        return await self._page(
            ("test", name, classname, file, filters),
            lambda: read_test(self._ask, name, classname, file, filters, self._now()),
        )

    async def names(self) -> Names:
        """Return which backend each name means; like every answer it is kept for seconds, and for outages."""
        names: Names
        names, _ = await self._kept("names", lambda: read_names(self._ask))
        return names

    async def rows(self, name: str, **parameters: Any) -> tuple[Sequence[Row], bool]:  # noqa: ANN401
        """Give the rows of a saved query as pages get theirs, and whether they are only the last good ones."""
        key = name, tuple((one, str(value)) for one, value in sorted(parameters.items()))
        return await self._kept(key, lambda: self._ask(name, **parameters))

    async def _page(self, key: Hashable, read: Callable[[], P]) -> P:
        page: P
        page, last_good = await self._kept(key, read)
        return replace(page, freshness=replace(page.freshness, last_good=True)) if last_good else page

    async def _kept(self, key: Hashable, read: Callable[[], Any]) -> tuple[Any, bool]:
        async def in_thread() -> Any:  # noqa: ANN401
            return await anyio.to_thread.run_sync(read, limiter=self._threads)

        try:
            return await self._keeper.get(key, in_thread)
        except UnavailableError as error:
            raise unavailable() from error

    @property
    def _ask(self) -> Ask:
        return partial(ask, self._connect)


def ask(connect: Callable[[], Client], query: str, /, **parameters: Any) -> Sequence[Row]:  # noqa: ANN401
    """Run a saved query. Raises UnavailableError when ClickHouse does not answer it."""
    from clickhouse_connect.driver.exceptions import ClickHouseError

    try:
        return saved_queries.run(connect(), query, parameters, threads=QUERY_THREADS)
    except (ClickHouseError, OSError) as error:
        log.warning("saved query failed", extra={"query": query}, exc_info=error)
        raise UnavailableError(query) from error


def unavailable() -> RefusedError:
    """Say in words that ClickHouse is away."""
    return RefusedError(
        "dashboard_unavailable",
        "ClickHouse did not answer this page's query; results are still being accepted. Try again in a minute.",
        retry_after=30,
    )
