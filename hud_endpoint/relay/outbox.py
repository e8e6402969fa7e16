"""What HUD has not taken yet: durable before the answer, retried with backoff for three days, then a dead letter.

An entry leaves the outbox only when HUD has it. What HUD will never take is dead, and kept with its history for 30 days
in which `oot-hud outbox` replays or drops it.
"""

from __future__ import annotations

import gzip
import logging
import time
import uuid
import zlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, Protocol

import orjson

from hud_endpoint.contract import RelayPayload
from hud_endpoint.errors import RefusedError
from hud_endpoint.lenient import read_leniently
from hud_endpoint.logs import bound
from hud_endpoint.record import completion_digest, to_write
from hud_endpoint.relay.due import due_items, due_keys, place, queue_of
from hud_endpoint.relay.forward import Conflicting, Delivered, Refused, Unavailable
from hud_endpoint.relay.job_store import number, store_unavailable
from hud_endpoint.wire_types import cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from types_boto3_dynamodb.client import DynamoDBClient

    from hud_endpoint.relay.forward import Answer

log = logging.getLogger(__name__)

QUEUE, DEAD = "outbox", "dead"
CONFLICT = "conflict"  # the status of an entry that tells HUD of a refused completion
KEEP_TRYING_SECONDS = 3 * 24 * 3600
DEAD_SECONDS = 30 * 24 * 3600
INLINE_SECONDS = 30.0  # nobody else touches a new entry while the request that made it forwards it
LEASE_SECONDS = 60.0
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 10.0, 3600.0
INLINE_BYTES = 300 * 1024  # a larger body, compressed, goes to S3: an item holds 400 KB
HISTORY, WHY_BYTES = 50, 500  # lines, and bytes of each: with the body they must fit into an item


class Bodies(Protocol):
    """Where bodies go that are too large for an item."""

    def put(self, name: str, body: bytes) -> None: ...
    def get(self, name: str) -> bytes: ...
    def delete(self, name: str) -> None: ...


@dataclass(frozen=True)
class Entry:
    """One delivery to HUD; `due_at` and `created_at` are seconds since the epoch, `body` is gzip JSON.

    `stored_apart` says that the body is too large for an item and lies in S3.
    """

    entry_id: str
    key: str
    status: str
    repo: str
    delivery_id: str
    created_at: float
    due_at: float
    body: bytes = b""
    stored_apart: bool = False
    attempts: int = 0
    queue: Literal["outbox", "dead"] = "outbox"
    history: tuple[str, ...] = ()
    retry_from: float | None = None  # when it was replayed; else its three days began with created_at

    def payload(self) -> dict[str, Any]:
        """The `{trusted, untrusted}` payload, as it was accepted."""
        payload: dict[str, Any] = orjson.loads(gzip.decompress(self.body))
        return payload


def new_entry(payload: dict[str, Any], key: str, status: str, now: float) -> Entry:
    """Make the entry of a payload that has just been accepted."""
    delivery_id = str(payload["untrusted"]["callback_payload"]["delivery_id"])
    return _entry_of(payload, key, status, delivery_id, now)


def note_entry(note: dict[str, Any], delivery_id: str, now: float) -> Entry:
    """Make the entry of a conflict note (`contract.ConflictNote`), which the worker delivers."""
    entry = _entry_of(note, note["conflict"]["dynamoKey"], CONFLICT, delivery_id, now)
    return replace(entry, due_at=now)


def _entry_of(payload: dict[str, Any], key: str, status: str, delivery_id: str, now: float) -> Entry:
    body = gzip.compress(orjson.dumps(payload), 6, mtime=0)
    return Entry(
        entry_id=f"{int(now * 1000):013d}-{uuid.uuid4().hex}",  # in the order of time
        key=key,
        status=status,
        repo=payload["trusted"]["verified_repo"],
        delivery_id=delivery_id,
        created_at=now,
        due_at=now + INLINE_SECONDS,
        body=body,
        stored_apart=len(body) > INLINE_BYTES,
    )


def wait_seconds(attempts: int) -> float:
    """Seconds to wait after so many tries: doubled each time, an hour at most."""
    return float(min(FIRST_WAIT_SECONDS * 2 ** min(attempts - 1, 20), LONGEST_WAIT_SECONDS))


