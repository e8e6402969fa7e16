"""The way of a result through the deployed functions: each handler in a process of its own, with its own settings."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import requests

from oot_replicator.rows.records import to_event
from tests.deploy.conftest import SECRET, function_of
from tests.hud_endpoint.clickhouse.history import refresh
from tests.hud_endpoint.samples import IN_PROGRESS, changed
from tests.hud_endpoint.test_aws_lambda import rest_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clickhouse_connect.driver.client import Client

    from oot_local.stack import Stack
    from tests.deploy.conftest import Created
    from tests.deploy.lambda_function import LambdaFunction

REPO, SHA = "example-org/torch-sample", "3f1c9be2d8a04c5e9b7d6a1f0c2e4b8d7a5f9e13"


@pytest.fixture(scope="module")
def hud(functions: Callable[..., LambdaFunction], cloudformation: dict[str, Any]) -> Iterator[str]:
    """HUD's functions behind a loopback address, which plays its REST API."""
    started = {name: functions(name) for name in ("ResultsFunction", "PagesFunction")}

    class Gateway(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0))) if self.command == "POST" else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            name = function_of(cloudformation, "HudApi", self.command, self.path.partition("?")[0])
            answer = started[name or "nobody"](rest_event(self.command, self.path, body, headers))
            self.send_response(answer["statusCode"])
            for name, value in answer["headers"].items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer["body"].encode())

        do_GET = do_POST  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Gateway)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_result_goes_through_all_functions_to_the_page(
    functions: Callable[..., LambdaFunction],
    hud: str,
    created: Created,
    local_aws: dict[str, Any],
    stack: Stack,
    clickhouse: Client,
) -> None:
    to_hud = {"HUD_API_URL": f"{hud}/api/oot/results", "HUD_PUBLIC_URL": hud}
    relay = functions("RelayFunction", **to_hud)
    for function in (relay, functions("ResultsFunction"), functions("PagesFunction")):
        ready = function(rest_event("GET", "/readyz"))
        assert ready["statusCode"] == 200, ready
    delivery = f"lambda-{time.time_ns()}"
    for status in ("in_progress", "completed"):
        callback = {
            "event_type": "pull_request",
            "delivery_id": delivery,
            "payload": {"pull_request": {"number": 7, "head": {"sha": SHA}}},
            "workflow": {"status": status, "name": "ci", "job_name": "test", "run_id": "240", "run_attempt": "1"},
        }
        if status == "completed":
            callback["workflow"] |= {"conclusion": "success", "test_results": {"passed": 3}}  # type: ignore[operator]
        asked = {"repo": REPO, "claims": {"run_id": "240", "run_attempt": "1"}}
        token = requests.post(f"{stack.state['github_url']}/_local/mint", json=asked, timeout=60).json()["token"]
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        answer = relay(rest_event("POST", "/github/callback", json.dumps(callback).encode(), headers))
        assert (answer["statusCode"], json.loads(answer["body"])["outcome"]) == (200, "delivered"), answer

    streams, dynamodb = boto3.client("dynamodbstreams", **local_aws), boto3.client("dynamodb", **local_aws)
    arn = dynamodb.describe_table(TableName=created.outputs["ResultsTableName"])["Table"]["LatestStreamArn"]
    (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    place = streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")
    records = streams.get_records(ShardIterator=place["ShardIterator"])["Records"]
    records = [record for record in records if delivery in record["dynamodb"]["Keys"]["dynamoKey"]["S"]]
    assert len(records) == 2
    replicator = functions("StreamReplicatorFunction")
    assert replicator({"Records": [to_event(record) for record in records]}) == {"batchItemFailures": []}

    query = "SELECT conclusion, passed_tests FROM default.oot_workflow_job FINAL WHERE delivery_id = {delivery: String}"
    assert clickhouse.query(query, parameters={"delivery": delivery}).result_rows == [("success", 3)]
    refresh(clickhouse)
    shown = requests.get(f"{hud}/pr/7.json", timeout=60)
    assert shown.status_code == 200
    assert REPO in shown.text

    clickhouse.command(
        "DELETE FROM default.oot_workflow_job WHERE delivery_id = {delivery: String}", parameters={"delivery": delivery}
    )
    verify = functions("VerifyFunction")
    verified = verify({"since": "1h", "lag": "0s", "repair": True})
    assert (verified["missing"], verified["repaired"]) == (1, 1)
    assert verify({"since": "1h", "lag": "0s"})["missing"] == 0
    drain = functions("OutboxFunction", **to_hud)
    drain({})  # what other tests have left in this table
    assert drain({})["tried"] == 0
    assert functions("SweepFunction")({})["timed_out"] == 0


def test_the_sweeper_ends_what_fell_silent_and_holds_no_secret(
    functions: Callable[..., LambdaFunction], created: Created, local_aws: dict[str, Any], stack: Stack
) -> None:
    """A sweep that has work to do, under its own role."""
    relay = functions("RelayFunction", HUD_API_URL="http://127.0.0.1:9/api/oot/results")
    delivery, run_id = f"silent-{time.time_ns()}", str(time.time_ns())

    def dispatched(delivery_id: str) -> str:
        dispatch = {"repo": REPO, "delivery_id": delivery_id, "pr_number": 7, "sha": SHA}
        headers = {"x-relay-dispatch-token": SECRET}
        answer = relay(rest_event("POST", "/internal/dispatch", json.dumps(dispatch).encode(), headers))
        return str(json.loads(answer["body"])["callback_token"])

    callback_token = dispatched(delivery)
    dispatched(f"{delivery}-unanswered")
    asked = {"repo": REPO, "claims": {"run_id": run_id, "run_attempt": "1", "check_run_id": "987"}}
    token = requests.post(f"{stack.state['github_url']}/_local/mint", json=asked, timeout=60).json()["token"]
    changes = {"workflow.run_id": run_id, "delivery_id": delivery, "callback_token": callback_token}
    body = json.dumps(changed(IN_PROGRESS, changes)).encode()
    answer = relay(rest_event("POST", "/github/callback", body, {"authorization": f"Bearer {token}"}))
    assert answer["statusCode"] == 202, answer

    dynamodb, table = boto3.client("dynamodb", **local_aws), created.outputs["RelayTableName"]
    for item in dynamodb.scan(TableName=table)["Items"]:
        if "due_at" in item:
            past = {":past": {"N": str(time.time() - 60)}}
            dynamodb.update_item(
                TableName=table,
                Key={"pk": item["pk"]},
                UpdateExpression="SET due_at = :past",
                ExpressionAttributeValues=past,
            )
    sweep = functions("SweepFunction")
    assert sweep({}) == {"timed_out": 1, "orphans": 1}
    assert sweep({}) == {"timed_out": 0, "orphans": 0}
    for item in dynamodb.scan(TableName=table)["Items"]:  # other tests count what waits there
        dynamodb.delete_item(TableName=table, Key={"pk": item["pk"]})
