"""The law of the merge, rank by rank, on a real DynamoDB: what stands, what a write makes of it, what it answers."""

from __future__ import annotations

import itertools
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

from hud_endpoint.contract import RESULTS_TABLE, RefusedCompletion, RelayPayload
from hud_endpoint.errors import RefusedError
from hud_endpoint.record import RESULT_FIELDS, Write, to_write
from hud_endpoint.results.store import Outcome, ResultStore
from tests.hud_endpoint.samples import COMPLETED_CALLBACK, IN_PROGRESS, changed, new_repo, relay_payload

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient

NOW = datetime(2026, 5, 4, 4, 0, tzinfo=UTC)
SWEPT = changed(
    IN_PROGRESS, {"workflow.status": "completed", "workflow.conclusion": "timed_out", "workflow.started_at": None}
)
TRUSTED: dict[str, dict[str, Any]] = {
    "in_progress": {"ci_metrics": {"queue_time": 4.5}},
    "swept": {"origin": "sweeper"},
    "completed": {"ci_metrics": {"execution_time": 1800.5}},
    "other": {},
}
CALLBACKS = {
    "in_progress": IN_PROGRESS,
    "swept": SWEPT,
    "completed": COMPLETED_CALLBACK,
    "other": changed(COMPLETED_CALLBACK, {"workflow.conclusion": "success"}),
}
# Items as CRCR's own HUD writes them: RFC-0054's fields, without revision, first_seen and origin.
CRCR_RUNNING: dict[str, Any] = {
    "status": {"S": "in_progress"},
    "pr_number": {"N": "179565"},
    "started_at": {"S": "2026-05-04T03:00:00Z"},
    "queue_time": {"N": "9"},
}
CRCR_COMPLETED: dict[str, Any] = CRCR_RUNNING | {"status": {"S": "completed"}, "conclusion": {"S": "failure"}}


def write_of(kind: str, repo: str, changes: dict[str, Any] | None = None, **trusted: Any) -> Write:
    payload = relay_payload(changed(CALLBACKS[kind], changes or {}), repo=repo, **TRUSTED[kind] | trusted)
    return to_write(RelayPayload.model_validate(payload), now=NOW, retention_days=100)


@pytest.fixture
def store(dynamodb: DynamoDBClient) -> ResultStore:
    return ResultStore(dynamodb, RESULTS_TABLE)


@pytest.fixture
def repo() -> str:
    return new_repo()


class Table:
    """What stands in DynamoDB, read back."""

    def __init__(self, client: DynamoDBClient) -> None:
        self.client = client

    def item(self, repo: str, changes: dict[str, Any] | None = None) -> dict[str, Any]:
        key = write_of("in_progress", repo, changes).key
        found = self.client.get_item(TableName=RESULTS_TABLE, Key={"dynamoKey": {"S": key}}, ConsistentRead=True)
        return dict(found.get("Item", {}))

    def put(self, repo: str, item: dict[str, Any]) -> None:
        key = {"dynamoKey": {"S": write_of("in_progress", repo).key}, "downstream_repo": {"S": repo}}
        self.client.put_item(TableName=RESULTS_TABLE, Item=key | item)

    def running(self, index: str, value: str) -> list[str]:
        found = self.client.query(
            TableName=RESULTS_TABLE,
            IndexName=index,
            KeyConditionExpression="#name = :value",
            ExpressionAttributeNames={"#name": index},
            ExpressionAttributeValues={":value": {"S": value}},
        )
        return [item["dynamoKey"]["S"] for item in found["Items"]]


@pytest.fixture
def table(dynamodb: DynamoDBClient) -> Table:
    return Table(dynamodb)


def apply(store: ResultStore, write: Write) -> str:
    try:
        return store.apply(write)
    except RefusedError as error:
        return error.code


