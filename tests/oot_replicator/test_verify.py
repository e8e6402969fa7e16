"""verify and repair: every difference is found, named and mended, and what is under way is left alone."""

from __future__ import annotations

import io
import itertools
import json
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from hud_endpoint.aws_lambda import HandlerError
from hud_endpoint.clickhouse.connection import connect
from hud_endpoint.clickhouse.ddl import insert_columns
from oot_ops.cli import main
from oot_replicator import aws_lambda
from oot_replicator.comparing.repairer import Repairer, items_of
from oot_replicator.comparing.staging import Staging
from oot_replicator.progress import Progress
from oot_replicator.reading.scan import pages
from oot_replicator.rows.transform import scanned
from oot_replicator.verify import Verifier, window_start
from oot_replicator.writing.writer import TABLE, Writer
from tests.hud_endpoint.test_aws_lambda import Context
from tests.integration.own_servers import own_clickhouse
from tests.integration.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from clickhouse_connect.driver.client import Client
    from types_boto3_dynamodb.client import DynamoDBClient

    from oot_replicator.comparing.report import Report

NOW = datetime.now(UTC).replace(microsecond=123456)


@pytest.fixture(scope="module")
def clickhouse_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A ClickHouse that holds nothing but what these tests put in."""
    with own_clickhouse(tmp_path_factory.mktemp("verify")) as (_, url):
        yield url


@pytest.fixture
def client(clickhouse_url: str) -> Iterator[Client]:
    client = connect(clickhouse_url)
    yield client
    for name in (TABLE, "default.oot_test_failures"):
        client.command(f"TRUNCATE TABLE {name}")
    left = client.query("SELECT name FROM system.tables WHERE name LIKE 'oot_verify%'").result_rows
    client.close()
    assert left == []


@pytest.fixture
def table(dynamodb: DynamoDBClient) -> str:
    """A job table of the test's own, without a stream: nothing replicates it."""
    name = f"verify-{uuid.uuid4().hex}"
    dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "dynamoKey", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "dynamoKey", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


def job(number: int, age: timedelta = timedelta(hours=1), **changes: Any) -> dict[str, Any]:
    seen = (NOW - age).isoformat().replace("+00:00", "Z")
    item: dict[str, Any] = {
        "dynamoKey": {"S": f"o/r/d{number}/ci/tést/{number}"},
        "status": {"S": "completed"},
        "conclusion": {"S": "failure"},
        "downstream_repo": {"S": "o/r"},
        "delivery_id": {"S": f"d{number}"},
        "first_seen": {"S": seen},
        "started_at": {"S": seen},
        "completed_at": {"S": seen},
        "total_tests": {"N": str(number)},
        "queue_time": {"N": "0.1"},
        "failed_tests_json": {"S": json.dumps([{"name": f"t{number}", "message": "é\u0000"}])},
        "dispatch_verified": {"BOOL": True},
        "revision": {"N": "2"},
    }
    return {name: value for name, value in (item | changes).items() if value is not None}


def key(number: int) -> str:
    return f"o/r/d{number}/ci/tést/{number}"


def put(dynamodb: DynamoDBClient, table: str, *items: dict[str, Any]) -> None:
    for start in range(0, len(items), 25):
        puts: Any = {table: [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]}
        assert not dynamodb.batch_write_item(RequestItems=puts)["UnprocessedItems"]


def replicate(client: Client, *items: dict[str, Any], statuses: tuple[str, ...] = ("completed",)) -> None:
    Writer(client, insert_columns(client, TABLE), statuses).write([scanned(item, NOW) for item in items])


def verifier(dynamodb: DynamoDBClient, table: str, client: Client, **options: Any) -> Verifier:
    return Verifier(
        dynamodb, table, client, **{"since": NOW - timedelta(days=1), "lag_seconds": 0, "segments": 2, **options}
    )


def compare(dynamodb: DynamoDBClient, table: str, client: Client, **options: Any) -> Report:
    made = verifier(dynamodb, table, client, **options)
    for _ in made.differences():
        pass
    return made.report


def found(report: Report) -> dict[str, list[str]]:
    return {kind: sorted(keys) for kind, keys in report.keys.items() if keys}


