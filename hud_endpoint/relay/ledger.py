"""The relay's memory of what it accepted: one read, one transaction, and nothing is acknowledged before it is durable.

A callback's token binding, its job's step and its outbox entry are written by one TransactWriteItems, on condition that
job and token still are what was read. So a write that fails leaves no trace that would make the client's retry look
like a duplicate, and of any number of equal callbacks at once exactly one takes the step.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hud_endpoint.errors import RefusedError
from hud_endpoint.relay.due import due_items, place
from hud_endpoint.relay.lifecycle import Job

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_dynamodb.client import DynamoDBClient

    from hud_endpoint.wire_types import Status

RUNNING_QUEUE = "running"
KEEP_SECONDS = 14 * 24 * 3600


@dataclass(frozen=True)
class JobRecord:
    """A job as stored: `revision` guards its next write, `opening` is its in_progress payload, for the sweeper."""

    key: str
    job: Job = field(default_factory=Job)
    revision: int = 0
    opening: bytes = b""


@dataclass(frozen=True)
class TokenRecord:
    """What a token has been used for: one body a status of one job."""

    token_id: str
    key: str = ""
    digests: tuple[tuple[str, str], ...] = ()

    def bind(self, key: str, status: Status, digest: str) -> TokenRecord:
        """Bind a body; one that came with it before changes nothing.

        Raises RefusedError `replayed_token` for another job or another body.
        """
        known = dict(self.digests)
        if self.key not in ("", key) or known.get(status, digest) != digest:
            raise RefusedError(
                "replayed_token", "This token has already been used for another callback: fetch a new one for each."
            )
        return TokenRecord(self.token_id, key, tuple({**known, status: digest}.items()))


class Ledger:
    """Jobs and tokens in the relay's table."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def read(self, key: str, token_id: str) -> tuple[JobRecord, TokenRecord]:
        """Read a job and a token as they are now. Raises RefusedError `store_unavailable`."""
        from botocore.exceptions import BotoCoreError, ClientError

        keys = [_job_pk(key), _pk(f"token#{token_id}")]
        try:
            found = self._client.batch_get_item(RequestItems={self._table: {"Keys": keys, "ConsistentRead": True}})
            if found.get("UnprocessedKeys"):
                raise store_unavailable("throttled")
        except (ClientError, BotoCoreError) as error:
            raise store_unavailable(type(error).__name__) from error
        items = {item["pk"]["S"]: item for item in found["Responses"].get(self._table, [])}
        token = items.pop(f"token#{token_id}", {})
        digests = {name: value["S"] for name, value in token.get("digests", {}).get("M", {}).items()}
        return (
            job_record(key, next(iter(items.values()), {})),
            TokenRecord(token_id, token.get("key", {}).get("S", ""), tuple(digests.items())),
        )

    def write(
        self,
        before: JobRecord,
        after: Job,
        *,
        now: float,
        deadline: float,
        opening: bytes = b"",
        token: tuple[TokenRecord, TokenRecord] | None = None,
        others: list[dict[str, Any]] | None = None,
    ) -> bool:
        """Write a job's step, the token's new binding and `others`, all or nothing.

        Gives False, with nothing written, when job or token have changed since they were read: read again. `deadline`
        is when the sweeper shall look at a job that runs. Raises RefusedError `store_unavailable`.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        items = [{"Put": self._job_item(before, after, now, deadline, opening or before.opening)}]
        if token is not None:
            items.append({"Put": self._token_item(*token, now)})
        try:
            self._client.transact_write_items(TransactItems=[*items, *(others or [])])  # type: ignore[list-item]
        except self._client.exceptions.TransactionCanceledException as error:
            response: dict[str, Any] = dict(error.response)
            codes = {reason.get("Code") for reason in response.get("CancellationReasons", [])}
            if codes <= {"None", "ConditionalCheckFailed", "TransactionConflict"}:
                return False
            raise store_unavailable(", ".join(sorted(str(code) for code in codes - {"None"}))) from error
        except (ClientError, BotoCoreError) as error:
            raise store_unavailable(type(error).__name__) from error
        return True

    def due_jobs(self, now: float) -> Iterator[JobRecord]:
        """Give the jobs that have run past their deadline, the oldest first. Raises what boto3 raises."""
        for item in due_items(self._client, self._table, RUNNING_QUEUE, now):
            yield job_record(item["key"]["S"], item)

    def _job_item(self, before: JobRecord, after: Job, now: float, deadline: float, opening: bytes) -> dict[str, Any]:
        times = {name: getattr(after, name) for name in ("in_progress_at", "completed_at", "timed_out_at")}
        pk = _job_pk(before.key)
        item: dict[str, Any] = {
            **pk,
            "key": {"S": before.key},
            "opening": {"B": opening},  # kept beyond the end: HUD may refuse the body that ended the job
            "revision": number(before.revision + 1),
            "expires_at": number(int(now) + KEEP_SECONDS),
            **{name: number(value) for name, value in times.items() if value is not None},
        }
        if after.phase == "in_progress":
            item |= {"queue": place(RUNNING_QUEUE, pk["pk"]["S"]), "due_at": number(deadline)}
        return {
            "TableName": self._table,
            "Item": item,
            "ConditionExpression": "attribute_not_exists(pk) OR revision = :seen",
            "ExpressionAttributeValues": {":seen": number(before.revision)},
        }

    def _token_item(self, before: TokenRecord, after: TokenRecord, now: float) -> dict[str, Any]:
        digests = {"M": {name: {"S": value} for name, value in after.digests}}
        seen = {"M": {name: {"S": value} for name, value in before.digests}}
        return {
            "TableName": self._table,
            "Item": {
                **_pk(f"token#{after.token_id}"),
                "key": {"S": after.key},
                "digests": digests,
                "expires_at": number(int(now) + KEEP_SECONDS),
            },
            "ConditionExpression": "attribute_not_exists(pk) OR digests = :seen",
            "ExpressionAttributeValues": {":seen": seen},
        }


def job_record(key: str, item: dict[str, Any]) -> JobRecord:
    """Read a job's item; an empty one is a job never heard of."""
    times = {
        name: float(item[name]["N"]) for name in ("in_progress_at", "completed_at", "timed_out_at") if name in item
    }
    return JobRecord(
        key=key,
        job=Job(**times),
        revision=int(item.get("revision", {}).get("N", 0)),
        opening=bytes(item.get("opening", {}).get("B", b"")),
    )


def store_unavailable(why: str) -> RefusedError:
    """Say that the relay's table can't be used now; nothing was acknowledged."""
    return RefusedError("store_unavailable", f"The relay's store did not answer ({why}): send it again.")


def number(value: float) -> dict[str, str]:
    """Write a DynamoDB number."""
    return {"N": repr(value)}


def _job_pk(key: str) -> dict[str, Any]:
    return _pk(f"job#{hashlib.sha256(key.encode()).hexdigest()}")  # a key may have all the bytes DynamoDB allows


def _pk(pk: str) -> dict[str, Any]:
    return {"pk": {"S": pk}}
