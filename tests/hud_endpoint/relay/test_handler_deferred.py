"""Results that a job left behind, posted by the run that followed it: whose word counts, and what it can't do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from hud_endpoint.contract import AUDIENCE, Dispatch
from hud_endpoint.errors import RefusedError
from hud_endpoint.events import GITHUB_EVENTS, Grant
from hud_endpoint.relay.dispatch import sign_callback_token
from hud_endpoint.relay.forward import Delivered
from hud_endpoint.relay.github_runs import GitHubRun, GitHubRuns
from hud_endpoint.relay.issuers import PROFILES
from tests.hud_endpoint.relay.desk import KEY, REPO, Desk, new_table
from tests.hud_endpoint.relay.jobs import Job, refused
from tests.hud_endpoint.samples import ABSENT, COMPLETED_CALLBACK, IN_PROGRESS, SHA, changed

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient

    from oot_local.stack import Stack

DELIVERY = COMPLETED_CALLBACK["delivery_id"]
POSTER: dict[str, Any] = {
    "event_name": "workflow_run",
    "run_id": "900",
    "check_run_id": "901",
    "grant": Grant.ORIGINAL_RUN,
}


class Posted:
    """A desk with a HUD that takes everything, and one dispatch that it knows of."""

    def __init__(self, client: DynamoDBClient) -> None:
        self.sent: list[dict[str, Any]] = []
        self.desk = Desk(client, new_table(client), self._take)
        self.dispatch = Dispatch(repo=REPO, delivery_id=DELIVERY, pr_number=7, sha=SHA)
        self.desk.dispatches.record(self.dispatch, self.desk.clock())
        self.desk.runs["240"] = "repository_dispatch"  # the run that the callbacks are about
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
    posted.desk.runs["240"] = "schedule"
    posted.post({"callback_token": ABSENT, "event_type": "nightly", "delivery_id": SHA})
    assert "pull_request" not in posted.sent[0]["untrusted"]["callback_payload"]["payload"]
    assert posted.sent[0]["trusted"]["origin"] == "deferred"


@pytest.mark.parametrize("event", sorted(GITHUB_EVENTS.keys() - {"workflow_run"}))
def test_no_other_event_speaks_for_another_run(posted: Posted, event: str) -> None:
    with pytest.raises(RefusedError) as raised:
        posted.post(event_name=event, grant=GITHUB_EVENTS[event])
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
    deferring = [
        (name, event)
        for name, profile in PROFILES.items()
        for event, grant in profile.events.items()
        if grant is Grant.ORIGINAL_RUN
    ]
    assert deferring == [("github", "workflow_run")]


@pytest.mark.parametrize(
    ("event", "changes", "code"),
    [
        # A stranger's pull request started the run, and its code chose the word.
        ("repository_dispatch", {"event_type": "nightly", "delivery_id": SHA}, "event_mismatch"),
        ("repository_dispatch", {"event_type": "periodic", "delivery_id": SHA}, "event_mismatch"),
        ("repository_dispatch", {"event_type": "nightly"}, "event_mismatch"),  # of the dispatched delivery itself
        ("schedule", {}, "event_mismatch"),
        ("workflow_dispatch", {}, "event_mismatch"),
        ("push", {"event_type": "nightly", "delivery_id": SHA}, "event_mismatch"),
        ("pull_request", {}, "event_mismatch"),
        ("pull_request", {"event_type": "nightly", "delivery_id": SHA}, "event_mismatch"),
        ("workflow_run", {}, "event_mismatch"),
        ("made_up", {}, "event_mismatch"),
        (None, {}, "run_not_found"),
    ],
)
def test_it_may_report_what_its_own_run_could(
    posted: Posted, event: str | None, changes: dict[str, Any], code: str
) -> None:
    posted.desk.runs.clear()
    if event:
        posted.desk.runs["240"] = event
    with pytest.raises(RefusedError) as raised:
        posted.post(changes)
    assert (raised.value.code, raised.value.status) == (code, 403)
    assert not posted.sent


def test_what_github_cannot_say_is_not_taken_now(posted: Posted) -> None:
    def away(_repo: str, _run_id: str) -> None:
        raise LookupError("HTTP 502")

    posted.desk.handler._runs = GitHubRuns(away)
    with pytest.raises(RefusedError) as raised:
        posted.post()
    assert (raised.value.code, raised.value.status) == ("github_unavailable", 503)
    assert raised.value.retry_after
    assert not posted.sent


def test_a_run_of_another_repo_is_none_of_its_own(posted: Posted) -> None:
    posted.desk.handler._runs = GitHubRuns(lambda _repo, _run_id: GitHubRun("repository_dispatch", "78"))
    with pytest.raises(RefusedError) as raised:
        posted.post()
    assert raised.value.code == "run_mismatch"


def add_run(stack: Stack, job: Job, event: str) -> None:
    run = {"repo": job.repo, "id": int(job.run_id), "event": event}
    requests.post(f"{stack.state['github_api_url']}/_local/runs", json=run, timeout=60).raise_for_status()


def test_over_the_wire(stack: Stack) -> None:
    job = Job(stack)
    token = job.dispatch()["callback_token"]
    body = job.body(changes={"callback_token": token})
    claims = {"run_id": "31", "check_run_id": "32"}
    add_run(stack, job, "repository_dispatch")
    refused(job.post(body, job.token(AUDIENCE, event_name="push", **claims)), "run_mismatch")
    answer = job.post(body, job.token(AUDIENCE, event_name="workflow_run", **claims))
    assert (answer.status_code, answer.json()["outcome"]) == (200, "delivered"), answer.text
    add_run(stack, Job(stack, repo="northwind/pytorch-npu", run_id=job.run_id), "repository_dispatch")
    stranger = job.token(AUDIENCE, event_name="workflow_run", repository="northwind/pytorch-npu", **claims)
    refused(job.post(body, stranger), "no_dispatch")
