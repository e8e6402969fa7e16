"""`/oot` over real sockets: the page and its JSON twin agree, nothing hostile gets through, errors are words."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
import requests

from hud_endpoint.app import hud
from hud_endpoint.clickhouse import saved_queries
from hud_endpoint.settings import HudSettings
from hud_endpoint.views.summary import NOTHING, WINDOWS, _ago, _duration, _percent, _verdict
from tests.hud_endpoint.clickhouse.history import TABLE, made_up

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from scripts.local.stack import Stack
    from tests.hud_endpoint.conftest import Serve

TOKEN = "a-token-that-is-not-used"
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
ROW: dict[str, Any] = {
    "repo": "o/r",
    "level": "L2",
    "successes": 3,
    "failures": 1,
    "timed_out": 0,
    "cancelled": 2,
    "total": 6,
    "judged": 4,
    "pass_rate": 0.75,
    "avg_duration_s": 3725.4,
    "tests": 12345,
    "tests_failed": 2,
    "pull_requests": 4,
    "last_run": NOW,
}


class Page(HTMLParser):
    """What a browser would make of a page: its elements, and the text of each table row by its id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: dict[str, list[str]] = {}
        self.text = ""
        self._cells: list[str] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "tr" and "id" in dict(attrs):
            self._cells = self.rows.setdefault(str(dict(attrs)["id"]), [])
        if tag in ("td", "th") and self._cells is not None:
            self._cells.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "tr":
            self._cells = None

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._cells:
            self._cells[-1] += data.strip()


@pytest.fixture
def url(stack: Stack) -> str:
    return str(stack.state["hud_url"])


@pytest.fixture
def repos(clickhouse: Client) -> list[str]:
    """Backends with a history of their own."""
    repos = [f"page-{number}/{uuid.uuid4().hex}" for number in range(3)]
    rows = made_up(repos, datetime.now(UTC), seed=7)
    clickhouse.insert(TABLE, [list(row.values()) for row in rows], column_names=list(rows[0]))
    return repos


@pytest.mark.parametrize("days", WINDOWS)
def test_the_page_and_its_twin_agree(url: str, repos: list[str], days: int) -> None:
    told = requests.get(f"{url}/oot.json", params={"days": days}, timeout=10).json()
    page = Page(requests.get(f"{url}/oot", params={"days": days}, timeout=10).text)
    backends = [backend for backend in told["backends"] if backend["repo"] in repos]
    assert len(backends) == len(repos)
    assert list(page.rows) == [backend["repo"] for backend in told["backends"]]  # worst first, both
    for backend in backends:
        cells = page.rows[backend["repo"]]
        assert cells[:-1] == [
            backend["repo"],
            backend["level"] or NOTHING,
            _percent(backend["pass_rate"]),
            *(f"{backend[name]:,}" for name in ("successes", "failures", "timed_out", "cancelled", "pull_requests")),
            f"{backend['tests_failed']:,} / {backend['tests']:,}",
            _duration(backend["avg_duration_s"]),
        ]
    assert ("link", {"rel": "stylesheet", "href": "/static/style.css"}) in page.elements
    assert told["days"] == days
    assert datetime.now(UTC) - datetime.fromisoformat(told["generated_at"]) < timedelta(minutes=1)


def test_a_week_is_the_default(url: str) -> None:
    assert requests.get(f"{url}/oot.json", timeout=10).json()["days"] == 7
    current = [
        a["href"] for tag, a in Page(requests.get(f"{url}/oot", timeout=10).text).elements if "aria-current" in a
    ]
    assert current == ["/oot?days=7"]


@pytest.mark.parametrize(
    "days", ["0", "-7", "2", "1000000000000000000000", "7.5", "x", "", "7;DROP", "\u0667x", "9" * 4000, "<script>"]
)
def test_other_windows_are_refused(url: str, days: str) -> None:
    answer = requests.get(f"{url}/oot.json", params={"days": days}, timeout=10)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter"), answer.text
    assert answer.json().keys() == {"error", "code"}
    assert "days" in answer.json()["error"]
    assert len(answer.json()["error"]) < 200
    page = requests.get(f"{url}/oot", params={"days": days}, timeout=10)
    assert page.status_code == 400
    assert "<script" not in page.text


@pytest.mark.parametrize("path", ["/oot", "/oot?days=2"])
def test_nothing_is_loaded_from_elsewhere_and_no_script_runs(url: str, path: str) -> None:
    answer = requests.get(url + path, timeout=10)
    assert answer.headers["content-security-policy"] == CSP
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for tag, attributes in Page(answer.text).elements:
        assert tag not in ("script", "iframe", "object", "embed", "base", "form")
        assert not [name for name in attributes if name.startswith("on") or name == "style"]  # CSP would drop them
        assert not str(attributes.get("src") or "").startswith("http")


