"""From DynamoDB stream records to ClickHouse rows: pure, strict about every value, and one law for every way in.

Records are as boto3's GetRecords gives them:
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_Record.html. An item from a Scan becomes such
a record by `scanned`, an event of Lambda or a dead letter by `records.from_event`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from oot_replicator.rows.casts import (
    DAYS,
    EPOCH,
    WRONG,
    PoisonError,
    cell,
    extractor,
    poison,
    since,
    ticks,
    time_scale,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from hud_endpoint.clickhouse.ddl import Column

    Record = Mapping[str, Any]
    Image = Mapping[str, Mapping[str, Any]]

__all__ = ["PoisonError", "Rows", "Transform", "scanned", "version"]

RANK_STEP = 10**13  # above every ApproximateCreationDateTime in ms, which is what items without a revision have
TOMBSTONE_RANK = 4
LIFE_STEP = 5 * RANK_STEP
SCANNED = "SCAN"  # the eventName of what came from the table and not from its stream
_SCAN_MARGIN = timedelta(minutes=1)
# What is computed here and never stored in DynamoDB.
DERIVED = ("first_seen", "started_at", "completed_at", "times_estimated", "version", "is_deleted")
_REQUIRED = ("dynamoKey", "status", "downstream_repo")
_TTL_PRINCIPAL = "dynamodb.amazonaws.com"
_NONE = timedelta(0)
_MILLISECOND = timedelta(milliseconds=1)
_REVISION_DIGITS = len(str(RANK_STEP))
_parse_time = datetime.fromisoformat
_BY_THE_SWEEPER = {"S": "sweeper"}
_CHUNK = 256  # records whose values fit a processor's own cache while they are turned from rows to columns


class Rows(NamedTuple):
    """What a batch of records became: values by column, the records that they are of, and who can't become a row."""

    columns: list[list[Any]]
    records: list[Record]
    dead: list[tuple[Record, str]]


class Transform:
    """Turns records into rows of `columns`, for the statuses that are to be replicated.

    Values are what ClickHouse's driver inserts; times are integers in the unit of their column (`casts`).
    """

    def __init__(self, columns: Sequence[Column], statuses: Collection[str] = ("completed",)) -> None:
        self._names = [column.name for column in columns]
        self._cells = [cell(column) for column in columns if column.name not in DERIVED]
        self._extract = extractor(self._cells)
        self._scales = {column.name: time_scale(column.type) for column in columns if column.name in DERIVED}
        self._statuses = frozenset(statuses)

    def row(self, record: Record) -> list[Any] | None:
        """Give the row in the order of the columns, or None for a record that is not to be replicated.

        Raises PoisonError.
        """
        made = self.rows([record])
        if made.dead:
            raise PoisonError(made.dead[0][1])
        return [column[0] for column in made.columns] if made.records else None

    def item_row(self, item: Image, read_at: datetime) -> list[Any] | None:
        """Give the row of an item as Scan or GetItem gave it at `read_at`; see `scanned`. Raises PoisonError."""
        return self.row(scanned(item, read_at))

    def rows(self, records: Sequence[Record]) -> Rows:
        """Give the rows of a batch, by column."""
        made = Rows([[] for _ in self._names], [], [])
        for start in range(0, len(records), _CHUNK):
            self._add(made, records[start : start + _CHUNK])
        return made

    def _add(self, made: Rows, records: Sequence[Record]) -> None:
        kept: list[tuple[Record, Image]] = []
        values: list[tuple[Any, ...]] = []
        derived: list[tuple[Any, ...]] = []
        for record in records:
            try:
                image = self._image(record)
                if image is None:
                    continue
                derived_here = _derive(image, record)
                try:
                    values.append(self._extract(image.get))
                except WRONG:
                    values.append(tuple(one.one(image) for one in self._cells))
            except PoisonError as error:
                made.dead.append((record, str(error)))
            else:
                derived.append(derived_here)
                kept.append((record, image))
        if not kept:
            return
        columns, wrong = self._by_column(values, [image for _, image in kept])
        for name, column in zip(DERIVED, zip(*derived, strict=True), strict=True):
            scale = self._scales.get(name)
            columns[name] = column if scale is None else ticks(column, scale)
        if wrong:
            made.dead.extend((kept[index][0], reason) for index, reason in sorted(wrong.items()))
        good = [index for index in range(len(kept)) if index not in wrong]
        for name, target in zip(self._names, made.columns, strict=True):
            target.extend([columns[name][index] for index in good] if wrong else columns[name])
        made.records.extend(kept[index][0] for index in good)

    def _by_column(
        self, values: Sequence[tuple[Any, ...]], images: Sequence[Image]
    ) -> tuple[dict[str, Sequence[Any]], dict[int, str]]:
        """Give the cast values of each cell, and what is wrong with which of the images."""
        columns: dict[str, Sequence[Any]] = {}
        wrong: dict[int, str] = {}
        for one, column in zip(self._cells, zip(*values, strict=True), strict=True):
            try:
                columns[one.name] = one.many(column)
            except WRONG:
                found = []
                for index, image in enumerate(images):
                    try:
                        found.append(one.one(image))
                    except PoisonError as error:
                        found.append(one.default)
                        wrong.setdefault(index, str(error))
                columns[one.name] = found
        return columns, wrong

    def _image(self, record: Record) -> Image | None:
        """Give the image that a row is made of, None for a record that is not to be replicated."""
        try:
            change, event = record["dynamodb"], record["eventName"]
            removed = event == "REMOVE"
            if removed and (record.get("userIdentity") or {}).get("PrincipalId") == _TTL_PRINCIPAL:
                return None  # DynamoDB forgets old items; history stays
            image: Image | None = change.get("OldImage" if removed else "NewImage")
        except WRONG:
            raise PoisonError("this is no record of a DynamoDB stream") from None
        if not image:
            raise PoisonError("the record has no image: the stream's view type must be NEW_AND_OLD_IMAGES")
        try:
            if image["dynamoKey"]["S"] and image["downstream_repo"]["S"] and (status := image["status"]["S"]):
                return image if status in self._statuses else None
        except WRONG:
            pass
        raise PoisonError(f"{_missing(image)} is missing")


