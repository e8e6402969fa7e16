"""A Reader that gives prepared pages, and remembers what it was asked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.hud_endpoint.views import sample_pages

if TYPE_CHECKING:
    from hud_endpoint.errors import RefusedError
    from hud_endpoint.views.models.backend import BackendPage
    from hud_endpoint.views.models.failed_test import FailedTestPage
    from hud_endpoint.views.models.filters import Filters
    from hud_endpoint.views.models.pull_request import PullRequestPage
    from hud_endpoint.views.models.summary import Summary


class Prepared:
    """Each page may be replaced by another; with a `problem` nothing can be read."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget what a test prepared and asked."""
        self.summary_page = sample_pages.SUMMARY
        self.backend_page = sample_pages.BACKEND
        self.pull_request_page = sample_pages.PULL_REQUEST
        self.test_page = sample_pages.TEST
        self.problem: RefusedError | None = None
        self.asked: list[object] = []

    async def summary(self, filters: Filters) -> Summary:
        self._answer("summary", filters)
        kept = tuple(
            row
            for row in self.summary_page.backends
            if filters.level in ("", row.level) and filters.text.lower() in row.repo
        )
        return replace(self.summary_page, filters=filters, backends=kept)

    async def backend(self, repo: str, filters: Filters, page: int = 1) -> BackendPage:
        self._answer("backend", repo, filters, page)
        paging = replace(self.backend_page.paging, page=page)
        backend = self.backend_page.repo if self.backend_page.asked == repo else repo
        return replace(self.backend_page, asked=repo, repo=backend, filters=filters, paging=paging)

    async def pull_request(self, number: int, upstream_repo: str = "pytorch/pytorch") -> PullRequestPage:
        self._answer("pull_request", number, upstream_repo)
        return replace(self.pull_request_page, number=number, upstream_repo=upstream_repo)

    async def test(self, name: str, filters: Filters, *, classname: str = "", file: str = "") -> FailedTestPage:
        self._answer("test", name, filters, classname, file)
        return replace(self.test_page, name=name, filters=filters, classname=classname, file=file)

    def last(self) -> object:
        """Give what was asked last."""
        return self.asked[-1]

    def _answer(self, *asked: object) -> None:
        self.asked.append(asked)
        if self.problem:
            raise self.problem