class TestFinding:
    def test_what_agrees_is_counted(self, dynamodb: DynamoDBClient, table: str, client: Client) -> None:
        items = [job(number) for number in range(250)]
        put(dynamodb, table, *items)
        for _ in range(2):
            replicate(client, *items)  # unmerged duplicates are one row
        report = compare(dynamodb, table, client)
        assert (report.compared, report.different, found(report)) == (250, 0, {})

    def test_nothing_agrees_with_nothing(self, dynamodb: DynamoDBClient, table: str, client: Client) -> None:
        assert compare(dynamodb, table, client).counts()["compared"] == 0

    def test_missing_stale_and_extra_are_told_apart(self, dynamodb: DynamoDBClient, table: str, client: Client) -> None:
        items = [job(number) for number in range(350)]
        put(dynamodb, table, *items)
        replicate(client, *items[5:], job(1000), job(1001))
        put(dynamodb, table, *(job(number, revision={"N": "3"}) for number in range(5, 9)))
        report = compare(dynamodb, table, client)
        assert (report.compared, report.missing, report.stale, report.extra) == (350, 5, 4, 2)
        assert found(report) == {
            "missing": [key(number) for number in range(5)],
            "stale": [key(number) for number in range(5, 9)],
            "extra": [key(1000), key(1001)],
        }

    @pytest.mark.parametrize(
        "changed",
        [
            {"conclusion": {"S": "success"}},
            {"total_tests": {"N": "18446744073709551615"}},
            {"queue_time": {"N": "0.2"}},
            {"queue_time": None},
            {"queue_time": {"N": "0"}},
            {"completed_at": {"S": (NOW + timedelta(microseconds=1)).isoformat()}},
            {"failed_tests_json": {"S": "[]"}},
            {"environment": {"S": " "}},
            {"dispatch_verified": {"BOOL": False}},
            {"delivery_id": {"S": "d1 "}},
            {"origin": {"S": "deferred"}},
        ],
        ids=[
            *("conclusion", "total", "time", "no-time", "zero-time", "completed", "failed-tests", "environment"),
            *("verified", "space", "origin"),
        ],
    )
    def test_a_value_that_differs_is_stale_whatever_the_versions(
        self, dynamodb: DynamoDBClient, table: str, client: Client, changed: dict[str, Any]
    ) -> None:
        put(dynamodb, table, job(1), job(2))
        replicate(client, job(1, **changed), job(2))
        assert found(compare(dynamodb, table, client)) == {"stale": [key(1)]}

    def test_columns_to_come_are_compared_as_well(self, dynamodb: DynamoDBClient, table: str, client: Client) -> None:
        client.command(f"ALTER TABLE {TABLE} ADD COLUMN driver_version String DEFAULT 'unknown'")
        try:
            put(dynamodb, table, job(1, driver_version={"S": "7"}), job(2))
            replicate(client, job(1, driver_version={"S": "8"}), job(2))
            assert found(compare(dynamodb, table, client)) == {"stale": [key(1)]}
        finally:
            client.command(f"ALTER TABLE {TABLE} DROP COLUMN driver_version")

    def test_only_the_window_is_compared(self, dynamodb: DynamoDBClient, table: str, client: Client) -> None:
        put(dynamodb, table, job(1, timedelta(days=3)), job(2, timedelta(days=1, seconds=1)), job(3))
        replicate(client, job(9, timedelta(days=3)))
        assert found(compare(dynamodb, table, client)) == {"missing": [key(3)]}
        wider = compare(dynamodb, table, client, since=NOW - timedelta(days=4))
        assert found(wider) == {"missing": [key(1), key(2), key(3)], "extra": [key(9)]}

    def test_what_is_not_replicated_is_not_missing(self, dynamodb: DynamoDBClient, table: str, client: Client) -> None:
        put(dynamodb, table, job(1, status={"S": "in_progress"}), job(2))
        replicate(client, job(2))
        assert compare(dynamodb, table, client).different == 0
        report = compare(dynamodb, table, client, statuses=("in_progress", "completed"))
        assert found(report) == {"missing": [key(1)]}

    def test_a_deleted_row_is_no_row(self, dynamodb: DynamoDBClient, table: str, client: Client) -> None:
        removed = {"eventName": "REMOVE", "dynamodb": {"OldImage": job(1), "SequenceNumber": "1"}}
        columns = insert_columns(client, TABLE)
        replicate(client, job(1), job(2))
        Writer(client, columns, ("completed",)).write([removed])
        put(dynamodb, table, job(2))
        assert compare(dynamodb, table, client).different == 0

    def test_items_of_others_are_compared_by_what_they_say(
        self, dynamodb: DynamoDBClient, table: str, client: Client
    ) -> None:
        theirs: dict[str, Any] = {"revision": None, "first_seen": None}  # CRCR's HUD writes neither
        put(dynamodb, table, *(job(number, **theirs) for number in (1, 2, 3)))
        replicate(client, job(1, **theirs), job(2, conclusion={"S": "success"}, **theirs))
        assert found(compare(dynamodb, table, client)) == {"stale": [key(2)], "missing": [key(3)]}

    def test_poison_is_counted_by_itself(self, dynamodb: DynamoDBClient, table: str, client: Client) -> None:
        put(dynamodb, table, job(1, total_tests={"S": "many"}), job(2, total_tests={"S": "many"}), job(3))
        replicate(client, job(2), job(3))  # the second was replicated before it was spoiled
        report = compare(dynamodb, table, client)
        assert (report.poison, report.different, report.in_flight, report.compared) == (2, 0, 0, 1)


