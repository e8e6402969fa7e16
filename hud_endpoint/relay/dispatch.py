"""Who was asked: dispatches are recorded before they are sent, and their PR and SHA are believed over the reporter's.

The signed callback token is RFC-0054's proposal: a JWT (HS256) that travels through the dispatch and comes back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt

from hud_endpoint.contract import Dispatch, cut
from hud_endpoint.errors import RefusedError

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient

KEEP_SECONDS = 14 * 24 * 3600  # a re-run of an old dispatch still finds its record
_TOKEN_AUDIENCE = "oot-hud-callback"  # noqa: S105 - a name, not a secret


@dataclass(frozen=True)
class Recorded:
    """A dispatch and when it was recorded, seconds since the epoch."""

    dispatch: Dispatch
    at: float


class Dispatches:
    """The records, one a repo and delivery, in the relay's table."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def record(self, dispatch: Dispatch, now: float) -> None:
        """Keep a dispatch; the same one again changes nothing.

        Raises RefusedError `dispatch_conflict` where the delivery was recorded with other content, and
        `store_unavailable`.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        same = {"S": dispatch.model_dump_json()}
        try:
            self._client.put_item(
                TableName=self._table,
                Item={
                    **_key(dispatch.repo, dispatch.delivery_id),
                    "dispatch": same,
                    "at": {"N": repr(now)},
                    "expires_at": {"N": str(int(now) + KEEP_SECONDS)},
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

    def find(self, repo: str, delivery_id: str) -> Recorded | None:
        """Give the record of a delivery to a repo. Raises RefusedError `store_unavailable`."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            item = self._client.get_item(TableName=self._table, Key=_key(repo, delivery_id), ConsistentRead=True).get(
                "Item"
            )
        except (ClientError, BotoCoreError) as error:
            raise _unavailable(error) from error
        return Recorded(Dispatch.model_validate_json(item["dispatch"]["S"]), float(item["at"]["N"])) if item else None


def sign_callback_token(dispatch: Dispatch, key: str, now: float) -> str:
    """Sign what a dispatch was about; the downstream echoes it as `callback_token`."""
    claims = {"aud": _TOKEN_AUDIENCE, "iat": int(now), "exp": int(now) + KEEP_SECONDS, **_claims(dispatch)}
    return jwt.encode(claims, key, algorithm="HS256")


def check_callback_token(token: str, dispatch: Dispatch, key: str) -> None:
    """Raise RefusedError `invalid_callback_token` unless the token was signed for this very dispatch."""
    try:
        claims: dict[str, Any] = jwt.decode(token, key, algorithms=["HS256"], audience=_TOKEN_AUDIENCE)
    except (jwt.PyJWTError, ValueError) as error:
        raise RefusedError(
            "invalid_callback_token", f"The callback_token is not valid ({type(error).__name__}): echo it unchanged."
        ) from None
    if any(claims.get(name) != value for name, value in _claims(dispatch).items()):
        raise RefusedError("invalid_callback_token", "The callback_token belongs to another dispatch.")


def _claims(dispatch: Dispatch) -> dict[str, str | int]:
    return {
        "repo": dispatch.repo.lower(),
        "delivery_id": dispatch.delivery_id,
        "pr_number": dispatch.pr_number,
        "sha": dispatch.sha,
    }


def _key(repo: str, delivery_id: str) -> dict[str, Any]:
    return {"pk": {"S": f"dispatch#{repo.lower()}#{delivery_id}"}}


def _unavailable(error: Exception) -> RefusedError:
    return RefusedError(
        "store_unavailable", f"The relay's store did not answer ({type(error).__name__}): send it again."
    )
