"""The relay's memory of what it accepted: one read, one transaction, and nothing is acknowledged before it is durable.

A callback's token binding, its job's step and its outbox entry are written by one TransactWriteItems, on condition that
job and token still are what was read. So a write that fails leaves no trace that would make the client's retry look
like a duplicate, and of any number of equal callbacks at once exactly one takes the step.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from hud_endpoint.errors import RefusedError
from hud_endpoint.relay.dispatch import dispatch_key, parse_dispatch
from hud_endpoint.relay.due import due_items, place
from hud_endpoint.relay.lifecycle import Job
from hud_endpoint.relay.repo_pins import parse_pin, pin_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_dynamodb.client import DynamoDBClient

    from hud_endpoint.relay.dispatch import Recorded
    from hud_endpoint.relay.oidc import Identity
    from hud_endpoint.relay.repo_pins import RepoPin

RUNNING_QUEUE = "running"
KEEP_SECONDS = 14 * 24 * 3600


@dataclass(frozen=True)
class JobRecord:
    """A job as stored: `revision` guards its next write, `start_payload` is its in_progress one, for the sweeper."""

    key: str
    job: Job = field(default_factory=Job)
    revision: int = 0
    start_payload: bytes = b""


@dataclass(frozen=True)
class TokenRecord:
    """What a token has been used for: the callbacks of one job; `key` is "" for a new one."""

    token_id: str
    key: str = ""

    def bind(self, key: str) -> TokenRecord:
        """Bind the token to a job. Raises RefusedError `replayed_token` where it is bound to another."""
        if self.key not in ("", key):
            raise RefusedError(
                "replayed_token", "This token has already been used for another job: fetch a new one for each."
            )
        return TokenRecord(self.token_id, key)


@dataclass(frozen=True)
class Known:
    """What the relay knows of a callback's surroundings, read at one time."""

    job: JobRecord
    token: TokenRecord
    dispatch: Recorded | None
    pin: RepoPin | None


