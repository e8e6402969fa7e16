"""Leases on a real DynamoDB: one owner a shard, no way back for who has lost it, fair shares for who is there."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oot_replicator.reading.leases import Lease, LeaseLostError, Leases, Watch, choose, died_here, new_owner

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient


@pytest.fixture
def workers(dynamodb: DynamoDBClient) -> tuple[Leases, Leases]:
    """Two workers of one stream."""
    arn = f"arn:{uuid.uuid4().hex}"
    return Leases(dynamodb, arn, "one"), Leases(dynamodb, arn, "two")


class TestLeases:
    def test_a_shard_never_seen_is_free_and_at_its_beginning(self, workers: tuple[Leases, Leases]) -> None:
        assert workers[0].load(["s1", "s2"]) == {"s1": Lease("s1"), "s2": Lease("s2")}
        assert workers[0].load([]) == {}

    def test_what_is_kept_is_what_others_see(self, workers: tuple[Leases, Leases]) -> None:
        one, two = workers
        lease = one.keep(one.take(Lease("s1")), "42")
        assert two.load(["s1"])["s1"] == lease == Lease("s1", "42", finished=False, owner="one", counter=2)
        lease = one.keep(lease, finished=True)
        assert two.load(["s1"])["s1"] == Lease("s1", "42", finished=True, owner="one", counter=3)

    def test_of_two_at_once_one_gets_it(self, workers: tuple[Leases, Leases]) -> None:
        one, two = workers
        one.take(Lease("s1"))
        with pytest.raises(LeaseLostError, match="s1"):
            two.take(Lease("s1"))

    def test_who_lost_it_sets_nothing_back(self, workers: tuple[Leases, Leases]) -> None:
        one, two = workers
        stale = one.keep(one.take(Lease("s1")), "10")
        taken = two.keep(two.take(two.load(["s1"])["s1"]), "20")
        for late in (lambda: one.keep(stale, "11"), lambda: one.keep(stale, finished=True), lambda: one.release(stale)):
            with pytest.raises(LeaseLostError):
                late()
        assert one.load(["s1"])["s1"] == taken

    def test_what_is_given_back_is_free(self, workers: tuple[Leases, Leases]) -> None:
        one, two = workers
        one.release(one.keep(one.take(Lease("s1")), "10"))
        free = two.load(["s1"])["s1"]
        assert (free.owner, free.sequence_number) == ("", "10")
        assert Watch(100).expired(free, 0)
        assert two.take(free).sequence_number == "10"

    def test_checkpoints_from_before_there_were_leases(
        self, workers: tuple[Leases, Leases], dynamodb: DynamoDBClient
    ) -> None:
        arn = workers[0]._stream_arn
        item = {"pk": {"S": f"{arn}/s1"}, "sequence_number": {"S": "7"}, "finished": {"BOOL": False}}
        dynamodb.put_item(TableName="torchci-oot-replicator", Item=item)  # type: ignore[arg-type]
        assert workers[0].take(workers[0].load(["s1"])["s1"]).sequence_number == "7"

    def test_more_shards_than_one_read_gives(self, workers: tuple[Leases, Leases]) -> None:
        for number in (0, 99, 100, 204):
            workers[0].take(Lease(f"s{number}"))
        found = workers[1].load(f"s{number}" for number in range(205))
        assert len(found) == 205
        assert [name for name, lease in found.items() if lease.owner] == ["s0", "s99", "s100", "s204"]


class TestWatch:
    def test_a_lease_that_stands_still_for_its_time_has_expired(self) -> None:
        watch, lease = Watch(10), Lease("s", owner="x", counter=4)
        assert [watch.expired(lease, now) for now in (100, 109, 110)] == [False, False, True]

    def test_one_that_moves_lives(self) -> None:
        watch = Watch(10)
        assert not any(watch.expired(Lease("s", owner="x", counter=now), now * 9) for now in range(5))

    def test_nobodys_is_free(self) -> None:
        assert Watch(10).expired(Lease("s"), 0)


class TestDeadNeighbours:
    def test_a_process_that_ended_here(self) -> None:
        program = "from oot_replicator.reading.leases import new_owner; print(new_owner())"
        owner = subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True
        ).stdout.strip()
        assert died_here(owner) is (sys.platform == "linux")

    @pytest.mark.parametrize(
        "owner",
        ["", "x", "elsewhere@0123456789ab:999999999:ab", "a:b:c", f"{new_owner().partition(':')[0]}:{os.getpid()}:ab"],
        ids=["nobody", "nonsense", "elsewhere", "no number", "alive"],
    )
    def test_who_lives_or_can_not_be_known(self, owner: str) -> None:
        assert not died_here(owner)

    def test_no_two_workers_are_called_the_same(self) -> None:
        assert new_owner() != new_owner()


class TestShares:
    @pytest.mark.parametrize(
        ("owners", "count"),
        [
            ({}, 0),
            ({"s1": ""}, 1),
            ({"s1": "me"}, 0),
            ({"s1": "you"}, 0),
            ({"s1": "you", "s2": "you"}, 1),
            ({"s1": "you", "s2": "me"}, 0),
            ({"s1": "you", "s2": "you", "s3": "me"}, 0),
            ({"s1": "you", "s2": "you", "s3": "you", "s4": "me"}, 1),
            ({"s1": "", "s2": "", "s3": "", "s4": "you"}, 2),
            ({"s1": "me", "s2": "me", "s3": "me", "s4": ""}, 1),
        ],
    )
    def test_how_many_are_taken(self, owners: dict[str, str], count: int) -> None:
        assert len(choose(owners, "me")) == count

    @given(st.integers(0, 12), st.lists(st.sampled_from("abcd"), min_size=1, max_size=6), st.data())
    def test_whoever_comes_and_goes_all_get_their_share(
        self, shards: int, order: list[str], data: st.DataObject
    ) -> None:
        owners = dict.fromkeys((f"s{number}" for number in range(shards)), "")
        for worker in order:
            for shard in choose(owners, worker):
                owners[shard] = worker
        alive = sorted(set(order) - ({data.draw(st.sampled_from(order))} if len(set(order)) > 1 else set()))
        owners = {shard: owner if owner in alive else "" for shard, owner in owners.items()}
        for _ in range(shards + 1):
            for worker in alive:
                for shard in choose(owners, worker):
                    owners[shard] = worker
        counts = [list(owners.values()).count(worker) for worker in alive]
        assert "" not in owners.values()
        assert max(counts) - min(counts) <= 1
        assert not any(choose(owners, worker) for worker in alive), "settled"
