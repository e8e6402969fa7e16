"""`POST /api/oot/results` over real sockets: who may post, how much, and one shape for every error."""

from __future__ import annotations

import hmac
import json
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests
from aws_lambda_powertools.logging.formatter import THREAD_LOCAL_KEYS
from pydantic import SecretStr

from hud_endpoint.app import hud
from hud_endpoint.contract import HUD_BODY_BYTES
from hud_endpoint.errors import CODES, RefusedError
from hud_endpoint.results.store import Outcome, ResultStore
from hud_endpoint.service_token import require_service_token
from hud_endpoint.settings import HudSettings
from tests.hud_endpoint.samples import COMPLETED_CALLBACK, IN_PROGRESS, changed, new_repo, relay_payload

if TYPE_CHECKING:
    from oot_local.stack import Stack
    from tests.hud_endpoint.conftest import Serve

PATH = "/api/oot/results"
TOKEN, PREVIOUS = "a-token-of-this-year-1", "a-token-of-last-year-1"


@pytest.fixture
def url(stack: Stack) -> str:
    return str(stack.state["hud_url"])


@pytest.fixture
def headers(stack: Stack) -> dict[str, str]:
    return {"x-hud-internal-bot": stack.state["internal_api_token"], "content-type": "application/json"}


def refused(answer: requests.Response, code: str) -> str:
    told: dict[str, str] = answer.json()
    assert (answer.status_code, told["code"]) == (CODES[code], code), answer.text
    assert set(told) == {"error", "code"}
    assert len(told["error"]) < 500
    return told["error"]


@pytest.mark.parametrize("path", [PATH, "/api/crcr/results"])
@pytest.mark.parametrize("callback", [IN_PROGRESS, COMPLETED_CALLBACK], ids=["in_progress", "completed"])
def test_a_result_is_stored_under_both_names(
    url: str, headers: dict[str, str], path: str, callback: dict[str, Any]
) -> None:
    repo = new_repo()
    answers = [
        requests.post(url + path, json=relay_payload(callback, repo=repo), headers=headers, timeout=60) for _ in "12"
    ]
    key = f"{repo}/{callback['delivery_id']}/npu-ci/test-float32/987"
    stored = {"ok": True, "status": callback["workflow"]["status"], "dynamoKey": key}
    assert [answer.json() for answer in answers] == [
        {**stored, "outcome": outcome} for outcome in ("stored", "duplicate")
    ]
    assert {answer.status_code for answer in answers} == {200}


def test_another_completion_is_a_conflict(url: str, headers: dict[str, str]) -> None:
    repo = new_repo()
    requests.post(url + PATH, json=relay_payload(repo=repo), headers=headers, timeout=60)
    other = relay_payload(changed(COMPLETED_CALLBACK, {"workflow.conclusion": "success"}), repo=repo)
    refused(requests.post(url + PATH, json=other, headers=headers, timeout=60), "conflicting_completion")


