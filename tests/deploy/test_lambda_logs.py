"""The log of each Lambda function, run by AWS's own runtime client: what every line says, and what none ever holds."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import requests

from hud_endpoint.logs import REDACTED
from hud_endpoint.relay.outbox import Outbox, new_entry
from oot_replicator.rows.records import to_event
from tests.deploy.conftest import SECRET
from tests.deploy.lambda_function import InvocationError
from tests.deploy.log_probe import JWT
from tests.hud_endpoint.samples import new_repo, relay_payload
from tests.hud_endpoint.test_aws_lambda import RESULTS, event
from tests.oot_replicator.records import record
from tests.oot_replicator.test_s3_events import created as object_created
from tests.oot_replicator.test_s3_events import queued

if TYPE_CHECKING:
    from collections.abc import Callable

    from oot_local.stack import Stack
    from tests.deploy.conftest import Created
    from tests.deploy.lambda_function import LambdaFunction

SESSION_TOKEN = "FwoGZXIvYXdzEBYaDKh8q/session+token=="
SECRETS = (JWT, JWT.rpartition(".")[0], SESSION_TOKEN, SECRET, "plain-words-only", "local-secret-access-key")
EVENTS: dict[str, Callable[[Stack], dict[str, Any]]] = {
    "RelayFunction": lambda stack: event(
        "POST", "/github/callback", b"{", {"authorization": f"Bearer {minted(stack)}"}
    ),
    "ResultsFunction": lambda _: result(new_repo()),
    "PagesFunction": lambda _: event("GET", "/oot.json", None, {}),
    "OutboxFunction": lambda _: {},
    "SweepFunction": lambda _: {},
    "StreamReplicatorFunction": lambda _: {"Records": [to_event(record(first_seen="no time"))]},
    "VerifyFunction": lambda _: {"since": "1h", "lag": "0s"},
    "StatsReplicatorFunction": lambda _: queued(object_created("test_run/1/1")),
}


def minted(stack: Stack) -> str:
    body = {"repo": "example-org/torch-sample"}
    return str(requests.post(f"{stack.state['github_url']}/_local/mint", json=body, timeout=60).json()["token"])


def result(repo: str) -> dict[str, Any]:
    body = json.dumps(relay_payload(repo=repo)).encode()
    return event("POST", RESULTS, body, {"x-hud-internal-bot": SECRET})


def probed(functions: Callable[..., LambdaFunction], name: str, mode: str = "log") -> LambdaFunction:
    aws = {"AWS_SESSION_TOKEN": SESSION_TOKEN, "AWS_SECRET_ACCESS_KEY": "local-secret-access-key"}
    return functions(name, LOG_PROBE=mode, HUD_API_URL="http://127.0.0.1:9/api/oot/results", **aws)


def leaks(text: str, *more: str) -> list[str]:
    return [secret for secret in (*SECRETS, *more) if secret in text]


def invocations(function: LambdaFunction) -> list[list[dict[str, Any]]]:
    """Return the lines of each invocation, in order; each line after the start says which one it is of."""
    lines = function.lines()
    ids = [line.get("function_request_id", "") for line in lines]
    known = [request_id for request_id in dict.fromkeys(ids) if request_id]
    assert ids == sorted(ids, key=["", *known].index)
    return [[line for line in lines if line.get("function_request_id") == request_id] for request_id in known]


@pytest.mark.parametrize("name", EVENTS)
def test_no_line_of_any_function_holds_a_secret(
    functions: Callable[..., LambdaFunction], name: str, stack: Stack
) -> None:
    function = probed(functions, name)
    events = [EVENTS[name](stack) for _ in range(2)]
    for told in events:
        function(told)
    tokens = [told["headers"].get("authorization", "Bearer -").split()[1] for told in events if "headers" in told]
    lines = function.lines()
    assert leaks(function.log, *(token for token in tokens if token != "-")) == []
    assert [line for line in lines if not {"timestamp", "level", "message", "logger", "location"} <= set(line)] == []
    assert [line["message"] for line in lines].count(f"a token: {REDACTED}") >= 2
    assert [line for line in lines if line["message"].startswith("%d bytes of %s")], "a line that can't be formatted"
    failures = [line for line in lines if line["message"] == "it failed"]
    assert all(f"ValueError: {REDACTED}" in line["exception"] for line in failures)
    loud = {line["logger"].partition(".")[0] for line in lines if line["level"] == "DEBUG"}
    assert {"botocore", "urllib3"} <= loud
    assert len(invocations(function)) == 2


@pytest.mark.parametrize("name", EVENTS)
def test_no_error_that_a_function_reports_holds_a_secret(
    functions: Callable[..., LambdaFunction], name: str, stack: Stack
) -> None:
    function = probed(functions, name, "raise")
    try:
        answer = json.dumps(function(EVENTS[name](stack)))
    except InvocationError as error:
        answer = str(error)
        assert REDACTED in answer
    assert leaks(answer) == []
    named_by_class = name in ("ResultsFunction", "PagesFunction")  # they log the class of such an error alone
    assert REDACTED in function.log or named_by_class
    assert leaks(function.log) == []


def test_a_function_that_cannot_start_says_why_in_a_line(functions: Callable[..., LambdaFunction]) -> None:
    function = functions("RelayFunction", DISPATCH_POLICY="perhaps")
    with pytest.raises(InvocationError, match=r"Settings are missing or wrong.*DISPATCH_POLICY.*HandlerError"):
        function(event("GET", "/healthz"))
    (line,) = [line for line in function.lines() if line["level"] == "CRITICAL"]
    assert line["message"].startswith("Settings are missing or wrong")


def test_an_invocation_says_nothing_of_the_one_before_it(
    functions: Callable[..., LambdaFunction], created: Created, local_aws: dict[str, Any]
) -> None:
    hud = probed(functions, "ResultsFunction")
    repos = [new_repo(), new_repo()]
    for repo in repos:
        answer = hud(result(repo))
        assert answer["statusCode"] == 200, answer
    assert hud(event("GET", "/readyz"))["statusCode"] == 200
    about = [{line["repo"] for line in lines if "repo" in line} for lines in invocations(hud)]
    assert about == [{repos[0]}, {repos[1]}, set()]

    outbox_function = probed(functions, "OutboxFunction")
    dynamodb = boto3.client("dynamodb", **local_aws)
    outbox = Outbox(dynamodb, created.outputs["RelayTableName"])
    for repo in repos:
        entry = new_entry(relay_payload(repo=repo), "a-key", "completed", time.time() - 60)
        dynamodb.put_item(**outbox.put_item(entry)["Put"])
    assert outbox_function({})["tried"] == 2
    assert outbox_function({})["tried"] == 0
    first, second = invocations(outbox_function)
    assert {line["repo"] for line in first if "repo" in line} == set(repos)
    assert "repo" not in first[-1], "a line after its entries is about none of them"
    assert [line for line in second if "repo" in line] == []
