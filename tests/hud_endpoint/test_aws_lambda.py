"""The Lambda handlers, called as Lambda calls them: API Gateway's events in, its answers out; schedules give counts."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl

import pytest
import requests
from aws_lambda_powertools.logging.formatter import THREAD_LOCAL_KEYS

from hud_endpoint import aws, aws_lambda
from hud_endpoint.aws_lambda import handlers
from hud_endpoint.contract import HUD_BODY_BYTES
from hud_endpoint.logs import bind
from hud_endpoint.relay.job_store import JobStore
from hud_endpoint.relay.lifecycle import Claim, advance
from hud_endpoint.relay.outbox import QUEUE, Outbox, new_entry
from tests.hud_endpoint.samples import COMPLETED_CALLBACK, IN_PROGRESS, changed, new_repo, relay_payload
from tests.hud_endpoint.web import as_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from types_boto3_dynamodb.client import DynamoDBClient

    from oot_local.stack import Stack
    from tests.hud_endpoint.web import Web

TOKEN = "a-token-of-these-tests"
RESULTS = "/api/oot/results"


class Context:
    """What Lambda tells of an invocation."""

    def __init__(self, milliseconds: int = 60_000) -> None:
        self.milliseconds = milliseconds
        self.aws_request_id = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds


def event(
    method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None, *, encoded: bool = True
) -> dict[str, Any]:
    """An event of payload format 2.0, as API Gateway's HTTP API and function URLs send it."""
    whole = {"host": "abc.lambda-url.us-east-1.on.aws", "content-length": str(len(body or b"")), **(headers or {})}
    told: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": whole,
        "requestContext": {
            "domainName": whole["host"],
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "x"},
            "stage": "$default",
        },
        "isBase64Encoded": encoded,
    }
    if body is not None:
        told["body"] = base64.b64encode(body).decode() if encoded else body.decode()
    return told


def rest_event(
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    source: str = "192.0.2.1",
) -> dict[str, Any]:
    """An event of payload format 1.0, as API Gateway's REST API sends it with every media type taken for binary."""
    path, _, query = path.partition("?")
    whole = {"Host": "abc.execute-api.us-east-1.amazonaws.com", "X-Forwarded-Proto": "https", **(headers or {})}
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": whole,
        "multiValueHeaders": {name: [value] for name, value in whole.items()},
        "queryStringParameters": dict(parse_qsl(query)) or None,
        "multiValueQueryStringParameters": parse_qs(query) or None,
        "requestContext": {
            "stage": "v1",
            "path": f"/v1{path}",
            "httpMethod": method,
            "identity": {"sourceIp": source, "userAgent": "x"},
        },
        "body": None if body is None else base64.b64encode(body).decode(),
        "isBase64Encoded": body is not None,
    }


def called(handler: aws_lambda.Handler, told: dict[str, Any]) -> tuple[int, Any]:
    answer = handler(told, Context())
    body = base64.b64decode(answer["body"]).decode() if answer.get("isBase64Encoded") else answer["body"]
    return answer["statusCode"], json.loads(body) if body.startswith("{") else body


@pytest.fixture
def environment(
    stack: Stack, aws_environment: None, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, str], None]:
    """All settings of both halves, as a function has them; HUD is played by the test."""
    allowlist = tmp_path / "allowlist.yaml"
    allowlist.write_text(f"L2:\n  - {stack.state['sample_repo']}\n  - spec/backend\n")
    for name, value in {
        "INTERNAL_API_TOKEN": TOKEN,
        "CLICKHOUSE_URL": stack.state["clickhouse_url"],
        "HUD_API_URL": f"{web.url}{RESULTS}",
        "HUD_API_TOKEN": TOKEN,
        "DISPATCH_TOKEN": TOKEN,
        "CALLBACK_SIGNING_KEY": "k" * 32,
        "ALLOWLIST": str(allowlist),
        "OIDC_ISSUERS": stack.state["github_url"],
        "DISPATCH_POLICY": "optional",
    }.items():
        monkeypatch.setenv(name, value)
    return monkeypatch.setenv


