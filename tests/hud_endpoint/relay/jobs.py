"""Downstream jobs that report to the stack's relay, and how to read what it answers."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import requests

from hud_endpoint.contract import AUDIENCE
from hud_endpoint.errors import CODES
from oot_local.github import register_dispatch
from tests.hud_endpoint.samples import COMPLETED_CALLBACK, SHA, changed

if TYPE_CHECKING:
    from oot_local.stack import Stack

REPO = "example-org/torch-sample"
NEWCOMER = "example-org/torch-newcomer"


@dataclass
class Job:
    """One job of a downstream repo, with a dispatch of its own."""

    stack: Stack
    repo: str = REPO
    delivery_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    run_id: str = field(default_factory=lambda: str(uuid.uuid4().int % 10**12))
    check_run_id: str = field(default_factory=lambda: str(uuid.uuid4().int % 10**12))

    def dispatch(self, pr_number: int = 7, sha: str = SHA, event_type: str = "pull_request") -> dict[str, Any]:
        """Register the dispatch, as the upstream does; gives the client_payload."""
        state = self.stack.state
        return register_dispatch(state, self.repo, pr_number, sha, event_type=event_type, delivery_id=self.delivery_id)

    def token(self, audience: str = AUDIENCE, **claims: str) -> str:
        own = {"run_id": self.run_id, "check_run_id": self.check_run_id}
        body = {"repo": self.repo, "claims": own | claims, "audience": audience}
        answer = requests.post(f"{self.stack.state['github_url']}/_local/mint", json=body, timeout=60)
        return str(answer.json()["token"])

    def body(self, base: dict[str, Any] = COMPLETED_CALLBACK, changes: dict[str, Any] | None = None) -> dict[str, Any]:
        own = {"delivery_id": self.delivery_id, "workflow.run_id": self.run_id}
        return changed(base, {**own, "workflow.check_run_id": self.check_run_id, **(changes or {})})

    def post(self, body: Any, token: str | None = None) -> requests.Response:
        headers = {"authorization": f"Bearer {self.token() if token is None else token}"}
        kind = "json" if isinstance(body, dict) else "data"
        url = f"{self.stack.state['relay_url']}/github/callback"
        return requests.post(url, headers=headers, timeout=60, **{kind: body})

    def report(
        self, base: dict[str, Any] = COMPLETED_CALLBACK, changes: dict[str, Any] | None = None, **claims: str
    ) -> dict[str, Any]:
        """Report with a token of these claims, and return the answer; it must be 200."""
        answer = self.post(self.body(base, changes), self.token(**claims))
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


def refused(answer: requests.Response, code: str) -> str:
    told: dict[str, str] = answer.json()
    assert (answer.status_code, told["code"]) == (CODES[code], code), answer.text
    assert set(told) == {"detail", "code"}
    assert len(told["detail"]) < 500
    return told["detail"]