def test_the_stylesheet_is_served(url: str) -> None:
    answer = requests.get(f"{url}/static/style.css", timeout=10)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert "http" not in answer.text.replace("http://www.w3.org", "")


HOSTILE = "<img src=x onerror=alert(1)>\"'&{{ 7*7 }}{% raw %}</title><script>alert(1)</script>"


@pytest.mark.usefixtures("aws_environment")
class TestWithMadeUpRows:
    """The page of this process, so that its query can answer what ClickHouse never should."""

    @pytest.fixture
    def rows(self, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        monkeypatch.setattr(saved_queries, "run", lambda *_: rows)
        return rows

    @pytest.fixture
    def page(self, stack: Stack, serve: Serve) -> str:
        settings = HudSettings(internal_api_token=TOKEN, clickhouse_url=stack.state["clickhouse_url"], banner=HOSTILE)
        return serve(hud(settings)) + "/oot"

    def test_a_hostile_repo_and_banner_are_only_text(self, page: str, rows: list[dict[str, Any]]) -> None:
        rows.append({**ROW, "repo": HOSTILE, "level": HOSTILE})
        made = Page(requests.get(page, timeout=10).text)
        assert not {"script", "img"} & {tag for tag, _ in made.elements}
        assert made.rows[HOSTILE][:2] == [HOSTILE, HOSTILE]
        assert made.text.count(HOSTILE) == 3  # with the banner
        [link] = [attributes for tag, attributes in made.elements if tag == "a" and "alert" in str(attributes)]
        assert str(link["href"]).startswith("https://github.com/")

    def test_a_javascript_repo_is_no_link_to_itself(self, page: str, rows: list[dict[str, Any]]) -> None:
        rows.append({**ROW, "repo": "javascript:alert(1)/x"})
        made = Page(requests.get(page, timeout=10).text)
        assert not [
            attributes for _, attributes in made.elements if str(attributes.get("href")).startswith("javascript")
        ]

    def test_what_is_not_known_is_a_dash(self, page: str, rows: list[dict[str, Any]]) -> None:
        rows.append({**ROW, "level": "", "pass_rate": None, "avg_duration_s": None})
        cells = Page(requests.get(page, timeout=10).text).rows["o/r"]
        assert (cells[1], cells[2], cells[9]) == (NOTHING, NOTHING, NOTHING)

    def test_an_empty_window_says_what_to_do(self, page: str, rows: list[dict[str, Any]]) -> None:
        assert rows == []
        answer = requests.get(page, params={"days": 1}, timeout=10)
        assert answer.status_code == 200
        assert "No finished jobs in the last 24 hours" in answer.text
        assert "report-result" in answer.text


@pytest.mark.usefixtures("aws_environment")
def test_without_clickhouse_the_page_says_so_in_words(serve: Serve, closed_port: int) -> None:
    settings = HudSettings(internal_api_token=TOKEN, clickhouse_url=f"http://127.0.0.1:{closed_port}")
    url = serve(hud(settings))
    page = requests.get(f"{url}/oot", timeout=10)
    assert page.status_code == 503
    assert "results are still being accepted" in page.text
    assert str(closed_port) not in page.text
    assert page.headers["content-security-policy"] == CSP
    answer = requests.get(f"{url}/oot.json", timeout=10)
    assert (answer.status_code, answer.json()["code"]) == (503, "dashboard_unavailable")
    assert requests.get(f"{url}/healthz", timeout=10).status_code == 200


def test_home_leads_to_the_summary(url: str) -> None:
    answer = requests.get(url, timeout=10, allow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "/oot")


@pytest.mark.parametrize(
    ("share", "told"),
    [(None, NOTHING), (0, "0 %"), (1, "100 %"), (0.9996, "99.9 %"), (0.5, "50 %"), (2 / 3, "66.6 %"), (0.001, "0.1 %")],
)
def test_percent(share: float | None, told: str) -> None:
    assert _percent(share) == told


@pytest.mark.parametrize(
    ("share", "told"),
    [(None, "none"), (1, "good"), (0.95, "good"), (0.9499, "fair"), (0.8, "fair"), (0.7999, "poor"), (0, "poor")],
)
def test_verdict_is_the_rfcs_bands(share: float | None, told: str) -> None:
    assert _verdict(share) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (None, NOTHING),
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (605, "10 min"),
        (3599.6, "1 h 00 min"),
        (3725, "1 h 02 min"),
    ],
)
def test_duration(seconds: float | None, told: str) -> None:
    assert _duration(seconds) == told


@pytest.mark.parametrize(
    ("minutes", "told"),
    [
        (-5, "just now"),
        (0, "just now"),
        (1, "1 min ago"),
        (59, "59 min ago"),
        (60, "1 h ago"),
        (2879, "47 h ago"),
        (2880, "2 d ago"),
    ],
)
def test_ago(minutes: int, told: str) -> None:
    assert _ago(NOW, NOW - timedelta(minutes=minutes)) == told