@pytest.fixture
def built(environment: object) -> Iterator[Callable[[str], aws_lambda.Handler]]:
    """Builds a handler as Lambda's runtime does: by its name."""

    def forget() -> None:
        aws._session.cache_clear()
        aws_lambda.__getattr__.cache_clear()  # type: ignore[attr-defined]

    names: set[str] = set()

    def build(name: str) -> aws_lambda.Handler:
        names.add(name)
        return aws_lambda.__getattr__(name)

    forget()
    yield build
    if {"hud_handler", "results_handler", "pages_handler", "relay_handler"} & names:
        asyncio.get_event_loop_policy().get_event_loop().close()
        asyncio.set_event_loop(None)
    forget()


class TestHud:
    @pytest.mark.parametrize("encoded", [True, False], ids=["base64", "text"])
    @pytest.mark.parametrize("path", [RESULTS, "/api/crcr/results"])
    def test_a_result_is_stored(
        self,
        built: Callable[[str], aws_lambda.Handler],
        path: str,
        encoded: bool,  # noqa: FBT001 - a column
    ) -> None:
        repo = new_repo()
        body = json.dumps(relay_payload(repo=repo)).encode()
        told = event("POST", path, body, {"x-hud-internal-bot": TOKEN}, encoded=encoded)
        answers = [called(built("hud_handler"), told) for _ in "12"]
        assert [(status, answer["outcome"]) for status, answer in answers] == [(200, "stored"), (200, "duplicate")]
        assert answers[0][1]["dynamoKey"].startswith(f"{repo}/")

    def test_gzip_is_inflated(self, built: Callable[[str], aws_lambda.Handler]) -> None:
        body = gzip.compress(json.dumps(relay_payload(repo=new_repo())).encode())
        headers = {"x-hud-internal-bot": TOKEN, "content-encoding": "gzip"}
        assert called(built("hud_handler"), event("POST", RESULTS, body, headers))[0] == 200

    @pytest.mark.parametrize(
        ("method", "path", "body", "headers", "status", "code"),
        [
            ("POST", RESULTS, b"{}", {}, 401, "invalid_service_token"),
            ("POST", RESULTS, b"{", {"x-hud-internal-bot": TOKEN}, 400, "invalid_json"),
            ("POST", RESULTS, None, {"x-hud-internal-bot": TOKEN}, 400, "invalid_json"),
            ("POST", RESULTS, b" " * (HUD_BODY_BYTES + 1), {"x-hud-internal-bot": TOKEN}, 413, "body_too_large"),
            # No server has checked these headers before us.
            (
                "POST",
                RESULTS,
                b"{}",
                {"x-hud-internal-bot": TOKEN, "content-length": "9" * 5000},
                413,
                "body_too_large",
            ),
            ("POST", RESULTS, b"{}", {"x-hud-internal-bot": TOKEN, "content-length": "-1"}, 400, "invalid_callback"),
            ("GET", RESULTS, None, {}, 405, "method_not_allowed"),
            ("GET", "/made/up", None, {}, 404, "not_found"),
        ],
    )
    def test_refusals_are_those_of_the_server(
        self,
        built: Callable[[str], aws_lambda.Handler],
        method: str,
        path: str,
        body: bytes | None,
        headers: dict[str, str],
        status: int,
        code: str,
    ) -> None:
        found = called(built("hud_handler"), event(method, path, body, headers))
        assert (found[0], found[1]["code"]) == (status, code)

    def test_the_pages_are_there(self, built: Callable[[str], aws_lambda.Handler]) -> None:
        status, page = called(built("hud_handler"), event("GET", "/oot"))
        assert status == 200
        assert page.startswith("<!doctype html>")

    def test_it_is_ready(self, built: Callable[[str], aws_lambda.Handler]) -> None:
        assert called(built("hud_handler"), event("GET", "/readyz"))[0] == 200


@pytest.mark.parametrize(("name", "taken", "shown"), [("results_handler", 200, 404), ("pages_handler", 404, 200)])
def test_results_and_pages_have_a_function_each(
    built: Callable[[str], aws_lambda.Handler], name: str, taken: int, shown: int
) -> None:
    body = json.dumps(relay_payload(repo=new_repo())).encode()
    assert called(built(name), event("POST", RESULTS, body, {"x-hud-internal-bot": TOKEN}))[0] == taken
    assert called(built(name), event("GET", "/oot"))[0] == shown