@pytest.mark.parametrize(
    ("stands", "comes", "answer", "status", "conclusion"),
    [
        ((), "in_progress", "stored", "in_progress", None),
        ((), "swept", "stored", "completed", "timed_out"),
        ((), "completed", "stored", "completed", "failure"),
        (("in_progress",), "in_progress", "duplicate", "in_progress", None),
        (("in_progress",), "swept", "stored", "completed", "timed_out"),
        (("in_progress",), "completed", "stored", "completed", "failure"),
        (("swept",), "in_progress", "stored", "completed", "timed_out"),  # fills started_at and queue_time
        (("swept", "in_progress"), "in_progress", "duplicate", "completed", "timed_out"),
        (("swept",), "swept", "duplicate", "completed", "timed_out"),
        (("swept",), "completed", "stored", "completed", "failure"),
        (("completed",), "in_progress", "stored", "completed", "failure"),
        (("completed", "in_progress"), "in_progress", "duplicate", "completed", "failure"),
        (("completed",), "swept", "duplicate", "completed", "failure"),
        (("completed",), "completed", "duplicate", "completed", "failure"),
        (("completed",), "other", "conflicting_completion", "completed", "failure"),
        (("in_progress", "completed"), "other", "conflicting_completion", "completed", "failure"),
        (("swept", "completed"), "other", "conflicting_completion", "completed", "failure"),
    ],
    ids=lambda value: "+".join(value) or "nothing" if isinstance(value, tuple) else value,
)
def test_rank_over_rank(
    store: ResultStore,
    table: Table,
    repo: str,
    stands: tuple[str, ...],
    comes: str,
    answer: str,
    status: str,
    conclusion: str | None,
) -> None:
    for kind in stands:
        assert apply(store, write_of(kind, repo)) == "stored"
    before = table.item(repo)
    assert apply(store, write_of(comes, repo)) == answer
    after = table.item(repo)
    assert after["status"] == {"S": status}
    assert after.get("conclusion") == ({"S": conclusion} if conclusion else None)
    if answer == "stored":  # only a write that had an effect adds to the revision
        assert int(after["revision"]["N"]) == int(before.get("revision", {"N": "0"})["N"]) + 1
    else:
        assert after == before


@pytest.mark.parametrize(
    ("stands", "comes", "answer", "conclusion"),
    [
        (CRCR_RUNNING, "in_progress", "duplicate", None),
        (CRCR_RUNNING, "swept", "stored", "timed_out"),
        (CRCR_RUNNING, "completed", "stored", "failure"),
        (CRCR_COMPLETED, "in_progress", "duplicate", "failure"),
        (CRCR_COMPLETED, "swept", "duplicate", "failure"),
        (CRCR_COMPLETED, "other", "conflicting_completion", "failure"),
    ],
)
def test_items_of_crcrs_own_hud_obey_the_same_law(
    store: ResultStore,
    table: Table,
    repo: str,
    stands: dict[str, Any],
    comes: str,
    answer: str,
    conclusion: str | None,
) -> None:
    table.put(repo, stands)
    before = table.item(repo)
    assert apply(store, write_of(comes, repo)) == answer
    after = table.item(repo)
    assert after.get("conclusion") == ({"S": conclusion} if conclusion else None)
    assert after["started_at"] == CRCR_RUNNING["started_at"]
    if answer == "stored":
        assert after["revision"] == {"N": "1"}
        assert "first_seen" in after
    else:
        assert after == before


def test_a_late_in_progress_fills_only_what_is_missing(store: ResultStore, table: Table, repo: str) -> None:
    table.put(repo, {"status": {"S": "completed"}, "started_at": {"S": "2026-05-04"}, "delivery_id": {"S": "mine"}})
    assert store.apply(write_of("in_progress", repo)) is Outcome.STORED
    item = table.item(repo)
    assert item["started_at"] == {"S": "2026-05-04"}
    assert item["queue_time"] == {"N": "4.5"}
    assert item["delivery_id"] == {"S": "mine"}
    assert not {"running_repo", "running_pr"} & item.keys()


class TestTheSameCompletionAgain:
    @pytest.mark.parametrize(
        "measured_anew",
        [
            {"ci_metrics": {"execution_time": 1801.0}},
            {"ci_metrics": {}},
            {"downstream_repo_level": "L3"},
            {"dispatch_verified": True},
            {"received_at": "2026-05-05T00:00:00Z"},
        ],
        ids=str,
    )
    def test_is_a_duplicate_whatever_the_relay_measured(
        self, store: ResultStore, table: Table, repo: str, measured_anew: dict[str, Any]
    ) -> None:
        store.apply(write_of("completed", repo))
        before = table.item(repo)
        assert store.apply(write_of("completed", repo, **measured_anew)) is Outcome.DUPLICATE
        assert table.item(repo) == before

    @pytest.mark.parametrize(
        "changes",
        [
            {"workflow.completed_at": "2026-05-04T03:32:01.000000+00:00"},
            {"workflow.run_attempt": 1},
            {"workflow.test_results.passed": 8430.0},
            {"workflow.environment": {"device": "npu", "sdk": "8.0"}},
            {"workflow.failed_tests": [{"message": "boom", "name": "test_a"}, {"name": "test_b", "status": "error"}]},
            {"made_up": 1},
        ],
        ids=str,
    )
    def test_is_a_duplicate_however_it_is_spelled(self, store: ResultStore, repo: str, changes: dict[str, Any]) -> None:
        store.apply(write_of("completed", repo))
        assert store.apply(write_of("completed", repo, changes)) is Outcome.DUPLICATE

    @pytest.mark.parametrize(
        "changes",
        [
            {"workflow.conclusion": "cancelled"},
            {"workflow.test_results.failed": 3},
            {"workflow.test_results": None},
            {"workflow.completed_at": "2026-05-04T03:32:02Z"},
            {"workflow.artifact_url": None},
            {"workflow.failed_tests": []},
        ],
        ids=str,
    )
    def test_with_another_result_is_refused(self, store: ResultStore, repo: str, changes: dict[str, Any]) -> None:
        store.apply(write_of("completed", repo))
        with pytest.raises(RefusedError) as caught:
            store.apply(write_of("completed", repo, changes))
        assert (caught.value.code, caught.value.status) == ("conflicting_completion", 409)
        assert "give each matrix leg a job-name" in caught.value.message


