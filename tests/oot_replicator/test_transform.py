"""From a stream record to a row: every DynamoDB type, every wrong value, versions, times and tombstones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hud_endpoint.clickhouse.ddl import Column
from hud_endpoint.contract import RelayPayload
from hud_endpoint.record import Rank, to_write
from hud_endpoint.results.sameness import attribute as as_attribute
from oot_replicator.rows.casts import EPOCH, PoisonError, cell
from oot_replicator.rows.transform import DERIVED, Transform, scanned
from tests.hud_endpoint.strategies import PAYLOADS
from tests.oot_replicator.records import COLUMNS, CREATED, CREATED_MS, ITEM, record

NAMES = [column.name for column in COLUMNS]
DIGITS = {column.name: int(column.type[11]) for column in COLUMNS if column.type.startswith("DateTime64")}
LIFE = (3 * 3600 + 2 * 60 + 2) * 5 * 10**13  # of ITEM, first seen at 03:02:02
transform = Transform(COLUMNS)


def row(told: dict[str, Any], statuses: tuple[str, ...] = ("completed",)) -> dict[str, Any] | None:
    """Give the row by name, its times as times."""
    values = Transform(COLUMNS, statuses).row(told)
    if values is None:
        return None
    named = dict(zip(NAMES, values, strict=True))
    return named | {name: time_of(named[name], digits) for name, digits in DIGITS.items()}


def time_of(ticks: int, digits: int) -> datetime:
    assert type(ticks) is int
    return EPOCH + timedelta(microseconds=ticks * 10**6 // 10**digits)


def made(told: dict[str, Any]) -> dict[str, Any]:
    found = row(told)
    assert found is not None
    return found


def poison(told: dict[str, Any]) -> str:
    with pytest.raises(PoisonError) as caught:
        transform.row(told)
    return str(caught.value)


def time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_whole_item() -> None:
    found = made(record())
    as_it_is = ITEM.keys() & set(NAMES) - {"started_at", "completed_at", "first_seen"}
    assert {name: found[name] for name in as_it_is} == {name: ITEM[name] for name in as_it_is}
    assert found["started_at"] == time("2026-05-04T03:02:01+00:00")
    assert found["completed_at"] == time("2026-05-04T03:32:01+00:00")
    assert found["first_seen"] == time("2026-05-04T03:02:02.5+00:00")


@pytest.mark.parametrize(
    ("attribute", "text"),
    [
        ({"S": "x"}, "x"),
        ({"S": ""}, ""),
        ({"S": "nan"}, "nan"),  # a name, not a number
        ({"N": "5"}, "5"),
        ({"N": "1.50"}, "1.50"),
        ({"N": "1E+30"}, "1000000000000000000000000000000"),
        ({"N": "12345678901234567890123456789012345678"}, "12345678901234567890123456789012345678"),
        ({"N": "0.1"}, "0.1"),
        ({"BOOL": True}, "true"),
        ({"NULL": True}, ""),
        ({"N": "-0.000000000000000000000000000000000012345"}, "-0.000000000000000000000000000000000012345"),
        ({"B": b"bytes \xff"}, "Ynl0ZXMg/w=="),
        ({"B": b""}, ""),
        ({"SS": ["b", "a"]}, '["a", "b"]'),
        ({"NS": ["10", "2", "1.5", "-3"]}, "[-3, 1.5, 2, 10]"),
        ({"BS": [b"b", b"a"]}, '["YQ==", "Yg=="]'),
        ({"L": [{"N": "1"}, {"S": "é"}, {"NULL": True}]}, '[1, "é", null]'),
        (
            {"L": [{"N": "12345678901234567890123456789012345678"}, {"B": b"\0"}]},
            '[12345678901234567890123456789012345678, "AA=="]',
        ),
        ({"M": {"b": {"N": "1"}, "a": {"L": []}}}, '{"a": [], "b": 1}'),
        ({"M": {'"': {"M": {"x": {"BOOL": False}}}}}, '{"\\"": {"x": false}}'),
    ],
    ids=str,
)
def test_every_dynamodb_type_has_a_text(attribute: dict[str, Any], text: str) -> None:
    assert made(record(raw={"environment": attribute}))["environment"] == text


@pytest.mark.parametrize(
    ("name", "attribute", "value"),
    [
        ("pr_number", {"N": "18446744073709551615"}, 2**64 - 1),
        ("pr_number", {"N": "1E+3"}, 1000),
        ("pr_number", {"N": "7.0"}, 7),
        ("pr_number", {"S": "7"}, 7),  # what CRCR's clients send as text
        ("pr_number", {"NULL": True}, 0),
        ("run_attempt", {"N": "4294967295"}, 2**32 - 1),
        ("run_attempt", {"NULL": True}, 1),
        ("queue_time", {"N": "12.25"}, 12.25),
        ("queue_time", {"S": "12.25"}, 12.25),
        ("queue_time", {"NULL": True}, None),
        ("dispatch_verified", {"BOOL": False}, False),
        ("dispatch_verified", {"NULL": True}, False),
        ("first_seen", {"S": "2026-05-04T05:02:02+02:00"}, time("2026-05-04T03:02:02+00:00")),
        ("first_seen", {"S": "2026-05-04T03:02:02"}, time("2026-05-04T03:02:02+00:00")),
        ("conclusion", {"NULL": True}, ""),
    ],
    ids=str,
)
def test_what_columns_take(name: str, attribute: dict[str, Any], value: Any) -> None:
    assert made(record(raw={name: attribute}))[name] == value


@pytest.mark.parametrize(
    ("column", "default"),
    [
        (Column("x", "String", ""), ""),
        (Column("x", "LowCardinality(String)", "'pull_request'"), "pull_request"),
        (Column("x", "UInt32", "1"), 1),
        (Column("x", "UInt64", ""), 0),
        (Column("x", "Nullable(Float64)", ""), None),
        (Column("x", "Bool", "true"), True),
        (Column("x", "Bool", ""), False),
        (Column("x", "DateTime64(9, 'UTC')", ""), 0),
        (Column("x", "Int32", "-7"), -7),
        (Column("x", "LowCardinality(Nullable(String))", ""), None),
        (Column("x", "Nullable(DateTime)", ""), None),
    ],
)
def test_what_a_missing_value_becomes(column: Column, default: Any) -> None:
    assert Transform([column]).row(record()) == [default]
    assert Transform([column]).row(record(raw={"x": {"NULL": True}})) == [default]


def test_a_column_of_an_unknown_type_is_said_at_the_start() -> None:
    with pytest.raises(ValueError, match="no cast for the column type Array"):
        Transform([Column("x", "Array(String)", "")])


@pytest.mark.parametrize("default", ["now64(3)", "1 +", "lower(status)"])
def test_a_default_that_only_the_server_can_compute_is_said_at_the_start(default: str) -> None:
    with pytest.raises(ValueError, match="DEFAULT of column x is no constant"):
        Transform([Column("x", "String", default)])


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        (
            "pr_number",
            [{"N": "-1"}, {"N": "1.5"}, {"N": "18446744073709551616"}, {"S": "x"}, {"S": "1.0"}, {"S": "\u0667"}],
        ),
        ("pr_number", [{"BOOL": True}, {"L": []}, {"M": {}}, {"SS": ["1"]}, {"N": "1E+100"}]),
        ("run_attempt", [{"N": "4294967296"}, {"N": "-1"}, {"S": ""}]),
        ("queue_time", [{"S": "nan"}, {"S": "inf"}, {"S": "soon"}, {"BOOL": True}, {"L": []}]),
        ("dispatch_verified", [{"N": "1"}, {"S": "true"}, {"L": []}]),
        ("first_seen", [{"S": "yesterday"}, {"N": "1777863721"}, {"S": "1969-12-31T23:59:59Z"}, {"BOOL": True}]),
        (
            "started_at",
            [{"S": "yesterday"}, {"S": "2262-01-01T00:00:00Z"}, {"S": "0001-01-01T00:00:00+14:00"}, {"M": {}}],
        ),
        ("completed_at", [{"S": "2026-02-30T00:00:00Z"}, {"S": "9999-12-31T23:59:59-14:00"}]),
        ("revision", [{"S": "x"}, {"L": []}, {"BOOL": True}, {"S": "2"}]),
        ("environment", [{"N": "1" * 60}, {"N": "NaN"}, {"X": "?"}, {}, "text", {"S": "\ud800"}, {"B": "text"}]),
        ("environment", [{"L": [{"S": "\ud800"}]}, {"L": [{"X": 1}]}, {"M": {"\ud800": {"N": "1"}}}, {"NS": ["x"]}]),
        ("conclusion", [{"S": "\ud800"}, {"S": None}, {"S": 7}, {"SS": [1]}]),
    ],
)
def test_a_wrong_value_is_poison_that_names_its_column(name: str, wrong: list[Any]) -> None:
    for attribute in wrong:
        told = poison(record(raw={name: attribute}))
        assert told.startswith(f"{name} = "), told
        assert len(told) < 300


def test_poison_is_told_in_short() -> None:
    assert len(poison(record(first_seen="x" * 10_000))) < 300


@pytest.mark.parametrize("name", ["dynamoKey", "status", "downstream_repo"])
@pytest.mark.parametrize("value", [None, ""])
def test_what_a_row_needs(name: str, value: str | None) -> None:
    changes: dict[str, Any] = {name: value}
    assert poison(record(**changes)) == f"{name} is missing"


@pytest.mark.parametrize("event", ["INSERT", "MODIFY", "REMOVE"])
def test_a_record_without_an_image_is_poison(event: str) -> None:
    told = record(event=event)
    told["dynamodb"] = {"Keys": told["dynamodb"]["Keys"], "SequenceNumber": "1"}
    assert "NEW_AND_OLD_IMAGES" in poison(told)


@pytest.mark.parametrize(
    ("statuses", "status", "replicated"),
    [
        (("completed",), "completed", True),
        (("completed",), "in_progress", False),
        (("in_progress", "completed"), "in_progress", True),
        (("completed",), "queued", False),
    ],
)
def test_which_statuses_are_replicated(statuses: tuple[str, ...], status: str, replicated: bool) -> None:  # noqa: FBT001 - a column
    assert (row(record(status=status), statuses) is not None) is replicated


class TestRemovals:
    def test_dynamodbs_own_expiry_deletes_no_history(self) -> None:
        told = record(event="REMOVE")
        told["userIdentity"] = {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}
        assert row(told) is None

    @pytest.mark.parametrize("identity", [None, {}, {"PrincipalId": "arn:aws:iam::1:user/x", "Type": "User"}])
    def test_any_other_removal_is_a_tombstone(self, identity: dict[str, str] | None) -> None:
        told = record(event="REMOVE") | {"userIdentity": identity}
        found = made(told)
        assert found["is_deleted"] == 1
        assert (found["dynamoKey"], found["first_seen"]) == (ITEM["dynamoKey"], made(record())["first_seen"])

    def test_a_tombstone_outranks_every_state(self) -> None:
        tombstone = made(record(event="REMOVE", revision=1))["version"]
        assert tombstone > made(record(revision=10**9))["version"]
        assert tombstone > made(record(revision=None, created=datetime(2200, 1, 1, tzinfo=UTC)))["version"]

    def test_an_item_of_crcrs_hud_is_outranked_by_its_own_removal(self) -> None:
        later = datetime(2026, 5, 4, 3, 41, tzinfo=UTC)
        before, after = record(revision=None), record(event="REMOVE", revision=None, created=later)
        assert made(after)["version"] > made(before)["version"]


class TestVersions:
    @pytest.mark.parametrize(
        ("changes", "version"),
        [
            ({"status": "in_progress", "revision": 1}, 1 * 10**13 + 1),
            ({"origin": "sweeper", "revision": 2}, 2 * 10**13 + 2),
            ({"origin": "job", "revision": 3}, 3 * 10**13 + 3),
            ({"origin": "deferred", "revision": 3}, 3 * 10**13 + 3),
            ({"origin": None, "revision": 3}, 3 * 10**13 + 3),
            ({"revision": None}, CREATED_MS + 3),
            ({"status": "in_progress", "revision": None}, CREATED_MS + 1),
        ],
        ids=str,
    )
    def test_a_version_is_rank_then_revision(self, changes: dict[str, Any], version: int) -> None:
        found = row(record(**changes), ("in_progress", "completed"))
        assert found is not None
        assert found["version"] == version + (LIFE if changes["revision"] else 0)

    def test_a_sweepers_end_with_many_revisions_yields_to_the_real_one(self) -> None:
        swept, real = made(record(origin="sweeper", revision=10**9)), made(record(revision=1))
        assert real["version"] > swept["version"]

    def test_ours_outrank_those_of_crcrs_hud(self) -> None:
        late = datetime(2200, 1, 1, tzinfo=UTC)
        found = row(record(status="in_progress", revision=1), ("in_progress",))
        assert found is not None
        assert found["version"] > made(record(revision=None, created=late))["version"]

    @pytest.mark.parametrize("revision", [Decimal("1E+30"), 10**13, -1, Decimal("1.5")])
    def test_a_revision_that_would_reach_the_next_rank_is_poison(self, revision: int | Decimal) -> None:
        assert poison(record(revision=revision)).startswith("revision = ")

    def test_the_highest_version_fits_its_column(self) -> None:
        last = record(event="REMOVE", revision=10**13 - 1, first_seen="2026-05-04T23:59:59.999999Z")
        assert made(last)["version"] < 2**63


class TestLives:
    """An item that was deleted and reported anew starts again at revision 1, with a first_seen of its own."""

    FIRST, SECOND = "2026-05-04T03:02:02.5Z", "2026-05-04T03:02:03.1Z"

    def version(self, first_seen: str, **changes: Any) -> int:
        return int(made(record(first_seen=first_seen, **changes))["version"])

    def test_a_report_after_the_deletion_counts(self) -> None:
        tombstone = self.version(self.FIRST, event="REMOVE", revision=10**12)
        assert self.version(self.SECOND, revision=1, origin="sweeper") > tombstone

    def test_a_late_copy_of_the_deleted_report_stays_dead(self) -> None:
        """The outbox keeps `received_at`, which becomes first_seen."""
        tombstone = self.version(self.FIRST, event="REMOVE", revision=2)
        assert self.version(self.FIRST, revision=1) < tombstone

    def test_the_first_life_replayed_changes_nothing(self) -> None:
        second = self.version(self.SECOND, revision=1)
        for replayed in (record(revision=3), record(event="REMOVE", revision=3)):
            assert made(replayed)["version"] < second


class TestScannedItems:
    """What comes from the table itself: the same row as from the stream."""

    READ_AT = datetime(2026, 5, 4, 12, tzinfo=UTC)

    def row(self, **changes: Any) -> dict[str, Any]:
        values = transform.item_row(record(**changes)["dynamodb"]["NewImage"], self.READ_AT)
        assert values is not None
        return dict(zip(NAMES, values, strict=True))

    def test_it_is_the_row_of_the_last_write(self) -> None:
        assert list(self.row().values()) == transform.row(record())

    def test_a_running_job_has_none(self) -> None:
        assert transform.item_row(record(status="in_progress")["dynamodb"]["NewImage"], self.READ_AT) is None

    @pytest.mark.parametrize(
        ("written", "newer"),
        [
            (READ_AT - timedelta(hours=1), False),
            (READ_AT - timedelta(minutes=1, seconds=1), False),
            (READ_AT.replace(microsecond=0), True),  # rounded down to the second
            (READ_AT + timedelta(hours=1), True),
        ],
    )
    def test_without_a_revision_it_never_beats_a_later_write(self, written: datetime, newer: bool) -> None:  # noqa: FBT001
        scanned_version = self.row(revision=None)["version"]
        assert (made(record(revision=None, created=written))["version"] > scanned_version) is newer

    def test_without_any_time_only_the_stream_can_place_it(self) -> None:
        bare = record(first_seen=None, started_at=None, completed_at=None)["dynamodb"]["NewImage"]
        with pytest.raises(PoisonError, match="only the stream knows"):
            transform.item_row(bare, self.READ_AT)

    def test_a_batch_of_them(self) -> None:
        told = [scanned(record(dynamoKey=f"k{n}")["dynamodb"]["NewImage"], self.READ_AT) for n in range(3)]
        assert [found["dynamodb"]["Keys"] for found in transform.rows(told).records] == [
            {"dynamoKey": {"S": f"k{n}"}} for n in range(3)
        ]


ATTRIBUTES = st.one_of(
    st.builds(
        lambda value: {"S": value}, st.sampled_from(["", "7", "x", "é", "\ud800", "2026-05-04T03:02:02Z", "nan"])
    ),
    st.builds(lambda value: {"N": value}, st.sampled_from(["0", "-1", "7", "1.5", "1E+3", "18446744073709551616"])),
    st.sampled_from([{"NULL": True}, {"BOOL": True}, {"B": b"\xff"}, {"L": [{"N": "1"}]}, {"X": 1}, {}, {"SS": ["a"]}]),
)
RECORDS = st.builds(
    lambda raw, event, status: record(raw=raw, event=event, status=status),
    st.dictionaries(st.sampled_from([*NAMES, "revision"]), ATTRIBUTES, max_size=3),
    st.sampled_from(["INSERT", "MODIFY", "REMOVE"]),
    st.sampled_from(["completed", "completed", "completed", "in_progress"]),
)


@given(st.lists(RECORDS, max_size=8))
def test_a_batch_is_its_records_one_by_one(told: list[dict[str, Any]]) -> None:
    """The fast way and the strict one are the same way, and nobody pays for a neighbour."""
    rows, kept, dead = [], [], []
    for one in told:
        try:
            values = transform.row(one)
        except PoisonError as error:
            dead.append((id(one), str(error)))
        else:
            if values is not None:
                rows.append(values)
                kept.append(id(one))
    made = transform.rows(told)
    for column, values in zip(COLUMNS, made.columns, strict=True):
        if column.name not in DERIVED:
            strict = [
                cell(column).one(one["dynamodb"].get("NewImage") or one["dynamodb"]["OldImage"]) for one in made.records
            ]
            assert values == strict
    assert [list(values) for values in zip(*made.columns, strict=True)] == rows
    assert [id(one) for one in made.records] == kept
    assert sorted((id(one), reason) for one, reason in made.dead) == sorted(dead)


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 1000])
def test_batches_of_any_size_keep_their_order(count: int) -> None:
    told = [record(dynamoKey=f"k{n}", pr_number=-1 if n % 100 == 99 else n) for n in range(count)]
    made = transform.rows(told)
    good = [n for n in range(count) if n % 100 != 99]
    assert made.columns[NAMES.index("pr_number")] == good
    assert made.columns[NAMES.index("dynamoKey")] == [f"k{n}" for n in good]
    assert len(made.dead) == count - len(good)


@pytest.mark.parametrize(
    "told", [{}, {"dynamodb": None, "eventName": "MODIFY"}, {"eventName": "MODIFY"}, {"dynamodb": 7}]
)
def test_what_is_no_stream_record_is_poison(told: dict[str, Any]) -> None:
    with pytest.raises(PoisonError, match="no record of a DynamoDB stream"):
        transform.row(told)


class TestTimes:
    SEEN = time("2026-05-04T03:02:02.5+00:00")

    @pytest.mark.parametrize(
        ("changes", "started", "completed", "estimated"),
        [
            ({}, "2026-05-04T03:02:01+00:00", "2026-05-04T03:32:01+00:00", False),
            ({"started_at": None}, "2026-05-04T03:02:02.5+00:00", "2026-05-04T03:32:01+00:00", True),
            ({"started_at": ""}, "2026-05-04T03:02:02.5+00:00", "2026-05-04T03:32:01+00:00", True),
            ({"completed_at": None}, "2026-05-04T03:02:01+00:00", "2026-05-04T03:02:02.5+00:00", True),
            (
                {"started_at": None, "completed_at": None},
                "2026-05-04T03:02:02.5+00:00",
                "2026-05-04T03:02:02.5+00:00",
                True,
            ),
            # The clock of a reporter that starts later than it ends says nothing of a duration.
            ({"started_at": "2026-05-04T04:00:00Z"}, "2026-05-04T04:00:00+00:00", "2026-05-04T03:32:01+00:00", True),
            # A nightly reports once, after its end: the fallback start never lies behind the end.
            (
                {"started_at": None, "completed_at": "2026-05-04T01:00:00Z"},
                "2026-05-04T01:00:00+00:00",
                "2026-05-04T01:00:00+00:00",
                True,
            ),
        ],
    )
    def test_fallbacks_are_flagged(
        self,
        changes: dict[str, Any],
        started: str,
        completed: str,
        estimated: bool,  # noqa: FBT001 - a column
    ) -> None:
        found = made(record(**changes))
        assert (found["started_at"], found["completed_at"]) == (time(started), time(completed))
        assert found["times_estimated"] is estimated

    @pytest.mark.parametrize(
        ("changes", "first_seen"),
        [
            ({}, "2026-05-04T03:02:02.5+00:00"),
            ({"first_seen": None}, "2026-05-04T03:02:01+00:00"),
            ({"first_seen": None, "started_at": None}, "2026-05-04T03:32:01+00:00"),
            ({"first_seen": None, "started_at": None, "completed_at": None}, CREATED.isoformat()),
        ],
    )
    def test_items_of_crcrs_hud_get_a_first_seen(self, changes: dict[str, Any], first_seen: str) -> None:
        assert made(record(**changes))["first_seen"] == time(first_seen)

    def test_a_running_job_has_no_end(self) -> None:
        found = row(record(status="in_progress", completed_at=None), ("in_progress",))
        assert found is not None
        assert (found["completed_at"], found["times_estimated"]) == (EPOCH, False)

    def test_what_the_sweeper_ended_has_no_duration(self) -> None:
        """It ended the job hours after the job had fallen silent."""
        assert made(record(origin="sweeper"))["times_estimated"] is True
        assert made(record())["times_estimated"] is False

    def test_a_record_without_a_time_of_its_own_is_no_poison(self) -> None:
        bare = record(created=None, revision=None, first_seen=None, started_at=None, completed_at=None)
        assert (made(bare)["version"], made(bare)["first_seen"]) == (3, EPOCH)


@given(PAYLOADS)
def test_whatever_hud_can_write_becomes_a_row(told: dict[str, Any]) -> None:
    write = to_write(RelayPayload.model_validate(told), now=CREATED, retention_days=100)
    image = {name: as_attribute(value) for name, value in (write.opening | write.fields).items()}
    image["first_seen"] = {"S": write.first_seen.isoformat()}
    image |= {"dynamoKey": {"S": write.key}, "revision": {"N": "1"}, "expires_at": {"N": str(write.expires_at)}}
    found = row(record({}, raw=image), ("in_progress", "completed"))
    assert found is not None
    assert found["dynamoKey"] == write.key
    assert found["version"] // 10**13 % 5 == write.rank
    assert found["first_seen"] == write.first_seen.replace(microsecond=write.first_seen.microsecond // 1000 * 1000)
    assert (write.rank is Rank.IN_PROGRESS) == (found["conclusion"] == "")
    for name, value in write.fields.items():
        if name in NAMES and name not in ("started_at", "completed_at"):
            assert found[name] == value, name