class TestInFlight:
    def during(self, verifier: Verifier, act: Callable[[], None]) -> Report:
        """Act between the comparison and the second look."""
        look_again = verifier._look_again

        def first_act(*arguments: Any) -> Any:
            act()
            return look_again(*arguments)

        verifier._look_again = first_act  # type: ignore[method-assign,assignment]
        for _ in verifier.differences():
            pass
        return verifier.report

    def test_what_arrives_within_the_lag_is_not_missing(
        self, dynamodb: DynamoDBClient, table: str, client: Client, clickhouse_url: str
    ) -> None:
        items = [job(number) for number in range(3)]
        put(dynamodb, table, *items)
        late = connect(clickhouse_url)
        timer = threading.Timer(0.4, replicate, [late, *items[:2]])
        timer.start()
        began = time.monotonic()
        report = compare(dynamodb, table, client, lag_seconds=1.2)
        timer.join()
        late.close()
        assert time.monotonic() - began > 1.2
        assert found(report) == {"missing": [key(2)]}

    def test_what_changes_meanwhile_is_in_flight(self, dynamodb: DynamoDBClient, table: str, client: Client) -> None:
        put(dynamodb, table, job(1), job(2), job(3))
        replicate(client, job(2, revision={"N": "1"}))

        def act() -> None:
            put(dynamodb, table, job(1, revision={"N": "3"}), job(2, revision={"N": "3"}))
            dynamodb.delete_item(TableName=table, Key={"dynamoKey": {"S": key(3)}})

        report = self.during(verifier(dynamodb, table, client), act)
        assert (report.different, report.in_flight) == (0, 2)

    def test_what_is_replicated_meanwhile_agrees(self, dynamodb: DynamoDBClient, table: str, client: Client) -> None:
        put(dynamodb, table, job(1))

        def act() -> None:
            put(dynamodb, table, job(1, revision={"N": "3"}), job(4))
            replicate(client, job(1, revision={"N": "3"}))

        report = self.during(verifier(dynamodb, table, client), act)
        assert (report.different, report.in_flight) == (0, 0)


