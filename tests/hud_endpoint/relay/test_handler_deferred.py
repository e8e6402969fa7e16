"""Results that a job left behind, posted by the run that followed it: whose word counts, and what it can't do."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from hud_endpoint.contract import AUDIENCE, Dispatch
from hud_endpoint.errors import RefusedError
from hud_endpoint.relay.dispatch import sign_callback_token
from hud_endpoint.relay.forward import Delivered
from hud_endpoint.relay.issuers import KINDS
from tests.hud_endpoint.relay.desk import IDENTITY, KEY, REPO, Desk, new_table
from tests.hud_endpoint.relay.jobs import Job, refused
from tests.hud_endpoint.samples import ABSENT, COMPLETED_CALLBACK, IN_PROGRESS, SHA, changed

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient

    from oot_local.stack import Stack

DELIVERY = COMPLETED_CALLBACK["delivery_id"]
POSTER: dict[str, Any] = {"event_name": "workflow_run", "run_id": "900", "check_run_id": "901", "may_defer": True}


class Posted:
    """A desk with a HUD that takes everything, and one dispatch that it knows of."""

    def __init__(self, client: DynamoDBClient) -> None:
        self.sent: list[dict[str, Any]] = []
        self.desk = Desk(client, new_table(client), self._take)
        self.dispatch = Dispatch(repo=REPO, delivery_id=DELIVERY, pr_number=7, sha=SHA)
        self.desk.dispatches.record(self.dispatch, self.desk.clock())
        self.token = sign_callback_token(self.dispatch, KEY, time.time())

    def _take(self, payload: dict[str, Any]) -> Delivered:
        self.sent.append(payload)
        return Delivered(duplicate=False)

    def post(self, changes: dict[str, Any] | None = None, base: Any = COMPLETED_CALLBACK, **poster: Any) -> Any:
        body = changed(base, {"callback_token": self.token, **(changes or {})})
        return self.desk.post(body, poster.pop("token", "t"), **{**POSTER, **poster})


@pytest.fixture
def posted(dynamodb: DynamoDBClient) -> Posted:
    return Posted(dynamodb)


def test_it_is_taken_for_the_run_that_it_names_and_marked(posted: Posted) -> None:
    taken = posted.post()
    assert (taken.status_code, taken.body["outcome"]) == (200, "delivered")
    assert taken.body["dynamoKey"] == f"{REPO}/{DELIVERY}/npu-ci/test-float32/987"
    (payload,) = posted.sent
    assert payload["trusted"]["origin"] == "deferred"
    assert payload["trusted"]["verified_repo"] == REPO
    assert payload["trusted"]["dispatch_verified"] is True
    assert payload["untrusted"]["callback_payload"]["payload"]["pull_request"]["number"] == 7
    assert "callback_token" not in payload["untrusted"]["callback_payload"]


def test_its_times_are_not_the_posting_s(posted: Posted) -> None:
    posted.post(base=IN_PROGRESS)
    posted.desk.clock.now += 3  # type: ignore[attr-defined]
    posted.post()
    assert [payload["trusted"]["ci_metrics"] for payload in posted.sent] == [
        {"queue_time": None, "execution_time": None}
    ] * 2


@pytest.mark.parametrize("token", [ABSENT, None, "", "forged"])
def test_a_pull_request_s_result_needs_the_callback_token(posted: Posted, token: Any) -> None:
    with pytest.raises(RefusedError) as raised:
        posted.post({"callback_token": token})
    assert raised.value.code == "invalid_callback_token"
    assert not posted.sent


def test_the_callback_token_of_another_delivery_opens_nothing(posted: Posted) -> None:
    other = posted.dispatch.model_copy(update={"delivery_id": "other", "pr_number": 8})
    posted.desk.dispatches.record(other, posted.desk.clock())
    with pytest.raises(RefusedError) as raised:
        posted.post({"delivery_id": "other"})
    assert raised.value.code == "invalid_callback_token"


def test_a_delivery_that_nobody_sent_is_refused(posted: Posted) -> None:
    with pytest.raises(RefusedError) as raised:
        posted.post({"delivery_id": "invented"})
    assert raised.value.code == "no_dispatch"


def test_a_nightly_needs_no_token_and_speaks_for_no_pull_request(posted: Posted) -> None:
    posted.post({"callback_token": ABSENT, "event_type": "nightly", "delivery_id": SHA})
    assert "pull_request" not in posted.sent[0]["untrusted"]["callback_payload"]["payload"]
    assert posted.sent[0]["trusted"]["origin"] == "deferred"


@pytest.mark.parametrize("event", sorted(KINDS["github"].events - {"workflow_run"}))
def test_no_other_event_speaks_for_another_run(posted: Posted, event: str) -> None:
    with pytest.raises(RefusedError) as raised:
        posted.post(event_name=event, may_defer=False)
    assert raised.value.code == "run_mismatch"
    assert not posted.sent


def test_of_its_own_run_a_workflow_run_speaks_as_any_job(posted: Posted) -> None:
    posted.post({"workflow.run_id": "900", "workflow.check_run_id": "901"})
    assert posted.sent[0]["trusted"]["origin"] == "job"
    with pytest.raises(RefusedError) as raised:
        posted.post({"workflow.run_id": "900", "workflow.check_run_id": "987"}, token="u")
    assert raised.value.code == "run_mismatch"


@pytest.mark.parametrize("run_id", [ABSENT, None, ""])
def test_a_body_that_names_no_run_is_of_the_token_s(posted: Posted, run_id: Any) -> None:
    with pytest.raises(RefusedError) as raised:
        posted.post({"workflow.run_id": run_id})
    assert raised.value.code == "run_mismatch"


def test_one_token_speaks_for_one_job(posted: Posted) -> None:
    posted.post()
    with pytest.raises(RefusedError) as raised:
        posted.post({"workflow.check_run_id": "988"})
    assert raised.value.code == "replayed_token"
    assert posted.post({"workflow.check_run_id": "988"}, token="another").body["outcome"] == "delivered"


def test_the_same_again_is_a_duplicate(posted: Posted) -> None:
    posted.post()
    assert posted.post(token="another").body["outcome"] == "duplicate"
    assert len(posted.sent) == 1


def test_an_attempt_that_the_body_does_not_name_is_not_the_poster_s(posted: Posted) -> None:
    posted.post({"workflow.run_attempt": ABSENT}, run_attempt=4)
    assert posted.sent[0]["untrusted"]["callback_payload"]["workflow"]["run_attempt"] == 1


def test_only_github_s_tokens_defer() -> None:
    assert {name: kind.deferring_event for name, kind in KINDS.items()} == {
        "github": "workflow_run",
        "buildkite": "",
        "gitlab": "",
    }
    assert replace(IDENTITY, event_name="workflow_run").may_defer is False  # only the verifier says so


def test_over_the_wire(stack: Stack) -> None:
    job = Job(stack)
    token = job.dispatch()["callback_token"]
    body = job.body(changes={"callback_token": token})
    claims = {"run_id": "31", "check_run_id": "32"}
    refused(job.post(body, job.token(AUDIENCE, event_name="push", **claims)), "run_mismatch")
    answer = job.post(body, job.token(AUDIENCE, event_name="workflow_run", **claims))
    assert (answer.status_code, answer.json()["outcome"]) == (200, "delivered"), answer.text
    stranger = job.token(AUDIENCE, event_name="workflow_run", repository="northwind/pytorch-npu", **claims)
    refused(job.post(body, stranger), "no_dispatch")
