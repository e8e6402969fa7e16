"""The laws of the rate limit, on a real DynamoDB: never too many, never too few, and the truth about when."""

from __future__ import annotations

import itertools
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber
from hypothesis import given, settings
from hypothesis import strategies as st

from hud_endpoint.errors import RefusedError
from hud_endpoint.relay.rate_limit import RateLimiter

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient

NOW = 1_790_000_000.0
LIMITS = st.sampled_from([1, 2, 3, 7, 11, 60])
# In 64ths of a second, which floating point holds exactly.
PAUSES = st.lists(st.integers(0, 40 * 64).map(lambda n: n / 64) | st.just(0.0), max_size=24)


def repo() -> str:
    return f"spec/{uuid.uuid4().hex}"


def retry_after(limiter: RateLimiter, name: str, now: float) -> int | None:
    """Call; gives None when the call was let in, else after how many seconds the next will be."""
    try:
        limiter.take(name, now)
    except RefusedError as error:
        refusal = error
    else:
        return None
    assert (refusal.code, refusal.status) == ("rate_limited", 429)
    assert f"try again after {refusal.retry_after} s" in refusal.message
    return refusal.retry_after


@pytest.mark.parametrize("per_minute", [1, 3, 7, 100])
def test_the_whole_budget_may_be_spent_at_once_and_no_more(
    dynamodb: DynamoDBClient, relay_table: str, per_minute: int
) -> None:
    limiter, name = RateLimiter(dynamodb, relay_table, per_minute), repo()
    assert [retry_after(limiter, name, NOW + 1 / 3) for _ in range(per_minute)] == [None] * per_minute
    assert retry_after(limiter, name, NOW + 1 / 3) == -(-60 // per_minute)


@given(LIMITS, PAUSES)
@settings(max_examples=60)
def test_no_window_holds_more_than_the_burst_and_what_has_come_back(
    dynamodb: DynamoDBClient, relay_table: str, per_minute: int, pauses: list[float]
) -> None:
    limiter, name = RateLimiter(dynamodb, relay_table, per_minute), repo()
    times = [NOW + passed for passed in itertools.accumulate(pauses)]
    let_in = [at for at in times if retry_after(limiter, name, at) is None]
    assert let_in[: min(len(times), per_minute)] == times[:per_minute]  # nobody is refused below the limit
    for first, last in itertools.combinations_with_replacement(range(len(let_in)), 2):
        window = let_in[last] - let_in[first]
        assert last - first + 1 <= per_minute + window * per_minute / 60 + 1e-6


@given(LIMITS, PAUSES)
@settings(max_examples=40)
def test_a_rejected_call_does_not_count(
    dynamodb: DynamoDBClient, relay_table: str, per_minute: int, pauses: list[float]
) -> None:
    limiter, name, polite = RateLimiter(dynamodb, relay_table, per_minute), repo(), repo()
    for at in itertools.accumulate(pauses, initial=NOW):
        if retry_after(limiter, name, at) is None:  # then so is whoever makes only these calls
            assert retry_after(limiter, polite, at) is None


@given(LIMITS, PAUSES)
@settings(max_examples=40)
def test_retry_after_is_exact(dynamodb: DynamoDBClient, relay_table: str, per_minute: int, pauses: list[float]) -> None:
    limiter, name, at = RateLimiter(dynamodb, relay_table, per_minute), repo(), NOW
    for pause in [0.0] * per_minute if per_minute < 20 else []:
        assert retry_after(limiter, name, at + pause) is None
    for pause in pauses:
        at += pause
        wait = retry_after(limiter, name, at)
        if wait is not None:
            assert wait >= 1
            assert wait == 1 or retry_after(limiter, name, at + wait - 1) is not None
            at += wait
            assert retry_after(limiter, name, at) is None


def test_repos_do_not_share_and_case_does_not_multiply(dynamodb: DynamoDBClient, relay_table: str) -> None:
    limiter, name = RateLimiter(dynamodb, relay_table, 1), repo()
    assert retry_after(limiter, name, NOW) is None
    assert retry_after(limiter, repo(), NOW) is None
    assert retry_after(limiter, name.upper(), NOW) == 60


def test_of_many_at_once_no_more_than_the_budget_is_let_in(dynamodb: DynamoDBClient, relay_table: str) -> None:
    limiter, name = RateLimiter(dynamodb, relay_table, 20), repo()
    with ThreadPoolExecutor(8) as threads:
        waits = list(threads.map(lambda _: retry_after(limiter, name, NOW), range(60)))
    assert waits.count(None) == 20
    assert set(waits) == {None, 3}


def test_a_clock_that_is_behind_gains_nothing(dynamodb: DynamoDBClient, relay_table: str) -> None:
    limiter, name = RateLimiter(dynamodb, relay_table, 2), repo()
    waits = [retry_after(limiter, name, at) for at in (NOW, NOW, NOW - 10, NOW + 30)]
    assert waits == [None, None, 40, None]


@pytest.mark.parametrize(
    "code", ["ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"]
)
def test_a_throttled_table_asks_for_patience(aws: dict[str, Any], code: str) -> None:
    client = boto3.client("dynamodb", **aws, config=Config(retries={"total_max_attempts": 1}))
    with Stubber(client) as stub:
        stub.add_client_error("update_item", code)
        assert retry_after(RateLimiter(client, "t", 100), repo(), NOW) == 1


@pytest.mark.parametrize("how", ["gone", "no such table"])
def test_a_table_that_does_not_answer_is_no_fault_of_the_callers(
    aws: dict[str, Any], closed_port: int, how: str
) -> None:
    patience = Config(connect_timeout=1, retries={"total_max_attempts": 1})
    endpoint = {"endpoint_url": f"http://127.0.0.1:{closed_port}"} if how == "gone" else {}
    client = boto3.client("dynamodb", **aws | endpoint, config=patience)
    with pytest.raises(RefusedError) as caught:
        RateLimiter(client, "nowhere", 100).take(repo(), NOW)
    assert caught.value.code == "store_unavailable"


def shut_out(limiter: RateLimiter, name: str, run: str) -> bool:
    try:
        limiter.take(name, NOW, run)
    except RefusedError:
        return True
    return False


@pytest.mark.parametrize("per_minute", [1, 4, 100])
def test_one_run_that_reports_for_many_jobs_leaves_a_quarter_to_the_others(
    dynamodb: DynamoDBClient, relay_table: str, per_minute: int
) -> None:
    limiter, name = RateLimiter(dynamodb, relay_table, per_minute), repo()
    greedy = [shut_out(limiter, name, "pipeline#1") for _ in range(per_minute * 2)]
    assert greedy.count(False) == max(1, per_minute * 3 // 4)
    others = [shut_out(limiter, name, "pipeline#2") for _ in range(per_minute)]
    assert others.count(False) == per_minute - greedy.count(False)


def test_a_repo_that_was_told_to_wait_is_told_so_again_without_asking_anybody(
    dynamodb: DynamoDBClient, relay_table: str
) -> None:
    limiter, name, other = RateLimiter(dynamodb, relay_table, 2), repo(), repo()
    for _ in range(2):
        limiter.check(name, NOW)
        limiter.take(name, NOW)
    limiter.check(name, NOW)  # nobody has been told yet
    assert retry_after(limiter, name, NOW) == 30
    with pytest.raises(RefusedError, match="try again after 30 s") as caught:
        limiter.check(name.upper(), NOW)
    assert (caught.value.code, caught.value.retry_after) == ("rate_limited", 30)
    limiter.check(other, NOW)
    limiter.check(name, NOW + 30)
    assert retry_after(limiter, name, NOW + 30) is None
