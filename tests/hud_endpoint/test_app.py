"""How the halves are put together: pages come last and late, and what is wrong at the start is said in a sentence."""

from __future__ import annotations

import gc
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
import requests

from hud_endpoint import app as apps
from hud_endpoint.app import hud, pages, relay, results
from hud_endpoint.contract import RelayPayload, parse
from hud_endpoint.results import api
from hud_endpoint.results.store import Outcome, ResultStore
from hud_endpoint.settings import HudSettings, PagesSettings, ResultsSettings
from tests.hud_endpoint.samples import new_repo, relay_payload
from tests.hud_endpoint.serving import served

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.applications import Starlette

    from oot_local.stack import Stack
    from tests.hud_endpoint.conftest import Serve

TOKEN = "a-token-of-these-tests"
RESULTS = "/api/oot/results"
HEADERS = {"x-hud-internal-bot": TOKEN}


@pytest.fixture
def pages_built(monkeypatch: pytest.MonkeyPatch, aws_environment: None) -> list[HudSettings]:
    """The settings of each time that pages were built."""
    built: list[HudSettings] = []
    build = apps._pages

    def spy(settings: HudSettings) -> Any:
        built.append(settings)
        return build(settings)

    monkeypatch.setattr(apps, "_pages", spy)
    return built


def test_a_server_builds_its_pages_at_the_start(pages_built: list[HudSettings]) -> None:
    with served(hud(HudSettings(internal_api_token=TOKEN)), lifespan="on") as url:
        requests.get(f"{url}/healthz", timeout=60)
        assert len(pages_built) == 1
        requests.get(f"{url}/oot", timeout=60)
    assert len(pages_built) == 1


def test_a_function_that_takes_results_in_never_builds_them(pages_built: list[HudSettings], serve: Serve) -> None:
    url = serve(hud(HudSettings(internal_api_token=TOKEN)))
    for path in (RESULTS, "/api/crcr/results"):
        assert requests.post(url + path, data=b"{}", headers=HEADERS, timeout=60).status_code == 400
        assert requests.get(url + path, timeout=60).status_code == 405
    assert requests.get(f"{url}/healthz", timeout=60).status_code == 200
    assert pages_built == []


@pytest.mark.usefixtures("aws_environment")
def test_a_body_of_a_million_objects_keeps_the_garbage_collector_quiet() -> None:
    hud(HudSettings(internal_api_token=TOKEN))
    body = json.dumps(relay_payload() | {"ignored": [[]] * 500_000}).encode()
    runs = 0

    def count(phase: str, _info: object) -> None:
        nonlocal runs
        runs += phase == "start"

    gc.callbacks.append(count)
    try:
        parse(RelayPayload, body)
    finally:
        gc.callbacks.remove(count)
    assert runs < 100


@pytest.mark.usefixtures("aws_environment")
def test_a_crowd_before_a_slow_store_is_told_to_come_again(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    release, taken = threading.Event(), threading.Semaphore(0)

    def apply(*_: object) -> Outcome:
        taken.release()
        release.wait(60)
        return Outcome.STORED

    monkeypatch.setattr(ResultStore, "apply", apply)
    monkeypatch.setattr(api, "THREADS", 1)
    monkeypatch.setattr(api, "WAITING", 0)
    url = serve(hud(HudSettings(internal_api_token=TOKEN)))
    answers: list[int] = []

    def post() -> requests.Response:
        return requests.post(url + RESULTS, json=relay_payload(), headers=HEADERS, timeout=60)

    first = threading.Thread(target=lambda: answers.append(post().status_code))
    first.start()
    assert taken.acquire(timeout=60)
    second = post()
    assert (second.status_code, second.json()["code"], second.headers["retry-after"]) == (503, "store_unavailable", "5")
    release.set()
    first.join()
    assert answers == [200]
    assert post().status_code == 200


class TestApart:
    """HUD's two parts in processes of their own."""

    @pytest.mark.usefixtures("aws_environment")
    def test_the_pages_need_no_token_and_take_no_result(
        self, stack: Stack, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("INTERNAL_API_TOKEN", raising=False)
        monkeypatch.setenv("CLICKHOUSE_URL", stack.state["clickhouse_url"])
        url = serve(pages())
        assert requests.get(f"{url}/oot", timeout=60).text.startswith("<!doctype html>")
        assert requests.get(f"{url}/readyz", timeout=60).json()["parts"].keys() == {"dynamodb", "clickhouse"}
        for path in (RESULTS, "/api/crcr/results", f"{RESULTS}/"):
            for headers in ({}, HEADERS, {"x-hud-internal-bot": stack.state["internal_api_token"]}):
                answer = requests.post(url + path, json=relay_payload(), headers=headers, timeout=60)
                assert (answer.status_code, answer.json()["code"]) == (404, "not_found")

    def test_the_endpoint_takes_results_and_shows_nothing(self, pages_built: list[HudSettings], serve: Serve) -> None:
        url = serve(results(ResultsSettings(internal_api_token=TOKEN)))
        answer = requests.post(url + RESULTS, json=relay_payload(repo=new_repo()), headers=HEADERS, timeout=60)
        assert (answer.status_code, answer.json()["outcome"]) == (200, "stored")
        assert requests.get(f"{url}/readyz", timeout=60).json()["parts"].keys() == {"dynamodb"}
        for path in ("/", "/oot", "/oot.json", "/pr/1", "/api/clickhouse/oot_summary"):
            assert requests.get(url + path, timeout=60).status_code == 404
        assert requests.get(f"{url}/openapi.json", timeout=60).json()["paths"].keys() == {
            RESULTS,
            "/healthz",
            "/readyz",
        }
        assert pages_built == []

    def test_neither_knows_the_other_s_secret(self) -> None:
        both = HudSettings.model_fields.keys()
        assert PagesSettings.model_fields.keys() | ResultsSettings.model_fields.keys() == both
        secret = {name for name in both if "token" in name or "clickhouse" in name}
        assert secret & PagesSettings.model_fields.keys() == {"clickhouse_url"}
        assert secret & ResultsSettings.model_fields.keys() == {"internal_api_token", "internal_api_token_previous"}


@pytest.mark.parametrize(
    ("build", "named"), [(hud, "INTERNAL_API_TOKEN"), (results, "INTERNAL_API_TOKEN"), (relay, "HUD_API_URL")]
)
def test_missing_settings_end_the_start_with_a_sentence(
    build: Callable[[], Starlette], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(named, raising=False)
    with pytest.raises(SystemExit, match=rf"docs/settings.md explains each.*{named}: Field required"):
        build()
