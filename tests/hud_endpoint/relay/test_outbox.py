"""The outbox, on a real DynamoDB and S3: what waits is tried until HUD has it, and what HUD never takes is kept."""

from __future__ import annotations

import gzip
import random
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

from hud_endpoint.errors import RefusedError
from hud_endpoint.relay.bodies import S3Bodies
from hud_endpoint.relay.forward import Answer, Delivered, Refused, Unavailable
from hud_endpoint.relay.outbox import DEAD, INLINE_BYTES, QUEUE, Entry, Outbox, new_entry, wait_seconds
from tests.hud_endpoint.relay.desk import Clock, new_table
from tests.hud_endpoint.samples import relay_payload

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient
    from types_boto3_s3.client import S3Client

NOW = 1_790_000_000.0
HOUR, DAY = 3600, 24 * 3600
TAKEN, AGAIN = Delivered(duplicate=False), Delivered(duplicate=True)
AWAY, LOCKED_OUT = Unavailable("HTTP 503", ours=False), Unavailable("HTTP 401", ours=True)
WRONG = Refused(400, "HTTP 400: workflow.name: is wrong")


class Box:
    """An outbox of the test's own, and a HUD that answers as told."""

    def __init__(self, client: DynamoDBClient, table: str, bodies: S3Bodies | None = None) -> None:
        self.client, self.table, self.clock = client, table, Clock(NOW)
        self.outbox = Outbox(client, table, bodies, self.clock)
        self.sent: list[dict[str, Any]] = []
        self.refused: list[str] = []

    def add(self, payload: dict[str, Any] | None = None, **changes: Any) -> Entry:
        entry = replace(new_entry(payload or relay_payload(), "a-key", "completed", self.clock.now), **changes)
        self.client.transact_write_items(TransactItems=[self.outbox.put_item(entry)])  # type: ignore[list-item]
        return entry

    def drain(self, answer: Answer = TAKEN, **how: Any) -> int:
        def send(payload: dict[str, Any]) -> Answer:
            self.sent.append(payload)
            return answer

        return self.outbox.drain(send, lambda entry, _answer: self.refused.append(entry.entry_id), **how)

    def stored(self, queue: str = QUEUE) -> Entry | None:
        entries = list(self.outbox.entries(queue))
        assert len(entries) <= 1
        return entries[0] if entries else None


@pytest.fixture
def table(dynamodb: DynamoDBClient) -> str:
    """A table that holds nothing of other tests."""
    return new_table(dynamodb)


@pytest.fixture
def box(dynamodb: DynamoDBClient, table: str) -> Box:
    return Box(dynamodb, table)


class TestWhatWaits:
    def test_is_left_to_the_request_that_made_it_for_half_a_minute(self, box: Box) -> None:
        box.add()
        box.clock.now += 29.9
        assert box.drain() == 0
        box.clock.now += 0.1
        assert box.drain() == 1
        assert box.sent == [relay_payload()]  # as it was accepted

    @pytest.mark.parametrize("answer", [TAKEN, AGAIN])
    def test_is_gone_once_hud_has_it(self, box: Box, answer: Answer) -> None:
        box.outbox.settle(box.add(), answer, NOW)
        assert (box.stored(), box.stored(DEAD)) == (None, None)
        box.clock.now += DAY
        assert box.drain() == 0

    @pytest.mark.parametrize("answer", [AWAY, LOCKED_OUT])
    def test_is_tried_again_later_with_its_history(self, box: Box, answer: Unavailable) -> None:
        entry = box.add()
        box.outbox.settle(entry, answer, NOW + 2)
        line = f"2026-09-21T14:13:22+00:00 attempt 1: {answer.why}"
        assert box.stored() == replace(entry, attempts=1, due_at=NOW + 2 + 10, history=(line,))

    @pytest.mark.parametrize(
        ("attempts", "seconds"),
        [(1, 10), (2, 20), (3, 40), (4, 80), (5, 160), (8, 1280), (9, 2560), (10, 3600), (11, 3600), (10_000, 3600)],
    )
    def test_waits_longer_each_time_and_an_hour_at_most(self, attempts: int, seconds: float) -> None:
        assert wait_seconds(attempts) == seconds

    def test_is_the_oldest_first(self, box: Box) -> None:
        for age in (1, 3, 2):
            box.add(relay_payload(repo=f"o/{age}"), due_at=NOW - age)
        box.drain()
        assert [sent["trusted"]["verified_repo"] for sent in box.sent] == ["o/3", "o/2", "o/1"]

    def test_is_counted_and_its_age_is_known(self, box: Box) -> None:
        assert box.outbox.depth(QUEUE) == (0, None)
        box.clock.now = NOW - 50
        box.add()
        box.clock.now = NOW
        box.add()
        assert box.outbox.depth(QUEUE) == (2, NOW - 50)

    def test_is_left_alone_when_the_worker_must_stop(self, box: Box) -> None:
        for _ in range(3):
            box.add(due_at=NOW)
        assert box.drain(stopping=lambda: len(box.sent) == 2) == 2
        assert box.outbox.depth(QUEUE)[0] == 1


