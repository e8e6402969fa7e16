"""`/readyz`: each store is named with its problem and a remedy, nobody can hammer them, and no secret gets out."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
import requests

from hud_endpoint import __version__, readiness
from hud_endpoint.app import hud, relay
from hud_endpoint.readiness import Part, Readiness
from hud_endpoint.settings import HudSettings, RelaySettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from oot_local.stack import Stack
    from tests.hud_endpoint.conftest import Serve

TOKEN = "a-token-of-these-tests"


@pytest.mark.parametrize(("half", "parts"), [("hud_url", {"dynamodb", "clickhouse"}), ("relay_url", {"dynamodb"})])
def test_both_halves_are_ready_on_a_whole_stack(stack: Stack, half: str, parts: set[str]) -> None:
    answer = requests.get(f"{stack.state[half]}/readyz", timeout=60)
    assert (answer.status_code, answer.json()) == (200, {"ok": True, "parts": {name: {"ok": True} for name in parts}})
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("half", ["hud_url", "relay_url"])
def test_a_process_lives_whatever_its_stores_do(stack: Stack, half: str) -> None:
    answer = requests.get(f"{stack.state[half]}/healthz", timeout=60)
    assert (answer.status_code, answer.json()) == (200, {"ok": True, "version": __version__})


@pytest.fixture
def ready_hud(stack: Stack, serve: Serve, aws_environment: None) -> Callable[..., requests.Response]:
    def ask(**changes: Any) -> requests.Response:
        told = {"internal_api_token": TOKEN, "clickhouse_url": stack.state["clickhouse_url"], **changes}
        return requests.get(f"{serve(hud(HudSettings(**told)))}/readyz", timeout=60)

    return ask


class TestAway:
    def test_clickhouse(self, ready_hud: Callable[..., requests.Response], closed_port: int) -> None:
        answer = ready_hud(clickhouse_url=f"http://reader:hunter2@127.0.0.1:{closed_port}")
        told = answer.json()
        assert (answer.status_code, told["code"], told["ok"]) == (503, "not_ready", False)
        assert told["error"] == "clickhouse: not ready, see parts for what to do."
        assert told["parts"]["dynamodb"] == {"ok": True}
        assert told["parts"]["clickhouse"]["problem"] == "NewConnectionError"
        assert "CLICKHOUSE_URL" in told["parts"]["clickhouse"]["remedy"]
        assert not any(secret in answer.text for secret in ("hunter2", "reader", str(closed_port), "127.0.0.1"))

    def test_clickhouses_user(self, stack: Stack, ready_hud: Callable[..., requests.Response]) -> None:
        url = stack.state["clickhouse_url"].replace("http://", "http://nobody:hunter2@")
        answer = ready_hud(clickhouse_url=url)
        assert answer.status_code == 503
        assert answer.json()["parts"]["clickhouse"]["problem"].startswith("HTTP ")
        assert "hunter2" not in answer.text

    def test_a_table(self, ready_hud: Callable[..., requests.Response]) -> None:
        told = ready_hud(results_table="no-such-table").json()["parts"]["dynamodb"]
        assert told["problem"] == "ResourceNotFoundException"
        assert "RESULTS_TABLE" in told["remedy"]

    def test_both(self, ready_hud: Callable[..., requests.Response], closed_port: int) -> None:
        answer = ready_hud(results_table="no-such-table", clickhouse_url=f"http://127.0.0.1:{closed_port}")
        assert answer.json()["error"].startswith("dynamodb and clickhouse: not ready")

    @pytest.mark.usefixtures("aws_environment")
    def test_the_relays_table(self, serve: Serve, tmp_path: Path) -> None:
        allowlist = tmp_path / "allowlist.yaml"
        allowlist.write_text("L2: [a/b]\n")
        settings = RelaySettings(
            hud_api_url="http://127.0.0.1:9/api",
            hud_api_token=TOKEN,
            dispatch_token=TOKEN,
            callback_signing_key="k" * 32,
            allowlist=str(allowlist),
            relay_table="no-such-table",
        )
        answer = requests.get(f"{serve(relay(settings))}/readyz", timeout=60)
        told = answer.json()
        assert (answer.status_code, told["code"]) == (503, "not_ready")
        assert told["detail"].startswith("dynamodb: ")
        assert "RELAY_TABLE" in told["parts"]["dynamodb"]["remedy"]


class Checks:
    """A store that a test plays."""

    def __init__(self) -> None:
        self.count = 0
        self.release = threading.Event()
        self.release.set()
        self.error: Exception | None = None
        self.now = 0.0

    def __call__(self) -> None:
        self.count += 1
        self.release.wait(60)
        if self.error:
            raise self.error

    def readiness(self) -> Readiness:
        return Readiness([Part("store", self, "Mend it.")], clock=lambda: self.now)


def test_a_thousand_askers_cost_one_check_a_second() -> None:
    checks = Checks()

    async def ask() -> None:
        ready = checks.readiness()
        for second in range(3):
            checks.now = float(second)
            assert all(told["store"]["ok"] for told in await asyncio.gather(*(ready.look() for _ in range(1000))))
            checks.now += 0.9
            await ready.look()

    asyncio.run(ask())
    assert checks.count == 3


def test_a_store_that_hangs_is_asked_once_until_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "WAIT_SECONDS", 0.05)
    checks = Checks()
    checks.release.clear()

    async def ask() -> None:
        ready = checks.readiness()
        for second in range(3):
            checks.now = float(second)
            assert (await ready.look())["store"] == {"ok": False, "problem": "no answer in time", "remedy": "Mend it."}
        assert checks.count == 1
        checks.release.set()
        await asyncio.wrap_future(ready._running["store"])
        checks.now = 3.0
        assert (await ready.look())["store"] == {"ok": True}
        assert checks.count == 2

    asyncio.run(ask())


@pytest.mark.parametrize(
    "error", [OSError("hunter2"), ValueError("hunter2"), ConnectionRefusedError("http://u:hunter2@host")]
)
def test_an_errors_words_stay_inside(error: Exception) -> None:
    checks = Checks()
    checks.error = error
    told = asyncio.run(checks.readiness().look())["store"]
    assert told == {"ok": False, "problem": type(error).__name__, "remedy": "Mend it."}
