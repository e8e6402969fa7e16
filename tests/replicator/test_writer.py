"""Rows and dead letters on a real ClickHouse: a bad record is buried alone, its neighbours land, twice is once."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from hud_endpoint.clickhouse.ddl import insert_columns
from scripts.replicator import writer
from scripts.replicator.writer import Writer, Written
from tests.replicator.records import COLUMNS, record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clickhouse_connect.driver.client import Client

SEEN = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)  # what is older than the retention would expire


class Tables:
    """A job table that refuses pull request 666, and an errors table; both the test's own."""

    def __init__(self, client: Client) -> None:
        self.client = client
        suffix = uuid.uuid4().hex
        self.jobs, self.errors = f"default.jobs_{suffix}", f"default.errors_{suffix}"
        client.command(f"CREATE TABLE {self.jobs} AS default.oot_workflow_job")
        client.command(f"ALTER TABLE {self.jobs} ADD CONSTRAINT no_beasts CHECK pr_number != 666")
        client.command(f"CREATE TABLE {self.errors} AS default.oot_replication_errors")

    def rows(self) -> dict[str, str]:
        """Conclusions by key."""
        found = self.client.query(f"SELECT dynamoKey, conclusion FROM {self.jobs} FINAL ORDER BY dynamoKey")  # noqa: S608 - our own name
        return {str(key): str(conclusion) for key, conclusion in found.result_rows}

    def dead(self) -> list[dict[str, Any]]:
        return list(self.client.query(f"SELECT * FROM {self.errors} FINAL ORDER BY record_id").named_results())  # noqa: S608 - our own name

    def drop(self) -> None:
        for table in (self.jobs, self.errors):
            self.client.command(f"DROP TABLE {table}")


@pytest.fixture
def tables(clickhouse: Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tables]:
    tables = Tables(clickhouse)
    monkeypatch.setattr(writer, "TABLE", tables.jobs)
    monkeypatch.setattr(writer, "ERRORS_TABLE", tables.errors)
    yield tables
    tables.drop()


@pytest.fixture
def write(tables: Tables) -> Writer:
    return Writer(tables.client, insert_columns(tables.client, tables.jobs), ["completed"])


def job(key: str, **changes: Any) -> dict[str, Any]:
    times = {"first_seen": SEEN.isoformat(), "started_at": SEEN.isoformat(), "completed_at": SEEN.isoformat()}
    return record(dynamoKey=key, sequence_number=f"number-{key}", **times | changes)


def test_the_columns_are_those_of_the_transforms_tests(clickhouse: Client) -> None:
    assert set(insert_columns(clickhouse, "default.oot_workflow_job")) == set(COLUMNS)


def test_a_batch_lands(write: Writer, tables: Tables) -> None:
    batch = [job(f"k{number}") for number in range(5)] + [job("running", status="in_progress")]
    assert write.write(batch) == Written(rows=5, dead=0)
    assert tables.rows() == {f"k{number}": "failure" for number in range(5)}


def test_a_batch_of_nothing_to_replicate(write: Writer, tables: Tables) -> None:
    assert write.write([job("running", status="in_progress")]) == Written(0, 0)
    assert write.write([]) == Written(0, 0)
    assert tables.rows() == {}


@pytest.mark.parametrize(
    ("poison", "reason"),
    [
        ({"first_seen": "yesterday"}, "first_seen = 'yesterday'"),
        ({"pr_number": -1}, "pr_number = '-1'"),
        ({"revision": "x"}, "revision = 'x'"),
        ({"environment": "\ud800"}, "environment = "),
        ({"pr_number": 666}, "no_beasts"),  # only the server knows
    ],
    ids=["time", "number", "revision", "surrogate", "server"],
)
@pytest.mark.parametrize("place", [0, 4, 8])
def test_a_poisonous_record_is_buried_alone(
    write: Writer, tables: Tables, poison: dict[str, Any], reason: str, place: int
) -> None:
    batch = [job(f"k{number}", **poison if number == place else {}) for number in range(9)]
    assert write.write(batch) == Written(rows=8, dead=1)
    assert tables.rows() == {f"k{number}": "failure" for number in range(9) if number != place}
    [dead] = tables.dead()
    assert (dead["source"], dead["record_id"], dead["sequence_number"]) == (
        "dynamodb-stream",
        f"k{place}",
        f"number-k{place}",
    )
    assert reason in dead["reason"]
    assert json.loads(dead["record"])["dynamodb"]["NewImage"]["dynamoKey"] == {"S": f"k{place}"}  # to replay it


