"""What the relay remembers of jobs and tokens, on a real DynamoDB: a write happens whole or not at all."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber

from hud_endpoint.contract import KEY_BYTES
from hud_endpoint.errors import RefusedError
from hud_endpoint.relay.ledger import JobRecord, Ledger, TokenRecord
from hud_endpoint.relay.lifecycle import Job, Phase

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient

    from hud_endpoint.wire_types import Status

RUNNING = Job(in_progress_at=1_790_000_000.123456)


@pytest.fixture
def ledger(dynamodb: DynamoDBClient, relay_table: str) -> Ledger:
    return Ledger(dynamodb, relay_table)


@pytest.fixture
def key() -> str:
    return f"spec/backend/{uuid.uuid4()}/ci/test/987"


@pytest.fixture
def token_id() -> str:
    return uuid.uuid4().hex


def write(ledger: Ledger, before: JobRecord, after: Job, **more: Any) -> bool:
    return ledger.write(before, after, **{"now": 100.0, "deadline": 200.0, **more})


class TestJobs:
    def test_one_never_heard_of_is_new(self, ledger: Ledger, key: str, token_id: str) -> None:
        assert ledger.read(key, token_id) == (JobRecord(key), TokenRecord(token_id))

    @pytest.mark.parametrize(
        "job",
        [
            RUNNING,
            Job(completed_at=1e-05),
            Job(in_progress_at=1.1, completed_at=2.2, timed_out_at=3.3),
            Job(in_progress_at=1.1, timed_out_at=2),
        ],
    )
    def test_what_is_written_is_read(self, ledger: Ledger, key: str, job: Job) -> None:
        assert write(ledger, JobRecord(key), job, opening=b"\x00opening")
        assert ledger.read(key, "")[0] == JobRecord(key, job, revision=1, opening=b"\x00opening")

    def test_the_opening_is_kept_beyond_the_end(self, ledger: Ledger, key: str) -> None:
        write(ledger, JobRecord(key), RUNNING, opening=b"opening")
        write(ledger, ledger.read(key, "")[0], Job(in_progress_at=1, completed_at=2))
        assert ledger.read(key, "")[0].opening == b"opening"

    @pytest.mark.parametrize("seen", [0, 1, 3])
    def test_one_that_has_changed_since_is_not_written_over(self, ledger: Ledger, key: str, seen: int) -> None:
        write(ledger, JobRecord(key), RUNNING)
        write(ledger, JobRecord(key, RUNNING, revision=1), Job(in_progress_at=5))
        assert not write(ledger, JobRecord(key, RUNNING, revision=seen), Job(in_progress_at=9))
        assert ledger.read(key, "")[0].job == Job(in_progress_at=5)

    def test_of_many_equal_writes_at_once_one_succeeds(self, ledger: Ledger, key: str) -> None:
        before, _ = ledger.read(key, "")
        with ThreadPoolExecutor(8) as threads:
            done = list(threads.map(lambda at: write(ledger, before, Job(in_progress_at=at)), range(24)))
        assert done.count(True) == 1
        assert ledger.read(key, "")[0].job == Job(in_progress_at=done.index(True))

    @pytest.mark.parametrize("character", ["k", "é"])
    def test_a_key_may_have_all_the_bytes_that_hud_takes(
        self, ledger: Ledger, dynamodb: DynamoDBClient, relay_table: str, key: str, character: str
    ) -> None:
        longest = key + character * ((KEY_BYTES - len(key)) // len(character.encode()))
        assert write(ledger, JobRecord(longest), RUNNING)
        assert ledger.read(longest, "")[0].job == RUNNING
        assert ledger.read(longest[:-1], "")[0].job == Job()
        names = [item["pk"]["S"] for item in dynamodb.scan(TableName=relay_table)["Items"]]
        assert max(len(name.encode()) for name in names) <= KEY_BYTES  # which ministack does not ask for


class TestWhatRuns:
    def due(self, ledger: Ledger, key: str, now: float) -> list[JobRecord]:
        return [record for record in ledger.due_jobs(now) if record.key == key]

    def test_is_due_at_its_deadline(self, ledger: Ledger, key: str) -> None:
        write(ledger, JobRecord(key), RUNNING, opening=b"opening", deadline=200.5)
        assert self.due(ledger, key, 200.4) == []
        assert self.due(ledger, key, 200.5) == [JobRecord(key, RUNNING, revision=1, opening=b"opening")]

    @pytest.mark.parametrize("ended", [Job(in_progress_at=1, completed_at=2), Job(in_progress_at=1, timed_out_at=2)])
    def test_is_due_no_more_once_it_has_ended(self, ledger: Ledger, key: str, ended: Job) -> None:
        write(ledger, JobRecord(key), RUNNING)
        write(ledger, ledger.read(key, "")[0], ended)
        assert self.due(ledger, key, 10_000) == []

    def test_is_due_again_when_hud_refused_its_end(self, ledger: Ledger, key: str) -> None:
        write(ledger, JobRecord(key), RUNNING, opening=b"opening")
        for job in (Job(in_progress_at=1, completed_at=2), Job(in_progress_at=1)):
            write(ledger, ledger.read(key, "")[0], job, deadline=300)
        [record] = self.due(ledger, key, 300)
        assert (record.job.phase, record.opening) == (Phase.IN_PROGRESS, b"opening")


class TestTokens:
    def test_one_may_carry_one_body_a_status_of_one_job(self) -> None:
        token = TokenRecord("t").bind("job", "in_progress", "a").bind("job", "completed", "b")
        assert token == TokenRecord("t", "job", (("in_progress", "a"), ("completed", "b")))

    def test_the_same_again_changes_nothing(self) -> None:
        token = TokenRecord("t").bind("job", "in_progress", "a").bind("job", "completed", "b")
        assert token.bind("job", "in_progress", "a") == token

    @pytest.mark.parametrize(
        ("key", "status", "digest"),
        [
            ("other", "in_progress", "a"),
            ("other", "completed", "b"),
            ("", "completed", "b"),
            ("job", "in_progress", "b"),
        ],
    )
    def test_anything_else_is_refused(self, key: str, status: Status, digest: str) -> None:
        token = TokenRecord("t").bind("job", "in_progress", "a")
        with pytest.raises(RefusedError) as caught:
            token.bind(key, status, digest)
        assert (caught.value.code, caught.value.status) == ("replayed_token", 401)

    def test_a_binding_is_written_with_the_job(self, ledger: Ledger, key: str, token_id: str) -> None:
        job, token = ledger.read(key, token_id)
        bound = token.bind(key, "in_progress", "a")
        assert write(ledger, job, RUNNING, token=(token, bound))
        assert ledger.read(key, token_id)[1] == bound

    @pytest.mark.parametrize("other", [False, True], ids=["this job", "another job"])
    def test_two_uses_at_once_cannot_both_bind(self, ledger: Ledger, key: str, token_id: str, other: bool) -> None:  # noqa: FBT001 - a column
        job, token = ledger.read(key, token_id)
        first = JobRecord(f"{key}-other" if other else key)
        assert write(ledger, first, RUNNING, token=(token, token.bind(first.key, "in_progress", "a")))
        stale = JobRecord(key, job.job, revision=ledger.read(key, "")[0].revision)
        assert not write(ledger, stale, RUNNING, token=(token, token.bind(key, "in_progress", "b")))
        assert ledger.read(key, token_id)[1].digests == (("in_progress", "a"),)


class TestAllOrNothing:
    def put(self, table: str, entry_id: str, **more: Any) -> dict[str, Any]:
        return {"Put": {"TableName": table, "Item": {"pk": {"S": f"outbox#{entry_id}"}}, **more}}

    def test_the_outbox_entry_comes_with_it(
        self, ledger: Ledger, dynamodb: DynamoDBClient, relay_table: str, key: str, token_id: str
    ) -> None:
        assert write(ledger, JobRecord(key), RUNNING, others=[self.put(relay_table, token_id)])
        entry = {"pk": {"S": f"outbox#{token_id}"}}
        assert dynamodb.get_item(TableName=relay_table, Key=entry)["Item"] == entry

    @pytest.mark.parametrize("why", ["condition", "no such table"])
    def test_an_entry_that_fails_leaves_neither_token_nor_job(
        self, ledger: Ledger, relay_table: str, key: str, token_id: str, why: str
    ) -> None:
        put = self.put(relay_table, token_id)
        if why == "condition":
            put["Put"]["ConditionExpression"] = "attribute_exists(pk)"
        else:
            put["Put"]["TableName"] = "nowhere"
        job, token = ledger.read(key, token_id)
        with suppress(RefusedError):
            assert not write(ledger, job, RUNNING, token=(token, token.bind(key, "completed", "a")), others=[put])
        assert ledger.read(key, token_id) == (job, token)

    @pytest.mark.parametrize("fresh", ["token", "job"])
    def test_neither_does_one_that_meets_another_use(
        self, ledger: Ledger, dynamodb: DynamoDBClient, relay_table: str, key: str, token_id: str, fresh: str
    ) -> None:
        token = TokenRecord(token_id)
        write(ledger, JobRecord(key), RUNNING, token=(token, token.bind(key, "in_progress", "a")))
        known = ledger.read(key, token_id)
        job, used = (JobRecord(key), known[1]) if fresh == "token" else (known[0], token)
        again = self.put(relay_table, token_id)
        assert not write(ledger, job, RUNNING, token=(used, used.bind(key, "completed", "b")), others=[again])
        assert ledger.read(key, token_id) == known
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
                assert not write(Ledger(client, "t"), JobRecord(key), RUNNING)
                return
            with pytest.raises(RefusedError, match=told) as caught:
                write(Ledger(client, "t"), JobRecord(key), RUNNING)
        assert caught.value.code == "store_unavailable"

    def test_half_an_answer_is_none(self, aws: dict[str, Any], key: str) -> None:
        client = boto3.client("dynamodb", **aws)
        left = {"t": {"Keys": [{"pk": {"S": "x"}}]}}
        with Stubber(client) as stub:
            stub.add_response("batch_get_item", {"Responses": {}, "UnprocessedKeys": left})
            with pytest.raises(RefusedError, match="throttled"):
                Ledger(client, "t").read(key, "")

    def test_one_that_is_gone(self, aws: dict[str, Any], key: str, closed_port: int) -> None:
        patience = Config(connect_timeout=1, retries={"total_max_attempts": 1})
        gone = boto3.client("dynamodb", **aws | {"endpoint_url": f"http://127.0.0.1:{closed_port}"}, config=patience)
        for call in (
            lambda: Ledger(gone, "t").read(key, ""),
            lambda: write(Ledger(gone, "t"), JobRecord(key), RUNNING),
        ):
            with pytest.raises(RefusedError, match="send it again") as caught:
                call()
            assert caught.value.code == "store_unavailable"
