"""kill -9 of the replicator in mid-stream loses nothing and doubles nothing."""

from __future__ import annotations

import os
import signal
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hud_endpoint.contract import RESULTS_TABLE
from tests.integration.waiting import wait_for

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client
    from types_boto3_dynamodb.client import DynamoDBClient

    from oot_local.stack import Stack

JOBS = 6000  # six reads of the stream at most 1,000 records each
KILLS = 3


TODAY = datetime.now(UTC).isoformat()


def finished_job(repo: str, number: int) -> dict[str, Any]:
    return {
        "dynamoKey": {"S": f"{repo}/d{number}/ci/test/{number}"},
        "status": {"S": "completed"},
        "conclusion": {"S": "success"},
        "downstream_repo": {"S": repo},
        "delivery_id": {"S": f"d{number}"},
        "first_seen": {"S": TODAY},
        "started_at": {"S": TODAY},
        "completed_at": {"S": TODAY},
        "total_tests": {"N": str(number)},
        "revision": {"N": "1"},
    }


def put_all(dynamodb: DynamoDBClient, repo: str) -> None:
    for start in range(0, JOBS, 25):
        puts = [{"PutRequest": {"Item": finished_job(repo, number)}} for number in range(start, start + 25)]
        assert not dynamodb.batch_write_item(RequestItems={RESULTS_TABLE: puts})["UnprocessedItems"]  # type: ignore[dict-item]


def counted(clickhouse: Client, repo: str) -> int:
    query = "SELECT count() FROM default.oot_workflow_job FINAL WHERE downstream_repo = {repo: String}"
    return int(clickhouse.query(query, parameters={"repo": repo}).result_rows[0][0])


def test_killed_in_mid_stream_it_goes_on_where_it_was(
    stack: Stack, dynamodb: DynamoDBClient, clickhouse: Client
) -> None:
    repo = f"crash/{uuid.uuid4().hex}"
    replicator = stack.process("replicator")
    replicator.stop()
    put_all(dynamodb, repo)
    killed_at = []
    for _ in range(KILLS):
        before = counted(clickhouse, repo)
        replicator.start()
        wait_for(lambda: counted(clickhouse, repo) > before, "progress of the replicator")  # noqa: B023
        os.kill(replicator.pid, signal.SIGKILL)
        wait_for(lambda: replicator.popen and replicator.popen.poll() == -signal.SIGKILL, "its death")
        killed_at.append(counted(clickhouse, repo))
    assert killed_at[0] < JOBS, "the first kill must come in mid-stream"
    replicator.start()
    wait_for(lambda: counted(clickhouse, repo) == JOBS, "all jobs in ClickHouse")
    query = """
        SELECT count(), uniqExact(dynamoKey), sum(total_tests), groupUniqArray(version % (5 * 10000000000000))
        FROM default.oot_workflow_job FINAL WHERE downstream_repo = {repo: String}
    """
    totals = clickhouse.query(query, parameters={"repo": repo}).result_rows[0]
    assert totals == (JOBS, JOBS, sum(range(JOBS)), [3 * 10**13 + 1])
    errors = "SELECT count() FROM default.oot_replication_errors WHERE startsWith(record_id, {repo: String})"
    assert clickhouse.query(errors, parameters={"repo": repo}).result_rows == [(0,)]
