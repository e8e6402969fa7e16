"""Every hostile situation ends as the model says: each answer, each record, and nothing beside them."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from hud_endpoint.contract import RESULTS_TABLE
from tests.hostile.bench import Bench, Play, shown
from tests.hostile.situations import Situation, table
from tests.integration.waiting import wait_for

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client
    from types_boto3_dynamodb.client import DynamoDBClient

    from oot_local.stack import Stack
    from tests.hostile.conftest import Benches
    from tests.hostile.model import Row

ROOT = Path(__file__).resolve().parents[2]
TABLE = table()
IN_CLICKHOUSE = """
    SELECT status, conclusion, event_type, pr_number, pytorch_head_sha, delivery_id, workflow_name, job_name,
        check_run_id, dispatch_verified, origin, passed_tests, run_id, run_attempt, times_estimated, conflicts
    FROM default.oot_workflow_job FINAL WHERE dynamoKey = {key: String}
"""


@pytest.mark.parametrize("situation", TABLE, ids=lambda situation: situation.name)
def test_the_answers_and_records_are_the_models(benches: Benches, situation: Situation) -> None:
    differences = benches[situation.policy].play(situation)
    assert not differences, "\n".join(differences)


def test_the_rows_and_pages_are_the_models(stack: Stack, benches: Benches, clickhouse: Client) -> None:
    """A sample goes on to ClickHouse and to the pull request's page."""
    sample = [situation for situation in TABLE if situation.shown]
    assert len(sample) > 20
    seen = []
    for situation in sample:
        bench = benches[situation.policy]
        play, model = Play(bench), bench.model()
        assert not bench.play(situation, play, model)
        seen.append((situation.name, play.pr + 1, model.rows))
    for name, number, rows in seen:
        for key, row in rows.items():
            if row.end is not None:  # what runs stays in DynamoDB
                wait_for(lambda key=key, row=row: in_clickhouse(clickhouse, key) == shown(row), f"{name}: {key}", 30)  # type: ignore[misc]
        page = requests.get(f"{stack.state['hud_url']}/pr/{number}.csv", timeout=10)
        expected = sorted(on_page(row) for row in rows.values() if row.identity.pr == number)
        assert sorted(map(tuple, csv_cells(page.text))) == expected, name


def in_clickhouse(client: Client, key: str) -> dict[str, Any]:
    """Return the row of a key, without what stands there for nothing."""
    [row] = list(client.query(IN_CLICKHOUSE, parameters={"key": key}).named_results()) or [{}]
    if row:
        row["others"] = sorted(note.partition(" ")[0] for note in json.loads(row.pop("conflicts") or "[]"))
        row["started"] = not row.pop("times_estimated")
    return row


def on_page(row: Row) -> tuple[str, ...]:
    """Return what a page's table says of a row of the model."""
    event, _, sha, _, workflow, job_name, _ = row.identity
    state = row.end[0] if row.end else "running"
    return (event, sha, workflow, job_name, state, row.origin, "true" if row.verified else "false")


def csv_cells(text: str) -> list[list[str]]:
    columns = ("event_type", "sha", "workflow", "job", "state", "origin", "verified")
    return [[line[name] for name in columns] for line in csv.DictReader(io.StringIO(text))]


def test_the_model_knows_nothing_of_the_code() -> None:
    imports = (
        "import sys, tests.hostile.model; print([name for name in sys.modules if name.startswith(('oot_', 'hud_'))])"
    )
    ran = subprocess.run([sys.executable, "-c", imports], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_nothing_else_was_stored(dynamodb: DynamoDBClient, benches: Benches) -> None:
    """What was refused left no record anywhere; after the table, whose keys are known."""
    pages = dynamodb.get_paginator("scan").paginate(
        TableName=RESULTS_TABLE,
        FilterExpression="begins_with(dynamoKey, :prefix)",
        ExpressionAttributeValues={":prefix": {"S": "hostile/"}},
        ProjectionExpression="dynamoKey",
        ConsistentRead=True,
    )
    assert {item["dynamoKey"]["S"] for page in pages for item in page["Items"]} == Bench.keys
