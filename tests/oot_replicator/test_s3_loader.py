"""Test stats from S3: every good line lands once, whatever is delivered again, changed, cut off or broken."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import boto3
import pytest
from clickhouse_connect.driver.exceptions import OperationalError

from hud_endpoint.clickhouse.connection import connect
from oot_ops.cli import main
from oot_replicator import aws_lambda, s3_to_clickhouse
from oot_replicator.s3 import loader as s3_loader
from oot_replicator.s3.loader import S3Loader
from oot_replicator.s3.source import S3Source
from oot_replicator.s3.tables import parse_key
from tests.hud_endpoint.test_aws_lambda import Context
from tests.integration.own_servers import running
from tests.integration.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from clickhouse_connect.driver.client import Client
    from types_boto3_s3.client import S3Client

    from oot_local.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
TABLES = {
    "test_run_summary": "default.test_run_summary",
    "failed_test_runs": "default.failed_test_runs",
    "test_run": "default.test_run_s3",
}


@pytest.fixture(scope="module")
def s3(aws: dict[str, Any]) -> Iterator[S3Client]:
    client = boto3.client("s3", **aws)
    yield client
    client.close()


@pytest.fixture
def bucket(s3: S3Client) -> str:
    name = f"stats-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def source(aws: dict[str, Any]) -> S3Source:
    return S3Source(aws["endpoint_url"], "environment", keys=lambda: ("local", "local"))


@pytest.fixture
def loader(clickhouse: Client, source: S3Source) -> S3Loader:
    return S3Loader(clickhouse, source)


@pytest.fixture
def run() -> int:
    """A workflow run that no other test has."""
    return random.randrange(10**9, 10**17)  # noqa: S311


def lines(*rows: Any) -> bytes:
    """JSON lines; what is bytes already stays as it is."""
    return b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows)


def put(s3: S3Client, bucket: str, key: str, *rows: Any) -> str:
    s3.put_object(Bucket=bucket, Key=key, Body=gzip.compress(lines(*rows), mtime=0))
    return key


def rows(
    client: Client, run: int, columns: str = "*", *, table: str = "default.test_run_s3", final: bool = True
) -> Any:
    query = f"SELECT {columns} FROM {table} {'FINAL' if final else ''} WHERE workflow_id = {run} ORDER BY row_number"  # noqa: S608
    return client.query(query).result_rows


def errors(client: Client, bucket: str) -> list[Any]:
    query = """
        SELECT sequence_number, reason, record FROM default.oot_replication_errors FINAL
        WHERE source = 's3' AND startsWith(record_id, {bucket: String})
        ORDER BY record_id, toUInt64OrZero(sequence_number)
    """
    return list(client.query(query, parameters={"bucket": bucket}).result_rows)


CASE = {
    "name": "test_a",
    "classname": "TestA",
    "file": "test_a.py",
    "invoking_file": "test_a",
    "time": 1.5,
    "line": 3.0,
    "job_id": 42,
    "workflow_id": 1,
    "workflow_run_attempt": 1,
    "failure": {"message": "no", "type": "AssertionError", "text": "Traceback …"},
}


class TestColumns:
    def test_a_summary_comes_by_name(
        self, s3: S3Client, bucket: str, loader: S3Loader, clickhouse: Client, run: int
    ) -> None:
        row = {"tests": 3, "failures": 1, "errors": 0, "skipped": 1, "successes": 1, "time": 2.5, "job_id": None}
        told = {**row, "classname": "A", "file": None, "unknown": {"x": [1]}, "repo": "o/r", "workflow_run_attempt": 9}
        key = put(s3, bucket, f"test_run_summary/{run}/2", told, {"tests": 1})
        assert loader.load(bucket, [key]) == [s3_loader.Loaded(key, "default.test_run_summary", 2, None)]
        columns = "classname, tests, failures, skipped, successes, time, job_id, file, repo, workflow_run_attempt, meta, row_number"  # noqa: E501
        assert rows(clickhouse, run, columns, table="default.test_run_summary") == [
            ("A", 3, 1, 1, 1, 2.5, 0, "", "o/r", 2, {"bucket": bucket, "key": key}, 1),
            ("", 1, 0, 0, 0, 0.0, 0, "", "", 2, {"bucket": bucket, "key": key}, 2),
        ]

    @pytest.mark.parametrize("prefix", ["test_run", "failed_test_runs"])
    def test_a_case_comes_by_name_and_its_run_from_the_key(
        self, s3: S3Client, bucket: str, loader: S3Loader, clickhouse: Client, run: int, prefix: str
    ) -> None:
        key = put(s3, bucket, f"{prefix}/{run}/3", CASE)
        [loaded] = loader.load(bucket, [key])
        assert (loaded.rows, loaded.error) == (1, None)
        columns = "name, classname, file, invoking_file, time, line, job_id, failure, workflow_run_attempt"
        failure = [{"type": "AssertionError", "message": "no", "text": "Traceback …"}]
        expected = ("test_a", "TestA", "test_a.py", "test_a", 1.5, 3, 42, failure, 3)
        assert rows(clickhouse, run, columns, table=TABLES[prefix]) == [expected]

    @pytest.mark.parametrize(
        ("column", "told", "expected"),
        [
            ("skipped", {"message": "m", "type": "t"}, [{"type": "t", "message": "m", "text": ""}]),
            ("skipped", {}, [{"type": "", "message": "", "text": ""}]),  # <skipped/>: skipped all the same
            (
                "failure",
                [{"text": "1"}, {"text": "2"}],
                [{"type": "", "message": "", "text": "1"}, {"type": "", "message": "", "text": "2"}],
            ),
            ("error", [], []),
            ("error", None, []),
            ("error", "bare", [{"type": "", "message": "bare", "text": ""}]),
            ("rerun", {"message": "m", "text": "x", "type": "t"}, [{"message": "m", "text": "x"}]),
            (
                "rerun",
                [{"message": "a"}, {"message": "b"}],
                [{"message": "a", "text": ""}, {"message": "b", "text": ""}],
            ),
            ("`system-out`", {"text": "o"}, ["o"]),
            ("`system-out`", [{"text": "o"}, {"text": "p"}, {}], ["o", "p", ""]),
            ("`system-err`", "bare", ["bare"]),
            ("properties", {"property": {"name": "n", "value": "v"}}, [{"name": "n", "value": "v"}]),
            (
                "properties",
                {"property": [{"name": "n", "value": 1}, {"name": "m"}]},
                [{"name": "n", "value": "1"}, {"name": "m", "value": ""}],
            ),
            ("properties", {}, []),
            ("name", 5, "5"),  # pytorch's rule makes numbers of attributes that look like one
            ("name", 1.5, "1.5"),
            ("name", True, "true"),
            ("name", "nan", "nan"),
            ("name", "é\u0000\U0001f600'\\", "é\u0000\U0001f600'\\"),
            ("classname", {"a": 1}, '{"a":1}'),
            ("time", "2.5", 2.5),
            ("line", None, 0),
            ("job_id", 9_007_199_254_740_993, 9_007_199_254_740_993),
        ],
        ids=lambda value: json.dumps(value)[:40],
    )
    def test_every_shape_of_a_column(
        self,
        s3: S3Client,
        bucket: str,
        loader: S3Loader,
        clickhouse: Client,
        run: int,
        column: str,
        told: Any,
        expected: Any,
    ) -> None:
        key = put(s3, bucket, f"test_run/{run}/1", {column.strip("`"): told})
        assert loader.load(bucket, [key])[0].error is None
        assert rows(clickhouse, run, column) == [(expected,)]


class TestBadLines:
    GOOD: ClassVar = {"name": "good", "tests": 1}
    BAD: ClassVar = {
        b"{": "is not valid JSON",
        b'{"name": "cut': "is not valid JSON",
        b'{"name": NaN}': "is not valid JSON",
        b"\xff\xfe": "is not valid JSON",
        b'{"name": "\\ud800"}': "is not valid JSON",
        b"[1]": "is not a JSON object",
        b'"x"': "is not a JSON object",
        b"5": "is not a JSON object",
        b"null": "is not a JSON object",
        b'{"job_id": "x"}': "job_id is not a number",
        b'{"job_id": 9223372036854775808}': "job_id is not a number",
        b'{"line": []}': "line is not a number",
        b'{"time": {}}': "time is not a number",
        b'{"duration": "1 s"}': "duration is not a number",
    }

    def test_each_is_kept_with_its_number_and_good_ones_land(
        self, s3: S3Client, bucket: str, loader: S3Loader, clickhouse: Client, run: int
    ) -> None:
        told = list(itertools.chain.from_iterable((self.GOOD, bad) for bad in self.BAD))
        key = put(s3, bucket, f"test_run/{run}/1", *told, b"", b"  \t")
        [loaded] = loader.load(bucket, [key])
        count = len(self.BAD)
        assert (loaded.rows, loaded.bad_lines, loaded.state) == (count, count, "loaded")
        assert (loaded.error or "").startswith(f"{count} lines are no rows")
        assert [number for (number,) in rows(clickhouse, run, "row_number")] == list(range(1, 2 * count, 2))
        kept = [(number, reason) for number, reason, _ in errors(clickhouse, bucket)]
        assert kept == [
            (str(2 * index), f"line {2 * index} {reason}") for index, reason in enumerate(self.BAD.values(), start=1)
        ]
        assert errors(clickhouse, bucket)[0][2] == "{"

    def test_a_mended_object_clears_the_record(
        self, s3: S3Client, bucket: str, loader: S3Loader, clickhouse: Client, run: int
    ) -> None:
        key = put(s3, bucket, f"test_run/{run}/1", b"{", self.GOOD)
        assert loader.load(bucket, [key])[0].bad_lines == 1
        again = loader.load(bucket, [key])[0]
        assert (again.state, again.bad_lines, len(errors(clickhouse, bucket))) == ("unchanged", 1, 1)
        put(s3, bucket, key, self.GOOD, self.GOOD)
        assert loader.load(bucket, [key])[0].error is None
        assert errors(clickhouse, bucket) == []

    def test_what_is_kept_is_bounded_and_all_is_counted(
        self, s3: S3Client, bucket: str, loader: S3Loader, clickhouse: Client, run: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(s3_loader, "KEPT_BAD_LINES", 3)
        monkeypatch.setattr(s3_loader, "KEPT_LINE_CHARACTERS", 10)
        key = put(s3, bucket, f"test_run/{run}/1", *[b"[" + b"\xc3\xa9" * 40] * 7, self.GOOD)
        assert loader.load(bucket, [key])[0].bad_lines == 7
        assert [record for _, _, record in errors(clickhouse, bucket)] == ["[" + "é" * 9] * 3


class TestHostileObjects:
    WHOLE = gzip.compress(lines(*({"name": f"t{n}"} for n in range(50_000))))

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            (WHOLE[: len(WHOLE) // 2], "inflate failed"),
            (WHOLE[:-4], "inflate failed"),
            (WHOLE[:100] + b"\xff" * 20 + WHOLE[120:], "inflate failed"),
            (b'{"name": "not gzip"}\n', "inflate failed"),
        ],
        ids=["half", "no-end", "damaged", "no-gzip"],
    )
    def test_a_damaged_object_adds_nothing_and_is_on_record(
        self, s3: S3Client, bucket: str, loader: S3Loader, clickhouse: Client, run: int, body: bytes, said: str
    ) -> None:
        key, good = f"test_run/{run}/1", put(s3, bucket, f"test_run/{run}/2", {"name": "good"})
        s3.put_object(Bucket=bucket, Key=key, Body=body)
        bad, other = loader.load(bucket, [key, good])
        assert (bad.state, bad.rows, other.state, other.rows) == ("failed", 0, "loaded", 1)
        assert said in (bad.error or "")
        assert rows(clickhouse, run, "workflow_run_attempt") == [(2,)]
        [(_, reason, record)] = errors(clickhouse, bucket)
        assert said in reason
        assert json.loads(record) == {"bucket": bucket, "key": key}

    def test_a_bomb_ends_at_its_limit(
        self, s3: S3Client, bucket: str, loader: S3Loader, clickhouse: Client, run: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(s3_loader._SETTINGS, "max_memory_usage", 32 * 1024**2)
        key = f"test_run/{run}/1"
        s3.put_object(Bucket=bucket, Key=key, Body=gzip.compress(b'{"name": "' + b"x" * 100_000_000 + b'"}', 1))
        [loaded] = loader.load(bucket, [key])
        assert loaded.state == "failed"
        assert "memory limit" in (loaded.error or "")
        assert rows(clickhouse, run) == []

    @pytest.mark.parametrize(
        "body", [b"", gzip.compress(b""), gzip.compress(b"\n\n")], ids=["0-bytes", "empty", "blank"]
    )
    def test_an_empty_object_has_no_rows(
        self, s3: S3Client, bucket: str, loader: S3Loader, clickhouse: Client, run: int, body: bytes
    ) -> None:
        key = put(s3, bucket, f"test_run/{run}/1", {"name": "was there"})
        loader.load(bucket, [key])
        s3.put_object(Bucket=bucket, Key=key, Body=body)
        assert loader.load(bucket, [key])[0][2:4] == (0, None)
        assert rows(clickhouse, run, final=False) == []

    def test_several_gzip_members_are_one_file(
        self, s3: S3Client, bucket: str, loader: S3Loader, clickhouse: Client, run: int
    ) -> None:
        s3.put_object(Bucket=bucket, Key=f"test_run/{run}/1", Body=gzip.compress(lines({"name": "a"})) * 2)
        assert loader.load(bucket, [f"test_run/{run}/1"])[0].rows == 2
        assert rows(clickhouse, run, "name, row_number") == [("a", 1), ("a", 2)]

    def test_what_is_not_there_and_what_is_no_key(
        self, bucket: str, loader: S3Loader, clickhouse: Client, run: int
    ) -> None:
        keys = [f"test_run/{run}/1", "test_run/*/1", "test_run/\ud800"]
        outcomes = loader.load(bucket, keys)
        assert [one.state for one in outcomes] == ["failed"] * 3
        assert "404" in (outcomes[0].error or "")
        assert len(errors(clickhouse, bucket)) == 3


class TestIdempotence:
    def test_the_same_object_again_adds_nothing(
        self, s3: S3Client, bucket: str, loader: S3Loader, clickhouse: Client, run: int
    ) -> None:
        key = put(s3, bucket, f"test_run/{run}/1", *({"name": f"t{n}"} for n in range(100)))
        loader.load(bucket, [key, key])
        before = rows(clickhouse, run, final=False)
        assert len(before) == 100
        for _ in range(2):
            [again] = loader.load(bucket, [key])
            assert (again.state, again.rows, again.error) == ("unchanged", 100, None)
        put(s3, bucket, key, *({"name": f"t{n}"} for n in range(100)))  # published again, byte for byte
        assert loader.load(bucket, [key])[0].state == "unchanged"
        assert rows(clickhouse, run, final=False) == before

    @pytest.mark.parametrize("sizes", [(5, 9), (9, 5), (5, 5), (5, 0, 3)], ids=str)
    def test_a_changed_object_replaces_its_rows(
        self, s3: S3Client, bucket: str, loader: S3Loader, clickhouse: Client, run: int, sizes: tuple[int, ...]
    ) -> None:
        for edition, size in enumerate(sizes):
            key = put(s3, bucket, f"test_run/{run}/1", *({"name": f"{edition}.{n}"} for n in range(size)))
            assert loader.load(bucket, [key])[0].rows == size
            for final in (True, False):
                assert rows(clickhouse, run, "name", final=final) == [(f"{edition}.{n}",) for n in range(size)]

    def test_attempts_and_runs_leave_each_other_alone(
        self, s3: S3Client, bucket: str, loader: S3Loader, clickhouse: Client, run: int
    ) -> None:
        keys = [put(s3, bucket, f"test_run/{run}/{attempt}", {"name": f"a{attempt}"}) for attempt in (1, 2, 11)]
        loader.load(bucket, keys)
        loader.load(bucket, [put(s3, bucket, keys[0], {"name": "new"})])
        assert sorted(rows(clickhouse, run, "name, workflow_run_attempt")) == [("a11", 11), ("a2", 2), ("new", 1)]

    def test_an_object_replaced_while_it_is_loaded_ends_as_the_new_one(
        self, s3: S3Client, bucket: str, clickhouse: Client, source: S3Source, run: int
    ) -> None:
        key = put(s3, bucket, f"test_run/{run}/1", *({"name": "old"} for _ in range(9)))

        replaced: list[int] = []

        def replace(call: int, told: str) -> None:
            if not replaced and told.lstrip().startswith("INSERT INTO default.test_run_s3"):
                replaced.append(call)
                put(s3, bucket, key, {"name": "new"})

        loader = S3Loader(Watched(clickhouse, replace), source)  # type: ignore[arg-type]
        assert loader.load(bucket, [key])[0][2:5] == (1, None, "loaded")
        assert rows(clickhouse, run, "name", final=False) == [("new",)]

    def test_many_loads_of_one_object_at_the_same_time_end_as_one(
        self, s3: S3Client, bucket: str, clickhouse: Client, source: S3Source, stack: Stack, run: int
    ) -> None:
        key = put(s3, bucket, f"test_run/{run}/1", *({"name": f"t{n}"} for n in range(50)))
        gate = threading.Barrier(5)

        def load() -> s3_loader.Loaded:
            client = connect(stack.state["clickhouse_url"])
            gate.wait()
            [loaded] = S3Loader(client, source).load(bucket, [key])
            client.close()
            return loaded

        with ThreadPoolExecutor(5) as pool:
            outcomes = [future.result() for future in [pool.submit(load) for _ in range(5)]]
        assert [(one.rows, one.error) for one in outcomes] == [(50, None)] * 5
        assert rows(clickhouse, run, "name", final=False) == [(f"t{n}",) for n in range(50)]

    def test_a_load_that_was_overtaken_clears_up_after_itself(
        self, s3: S3Client, bucket: str, clickhouse: Client, loader: S3Loader, run: int
    ) -> None:
        """Its rows came late: above the newer object's last line they would stay."""
        key = put(s3, bucket, f"test_run/{run}/1", *({"name": "old"} for _ in range(9)))
        loader.load(bucket, [key])
        query = f"SELECT * FROM default.test_run_s3 WHERE workflow_id = {run}"  # noqa: S608
        late = clickhouse.query(query)
        put(s3, bucket, key, {"name": "new"})
        assert loader.load(bucket, [key])[0].rows == 1
        clickhouse.insert("default.test_run_s3", late.result_rows, column_names=late.column_names)
        assert loader.load(bucket, [key])[0].state == "unchanged"  # as its event is delivered again
        assert rows(clickhouse, run, "name", final=False) == [("new",)]


