"""The reader when things go wrong: outages, stalls, floods of callers; and the rules that are pure functions."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from clickhouse_connect.driver.exceptions import OperationalError
from hypothesis import given
from hypothesis import strategies as st

from hud_endpoint.clickhouse import saved_queries
from hud_endpoint.errors import RefusedError
from hud_endpoint.views.data.backend_page import read_backend
from hud_endpoint.views.data.breakers import Baseline, baselines
from hud_endpoint.views.data.kept import FRESH_SECONDS, RETRY_SECONDS, Keeper, UnavailableError
from hud_endpoint.views.data.pull_request_page import read_pull_request
from hud_endpoint.views.data.reader import ClickHouseReader
from hud_endpoint.views.data.readiness import Criteria, Record, judge_readiness
from hud_endpoint.views.data.rows import latest_attempts
from hud_endpoint.views.data.running import RunningJobs
from hud_endpoint.views.data.summary_page import read_summary
from hud_endpoint.views.data.test_page import read_test, standing
from hud_endpoint.views.data.triage import judge_job, judge_test
from hud_endpoint.views.models.failed_test import FailingBackend
from hud_endpoint.views.models.filters import EVENTS, LEVELS, WINDOWS, Filters
from tests.hud_endpoint.clickhouse import history
from tests.hud_endpoint.views import sample_pages
from tests.hud_endpoint.views.test_oracle import NO_NAMES, RUNNING, NothingRuns, plain

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client
    from types_boto3_dynamodb.client import DynamoDBClient

    from hud_endpoint.views.data.names import Names
    from hud_endpoint.views.models.jobs import Job


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


class Switch:
    """Connects to ClickHouse while it is on."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.on = True
        self.asked = 0

    def __call__(self) -> Client:
        self.asked += 1
        if not self.on:
            raise OperationalError("Connection refused")
        return self.client


class OneRuns(NothingRuns):
    """A backend is known by a running job alone."""

    def under_name(self, _repo: str, _names: Names) -> list[tuple[Job, str]]:
        return [(sample_pages.RUNNING, "d")]


@pytest.mark.parametrize("what", ["summary", "backend", "pull_request", "test"])
def test_an_outage_shows_the_last_good_page_with_its_age(clickhouse: Client, what: str) -> None:
    clock, connect = Clock(), Switch(clickhouse)
    reader = ClickHouseReader(connect, OneRuns(), keeper=Keeper(clock))  # type: ignore[arg-type]  # a stand-in
    reads: dict[str, Any] = {
        "summary": partial(reader.summary, Filters()),
        "backend": partial(reader.backend, "oracle-a/backend-0", Filters()),
        "pull_request": partial(reader.pull_request, 101),
        "test": partial(reader.test, "test_sdpa", Filters()),
    }

    async def outage() -> None:
        good = await reads[what]()
        assert not good.freshness.last_good
        connect.on = False
        clock.time += FRESH_SECONDS + 1
        asked = connect.asked
        kept = await reads[what]()
        assert kept.freshness.last_good
        assert kept.freshness.read_at == good.freshness.read_at
        failed = connect.asked
        first = {"summary": 3, "backend": 4, "pull_request": 3, "test": 2}[
            what
        ]  # the names, and what a page asks at once
        assert failed == asked + first
        await reads[what]()
        assert connect.asked == failed  # nobody waits for another failure right away
        clock.time += RETRY_SECONDS + 1
        await reads[what]()
        assert connect.asked == failed + first
        connect.on = True
        clock.time += RETRY_SECONDS + 1
        again = await reads[what]()
        assert not again.freshness.last_good
        assert again.freshness.read_at > good.freshness.read_at

    anyio.run(outage)


