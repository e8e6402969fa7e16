"""The pages' data at the pages' own paths: `.json` holds all that a page shows, `.csv` its main table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from hud_endpoint.views import csv_twin
from hud_endpoint.views.answers import answer, whole
from hud_endpoint.views.models.filters import Filters

if TYPE_CHECKING:
    from hud_endpoint.views.csv_twin import Table
    from hud_endpoint.views.models.backend import BackendPage
    from hud_endpoint.views.models.failed_test import FailedTestPage
    from hud_endpoint.views.models.pull_request import PullRequestPage
    from hud_endpoint.views.models.reader import Reader
    from hud_endpoint.views.models.summary import Summary

    Page = Summary | BackendPage | PullRequestPage | FailedTestPage


def data_router(reader: Reader) -> APIRouter:
    """Build the routes. They come before the pages', which would take `x.json` for a repo's name."""
    router = APIRouter(tags=["data"])

    @router.get("/oot.json")
    @router.get("/oot.csv")
    async def summary(request: Request, days: str = "", level: str = "", event: str = "", text: str = "") -> Response:
        """Give what `/oot` shows; as CSV a row a backend."""
        page = await reader.summary(Filters.parse(days=days, level=level, event=event, text=text))
        return _twin(request, page, csv_twin.summary_table(page), "oot")

    @router.get("/oot/test.json")
    @router.get("/oot/test.csv")
    async def test(
        request: Request, name: str = "", classname: str = "", file: str = "", days: str = "", event: str = ""
    ) -> Response:
        """Give what `/oot/test` shows; as CSV a row a failure."""
        page = await reader.test(name, Filters.parse(days=days, event=event), classname=classname, file=file)
        return _twin(request, page, csv_twin.failed_test_table(page), "oot-test")

    @router.get("/oot/{org}/{repo}.json")
    @router.get("/oot/{org}/{repo}.csv")
    async def backend(
        request: Request, org: str, repo: str, days: str = "", event: str = "", page: str = ""
    ) -> Response:
        """Give what `/oot/{org}/{repo}` shows; as CSV a row a job of the matrix."""
        number = whole(page or "1", "page")
        found = await reader.backend(f"{org}/{repo}", Filters.parse(days=days, event=event), number)
        return _twin(request, found, csv_twin.backend_table(found), "oot-backend")

    @router.get("/pr/{number}.json")
    @router.get("/pr/{number}.csv")
    async def pull_request(request: Request, number: str, upstream_repo: str = "pytorch/pytorch") -> Response:
        """Give what `/pr/{number}` shows; as CSV a row a job."""
        page = await reader.pull_request(whole(number, "The pull request's number"), upstream_repo)
        return _twin(request, page, csv_twin.pull_request_table(page), f"pr-{page.number}")

    return router


def _twin(request: Request, page: Page, table: Table, name: str) -> Response:
    last_good = page.freshness.last_good
    if request.scope["path"].endswith(".csv"):
        media_type = "text/csv; charset=utf-8; header=present"
        return answer(request, csv_twin.write_csv(table), media_type, last_good=last_good, filename=f"{name}.csv")
    return answer(request, orjson.dumps(page, option=orjson.OPT_UTC_Z), "application/json", last_good=last_good)