class TestRepair:
    def mend(self, dynamodb: DynamoDBClient, table: str, client: Client, **options: Any) -> Report:
        made = verifier(dynamodb, table, client)
        repairer = Repairer(dynamodb, table, client, ("completed",))
        for page in made.differences():
            made.report.repaired += repairer.mend(page, **options)
        return made.report

    def test_what_is_missing_or_stale_is_written_and_extra_stays(
        self, dynamodb: DynamoDBClient, table: str, client: Client
    ) -> None:
        items = [job(number) for number in range(230)]
        put(dynamodb, table, *items)
        replicate(client, *items[210:], job(900))
        replicate(client, job(220, conclusion={"S": "success"}))
        put(dynamodb, table, job(221, revision={"N": "7"}))
        report = self.mend(dynamodb, table, client)
        assert (report.missing, report.stale, report.extra, report.repaired) == (210, 2, 1, 212)
        assert report.different == 1
        assert found(compare(dynamodb, table, client)) == {"extra": [key(900)]}

    def test_extra_goes_when_asked_and_no_replay_brings_it_back(
        self, dynamodb: DynamoDBClient, table: str, client: Client
    ) -> None:
        put(dynamodb, table, job(1))
        replicate(client, job(1), job(8), job(9, timedelta(hours=2)))
        report = self.mend(dynamodb, table, client, delete_extra=True)
        assert (report.extra, report.repaired, report.different) == (2, 2, 0)
        replicate(client, job(8), job(9, timedelta(hours=2)))
        assert compare(dynamodb, table, client).different == 0
        query = f"SELECT dynamoKey FROM {TABLE} FINAL"  # noqa: S608 - our own name
        assert client.query(query).result_rows == [(key(1),)]
        failures = client.query("SELECT name FROM default.oot_test_failures FINAL ORDER BY name").result_rows
        assert ("t1",) in failures
        assert ("t8",) not in failures

    def test_repair_never_beats_a_newer_row(self, dynamodb: DynamoDBClient, table: str, client: Client) -> None:
        """Between the look and the repair, the replicator has written a later state."""
        put(dynamodb, table, job(1))
        made = verifier(dynamodb, table, client)
        [[difference]] = list(made.differences())
        replicate(client, job(1, revision={"N": "5"}, conclusion={"S": "success"}))
        Repairer(dynamodb, table, client, ("completed",)).mend([difference])
        query = f"SELECT conclusion FROM {TABLE} FINAL"  # noqa: S608 - our own name
        assert client.query(query).result_rows == [("success",)]

    def test_items_are_asked_for_until_all_have_come(self, dynamodb: DynamoDBClient, table: str) -> None:
        class Throttled:
            """Answers one key at a time, as a throttled DynamoDB may."""

            calls = 0

            def batch_get_item(self, RequestItems: Any) -> Any:  # noqa: N803 - boto3's name
                self.calls += 1
                keys = RequestItems[table]["Keys"]
                first: Any = {table: {**RequestItems[table], "Keys": keys[:1]}}
                answer = dynamodb.batch_get_item(RequestItems=first)
                rest: Any = {table: {**RequestItems[table], "Keys": keys[1:]}} if keys[1:] else {}
                return {**answer, "UnprocessedKeys": rest}

        put(dynamodb, table, job(1), job(2), job(3))
        throttled = Throttled()
        items = items_of(throttled, table, [key(1), key(2), key(1), key(77), key(3)])  # type: ignore[arg-type]
        assert sorted(items) == [key(1), key(2), key(3)]
        assert throttled.calls == 4
        assert items_of(dynamodb, table, []) == {}


class TestScan:
    def test_every_item_comes_once_whatever_the_segments(self, dynamodb: DynamoDBClient, table: str) -> None:
        put(dynamodb, table, *(job(number, environment={"S": "x" * 20_000}) for number in range(200)))  # 4 MB
        for segments in (1, 3, 8):
            read = list(pages(dynamodb, table, segments=segments))
            keys = [item["dynamoKey"]["S"] for page in read for item in page.items]
            assert sorted(keys) == sorted(key(number) for number in range(200))
            assert sum(page.scanned for page in read) == 200
            assert len(read) >= segments
            assert max(len(page.items) for page in read) < 60  # a megabyte each

    def test_what_goes_wrong_is_raised_and_ends_it(self, dynamodb: DynamoDBClient) -> None:
        with pytest.raises(dynamodb.exceptions.ResourceNotFoundException):
            list(pages(dynamodb, "no-such-table"))

    def test_whoever_stops_early_ends_the_threads(self, dynamodb: DynamoDBClient, table: str) -> None:
        put(dynamodb, table, *(job(number, environment={"S": "x" * 20_000}) for number in range(200)))
        before = threading.active_count()
        reading = pages(dynamodb, table, segments=2)
        next(reading)
        reading.close()  # type: ignore[attr-defined]
        wait_for(lambda: threading.active_count() <= before, "the end of the threads")

    def test_the_pace_is_bounded(self) -> None:
        class Slow:
            """Tells that each page took 10 units."""

            calls: list[float] = []  # noqa: RUF012 - one test's own

            def scan(self, **_: Any) -> Any:
                self.calls.append(time.monotonic())
                last = {} if len(self.calls) == 4 else {"LastEvaluatedKey": {"dynamoKey": {"S": "k"}}}
                return {"Items": [], "ScannedCount": 1, "ConsumedCapacity": {"CapacityUnits": 10.0}, **last}

        slow = Slow()
        assert len(list(pages(slow, "t", segments=1, units_per_second=100))) == 4  # type: ignore[arg-type]
        waits = [later - earlier for earlier, later in itertools.pairwise(slow.calls)]
        assert min(waits) >= 0.1


