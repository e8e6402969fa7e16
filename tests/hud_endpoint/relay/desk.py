"""A Result Handler of a test's own: on real tables, with a clock that the test turns and a HUD that the test plays."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson
import requests

from hud_endpoint.contract import RELAY_TABLE
from hud_endpoint.events import Grant
from hud_endpoint.relay.allowlist import parse_allowlist
from hud_endpoint.relay.dispatch import Dispatches, dispatch_key, parse_dispatch
from hud_endpoint.relay.github_runs import GitHubRun, GitHubRuns
from hud_endpoint.relay.handler import ResultHandler
from hud_endpoint.relay.job_store import JobStore
from hud_endpoint.relay.oidc import Identity, Verifier
from hud_endpoint.relay.outbox import Outbox
from hud_endpoint.relay.rate_limit import RateLimiter
from hud_endpoint.settings import RelaySettings
from oot_ops.create_tables import dynamodb_tables

if TYPE_CHECKING:
    from collections.abc import Callable

    from types_boto3_dynamodb.client import DynamoDBClient

    from hud_endpoint.relay.dispatch import Recorded
    from hud_endpoint.relay.forward import Answer
    from hud_endpoint.relay.handler import CallbackResponse
    from hud_endpoint.relay.outbox import Bodies

REPO = "spec/backend"
KEY = "k" * 64
ALLOWLIST = parse_allowlist(f"L2: [{REPO}]")
IDENTITY = Identity(
    repo=REPO,
    repository_id="77",
    repository_owner_id="7",
    run_id="240",
    run_attempt=1,
    check_run_id="987",
    event_name="repository_dispatch",
    workflow_ref=f"{REPO}/.github/workflows/ci.yml@refs/heads/main",
    ref="refs/heads/main",
    sha="f" * 40,
    token_id="a-token",
    issuer="https://token.actions.githubusercontent.com",
    grant=Grant.DISPATCHED,
)
SCHEDULED = replace(IDENTITY, event_name="schedule", grant=Grant.SELF_REPORTED)


def find_dispatch(client: DynamoDBClient, table: str, repo: str, delivery_id: str) -> Recorded | None:
    """Return the record of a delivery to a repo, as it is stored."""
    key = {"pk": {"S": dispatch_key(repo, delivery_id)}}
    item = client.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item")
    return parse_dispatch(item) if item else None


def new_table(client: DynamoDBClient, like: str = RELAY_TABLE) -> str:
    """Create a table that holds nothing of other tests, a relay table or one like another of ours."""
    name = f"{like}-{uuid.uuid4().hex}"
    [table] = [table for table in dynamodb_tables() if table["TableName"] == like]
    client.create_table(**{**table, "TableName": name})
    return name


class Unlimited(RateLimiter):
    """Lets everything in: desks share a table, and each has a time of its own."""

    def take(self, repo: str, now: float, run: str = "") -> None:
        """Count nothing."""


@dataclass
class Clock:
    """The time, as the test has it."""

    now: float = 1_790_000_000.25

    def __call__(self) -> float:
        return self.now


class Desk:
    """The handler and its parts."""

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        send: Callable[[dict[str, Any]], Answer],
        *,
        clock: Callable[[], float] | None = None,
        bodies: Bodies | None = None,
        limiter: RateLimiter | None = None,
        **settings: Any,
    ) -> None:
        self.clock = clock or Clock()
        self.jobs, self.outbox = JobStore(client, table), Outbox(client, table, bodies, self.clock)
        self.runs: dict[str, str] = {}  # the event of each run that GitHub knows
        self.dispatches = Dispatches(client, table)
        told: dict[str, Any] = {
            "hud_api_url": "http://127.0.0.1:9/api",
            "hud_api_token": "t" * 16,
            "dispatch_token": "t" * 16,
            "callback_signing_key": KEY,
            "allowlist": "unused",
            **settings,
        }
        self.send = send
        self.handler = ResultHandler(
            RelaySettings(**told),
            verifier=Verifier([], "unused", requests.Session()),
            allowlist=ALLOWLIST,
            limiter=limiter or Unlimited(client, table, 60_000),
            dispatches=self.dispatches,
            jobs=self.jobs,
            outbox=self.outbox,
            send=send,
            runs=GitHubRuns(self.ask_for_run),
            clock=self.clock,
        )

    def ask_for_run(self, _repo: str, run_id: str) -> GitHubRun | None:
        return GitHubRun(self.runs[run_id], IDENTITY.repository_id) if run_id in self.runs else None

    def post(self, body: dict[str, Any], token: str, **proven: Any) -> CallbackResponse:
        """Post a callback with a token of this name. Raises RefusedError."""
        identity = replace(IDENTITY, token_id=token, **proven)
        return self.handler.accept(identity, ALLOWLIST.entry(REPO), orjson.dumps(body))

    def drain(self) -> int:
        """Do one round of the worker."""
        return self.outbox.drain(self.send, self.handler.undo_step)
