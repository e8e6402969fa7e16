"""Where records go that can never become rows: a ClickHouse table, or an SQS queue, with the reason and all to replay.

A dead letter is identified by its source, its key and its place in the stream: the same one again is the same letter.
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from botocore.exceptions import ClientError

from oot_replicator.rows import records

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from clickhouse_connect.driver.client import Client

log = logging.getLogger(__name__)

TABLE = "default.oot_replication_errors"
SOURCE = "dynamodb-stream"
PAGE = 500
_INVISIBLE_SECONDS = 60  # longer than a page takes
QUEUE_BYTES = 256 * 1024 - 1024  # what every queue takes; a larger letter goes to the table


class DeadLetter(NamedTuple):
    """One record and why it has no row; `record` is JSON in the form of Lambda's events."""

    source: str
    record_id: str
    sequence_number: str
    reason: str
    record: str

    def to_json(self) -> str:
        """The letter as a message of a queue."""
        return json.dumps(self._asdict())

    @classmethod
    def from_json(cls, text: str) -> DeadLetter:
        """Read a message of a queue. Raises ValueError for what is no dead letter."""
        told = json.loads(text)
        if not isinstance(told, dict) or not all(isinstance(told.get(name), str) for name in cls._fields):
            raise ValueError("not a dead letter")
        return cls(*(told[name] for name in cls._fields))

    def replayed(self) -> dict[str, Any]:
        """The record again, as a writer takes it. Raises ValueError."""
        told = json.loads(self.record)
        if not isinstance(told, dict):
            raise ValueError("not a record")  # noqa: TRY004 - JSON of the wrong shape, as from_json has it
        return records.from_event(told)


class DeadLetters(Protocol):
    """A place for dead letters."""

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Keep the letters durably; raises what its store raises while that is away."""


def letter(record: Mapping[str, Any], reason: str) -> DeadLetter:
    """Give the dead letter of a stream record."""
    told = json.dumps(records.to_event(record), default=str)
    return DeadLetter(SOURCE, *map(_utf8, (records.key(record), records.sequence_number(record), reason[:1000], told)))


class Table:
    """The ClickHouse table; it replaces, so the same letter twice is one."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Keep the letters."""
        _tell(letters)
        self._client.insert(
            TABLE, letters, column_names=list(DeadLetter._fields), settings={"wait_for_async_insert": 1}
        )

    def pages(self) -> Iterator[list[DeadLetter]]:
        """Give all letters, a page at a time, in the order of the table; pages may be removed meanwhile."""
        last = ("", "", "")
        while True:
            found = self._client.query(
                f"SELECT {', '.join(DeadLetter._fields)} FROM {TABLE} FINAL "  # noqa: S608 - our own names
                "WHERE (source, record_id, sequence_number) > {last: Tuple(String, String, String)} "
                "ORDER BY source, record_id, sequence_number LIMIT {page: UInt32}",
                parameters={"last": last, "page": PAGE},
            )
            letters = [DeadLetter(*map(str, row)) for row in found.result_rows]
            if not letters:
                return
            yield letters
            last = letters[-1][:3]

    def remove(self, letters: Sequence[DeadLetter]) -> None:
        """Forget the letters."""
        if letters:
            self._client.command(
                f"DELETE FROM {TABLE} WHERE (source, record_id, sequence_number) "  # noqa: S608 - our own name
                "IN {letters: Array(Tuple(String, String, String))}",
                parameters={"letters": [one[:3] for one in letters]},
            )


class Queue:
    """An SQS queue; what it can't take goes to the table."""

    def __init__(self, sqs: Any, url: str, table: Table) -> None:  # noqa: ANN401 - a boto3 client without stubs here
        self._sqs = sqs
        self._url = url
        self._table = table

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Keep the letters."""
        bodies = [(one, one.to_json()) for one in letters]
        if large := [one for one, body in bodies if len(body) > QUEUE_BYTES]:
            self._table.bury(large)
        small = [(one, body) for one, body in bodies if len(body) <= QUEUE_BYTES]
        _tell([one for one, _ in small])
        for _, body in small:
            self._sqs.send_message(QueueUrl=self._url, MessageBody=body)


class QueueReader:
    """Reads the queue again. What is not removed is visible again afterwards; killed, it leaves that to the queue."""

    def __init__(self, sqs: Any, url: str) -> None:  # noqa: ANN401 - a boto3 client without stubs here
        self._sqs = sqs
        self._url = url
        self._receipts: dict[DeadLetter, list[str]] = {}
        self._held: set[str] = set()

    def pages(self) -> Iterator[list[DeadLetter]]:
        """Give the letters that are visible, as the queue hands them out; other messages are left where they are."""
        try:
            yield from self._pages()
        finally:
            for receipt in self._held:
                with suppress(ClientError):  # it took so long that it is visible already
                    self._sqs.change_message_visibility(QueueUrl=self._url, ReceiptHandle=receipt, VisibilityTimeout=0)

    def _pages(self) -> Iterator[list[DeadLetter]]:
        while True:
            answer = self._sqs.receive_message(
                QueueUrl=self._url, MaxNumberOfMessages=10, VisibilityTimeout=_INVISIBLE_SECONDS
            )
            if not (messages := answer.get("Messages")):
                return
            self._receipts.clear()
            for message in messages:
                self._held.add(message["ReceiptHandle"])
                try:
                    one = DeadLetter.from_json(message["Body"])
                except ValueError:
                    log.warning("message %s is none of the replicator's: left in the queue", message["MessageId"])
                    continue
                self._receipts.setdefault(one, []).append(message["ReceiptHandle"])
            yield list(self._receipts)

    def remove(self, letters: Sequence[DeadLetter]) -> None:
        """Forget these letters of the last page."""
        for one in letters:
            for receipt in self._receipts[one]:
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=receipt)
                self._held.discard(receipt)


def _tell(letters: Sequence[DeadLetter]) -> None:
    for one in letters:
        about = {"dynamo_key": one.record_id, "sequence_number": one.sequence_number}
        log.error("record %r can't be replicated: %s", one.record_id, one.reason, extra=about)


def _utf8(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