class JobStore:
    """Jobs and tokens in the relay's table."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self.table = table

    def read(self, identity: Identity, delivery_id: str, key: str) -> Known:
        """Read all that a callback is judged by, as it is now. Raises RefusedError `store_unavailable`."""
        token_id = identity.binding(key)
        token_pk, dispatch_pk = f"token#{token_id}", dispatch_key(identity.repo, delivery_id)
        pin_pk = pin_key(identity.issuer, identity.repo)
        items = self._get(_job_pk(key), token_pk, dispatch_pk, pin_pk)
        dispatch, pin = items.get(dispatch_pk), items.get(pin_pk)
        return Known(
            job=job_record(key, items.get(_job_pk(key), {})),
            token=TokenRecord(token_id, items.get(token_pk, {}).get("key", {}).get("S", "")),
            dispatch=parse_dispatch(dispatch) if dispatch else None,
            pin=parse_pin(pin) if pin else None,
        )

    def read_job(self, key: str) -> JobRecord:
        """Read a job as it is now. Raises RefusedError `store_unavailable`."""
        return job_record(key, self._get(_job_pk(key)).get(_job_pk(key), {}))

    def _get(self, *keys: str) -> dict[str, dict[str, Any]]:
        from botocore.exceptions import BotoCoreError, ClientError

        wanted: Any = {"Keys": [_pk(key) for key in keys], "ConsistentRead": True}
        try:
            answer = self._client.batch_get_item(RequestItems={self.table: wanted})
            if answer.get("UnprocessedKeys"):
                raise store_unavailable("throttled")
        except (ClientError, BotoCoreError) as error:
            raise store_unavailable(type(error).__name__) from error
        return {item["pk"]["S"]: item for item in answer["Responses"].get(self.table, [])}

    def bind(self, token: TokenRecord, now: float) -> None:
        """Write a token's binding alone, for a callback that changes nothing else.

        Raises RefusedError `replayed_token` where the token has just been used for another job, and
        `store_unavailable`.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._client.put_item(**self._token_item(token, now))
        except self._client.exceptions.ConditionalCheckFailedException:
            TokenRecord(token.token_id, "another job's").bind(token.key)
        except (ClientError, BotoCoreError) as error:
            raise store_unavailable(type(error).__name__) from error

    def write(
        self,
        before: JobRecord,
        after: Job,
        *,
        now: float,
        deadline: float,
        start_payload: bytes = b"",
        token: TokenRecord | None = None,
        others: list[dict[str, Any]] | None = None,
    ) -> bool:
        """Write a job's step, the token's binding and `others`, all or nothing.

        Returns False, with nothing written, when job or token have changed since they were read: read again.
        `deadline` is when the sweeper shall look at a job that runs. Raises RefusedError `store_unavailable`.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        items = [{"Put": self._job_item(before, after, now, deadline, start_payload or before.start_payload)}]
        if token is not None:
            items.append({"Put": self._token_item(token, now)})
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
        """Return the jobs that have run past their deadline, the oldest first. Raises what boto3 raises."""
        for item in due_items(self._client, self.table, RUNNING_QUEUE, now):
            yield job_record(item["key"]["S"], item)

    def _job_item(
        self, before: JobRecord, after: Job, now: float, deadline: float, start_payload: bytes
    ) -> dict[str, Any]:
        times = {name: getattr(after, name) for name in ("in_progress_at", "completed_at", "timed_out_at")}
        pk = _job_pk(before.key)
        item: dict[str, Any] = {
            **_pk(pk),
            "key": {"S": before.key},
            "opening": {"B": start_payload},  # kept beyond the end: HUD may refuse the body that ended the job
            "revision": number(before.revision + 1),
            "expires_at": number(int(now) + KEEP_SECONDS),
            **{name: number(value) for name, value in times.items() if value is not None},
        }
        if after.identity is not None:
            item["identity"] = {"S": orjson.dumps(after.identity).decode()}
        if after.completion:
            item["completion"] = {"S": after.completion}
        if after.conflicts:
            item["conflicts"] = {"L": [{"S": digest} for digest in after.conflicts]}
        if after.phase == "in_progress":
            item |= {"queue": place(RUNNING_QUEUE, pk), "due_at": number(deadline)}
        return {
            "TableName": self.table,
            "Item": item,
            "ConditionExpression": "attribute_not_exists(pk) OR revision = :seen",
            "ExpressionAttributeValues": {":seen": number(before.revision)},
        }

    def _token_item(self, token: TokenRecord, now: float) -> dict[str, Any]:
        return {
            "TableName": self.table,
            "Item": {
                **_pk(f"token#{token.token_id}"),
                "key": {"S": token.key},
                "expires_at": number(int(now) + KEEP_SECONDS),
            },
            "ConditionExpression": "attribute_not_exists(pk) OR #key = :key",
            "ExpressionAttributeNames": {"#key": "key"},
            "ExpressionAttributeValues": {":key": {"S": token.key}},
        }


def job_record(key: str, item: dict[str, Any]) -> JobRecord:
    """Read a job's item; an empty one is a job never heard of."""
    times = {
        name: float(item[name]["N"]) for name in ("in_progress_at", "completed_at", "timed_out_at") if name in item
    }
    return JobRecord(
        key=key,
        job=Job(
            **times,
            identity=orjson.loads(item["identity"]["S"]) if "identity" in item else None,
            completion=item.get("completion", {}).get("S", ""),
            conflicts=tuple(digest["S"] for digest in item.get("conflicts", {}).get("L", [])),
        ),
        revision=int(item.get("revision", {}).get("N", 0)),
        start_payload=bytes(item.get("opening", {}).get("B", b"")),
    )


def store_unavailable(why: str) -> RefusedError:
    """Return the refusal while the relay's table can't be used; nothing was acknowledged."""
    return RefusedError("store_unavailable", f"The relay's store did not answer ({why}): send it again.")


def number(value: float) -> dict[str, str]:
    """Write a DynamoDB number."""
    return {"N": repr(value)}


def _job_pk(key: str) -> str:
    return f"job#{hashlib.sha256(key.encode()).hexdigest()}"  # a key may have all the bytes DynamoDB allows


def _pk(pk: str) -> dict[str, Any]:
    return {"pk": {"S": pk}}
