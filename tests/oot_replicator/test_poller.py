"""The worker on a stream of many shards: order, failures of the stream, takeovers, batches; its leases are real."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from hud_endpoint.metrics import Metrics
from oot_replicator.reading import poller as room
from oot_replicator.reading import shards as shards_room
from oot_replicator.reading.leases import Lease, Leases
from oot_replicator.reading.poller import Poller
from oot_replicator.reading.shards import ShardReader, readable
from oot_replicator.writing.writer import Written
from tests.integration.waiting import wait_for
from tests.oot_replicator.records import record
from tests.oot_replicator.streams_server import ARN, StreamsServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from types_boto3_dynamodb.client import DynamoDBClient
    from types_boto3_dynamodbstreams.client import DynamoDBStreamsClient


class Store:
    """What reached ClickHouse, in order, batch by batch; it can be away."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.away = False

    @property
    def keys(self) -> list[str]:
        return [key for batch in self.batches for key in batch]

    def write(self, records: Sequence[Mapping[str, Any]]) -> Written:
        if self.away:
            raise ConnectionError("ClickHouse is away")
        self.batches.append([one["dynamodb"]["Keys"]["dynamoKey"]["S"] for one in records])
        return Written(len(records), 0)


class World:
    """A stream, a store, and as many workers as one likes."""

    def __init__(self, stream: StreamsServer, streams: DynamoDBStreamsClient, dynamodb: DynamoDBClient) -> None:
        self.stream = stream
        self.streams = streams
        self.store = Store()
        self._dynamodb = dynamodb
        self._arn = f"{ARN}#{uuid.uuid4().hex}"

    def worker(self, name: str = "one", *, lease_seconds: float = 0.3, batch_seconds: float = 0) -> Poller:
        leases = Leases(self._dynamodb, self._arn, name)
        return Poller(
            self.streams,
            ARN,
            leases,
            self.store,  # type: ignore[arg-type]  # the one method that is used
            lease_seconds=lease_seconds,
            batch_seconds=batch_seconds,
        )

    def leases(self) -> dict[str, Lease]:
        return Leases(self._dynamodb, self._arn, "x").load(self.stream.shard_ids)


@pytest.fixture(scope="module")
def stream() -> Iterator[StreamsServer]:
    server = StreamsServer(page=3)
    yield server
    server.close()


@pytest.fixture(scope="module")
def streams(stream: StreamsServer) -> Iterator[DynamoDBStreamsClient]:
    client = stream.client()
    yield client
    client.close()