class TestRestApi:
    """The same behind API Gateway's REST API, which AWS WAF can be attached to."""

    @pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
    @pytest.mark.parametrize("path", [RESULTS, f"{RESULTS}/", "/api/crcr/results"])
    def test_a_result_is_stored(
        self,
        built: Callable[[str], aws_lambda.Handler],
        path: str,
        packed: bool,  # noqa: FBT001 - a column
    ) -> None:
        body = json.dumps(relay_payload(repo=new_repo())).encode()
        headers = {"X-Hud-Internal-Bot": TOKEN} | ({"Content-Encoding": "gzip"} if packed else {})
        told = rest_event("POST", path, gzip.compress(body) if packed else body, headers)
        status, answer = called(built("results_handler"), told)
        assert (status, answer["outcome"]) == (200, "stored")

    @pytest.mark.parametrize(
        ("path", "status", "location"),
        [
            ("/", 307, "/oot"),
            ("/oot", 200, None),
            ("/oot/?days=30", 307, "/oot?days=30"),
            ("/oot.json?days=30", 200, None),
            ("/oot.atom", 200, None),
            ("/crcr/o/r?days=30", 308, "/oot/o/r?days=30"),
            ("/static/oot.js", 200, None),
            ("/nothing", 404, None),
        ],
    )
    def test_pages_are_shown(
        self, built: Callable[[str], aws_lambda.Handler], path: str, status: int, location: str | None
    ) -> None:
        answer = built("pages_handler")(rest_event("GET", path, None, {"Host": "evil.example"}), Context())
        found = {name.lower(): value for name, value in answer["headers"].items()}
        assert (answer["statusCode"], found.get("location")) == (status, location)
        assert "evil" not in json.dumps(answer)


class TestRelay:
    def test_a_callback_is_delivered(self, built: Callable[[str], aws_lambda.Handler], web: Web, stack: Stack) -> None:
        web.answers[RESULTS] = as_json({"ok": True, "outcome": "stored"})
        run_id = str(time.time_ns())
        minted = requests.post(
            f"{stack.state['github_url']}/_local/mint",
            json={"repo": stack.state["sample_repo"], "claims": {"run_id": run_id, "check_run_id": "987"}},
            timeout=60,
        )
        body = changed(COMPLETED_CALLBACK, {"workflow.run_id": run_id, "delivery_id": run_id})
        headers = {"authorization": f"Bearer {minted.json()['token']}"}
        told = event("POST", "/github/callback", json.dumps(body).encode(), headers)
        status, answer = called(built("relay_handler"), told)
        assert (status, answer["outcome"]) == (200, "delivered")
        (asked,) = web.asked
        assert json.loads(asked.body)["trusted"]["verified_repo"] == stack.state["sample_repo"]

    def test_strangers_are_refused(self, built: Callable[[str], aws_lambda.Handler]) -> None:
        status, answer = called(built("relay_handler"), event("POST", "/github/callback", b"{}"))
        assert (status, answer["code"]) == (401, "missing_token")


def put(dynamodb: DynamoDBClient, table: str, count: int) -> None:
    """Fill the outbox with what is due."""
    outbox, now = Outbox(dynamodb, table), time.time() - 60
    for number in range(count):
        entry = new_entry(relay_payload(repo=new_repo()), f"key-{number}", "completed", now)
        dynamodb.put_item(**outbox.put_item(entry)["Put"])