class Watched:
    """A client that tells each call before it is made."""

    def __init__(self, client: Client, told: Any) -> None:
        self._client = client
        self._told = told
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(first: str, *arguments: Any, **options: Any) -> Any:
            self.calls += 1
            self._told(self.calls, first)
            return method(first, *arguments, **options)

        return call


class Killed(BaseException):
    """The end of the process: nothing handles it."""


class TestCutOff:
    def test_killed_before_any_step_it_ends_right_and_shows_no_row_twice(
        self, s3: S3Client, bucket: str, clickhouse: Client, source: S3Source, run: int
    ) -> None:
        def edition(number: int, size: int) -> None:
            put(s3, bucket, key, *({"name": f"{number}.{n}"} for n in range(size)), b"{")

        key = f"test_run/{run}/1"
        edition(0, 6)
        counting = Watched(clickhouse, lambda *_: None)
        S3Loader(counting, source).load(bucket, [key])  # type: ignore[arg-type]
        assert counting.calls > 8
        for step in range(1, counting.calls + 4):  # a reload has a few steps more
            edition(step, size := 3 + step % 4)

            def die(call: int, _told: str, step: int = step) -> None:
                if call == step:
                    raise Killed

            try:
                S3Loader(Watched(clickhouse, die), source).load(bucket, [key])  # type: ignore[arg-type]
            except Killed:
                numbers = [number for (number,) in rows(clickhouse, run, "row_number")]
                assert len(numbers) == len(set(numbers)) <= 6
            S3Loader(clickhouse, source).load(bucket, [key])  # the event is delivered again
            assert rows(clickhouse, run, "name", final=False) == [(f"{step}.{n}",) for n in range(size)]
            assert len(errors(clickhouse, bucket)) == 1

    def test_a_process_killed_while_clickhouse_inserts(
        self, s3: S3Client, bucket: str, clickhouse: Client, loader: S3Loader, stack: Stack, run: int
    ) -> None:
        size = 60_000
        key = put(s3, bucket, f"test_run/{run}/1", *({"name": f"t{n}", "classname": "x" * 50} for n in range(size)))
        state = "SELECT state FROM default.oot_s3_loads FINAL WHERE bucket = {bucket: String}"
        for _ in range(3):
            with start(stack, "--bucket", bucket, key, "--force") as started:
                wait_for(
                    lambda: clickhouse.query(state, parameters={"bucket": bucket}).result_rows == [("loading",)],
                    "a load",
                    alive=lambda: started.poll() is None,
                )
                os.kill(started.pid, signal.SIGKILL)
                started.communicate()
        [loaded] = loader.load(bucket, [key])
        assert (loaded.rows, loaded.error) == (size, None)
        totals = "SELECT count(), uniqExact(row_number), uniqExact(name), max(row_number) FROM default.test_run_s3 FINAL WHERE workflow_id = "  # noqa: E501
        assert clickhouse.query(f"{totals}{run}").result_rows == [(size,) * 4]


