"""Rows and dead letters on a real ClickHouse: a bad record is buried alone, its neighbours land, twice is once."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from hud_endpoint.clickhouse.ddl import insert_columns
from oot_replicator.writing import letters, writer
from oot_replicator.writing.writer import Writer, Written
from tests.oot_replicator.records import COLUMNS, record

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
    monkeypatch.setattr(letters, "TABLE", tables.errors)
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


# What no column of a type can hold.
_POISON: dict[str, Any] = {
    "String": {"S": "\ud800"},
    "UInt": {"N": "-1"},
    "Nullable(Float64)": {"S": "soon"},
    "DateTime64": {"S": "yesterday"},
    "Bool": {"N": "1"},
}
_SOURCES = {"version": "revision", "is_deleted": "", "times_estimated": ""}  # derived: of what, if of one thing


def test_poison_of_every_column_among_good_ones(write: Writer, tables: Tables) -> None:
    """Each column's worst value once, each alone among neighbours that land."""
    fields = [(_SOURCES.get(column.name, column.name), column.type) for column in COLUMNS]
    poisonous = {
        name: next(value for kind, value in _POISON.items() if kind in column_type)
        for name, column_type in fields
        if name
    } | {"status": {"N": "1"}}
    batch: list[dict[str, Any]] = []
    for name, attribute in poisonous.items():
        batch += [job(f"good {name}"), job(f"bad {name}")]
        batch[-1]["dynamodb"]["NewImage"][name] = attribute
    assert write.write(batch) == Written(rows=len(poisonous), dead=len(poisonous))
    assert tables.rows().keys() == {f"good {name}" for name in poisonous}
    buried = {dead["record_id"]: dead["reason"] for dead in tables.dead()}
    assert buried.keys() == {f"bad {name}" for name in poisonous}
    assert all(reason.startswith(key.removeprefix("bad ")) for key, reason in buried.items()), buried
    print(f"{len(poisonous)} poisonous records, each of another column: {len(poisonous)} neighbours landed")


def test_a_dead_letter_is_the_whole_record(write: Writer, tables: Tables) -> None:
    told = job("k1", first_seen="x")
    told["dynamodb"]["NewImage"]["blob"] = {"L": [{"B": b"\0\xff"}, {"BS": [b"a"]}]}
    write.write([told])
    [dead] = tables.dead()
    kept = letters.DeadLetter(**{name: dead[name] for name in letters.DeadLetter._fields})
    assert kept.replayed() == told


def test_asynchronous_inserts_are_answered_when_they_are_durable(tables: Tables) -> None:
    columns = insert_columns(tables.client, tables.jobs)
    writer_of_many = Writer(tables.client, columns, ["completed"], asynchronous=True)
    assert writer_of_many.write([job("k1"), job("k2", first_seen="x"), job("k3", pr_number=666)]) == Written(1, 2)
    assert tables.rows() == {"k1": "failure"}
    assert [dead["record_id"] for dead in tables.dead()] == ["k2", "k3"]


def test_an_item_reported_anew_after_its_deletion_is_back(write: Writer, tables: Tables) -> None:
    later = (SEEN + timedelta(seconds=5)).isoformat()
    first = [job("k1", revision=1), job("k1", revision=2), job("k1", event="REMOVE", revision=2)]
    again = [job("k1", revision=1, first_seen=later, conclusion="success")]
    write.write(first + again)
    assert tables.rows() == {"k1": "success"}
    write.write(first)  # yesterday's stream over today's data
    assert tables.rows() == {"k1": "success"}


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


@pytest.mark.parametrize(
    ("kind", "attribute", "value", "default"),
    [
        ("Int64", {"N": "-9223372036854775808"}, "-9223372036854775808", "0"),
        ("Nullable(UInt16)", {"N": "65535"}, "65535", None),
        ("Float32", {"N": "-0.5"}, "-0.5", "0"),
        ("LowCardinality(Nullable(String))", {"S": "é"}, "é", None),
        ("Nullable(Bool)", {"BOOL": True}, "true", None),
        ("DateTime('UTC')", {"S": "2026-05-04T05:02:02.9+02:00"}, "2026-05-04 03:02:02", "1970-01-01 00:00:00"),
        ("Nullable(DateTime64(6, 'UTC'))", {"S": "2026-05-04T03:02:02.000001Z"}, "2026-05-04 03:02:02.000001", None),
    ],
)
def test_columns_that_a_migration_may_add(
    tables: Tables, kind: str, attribute: dict[str, str], value: str, default: str | None
) -> None:
    """Whatever their type; without the field, or with NULL in it, a job has the default."""
    tables.client.command(f"ALTER TABLE {tables.jobs} ADD COLUMN added {kind}")
    batch = [job("with"), job("without"), job("null"), job("poison")]
    for one, given in zip(batch, (attribute, None, {"NULL": True}, {"L": [{"S": "\ud800"}]}), strict=True):
        if given:
            one["dynamodb"]["NewImage"]["added"] = given
    writer_of_all = Writer(tables.client, insert_columns(tables.client, tables.jobs), ["completed"])
    for some in (batch, batch[:3], batch[:1]):  # one by one beside poison, and as a whole column
        assert writer_of_all.write(some).rows == min(len(some), 3)
        found = tables.client.query(f"SELECT dynamoKey, toString(added) FROM {tables.jobs} FINAL")  # noqa: S608 - our own
        assert {str(key): told for key, told in found.result_rows} == {
            "with": value,
            "without": default,
            "null": default,
        }
