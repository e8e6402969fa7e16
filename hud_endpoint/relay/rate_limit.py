"""How often a repo may call: GCRA, one number a repo, in conditional updates that a rejected call does not change.

The number is the theoretical arrival time (TAT) of the generic cell rate algorithm: the moment at which the repo's
budget would be full again. It is kept in whole microseconds, because sums of fractions would drift.
https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hud_endpoint.errors import RefusedError
from hud_endpoint.relay.job_store import number, store_unavailable

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient

KEEP_SECONDS = 3600
_SECOND = 1_000_000
_THROTTLED = frozenset({"ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"})


class RateLimiter:
    """Lets each repo call `per_minute` times a minute, all at once if it likes."""

    def __init__(self, client: DynamoDBClient, table: str, per_minute: int) -> None:
        self._client = client
        self._table = table
        self._per_minute = per_minute
        self._interval = -(-60 * _SECOND // per_minute)  # rounded up: never more calls than that
        self._burst = self._interval * (per_minute - 1)

    def take(self, repo: str, now: float) -> None:
        """Count one call of the repo at `now` (seconds since the epoch).

        Raises RefusedError `rate_limited` with the seconds after which the next call will be let in; a table that is
        itself throttled answers the same, never an error. Raises `store_unavailable` where it does not answer at all.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        at = round(now * _SECOND)
        try:
            tat = self._update(repo, "attribute_not_exists(tat) OR tat <= :now", at, at + self._interval)
            if tat is not None:  # the budget is not full: add to what is taken, while it fits
                tat = self._update(repo, "tat > :now AND tat <= :latest", at, None)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _THROTTLED:
                raise _refused("The relay is busy", _SECOND) from None
            raise store_unavailable(type(error).__name__) from error
        except BotoCoreError as error:
            raise store_unavailable(type(error).__name__) from error
        if tat is not None:
            raise _refused(f"{repo} may call {self._per_minute} times a minute", tat - at - self._burst)

    def _update(self, repo: str, condition: str, now: int, tat: int | None) -> int | None:
        """Set the TAT, or add one interval to it; gives None when that was done, else the TAT that stands."""
        values: dict[str, Any] = {":now": number(now), ":expires": number(now // _SECOND + KEEP_SECONDS)}
        if tat is None:
            expression = "SET tat = tat + :interval, expires_at = :expires"
            values |= {":interval": number(self._interval), ":latest": number(now + self._burst)}
        else:
            expression = "SET tat = :tat, expires_at = :expires"
            values |= {":tat": number(tat)}
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"pk": {"S": f"rate#{repo.lower()}"}},
                UpdateExpression=expression,
                ConditionExpression=condition,
                ExpressionAttributeValues=values,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as refusal:
            response: dict[str, Any] = dict(refusal.response)
            return int(response.get("Item", {}).get("tat", {}).get("N", now))
        return None


def _refused(why: str, wait: int) -> RefusedError:
    seconds = max(1, -(-wait // _SECOND))
    return RefusedError("rate_limited", f"{why}: try again after {seconds} s.", retry_after=seconds)