@pytest.mark.parametrize("what", ["summary", "summary-filtered", "backend", "pull_request", "test"])
def test_a_page_of_which_a_part_can_not_be_read_is_not_shown_in_part(clickhouse: Client, what: str) -> None:
    """Each query in turn is the one that fails, in whatever thread it runs."""
    seen = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=3)
    numbers = range(4232, 4243)  # the last breaks both backends, which are well otherwise
    rows = [
        plain(f"parts/backend-{one}", seen, number, "failure" if number == numbers[-1] else "success")
        for one in range(2)
        for number in numbers
    ]
    history.load(clickhouse, rows)
    history.refresh(clickhouse)
    asked: list[str] = []
    failing = ""

    def ask(query: str, /, **parameters: Any) -> Any:
        asked.append(query)
        if query == failing:
            raise UnavailableError(query)
        return saved_queries.run(clickhouse, query, parameters)

    runs: Any = NothingRuns()
    now, filters = datetime.now(UTC), Filters()
    reads: dict[str, Any] = {
        "summary": partial(read_summary, ask, runs, NO_NAMES, filters, now),
        "summary-filtered": partial(read_summary, ask, runs, NO_NAMES, Filters(days=1, text="PARTS/backend"), now),
        "backend": partial(read_backend, ask, runs, NO_NAMES, Criteria(), "parts/backend-0", filters, 1, now),
        "pull_request": partial(read_pull_request, ask, runs, NO_NAMES, 4242, "parts/upstream", now),
        "test": partial(read_test, ask, "test_shared", "", "", filters, now),
    }
    reads[what]()
    queries = sorted(set(asked))
    assert len(queries) == {"summary": 3, "summary-filtered": 4, "backend": 5, "pull_request": 2, "test": 3}[what]
    for failing in queries:
        with pytest.raises(UnavailableError, match=failing):
            reads[what]()


def test_an_outage_with_nothing_kept_is_refused_in_words(clickhouse: Client) -> None:
    connect = Switch(clickhouse)
    connect.on = False
    reader = ClickHouseReader(connect, RUNNING)

    async def ask() -> None:
        for _ in range(2):
            with pytest.raises(RefusedError, match="ClickHouse did not answer") as refusal:
                await reader.summary(Filters())
            assert refusal.value.code == "dashboard_unavailable"

    anyio.run(ask)
    assert connect.asked == 1  # for the names, once


def test_running_jobs_of_backends_are_counted_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=60)

    class Client:
        def query(self, **request: Any) -> dict[str, int]:
            both.wait()
            return {"Count": len(request["ExpressionAttributeValues"][":value"]["S"])}

    counted = RunningJobs(Client(), "t").counts(["a/b", "a/longer"], NO_NAMES)  # type: ignore[arg-type]  # a stand-in
    assert counted == {"a/b": 3, "a/longer": 8}


def test_dynamodb_away_leaves_only_what_runs_out(clickhouse: Client, closed_port: int) -> None:
    import boto3
    from botocore.config import Config

    away = boto3.client(
        "dynamodb",
        endpoint_url=f"http://127.0.0.1:{closed_port}",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=1),
    )
    reader = ClickHouseReader(lambda: clickhouse, RunningJobs(away, "t"))
    history.load(clickhouse, [plain("away/backend", datetime.now(UTC).replace(microsecond=0), 7, "success")])
    history.refresh(clickhouse)

    async def read() -> None:
        summary = await reader.summary(Filters())
        assert (summary.running, summary.freshness.running_known) == (None, False)
        assert all(row.running is None for row in summary.backends)
        page = await reader.pull_request(101)
        assert not page.freshness.running_known

    anyio.run(read)
    away.close()


def test_many_callers_are_one_read() -> None:
    keeper, reads = Keeper(), 0
    release = anyio.Event()

    async def slow() -> int:
        nonlocal reads
        reads += 1
        await release.wait()
        return reads

    async def crowd() -> None:
        nonlocal release
        release = anyio.Event()
        found = []

        async def caller() -> None:
            found.append(await keeper.get("key", slow))

        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(caller)
            await anyio.wait_all_tasks_blocked()
            release.set()
        assert {one.value for one in found} == {1}

    anyio.run(crowd)
    assert reads == 1


def test_what_is_kept_is_bounded() -> None:
    keeper, reads = Keeper(size=3), []

    async def read(key: int) -> int:
        reads.append(key)
        return key

    async def fill() -> None:
        for key in (0, 1, 2, 0, 3):  # 1 has been idle for longest
            assert (await keeper.get(key, partial(read, key))).value == key
        assert reads == [0, 1, 2, 3]
        await keeper.get(0, partial(read, 0))
        assert reads == [0, 1, 2, 3]
        await keeper.get(1, partial(read, 1))
        assert reads == [0, 1, 2, 3, 1]

    anyio.run(fill)


def test_a_mistake_of_ours_is_not_kept_and_not_hidden() -> None:
    keeper = Keeper()

    async def wrong() -> int:
        raise ZeroDivisionError

    async def right() -> int:
        return 1

    async def read() -> None:
        with pytest.raises(ZeroDivisionError):
            await keeper.get("key", wrong)
        assert await keeper.get("key", right) == (1, False)

    anyio.run(read)


