"""Callbacks through the real relay to the real store: who is heard, what is believed, and no refusal leaves a trace."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import requests

from hud_endpoint.contract import AUDIENCE, RELAY_BODY_BYTES, RESULTS_TABLE
from tests.hud_endpoint.relay.jobs import NEWCOMER, REPO, Job, refused
from tests.hud_endpoint.samples import ABSENT, IN_PROGRESS

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient

    from oot_local.stack import Stack


@pytest.fixture
def job(stack: Stack) -> Job:
    return Job(stack)


def stored(dynamodb: DynamoDBClient, answer: dict[str, Any]) -> dict[str, Any]:
    item = dynamodb.get_item(TableName=RESULTS_TABLE, Key={"dynamoKey": {"S": answer["dynamoKey"]}})["Item"]
    return {name: next(iter(value.values())) for name, value in item.items()}


@pytest.mark.usefixtures("nothing_new")
class TestRefusals:
    @pytest.mark.parametrize(
        ("audience", "claims", "code"),
        [
            ("sigstore", {}, "wrong_audience"),
            (AUDIENCE, {"event_name": "pull_request_target"}, "event_not_accepted"),
            (AUDIENCE, {"event_name": "pull_request"}, "event_not_accepted"),
            (AUDIENCE, {"iss": "https://token.actions.githubusercontent.com"}, "unknown_issuer"),
            (AUDIENCE, {"repository": "a/b/c"}, "invalid_token"),
            (AUDIENCE, {"repository": "someone/else"}, "repo_not_allowed"),
            (AUDIENCE, {"repository": "example-org/torch-sample2"}, "repo_not_allowed"),
        ],
    )
    def test_of_who_calls(self, job: Job, audience: str, claims: dict[str, str], code: str) -> None:
        job.dispatch()
        refused(job.post(job.body(), job.token(audience, **claims)), code)

    @pytest.mark.parametrize(("token", "code"), [("", "missing_token"), ("x", "invalid_token"), ("é", "invalid_token")])
    def test_of_what_is_no_token(self, job: Job, token: str, code: str) -> None:
        refused(job.post(job.body(), token), code)

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b"", "invalid_json"),
            (b"{", "invalid_json"),
            (b"\xff", "invalid_json"),
            (b"[" * 100_000, "invalid_json"),
            (b"[]", "invalid_callback"),
            (b"null", "invalid_callback"),
            (b"{}", "invalid_callback"),
        ],
    )
    def test_of_what_is_no_callback(self, job: Job, body: bytes, code: str) -> None:
        refused(job.post(body), code)

    @pytest.mark.parametrize(
        ("changes", "code", "told"),
        [
            ({"delivery_id": ABSENT}, "invalid_callback", "delivery_id: Field required"),
            ({"workflow": ABSENT}, "invalid_callback", "workflow: Field required"),
            ({"workflow.name": ABSENT}, "invalid_callback", "workflow.name: Field required"),
            ({"workflow.conclusion": None}, "invalid_callback", "needs a conclusion"),
            ({"workflow.run_id": "1"}, "run_mismatch", "workflow.run_id is 1, but the token was issued to"),
            ({"workflow.run_id": "A" * 500}, "run_mismatch", "workflow.run_id is AAAA"),
            ({"workflow.run_attempt": 2}, "run_mismatch", "workflow.run_attempt is 2, but the token was issued to 1"),
            ({"workflow.check_run_id": "1"}, "run_mismatch", "workflow.check_run_id is 1, but"),
            ({"workflow.check_run_id": "A" * 500}, "run_mismatch", "workflow.check_run_id is AAAA"),
            ({"delivery_id": "invented"}, "no_dispatch", "No dispatch invented was sent to example-org/torch-sample"),
            ({"delivery_id": "A" * 500}, "no_dispatch", "No dispatch AAAA"),
            ({"event_type": "push", "delivery_id": "invented"}, "no_dispatch", "No dispatch invented"),
            ({"event_type": "Nightly", "delivery_id": "invented"}, "no_dispatch", "No dispatch invented"),
            ({"callback_token": "forged"}, "invalid_callback_token", "echo it unchanged"),
            ({"event_type": "nightly"}, "event_mismatch", "was dispatched as pull_request"),
            ({"event_type": "nightly", "delivery_id": "0" * 40}, "event_mismatch", "A run of the event repository_dis"),
            (
                {
                    "event_type": "nightly",
                    "delivery_id": "é" * 256,
                    "workflow.name": "n" * 512,
                    "workflow.job_name": "é" * 500,
                },
                "key_too_long",
                "shorten the workflow name",
            ),
        ],
        ids=lambda value: value if isinstance(value, str) else None,
    )
    def test_of_what_the_body_says(self, job: Job, changes: dict[str, Any], code: str, told: str) -> None:
        job.dispatch()
        if code == "key_too_long":
            job.check_run_id = "9" * 500
        assert told in refused(job.post(job.body(changes=changes)), code)

    def test_of_the_callback_token_of_another_dispatch(self, job: Job) -> None:
        job.dispatch()
        token = Job(job.stack).dispatch()["callback_token"]
        answer = job.post(job.body(changes={"callback_token": token}))
        assert "belongs to another dispatch" in refused(answer, "invalid_callback_token")

    def test_of_a_dispatch_to_another_repo(self, job: Job) -> None:
        other = Job(job.stack, repo="example-labs/torch-falcon", delivery_id=job.delivery_id)
        other.dispatch()
        refused(job.post(job.body()), "no_dispatch")

    @pytest.mark.parametrize("chunked", [False, True])
    def test_of_a_body_of_3_mb(self, job: Job, chunked: bool) -> None:  # noqa: FBT001 - a column
        body = b" " * (3 * 1024 * 1024)
        told = refused(job.post(iter([body]) if chunked else body), "body_too_large")
        assert told == f"The body has more than {RELAY_BODY_BYTES:,} bytes: send fewer test details."

    @pytest.mark.parametrize(
        ("method", "path", "code"), [("GET", "/github/callback", "method_not_allowed"), ("POST", "/x", "not_found")]
    )
    def test_of_what_is_not_there(self, stack: Stack, method: str, path: str, code: str) -> None:
        refused(requests.request(method, stack.state["relay_url"] + path, timeout=60), code)

    def test_a_repo_at_l1_is_ignored_and_told_so(self, stack: Stack) -> None:
        job = Job(stack, repo=NEWCOMER)
        for body in (job.body(), b"garbage"):
            answer = job.post(body)
            assert answer.status_code == 200
            assert answer.json() == {
                "ok": True,
                "status": "ignored",
                "outcome": "ignored",
                "message": f"{NEWCOMER} is at L1; results are shown from L2 on (RFC-0050).",
            }


class TestWhatIsBelieved:
    def test_the_answer_tells_all(self, job: Job) -> None:
        job.dispatch()
        answer = job.report()
        key = f"{REPO}/{job.delivery_id}/npu-ci/test-float32/{job.check_run_id}"
        url = f"{job.stack.state['hud_url']}/pr/7"
        assert answer == {"ok": True, "status": "completed", "outcome": "delivered", "dynamoKey": key, "hud_url": url}

    def test_pr_sha_and_event_come_from_the_record(self, job: Job, dynamodb: DynamoDBClient) -> None:
        job.dispatch(pr_number=7, sha="a" * 40)
        lies = {
            "event_type": "push",
            "payload.pull_request": {"number": 1, "head": {"sha": "b" * 40}},
            "payload.repository.full_name": "evil/pytorch",
        }
        item = stored(dynamodb, job.report(changes=lies))
        assert (item["pr_number"], item["pytorch_head_sha"], item["event_type"]) == ("7", "a" * 40, "pull_request")
        assert item["upstream_repo"] == "pytorch/pytorch"
        assert item["dispatch_verified"] is True

    def test_a_push_speaks_for_no_pull_request(self, job: Job, dynamodb: DynamoDBClient) -> None:
        job.dispatch(pr_number=0, sha="a" * 40, event_type="push")
        answer = job.report()  # whose body speaks for one
        assert answer["hud_url"] == f"{job.stack.state['hud_url']}/oot/{REPO}"
        item = stored(dynamodb, answer)
        assert (item["pr_number"], item["pytorch_head_sha"], item["event_type"]) == ("0", "a" * 40, "push")

    @pytest.mark.parametrize("event_type", ["nightly", "periodic"])
    def test_a_nightly_needs_no_dispatch_and_speaks_for_no_pull_request(
        self, job: Job, dynamodb: DynamoDBClient, event_type: str
    ) -> None:
        job.delivery_id = f"buildkite-1-{uuid.uuid4()}"
        nowhere = f"{uuid.uuid4().int % 16**40:040x}"  # a commit that upstream does not have
        changes = {"event_type": event_type, "payload.head_sha": nowhere}
        answer = job.report(changes=changes, event_name="schedule")
        assert answer["hud_url"] == f"{job.stack.state['hud_url']}/oot/{REPO}"
        item = stored(dynamodb, answer)
        assert (item["pr_number"], item["event_type"], item["pytorch_head_sha"]) == ("0", event_type, nowhere)
        assert (item["dispatch_verified"], item["commit_verified"]) == (False, False)

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "9" * 500])
    def test_numbers_that_json_has_not_cost_no_result(self, job: Job, number: str) -> None:
        job.dispatch()
        body = json.dumps(job.body(changes={"made_up": "HERE"})).replace('"HERE"', number)
        assert job.post(body.encode()).json()["outcome"] == "delivered"

    def test_a_wrong_optional_field_costs_itself_and_is_named(self, job: Job, dynamodb: DynamoDBClient) -> None:
        job.dispatch()
        wrong = {
            "workflow.artifact_url": "javascript:alert(1)",
            "workflow.completed_at": "0001-01-01T00:00:00Z",
            "workflow.test_results.passed": "many",
            "workflow.failed_tests": [None, {"name": "test_a"}],
            "workflow.conclusion": "startup_failure",
        }
        answer = job.report(changes=wrong)
        assert [each["field"] for each in answer["dropped"]] == [
            "workflow.completed_at",
            "workflow.test_results.passed",
            "workflow.artifact_url",
            "workflow.failed_tests.0",
        ]
        assert answer["dropped"][2]["why"].startswith("only http(s) URLs")
        item = stored(dynamodb, answer)
        assert (item["conclusion"], item["failed_tests"], item["total_tests"]) == ("failure", "2", "8452")
        assert not {"artifact_url", "completed_at", "passed_tests"} & item.keys()
        assert [test["name"] for test in json.loads(item["failed_tests_json"])] == ["test_a"]
        again = job.report(changes=wrong)
        assert (again["outcome"], again["dropped"]) == ("duplicate", answer["dropped"])

    def test_the_echoed_token_is_accepted(self, job: Job) -> None:
        token = job.dispatch()["callback_token"]
        assert job.report(changes={"callback_token": token})["outcome"] == "delivered"

    def test_who_reports_is_taken_from_the_token(self, job: Job, dynamodb: DynamoDBClient) -> None:
        job.dispatch()
        lies = {"verified_repo": "evil/repo", "workflow.downstream_repo": "evil/repo", "workflow.origin": "sweeper"}
        item = stored(dynamodb, job.report(changes=lies))
        assert (item["downstream_repo"], item["downstream_repo_level"], item["origin"]) == (REPO, "L2", "job")

    def test_repo_names_keep_the_spelling_of_the_token(self, stack: Stack) -> None:
        job = Job(stack, repo="Example-Org/Torch-Sample")
        job.dispatch()
        assert job.report()["dynamoKey"].startswith("Example-Org/Torch-Sample/")

    def test_a_job_may_report_for_its_whole_workflow(self, job: Job) -> None:
        job.dispatch()
        whole = f"{job.run_id}-1"
        for given in (whole, ABSENT):  # the second stands for the first
            answer = job.report(changes={"workflow.check_run_id": given})
            assert answer["dynamoKey"].endswith(f"/{whole}")

    def test_the_same_again_is_a_duplicate_and_another_completion_is_refused(self, job: Job) -> None:
        job.dispatch()
        assert [job.report()["outcome"] for _ in range(2)] == ["delivered", "duplicate"]
        answer = job.post(job.body(changes={"workflow.conclusion": "success"}))
        assert "give each matrix leg a job-name of its own" in refused(answer, "conflicting_completion")

    @pytest.mark.parametrize(("attempt", "measured"), [("1", True), ("2", False)])
    def test_queue_time_is_measured_for_the_first_attempt(
        self,
        job: Job,
        dynamodb: DynamoDBClient,
        attempt: str,
        measured: bool,  # noqa: FBT001 - a column
    ) -> None:
        job.dispatch()
        changes = {"workflow.run_attempt": attempt, "workflow.queue_time": 99, "ci_metrics": {"queue_time": 99}}
        answer = job.post(job.body(IN_PROGRESS, changes), job.token(run_attempt=attempt)).json()
        item = stored(dynamodb, answer)
        assert ("queue_time" in item) is measured
        assert not measured or 0 <= float(item["queue_time"]) < 60