class TestAway:
    def test_s3_away_is_to_be_tried_again(
        self, clickhouse: Client, bucket: str, run: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(s3_loader._SETTINGS, "s3_retry_attempts", 1)
        source = S3Source("http://127.0.0.1:9", "environment", keys=lambda: ("AKIAKIAKI", "wJalrXUtnFEMI"))
        [loaded] = S3Loader(clickhouse, source).load(bucket, [f"test_run/{run}/1"])
        assert (loaded.state, loaded.rows) == ("unavailable", 0)
        [(_, reason, record)] = errors(clickhouse, bucket)
        assert "Connection refused" in reason
        assert "wJalr" not in f"{loaded}{reason}{record}"

    def test_clickhouse_away_is_to_be_tried_again(
        self, clickhouse: Client, source: S3Source, bucket: str, run: int
    ) -> None:
        def away(_call: int, _told: str) -> None:
            raise OperationalError("away")

        [loaded] = S3Loader(Watched(clickhouse, away), source).load(bucket, [f"test_run/{run}/1"])  # type: ignore[arg-type]
        assert (loaded.state, loaded.error) == ("unavailable", "away")

    def test_somebody_elses_table_is_left_alone(
        self, s3: S3Client, bucket: str, clickhouse: Client, loader: S3Loader, run: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        table = f"default.theirs_{uuid.uuid4().hex}"
        clickhouse.command(f"CREATE TABLE {table} (name String) ENGINE = MergeTree ORDER BY name")
        key = put(s3, bucket, f"test_run/{run}/1", {"name": "a"})
        monkeypatch.setattr(s3_loader, "parse_key", lambda *place: parse_key(*place)._replace(table=table))
        [loaded] = loader.load(bucket, [key])
        clickhouse.command(f"DROP TABLE {table}")
        assert loaded.state == "failed"
        assert "it is not this project's" in (loaded.error or "")


class TestHandler:
    def queued(self, *places: tuple[str, str]) -> dict[str, Any]:
        def body(bucket: str, key: str) -> str:
            told = {"bucket": {"name": bucket}, "object": {"key": key}}
            return json.dumps({"Records": [{"eventName": "ObjectCreated:Put", "s3": told}]})

        return {
            "Records": [
                {"eventSource": "aws:sqs", "messageId": f"m{number}", "body": body(*place)}
                for number, place in enumerate(places)
            ]
        }

    def test_what_was_loaded_or_never_can_be_is_done(
        self, s3: S3Client, bucket: str, loader: S3Loader, clickhouse: Client, run: int
    ) -> None:
        key = put(s3, bucket, f"test_run/{run}/1", {"name": "a"})
        missing = f"test_run/{run}/2"
        event = self.queued((bucket, key), (bucket, missing), (bucket, "manifest/1/1"), (bucket, key))
        event["Records"].append({"eventSource": "aws:sqs", "messageId": "m9", "body": "no event"})
        assert s3_to_clickhouse.handle(loader, event) == {"batchItemFailures": [{"itemIdentifier": "m9"}]}
        with pytest.raises(s3_to_clickhouse.UnavailableError, match="not an event of S3"):
            s3_to_clickhouse.handle(loader, {"what": "ever"})
        assert rows(clickhouse, run, "name", final=False) == [("a",)]
        assert len(errors(clickhouse, bucket)) == 1  # the missing one; a manifest is none of ours

    def test_what_could_not_be_loaded_now_is_delivered_again(
        self, s3: S3Client, bucket: str, clickhouse: Client, source: S3Source, run: int
    ) -> None:
        keys = [put(s3, bucket, f"test_run/{run}/{attempt}", {"name": "a"}) for attempt in (1, 2, 3)]

        def away(_call: int, told: str) -> None:
            if f"{run}/2'" in told:
                raise OperationalError("away")

        loader = S3Loader(Watched(clickhouse, away), source)  # type: ignore[arg-type]
        answer = s3_to_clickhouse.handle(loader, self.queued(*((bucket, key) for key in keys)))
        assert answer == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
        assert rows(clickhouse, run, "workflow_run_attempt") == [(1,), (3,)]
        alone = json.loads(self.queued((bucket, keys[1]))["Records"][0]["body"])
        with pytest.raises(s3_to_clickhouse.UnavailableError, match="away"):
            s3_to_clickhouse.handle(loader, alone)

    def test_the_entry_point_makes_its_loader_once(
        self, s3: S3Client, bucket: str, stack: Stack, clickhouse: Client, run: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in environment(stack).items():
            monkeypatch.setenv(name, value)
        key = put(s3, bucket, f"test_run/{run}/1", {"name": "a"})
        for _ in range(2):
            assert aws_lambda.stats_handler(self.queued((bucket, key)), Context()) == {"batchItemFailures": []}
        assert aws_lambda._loader.cache_info().misses == 1
        aws_lambda._loader()._client.close()
        aws_lambda._loader.cache_clear()
        assert rows(clickhouse, run, "name", final=False) == [("a",)]


def environment(stack: Stack) -> dict[str, str]:
    return {
        "CLICKHOUSE_URL": stack.state["clickhouse_url"],
        "AWS_ENDPOINT_URL": stack.state["aws_endpoint_url"],
        "AWS_ACCESS_KEY_ID": "AKIALOCALLOCAL",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def start(stack: Stack, *arguments: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """Start the command as a user would."""
    return running(
        [sys.executable, "-m", "oot_ops", "load", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment(stack)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


class TestCommand:
    def command(self, monkeypatch: pytest.MonkeyPatch, stack: Stack, *arguments: str, **more: str) -> int:
        for name, value in {**environment(stack), **more}.items():
            monkeypatch.setenv(name, value)
        return main(["load", *arguments])

    def test_keys_from_stdin(self, s3: S3Client, bucket: str, stack: Stack, clickhouse: Client, run: int) -> None:
        keys = [put(s3, bucket, f"{prefix}/{run}/1", {"name": "a"}) for prefix in TABLES]
        with start(stack, "--bucket", bucket, "-") as command:
            out, err = command.communicate("\n".join([*keys, "", keys[0]]))
        assert out.endswith("\n3 objects: 3 loaded; 3 rows loaded\n"), err
        for table in TABLES.values():
            assert len(rows(clickhouse, run, table=table)) == 1

    def test_a_prefix_an_event_and_a_dry_run(
        self,
        s3: S3Client,
        bucket: str,
        stack: Stack,
        clickhouse: Client,
        run: int,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        tmp_path: Path,
    ) -> None:
        keys = [put(s3, bucket, f"test_run/{run}/{attempt}", {"name": "a"}) for attempt in (1, 2)]
        put(s3, bucket, f"test_run_summary/{run}/1", {"tests": 1})
        assert self.command(monkeypatch, stack, "--bucket", bucket, "--prefix", "test_run/", "--dry-run") == 0
        assert capsys.readouterr().out.splitlines() == [
            *(f"s3://{bucket}/{key}" for key in keys),
            "2 objects would be loaded",
        ]
        assert rows(clickhouse, run) == []
        told = {"bucket": {"name": bucket}, "object": {"key": keys[0].replace("/", "%2F")}}
        (tmp_path / "event.json").write_text(json.dumps({"Records": [{"eventName": "ObjectCreated:Put", "s3": told}]}))
        assert self.command(monkeypatch, stack, "--event", str(tmp_path / "event.json")) == 0
        assert self.command(monkeypatch, stack, "--bucket", bucket, "--prefix", f"test_run/{run}/") == 0
        out = capsys.readouterr().out
        assert out.endswith("2 objects: 1 loaded, 1 unchanged; 1 rows loaded\n")
        assert self.command(monkeypatch, stack, "--bucket", bucket, "--prefix", "test_run/77/") == 0
        assert capsys.readouterr().out == "0 objects: nothing to do; 0 rows loaded\n"
        assert len(rows(clickhouse, run)) == 2

    def test_what_failed_is_told_kept_and_replayed(
        self,
        s3: S3Client,
        bucket: str,
        stack: Stack,
        clickhouse: Client,
        run: int,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        key = f"test_run/{run}/1"
        assert self.command(monkeypatch, stack, "--bucket", bucket, key) == 1
        said = capsys.readouterr()
        assert said.out.startswith("failed ")
        assert "404" in said.out
        assert "wJalr" not in said.out + said.err
        put(s3, bucket, key, {"name": "a"})
        replayed = S3Loader.to_replay
        monkeypatch.setattr(S3Loader, "to_replay", lambda self: [one for one in replayed(self) if one[0] == bucket])
        assert self.command(monkeypatch, stack, "--replay") == 0
        assert errors(clickhouse, bucket) == []
        assert len(rows(clickhouse, run)) == 1
        assert self.command(monkeypatch, stack, "--replay") == 0
        assert capsys.readouterr().out.endswith("0 objects: nothing to do; 0 rows loaded\n")

    @pytest.mark.parametrize(
        ("arguments", "more", "said"),
        [
            (("--bucket", "b-b", "test_run/1/1"), {"CLICKHOUSE_URL": "http://127.0.0.1:9"}, "127.0.0.1"),
            (("--bucket", "b-b", "test_run/1/1"), {"S3_CREDENTIALS": "x"}, "S3_CREDENTIALS is `server`"),
            (("--bucket", "b-b", "--prefix", "x/"), {}, "'x/' is not <test_run_summary"),
            (("--event", "none.json"), {}, "No such file"),
        ],
        ids=["clickhouse", "credentials", "prefix", "file"],
    )
    def test_what_is_wrong_is_told_in_words(
        self,
        stack: Stack,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        arguments: tuple[str, ...],
        more: dict[str, str],
        said: str,
    ) -> None:
        assert self.command(monkeypatch, stack, *arguments, **more) == 1
        told = capsys.readouterr()
        assert said in told.err
        assert told.err.startswith("load: ")
        assert "Traceback" not in told.err

    @pytest.mark.parametrize(
        "arguments", [(), ("test_run/1/1",), ("--prefix", "test_run/"), ("--replay", "a")], ids=str
    )
    def test_a_wrong_call_is_told(
        self, stack: Stack, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
    ) -> None:
        with pytest.raises(SystemExit) as ended:
            self.command(monkeypatch, stack, *arguments)
        assert ended.value.code == 2


def test_rows_land_in_the_order_of_their_lines(
    s3: S3Client, bucket: str, stack: Stack, source: S3Source, run: int
) -> None:
    """More lines than a block holds: each keeps its number."""
    size = 200_000
    key = put(s3, bucket, f"test_run_summary/{run}/1", *({"tests": number} for number in range(1, size + 1)))
    client = connect(stack.state["clickhouse_url"])
    [loaded] = S3Loader(client, source).load(bucket, [key])
    query = "SELECT count(), countIf(tests != row_number) FROM default.test_run_summary WHERE workflow_id = "
    found = client.query(f"{query}{run}").result_rows
    client.close()
    assert (loaded.rows, found) == (size, [(size, 0)])
