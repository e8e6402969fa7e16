"""What gives the pages' data: templates, twins and feeds see nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hud_endpoint.views.models.backend import BackendPage
    from hud_endpoint.views.models.failed_test import FailedTestPage
    from hud_endpoint.views.models.filters import Filters
    from hud_endpoint.views.models.pull_request import PullRequestPage
    from hud_endpoint.views.models.summary import Summary


class Reader(Protocol):
    """Gives the pages' data.

    Each raises RefusedError: `dashboard_unavailable` when ClickHouse does not answer and nothing good is kept, and
    `invalid_parameter` for values out of range.
    """

    async def summary(self, filters: Filters) -> Summary:
        """Give every backend of the window."""
        ...

    async def backend(self, repo: str, filters: Filters, page: int = 1) -> BackendPage:
        """Give one backend; raises RefusedError `not_found` for a repo that has never reported."""
        ...

    async def pull_request(self, number: int, upstream_repo: str = "pytorch/pytorch") -> PullRequestPage:
        """Give what backends say about an upstream PR; one nobody has reported on has no commits."""
        ...

    async def test(self, name: str, filters: Filters, *, classname: str = "", file: str = "") -> FailedTestPage:
        """Give where and when a test fails; one that doesn't has no backends."""
        ...
