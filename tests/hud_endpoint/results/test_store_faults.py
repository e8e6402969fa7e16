"""DynamoDB throttled, stalled, cut off or answering nonsense: what can pass is tried again, within seconds; the rest is
said, and nothing is acknowledged that is not stored."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

from hud_endpoint.contract import RESULTS_TABLE, RelayPayload
from hud_endpoint.errors import RefusedError
from hud_endpoint.record import Write, to_write
from hud_endpoint.results import store as stores
from hud_endpoint.results.store import MEND_SECONDS, RETRY_AFTER_SECONDS, Outcome, ResultStore
from tests.hud_endpoint.results.faulty_dynamodb import Door, door_to
from tests.hud_endpoint.results.test_store import NOW, write_of
from tests.hud_endpoint.samples import new_repo, relay_payload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_dynamodb.client import DynamoDBClient

ITEM_OF = {"in_progress": "in_progress", "swept": "completed", "completed": "completed"}


class Clock:
    """Time that only pauses let pass."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def door(aws: dict[str, Any]) -> Iterator[Door]:
    with door_to(aws["endpoint_url"]) as door:
        yield door


@pytest.fixture
def client(door: Door, aws: dict[str, Any]) -> Iterator[DynamoDBClient]:
    config = Config(connect_timeout=1, read_timeout=0.3, retries={"total_max_attempts": 1})
    client = boto3.client("dynamodb", **aws | {"endpoint_url": door.url}, config=config)
    yield client
    client.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(client: DynamoDBClient, clock: Clock) -> ResultStore:
    return ResultStore(client, RESULTS_TABLE, clock=clock, pause=clock.pause)


def stored(dynamodb: DynamoDBClient, write: Write) -> dict[str, Any]:
    found = dynamodb.get_item(TableName=RESULTS_TABLE, Key={"dynamoKey": {"S": write.key}}, ConsistentRead=True)
    return dict(found.get("Item", {}))


PASSING = [
    "400 ProvisionedThroughputExceededException",
    "400 ThrottlingException",
    "400 RequestLimitExceeded",
    "400 TransactionConflictException",
    "500 InternalServerError",
    "503 ",
    "502 BadGateway",
    "reset",
    "stall",
    "garbage",
]


@pytest.mark.parametrize("kind", ["in_progress", "completed"])
@pytest.mark.parametrize("mood", PASSING)
def test_what_passes_is_tried_again(
    store: ResultStore, door: Door, clock: Clock, dynamodb: DynamoDBClient, mood: str, kind: str
) -> None:
    write = write_of(kind, new_repo())
    door.moods = [mood, mood]
    assert store.apply(write) is Outcome.STORED
    assert door.calls == ["UpdateItem"] * 3
    assert len(clock.pauses) == 2
    assert stored(dynamodb, write)["revision"] == {"N": "1"}


@pytest.mark.parametrize("kind", ["in_progress", "swept", "completed"])
def test_a_try_whose_answer_was_lost_had_its_effect_once(
    store: ResultStore, door: Door, dynamodb: DynamoDBClient, kind: str
) -> None:
    write = write_of(kind, new_repo())
    door.moods = ["lost"]
    assert store.apply(write) is Outcome.DUPLICATE
    item = stored(dynamodb, write)
    assert (item["status"], item["revision"]) == ({"S": ITEM_OF[kind]}, {"N": "1"})


@pytest.mark.parametrize("mood", [mood for mood in PASSING if mood != "stall"])
def test_what_does_not_pass_in_time_is_said(
    store: ResultStore, door: Door, clock: Clock, dynamodb: DynamoDBClient, mood: str
) -> None:
    write = write_of("completed", new_repo())
    door.moods = [mood] * 1000
    with pytest.raises(RefusedError, match="could not take the result now") as caught:
        store.apply(write)
    error = caught.value
    assert (error.code, error.status, error.retry_after) == ("store_unavailable", 503, RETRY_AFTER_SECONDS)
    assert "secret" not in error.message
    assert clock.now < stores.BUDGET_SECONDS
    assert 3 <= len(door.calls) < 40
    assert stored(dynamodb, write) == {}


