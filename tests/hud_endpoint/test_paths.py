"""Paths with a slash at their end, and hosts that a caller makes up: neither changes what is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests

from hud_endpoint.app import hud
from hud_endpoint.settings import HudSettings

if TYPE_CHECKING:
    from oot_local.stack import Stack
    from tests.hud_endpoint.conftest import Serve

HOSTS = ["evil.example", "evil.example:8443", "evil.example/x?", "evil.example#", "user@evil.example", "//evil.example"]
# What a request could name itself by, beside Host; nothing reads them.
FORWARDED = {"x-forwarded-host": "evil.example", "forwarded": "host=evil.example", "x-original-url": "//evil.example/"}
REDIRECTS = {
    "/": "/oot",
    "//": "/",
    "/oot/": "/oot",
    "/oot//": "/oot",
    "/oot/?days=30": "/oot?days=30",
    "/oot/o/r/": "/oot/o/r",
    "/oot/o/%72%3f%23/": "/oot/o/r%3F%23",
    "/oot.json/": "/oot.json",
    "/pr/1/?a=%0D%0Aset-cookie:x": "/pr/1?a=%0D%0Aset-cookie:x",
    "/docs/": "/docs",
    "/openapi.json/": "/openapi.json",
    "/crcr/": "/oot",
    "/crcr/o/r/": "/oot/o/r",
    "/crcr//evil.example/": "/oot//evil.example",
    "/favicon.ico": "/static/icon.svg",
    "//oot/o/evil.example/": "/oot/o/evil.example",
    "/%2Foot/": "/oot",
    "/oot/go?to=179565": "/pr/179565",
}
SERVICE = {"x-hud-internal-bot": "x", "x-relay-dispatch-token": "x", "authorization": "Bearer x"}


def ask(method: str, url: str, path: str, host: str = "", **options: Any) -> requests.Response:
    """Ask for a path as it is written, without following where it leads."""
    request = requests.Request(method, url, headers={"host": host or urlsplit(url).netloc, **FORWARDED, **SERVICE})
    prepared = request.prepare()
    prepared.url = url + path
    with requests.Session() as session:
        return session.send(prepared, allow_redirects=False, timeout=60, **options)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("path", REDIRECTS)
def test_a_redirect_is_a_path(stack: Stack, path: str, host: str) -> None:
    answer = ask("GET", stack.state["hud_url"], path, host)
    assert (answer.status_code in (303, 307, 308), answer.headers.get("location")) == (True, REDIRECTS[path])
    assert "evil" not in str(answer.headers).replace(REDIRECTS[path], "")
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example/", "/%5Cevil.example/", "/nothing/", "/x/%2F/"])
def test_what_is_not_there_leads_nowhere(stack: Stack, path: str) -> None:
    for half in ("hud_url", "relay_url"):
        answer = ask("GET", stack.state[half], path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert "location" not in answer.headers


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize(
    "path", ["/oot.atom", "/oot/o/r.atom", "/oot", "/oot.json", "/oot/o/r", "/pr/x", "/pr/1?fragment=1"]
)
def test_no_answer_repeats_the_host(stack: Stack, path: str, host: str) -> None:
    answer = ask("GET", stack.state["hud_url"], path, host)
    assert answer.status_code < 500
    assert b"evil" not in answer.content
    assert b"127.0.0.1" not in answer.content


@pytest.mark.usefixtures("aws_environment")
def test_a_feed_names_the_address_that_people_use_and_no_other(stack: Stack, serve: Serve) -> None:
    settings = HudSettings(
        internal_api_token="a-token-that-is-not-used",
        clickhouse_url=stack.state["clickhouse_url"],
        hud_public_url="https://hud.example.org/",
    )
    feed = ask("GET", serve(hud(settings)), "/oot/o/r.atom", "evil.example").text
    assert 'href="https://hud.example.org/oot/o/r.atom"' in feed
    assert 'href="https://hud.example.org/oot/o/r"' in feed
    assert "evil" not in feed


@pytest.mark.parametrize(
    ("half", "method", "path"),
    [
        ("relay_url", "POST", "/github/callback"),
        ("relay_url", "POST", "/internal/dispatch"),
        ("relay_url", "GET", "/github/callback"),
        ("relay_url", "PUT", "/internal/dispatch"),
        ("relay_url", "GET", "/healthz"),
        ("relay_url", "GET", "/readyz"),
        ("hud_url", "POST", "/api/oot/results"),
        ("hud_url", "POST", "/api/crcr/results"),
        ("hud_url", "GET", "/api/oot/results"),
        ("hud_url", "DELETE", "/api/crcr/results"),
        ("hud_url", "GET", "/healthz"),
        ("hud_url", "GET", "/readyz"),
    ],
)
def test_an_endpoint_answers_with_a_slash_as_without(stack: Stack, half: str, method: str, path: str) -> None:
    """A client that takes any answer below 400 for success must never get a redirect."""
    plain, slashed = (ask(method, stack.state[half], path + slash) for slash in ("", "/"))
    assert (slashed.status_code, slashed.json().get("code")) == (plain.status_code, plain.json().get("code"))
    assert (slashed.status_code < 300) == (method == "GET" and path in ("/healthz", "/readyz"))
