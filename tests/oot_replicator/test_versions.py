"""The law of versions: whatever is replayed, in whatever order, the newest state of each item is what ClickHouse shows.

A model of the table (the highest version of each sorting key, of equal ones the last that came) takes the records that
random histories leave in the stream: our HUD's writes under the law of the merge, those of CRCR's HUD, which sets
fields and knows no revision, deletions by hand, and expiry.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from hypothesis import example, given
from hypothesis import strategies as st

from oot_replicator.rows.transform import Transform, scanned
from tests.oot_replicator.records import COLUMNS, record

NAMES = [column.name for column in COLUMNS]
START = datetime(2026, 5, 4, 12, tzinfo=UTC)
BOTH = ("in_progress", "completed")  # as the merged RFC-0054 replicates
_RANKS = {"in_progress": 1, "swept": 2, "completed": 3}


class Step(NamedTuple):
    """What happens, after how many seconds."""

    what: str
    after: float


class Item:
    """One item of the DynamoDB table, its stream, and what a scan would have read after each step."""

    def __init__(self, steps: list[Step], statuses: tuple[str, ...] = BOTH) -> None:
        self.statuses = statuses
        self.now = START
        self.item: dict[str, Any] | None = None
        self.stream: list[dict[str, Any]] = []
        self.scans: list[dict[str, Any]] = []
        self.shown: dict[Any, str] = {}  # the result of each life that ClickHouse is to show, by its first_seen
        for number, step in enumerate(steps):
            self.now += timedelta(seconds=step.after)
            getattr(self, f"_{step.what}")(f"result-{number}")
            self._scan()

    def _scan(self) -> None:
        if self.item:
            self.scans.append(scanned(record({}, **self.item)["dynamodb"]["NewImage"], self.now))

    def _ours(self, state: str, conclusion: str) -> None:
        item = dict(self.item or {})
        stored = "swept" if item.get("origin") == "sweeper" else item.get("status", "")
        if stored and _RANKS[state] <= _RANKS[stored]:
            return
        status = "in_progress" if state == "in_progress" else "completed"
        item |= {"dynamoKey": "k", "downstream_repo": "o/r", "status": status, "conclusion": conclusion}
        item |= {"origin": "sweeper" if state == "swept" else "job", "revision": item.get("revision", 0) + 1}
        item.setdefault("first_seen", self.now.isoformat())
        if state == "in_progress":
            item["started_at"] = self.now.isoformat()
        self._put(item)

    def _in_progress(self, conclusion: str) -> None:
        self._ours("in_progress", conclusion)

    def _swept(self, conclusion: str) -> None:
        self._ours("swept", conclusion)

    def _completed(self, conclusion: str) -> None:
        self._ours("completed", conclusion)

    def _late_field(self, _conclusion: str) -> None:
        """A late in_progress of ours fills what only it knows."""
        if self.item and "revision" in self.item:
            self._put(self.item | {"queue_time": 1, "revision": self.item["revision"] + 1})

    def _crcr_in_progress(self, conclusion: str) -> None:
        if not self.item and not self._tombstone_of_ours():  # its relay sends no start after an end
            started = {"started_at": self.now.isoformat(), "conclusion": conclusion}
            self._put({"dynamoKey": "k", "downstream_repo": "o/r", "status": "in_progress", **started})

    def _crcr_completed(self, conclusion: str) -> None:
        old = self.item or {"dynamoKey": "k", "downstream_repo": "o/r", "started_at": self.now.isoformat()}
        if self._tombstone_of_ours() or ("revision" in old and old["status"] == "completed"):
            return  # what it writes there can't be told from what it wrote over: nothing of it grows
        self._put(old | {"status": "completed", "conclusion": conclusion})

    def _tombstone_of_ours(self) -> bool:
        return not self.item and any("revision" in told["dynamodb"].get("OldImage", {}) for told in self.stream)

    def _deleted(self, _conclusion: str) -> None:
        self._remove(by_ttl=False)

    def _expired(self, _conclusion: str) -> None:
        self._remove(by_ttl=True)

    def _put(self, item: dict[str, Any]) -> None:
        self.item = item
        self.stream.append(self._record("MODIFY", item))
        if item["status"] in self.statuses:
            self.shown[_life(item)] = item["conclusion"]

    def _remove(self, *, by_ttl: bool) -> None:
        if not self.item:
            return
        removal = self._record("REMOVE", self.item)
        if by_ttl:
            removal["userIdentity"] = {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}
        else:
            self.shown.pop(_life(self.item), None)
        self.stream.append(removal)
        self.item = None

    def _record(self, event: str, item: dict[str, Any]) -> dict[str, Any]:
        return record({}, event=event, created=self.now.replace(microsecond=0), **item)


def _life(item: dict[str, Any]) -> str:
    """The sorting key that its row has, the key itself aside."""
    return str(item.get("first_seen") or item["started_at"])[:10]


class Table:
    """`ReplacingMergeTree(version, is_deleted)` under FINAL."""

    def __init__(self, statuses: tuple[str, ...]) -> None:
        self._transform = Transform(COLUMNS, statuses)
        self._rows: dict[str, dict[str, Any]] = {}

    def insert(self, told: dict[str, Any]) -> None:
        values = self._transform.row(told)
        if values is None:
            return
        row = dict(zip(NAMES, values, strict=True))
        assert 0 <= row["version"] < 2**63
        day = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=row["first_seen"])).date().isoformat()
        if day not in self._rows or row["version"] >= self._rows[day]["version"]:
            self._rows[day] = row

    def shown(self) -> dict[str, str]:
        return {day: row["conclusion"] for day, row in self._rows.items() if not row["is_deleted"]}


# Whole lives an odd time apart, some over midnight and into another day; a second life may be in the next second.
AFTER = st.sampled_from([1.0, 1.7, 59.0, 3600.25, 11.9 * 3600, 43_199.9999, 86_400.0, 86_399.0])
OURS = st.sampled_from(["in_progress", "swept", "completed", "late_field", "deleted", "expired"])
CRCRS = st.sampled_from(["crcr_in_progress", "crcr_completed", "deleted"])
REPLAYS = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), max_size=6)


def steps(kinds: st.SearchStrategy[str]) -> st.SearchStrategy[list[Step]]:
    return st.lists(st.builds(Step, kinds, AFTER), max_size=12)


def check(item: Item, replays: list[tuple[int, int]]) -> None:
    """Bring the stream, then replay any parts of it, and what scans had read, in any order."""
    table = Table(item.statuses)
    for told in item.stream:
        table.insert(told)
    assert table.shown() == item.shown
    for start, count in replays:
        for told in item.stream[start : start + count] + item.scans[start : start + count]:
            table.insert(told)
        assert table.shown() == item.shown


@given(steps(OURS), REPLAYS)
@example([Step("completed", 0.2), Step("deleted", 0.2), Step("swept", 0.7)], [(0, 1), (1, 1)])
@example([Step("completed", 43_199.9999), Step("deleted", 1), Step("completed", 1)], [(0, 2)])
def test_what_our_hud_wrote(told: list[Step], replays: list[tuple[int, int]]) -> None:
    check(Item(told), replays)


@given(steps(CRCRS), REPLAYS)
@example([Step("crcr_in_progress", 1), Step("crcr_completed", 0.1), Step("deleted", 0.1)], [(0, 1), (1, 1)])
def test_what_crcrs_hud_wrote(told: list[Step], replays: list[tuple[int, int]]) -> None:
    check(Item(told), replays)


@given(steps(OURS | CRCRS), REPLAYS)
@example([Step("crcr_in_progress", 1), Step("completed", 86_400)], [(0, 2)])
@example([Step("in_progress", 1), Step("crcr_completed", 86_400), Step("late_field", 1)], [(0, 2)])
def test_what_both_wrote(told: list[Step], replays: list[tuple[int, int]]) -> None:
    check(Item(told, ("completed",)), replays)
