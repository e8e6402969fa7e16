"""What the relay remembers of jobs and tokens, on a real DynamoDB: a write happens whole or not at all."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber

from hud_endpoint.contract import KEY_BYTES
from hud_endpoint.errors import RefusedError
from hud_endpoint.relay.job_store import JobRecord, JobStore, Known, TokenRecord
from hud_endpoint.relay.lifecycle import Job, Phase
from tests.hud_endpoint.relay.desk import IDENTITY

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient

RUNNING = Job(in_progress_at=1_790_000_000.123456)


@pytest.fixture
def store(dynamodb: DynamoDBClient, relay_table: str) -> JobStore:
    return JobStore(dynamodb, relay_table)


@pytest.fixture
def key() -> str:
    return f"spec/backend/{uuid.uuid4()}/ci/test/987"


@pytest.fixture
def token_id() -> str:
    return uuid.uuid4().hex


def write(store: JobStore, before: JobRecord, after: Job, **more: Any) -> bool:
    return store.write(before, after, **{"now": 100.0, "deadline": 200.0, **more})


def read(store: JobStore, key: str, token_id: str) -> Known:
    """Read with a token of this name, of a repo that nobody else reads."""
    return store.read(replace(IDENTITY, repo=f"{key}/read", token_id=token_id), "no-delivery", key)


class TestJobs:
    def test_one_never_heard_of_is_new(self, store: JobStore, key: str, token_id: str) -> None:
        assert read(store, key, token_id) == Known(JobRecord(key), TokenRecord(token_id), None, None)

    @pytest.mark.parametrize(
        "job",
        [
            RUNNING,
            Job(completed_at=1e-05),
            Job(in_progress_at=1.1, completed_at=2.2, timed_out_at=3.3),
            Job(in_progress_at=1.1, timed_out_at=2),
            Job(completed_at=2, identity={"event_type": "nightly", "pr_number": 0}, completion="end"),
            Job(completed_at=2, identity={}, completion="end", conflicts=("other", "another")),
        ],
    )
    def test_what_is_written_is_read(self, store: JobStore, key: str, job: Job) -> None:
        assert write(store, JobRecord(key), job, start_payload=b"\x00payload")
        assert store.read_job(key) == JobRecord(key, job, revision=1, start_payload=b"\x00payload")

    def test_the_start_payload_is_kept_beyond_the_end(self, store: JobStore, key: str) -> None:
        write(store, JobRecord(key), RUNNING, start_payload=b"opening")
        write(store, store.read_job(key), Job(in_progress_at=1, completed_at=2))
        assert store.read_job(key).start_payload == b"opening"

    @pytest.mark.parametrize("seen", [0, 1, 3])
    def test_one_that_has_changed_since_is_not_written_over(self, store: JobStore, key: str, seen: int) -> None:
        write(store, JobRecord(key), RUNNING)
        write(store, JobRecord(key, RUNNING, revision=1), Job(in_progress_at=5))
        assert not write(store, JobRecord(key, RUNNING, revision=seen), Job(in_progress_at=9))
        assert store.read_job(key).job == Job(in_progress_at=5)

    def test_of_many_equal_writes_at_once_one_succeeds(self, store: JobStore, key: str) -> None:
        before = store.read_job(key)
        with ThreadPoolExecutor(8) as threads:
            done = list(threads.map(lambda at: write(store, before, Job(in_progress_at=at)), range(24)))
        assert done.count(True) == 1
        assert store.read_job(key).job == Job(in_progress_at=done.index(True))

    @pytest.mark.parametrize("character", ["k", "é"])
    def test_a_key_may_have_all_the_bytes_that_hud_takes(
        self, store: JobStore, dynamodb: DynamoDBClient, relay_table: str, key: str, character: str
    ) -> None:
        longest = key + character * ((KEY_BYTES - len(key)) // len(character.encode()))
        assert write(store, JobRecord(longest), RUNNING)
        assert store.read_job(longest).job == RUNNING
        assert store.read_job(longest[:-1]).job == Job()
        names = [item["pk"]["S"] for item in dynamodb.scan(TableName=relay_table)["Items"]]
        assert max(len(name.encode()) for name in names) <= KEY_BYTES  # which ministack does not ask for


class TestWhatRuns:
    def due(self, store: JobStore, key: str, now: float) -> list[JobRecord]:
        return [record for record in store.due_jobs(now) if record.key == key]

    def test_is_due_at_its_deadline(self, store: JobStore, key: str) -> None:
        write(store, JobRecord(key), RUNNING, start_payload=b"opening", deadline=200.5)
        assert self.due(store, key, 200.4) == []
        assert self.due(store, key, 200.5) == [JobRecord(key, RUNNING, revision=1, start_payload=b"opening")]

    @pytest.mark.parametrize("ended", [Job(in_progress_at=1, completed_at=2), Job(in_progress_at=1, timed_out_at=2)])
    def test_is_due_no_more_once_it_has_ended(self, store: JobStore, key: str, ended: Job) -> None:
        write(store, JobRecord(key), RUNNING)
        write(store, store.read_job(key), ended)
        assert self.due(store, key, 10_000) == []

    def test_is_due_again_when_hud_refused_its_end(self, store: JobStore, key: str) -> None:
        write(store, JobRecord(key), RUNNING, start_payload=b"opening")
        for job in (Job(in_progress_at=1, completed_at=2), Job(in_progress_at=1)):
            write(store, store.read_job(key), job, deadline=300)
        [record] = self.due(store, key, 300)
        assert (record.job.phase, record.start_payload) == (Phase.IN_PROGRESS, b"opening")


class TestTokens:
    def test_one_may_carry_the_callbacks_of_one_job(self) -> None:
        token = TokenRecord("t").bind("job")
        assert token == token.bind("job") == TokenRecord("t", "job")

    @pytest.mark.parametrize("key", ["other", ""])
    def test_anything_else_is_refused(self, key: str) -> None:
        with pytest.raises(RefusedError) as caught:
            TokenRecord("t", "job").bind(key)
        assert (caught.value.code, caught.value.status) == ("replayed_token", 401)

    def test_a_binding_is_written_with_the_job(self, store: JobStore, key: str, token_id: str) -> None:
        bound = TokenRecord(token_id).bind(key)
        assert write(store, JobRecord(key), RUNNING, token=bound)
        assert read(store, key, token_id).token == bound

    def test_two_jobs_at_once_cannot_both_bind(self, store: JobStore, key: str, token_id: str) -> None:
        other = f"{key}-other"
        assert write(store, JobRecord(other), RUNNING, token=TokenRecord(token_id, other))
        assert not write(store, JobRecord(key), RUNNING, token=TokenRecord(token_id, key))
        assert read(store, key, token_id) == Known(JobRecord(key), TokenRecord(token_id, other), None, None)

    def test_one_is_bound_alone_where_nothing_else_changes(self, store: JobStore, key: str, token_id: str) -> None:
        for _ in range(2):
            store.bind(TokenRecord(token_id, key), 100.0)
        assert read(store, key, token_id).token == TokenRecord(token_id, key)
        with pytest.raises(RefusedError) as caught:
            store.bind(TokenRecord(token_id, "other"), 100.0)
        assert caught.value.code == "replayed_token"

    def test_one_that_an_earlier_relay_bound_is_bound(
        self, store: JobStore, dynamodb: DynamoDBClient, key: str, token_id: str
    ) -> None:
        digests = {"M": {"in_progress": {"S": "a"}}}
        item: dict[str, Any] = {"pk": {"S": f"token#{token_id}"}, "key": {"S": key}, "digests": digests}
        dynamodb.put_item(TableName=store.table, Item=item)
        assert read(store, key, token_id).token == TokenRecord(token_id, key)
        assert write(store, JobRecord(key), RUNNING, token=TokenRecord(token_id, key))


class TestAllOrNothing:
    def put(self, table: str, entry_id: str, **more: Any) -> dict[str, Any]:
        return {"Put": {"TableName": table, "Item": {"pk": {"S": f"outbox#{entry_id}"}}, **more}}

    def test_the_outbox_entry_comes_with_it(
        self, store: JobStore, dynamodb: DynamoDBClient, relay_table: str, key: str, token_id: str
    ) -> None:
        assert write(store, JobRecord(key), RUNNING, others=[self.put(relay_table, token_id)])
        entry = {"pk": {"S": f"outbox#{token_id}"}}
        assert dynamodb.get_item(TableName=relay_table, Key=entry)["Item"] == entry

    @pytest.mark.parametrize("why", ["condition", "no such table"])
    def test_an_entry_that_fails_leaves_neither_token_nor_job(
        self, store: JobStore, relay_table: str, key: str, token_id: str, why: str
    ) -> None:
        put = self.put(relay_table, token_id)
        if why == "condition":
            put["Put"]["ConditionExpression"] = "attribute_exists(pk)"
        else:
            put["Put"]["TableName"] = "nowhere"
        before = read(store, key, token_id)
        with suppress(RefusedError):
            assert not write(store, before.job, RUNNING, token=TokenRecord(token_id, key), others=[put])
        assert read(store, key, token_id) == before

    @pytest.mark.parametrize("changed", ["token", "job"])
    def test_neither_does_one_that_meets_another_use(
        self, store: JobStore, dynamodb: DynamoDBClient, relay_table: str, key: str, token_id: str, changed: str
    ) -> None:
        write(store, JobRecord(key), RUNNING, token=TokenRecord(token_id, key))
        known = read(store, key, token_id)
        record = JobRecord(key) if changed == "job" else known.job
        token = TokenRecord(token_id, key if changed == "job" else "other")
        again = self.put(relay_table, token_id)
        assert not write(store, record, RUNNING, token=token, others=[again])
        assert read(store, key, token_id) == known
        assert "Item" not in dynamodb.get_item(TableName=relay_table, Key=again["Put"]["Item"])


class TestAStoreThatFails:
    @pytest.mark.parametrize(
        ("codes", "told"),
        [
            (["None", "ConditionalCheckFailed", "None"], None),
            (["TransactionConflict", "None", "None"], None),
            (["ThrottlingError", "None", "None"], "ThrottlingError"),
            (["ConditionalCheckFailed", "ProvisionedThroughputExceeded"], "ProvisionedThroughputExceeded"),
            (["None", "None", "ValidationError"], "ValidationError"),
        ],
    )
    def test_only_a_change_by_others_asks_for_another_try(
        self, aws: dict[str, Any], key: str, codes: list[str], told: str | None
    ) -> None:
        client = boto3.client("dynamodb", **aws)
        reasons = {"CancellationReasons": [{"Code": code} for code in codes]}
        with Stubber(client) as stub:
            stub.add_client_error("transact_write_items", "TransactionCanceledException", modeled_fields=reasons)
            if told is None:
                assert not write(JobStore(client, "t"), JobRecord(key), RUNNING)
                return
            with pytest.raises(RefusedError, match=told) as caught:
                write(JobStore(client, "t"), JobRecord(key), RUNNING)
        assert caught.value.code == "store_unavailable"

    def test_half_an_answer_is_none(self, aws: dict[str, Any], key: str) -> None:
        client = boto3.client("dynamodb", **aws)
        left = {"t": {"Keys": [{"pk": {"S": "x"}}]}}
        with Stubber(client) as stub:
            stub.add_response("batch_get_item", {"Responses": {}, "UnprocessedKeys": left})
            with pytest.raises(RefusedError, match="throttled"):
                JobStore(client, "t").read_job(key)

    def test_one_that_is_gone(self, aws: dict[str, Any], key: str, closed_port: int) -> None:
        patience = Config(connect_timeout=1, retries={"total_max_attempts": 1})
        gone = boto3.client("dynamodb", **aws | {"endpoint_url": f"http://127.0.0.1:{closed_port}"}, config=patience)
        for call in (
            lambda: JobStore(gone, "t").read_job(key),
            lambda: write(JobStore(gone, "t"), JobRecord(key), RUNNING),
        ):
            with pytest.raises(RefusedError, match="send it again") as caught:
                call()
            assert caught.value.code == "store_unavailable"
