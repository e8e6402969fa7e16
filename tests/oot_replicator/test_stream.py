"""The worker on a stream of many shards: order, failures of the stream, its checkpoint, batches."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from hud_endpoint.metrics import Metrics
from oot_replicator.reading import stream as stream_module
from oot_replicator.reading.stream import Position, StreamWorker, load_checkpoint
from oot_replicator.writing.writer import Written
from tests.integration.waiting import wait_for
from tests.oot_replicator.records import record
from tests.oot_replicator.streams_server import StreamsServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from types_boto3_dynamodb.client import DynamoDBClient
    from types_boto3_dynamodbstreams.client import DynamoDBStreamsClient


class Store(Metrics):
    """What reached ClickHouse, in order, batch by batch, and what was measured; it can be away."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.metrics: list[Mapping[str, float]] = []
        self.away = False

    @property
    def keys(self) -> list[str]:
        return [key for batch in self.batches for key in batch]

    def write(self, records: Sequence[Mapping[str, Any]]) -> Written:
        if self.away:
            raise ConnectionError("ClickHouse is away")
        self.batches.append([record["dynamodb"]["Keys"]["dynamoKey"]["S"] for record in records])
        return Written(len(records), 0)

    def record(self, values: Mapping[str, float], **labels: str) -> None:
        assert not labels
        self.metrics.append(values)

    def measured(self, name: str) -> list[float]:
        return [values[name] for values in self.metrics if name in values]


class World:
    """A stream, a store, and workers one after the other."""

    def __init__(self, stream: StreamsServer, streams: DynamoDBStreamsClient, dynamodb: DynamoDBClient) -> None:
        self.stream = stream
        self.streams = streams
        self.store = Store()
        self._dynamodb = dynamodb

    def worker(self) -> StreamWorker:
        return StreamWorker(self.streams, self.stream.arn, self._dynamodb, self.store, self.store)  # type: ignore[arg-type]

    def positions(self) -> dict[str, Position]:
        return load_checkpoint(self._dynamodb, self.stream.arn)

    @property
    def gaps(self) -> int:
        return len(self.store.measured("gaps"))


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
    monkeypatch.setattr(stream_module, "SHARDS_SECONDS", 0)
    stream.reset()
    return World(stream, streams, dynamodb)


def job(key: str, **changes: Any) -> dict[str, Any]:
    return record(dynamoKey=key, **changes)


def jobs(prefix: str, count: int) -> list[dict[str, Any]]:
    return [job(f"{prefix}{number}") for number in range(count)]


def poll_until(worker: StreamWorker, done: Callable[[], object]) -> None:
    def look() -> bool:
        worker.poll()
        return bool(done())

    wait_for(look, "what the worker does")


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

    def test_a_child_waits_until_its_parent_is_written(self, world: World) -> None:
        world.stream.open("a")
        world.stream.add("a", *jobs("a", 2))
        world.stream.split("a", "b")
        world.stream.add("b", *jobs("b", 2))
        world.store.away = True
        for _ in range(3):
            with pytest.raises(ConnectionError):
                world.worker().poll()
        assert "b" not in {body.get("ShardId") for _, body in world.stream.calls}
        world.store.away = False
        poll_until(world.worker(), lambda: world.store.keys == ["a0", "a1", "b0", "b1"])
        assert world.positions()["a"].finished

    def test_a_shard_whose_parent_has_left_the_stream(self, world: World) -> None:
        world.stream.open("b", parent="long gone")
        world.stream.add("b", *jobs("b", 2))
        worker = world.worker()
        poll_until(worker, lambda: world.store.keys == ["b0", "b1"])
        worker.poll()
        assert world.gaps == 0, "nobody had begun with its parent"

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


