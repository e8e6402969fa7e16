"""Reads a whole DynamoDB table by parallel segments, page by page, in flat memory and at a pace of one's choice."""

from __future__ import annotations

import queue
import threading
from contextvars import copy_context
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_dynamodb.client import DynamoDBClient

SEGMENTS = 4
MOST_SEGMENTS = 64  # each is a thread with a page of up to 1 MB
_PATIENCE_SECONDS = 0.1


class Page(NamedTuple):
    """Items as DynamoDB had them at `read_at` or later, out of `scanned` ones that were read to find them."""

    items: list[dict[str, Any]]
    scanned: int
    read_at: datetime


class _End(NamedTuple):
    error: Exception | None = None


def pages(
    client: DynamoDBClient,
    table: str,
    *,
    segments: int = SEGMENTS,
    since: datetime | None = None,
    units_per_second: float = 0,
) -> Iterator[Page]:
    """Give the pages of all segments as they come; with `since`, of the items first seen then or later.

    Items without a first_seen (CRCR's HUD writes such) are always among them. `units_per_second` bounds the read
    capacity that is used (0: no bound). Reads are consistent: a page holds every write that was acknowledged before it
    was asked for. Raises what boto3 raises; whoever stops early ends the reading.
    """
    request: dict[str, Any] = {"TableName": table, "TotalSegments": segments, "ConsistentRead": True}
    if since:
        told = since.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        request["FilterExpression"] = "first_seen >= :since OR attribute_not_exists(first_seen)"
        request["ExpressionAttributeValues"] = {":since": {"S": told}}
    reading = _Reading(client, request, seconds_per_unit=segments / units_per_second if units_per_second else 0)
    for segment in range(segments):
        threading.Thread(target=copy_context().run, args=(reading.run, segment), daemon=True).start()
    ended = 0
    try:
        while ended < segments:
            came = reading.arrived.get()
            if isinstance(came, Page):
                yield came
            elif came.error:
                raise came.error
            else:
                ended += 1
    finally:
        reading.stop.set()


class _Reading:
    """What the threads of one scan share; they wait where nobody takes their pages."""

    def __init__(self, client: DynamoDBClient, request: dict[str, Any], *, seconds_per_unit: float) -> None:
        self.arrived: queue.Queue[Page | _End] = queue.Queue(maxsize=request["TotalSegments"])
        self.stop = threading.Event()
        self._client = client
        self._request = request
        self._seconds_per_unit = seconds_per_unit

    def run(self, segment: int) -> None:
        """Read one segment to its end."""
        start: dict[str, Any] = {}
        try:
            while not self.stop.is_set():
                read_at = datetime.now(UTC)
                answer = self._client.scan(Segment=segment, ReturnConsumedCapacity="TOTAL", **self._request, **start)
                self._put(Page(answer["Items"], answer["ScannedCount"], read_at))
                if "LastEvaluatedKey" not in answer:
                    break
                start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
                if self._seconds_per_unit:
                    self.stop.wait(answer["ConsumedCapacity"]["CapacityUnits"] * self._seconds_per_unit)
            self._put(_End())
        except Exception as error:  # noqa: BLE001 - a thread's outermost edge: the reader raises it again
            self._put(_End(error))

    def _put(self, told: Page | _End) -> None:
        while not self.stop.is_set():
            try:
                self.arrived.put(told, timeout=_PATIENCE_SECONDS)
            except queue.Full:
                continue
            break