def scanned(item: Image, read_at: datetime) -> dict[str, Any]:
    """Give an item of the table, read at `read_at`, as a record.

    An item without a revision (CRCR's HUD writes such) takes the time of its write as version, and only the stream
    knows that. A minute before it was read stands in: later than whatever had been replicated by then, and earlier than
    any write to come, whose time DynamoDB rounds down to the second, for clocks that differ by less than that minute.
    """
    return {
        "eventName": SCANNED,
        "dynamodb": {
            "ApproximateCreationDateTime": read_at - _SCAN_MARGIN,
            "Keys": {"dynamoKey": item.get("dynamoKey", {"S": ""})},
            "NewImage": item,
        },
    }


def version(first_seen: timedelta, rank: int, revision: int) -> int:
    """Give the version of a row: the item's life, then its rank, then its revision.

    Within a life, rank and revision only grow, so a replay brings no old state back, and a tombstone, at the highest
    rank, is the last word. An item that was deleted and then reported anew (a new `first_seen`, from revision 1 on)
    lives again; a late copy of the deleted report carries the old `first_seen` and stays dead. Lives are told apart by
    the second of the day, because the day itself is part of the table's sorting key.

    One thing no version can tell: CRCR's HUD, writing over an ended item of ours, leaves its revision as it was. Of the
    two ends, the last to arrive is shown.
    """
    return first_seen.seconds * LIFE_STEP + rank * RANK_STEP + revision


def _derive(image: Image, record: Record) -> tuple[timedelta, timedelta, timedelta, bool, int, int]:
    """Give the DERIVED values; times as what has passed since 1970. Raises PoisonError."""
    started_at = _time(image, "started_at")
    completed_at = _time(image, "completed_at")
    first_seen = _time(image, "first_seen")
    # Items written by others have no first_seen; what stands in for it must not change between their two writes.
    seen = first_seen or started_at or completed_at or _written_at(record, image)
    completed = image["status"]["S"] == "completed"
    removed = record["eventName"] == "REMOVE"
    # The sweeper's time of completion is its own, hours after the job fell silent.
    swept = image.get("origin") == _BY_THE_SWEEPER
    rank = TOMBSTONE_RANK if removed else 1 if not completed else 2 if swept else 3
    revision = image.get("revision")
    if revision is None or "NULL" in revision:
        # The stream's times are of whole seconds: within one, the rank tells a job's start from its end.
        found = _written_at(record) // _MILLISECOND + rank
    else:
        found = version(seen, rank, _revision(revision))
    if not completed:
        return seen, started_at or seen, completed_at or _NONE, not started_at, found, int(removed)
    end = completed_at or seen
    estimated = swept or not started_at or not completed_at or completed_at < started_at
    return seen, started_at or min(seen, end), end, estimated, found, int(removed)


def _time(image: Image, name: str) -> timedelta | None:
    """Give a time of the image; an empty one is none. Raises PoisonError for what is not a time."""
    attribute = image.get(name)
    if attribute is None:
        return None
    try:
        passed = _parse_time(attribute["S"]) - EPOCH
        if 0 <= passed.days < DAYS:
            return passed  # the usual, without another call
    except WRONG:
        pass
    try:
        text = attribute.get("S")
        return None if text == "" or "NULL" in attribute else since(text)
    except WRONG as error:
        raise poison(name, attribute, error) from None


def _revision(attribute: Mapping[str, Any]) -> int:
    text = attribute.get("N") if isinstance(attribute, dict) else None
    if not (isinstance(text, str) and text.isascii() and text.isdecimal() and len(text) < _REVISION_DIGITS):
        raise poison("revision", attribute, "not a number of writes")
    return int(text)


def _written_at(record: Record, image: Image | None = None) -> timedelta:
    """Give when DynamoDB took the write, as what has passed since 1970, nothing when the record does not say so."""
    if image and record["eventName"] == SCANNED:
        raise PoisonError("first_seen, started_at and completed_at are missing: only the stream knows when it was")
    told = record["dynamodb"].get("ApproximateCreationDateTime")
    return told - EPOCH if isinstance(told, datetime) else _NONE


def _missing(image: Image) -> str:
    for name in _REQUIRED:
        attribute = image.get(name)
        if not isinstance(attribute, dict) or not attribute.get("S"):
            return name
    return "status"