class TestOutbox:
    def test_what_is_due_is_tried(
        self,
        built: Callable[[str], aws_lambda.Handler],
        environment: Callable[[str, str], None],
        web: Web,
        dynamodb: DynamoDBClient,
        own_relay_table: str,
    ) -> None:
        environment("RELAY_TABLE", own_relay_table)
        web.answers[RESULTS] = as_json({"ok": True, "outcome": "stored"})
        put(dynamodb, own_relay_table, 3)
        handler = built("outbox_handler")
        assert handler({"source": "aws.events"}, Context()) == {"tried": 3}
        assert handler({}, Context()) == {"tried": 0}
        assert len(web.asked) == 3
        assert Outbox(dynamodb, own_relay_table).depth(QUEUE) == (0, None)

    def test_it_stops_while_there_is_time_to_finish(
        self,
        built: Callable[[str], aws_lambda.Handler],
        environment: Callable[[str, str], None],
        dynamodb: DynamoDBClient,
        own_relay_table: str,
    ) -> None:
        environment("RELAY_TABLE", own_relay_table)
        put(dynamodb, own_relay_table, 1)
        assert built("outbox_handler")({}, Context(milliseconds=14_000)) == {"tried": 0}

    def test_a_store_that_is_away_fails_the_invocation(
        self,
        built: Callable[[str], aws_lambda.Handler],
        environment: Callable[[str, str], None],
    ) -> None:
        environment("RELAY_TABLE", "no-such-table")
        with pytest.raises(Exception, match="ResourceNotFoundException"):
            built("outbox_handler")({}, Context())


def test_the_sweeper_counts_what_it_ended(
    built: Callable[[str], aws_lambda.Handler],
    environment: Callable[[str, str], None],
    dynamodb: DynamoDBClient,
    own_relay_table: str,
) -> None:
    environment("RELAY_TABLE", own_relay_table)
    jobs = JobStore(dynamodb, own_relay_table)
    key = f"{new_repo()}/d/w/j/1"
    job = jobs.read_job(key)
    start_payload = gzip.compress(json.dumps(relay_payload(IN_PROGRESS)).encode())
    now = time.time()
    after, _ = advance(job.job, Claim("in_progress", {}), now - 100)
    assert jobs.write(job, after, now=now - 100, deadline=now - 50, start_payload=start_payload)
    handler = built("sweep_handler")
    assert handler({}, Context()) == {"timed_out": 1, "orphans": 0}
    assert handler({}, Context()) == {"timed_out": 0, "orphans": 0}
    assert Outbox(dynamodb, own_relay_table).depth(QUEUE)[0] == 1


def test_the_sweeper_needs_nothing_but_its_table(
    built: Callable[[str], aws_lambda.Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HUD_API_TOKEN", "DISPATCH_TOKEN", "CALLBACK_SIGNING_KEY", "ALLOWLIST", "HUD_API_URL"):
        monkeypatch.delenv(name)
    assert callable(built("sweep_handler"))


def test_nothing_that_an_invocation_binds_is_there_in_the_next() -> None:
    def handle(event: dict[str, str], _context: object) -> dict[str, Any]:
        bind(**event)
        return dict(THREAD_LOCAL_KEYS.get())

    handler = handlers({"handler": lambda: handle})("handler")
    request = {"function_request_id": Context().aws_request_id}
    assert handler({"repo": "o/r"}, Context()) == {"repo": "o/r"} | request
    assert handler({}, Context()) == request
    assert THREAD_LOCAL_KEYS.get() == {}


def test_what_is_no_handler() -> None:
    with pytest.raises(AttributeError, match="hud_handler"):
        aws_lambda.made_up  # noqa: B018


@pytest.mark.parametrize(
    ("handler", "foreign"),
    [
        ("hud_handler", {"fastapi", "boto3", "jinja2", "requests", "jwt", "clickhouse_connect"}),
        ("results_handler", {"fastapi", "boto3", "jinja2", "requests", "jwt", "clickhouse_connect"}),
        ("pages_handler", {"boto3", "requests", "jwt"}),
        ("relay_handler", {"fastapi", "boto3", "jinja2", "clickhouse_connect", "github"}),
        ("outbox_handler", {"fastapi", "boto3", "jinja2", "clickhouse_connect", "mangum"}),
        ("sweep_handler", {"fastapi", "boto3", "jinja2", "clickhouse_connect", "mangum"}),
    ],
)
def test_a_cold_start_pays_for_no_other_parts(environment: object, handler: str, foreign: set[str]) -> None:
    code = f"import sys, hud_endpoint.aws_lambda as m; m.{handler}; print(*sys.modules)"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=True, cwd=root, env=os.environ
    )
    assert not foreign & set(done.stdout.split())