class TestAStepOfAnotherJob:
    """The raw join of the key lets two jobs have one key, and a body may change what its job is."""

    @pytest.mark.parametrize("first", ["in_progress", "completed"])
    @pytest.mark.parametrize("then", ["in_progress", "completed"])
    @pytest.mark.parametrize(
        "changes",
        [
            {"event_type": "nightly"},
            {"payload.pull_request.number": 1},
            {"payload.pull_request.head.sha": "f" * 40},
            {"payload.repository.full_name": "other/pytorch"},
            {"workflow.name": "npu-ci/test", "workflow.job_name": "float32"},
        ],
        ids=str,
    )
    def test_changes_nothing(
        self, store: ResultStore, table: Table, repo: str, first: str, then: str, changes: dict[str, Any]
    ) -> None:
        slashed = {"workflow.job_name": "test/float32"} if "workflow.name" in changes else {}
        assert store.apply(write_of(first, repo, slashed)) is Outcome.STORED
        before = table.item(repo, slashed)
        with pytest.raises(RefusedError) as caught:
            store.apply(write_of(then, repo, changes))
        assert (caught.value.code, caught.value.status) == ("conflicting_identity", 409)
        assert table.item(repo, slashed) == before

    def test_nor_does_the_sweeper_s(self, store: ResultStore, repo: str) -> None:
        store.apply(write_of("in_progress", repo))
        with pytest.raises(RefusedError, match="another job's"):
            store.apply(write_of("completed", repo, {"event_type": "nightly"}, origin="sweeper"))

    def test_what_another_hud_wrote_is_not_held_to_our_spelling(
        self, store: ResultStore, table: Table, repo: str
    ) -> None:
        table.put(repo, CRCR_RUNNING)
        assert store.apply(write_of("completed", repo, {"event_type": "push"})) is Outcome.STORED


class TestConflictNotes:
    def note(self, write: Write, number: int, conclusion: str = "failure") -> RefusedCompletion:
        told = {"dynamoKey": write.key, "conclusion": conclusion, "digest": f"{number:064x}"[::-1]}
        return RefusedCompletion.model_validate(told)

    @pytest.mark.parametrize("status", ["in_progress", "completed"])
    def test_are_added_once_each_and_no_more_than_ten(
        self, store: ResultStore, table: Table, repo: str, status: str
    ) -> None:
        write = write_of(status, repo)
        store.apply(write)
        for number in (1, 1, 2):
            assert store.note_conflict(self.note(write, number)) is Outcome.NOTED
        item = table.item(repo)
        assert sorted(item["conflicts"]["SS"]) == ["failure 100000000000", "failure 200000000000"]
        assert item["revision"] == {"N": "3"}
        for number in range(20):
            store.note_conflict(self.note(write, number))
        assert len(table.item(repo)["conflicts"]["SS"]) == 10

    def test_wait_for_the_record(self, store: ResultStore, table: Table, repo: str) -> None:
        with pytest.raises(RefusedError, match="has not arrived yet") as caught:
            store.note_conflict(self.note(write_of("completed", repo), 1))
        assert (caught.value.code, bool(caught.value.retry_after)) == ("store_unavailable", True)
        assert table.item(repo) == {}

    @pytest.mark.parametrize("record", [CRCR_RUNNING, CRCR_COMPLETED], ids=["running", "completed"])
    def test_make_no_record_of_another_hud_one_of_ours(
        self, store: ResultStore, table: Table, repo: str, record: dict[str, Any]
    ) -> None:
        """Else it would be held to fields that only we write, and the completion to come be refused."""
        table.put(repo, record)
        for number in (1, 1, 2):
            store.note_conflict(self.note(write_of("completed", repo), number))
        item = table.item(repo)
        assert len(item["conflicts"]["SS"]) == 2
        assert "revision" not in item
        assert apply(store, write_of("completed", repo)) != "conflicting_identity"

    def test_stay_through_a_completion_that_replaces_the_sweeper_s(
        self, store: ResultStore, table: Table, repo: str
    ) -> None:
        store.apply(write_of("completed", repo, origin="sweeper"))
        store.note_conflict(self.note(write_of("completed", repo), 1))
        assert store.apply(write_of("completed", repo)) is Outcome.STORED
        assert table.item(repo)["conflicts"]["SS"] == ["failure 100000000000"]


