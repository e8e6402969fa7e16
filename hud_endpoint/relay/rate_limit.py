"""How much a repo may bring in: GCRA, one number a repo, in conditional updates that a rejected call does not change.

The number is the theoretical arrival time (TAT) of the generic cell rate algorithm: the moment at which the repo's
budget would be full again. It is kept in whole microseconds, because sums of fractions would drift.
https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from hud_endpoint.errors import RefusedError
from hud_endpoint.relay.job_store import number, store_unavailable

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient

KEEP_SECONDS = 3600
_SECOND = 1_000_000
_THROTTLED = frozenset({"ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"})


class _Rate(NamedTuple):
    """A rate in whole microseconds: between two calls, and of all that may come at once but one."""

    per_minute: int
    interval: int
    burst: int

    @classmethod
    def of(cls, per_minute: int) -> _Rate:
        interval = -(-60 * _SECOND // per_minute)  # rounded up: never more calls than that
        return cls(per_minute, interval, interval * (per_minute - 1))


class RateLimiter:
    """Lets each repo bring in `per_minute` callbacks a minute, all at once if it likes.

    A run whose one token reports for many jobs gets three quarters of it: the repo's other runs are never shut out.
    """

    def __init__(self, client: DynamoDBClient, table: str, per_minute: int) -> None:
        self._client = client
        self._table = table
        self._repo_rate = _Rate.of(per_minute)
        self._run_rate = _Rate.of(max(1, per_minute * 3 // 4))
        self._full_until: dict[str, int] = {}  # repos that were told to wait; the allowlist bounds how many

    def check(self, repo: str, now: float) -> None:
        """Raise RefusedError `rate_limited` where `take` said so a moment ago, before the call costs anything."""
        wait = self._full_until.get(repo.lower(), 0) - round(now * _SECOND)
        if wait > 0:
            raise _refused(_reason(repo, self._repo_rate), wait)

    def take(self, repo: str, now: float, run: str = "") -> None:
        """Count one callback of the repo at `now` (seconds since the epoch), and of a run that has a share of its own.

        Raises RefusedError `rate_limited` with the seconds after which the next call will be let in; a table that is
        itself throttled answers the same, never an error. Raises `store_unavailable` where it does not answer at all.
        """
        at = round(now * _SECOND)
        if run:
            wait = self._take(f"{repo}#{run}", self._run_rate, at)
            if wait:
                raise _refused(_reason(f"One run of {repo}", self._run_rate), wait)
        wait = self._take(repo, self._repo_rate, at)
        if wait:
            self._full_until[repo.lower()] = at + wait
            raise _refused(_reason(repo, self._repo_rate), wait)

    def _take(self, name: str, rate: _Rate, at: int) -> int:
        """Return 0 when one was taken, else the microseconds to wait. Raises RefusedError."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            tat = self._update(name, rate, "attribute_not_exists(tat) OR tat <= :now", at, at + rate.interval)
            if tat is not None:  # the budget is not full: add to what is taken, while it fits
                tat = self._update(name, rate, "tat > :now AND tat <= :latest", at, None)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _THROTTLED:
                raise _refused("The relay is busy", _SECOND) from None
            raise store_unavailable(type(error).__name__) from error
        except BotoCoreError as error:
            raise store_unavailable(type(error).__name__) from error
        return 0 if tat is None else max(1, tat - at - rate.burst)

    def _update(self, name: str, rate: _Rate, condition: str, now: int, tat: int | None) -> int | None:
        """Set the TAT, or add one interval to it; return None when that was done, else the TAT that stands."""
        values: dict[str, Any] = {":now": number(now), ":expires": number(now // _SECOND + KEEP_SECONDS)}
        if tat is None:
            expression = "SET tat = tat + :interval, expires_at = :expires"
            values |= {":interval": number(rate.interval), ":latest": number(now + rate.burst)}
        else:
            expression = "SET tat = :tat, expires_at = :expires"
            values |= {":tat": number(tat)}
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"pk": {"S": f"rate#{name.lower()}"}},
                UpdateExpression=expression,
                ConditionExpression=condition,
                ExpressionAttributeValues=values,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as refusal:
            response: dict[str, Any] = dict(refusal.response)
            return int(response.get("Item", {}).get("tat", {}).get("N", now))
        return None


def _reason(who: str, rate: _Rate) -> str:
    return f"{who} may bring in {rate.per_minute} callbacks a minute"


def _refused(why: str, wait: int) -> RefusedError:
    seconds = max(1, -(-wait // _SECOND))
    return RefusedError("rate_limited", f"{why}: try again after {seconds} s.", retry_after=seconds)