def test_one_that_never_answers_costs_no_more_than_the_budget(
    client: DynamoDBClient, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "BUDGET_SECONDS", 0.5)
    door.moods = ["stall"] * 10
    started = time.monotonic()
    with pytest.raises(RefusedError) as caught:
        ResultStore(client, RESULTS_TABLE).apply(write_of("completed", new_repo()))
    assert caught.value.code == "store_unavailable"
    assert time.monotonic() - started < 3  # 0.5 s, and the last try's own timeout of 0.3 s
    assert len(door.calls) >= 2


@pytest.mark.parametrize(
    "mood", ["400 AccessDeniedException", "400 ResourceNotFoundException", "400 ValidationException", "400 "]
)
def test_what_somebody_has_to_mend_is_not_tried_again(store: ResultStore, door: Door, clock: Clock, mood: str) -> None:
    door.moods = [mood]
    with pytest.raises(RefusedError) as caught:
        store.apply(write_of("completed", new_repo()))
    assert (caught.value.code, caught.value.retry_after) == ("store_unavailable", MEND_SECONDS)
    assert door.calls == ["UpdateItem"]
    assert clock.pauses == []


@pytest.mark.parametrize(("comes", "answer"), [("completed", "duplicate"), ("other", "conflicting_completion")])
def test_a_refusal_without_its_item_reads_it(
    store: ResultStore, door: Door, dynamodb: DynamoDBClient, comes: str, answer: str
) -> None:
    repo = new_repo()
    store.apply(write_of("completed", repo))
    door.moods, door.calls = ["no item"], []
    try:
        said = str(store.apply(write_of(comes, repo)))
    except RefusedError as error:
        said = error.code
    assert said == answer
    assert door.calls == ["UpdateItem", "GetItem"]


def test_a_late_in_progress_is_tried_again_as_well(store: ResultStore, door: Door, dynamodb: DynamoDBClient) -> None:
    repo = new_repo()
    store.apply(write_of("completed", repo))
    door.moods, door.calls = ["pass", "400 ThrottlingException", "no item"], []
    late = write_of("in_progress", repo)
    door.moods = ["pass", "400 ThrottlingException"]
    assert store.apply(late) is Outcome.STORED
    assert door.calls == ["UpdateItem"] * 3
    assert stored(dynamodb, late)["queue_time"] == {"N": "4.5"}


@pytest.mark.parametrize(
    ("stands", "comes", "calls"),
    [
        ((), "in_progress", 1),
        ((), "completed", 1),
        (("in_progress",), "in_progress", 1),
        (("in_progress",), "completed", 1),
        (("in_progress", "completed"), "completed", 1),
        (("in_progress", "completed"), "other", 1),
        (("completed",), "in_progress", 2),
        (("completed", "in_progress"), "in_progress", 1),
        (("completed",), "swept", 1),
        (("swept",), "in_progress", 2),
        (("swept",), "completed", 1),
    ],
    ids=lambda value: "+".join(value) or "nothing" if isinstance(value, tuple) else str(value),
)
def test_a_write_takes_one_update_and_a_late_opening_two(
    store: ResultStore, door: Door, stands: tuple[str, ...], comes: str, calls: int
) -> None:
    repo = new_repo()
    for kind in stands:
        store.apply(write_of(kind, repo))
    door.calls = []
    try:
        store.apply(write_of(comes, repo))
    except RefusedError as error:
        assert error.code == "conflicting_completion"  # noqa: PT017 - one row of the table
    assert door.calls == ["UpdateItem"] * calls


def test_an_item_at_its_cap_is_taken_by_dynamodb(store: ResultStore, dynamodb: DynamoDBClient) -> None:
    test = {"name": "\x01" * 500, "message": "é" * 512, "stacktrace": '"' * 4096}
    repo = new_repo()
    payload = relay_payload(repo=repo)
    payload["untrusted"]["callback_payload"] = {
        **payload["untrusted"]["callback_payload"],
        "workflow": {**payload["untrusted"]["callback_payload"]["workflow"], "failed_tests": [test] * 1000},
    }
    write = to_write(RelayPayload.model_validate(payload), now=NOW, retention_days=100)
    store.apply(write_of("in_progress", repo))
    assert store.apply(write) is Outcome.STORED
    item = stored(dynamodb, write)
    assert int(item["details_truncated"]["N"]) == 1000
    assert store.apply(write) is Outcome.DUPLICATE  # the cut is the same each time