class TestTokens:
    @pytest.mark.parametrize("token", [None, "", "x", "Bearer x", "é", TOKEN[:-1], TOKEN + "x", TOKEN.upper()])
    def test_strangers_are_refused_before_their_body_is_read(self, url: str, token: str | None) -> None:
        headers = {} if token is None else {"x-hud-internal-bot": token}
        answer = requests.post(url + PATH, data=b"garbage", headers=headers, timeout=60)
        assert "x-hud-internal-bot" in refused(answer, "invalid_service_token")

    @pytest.mark.parametrize(
        ("previous", "token", "accepted"),
        [(None, TOKEN, True), (None, PREVIOUS, False), (PREVIOUS, TOKEN, True), (PREVIOUS, PREVIOUS, True)],
    )
    @pytest.mark.usefixtures("aws_environment")
    def test_two_are_accepted_while_one_is_rotated(
        self,
        serve: Serve,
        previous: str | None,
        token: str,
        accepted: bool,  # noqa: FBT001 - a column
    ) -> None:
        settings = HudSettings(internal_api_token=TOKEN, internal_api_token_previous=previous)
        answer = requests.post(
            serve(hud(settings)) + PATH, data=b"{}", headers={"x-hud-internal-bot": token}, timeout=60
        )
        refused(answer, "invalid_callback" if accepted else "invalid_service_token")

    def test_they_are_compared_in_constant_time_and_each_of_them(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real, compared = hmac.compare_digest, []

        def spy(given: bytes, accepted: bytes) -> bool:
            compared.append((given, accepted))
            return real(given, accepted)

        monkeypatch.setattr(hmac, "compare_digest", spy)
        tokens = (SecretStr(TOKEN), SecretStr(PREVIOUS))
        require_service_token(TOKEN, *tokens, header="h")  # the second is compared all the same
        with pytest.raises(RefusedError):
            require_service_token(None, *tokens, header="h")
        assert compared == [
            (TOKEN.encode(), TOKEN.encode()),
            (TOKEN.encode(), PREVIOUS.encode()),
            (b"", TOKEN.encode()),
            (b"", PREVIOUS.encode()),
        ]

    def test_without_any_nobody_gets_in(self) -> None:
        for given in (None, ""):
            with pytest.raises(RefusedError):
                require_service_token(given, None, header="h")

    @pytest.mark.parametrize("token", ["", "hunter2"])
    def test_a_weak_one_is_refused_at_the_start_without_being_told(self, token: str) -> None:
        with pytest.raises(ValueError, match="at least 16") as caught:
            HudSettings(internal_api_token=token)
        assert "hunter2" not in str(caught.value)


class TestBodies:
    @pytest.mark.parametrize(
        ("body", "code", "told"),
        [
            (b"", "invalid_json", "The body is not JSON"),
            (b"{", "invalid_json", "The body is not JSON"),
            (b"[" * 100_000, "invalid_json", "recursion limit"),
            (b"[]", "invalid_callback", "body: Input should be an object"),
            (b"{}", "invalid_callback", "trusted: Field required; untrusted: Field required"),
            (json.dumps(COMPLETED_CALLBACK).encode(), "invalid_callback", "trusted: Field required"),  # hop 1's body
            (json.dumps(relay_payload(repo="a/b/c")).encode(), "invalid_callback", "trusted.verified_repo"),
            (
                json.dumps(relay_payload(changed(COMPLETED_CALLBACK, {"workflow.name": " "}))).encode(),
                "invalid_callback",
                "untrusted.callback_payload.workflow.name: a name must not be empty",
            ),
        ],
    )
    def test_that_are_wrong(self, url: str, headers: dict[str, str], body: bytes, code: str, told: str) -> None:
        answer = requests.post(url + PATH, data=body, headers=headers, timeout=60)
        assert told in refused(answer, code)

    @pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=x"])
    def test_their_type_is_not_asked_for(self, url: str, headers: dict[str, str], kind: str) -> None:
        body = json.dumps(relay_payload(repo=new_repo()))
        answer = requests.post(url + PATH, data=body, headers={**headers, "content-type": kind}, timeout=60)
        assert answer.status_code == 200

    @pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
    def test_of_more_than_2_mb_are_refused(self, url: str, headers: dict[str, str], chunked: bool) -> None:  # noqa: FBT001 - a column
        body = b" " * (HUD_BODY_BYTES + 1)
        answer = requests.post(url + PATH, data=iter([body]) if chunked else body, headers=headers, timeout=60)
        assert "more than 2,097,152 bytes" in refused(answer, "body_too_large")

    def test_of_2_mb_are_read(self, url: str, headers: dict[str, str]) -> None:
        body = json.dumps(relay_payload(repo=new_repo())).encode()
        answer = requests.post(url + PATH, data=body.ljust(HUD_BODY_BYTES), headers=headers, timeout=60)
        assert answer.status_code == 200

    def test_that_are_announced_too_big_are_refused_before_they_come(self, url: str, headers: dict[str, str]) -> None:
        status, told = raw(url, headers, {"content-length": str(HUD_BODY_BYTES + 1)}, b"")
        assert (status, told["code"]) == (413, "body_too_large")

    def test_longer_than_announced_are_cut_by_the_server(self, url: str, headers: dict[str, str]) -> None:
        body = json.dumps(relay_payload(repo=new_repo())).encode()
        status, told = raw(url, headers, {"content-length": "2"}, b"{}" + body)
        assert (status, told["code"]) == (400, "invalid_callback")

    def test_chunked_with_an_announcement_gain_nothing(self, url: str, headers: dict[str, str]) -> None:
        chunk = b"2\r\n{}\r\n0\r\n\r\n"
        status, _ = raw(url, headers, {"transfer-encoding": "chunked", "content-length": "2"}, chunk)
        assert status == 400  # two lengths are how requests are smuggled


def raw(url: str, headers: dict[str, str], more: dict[str, str], body: bytes) -> tuple[int, dict[str, str]]:
    """Send a request whose headers may lie."""
    place = urlsplit(url)
    head = "".join(f"{name}: {value}\r\n" for name, value in {"host": place.netloc, **headers, **more}.items())
    with socket.create_connection((str(place.hostname), place.port or 80), timeout=60) as connection:
        connection.sendall(f"POST {PATH} HTTP/1.1\r\n{head}connection: close\r\n\r\n".encode() + body)
        answer = b""
        while b"}" not in answer and (read := connection.recv(65536)):
            answer += read
    head_bytes, _, told = answer.partition(b"\r\n\r\n")
    return int(head_bytes.split()[1]), json.loads(told) if told.startswith(b"{") else {}


@pytest.mark.parametrize("path", [PATH, "/api/crcr/results"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_only_post_is_taken(url: str, headers: dict[str, str], path: str, method: str) -> None:
    answer = requests.request(method, url + path, headers=headers, timeout=60)
    assert refused(answer, "method_not_allowed") == f"{path} does not take {method}."
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("path", ["/api/oot/result", "/api/oot/results/x", "/x" * 300, "/%00", "/<script>"])
def test_what_is_not_there(url: str, path: str) -> None:
    told = refused(requests.post(url + path, timeout=60), "not_found")
    assert len(told) < 300


@pytest.mark.usefixtures("aws_environment")
def test_what_nobody_foresaw_tells_nothing_of_itself(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError("secret")

    monkeypatch.setattr(ResultStore, "apply", fail)
    url = serve(hud(HudSettings(internal_api_token=TOKEN)))
    headers = {"x-hud-internal-bot": TOKEN}
    answer = requests.post(url + PATH, json=relay_payload(), headers=headers, timeout=60)
    assert "secret" not in refused(answer, "internal_error")


@pytest.mark.usefixtures("aws_environment")
def test_a_store_that_is_away_says_when_to_come_again(serve: Serve) -> None:
    settings = HudSettings(internal_api_token=TOKEN, results_table="no-such-table")
    answer = requests.post(
        serve(hud(settings)) + PATH, json=relay_payload(), headers={"x-hud-internal-bot": TOKEN}, timeout=60
    )
    assert "ResourceNotFoundException" in refused(answer, "store_unavailable")
    assert answer.headers["retry-after"] == "60"


def test_log_lines_say_what_they_are_about(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, str]] = []

    def apply(*_: object) -> Outcome:
        seen.append(dict(THREAD_LOCAL_KEYS.get()))
        return Outcome.STORED

    monkeypatch.setattr(ResultStore, "apply", apply)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    url = serve(hud(HudSettings(internal_api_token=TOKEN)))
    for repo in ("a/one", "a/two"):
        requests.post(url + PATH, json=relay_payload(repo=repo), headers={"x-hud-internal-bot": TOKEN}, timeout=60)
    assert seen == [{"repo": repo, "delivery_id": COMPLETED_CALLBACK["delivery_id"]} for repo in ("a/one", "a/two")]


def test_the_home_page_is_the_dashboard(url: str) -> None:
    assert requests.get(f"{url}/", timeout=60).url.endswith("/oot")
