"""Job records in DynamoDB, and the law by which writes merge into them (design 4.3).

Any order, duplication or retry of a job's callbacks (one payload per status) ends in the same item, `revision` and
`first_seen` aside, because each field has one owner and a write applies only over a lower rank. It takes one
conditional UpdateItem, and a second only for an in_progress that comes after the job's end; nothing is read first.
What can pass by itself (throttling, a broken connection) is tried again within a budget of seconds: a try whose answer
was lost may have been applied, and by the same law the next one then finds itself a duplicate.
"""

from __future__ import annotations

import logging
import random
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from hud_endpoint.errors import RefusedError
from hud_endpoint.record import JOB_FIELDS, RUNNING_FIELDS, TERMINAL_FIELDS, Rank, Value, Write, iso
from hud_endpoint.results.sameness import attribute, same_completion, same_job
from hud_endpoint.wire_types import cut

if TYPE_CHECKING:
    from collections.abc import Callable

    from types_boto3_dynamodb.client import DynamoDBClient

    from hud_endpoint.contract import RefusedCompletion

log = logging.getLogger(__name__)

BUDGET_SECONDS = 1.9  # no try begins later, and one takes a second: the relay waits for 3, then keeps the result
RETRY_AFTER_SECONDS = 5
MAX_CONFLICTS = 10  # other results of one job that are shown
MEND_SECONDS = 60  # somebody has to mend a name or a permission first
_FIRST_PAUSE_SECONDS = 0.05
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html, "OK to retry? Yes"
_PASSING = frozenset(
    {
        "InternalServerError",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "ReplicatedWriteConflictException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "ThrottlingException",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)

# What an item must be for a write of each rank to apply over it; no rank is stored, so that items written by CRCR's
# own HUD obey the same law.
_LOWER_RANK = {
    Rank.IN_PROGRESS: "attribute_not_exists(#status)",
    Rank.SWEPT: "attribute_not_exists(#status) OR #status = :in_progress",
    Rank.COMPLETED: "attribute_not_exists(#status) OR #status = :in_progress OR #origin = :sweeper",
}


class Outcome(StrEnum):
    """What a write did."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    NOTED = "noted"


class ResultStore:
    """The table of job records. Give it a client that does not try again by itself."""

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._pause = pause

    def apply(self, write: Write) -> Outcome:
        """Merge one write into its record.

        Raises RefusedError `conflicting_completion` when another completion is already final, `conflicting_identity`
        when the record is another job's, and `store_unavailable` when DynamoDB can't take the write now; then it is not
        acknowledged, and may be sent again.
        """
        deadline = self._clock() + BUDGET_SECONDS
        stored = self._update(_first_update(write), deadline)
        if stored is None:
            return Outcome.STORED
        if not same_job(write.fields, stored):
            raise RefusedError(
                "conflicting_identity",
                f"Record {cut(write.key, 200)} is another job's: it has another event, pull request, commit or name, "
                "and its first report counts.",
            )
        if write.rank is Rank.IN_PROGRESS:
            return self._fill_opening(write, stored, deadline)
        if write.rank is Rank.COMPLETED and not same_completion(write.fields, stored):
            raise RefusedError(
                "conflicting_completion",
                f"Job {cut(write.key, 200)} has already ended with another result, which is final: "
                "report each attempt once, and give each matrix leg a job-name of its own.",
            )
        return Outcome.DUPLICATE

    def note_conflict(self, conflict: RefusedCompletion) -> Outcome:
        """Add a completion that the relay refused to those that its job's record names; noting it again is the same.

        Raises RefusedError `store_unavailable`, also while the record itself is still to come.
        """
        deadline = self._clock() + BUDGET_SECONDS
        stored = self._update(_note_update(conflict, ours=True), deadline)
        if stored is not None and "revision" not in stored and "status" in stored:
            stored = self._update(_note_update(conflict, ours=False), deadline)
        if stored is not None and "status" not in stored:
            raise RefusedError(
                "store_unavailable",
                "The job's own record has not arrived yet: send it again.",
                retry_after=RETRY_AFTER_SECONDS,
            )
        return Outcome.NOTED

    def _fill_opening(self, write: Write, stored: dict[str, Any], deadline: float) -> Outcome:
        """Let an in_progress that came late fill the fields that only it knows."""
        missing = {name: value for name, value in write.opening.items() if name not in stored}
        if not missing or stored.get("status", {}).get("S") == "in_progress":
            return Outcome.DUPLICATE
        late = _Update()
        for name, value in missing.items():
            late.set_if_absent(name, value)
        absent = " OR ".join(f"attribute_not_exists({late.name(name)})" for name in missing)
        late.condition = f"attribute_exists({late.name('status')}) AND ({absent})"
        return Outcome.STORED if self._update(late.request(write.key), deadline) is None else Outcome.DUPLICATE

    def _update(self, request: dict[str, Any], deadline: float) -> dict[str, Any] | None:
        """Run a conditional UpdateItem; gives None when it applied, else the item that stood against it."""
        return self._insist(lambda: self._try_update(request), deadline)

    def _try_update(self, request: dict[str, Any]) -> dict[str, Any] | None:
        from botocore.parsers import ResponseParserError

        try:
            answer = self._client.update_item(
                TableName=self._table,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                ReturnConsumedCapacity="TOTAL",
                **request,
            )
        except self._client.exceptions.ConditionalCheckFailedException as refusal:
            response: dict[str, Any] = dict(refusal.response)
            # Not every DynamoDB gives it back, and without it a duplicate would look like a conflict.
            return response.get("Item") or self._read(request["Key"])
        if "ConsumedCapacity" not in answer:  # botocore takes any page with status 200 for a success
            raise ResponseParserError("an answer that is not DynamoDB's")
        return None

    def _read(self, key: dict[str, Any]) -> dict[str, Any]:
        return dict(self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item") or {})

    def _insist(self, work: Callable[[], dict[str, Any] | None], deadline: float) -> dict[str, Any] | None:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return work()
            except (ClientError, BotoCoreError, ResponseParserError) as error:
                why, passing = _read_failure(error)
                # Full jitter: writers that were throttled together come back apart.
                wait = random.uniform(0, pause)  # noqa: S311 - spreads load, guards nothing
                if not passing or self._clock() + wait >= deadline:
                    log.warning("DynamoDB did not take a write: %s", why)
                    raise RefusedError(
                        "store_unavailable",
                        f"The store could not take the result now ({why}): send it again.",
                        retry_after=RETRY_AFTER_SECONDS if passing else MEND_SECONDS,
                    ) from error
                self._pause(wait)
                pause *= 2


def _read_failure(error: Exception) -> tuple[str, bool]:
    """Say what went wrong in a word that holds no secrets, and whether it can pass by itself."""
    from botocore.exceptions import ClientError, ConnectionError, HTTPClientError  # noqa: A004 - botocore's own
    from botocore.parsers import ResponseParserError

    if not isinstance(error, ClientError):
        return type(error).__name__, isinstance(error, ConnectionError | HTTPClientError | ResponseParserError)
    response: dict[str, Any] = dict(error.response)
    code = str(response.get("Error", {}).get("Code", ""))[:100]
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return code or f"HTTP {status}", code in _PASSING or status >= 500


def _first_update(write: Write) -> dict[str, Any]:
    update = _Update()
    for name, value in write.fields.items():
        update.set(name, value)
    for name, value in write.opening.items():
        update.set_if_absent(name, value)
    if write.rank is not Rank.IN_PROGRESS:
        for name in (*TERMINAL_FIELDS, *RUNNING_FIELDS):
            if name not in write.fields:
                update.remove(name)
    update.set_if_absent("first_seen", iso(write.first_seen) or "")
    update.set_if_absent("expires_at", write.expires_at)
    update.condition = _LOWER_RANK[write.rank].replace("#status", update.name("status"))
    if write.rank is not Rank.IN_PROGRESS:
        update.values[":in_progress"] = {"S": "in_progress"}
    if write.rank is Rank.COMPLETED:
        update.condition = update.condition.replace("#origin", update.name("origin"))
        update.values[":sweeper"] = {"S": "sweeper"}
    if write.rank is not Rank.IN_PROGRESS:  # a step of another job does not end this one
        same = " AND ".join(f"{update.name(name)} = :{name}" for name in JOB_FIELDS)
        others = f"attribute_not_exists({update.name('status')}) OR attribute_not_exists(#revision)"
        update.condition = f"({update.condition}) AND ({others} OR ({same}))"  # no revision: written by another HUD
    return update.request(write.key)


def _note_update(conflict: RefusedCompletion, *, ours: bool) -> dict[str, Any]:
    """Return the update that adds a note to a record; one of another HUD (no revision) stays one of another HUD."""
    note = f"{conflict.conclusion} {conflict.digest[:12]}"
    exists = "attribute_exists" if ours else "attribute_not_exists"
    request: dict[str, Any] = {
        "Key": {"dynamoKey": {"S": conflict.dynamo_key}},
        "UpdateExpression": "ADD #conflicts :notes",
        "ConditionExpression": (
            f"attribute_exists(#status) AND {exists}(#revision) AND (attribute_not_exists(#conflicts) OR "
            "(NOT contains(#conflicts, :note) AND size(#conflicts) < :most))"
        ),
        "ExpressionAttributeNames": {"#conflicts": "conflicts", "#revision": "revision", "#status": "status"},
        "ExpressionAttributeValues": {
            ":notes": {"SS": [note]},
            ":note": {"S": note},
            ":most": {"N": str(MAX_CONFLICTS)},
        },
    }
    if ours:
        request["UpdateExpression"] += ", #revision :one"
        request["ExpressionAttributeValues"][":one"] = {"N": "1"}
    return request


class _Update:
    """Collects the parts of one UpdateItem; each effective update adds 1 to `revision`."""

    def __init__(self) -> None:
        self.condition = ""
        self.values: dict[str, dict[str, Any]] = {":one": {"N": "1"}}
        self._names = {"#revision": "revision"}
        self._sets: list[str] = []
        self._removes: list[str] = []

    def name(self, field: str) -> str:
        self._names[f"#{field}"] = field  # an alias for each: several fields are reserved words
        return f"#{field}"

    def set(self, field: str, value: Value) -> None:
        self.values[f":{field}"] = attribute(value)
        self._sets.append(f"{self.name(field)} = :{field}")

    def set_if_absent(self, field: str, value: Value) -> None:
        self.values[f":{field}"] = attribute(value)
        name = self.name(field)
        self._sets.append(f"{name} = if_not_exists({name}, :{field})")

    def remove(self, field: str) -> None:
        self._removes.append(self.name(field))

    def request(self, key: str) -> dict[str, Any]:
        removes = f" REMOVE {', '.join(self._removes)}" if self._removes else ""
        return {
            "Key": {"dynamoKey": {"S": key}},
            "UpdateExpression": f"SET {', '.join(self._sets)}{removes} ADD #revision :one",
            "ConditionExpression": self.condition,
            "ExpressionAttributeNames": self._names,
            "ExpressionAttributeValues": self.values,
        }