def test_a_completion_removes_what_it_does_not_carry(store: ResultStore, table: Table, repo: str) -> None:
    table.put(repo, CRCR_RUNNING | {name: {"S": "stale"} for name in RESULT_FIELDS} | {"mine": {"S": "stays"}})
    bare: dict[str, Any] = {
        "workflow.test_results": None,
        "workflow.artifact_url": "",
        "workflow.failed_tests": [],
        "payload": {},
    }
    store.apply(write_of("completed", repo, {**bare, "workflow.environment": {}, "workflow.completed_at": None}))
    item = table.item(repo)
    assert {name for name in RESULT_FIELDS if name in item} == {"conclusion", "execution_time"}
    assert item["mine"] == {"S": "stays"}
    assert item["queue_time"] == {"N": "9"}  # in_progress owns it


@pytest.mark.parametrize("end", ["swept", "completed"])
def test_running_jobs_are_found_by_both_indexes_until_they_end(
    store: ResultStore, table: Table, repo: str, end: str
) -> None:
    number = int(repo[-8:], 16) + 1
    pull_request = {"payload.pull_request.number": number}
    key = write_of("in_progress", repo).key
    store.apply(write_of("in_progress", repo, pull_request))
    assert table.running("running_repo", repo) == [key]
    assert table.running("running_pr", f"pytorch/pytorch#{number}") == [key]
    store.apply(write_of(end, repo, pull_request))
    assert table.running("running_repo", repo) == []
    assert table.running("running_pr", f"pytorch/pytorch#{number}") == []
    store.apply(write_of("in_progress", repo, pull_request))  # too late to run again
    assert table.running("running_repo", repo) == []


def test_a_running_nightly_belongs_to_no_pull_request(store: ResultStore, table: Table, repo: str) -> None:
    store.apply(write_of("in_progress", repo, {"event_type": "nightly"}))
    assert table.running("running_repo", repo)
    assert "running_pr" not in table.item(repo)


def test_first_seen_and_expiry_are_those_of_the_first_write(store: ResultStore, table: Table, repo: str) -> None:
    for hour, kind in enumerate(("in_progress", "swept", "completed")):
        store.apply(write_of(kind, repo, received_at=f"2026-05-04T0{hour}:00:00Z"))
    item = table.item(repo)
    assert item["first_seen"] == {"S": "2026-05-04T00:00:00.000000Z"}
    assert item["expires_at"] == {"N": str(int(datetime(2026, 8, 12, tzinfo=UTC).timestamp()))}  # 100 days on
    assert item["revision"] == {"N": "3"}


def test_the_revision_counts_every_effective_write_in_any_order(store: ResultStore, table: Table) -> None:
    for order in itertools.permutations(("in_progress", "swept", "completed")):
        repo = new_repo()
        answers = [apply(store, write_of(kind, repo)) for kind in (*order, *order)]
        assert table.item(repo)["revision"] == {"N": str(answers.count("stored"))}
        assert answers[3:] == ["duplicate"] * 3


def test_a_store_that_is_away_is_said_so(aws: dict[str, Any]) -> None:
    with socket.socket() as closed:  # bound but not listening: every connection is refused
        closed.bind(("127.0.0.1", 0))
        options = {**aws, "endpoint_url": f"http://127.0.0.1:{closed.getsockname()[1]}"}
        config = Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 1})
        client = boto3.client("dynamodb", **options, config=config)
        with pytest.raises(RefusedError, match="send it again") as caught:
            ResultStore(client, RESULTS_TABLE).apply(write_of("completed", "o/r"))
        client.close()
    assert (caught.value.code, caught.value.status) == ("store_unavailable", 503)


def test_a_table_that_is_missing_is_no_conflict(dynamodb: DynamoDBClient) -> None:
    with pytest.raises(RefusedError) as caught:
        ResultStore(dynamodb, "no-such-table").apply(write_of("completed", "o/r"))
    assert caught.value.code == "store_unavailable"