class TestDeadLetters:
    def test_after_three_days_it_is_dead_with_its_history(self, box: Box) -> None:
        box.add()
        tries: list[float] = []
        while waiting := box.stored():
            box.clock.now = waiting.due_at
            assert box.drain(replace_why(len(tries) + 1)) == 1
            tries.append(box.clock.now)
        dead = box.stored(DEAD)
        assert dead is not None
        assert (dead.attempts, len(dead.history)) == (len(tries), 50)
        assert dead.history[-1].endswith(f"attempt {len(tries)}: HTTP 503: try {len(tries)}")
        assert 3 * DAY - HOUR < tries[-1] - NOW <= 3 * DAY
        assert box.refused == []  # HUD never spoke of the body

    def test_what_hud_refuses_is_dead_at_once_with_the_reason(self, box: Box) -> None:
        entry = box.add(due_at=NOW)
        assert box.drain(WRONG) == 1
        dead = box.stored(DEAD)
        assert dead is not None
        assert dead.history == (f"2026-09-21T14:13:20+00:00 attempt 1: {WRONG.why}",)
        assert dead.payload() == relay_payload()
        assert box.refused == [entry.entry_id]
        box.clock.now += DAY
        assert box.drain() == 0

    def test_it_is_forgotten_after_a_month(self, box: Box, dynamodb: DynamoDBClient, table: str) -> None:
        box.outbox.settle(box.add(), WRONG, NOW)
        [item] = dynamodb.scan(TableName=table)["Items"]
        assert float(item["expires_at"]["N"]) == NOW + 30 * DAY

    def test_it_can_be_replayed_and_has_three_days_again(self, box: Box, dynamodb: DynamoDBClient, table: str) -> None:
        box.outbox.settle(box.add(), WRONG, NOW)
        box.clock.now += 9 * DAY
        dead = box.stored(DEAD)
        assert dead is not None
        assert box.outbox.replay(dead, box.clock.now)
        assert "expires_at" not in dynamodb.scan(TableName=table)["Items"][0]
        assert box.drain(AWAY) == 1
        waiting = box.stored()
        assert waiting is not None
        assert len(waiting.history) == 2
        box.clock.now = waiting.due_at
        assert box.drain() == 1
        assert (box.stored(), box.stored(DEAD)) == (None, None)

    def test_one_that_is_gone_or_was_just_tried_is_not_replayed(self, box: Box) -> None:
        entry = box.add()
        box.outbox.settle(entry, AWAY, NOW)
        assert not box.outbox.replay(entry, NOW)
        box.outbox.drop(entry)
        assert not box.outbox.replay(entry, NOW)
        assert box.stored() is None

    @pytest.mark.parametrize("character", ["x", "é", "\U0001f600"])
    def test_a_long_history_still_fits_into_its_item(self, box: Box, character: str) -> None:
        body = random.Random(1).randbytes(INLINE_BYTES)  # noqa: S311 - what gzip can't make smaller
        entry = box.add(body=body, attempts=60, history=(), due_at=NOW)
        for _ in range(60):
            box.outbox.settle(entry, Unavailable(character * 1000, ours=False), NOW)
            entry = next(box.outbox.entries(QUEUE))
        assert len(entry.history) == 50
        assert len(entry.body) + sum(len(line.encode()) for line in entry.history) < 400 * 1000 - 10 * 2048


