"""The law of the merge (design 4.3): order, duplication and retries of a job's callbacks never matter."""

from __future__ import annotations

import itertools
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hud_endpoint.contract import RESULTS_TABLE, RelayPayload
from hud_endpoint.errors import RefusedError
from hud_endpoint.record import to_write
from hud_endpoint.results.store import Outcome, ResultStore
from oot_replicator.rows.transform import LIFE_STEP
from tests.integration.waiting import wait_for

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client
    from types_boto3_dynamodb.client import DynamoDBClient

CALLBACKS = ("in_progress", "timed_out", "completed")
YESTERDAY = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)  # older than the retention would be dropped
STARTED, COMPLETED, LATER = (
    (YESTERDAY + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z") for minutes in (1, 11, 12)
)
_COUNTER = itertools.count()


def payload(repo: str, callback: str, **workflow: Any) -> RelayPayload:
    """One of a job's three callbacks; the relay accepts each a second after the one before."""
    received_at = YESTERDAY + timedelta(seconds=next(_COUNTER))
    if callback == "in_progress":
        told: dict[str, Any] = {"status": "in_progress", "started_at": STARTED}
    elif callback == "timed_out":
        told = {"status": "completed", "conclusion": "timed_out"}
    else:
        told = {
            "status": "completed",
            "conclusion": "failure",
            "completed_at": COMPLETED,
            "test_results": {"passed": 8430, "failed": 2, "skipped": 20, "errors": 1, "flaky": 3},
            "failed_tests": [{"name": "test_a", "message": "no"}, {"name": "test_b", "status": "error"}],
            "artifact_url": "https://artifacts.example.org/1",
            "environment": {"sdk": "8.0"},
        }
    return RelayPayload.model_validate(
        {
            "trusted": {
                "verified_repo": repo,
                "downstream_repo_level": "L2",
                "received_at": received_at.isoformat(),
                "ci_metrics": {"queue_time": 4.5 if callback == "in_progress" else None},
                "origin": "sweeper" if callback == "timed_out" else "job",
                "dispatch_verified": True,
            },
            "untrusted": {
                "callback_payload": {
                    "delivery_id": "d1",
                    "payload": {"pull_request": {"number": 7, "head": {"sha": "a" * 40}}},
                    "workflow": {
                        "name": "ci",
                        "job_name": "test",
                        "check_run_id": 987,
                        "run_id": 240,
                        **told,
                        **workflow,
                    },
                }
            },
        }
    )


def send(store: ResultStore, repo: str, *callbacks: str) -> None:
    """Deliver callbacks in this order."""
    for callback in callbacks:
        store.apply(to_write(payload(repo, callback), now=datetime.now(UTC), retention_days=100))


def item(dynamodb: DynamoDBClient, repo: str) -> dict[str, Any]:
    """The job's item, without what may differ and what names the repo."""
    found = dynamodb.get_item(TableName=RESULTS_TABLE, Key={"dynamoKey": {"S": f"{repo}/d1/ci/test/987"}})["Item"]
    aside = ("revision", "first_seen", "expires_at", "dynamoKey", "downstream_repo", "running_repo")
    return {name: value for name, value in found.items() if name not in aside}


def row(clickhouse: Client, repo: str) -> dict[str, Any] | None:
    """The job's row, likewise."""
    query = """
        SELECT * EXCEPT (version, first_seen, dynamoKey, downstream_repo)
        FROM default.oot_workflow_job FINAL WHERE downstream_repo = {repo: String}
    """
    rows = list(clickhouse.query(query, parameters={"repo": repo}).named_results())
    assert len(rows) <= 1
    if rows and rows[0]["times_estimated"]:  # they stand in for what nobody reported, and come from first_seen
        del rows[0]["started_at"], rows[0]["completed_at"]
    return rows[0] if rows else None


def new_repo() -> str:
    return f"law/{uuid.uuid4().hex}"


@st.composite
def deliveries(draw: st.DrawFn) -> list[str]:
    """Any order of a job's callbacks, each one once or more often; some may never arrive."""
    arrived = draw(st.sets(st.sampled_from(CALLBACKS), min_size=1))
    again = draw(st.lists(st.sampled_from(sorted(arrived)), max_size=4))
    return draw(st.permutations([*sorted(arrived), *again]))


def test_any_order_and_duplication_ends_in_the_same_item_and_row(dynamodb: DynamoDBClient, clickhouse: Client) -> None:
    store = ResultStore(dynamodb, RESULTS_TABLE)
    canonical: dict[frozenset[str], str] = {}
    for size in range(1, 4):
        for callbacks in itertools.combinations(CALLBACKS, size):
            canonical[frozenset(callbacks)] = repo = new_repo()
            send(store, repo, *callbacks)
    expected = {arrived: item(dynamodb, repo) for arrived, repo in canonical.items()}
    assert len({str(state) for state in expected.values()}) == 5  # completed replaces the sweeper's whole
    seen: list[tuple[frozenset[str], str]] = list(canonical.items())

    @given(deliveries())
    @settings(max_examples=120)
    def check(sequence: list[str]) -> None:
        repo, arrived = new_repo(), frozenset(sequence)
        send(store, repo, *sequence)
        assert item(dynamodb, repo) == expected[arrived]
        seen.append((arrived, repo))

    check()
    for sequence in itertools.permutations(CALLBACKS):  # all orders, whatever hypothesis drew
        repo = new_repo()
        send(store, repo, *sequence)
        assert item(dynamodb, repo) == expected[frozenset(CALLBACKS)]
        seen.append((frozenset(CALLBACKS), repo))

    rows = {arrived: settled(dynamodb, clickhouse, repo) for arrived, repo in canonical.items() if is_final(arrived)}
    for arrived, repo in seen:
        if is_final(arrived):
            assert settled(dynamodb, clickhouse, repo) == rows[arrived]
    # What only runs stays in DynamoDB.
    assert all(row(clickhouse, repo) is None for arrived, repo in seen if not is_final(arrived))


def is_final(arrived: frozenset[str]) -> bool:
    return arrived != {"in_progress"}


def settled(dynamodb: DynamoDBClient, clickhouse: Client, repo: str) -> dict[str, Any]:
    """The row, once it has reached the item's last state."""
    found = dynamodb.get_item(TableName=RESULTS_TABLE, Key={"dynamoKey": {"S": f"{repo}/d1/ci/test/987"}})["Item"]
    rank = 2 if found["origin"]["S"] == "sweeper" else 3
    last = rank * 10**13 + int(found["revision"]["N"])
    query = "SELECT max(version) FROM default.oot_workflow_job WHERE downstream_repo = {repo: String}"

    def look() -> dict[str, Any] | None:
        version = clickhouse.query(query, parameters={"repo": repo}).result_rows[0][0]
        return row(clickhouse, repo) if version % LIFE_STEP == last else None

    return wait_for(look, f"the row of {repo}")


def test_a_real_completion_leaves_nothing_of_the_sweepers(dynamodb: DynamoDBClient) -> None:
    store, repo = ResultStore(dynamodb, RESULTS_TABLE), new_repo()
    send(store, repo, "in_progress", "timed_out", "completed")
    ended = item(dynamodb, repo)
    assert ended["conclusion"] == {"S": "failure"}
    assert ended["origin"] == {"S": "job"}
    assert ended["started_at"] == {"S": STARTED.replace("Z", ".000000Z")}
    assert ended["queue_time"] == {"N": "4.5"}


@pytest.mark.parametrize(
    "second",
    [
        {"conclusion": "success"},
        {"test_results": {"passed": 1, "failed": 0}},
        {"failed_tests": []},
        {"artifact_url": None},
        {"completed_at": LATER},
        {"environment": {}},
        {"url": "https://github.com/o/r/actions/runs/2"},
    ],
    ids=lambda second: next(iter(second)),
)
def test_a_second_different_completion_is_refused_and_changes_nothing(
    dynamodb: DynamoDBClient, second: dict[str, Any]
) -> None:
    store, repo = ResultStore(dynamodb, RESULTS_TABLE), new_repo()
    send(store, repo, "in_progress", "completed")
    before = item(dynamodb, repo)
    other = to_write(payload(repo, "completed", **second), now=datetime.now(UTC), retention_days=100)
    with pytest.raises(RefusedError) as refusal:
        store.apply(other)
    assert (refusal.value.code, refusal.value.status) == ("conflicting_completion", 409)
    assert item(dynamodb, repo) == before


def test_the_same_completion_again_is_a_duplicate(dynamodb: DynamoDBClient) -> None:
    store, repo = ResultStore(dynamodb, RESULTS_TABLE), new_repo()
    again = [to_write(payload(repo, "completed"), now=datetime.now(UTC), retention_days=100) for _ in range(3)]
    assert [store.apply(write) for write in again] == [Outcome.STORED, Outcome.DUPLICATE, Outcome.DUPLICATE]


@given(deliveries())
@settings(max_examples=60)
def test_no_job_stays_running_after_its_end(dynamodb: DynamoDBClient, sequence: list[str]) -> None:
    store, repo = ResultStore(dynamodb, RESULTS_TABLE), new_repo()
    send(store, repo, *sequence)
    running = dynamodb.query(
        TableName=RESULTS_TABLE,
        IndexName="running_repo",
        KeyConditionExpression="running_repo = :repo",
        ExpressionAttributeValues={":repo": {"S": repo}},
    )["Count"]
    assert running == (1 if set(sequence) == {"in_progress"} else 0)
