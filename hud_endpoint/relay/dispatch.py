"""Who was asked: dispatches are recorded before they are sent, and their PR and SHA count, not the reporter's.

The signed callback token is RFC-0054's proposal: a JWT (HS256) that travels through the dispatch and comes back.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt

from hud_endpoint.contract import Dispatch
from hud_endpoint.errors import RefusedError
from hud_endpoint.relay.due import due_items, place
from hud_endpoint.wire_types import cut

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_dynamodb.client import DynamoDBClient

KEEP_SECONDS = 14 * 24 * 3600  # a re-run of an old dispatch still finds its record
UNANSWERED_QUEUE, ORPHANS_QUEUE = "unanswered", "orphans"
ORPHAN_SECONDS = 6 * 3600  # a runner may be long in coming; a workflow that never starts is what this is for
_TOKEN_AUDIENCE = "oot-hud-callback"  # noqa: S105 - a name, not a secret


@dataclass(frozen=True)
class Recorded:
    """A dispatch, when it was recorded (seconds since the epoch), and whether its first callback has yet to come."""

    dispatch: Dispatch
    at: float
    unanswered: bool = False


class Dispatches:
    """The records, one a repo and delivery, in the relay's table."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def record(self, dispatch: Dispatch, now: float, *, awaited: bool = True) -> None:
        """Keep a dispatch; the same one again changes nothing. One that is `awaited` is an orphan if nobody answers.

        Raises RefusedError `dispatch_conflict` where the delivery was recorded with other content, and
        `store_unavailable`.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        same = {"S": dispatch.model_dump_json()}
        key = dispatch_key(dispatch.repo, dispatch.delivery_id)
        waits: dict[str, Any] = {
            "queue": place(UNANSWERED_QUEUE, key),
            "due_at": {"N": repr(now + ORPHAN_SECONDS)},
        }
        try:
            self._client.put_item(
                TableName=self._table,
                Item={
                    "pk": {"S": key},
                    "dispatch": same,
                    "at": {"N": repr(now)},
                    "expires_at": {"N": str(int(now) + KEEP_SECONDS)},
                    **(waits if awaited else {}),
                },
                ConditionExpression="attribute_not_exists(pk)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as refusal:
            response: dict[str, Any] = dict(refusal.response)
            if response.get("Item", {}).get("dispatch") == same:
                return  # sent again; the queue began with the first
            raise RefusedError(
                "dispatch_conflict",
                f"Delivery {cut(dispatch.delivery_id, 100)} was already recorded for {dispatch.repo} "
                "with another PR or SHA.",
            ) from None
        except (ClientError, BotoCoreError) as error:
            raise _unavailable(error) from error

    def acknowledge(self, recorded: Recorded) -> None:
        """Note that a dispatch has been answered; only the report of orphans depends on it, so it never fails."""
        from botocore.exceptions import BotoCoreError, ClientError

        if not recorded.unanswered:
            return
        key = dispatch_key(recorded.dispatch.repo, recorded.dispatch.delivery_id)
        with suppress(ClientError, BotoCoreError):
            self._client.update_item(
                TableName=self._table,
                Key={"pk": {"S": key}},
                UpdateExpression="REMOVE queue, due_at",
                ConditionExpression="attribute_exists(pk)",  # one that has expired must not come back empty
            )

    def unanswered(self, now: float, *, mark: bool) -> Iterator[Recorded]:
        """Give the dispatches that nobody answered in time; `mark` makes them orphans. Raises what boto3 raises."""
        for item in due_items(self._client, self._table, UNANSWERED_QUEUE, now):
            recorded = parse_dispatch(item)
            if not mark or self._mark_orphan(item):
                yield recorded

    def _mark_orphan(self, item: dict[str, Any]) -> bool:
        pk = item["pk"]["S"]
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"pk": item["pk"]},
                UpdateExpression="SET queue = :orphans",
                ConditionExpression="queue = :unanswered",
                ExpressionAttributeValues={
                    ":orphans": place(ORPHANS_QUEUE, pk),
                    ":unanswered": place(UNANSWERED_QUEUE, pk),
                },
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False  # answered just now, or marked by another sweep
        return True

    def orphans(self, now: float) -> Iterator[Recorded]:
        """Give the orphans that are known, the oldest first. Raises what boto3 raises."""
        return (parse_dispatch(item) for item in due_items(self._client, self._table, ORPHANS_QUEUE, now))


def parse_dispatch(item: dict[str, Any]) -> Recorded:
    """Read a dispatch's item."""
    dispatch = Dispatch.model_validate_json(item["dispatch"]["S"])
    return Recorded(dispatch, float(item["at"]["N"]), unanswered="queue" in item)


def sign_callback_token(dispatch: Dispatch, key: str, now: float) -> str:
    """Sign what a dispatch was about; the downstream echoes it as `callback_token`."""
    claims = {"aud": _TOKEN_AUDIENCE, "iat": int(now), "exp": int(now) + KEEP_SECONDS, **_claims(dispatch)}
    return jwt.encode(claims, key, algorithm="HS256")


def check_callback_token(token: str, dispatch: Dispatch, key: str, *previous: str) -> None:
    """Raise RefusedError `invalid_callback_token` unless the token was signed for this very dispatch."""
    try:
        claims = _decoded(token, key, *previous)
    except (jwt.PyJWTError, ValueError) as error:
        raise RefusedError(
            "invalid_callback_token", f"The callback_token is not valid ({type(error).__name__}): echo it unchanged."
        ) from None
    if any(claims.get(name) != value for name, value in _claims(dispatch).items()):
        raise RefusedError("invalid_callback_token", "The callback_token belongs to another dispatch.")


def _decoded(token: str, key: str, *previous: str) -> dict[str, Any]:
    try:
        claims: dict[str, Any] = jwt.decode(token, key, algorithms=["HS256"], audience=_TOKEN_AUDIENCE)
    except jwt.InvalidSignatureError:
        if not previous:
            raise
        return _decoded(token, *previous)
    return claims


def _claims(dispatch: Dispatch) -> dict[str, str | int]:
    return {
        "repo": dispatch.repo.lower(),
        "delivery_id": dispatch.delivery_id,
        "pr_number": dispatch.pr_number,
        "sha": dispatch.sha,
    }


def dispatch_key(repo: str, delivery_id: str) -> str:
    """Return the key of a delivery's record; GitHub compares repos without case."""
    return f"dispatch#{repo.lower()}#{delivery_id}"


def _unavailable(error: Exception) -> RefusedError:
    return RefusedError(
        "store_unavailable", f"The relay's store did not answer ({type(error).__name__}): send it again."
    )