def replace_why(attempt: int) -> Unavailable:
    return AWAY._replace(why=f"HTTP 503: try {attempt}")


class TestTwoWorkers:
    def test_one_of_them_gets_an_entry(self, box: Box) -> None:
        box.add(due_at=NOW)
        [entry] = box.outbox.due(NOW)
        with ThreadPoolExecutor(8) as threads:
            claimed = list(threads.map(lambda _: box.outbox.claim(entry, NOW), range(16)))
        assert claimed.count(True) == 1

    def test_together_they_try_each_once(self, box: Box) -> None:
        for number in range(20):
            box.add(relay_payload(repo=f"o/{number}"), due_at=NOW)
        with ThreadPoolExecutor(4) as threads:
            tried = sum(threads.map(lambda _: box.drain(), range(4)))
        assert tried == 20
        assert len({sent["trusted"]["verified_repo"] for sent in box.sent}) == len(box.sent) == 20

    def test_what_one_claims_while_the_other_looks_is_not_taken_from_it(self, box: Box, aws: dict[str, Any]) -> None:
        box.add(due_at=NOW)
        [entry] = box.outbox.due(NOW)
        claimed: list[bool] = []
        looking = boto3.client("dynamodb", **aws)
        # The index has told the slower one of the entry; before it reads the entry itself, the other takes it.
        looking.meta.events.register(
            "before-call.dynamodb.BatchGetItem", lambda **_: claimed.append(box.outbox.claim(entry, NOW))
        )
        assert Outbox(looking, box.table).due(NOW) == []
        assert claimed == [True]

    def test_what_a_dead_one_held_is_due_again_after_its_lease(self, box: Box) -> None:
        box.add(due_at=NOW)
        [entry] = box.outbox.due(NOW)
        assert box.outbox.claim(entry, NOW)
        for passed, tried in ((59, 0), (60, 1)):
            box.clock.now = NOW + passed
            assert box.drain() == tried

    @pytest.mark.parametrize("answer", [AWAY, WRONG])
    def test_the_slower_one_changes_nothing(self, box: Box, answer: Answer) -> None:
        entry = box.add()
        box.outbox.settle(entry, AWAY, NOW)
        before = box.stored()
        box.outbox.settle(entry, answer, NOW + 100)
        assert box.stored() == before
        box.outbox.settle(entry, TAKEN, NOW + 100)  # but HUD has it, whoever asked
        box.outbox.settle(entry, answer, NOW + 200)
        assert (box.stored(), box.stored(DEAD)) == (None, None)

    def test_an_entry_that_somebody_made_dead_is_not_claimed(self, box: Box) -> None:
        box.add(due_at=NOW)
        [entry] = box.outbox.due(NOW)
        box.outbox.settle(entry, WRONG, NOW)
        assert not box.outbox.claim(entry, NOW)


