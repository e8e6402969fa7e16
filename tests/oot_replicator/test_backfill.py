"""Backfill on real stores: every job of the table once, never over a newer row, as often as one likes."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from boto3.dynamodb.types import TypeSerializer

from hud_endpoint.clickhouse.ddl import insert_columns
from oot_ops.cli import main
from oot_ops.create_tables import dynamodb_tables
from oot_replicator import backfill
from oot_replicator.reading.scan import pages
from oot_replicator.rows.transform import scanned
from oot_replicator.writing.writer import TABLE, Writer, Written
from tests.oot_replicator.records import ITEM, record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from clickhouse_connect.driver.client import Client
    from types_boto3_dynamodb.client import DynamoDBClient

    from oot_local.stack import Stack

NOW = datetime.now(UTC)
_serialize = TypeSerializer().serialize


class Jobs:
    """A table of jobs without a stream, so that nobody but backfill brings them over."""

    def __init__(self, dynamodb: DynamoDBClient, clickhouse: Client) -> None:
        self.name = f"jobs-{uuid.uuid4().hex}"
        self.repo = f"backfill/{uuid.uuid4().hex}"
        self.dynamodb = dynamodb
        self._clickhouse = clickhouse
        schema = {**dynamodb_tables()[0], "TableName": self.name, "StreamSpecification": {"StreamEnabled": False}}
        dynamodb.create_table(**schema)

    def put(self, key: str, **changes: Any) -> None:
        seen = (NOW - timedelta(hours=1)).isoformat()
        times = {"first_seen": seen, "started_at": seen, "completed_at": seen}
        item = {**ITEM, **times, "dynamoKey": f"{self.repo}/{key}", "downstream_repo": self.repo, **changes}
        told: Any = {name: _serialize(value) for name, value in item.items() if value is not None}
        self.dynamodb.put_item(TableName=self.name, Item=told)

    def rows(self) -> dict[str, str]:
        """Conclusions by key."""
        query = f"SELECT dynamoKey, conclusion FROM {TABLE} FINAL WHERE downstream_repo = {{repo: String}}"  # noqa: S608
        found = self._clickhouse.query(query, parameters={"repo": self.repo}).result_rows
        return {str(key).removeprefix(f"{self.repo}/"): str(conclusion) for key, conclusion in found}


@pytest.fixture
def jobs(dynamodb: DynamoDBClient, clickhouse: Client) -> Iterator[Jobs]:
    made = Jobs(dynamodb, clickhouse)
    yield made
    dynamodb.delete_table(TableName=made.name)


@pytest.fixture
def writer(clickhouse: Client) -> Writer:
    return Writer(clickhouse, insert_columns(clickhouse, TABLE), ["completed"])


@pytest.fixture
def command(jobs: Jobs, stack: Stack, aws: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_ENDPOINT_URL", stack.state["aws_endpoint_url"])
    for name in ("region_name", "aws_access_key_id", "aws_secret_access_key"):
        monkeypatch.setenv("AWS_DEFAULT_REGION" if name == "region_name" else name.upper(), aws[name])

    def run(*flags: str, url: str = stack.state["clickhouse_url"]) -> int:
        return main(["backfill", "--table", jobs.name, "--clickhouse-url", url, *flags])

    return run


def test_every_job_of_the_table_and_again(command: Any, jobs: Jobs, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(30):
        jobs.put(f"k{number}")
    jobs.put("running", status="in_progress", conclusion=None)
    jobs.put("poison", started_at="yesterday")
    for _ in range(2):
        assert command("--segments", "3") == 0
        assert jobs.rows() == {f"k{number}": "failure" for number in range(30)}
        assert "32 jobs read, 30 rows written, 1 dead letters" in capsys.readouterr().out


def test_a_dry_run_writes_nothing(command: Any, jobs: Jobs, capsys: pytest.CaptureFixture[str]) -> None:
    jobs.put("k1")
    jobs.put("poison", started_at="yesterday")
    assert command("--dry-run") == 0
    out = capsys.readouterr().out
    assert "2 jobs read, 1 rows would be written, 1 would become dead letters" in out
    assert "started_at = 'yesterday'" in out
    assert jobs.rows() == {}


def test_a_window_leaves_the_older_jobs_out(command: Any, jobs: Jobs) -> None:
    jobs.put("old", first_seen=(NOW - timedelta(days=3)).isoformat().replace("+00:00", "Z"))
    jobs.put("new")
    jobs.put("of crcr's hud", first_seen=None, revision=None)
    assert command("--since", "2d") == 0
    assert jobs.rows().keys() == {"new", "of crcr's hud"}


@pytest.mark.parametrize(
    "flags",
    [
        ["--since", "yesterday"],
        ["--since", "3"],
        ["--segments", "0"],
        ["--segments", "65"],
        ["--units-per-second", "-1"],
        ["--statuses", "complete"],
    ],
    ids=str,
)
def test_a_wrong_flag_is_told(command: Any, flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command(*flags)
    assert flags[1] in capsys.readouterr().err


def test_a_table_that_is_not_there(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--table", "no-such-table") == 1
    assert "backfill: " in capsys.readouterr().err


class TestVersions:
    """What the stream brings, before, meanwhile and later, is never set back."""

    def test_a_newer_row_of_the_stream_stays(self, jobs: Jobs, writer: Writer, dynamodb: DynamoDBClient) -> None:
        jobs.put("k1", revision=2, conclusion="failure")
        [page] = list(pages(dynamodb, jobs.name, segments=1))
        seen = page.items[0]["first_seen"]["S"]
        ids: dict[str, Any] = {"dynamoKey": f"{jobs.repo}/k1", "downstream_repo": jobs.repo, "first_seen": seen}
        writer.write([record(**ids, revision=3, conclusion="success")])
        writer.write([scanned(item, page.read_at) for item in page.items])
        assert jobs.rows() == {"k1": "success"}

    def test_an_older_row_is_replaced(self, command: Any, jobs: Jobs, writer: Writer) -> None:
        jobs.put("k1", revision=3, conclusion="success")
        seen = (NOW - timedelta(hours=1)).isoformat()
        ids: dict[str, Any] = {"dynamoKey": f"{jobs.repo}/k1", "downstream_repo": jobs.repo, "first_seen": seen}
        writer.write([record(**ids, revision=2, origin="sweeper", conclusion="timed_out")])
        assert command() == 0
        assert jobs.rows() == {"k1": "success"}

    @pytest.mark.parametrize(
        ("written", "wins"), [(NOW - timedelta(hours=1), "backfill"), (NOW + timedelta(hours=1), "stream")]
    )
    def test_without_a_revision_the_later_write_wins(
        self, command: Any, jobs: Jobs, writer: Writer, written: datetime, wins: str
    ) -> None:
        """Items of CRCR's HUD: the stream's version is the time of the write, which a scan does not tell."""
        jobs.put("k1", revision=None, first_seen=None, conclusion="backfill")
        seen = (NOW - timedelta(hours=1)).isoformat()
        ids: dict[str, Any] = {"dynamoKey": f"{jobs.repo}/k1", "downstream_repo": jobs.repo, "started_at": seen}
        stream = record(**ids, revision=None, first_seen=None, created=written, conclusion="stream")
        for _ in range(2):  # in either order
            assert command() == 0
            writer.write([stream])
        assert jobs.rows() == {"k1": wins}


class TestPatience:
    class Away:
        """A writer whose ClickHouse is away for a while."""

        def __init__(self, failures: int) -> None:
            self.failures = failures
            self.written: list[int] = []

        def write(self, records: Sequence[Mapping[str, Any]]) -> Written:
            if self.failures:
                self.failures -= 1
                raise ConnectionError("away")
            self.written.append(len(records))
            return Written(len(records), 0)

    def test_it_waits_for_clickhouse(self) -> None:
        waits: list[float] = []
        away = self.Away(failures=8)
        assert backfill.write(away, [{}], waits.append) == Written(1, 0)  # type: ignore[arg-type]
        assert (len(waits), away.written) == (8, [1])
        assert max(waits) <= 10

    def test_not_for_ever(self) -> None:
        waits: list[float] = []
        with pytest.raises(ConnectionError):
            backfill.write(self.Away(failures=10**6), [{}], waits.append)  # type: ignore[arg-type]
        assert 60 < sum(waits) < 600


def test_batches_are_of_many_pages(jobs: Jobs, dynamodb: DynamoDBClient) -> None:
    for number in range(10):
        jobs.put(f"k{number}")
    sizes = [len(batch) for batch in backfill.records(dynamodb, jobs.name, segments=4, batch=1000)]
    assert sizes == [10]