@pytest.fixture
def world(
    stream: StreamsServer,
    streams: DynamoDBStreamsClient,
    dynamodb: DynamoDBClient,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    monkeypatch.setattr(shards_room, "IDLE_SECONDS", 0.001)
    monkeypatch.setattr(room, "SHARDS_SECONDS", 0)
    stream.reset()
    return World(stream, streams, dynamodb)


def job(key: str, **changes: Any) -> dict[str, Any]:
    return record(dynamoKey=key, **changes)


def jobs(prefix: str, count: int) -> list[dict[str, Any]]:
    return [job(f"{prefix}{number}") for number in range(count)]


def poll_until(workers: Poller | list[Poller], done: Callable[[], object]) -> None:
    def look() -> bool:
        for worker in [workers] if isinstance(workers, Poller) else workers:
            worker.poll()
        return bool(done())

    wait_for(look, "what the workers do")


def keys(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


class TestLineage:
    def test_all_shards_are_read_parents_before_children(self, world: World) -> None:
        for shard in ("a", "b"):
            world.stream.open(shard)
            world.stream.add(shard, *jobs(shard, 7))
        world.stream.split("a", "a1", "a2")
        world.stream.split("a2", "a21", "a22")
        for shard in ("a1", "a2", "a21", "a22"):
            world.stream.add(shard, *jobs(f"{shard}-", 4))
        poll_until(world.worker(), lambda: len(world.store.keys) >= 30)
        came = world.store.keys
        assert len(came) == len(set(came)) == 30
        for parent, children in {"a": ("a1-", "a2-"), "a2-": ("a21-", "a22-")}.items():
            last = max(
                index for index, key in enumerate(came) if key.startswith(parent) and len(key) <= len(parent) + 1
            )
            assert all(index > last for index, key in enumerate(came) if key.startswith(children))
        for shard in ("a", "b"):
            assert [key for key in came if key in keys(shard, 7)] == keys(shard, 7)

    def test_a_child_waits_until_its_parent_is_kept_as_done(self, world: World) -> None:
        world.stream.open("a")
        world.stream.add("a", *jobs("a", 2))
        world.stream.split("a", "b")
        world.stream.add("b", *jobs("b", 2))
        world.store.away = True
        worker = world.worker()
        for _ in range(3):
            with pytest.raises(ConnectionError):
                worker.poll()
        assert "b" not in {body.get("ShardId") for _, body in world.stream.calls}
        world.store.away = False
        poll_until(worker, lambda: world.store.keys == ["a0", "a1", "b0", "b1"])
        assert world.leases()["a"].finished

    def test_a_shard_whose_parent_has_left_the_stream(self, world: World) -> None:
        world.stream.open("b", parent="long gone")
        world.stream.add("b", *jobs("b", 2))
        poll_until(world.worker(), lambda: world.store.keys == ["b0", "b1"])

    def test_a_shard_that_ends_without_a_record(self, world: World) -> None:
        world.stream.open("a")
        world.stream.split("a", "b")
        world.stream.add("b", job("b0"))
        poll_until(world.worker(), lambda: world.store.keys == ["b0"])

    def test_a_shard_split_under_the_worker(self, world: World) -> None:
        world.stream.open("a")
        world.stream.add("a", job("a0"))
        worker = world.worker()
        poll_until(worker, lambda: world.store.keys == ["a0"])
        world.stream.add("a", job("a1"))
        world.stream.split("a", "b", "c")
        world.stream.add("b", job("b0"))
        world.stream.add("c", job("c0"))
        poll_until(worker, lambda: len(world.store.keys) == 4)
        assert world.store.keys[:2] == ["a0", "a1"]

    @pytest.mark.parametrize(
        ("parents", "finished", "open_"),
        [
            ({}, "", []),
            ({"a": ""}, "", ["a"]),
            ({"a": ""}, "a", []),
            ({"a": "", "b": "a"}, "", ["a"]),
            ({"a": "", "b": "a", "c": "b"}, "a", ["b"]),
            ({"b": "a"}, "", ["b"]),
        ],
        ids=str,
    )
    def test_what_may_be_read(self, parents: dict[str, str], finished: str, open_: list[str]) -> None:
        leases = {name: Lease(name, finished=name in finished) for name in parents}
        assert readable(parents, leases) == open_


class TestFailures:
    def test_nothing_is_kept_before_it_is_durable(self, world: World) -> None:
        world.stream.open("a")
        world.stream.add("a", *jobs("a", 5))
        world.store.away = True
        worker = world.worker()
        with pytest.raises(ConnectionError):
            worker.poll()
        assert world.leases()["a"].sequence_number == ""
        world.store.away = False
        poll_until(worker, lambda: world.store.keys == keys("a", 5))

    def test_an_expired_iterator_is_renewed_where_it_was(self, world: World) -> None:
        world.stream.open("a")
        world.stream.add("a", *jobs("a", 4))
        worker = world.worker()
        poll_until(worker, lambda: len(world.store.keys) == 4)
        world.stream.expire_iterators()
        world.stream.add("a", job("a4"))
        poll_until(worker, lambda: world.store.keys == keys("a", 5))

    @pytest.mark.parametrize(
        "code", ["LimitExceededException", "ProvisionedThroughputExceededException", "ThrottlingException"]
    )
    @pytest.mark.parametrize("operation", ["GetRecords", "GetShardIterator"])
    def test_a_throttled_shard_waits_alone(self, world: World, operation: str, code: str) -> None:
        for shard in ("a", "b"):
            world.stream.open(shard)
            world.stream.add(shard, *jobs(shard, 2))
        world.stream.refuse(operation, code, code)
        poll_until(world.worker(), lambda: len(world.store.keys) == 4)

    def test_a_throttled_reader_waits_longer_each_time(self, world: World) -> None:
        world.stream.open("a")
        world.stream.refuse("GetRecords", *["LimitExceededException"] * 12)
        reader = ShardReader(world.streams, ARN, "a", "")
        waits = []
        for _ in range(12):
            reader.read()
            waits.append(reader.due_at - time.monotonic())
        assert waits[8] > waits[0]
        assert max(waits) <= 5
        reader.read()
        assert reader.due_at - time.monotonic() < 0.1, "well again"

    def test_what_the_stream_forgot_is_told_and_left_to_backfill(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.stream.open("a")
        world.stream.add("a", *jobs("a", 3))
        first = world.worker()
        poll_until(first, lambda: len(world.store.keys) == 3)
        first.close()
        world.stream.add("a", *[job(f"lost{n}") for n in range(3)], job("after"))
        world.stream.trim("a", 6)
        poll_until(world.worker("two"), lambda: world.store.keys == [*keys("a", 3), "after"])
        assert "oot-hud backfill" in caplog.text

    def test_a_stream_that_trims_while_it_is_read(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        world.stream.open("a")
        worker = world.worker()
        worker.poll()
        world.stream.add("a", *jobs("a", 3), job("b0"))
        world.stream.trim("a", 3)
        poll_until(worker, lambda: world.store.keys == ["b0"])
        assert "oot-hud backfill" in caplog.text

    def test_a_shard_that_vanishes_ends(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        for shard in ("a", "b"):
            world.stream.open(shard)
        worker = world.worker()
        worker.poll()
        world.stream.vanish("a")
        world.stream.add("b", job("b0"))
        poll_until(worker, lambda: world.store.keys == ["b0"])
        assert "no such shard" in caplog.text

    def test_a_stream_that_is_gone_is_an_error(self, world: World) -> None:
        world.stream.open("a")
        worker = world.worker()
        worker.poll()
        world.stream.refuse("GetRecords", "ResourceNotFoundException")
        world.stream.refuse("DescribeStream", "ResourceNotFoundException")
        with pytest.raises(ClientError, match="ResourceNotFoundException"):
            poll_until(worker, lambda: False)

    @pytest.mark.parametrize("operation", ["DescribeStream", "GetShardIterator", "GetRecords"])
    def test_any_other_error_is_raised_and_got_over(self, world: World, operation: str) -> None:
        world.stream.open("a")
        world.stream.add("a", *jobs("a", 2))
        world.stream.refuse(operation, "InternalServerError")
        worker = world.worker()
        with pytest.raises((ClientError, BotoCoreError)):
            worker.poll()
        poll_until(worker, lambda: world.store.keys == keys("a", 2))


class TestWorkers:
    def test_they_share_the_shards(self, world: World) -> None:
        for number in range(6):
            world.stream.open(f"s{number}")
        workers = [world.worker(name) for name in ("one", "two", "three")]
        poll_until(workers, lambda: [len(worker._shards) for worker in workers] == [2, 2, 2])
        for number in range(6):
            world.stream.add(f"s{number}", *jobs(f"s{number}-", 4))
        poll_until(workers, lambda: len(set(world.store.keys)) == 24)

    def test_one_that_ends_gives_its_shards_back_at_once(self, world: World) -> None:
        world.stream.open("a")
        first, second = world.worker("one", lease_seconds=1000), world.worker("two", lease_seconds=1000)
        first.poll()
        first.close()
        world.stream.add("a", job("a0"))
        poll_until(second, lambda: world.store.keys == ["a0"])

    def test_one_that_dies_is_followed_after_its_lease(self, world: World) -> None:
        world.stream.open("a")
        world.stream.add("a", *jobs("a", 2))
        first, second = world.worker("one"), world.worker("two")
        poll_until(first, lambda: len(world.store.keys) == 2)
        world.stream.add("a", job("a2"))
        began = time.monotonic()
        poll_until(second, lambda: len(world.store.keys) == 3)  # the first polls no more
        assert time.monotonic() - began >= 0.3
        assert world.store.keys == keys("a", 3)

    def test_one_that_wakes_up_late_sets_nothing_back(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        world.stream.open("a")
        first, second = world.worker("one", batch_seconds=1000), world.worker("two")
        first.poll()
        first._written_at = time.monotonic()  # so that it holds what it reads
        world.stream.add("a", *jobs("a", 2))
        poll_until(first, lambda: first._shards["a"].records)
        poll_until(second, lambda: len(world.store.keys) == 2)
        world.stream.add("a", job("a2"))
        poll_until(second, lambda: len(world.store.keys) == 3)
        kept = world.leases()["a"]
        first.flush()  # it writes twice what has been written, and must not keep where it was
        assert world.leases()["a"] == kept
        assert (kept.owner, first._shards) == ("two", {})
        assert "another owner" in caplog.text

    def test_one_that_reconnects_goes_on_with_its_own(self, world: World) -> None:
        world.stream.open("a")
        world.stream.add("a", *jobs("a", 2))
        poll_until(world.worker("one", lease_seconds=1000), lambda: len(world.store.keys) == 2)
        world.stream.add("a", job("a2"))
        poll_until(world.worker("one", lease_seconds=1000), lambda: world.store.keys == keys("a", 3))


class TestReadUp:
    """`--once` stops when all is read, and not before."""

    def read_up(self, worker: Poller) -> None:
        def look() -> bool:
            worker.poll()
            return worker.caught_up

        wait_for(look, "the end of what there is")
        worker.flush()

    def test_children_of_a_shard_without_records_are_read_too(self, world: World) -> None:
        world.stream.open("a")
        world.stream.split("a", "b")
        world.stream.split("b", "c")
        world.stream.add("c", job("c0"))
        self.read_up(world.worker())
        assert world.store.keys == ["c0"]

    def test_a_throttled_shard_is_waited_for(self, world: World) -> None:
        world.stream.open("a")
        world.stream.add("a", *jobs("a", 7))
        world.stream.refuse("GetRecords", *["LimitExceededException"] * 4)
        self.read_up(world.worker())
        assert world.store.keys == keys("a", 7)

    def test_what_is_held_back_for_a_larger_batch_is_not_forgotten(self, world: World) -> None:
        world.stream.open("a")
        world.stream.add("a", *jobs("a", 7))
        self.read_up(world.worker(batch_seconds=1000))
        assert world.store.keys == keys("a", 7)

    def test_a_stream_without_shards(self, world: World) -> None:
        self.read_up(world.worker())
        assert world.store.keys == []


class TestBatches:
    def test_the_first_after_a_pause_goes_at_once_the_next_together(self, world: World) -> None:
        world.stream.open("a")
        worker = world.worker(lease_seconds=1000, batch_seconds=0.4)
        world.stream.add("a", job("a0"))
        worker.poll()
        assert world.store.batches == [["a0"]]
        for number in range(1, 12):
            world.stream.add("a", job(f"a{number}"))
            worker.poll()
        written = len(world.store.keys)
        poll_until(worker, lambda: len(world.store.keys) == 12)
        assert written < 12
        assert len(world.store.batches) <= 4, world.store.batches
        assert world.store.keys == keys("a", 12)

    def test_a_full_batch_waits_for_nothing(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(room, "BATCH", 6)
        for shard in ("a", "b"):
            world.stream.open(shard)
        worker = world.worker(lease_seconds=1000, batch_seconds=1000)
        world.stream.add("a", job("first"))
        poll_until(worker, lambda: world.store.batches == [["first"]])
        for shard in ("a", "b"):
            world.stream.add(shard, *jobs(shard, 6))
        poll_until(worker, lambda: len(world.store.keys) == 13)
        assert [len(batch) for batch in world.store.batches] == [1, 6, 6], "of both shards together"

    def test_it_says_how_long_nothing_is_to_do(self, world: World) -> None:
        world.stream.open("a")
        worker = world.worker(lease_seconds=1000, batch_seconds=1000)
        assert worker.idle_seconds == 0, "it has not even looked"
        worker.poll()
        assert worker.idle_seconds < 0.01

    def test_the_end_of_a_worker_is_the_end_of_its_batch(self, world: World) -> None:
        world.stream.open("a")
        worker = world.worker(lease_seconds=1000, batch_seconds=1000)
        world.stream.add("a", job("a0"))
        worker.poll()
        world.stream.add("a", job("a1"))
        poll_until(worker, lambda: worker._shards["a"].records)
        assert world.store.keys == ["a0"]
        worker.flush()
        worker.close()
        assert world.store.keys == ["a0", "a1"]
        assert (world.leases()["a"].owner, world.leases()["a"].sequence_number != "") == ("", True)


class Recorded(Metrics):
    """Metrics, remembered."""

    def __init__(self) -> None:
        self.values: list[Mapping[str, float]] = []

    def record(self, values: Mapping[str, float], **labels: str) -> None:
        assert not labels
        self.values.append(values)

    def of(self, name: str) -> list[float]:
        return [values[name] for values in self.values if name in values]


def test_what_is_measured(world: World) -> None:
    world.stream.open("a")
    world.stream.add("a", job("a0", created=datetime.now(UTC) - timedelta(seconds=100)))
    metrics = Recorded()
    worker = world.worker()
    worker._metrics = metrics
    poll_until(worker, lambda: world.store.keys)
    assert [metrics.of(name) for name in ("records", "rows", "dead_letters")] == [[1], [1], [0]]
    assert 99 < metrics.of("lag")[0] < 130
    assert abs(metrics.of("last_batch")[0] - time.time()) < 30
    world.stream.add("a", job("a1"), job("a2"))
    world.stream.trim("a", 2)
    poll_until(worker, lambda: "a2" in world.store.keys)
    assert (metrics.of("gaps"), metrics.of("shards")[-1]) == ([1], 1)
