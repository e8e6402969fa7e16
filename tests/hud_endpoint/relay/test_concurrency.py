"""Equal callbacks at once, against the real relay: one of them makes the step, and nobody is told that it failed."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from hud_endpoint.contract import RESULTS_TABLE
from tests.hud_endpoint.relay.jobs import Job
from tests.hud_endpoint.samples import COMPLETED_CALLBACK, IN_PROGRESS

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient

    from oot_local.stack import Stack


@pytest.mark.parametrize("base", [IN_PROGRESS, COMPLETED_CALLBACK], ids=["in_progress", "completed"])
@pytest.mark.parametrize("tokens", [1, 200], ids=["one token", "a token each"])
def test_of_200_at_once_one_is_delivered_and_all_others_are_duplicates(
    stack: Stack, dynamodb: DynamoDBClient, base: dict[str, Any], tokens: int
) -> None:
    job = Job(stack)
    job.dispatch()
    body = job.body(base)
    with ThreadPoolExecutor(50) as threads:
        minted = list(threads.map(lambda name: job.token(jti=f"{job.delivery_id}-{name}"), range(tokens)))
        answers = list(threads.map(lambda at: job.post(body, minted[at % tokens]), range(200)))
    assert Counter(answer.status_code for answer in answers) == {200: 200}
    assert Counter(answer.json()["outcome"] for answer in answers) == {"delivered": 1, "duplicate": 199}
    [key] = {answer.json()["dynamoKey"] for answer in answers}
    item = dynamodb.get_item(TableName=RESULTS_TABLE, Key={"dynamoKey": {"S": key}}, ConsistentRead=True)["Item"]
    assert item["revision"] == {"N": "1"}
    assert bound(dynamodb, stack.state["tables"]["relay"], key) == tokens  # those of the duplicates too


def bound(dynamodb: DynamoDBClient, table: str, key: str) -> int:
    """Count the tokens that are bound to this job."""
    pages = dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    items = [item for page in pages for item in page["Items"]]
    return sum(item["pk"]["S"].startswith("token#") and item["key"]["S"] == key for item in items)


def test_of_200_different_ends_at_once_one_is_final_and_199_are_refused(stack: Stack, dynamodb: DynamoDBClient) -> None:
    job = Job(stack)
    job.dispatch()

    def end(number: int) -> tuple[str, str]:
        url = f"https://artifacts.example.org/{number}"
        answer = job.post(job.body(changes={"workflow.artifact_url": url}))
        assert answer.status_code in (200, 409), answer.text
        return answer.json().get("outcome") or answer.json()["code"], url

    with ThreadPoolExecutor(50) as threads:
        ended = list(threads.map(end, range(200)))
    assert Counter(outcome for outcome, _ in ended) == {"delivered": 1, "conflicting_completion": 199}
    [final] = [url for outcome, url in ended if outcome == "delivered"]
    key = f"{job.repo}/{job.delivery_id}/npu-ci/test-float32/{job.check_run_id}"
    item = dynamodb.get_item(TableName=RESULTS_TABLE, Key={"dynamoKey": {"S": key}}, ConsistentRead=True)["Item"]
    notes = item.get("conflicts", {"SS": []})["SS"]  # told by the outbox, ten at most
    assert (item["artifact_url"], int(item["revision"]["N"]) - len(notes)) == ({"S": final}, 1)