def large(repo: str = "o/r") -> dict[str, Any]:
    """A payload of more than 300 KB, however well it is compressed."""
    noise = random.Random(1).randbytes(INLINE_BYTES).hex()  # noqa: S311 - what gzip can't make smaller
    payload = relay_payload(repo=repo)
    failed = [
        {"name": f"t{at}", "message": noise[at * 1000 : at * 1000 + 1000]} for at in range(len(noise) // 1000 + 1)
    ]
    callback = payload["untrusted"]["callback_payload"]
    return payload | {"untrusted": {"callback_payload": callback | {"failed_tests": failed}}}


class TestLargeBodies:
    @pytest.fixture
    def s3(self, aws: dict[str, Any]) -> S3Client:
        return boto3.client("s3", **aws)

    @pytest.fixture
    def bucket(self, s3: S3Client) -> str:
        name = f"outbox-{uuid.uuid4().hex}"
        s3.create_bucket(Bucket=name)
        return name

    @pytest.fixture
    def apart(self, dynamodb: DynamoDBClient, table: str, s3: S3Client, bucket: str) -> Box:
        return Box(dynamodb, table, S3Bodies(s3, bucket))

    def kept(self, s3: S3Client, bucket: str) -> list[str]:
        return [item["Key"] for item in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]

    def test_lie_in_s3_until_hud_has_them(self, apart: Box, s3: S3Client, bucket: str) -> None:
        entry = apart.add(large(), due_at=NOW)
        assert self.kept(s3, bucket) == [f"outbox/{entry.entry_id}"]
        stored = apart.stored()
        assert stored is not None
        assert (stored.stored_apart, stored.body) == (True, b"")
        assert apart.drain() == 1
        assert apart.sent == [large()]
        assert self.kept(s3, bucket) == []

    def test_leave_nothing_behind_when_hud_takes_them_at_once(self, apart: Box, s3: S3Client, bucket: str) -> None:
        apart.outbox.settle(apart.add(large()), TAKEN, NOW)
        assert self.kept(s3, bucket) == []

    def test_stay_for_the_replay_of_a_dead_letter(self, apart: Box) -> None:
        apart.outbox.settle(apart.add(large()), WRONG, NOW)
        dead = apart.stored(DEAD)
        assert dead is not None
        assert apart.outbox.replay(dead, NOW)
        assert apart.drain() == 1
        assert apart.sent == [large()]

    @pytest.mark.parametrize("size", [INLINE_BYTES, INLINE_BYTES + 1])
    def test_begin_above_300_kb(self, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
        monkeypatch.setattr(gzip, "compress", lambda *_args, **_more: b"x" * size)
        assert new_entry(relay_payload(), "k", "completed", NOW).stored_apart is (size > INLINE_BYTES)

    def test_are_refused_plainly_where_there_is_no_bucket(self, box: Box) -> None:
        with pytest.raises(RefusedError, match="307,200: send fewer test details") as caught:
            box.add(large())
        assert caught.value.status == 413
        assert box.stored() is None

    def test_that_s3_does_not_take_are_not_accepted(
        self, aws: dict[str, Any], dynamodb: DynamoDBClient, table: str, s3: S3Client, closed_port: int
    ) -> None:
        patience = Config(connect_timeout=1, retries={"total_max_attempts": 1})
        gone = boto3.client("s3", **aws | {"endpoint_url": f"http://127.0.0.1:{closed_port}"}, config=patience)
        for client in (gone, s3):
            box = Box(dynamodb, table, S3Bodies(client, "no-such-bucket"))
            with pytest.raises(RefusedError) as caught:
                box.add(large())
            assert caught.value.code == "store_unavailable"
            assert box.stored() is None

    @pytest.mark.parametrize("how", ["lost", "garbage", "no bucket"])
    def test_that_cannot_be_read_block_nobody_and_die_in_the_end(
        self, apart: Box, s3: S3Client, bucket: str, how: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        entry = apart.add(large(), due_at=NOW)
        apart.add(relay_payload(repo="o/neighbour"), due_at=NOW + 1)
        apart.clock.now += 1
        if how == "lost":
            s3.delete_object(Bucket=bucket, Key=f"outbox/{entry.entry_id}")
        elif how == "garbage":
            s3.put_object(Bucket=bucket, Key=f"outbox/{entry.entry_id}", Body=b"\x1f\x8b garbage")
        else:
            monkeypatch.setattr(apart.outbox, "_bodies", None)
        assert apart.drain() == 2
        assert [sent["trusted"]["verified_repo"] for sent in apart.sent] == ["o/neighbour"]
        waiting = apart.stored()
        assert waiting is not None
        assert "its body can't be read" in waiting.history[0]
        apart.clock.now += 3 * DAY
        assert apart.drain() == 1
        assert apart.stored(DEAD) is not None


def test_an_error_of_the_store_leaves_the_entry_to_be_tried_again(box: Box) -> None:
    def fail(_entry: Entry, _answer: object) -> None:
        raise RefusedError("store_unavailable", "no")

    box.add(due_at=NOW)
    with pytest.raises(RefusedError):
        box.outbox.drain(lambda _: WRONG, fail)
    box.clock.now += 60
    assert [box.drain(), box.drain()] == [1, 0]