def test_a_batch_of_nothing_but_poison(write: Writer, tables: Tables) -> None:
    batch = [job(f"k{number}", pr_number=666) for number in range(5)] + [job("k5", first_seen="x")]
    assert write.write(batch) == Written(rows=0, dead=6)
    assert [dead["record_id"] for dead in tables.dead()] == [f"k{number}" for number in range(6)]


def test_a_key_that_utf8_has_not_is_buried_as_well(write: Writer, tables: Tables) -> None:
    assert write.write([job("k1"), job("bad\ud800"), job("k2")]) == Written(rows=2, dead=1)
    assert tables.rows().keys() == {"k1", "k2"}
    assert len(tables.dead()) == 1


def test_twice_is_once(write: Writer, tables: Tables) -> None:
    batch = [job("k1"), job("k2", pr_number=666), job("k3", revision="x")]
    for _ in range(2):
        assert write.write(batch) == Written(rows=1, dead=2)
    assert tables.rows() == {"k1": "failure"}
    assert [dead["record_id"] for dead in tables.dead()] == ["k2", "k3"]


def test_a_late_batch_brings_no_old_state_back(write: Writer, tables: Tables) -> None:
    write.write([job("k1", revision=3, conclusion="success")])
    write.write([job("k1", revision=1, origin="sweeper", conclusion="timed_out"), job("k1", revision=2)])
    assert tables.rows() == {"k1": "success"}


def test_a_removed_item_vanishes_and_stays_so(write: Writer, tables: Tables) -> None:
    removal = job("k1", event="REMOVE")
    write.write([job("k1"), job("k2"), removal])
    assert tables.rows() == {"k2": "failure"}
    write.write([job("k1")])  # replayed
    assert tables.rows() == {"k2": "failure"}


def test_a_table_that_is_away_is_waited_for(write: Writer, tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "TABLE", "default.no_such_table")
    with pytest.raises(OperationalError, match="UNKNOWN_TABLE"):
        write.write([job("k1")])
    assert tables.dead() == []


@pytest.mark.parametrize(
    ("error", "blamed"),
    [
        ("code: 53, server response: Code: 53. DB::Exception: … (TYPE_MISMATCH)", True),
        ("code: 6, server response: Code: 6. DB::Exception: … (CANNOT_PARSE_TEXT)", True),
        ("code: 469, server response: … (VIOLATED_CONSTRAINT)", True),
        ("code: 241, server response: … (MEMORY_LIMIT_EXCEEDED)", False),
        ("code: 252, server response: … (TOO_MANY_PARTS)", False),
        ("code: 242, server response: … (TABLE_IS_READ_ONLY)", False),
        ("code: 999, server response: … (KEEPER_EXCEPTION)", False),
        ("code: 497, server response: … (ACCESS_DENIED)", False),
        ("code: 202, server response: … the value was '(TYPE_MISMATCH)' (TOO_MANY_SIMULTANEOUS_QUERIES)", False),
        ("HTTP driver returned response code 502", False),
    ],
)
def test_only_what_blames_a_value_is_quarantined(error: str, blamed: bool) -> None:  # noqa: FBT001 - a column
    assert writer._blames_a_value(DatabaseError(f"Received ClickHouse exception, {error}")) is blamed