def test_unavailable_without_anything_good_is_raised_each_time() -> None:
    keeper = Keeper()

    async def away() -> int:
        raise UnavailableError

    async def read() -> None:
        for _ in range(3):
            with pytest.raises(UnavailableError):
                await keeper.get("key", away)

    anyio.run(read)


def test_a_stalled_clickhouse_does_not_hold_up_the_event_loop() -> None:
    stalled = threading.Event()

    def connect() -> Any:
        stalled.wait(60)
        raise OperationalError("stalled")

    reader = ClickHouseReader(connect, RUNNING)

    async def read() -> None:
        async with anyio.create_task_group() as group:

            async def refused() -> None:
                with pytest.raises(RefusedError):
                    await reader.summary(Filters())

            group.start_soon(refused)
            await anyio.lowlevel.checkpoint()
            stalled.set()  # only an event loop that runs gets here

    anyio.run(read)


def test_running_jobs_of_any_shape_are_read(dynamodb: DynamoDBClient) -> None:
    """Items are others' too: absent fields, other types, more than a page of them."""
    table, repo = "torchci-oot-workflow-job", "running-shapes/r"
    items: list[dict[str, Any]] = [
        {"dynamoKey": {"S": f"{repo}/bare"}},
        {
            "dynamoKey": {"S": f"{repo}/odd"},
            "run_attempt": {"S": "x"},
            "started_at": {"S": "yesterday"},
            "pr_number": {"NULL": True},
        },
        {"dynamoKey": {"S": f"{repo}/whole"}, "started_at": {"S": "2026-05-04T03:02:01Z"}, "queue_time": {"N": "1.5"}},
    ]
    for item in items:
        dynamodb.put_item(TableName=table, Item={**item, "running_repo": {"S": repo}, "status": {"S": "in_progress"}})
    jobs = {job.key.rpartition("/")[2]: job for job, _ in RunningJobs(dynamodb, table).under_name(repo, NO_NAMES)}
    assert set(jobs) == {"bare", "odd", "whole"}
    assert jobs["whole"].started_at == jobs["whole"].first_seen == datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
    assert jobs["whole"].queue_time == 1.5
    assert (jobs["odd"].attempt, jobs["odd"].started_at, jobs["odd"].pr_number) == (1, None, 0)


class TestFilters:
    @pytest.mark.parametrize("days", ["", *map(str, WINDOWS)])
    @pytest.mark.parametrize("level", ["", *LEVELS])
    @pytest.mark.parametrize("event", ["", *EVENTS])
    def test_an_address_gives_its_filters_back(self, days: str, level: str, event: str) -> None:
        from urllib.parse import parse_qs

        filters = Filters.parse(days=days, level=level, event=event, text=" a&b=c ")
        query = {name: values[0] for name, values in parse_qs(filters.query().removeprefix("?")).items()}
        assert Filters.parse(**query) == filters

    def test_defaults_are_left_out(self) -> None:
        assert Filters().query() == ""
        assert Filters(days=30).query(page=2, name="") == "?days=30&page=2"


def job(attempt: int, key: str, **changes: Any) -> Job:
    from dataclasses import replace

    return replace(sample_pages.PASSED, attempt=attempt, key=key, **changes)


@given(attempts=st.lists(st.integers(1, 4), min_size=1, max_size=20))
def test_the_latest_attempt_counts_with_all_its_legs(attempts: list[int]) -> None:
    jobs = [job(attempt, str(number)) for number, attempt in enumerate(attempts)]
    latest, superseded = latest_attempts(jobs, dict.fromkeys(map(str, range(len(jobs))), "d"))
    assert sorted(one.key for one in (*latest, *superseded)) == sorted(one.key for one in jobs)
    assert {one.attempt for one in latest} == {max(attempts)}
    assert all(one.attempt < max(attempts) for one in superseded)


def test_jobs_of_other_deliveries_supersede_nothing() -> None:
    latest, superseded = latest_attempts([job(1, "a"), job(2, "b")], {"a": "first", "b": "second"})
    assert (len(latest), superseded) == (2, [])


WELL, SICK, NEW = (
    Baseline(0.95, 40, is_well=True),
    Baseline(0.5, 40, is_well=False),
    Baseline(0.0, 0, is_well=False),
)