class TestCommand:
    def run(
        self, monkeypatch: pytest.MonkeyPatch, aws: dict[str, Any], url: str, table: str, name: str, *arguments: str
    ) -> int:
        told = {
            "AWS_ENDPOINT_URL": aws["endpoint_url"],
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "us-east-1",
            "CLICKHOUSE_URL": url,
            "RESULTS_TABLE": table,
        }
        for variable, value in told.items():
            monkeypatch.setenv(variable, value)
        return main([name, *arguments])

    def test_finds_mends_and_agrees(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        aws: dict[str, Any],
        dynamodb: DynamoDBClient,
        client: Client,
        clickhouse_url: str,
        table: str,
        tmp_path: Path,
    ) -> None:
        def run(name: str, *arguments: str) -> tuple[int, str]:
            code = self.run(monkeypatch, aws, clickhouse_url, table, name, "--lag", "0s", *arguments)
            return code, capsys.readouterr().out

        put(dynamodb, table, job(1), job(2))
        replicate(client, job(1), job(9))
        code, out = run("verify")
        assert code == 1
        listed = [line for line in out.splitlines() if line.startswith(("missing", "extra"))]
        assert sorted(listed) == [r"extra    o/r/d9/ci/t\xe9st/9", r"missing  o/r/d2/ci/t\xe9st/2"]
        assert out.splitlines()[-1].startswith("2 jobs compared: 1 missing, 0 stale, 1 extra (first seen since 20")
        assert run("verify", "--repair", "--dry-run")[0] == 1
        code, out = run("verify", "--json")
        report = json.loads(out)
        assert (code, report["missing"], report["extra"]) == (1, 1, 1)
        assert report["keys"] == {"missing": [key(2)], "stale": [], "extra": [key(9)]}
        assert run("verify", "--repair")[0] == 1  # one is extra
        code, out = run("verify", "--repair", "--delete-extra")
        assert (code, "1 extra, 1 repaired" in out) == (0, True)
        metrics = tmp_path / "oot.prom"
        code, out = run("verify", "--metrics-file", str(metrics))
        assert (code, out[:56]) == (0, "2 jobs compared: 0 missing, 0 stale, 0 extra (first seen")
        lines = metrics.read_text().splitlines()
        assert {"oot_verify_compared 2.0", "oot_verify_missing 0.0", "# TYPE oot_verify_stale gauge"} <= set(lines)
        assert list(tmp_path.iterdir()) == [metrics]

    def test_the_lambda_prints_metrics_and_gives_counts(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        aws: dict[str, Any],
        dynamodb: DynamoDBClient,
        client: Client,
        clickhouse_url: str,
        table: str,
    ) -> None:
        put(dynamodb, table, job(1), job(2))
        replicate(client, job(2))
        self.run(monkeypatch, aws, clickhouse_url, table, "verify", "--lag", "0s")  # sets the environment
        capsys.readouterr()
        assert aws_lambda.verify_handler({"lag": "0s"}, Context())["missing"] == 1
        told = json.loads(capsys.readouterr().out)
        assert [told[name] for name in ("missing", "compared", "repaired", "differences")] == [[1], [2], [0], [1]]
        assert {"Name": "missing", "Unit": "Count"} in told["_aws"]["CloudWatchMetrics"][0]["Metrics"]
        counts = aws_lambda.verify_handler({"lag": "0s", "since": "all", "repair": True}, Context())
        assert (counts["missing"], counts["repaired"], counts["differences"]) == (1, 1, 1)
        assert aws_lambda.verify_handler(None, Context())["missing"] == 0
        with pytest.raises(HandlerError, match="ArgumentTypeError: 'yesterday' is not an age"):
            aws_lambda.verify_handler({"since": "yesterday"}, Context())

    @pytest.mark.parametrize("away", ["aws", "clickhouse", "table"])
    def test_what_can_not_be_compared_is_told(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        aws: dict[str, Any],
        clickhouse_url: str,
        table: str,
        away: str,
    ) -> None:
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        nowhere = "http://127.0.0.1:9"
        code = self.run(
            monkeypatch,
            {"endpoint_url": nowhere} if away == "aws" else aws,
            nowhere if away == "clickhouse" else clickhouse_url,
            "no-such-table" if away == "table" else table,
            "verify",
        )
        said = capsys.readouterr()
        assert code == 3
        assert said.err.startswith("verify: could not compare: ")
        assert "Traceback" not in said.err

    @pytest.mark.parametrize(
        "arguments", [("--since", "1"), ("--since", "1w"), ("--lag", "all"), ("--since", "-1h")], ids=str
    )
    def test_a_wrong_call_is_told(
        self, monkeypatch: pytest.MonkeyPatch, aws: dict[str, Any], arguments: tuple[str, ...]
    ) -> None:
        with pytest.raises(SystemExit) as ended:
            self.run(monkeypatch, aws, "http://127.0.0.1:9", "t", "verify", *arguments)
        assert ended.value.code == 2