class TestFailures:
    def test_nothing_is_in_the_checkpoint_before_it_is_durable(self, world: World) -> None:
        world.stream.open("a")
        world.stream.add("a", *jobs("a", 5))
        world.store.away = True
        with pytest.raises(ConnectionError):
            world.worker().poll()
        assert world.positions() == {}
        world.store.away = False
        poll_until(world.worker(), lambda: world.store.keys == keys("a", 5))

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

    def test_what_the_stream_forgot_is_counted_and_left_to_backfill(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.stream.open("a")
        world.stream.add("a", *jobs("a", 3))
        poll_until(world.worker(), lambda: len(world.store.keys) == 3)
        world.stream.add("a", *[job(f"lost{n}") for n in range(3)], job("after"))
        world.stream.trim("a", 6)
        poll_until(world.worker(), lambda: world.store.keys == [*keys("a", 3), "after"])
        assert "oot-hud backfill" in caplog.text
        assert world.gaps == 1

    def test_a_stream_that_trims_while_it_is_read(self, world: World) -> None:
        world.stream.open("a")
        worker = world.worker()
        worker.poll()
        world.stream.add("a", *jobs("a", 3), job("b0"))
        world.stream.trim("a", 3)
        poll_until(worker, lambda: world.store.keys == ["b0"])
        assert world.gaps == 1

    def test_a_shard_that_vanishes_while_it_is_read(self, world: World) -> None:
        for shard in ("a", "b"):
            world.stream.open(shard)
        worker = world.worker()
        worker.poll()
        world.stream.vanish("a")
        world.stream.add("b", job("b0"))
        poll_until(worker, lambda: world.store.keys == ["b0"])
        worker.poll()
        assert world.gaps == 1

    def test_shards_that_came_and_went_while_no_worker_ran(self, world: World) -> None:
        world.stream.open("a")
        world.stream.add("a", *jobs("a", 2))
        poll_until(world.worker(), lambda: len(world.store.keys) == 2)
        world.stream.split("a", "b")
        world.stream.split("b", "c")
        world.stream.add("c", job("c0"))
        for shard in ("a", "b"):
            world.stream.vanish(shard)
        poll_until(world.worker(), lambda: world.store.keys == ["a0", "a1", "c0"])
        assert world.gaps == 2
        world.worker().poll()
        assert world.gaps == 2, "each is reported once"

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
        with pytest.raises((ClientError, BotoCoreError)):
            world.worker().poll()
        poll_until(world.worker(), lambda: world.store.keys == keys("a", 2))


class TestCheckpoint:
    def test_a_worker_goes_on_where_another_was(self, world: World) -> None:
        world.stream.open("a")
        world.stream.add("a", *jobs("a", 2))
        poll_until(world.worker(), lambda: len(world.store.keys) == 2)
        world.stream.add("a", job("a2"))
        poll_until(world.worker(), lambda: world.store.keys == keys("a", 3))

    def test_what_was_written_before_the_checkpoint_is_written_again(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.stream.open("a")
        worker = world.worker()
        worker.poll()
        world.stream.add("a", *jobs("a", 2))
        with monkeypatch.context() as patch:
            patch.setattr(stream_module, "save_checkpoint", _killed)
            with pytest.raises(KeyboardInterrupt):
                worker.poll()
        poll_until(world.worker(), lambda: len(world.store.keys) == 4)
        assert world.store.keys == keys("a", 2) * 2

    def test_shards_that_left_the_stream_leave_the_checkpoint(self, world: World) -> None:
        world.stream.open("a")
        world.stream.split("a", "b")
        worker = world.worker()
        poll_until(worker, lambda: world.positions().get("a") == Position(finished=True))
        world.stream.vanish("a")
        world.stream.split("b", "c")
        poll_until(worker, lambda: world.positions().get("b") == Position(finished=True))
        world.stream.vanish("b")
        world.stream.add("c", job("c0"))
        poll_until(worker, lambda: world.store.keys == ["c0"])
        assert world.positions().keys() == {"b", "c"}, "b for as long as c names it as its parent"
        assert world.gaps == 0


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


class TestReadUp:
    """`--once` stops when all is read, and not before."""

    def read_up(self, worker: StreamWorker) -> None:
        def look() -> bool:
            worker.poll()
            return worker.caught_up

        wait_for(look, "the end of what there is")

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

    def test_a_stream_without_shards(self, world: World) -> None:
        self.read_up(world.worker())
        assert world.store.keys == []


class TestBatches:
    def test_records_of_all_shards_are_written_together(self, world: World) -> None:
        for shard in ("a", "b"):
            world.stream.open(shard)
            world.stream.add(shard, *jobs(shard, 7))
        assert world.worker().poll() == 14
        assert [len(batch) for batch in world.store.batches] == [14]

    def test_a_batch_has_an_end(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stream_module, "BATCH", 6)
        world.stream.open("a")
        world.stream.add("a", *jobs("a", 14))
        worker = world.worker()
        assert [worker.poll() for _ in range(4)] == [6, 6, 2, 0]

    def test_a_stream_that_never_pauses_is_written_now_and_then(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stream_module, "BATCH_SECONDS", 0.0005)  # less than one read takes
        world.stream.open("a")
        world.stream.add("a", *jobs("a", 4))
        worker = world.worker()
        poll_until(worker, lambda: world.store.keys == keys("a", 4))
        assert [len(batch) for batch in world.store.batches] == [3, 1]


def test_what_is_measured(world: World) -> None:
    world.stream.open("a")
    world.stream.add("a", job("a0", created=datetime.now(UTC) - timedelta(seconds=100)))
    poll_until(world.worker(), lambda: world.store.keys)
    measured = world.store.measured
    assert [measured(name) for name in ("records", "rows", "dead_letters", "shards")] == [[1], [1], [0], [1]]
    assert 99 < measured("lag")[0] < 130
    assert abs(measured("last_batch")[0] - time.time()) < 30