@pytest.mark.parametrize(
    ("changes", "given_", "triage"),
    [
        ({"state": "success"}, {}, "unknown"),
        ({"state": "cancelled"}, {}, "unknown"),
        ({}, {"recovered": True}, "flake"),
        ({"state": "timed_out", "origin": "sweeper"}, {}, "infra"),
        ({}, {"broken": {"o/r", "o/s"}, "known": {"o/r": WELL, "o/s": WELL}}, "upstream"),
        ({}, {"broken": {"o/r", "o/s"}, "known": {"o/r": WELL, "o/s": SICK}}, "unknown"),
        ({}, {"broken": {"o/r", "o/s"}, "known": {"o/r": SICK, "o/s": WELL}}, "backend"),
        ({}, {"broken": {"o/r"}, "judged": {"o/r", "o/s"}, "known": {"o/r": WELL}}, "backend"),
        ({}, {"broken": {"o/r"}, "judged": {"o/r"}, "known": {"o/r": WELL}}, "unknown"),
        ({}, {"broken": {"o/r"}, "judged": {"o/r"}, "known": {"o/r": NEW}}, "unknown"),
        ({"state": "timed_out"}, {"broken": {"o/r", "o/s"}, "known": {"o/r": WELL, "o/s": WELL}}, "upstream"),
    ],
)
def test_triage_of_a_job(changes: dict[str, Any], given_: dict[str, Any], triage: str) -> None:
    failed = job(1, "k", **{"repo": "o/r", "state": "failure", **changes})
    told = judge_job(failed, **{"broken": set(), "judged": set(), "known": {}, **given_})
    assert told.triage == triage
    assert bool(told.reason) == (triage != "unknown")


@pytest.mark.parametrize(
    ("known", "triage"),
    [
        ({"also_on": ("o/s",), "is_new": True}, "upstream"),
        ({"failures": 1, "flakes": 3, "failed_before": True}, "flake"),
        ({"flakes": 1, "failed_before": True}, "backend"),
        ({"is_new": True}, "unknown"),
    ],
)
def test_triage_of_a_test(known: dict[str, Any], triage: str) -> None:
    facts = {"failures": 3, "flakes": 0, "also_on": (), "is_new": False, "failed_before": False, **known}
    assert judge_test(**facts).triage == triage


def failing(**changes: Any) -> FailingBackend:
    now = datetime(2026, 5, 4, tzinfo=UTC)
    values = {"repo": "o/r", "level": "L2", "failures": 1, "judged_jobs": 9, "flakes": 0, "first_seen": now}
    return FailingBackend(**{**values, "last_seen": now, "is_new": False, "history": (), **changes})


@pytest.mark.parametrize(
    ("backends", "kind"),
    [
        ([], "none"),
        ([failing()], "known"),
        ([failing(is_new=True)], "new"),
        ([failing(flakes=1)], "flaky"),
        ([failing(is_new=True), failing(repo="o/s")], "everywhere"),
        ([failing(failures=2, flakes=1, is_new=True)], "new"),
    ],
)
def test_how_a_failing_test_is_known(backends: list[FailingBackend], kind: str) -> None:
    assert standing(backends, 4, "7 days")[0] == kind


@given(judged=st.integers(0, 50), data=st.data())
def test_a_baseline_is_what_is_left_without_the_broken_commit(judged: int, data: st.DataObject) -> None:
    broken = data.draw(st.integers(0, judged))
    base = baselines([{"repo": "r", "judged_commits": judged, "broken_commits": broken, "is_well": True}])["r"]
    assert base.commits == max(judged - 1, 0)
    assert 0 <= base.share <= 1
    if broken and judged > 1:
        assert base.share == pytest.approx(1 - (broken - 1) / (judged - 1))


RECORD = Record(judged=1000, passed=950, timed_out=5, end_to_end_p50=600.0, end_to_end_commits=9)


@pytest.mark.parametrize(
    ("changes", "verdict", "met"),
    [
        ({}, True, [True, True, True]),
        ({"timed_out": 10}, False, [False, True, True]),  # 1 % is not below 1 %
        ({"end_to_end_p50": 10_800}, False, [True, False, True]),
        ({"passed": 900}, False, [True, True, False]),
        ({"end_to_end_commits": 0}, None, [True, None, True]),
        ({"judged": 0, "passed": 0, "timed_out": 0}, None, [None, True, None]),
    ],
)
def test_readiness(changes: dict[str, Any], verdict: object, met: list[bool | None]) -> None:
    told = judge_readiness(RECORD._replace(**changes), Criteria())
    assert told.ready is verdict
    assert [one.met for one in told.criteria] == met
