"""What the relay tells HUD of a callback: all that it vouches for, and the body without what nobody vouches for."""

from __future__ import annotations

import json
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from hud_endpoint.contract import Dispatch
from hud_endpoint.events import Grant
from hud_endpoint.relay.dispatch import Dispatches, sign_callback_token
from hud_endpoint.relay.forward import forward
from tests.hud_endpoint.relay.desk import KEY, Desk
from tests.hud_endpoint.samples import COMPLETED_CALLBACK, IN_PROGRESS, SHA, changed
from tests.hud_endpoint.web import Web, as_json

if TYPE_CHECKING:
    import requests
    from types_boto3_dynamodb.client import DynamoDBClient


@pytest.fixture
def dispatches(dynamodb: DynamoDBClient, relay_table: str) -> Dispatches:
    return Dispatches(dynamodb, relay_table)


class Relay:
    """The handler before a HUD that only listens."""

    def __init__(self, web: Web, session: requests.Session, dynamodb: DynamoDBClient, table: str, **told: Any) -> None:
        web.answers["/api"] = as_json({"ok": True})
        self.web = web
        hud = f"{web.url}/api"
        self.desk = Desk(dynamodb, table, lambda payload: forward(session, hud, "t", payload), clock=time.time, **told)

    def forwarded(self, body: dict[str, Any], **claims: Any) -> dict[str, Any]:
        """Return what HUD is told of a callback."""
        taken = self.desk.post(body, uuid.uuid4().hex, **claims)
        assert (taken.status_code, taken.body["outcome"]) == (200, "delivered")
        told: dict[str, Any] = json.loads(self.web.asked[-1].body)
        return told


@pytest.fixture
def relay(web: Web, session: requests.Session, dynamodb: DynamoDBClient, relay_table: str) -> Relay:
    return Relay(web, session, dynamodb, relay_table)


@pytest.fixture
def dispatched(dispatches: Dispatches) -> Dispatch:
    dispatch = Dispatch(repo="spec/backend", delivery_id=str(uuid.uuid4()), pr_number=7, sha="a" * 40)
    dispatches.record(dispatch, time.time() - 60)
    return dispatch


def body(dispatch: Dispatch, base: dict[str, Any] = COMPLETED_CALLBACK, **more: Any) -> dict[str, Any]:
    return changed(base, {"delivery_id": dispatch.delivery_id, **more})


def test_what_it_vouches_for(relay: Relay, dispatched: Dispatch) -> None:
    trusted = relay.forwarded(body(dispatched))["trusted"]
    received_at = datetime.fromisoformat(trusted.pop("received_at"))
    assert abs((datetime.now(UTC) - received_at).total_seconds()) < 60
    assert trusted == {
        "verified_repo": "spec/backend",
        "downstream_repo_level": "L2",
        "ci_metrics": {"queue_time": None, "execution_time": None},
        "dispatch_verified": True,
        "commit_verified": None,
        "origin": "job",
        "repository_id": "77",
        "workflow_ref": "spec/backend/.github/workflows/ci.yml@refs/heads/main",
        "event_name": "repository_dispatch",
        "ref": "refs/heads/main",
        "sha": "f" * 40,
    }


def test_it_measures_the_queue(relay: Relay, dispatched: Dispatch) -> None:
    measured = relay.forwarded(body(dispatched, IN_PROGRESS))["trusted"]["ci_metrics"]["queue_time"]
    assert 60 <= measured < 120


def test_the_body_goes_on_as_it_came_but_for_what_the_record_knows(relay: Relay, dispatched: Dispatch) -> None:
    token = sign_callback_token(dispatched, KEY, time.time())
    sent = body(dispatched, made_up={"x": [1.5, None]}, callback_token=token)
    told = relay.forwarded(sent)["untrusted"]["callback_payload"]
    record = {
        "repository": {"full_name": "pytorch/pytorch"},
        "head_sha": "a" * 40,
        "pull_request": {"number": 7, "head": {"sha": "a" * 40}},
    }
    assert told == {name: value for name, value in sent.items() if name != "callback_token"} | {"payload": record}


@pytest.mark.parametrize("event_type", ["nightly", "periodic"])
def test_a_nightly_goes_on_without_its_pull_request(relay: Relay, event_type: str) -> None:
    nightly = {"event_type": event_type, "payload.head_sha": SHA, "delivery_id": str(uuid.uuid4())}
    told = relay.forwarded(changed(COMPLETED_CALLBACK, nightly), grant=Grant.SELF_REPORTED)
    payload = told["untrusted"]["callback_payload"]["payload"]
    assert payload == {"repository": {"full_name": "pytorch/pytorch"}, "head_sha": SHA}
    assert told["trusted"]["dispatch_verified"] is False


def test_an_optional_dispatch_is_marked_as_missing(
    web: Web, session: requests.Session, dynamodb: DynamoDBClient, relay_table: str
) -> None:
    relay = Relay(web, session, dynamodb, relay_table, dispatch_policy="optional")
    told = relay.forwarded(changed(COMPLETED_CALLBACK, {"delivery_id": str(uuid.uuid4())}))
    assert told["trusted"]["dispatch_verified"] is False
    assert told["untrusted"]["callback_payload"]["payload"] == COMPLETED_CALLBACK["payload"]
