"""Job records in DynamoDB, and the law by which writes merge into them (design 4.3).

Any order, duplication or retry of a job's callbacks (one payload per status) ends in the same item, `revision` and
`first_seen` aside, because each field has one owner and a write applies only over a lower rank. It takes one
conditional UpdateItem, and a second only for an in_progress that comes after the job's end; nothing is read first.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from hud_endpoint.contract import cut
from hud_endpoint.errors import RefusedError
from hud_endpoint.results.record import (
    RELAY_FIELDS,
    RUNNING_FIELDS,
    TERMINAL_FIELDS,
    Rank,
    Value,
    Write,
    iso,
)

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient

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


class ResultStore:
    """The table of job records."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def apply(self, write: Write) -> Outcome:
        """Merge one write into its record.

        Raises RefusedError `conflicting_completion` when another completion is already final, and `store_unavailable`
        when DynamoDB can't take the write now; then nothing has changed.
        """
        stored = self._update(_first_update(write))
        if stored is None:
            return Outcome.STORED
        if write.rank is Rank.IN_PROGRESS:
            return self._fill_opening(write, stored)
        if write.rank is Rank.COMPLETED and not _same_completion(write, stored):
            raise RefusedError(
                "conflicting_completion",
                f"Job {cut(write.key, 200)} has already ended with another result, which is final: "
                "report each attempt once, and give each matrix leg a job-name of its own.",
            )
        return Outcome.DUPLICATE

    def _fill_opening(self, write: Write, stored: dict[str, Any]) -> Outcome:
        """Let an in_progress that came late fill the fields that only it knows."""
        missing = {name: value for name, value in write.opening.items() if name not in stored}
        if not missing or stored.get("status", {}).get("S") == "in_progress":
            return Outcome.DUPLICATE
        late = _Update()
        for name, value in missing.items():
            late.set_if_absent(name, value)
        absent = " OR ".join(f"attribute_not_exists({late.name(name)})" for name in missing)
        late.condition = f"attribute_exists({late.name('status')}) AND ({absent})"
        return Outcome.STORED if self._update(late.request(write.key)) is None else Outcome.DUPLICATE

    def _update(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """Run a conditional UpdateItem; gives None when it applied, else the item that stood against it."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._client.update_item(TableName=self._table, ReturnValuesOnConditionCheckFailure="ALL_OLD", **request)
        except self._client.exceptions.ConditionalCheckFailedException as refusal:
            response: dict[str, Any] = dict(refusal.response)
            item: dict[str, Any] = response.get("Item") or {}
            return item
        except (ClientError, BotoCoreError) as error:
            raise RefusedError(
                "store_unavailable", f"The store could not take the result now ({type(error).__name__}): send it again."
            ) from error
        return None


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
    return update.request(write.key)


def _same_completion(write: Write, stored: dict[str, Any]) -> bool:
    return all(
        stored.get(name) == (_attribute(write.fields[name]) if name in write.fields else None)
        for name in TERMINAL_FIELDS
        if name not in RELAY_FIELDS
    )


def _attribute(value: Value) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, str):
        return {"S": value}
    return {"N": repr(value)}


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
        self.values[f":{field}"] = _attribute(value)
        self._sets.append(f"{self.name(field)} = :{field}")

    def set_if_absent(self, field: str, value: Value) -> None:
        self.values[f":{field}"] = _attribute(value)
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
