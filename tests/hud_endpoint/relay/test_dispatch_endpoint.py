"""`POST /internal/dispatch` over real sockets: for the upstream's webhook alone, and idempotent."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.hud_endpoint.relay.jobs import REPO, refused
from tests.hud_endpoint.samples import SHA

if TYPE_CHECKING:
    from scripts.local.stack import Stack


@pytest.mark.usefixtures("nothing_new")
class TestDispatchEndpoint:
    def post(self, stack: Stack, body: Any, token: str | None = None) -> requests.Response:
        headers = {"x-relay-dispatch-token": stack.state["internal_api_token"] if token is None else token}
        kind = "json" if isinstance(body, dict) else "data"
        url = f"{stack.state['relay_url']}/internal/dispatch"
        return requests.post(url, headers=headers, timeout=10, **{kind: body})

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