class Outbox:
    """The entries, in the relay's table."""

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        bodies: Bodies | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._table = table
        self._bodies = bodies
        self._clock = clock

    def put_item(self, entry: Entry) -> dict[str, Any]:
        """Give the write that makes an entry durable, for the transaction that accepts its callback.

        A body too large for an item is stored in S3 first: without the entry it is garbage that expires there.
        Raises RefusedError `body_too_large` where there is no S3 to store it in, and `store_unavailable`.
        """
        item: dict[str, Any] = {
            "pk": {"S": f"outbox#{entry.entry_id}"},
            "key": {"S": entry.key},
            "status": {"S": entry.status},
            "repo": {"S": entry.repo},
            "delivery_id": {"S": entry.delivery_id},
            "created_at": number(entry.created_at),
            "queue": _place(entry.queue, entry),
            "due_at": number(entry.due_at),
            "attempts": number(entry.attempts),
            "history": {"L": [{"S": line} for line in entry.history]},
        }
        if entry.stored_apart:
            self._store_apart(entry)
            item["stored_apart"] = {"BOOL": True}
        else:
            item["body"] = {"B": entry.body}
        return {"Put": {"TableName": self._table, "Item": item}}

    def _store_apart(self, entry: Entry) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        if self._bodies is None:
            raise RefusedError(
                "body_too_large",
                f"The callback has {len(entry.body):,} bytes even when compressed, and this relay keeps "
                f"{INLINE_BYTES:,}: send fewer test details.",
            )
        try:
            self._bodies.put(entry.entry_id, entry.body)
        except (ClientError, BotoCoreError) as error:
            raise store_unavailable(type(error).__name__) from error

    def settle(self, entry: Entry, answer: Answer, now: float) -> None:
        """Keep what HUD's answer means for the entry. Raises what boto3 raises; the entry is then tried again."""
        if isinstance(answer, Delivered):
            self.drop(entry)
            return
        attempts = entry.attempts + 1
        due_at = now + wait_seconds(attempts)
        dead = (
            isinstance(answer, Refused | Conflicting)
            or due_at - (entry.retry_from or entry.created_at) > KEEP_TRYING_SECONDS
        )
        at, why = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds"), cut(answer.why, WHY_BYTES)
        line = f"{at} attempt {attempts}: {why}"
        values = {
            ":queue": _place(DEAD if dead else QUEUE, entry),
            ":due": number(due_at),
            ":attempts": number(attempts),
            ":history": {"L": [{"S": told} for told in (*entry.history, line)[-HISTORY:]]},
            ":seen": number(entry.attempts),
        }
        expires = ""
        if dead:
            log.error("dead letter %s (%s): %s", entry.entry_id, entry.repo, answer.why)
            expires = ", expires_at = :expires"
            values[":expires"] = number(int(now) + DEAD_SECONDS)
        self._update(
            entry, f"SET queue = :queue, due_at = :due, attempts = :attempts, history = :history{expires}", values
        )

    def drop(self, entry: Entry) -> None:
        """Forget an entry. Raises what boto3 raises."""
        self._client.delete_item(TableName=self._table, Key=_pk(entry.entry_id))
        if entry.stored_apart and self._bodies:
            self._bodies.delete(entry.entry_id)

    def drop_dead(self, entry: Entry) -> bool:
        """Forget a dead letter. Gives False, and forgets nothing, when somebody has just replayed it."""
        try:
            self._client.delete_item(
                TableName=self._table,
                Key=_pk(entry.entry_id),
                ConditionExpression="queue = :dead AND attempts = :seen",
                ExpressionAttributeValues={":dead": _place(DEAD, entry), ":seen": number(entry.attempts)},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        if entry.stored_apart and self._bodies:
            self._bodies.delete(entry.entry_id)
        return True

    def replay(self, entry: Entry, now: float) -> bool:
        """Let an entry be tried now, a dead one too. Gives False when somebody else has just touched it."""
        values = {
            ":queue": _place(QUEUE, entry),
            ":due": number(now),
            ":from": number(now),
            ":seen": number(entry.attempts),
        }
        return self._update(entry, "SET queue = :queue, due_at = :due, retry_from = :from REMOVE expires_at", values)

    def completion(self, entry: Entry) -> str:
        """Return the digest of the completion that an entry holds (`record.completion_digest`), "" for the sweeper's.

        Raises what reading its body raises.
        """
        payload, _, _ = read_leniently(RelayPayload, self.with_body(entry).payload(), ("untrusted", "callback_payload"))
        if payload.trusted.origin == "sweeper":
            return ""
        return completion_digest(to_write(payload, now=datetime.now(UTC), retention_days=1))

    def waiting_completion(self, key: str, accepted_at: float) -> str:
        """Return the digest of a job's completion that was accepted then, and waits here or is dead; "" for none.

        Reads both queues as a whole, so it is for jobs of which nothing else is known. Raises RefusedError
        `store_unavailable`.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            for queue in (QUEUE, DEAD):
                for entry in self.entries(queue):
                    if (entry.key, entry.status, entry.created_at) == (key, "completed", accepted_at):
                        return self.completion(entry)
        except (ClientError, BotoCoreError, OSError, EOFError, ValueError, zlib.error) as error:
            raise store_unavailable(type(error).__name__) from error
        return ""

    def claim(self, entry: Entry, now: float) -> bool:
        """Take an entry for LEASE_SECONDS; False when another worker has it."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=_pk(entry.entry_id),
                UpdateExpression="SET due_at = :lease",
                ConditionExpression="queue = :queue AND due_at = :seen",
                ExpressionAttributeValues={
                    ":lease": number(now + LEASE_SECONDS),
                    ":queue": _place(QUEUE, entry),
                    ":seen": number(entry.due_at),
                },
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def due(self, now: float, limit: int = 100) -> list[Entry]:
        """Give the entries whose time has come, the first due first. Raises what boto3 raises."""
        return [_entry(item) for item in islice(due_items(self._client, self._table, QUEUE, now), limit)]

    def entries(self, queue: str) -> Iterator[Entry]:
        """Give all entries of a queue, the first due first. Raises what boto3 raises."""
        return map(_entry, due_items(self._client, self._table, queue))

    def depth(self, queue: str) -> tuple[int, float | None]:
        """Give how many entries a queue holds, and when its oldest was made. Raises what boto3 raises."""
        ids = [key.removeprefix("outbox#") for key in due_keys(self._client, self._table, queue)]
        return len(ids), int(min(ids).partition("-")[0]) / 1000 if ids else None

    def with_body(self, entry: Entry) -> Entry:
        """Give the entry with its body, fetched from S3 where it is stored apart."""
        if not entry.stored_apart or self._bodies is None:
            return entry
        return Entry(**{**entry.__dict__, "body": self._bodies.get(entry.entry_id)})

    def drain(
        self,
        send: Callable[[dict[str, Any]], Answer],
        on_refused: Callable[[Entry, Refused | Conflicting], None],
        limit: int = 100,
        stopping: Callable[[], bool] = lambda: False,
    ) -> int:
        """Try what is due; gives how many were tried. `on_refused` hears of an entry that HUD will never take.

        Raises what boto3 and `on_refused` raise; the entry at hand is then tried again when its lease ends.
        """
        tried = 0
        for entry in self.due(self._clock(), limit):
            if stopping():
                break
            if not self.claim(entry, self._clock()):
                continue
            with bound(repo=entry.repo, delivery_id=entry.delivery_id):
                answer = self._try(entry, send)
                if isinstance(answer, Refused | Conflicting):
                    on_refused(entry, answer)
                    if entry.status == CONFLICT:
                        log.warning("HUD does not take the note of a second result for %r: %s", entry.key, answer.why)
                        answer = Delivered(duplicate=False)  # an older HUD's; the sender has been told
                self.settle(entry, answer, self._clock())
            tried += 1
        return tried

    def _try(self, entry: Entry, send: Callable[[dict[str, Any]], Answer]) -> Answer:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            payload = self.with_body(entry).payload()
        except (ClientError, BotoCoreError, OSError, EOFError, ValueError, zlib.error) as error:
            log.exception("the body of outbox entry %s can't be read", entry.entry_id)
            return Unavailable(f"its body can't be read ({type(error).__name__})", ours=True)
        return send(payload)

    def _update(self, entry: Entry, expression: str, values: dict[str, Any]) -> bool:
        try:
            self._client.update_item(
                TableName=self._table,
                Key=_pk(entry.entry_id),
                UpdateExpression=expression,
                ConditionExpression="attribute_exists(pk) AND attempts = :seen",
                ExpressionAttributeValues=values,
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False  # another worker has settled it
        return True


def _entry(item: dict[str, Any]) -> Entry:
    return Entry(
        entry_id=item["pk"]["S"].removeprefix("outbox#"),
        key=item["key"]["S"],
        status=item["status"]["S"],
        repo=item["repo"]["S"],
        delivery_id=item["delivery_id"]["S"],
        created_at=float(item["created_at"]["N"]),
        due_at=float(item["due_at"]["N"]),
        body=bytes(item.get("body", {}).get("B", b"")),
        stored_apart=item.get("stored_apart", {}).get("BOOL", False),
        attempts=int(item["attempts"]["N"]),
        queue="dead" if queue_of(item) == DEAD else "outbox",
        history=tuple(line["S"] for line in item.get("history", {}).get("L", [])),
        retry_from=float(item["retry_from"]["N"]) if "retry_from" in item else None,
    )


def _place(queue: str, entry: Entry) -> dict[str, str]:
    return place(queue, f"outbox#{entry.entry_id}")


def _pk(entry_id: str) -> dict[str, Any]:
    return {"pk": {"S": f"outbox#{entry_id}"}}
