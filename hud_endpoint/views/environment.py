"""The templates' environment: what they may call, and the static files, addressed by their content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from importlib.resources import files
from itertools import groupby
from typing import TYPE_CHECKING

import jinja2

from hud_endpoint import links
from hud_endpoint.views import charts, formats, states
from hud_endpoint.views.models.filters import EVENTS, LEVELS, STALE_HOURS, WINDOWS
from hud_endpoint.wire_types import is_sha

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hud_endpoint.views.models.filters import Filters
    from hud_endpoint.views.models.matrix import Column
    from hud_endpoint.views.models.summary import BackendRow

STATIC_TYPES: Mapping[str, str] = {
    "pages.css": "text/css; charset=utf-8",
    "oot.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
MOST_POPOVERS = 150  # a matrix of 200 columns would be megabytes otherwise; cells beyond it are links
LONGEST_TEST_NAME = 1000  # of a name, class or file in an address; the door lets in half of it


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file, and the address that its content has."""

    content: bytes
    media_type: str
    version: str


class Budget:
    """How many more of a costly thing a page may hold."""

    def __init__(self, most: int) -> None:
        self._left = most

    def left(self) -> bool:
        """Take one; gives False when none is left."""
        self._left -= 1
        return self._left >= 0


def static_files() -> dict[str, StaticFile]:
    """Read what pages load; each comes from our own origin."""
    folder = files("hud_endpoint.views") / "static"
    contents = {name: (folder / name).read_bytes() for name in STATIC_TYPES}
    return {
        name: StaticFile(content, STATIC_TYPES[name], hashlib.sha256(content).hexdigest()[:12])
        for name, content in contents.items()
    }


def make_environment(static: Mapping[str, StaticFile]) -> jinja2.Environment:
    """Build the environment: everything is escaped, and a name that is not there is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hud_endpoint.views"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "percent": formats.percent,
        "band": formats.band,
        "duration": formats.duration,
        "utc": formats.utc,
        "moment": formats.moment,
        "count": formats.count,
        "clip": formats.clip,
        "visible": formats.visible,
        "short_sha": formats.short_sha,
        "repo_name": formats.repo_name,
        "other_results": states.other_results,
        "web_link": links.web_link,
        "is_sha": is_sha,
        "sparkline": charts.sparkline,
        "day_bars": charts.day_bars,
        "trend_chart": charts.trend_chart,
        "by_level": _by_level,
        "runs_of_workflow": _runs_of_workflow,
    }
    environment.globals |= {
        "ago": formats.ago,
        "percent": formats.percent,
        "duration": formats.duration,
        "backend_path": links.backend_path,
        "pull_request_path": links.pull_request_path,
        "failed_test_path": links.failed_test_path,
        "saved_query_path": links.saved_query_path,
        "commit_url": links.commit_url,
        "pull_request_url": links.pull_request_url,
        "github": links.github,
        "static": lambda name: f"/static/{name}?v={static[name].version}",
        "in_window": _in_window,
        "state": states.state,
        "job_state": states.job_state,
        "missing_proof": states.unverified,
        "triage": states.TRIAGE,
        "standings": states.STANDINGS,
        "bands": states.BANDS,
        "levels": states.LEVELS,
        "windows": WINDOWS,
        "events": EVENTS,
        "event_choices": [("", "All"), *EVENTS.items()],
        "stale_hours": STALE_HOURS,
        "longest_name": LONGEST_TEST_NAME,
    }
    return environment


def _by_level(rows: Iterable[BackendRow]) -> list[tuple[str, list[BackendRow]]]:
    """Group by level, the one with most at stake first; within a level the order stays."""
    order = (*LEVELS, "")
    ranked = sorted(rows, key=lambda row: order.index(row.level) if row.level in order else len(order))
    return [(level, list(group)) for level, group in groupby(ranked, key=lambda row: row.level)]


def _runs_of_workflow(columns: Iterable[Column]) -> list[tuple[str, list[Column]]]:
    return [(workflow, list(group)) for workflow, group in groupby(columns, key=lambda column: column.workflow)]


def _in_window(filters: Filters, days: int) -> Filters:
    return replace(filters, days=days)
