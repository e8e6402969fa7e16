"""What pages say in HTTP: headers, addresses of static files, what is refused, where the search box leads."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from hud_endpoint.clickhouse import saved_queries
from hud_endpoint.errors import RefusedError
from hud_endpoint.links import (
    backend_path,
    failed_test_path,
    github,
    pull_request_path,
    saved_query_path,
    web_link,
)
from hud_endpoint.views.models.filters import Filters
from hud_endpoint.views.pages import HEADERS, _destination

if TYPE_CHECKING:
    from tests.pages.prepared import Prepared

PATHS = ["/oot", "/oot/o/r", "/pr/1", "/pr/1?fragment=1", "/oot/test?name=x", "/oot?days=2", "/pr/x"]
CSP = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_carries_the_policy(url: str, path: str) -> None:
    answer = requests.get(url + path, timeout=60)
    assert answer.headers["content-security-policy"] == CSP
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"


def test_what_has_not_changed_is_not_sent_again(url: str, prepared: Prepared) -> None:
    first = requests.get(f"{url}/oot", timeout=60)
    again = requests.get(f"{url}/oot", headers={"if-none-match": first.headers["etag"]}, timeout=60)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["content-security-policy"] == CSP
    prepared.summary_page = replace(prepared.summary_page, running=99)
    changed = requests.get(f"{url}/oot", headers={"if-none-match": first.headers["etag"]}, timeout=60)
    assert changed.status_code == 200


@pytest.mark.parametrize("name", ["pages.css", "oot.js", "icon.svg"])
def test_static_files_have_addresses_of_their_content(url: str, name: str) -> None:
    page = requests.get(f"{url}/oot", timeout=60).text
    path = page[page.index(f"/static/{name}?v=") :].split('"')[0]
    answer = requests.get(url + path, timeout=60)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert b"http:" not in answer.content.replace(b"http://www.w3.org/2000/svg", b"")
    assert requests.get(f"{url}/static/{name}?v=old", timeout=60).headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", ["nothing.css", "..%2fpages.py", "%2e%2e/pages.py", "templates/oot.html"])
def test_nothing_else_is_served(url: str, name: str) -> None:
    assert requests.get(f"{url}/static/{name}", timeout=60).status_code == 404


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/oot?days=0", "days is one of 1, 7, 30."),
        ("/oot?days=7;DROP", "days is one of"),
        ("/oot?level=L9", "level is one of"),
        ("/oot?event=x", "event is one of"),
        ("/oot?text=" + "x" * 201, "text has at most 200 characters."),
        ("/oot/o/r?page=0", "page is a whole number from 1 to 1000."),
        ("/oot/o/r?page=1001", "page is a whole number"),
        ("/oot/o/r?page=\u0661", "page is a whole number"),
        ("/oot/o/r?page=" + "9" * 5000, "page is a whole number"),
        ("/pr/0", "such as 179565"),
        ("/pr/-1", "such as 179565"),
        ("/pr/1e5", "such as 179565"),
        ("/pr/" + "9" * 5000, "such as 179565"),
        ("/oot/test", "name is a test&#39;s name"),
        ("/oot/test?name=" + "x" * 1001, "of 1 to 1000 characters"),
        ("/oot/test?name=x&file=" + "x" * 1001, "of 1 to 1000 characters"),
    ],
    ids=range(16),
)
def test_what_pages_do_not_have_is_said_in_words(url: str, path: str, told: str) -> None:
    answer = requests.get(url + path, timeout=60)
    assert answer.status_code == 400
    assert told in answer.text
    assert "invalid_parameter" in answer.text
    assert 'href="/oot' in answer.text
    assert len(answer.content) < 10_000


def test_links_of_the_fragment_lead_home_from_anywhere(url: str) -> None:
    fragment = requests.get(f"{url}/pr/179565?fragment=1", timeout=60).text
    assert 'href="https://hud.example.org/oot/example-labs/torch-falcon"' in fragment
    assert 'href="/' not in fragment
    assert "hud.example.org" not in requests.get(f"{url}/pr/179565", timeout=60).text


def test_an_outage_is_a_page_that_says_what_to_do(url: str, prepared: Prepared) -> None:
    prepared.problem = RefusedError("dashboard_unavailable", "ClickHouse did not answer this page's query.")
    answer = requests.get(f"{url}/oot/o/r?days=30", timeout=60)
    assert answer.status_code == 503
    assert "can&#39;t be shown right now" in answer.text
    assert '<a href="/oot/o/r">Try again</a>' in answer.text


@pytest.mark.parametrize(
    ("typed", "path"),
    [
        ("", "/oot"),
        ("#1", "/pr/1"),
        ("https://github.com/pytorch/pytorch/pull/5?x=1#y", "/pr/5"),
        ("pytorch/pytorch#5", "/pr/5"),
        ("o/r#5", "/pr/5?upstream_repo=o%2Fr"),
        ("a.b/c_d-e", "/oot/a.b/c_d-e"),
        ("https://evil.example/o/r", "/oot/test?name=https%3A%2F%2Fevil.example%2Fo%2Fr"),
        ("\\\\evil", "/oot/test?name=%5C%5Cevil"),
        ("0", "/oot/test?name=0"),
        ("9" * 30, "/oot/test?name=" + "9" * 30),
        ("x\r\nset-cookie: a=b", "/oot/test?name=x%0D%0Aset-cookie%3A+a%3Db"),
    ],
)
def test_destinations(typed: str, path: str) -> None:
    assert _destination(typed) == path


@pytest.mark.parametrize(
    ("link", "told"),
    [
        (None, None),
        ("", None),
        ("https://example.org/x?y=1", "https://example.org/x?y=1"),
        ("http://example.org", "http://example.org"),
        ("javascript:alert(1)", None),
        ("JaVaScRiPt:alert(1)", None),
        (" javascript:alert(1)", None),
        ("java\tscript:alert(1)", None),
        ("data:text/html,x", None),
        ("//example.org", None),
        ("https:example.org", None),
        ("https://[::1", None),
        ("https://example.org/\u202egnp", None),
        ("ftp://example.org", None),
    ],
)
def test_only_web_addresses_become_links(link: str | None, told: str | None) -> None:
    assert web_link(link) == told


def test_paths_quote_what_they_are_given() -> None:
    filters = Filters(days=30, level="L2", event="nightly", text="x")
    assert backend_path('o/"><x?#') == "/oot/o/%22%3E%3Cx%3F%23"
    assert backend_path("o/r", filters) == "/oot/o/r?days=30&event=nightly"
    assert pull_request_path(7, "pytorch/pytorch") == "/pr/7"
    assert pull_request_path(7, "o/r&x=1") == "/pr/7?upstream_repo=o%2Fr%26x%3D1"
    assert failed_test_path("a b&c", "K", "", filters) == "/oot/test?name=a+b%26c&classname=K&days=30&event=nightly"
    assert github("o/r", "commit", "../../x?y") == "https://github.com/o/r/commit/../../x%3Fy"


def test_a_link_to_a_saved_query_is_one_that_it_takes() -> None:
    told = {"repo": 'o/r"&<b>\ud800', "days": 7, "events": ["nightly"], "limit": 10_000}
    link = urlsplit(saved_query_path("oot_backend_failures", **told))
    assert link.path == "/api/clickhouse/oot_backend_failures"
    assert told == json.loads(parse_qs(link.query, strict_parsing=True)["parameters"][0])
    told["repo"] = "o/r"
    query = saved_queries.saved_query("oot_backend_failures")
    assert saved_queries.read_parameters(query, told) == told