def test_what_a_killed_comparison_left_is_dropped(client: Client) -> None:
    old, young = "default.oot_verify_1000_ab12", f"default.oot_verify_{int(time.time())}_ab12"
    for name in (old, young):
        for suffix in ("", "_in", "_diff"):
            client.command(f"CREATE TABLE {name}{suffix} (x UInt8) ENGINE = Memory")
    with Staging(client, NOW):
        there = client.query("SELECT name FROM system.tables WHERE name LIKE 'oot_verify%ab12%'").result_rows
    for suffix in ("", "_in", "_diff"):
        client.command(f"DROP TABLE {young}{suffix}")
    expected = {f"{young.removeprefix('default.')}{suffix}" for suffix in ("", "_diff", "_in")}
    assert {name for (name,) in there} == expected


def test_the_window_ends_where_rows_may_have_expired() -> None:
    for since, days in ((timedelta(days=1), 1), (timedelta(days=400), 100), (None, 100)):
        start = window_start(since, 100)
        assert abs((datetime.now(UTC) - start) - timedelta(days=days)) < timedelta(hours=2)


class TestProgress:
    @pytest.mark.parametrize(
        ("total", "done", "seconds", "line"),
        [
            (0, 1500, 1, "jobs read  1,500 at 1,500/s"),
            (2000, 500, 5, "[######..................]  25%  jobs read  500 of about 2,000 at 100/s, 15 s left"),
            (10_000, 10, 1, "[........................]   0%  jobs read  10 of about 10,000 at 10/s, 16 min 39 s left"),
            (
                100_000,
                10,
                1,
                "[........................]   0%  jobs read  10 of about 100,000 at 10/s, 2 h 46 min left",
            ),
            (10, 20, 1, "[########################] 100%  jobs read  20 of about 10 at 20/s, 0 s left"),
            (10, 0, 0, "[........................]   0%  jobs read  0 of about 10 at 0/s"),
        ],
        ids=["unknown", "quarter", "minutes", "hours", "more", "start"],
    )
    def test_the_line(self, total: int, done: int, seconds: float, line: str) -> None:
        progress = Progress("jobs read", total, io.StringIO())
        progress.add(done)
        assert progress.line(seconds) == line

    def test_it_shows_on_a_terminal_only(self) -> None:
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        for stream, shown in ((io.StringIO(), False), (Terminal(), True)):
            progress = Progress("jobs read", 10, stream)
            progress.add(5)
            progress.end()
            assert ("5 of about 10" in stream.getvalue()) is shown
            assert stream.getvalue().endswith("\r\x1b[K") is shown
