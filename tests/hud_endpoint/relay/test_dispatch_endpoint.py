"""`POST /internal/dispatch` over real sockets: for the upstream's webhook alone, and idempotent."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import requests

from hud_endpoint.app import relay
from hud_endpoint.contract import Dispatch
from hud_endpoint.errors import RefusedError
from hud_endpoint.relay.forward import Delivered
from hud_endpoint.settings import RelaySettings
from tests.hud_endpoint.relay.desk import KEY, Desk
from tests.hud_endpoint.relay.desk import REPO as DESKS_REPO
from tests.hud_endpoint.relay.jobs import REPO, refused
from tests.hud_endpoint.samples import COMPLETED_CALLBACK, SHA, changed

if TYPE_CHECKING:
    from pathlib import Path

    from types_boto3_dynamodb.client import DynamoDBClient

    from oot_local.stack import Stack
    from tests.hud_endpoint.conftest import Serve


@pytest.mark.usefixtures("nothing_new")
class TestDispatchEndpoint:
    def post(self, stack: Stack, body: Any, token: str | None = None) -> requests.Response:
        headers = {"x-relay-dispatch-token": stack.state["internal_api_token"] if token is None else token}
        kind = "json" if isinstance(body, dict) else "data"
        url = f"{stack.state['relay_url']}/internal/dispatch"
        return requests.post(url, headers=headers, timeout=60, **{kind: body})

    def body(self, **changes: Any) -> dict[str, Any]:
        return {"repo": REPO, "delivery_id": str(uuid.uuid4()), "pr_number": 7, "sha": SHA, **changes}

    def test_gives_a_callback_token(self, stack: Stack) -> None:
        body = self.body()
        for _ in range(2):  # GitHub delivers its webhooks again
            answer = self.post(stack, body)
            assert answer.status_code == 200
            assert answer.json()["delivery_id"] == body["delivery_id"]
            assert answer.json()["callback_token"].count(".") == 2

    def test_refuses_another_content(self, stack: Stack) -> None:
        body = self.body()
        self.post(stack, body)
        refused(self.post(stack, {**body, "pr_number": 8}), "dispatch_conflict")

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({"repo": "someone/else"}, "repo_not_allowed"),
            ({"repo": "someone"}, "invalid_callback"),
            ({"sha": "main"}, "invalid_callback"),
            ({"pr_number": "7"}, "invalid_callback"),
            ({"padding": "x" * 17_000}, "body_too_large"),
        ],
    )
    def test_refuses(self, stack: Stack, body: dict[str, Any], code: str) -> None:
        refused(self.post(stack, self.body(**body)), code)

    @pytest.mark.parametrize("token", ["", "wrong", "é"])
    def test_is_for_the_upstream_alone(self, stack: Stack, token: str) -> None:
        refused(self.post(stack, self.body(), token), "invalid_service_token")


@pytest.mark.parametrize(
    ("previous", "token", "accepted"),
    [("", "new", True), ("", "old", False), ("old", "new", True), ("old", "old", True), ("old", "other", False)],
)
@pytest.mark.usefixtures("aws_environment")
def test_two_tokens_are_accepted_while_one_is_rotated(
    serve: Serve,
    tmp_path: Path,
    previous: str,
    token: str,
    accepted: bool,  # noqa: FBT001 - a column
) -> None:
    allowlist = tmp_path / "allowlist.yaml"
    allowlist.write_text("L2: [a/b]\n")
    settings = RelaySettings(
        hud_api_url="http://127.0.0.1:9/api",
        hud_api_token="t" * 16,
        dispatch_token="new" * 8,
        dispatch_token_previous=previous * 8 or None,
        callback_signing_key="k" * 32,
        allowlist=str(allowlist),
    )
    url = f"{serve(relay(settings))}/internal/dispatch"
    answer = requests.post(url, json={}, headers={"x-relay-dispatch-token": token * 8}, timeout=60)
    refused(answer, "invalid_callback" if accepted else "invalid_service_token")


def test_jobs_that_run_keep_their_tokens_while_the_signing_key_is_rotated(
    dynamodb: DynamoDBClient, relay_table: str
) -> None:
    def desk(**settings: Any) -> Desk:
        return Desk(dynamodb, relay_table, lambda _: Delivered(duplicate=False), clock=time.time, **settings)

    delivery = str(uuid.uuid4())
    before = desk()
    told = Dispatch(repo=DESKS_REPO, delivery_id=delivery, pr_number=7, sha=SHA)
    token = before.handler.register(told, before.clock())["callback_token"]
    body = changed(COMPLETED_CALLBACK, {"delivery_id": delivery, "callback_token": token})
    with pytest.raises(RefusedError) as caught:
        desk(callback_signing_key="n" * 32).post(body, "first")
    assert caught.value.code == "invalid_callback_token"
    taken = desk(callback_signing_key="n" * 32, callback_signing_key_previous=KEY).post(body, "second")
    assert taken.body["outcome"] == "delivered"
