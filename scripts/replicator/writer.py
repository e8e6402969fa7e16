"""Rows and dead letters into ClickHouse: a bad row is quarantined alone, an unreachable server is waited for."""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from clickhouse_connect.driver.exceptions import DatabaseError, DataError, OperationalError

from scripts.replicator.transform import PoisonError, Transform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clickhouse_connect.driver.client import Client

    from hud_endpoint.clickhouse.ddl import Column

log = logging.getLogger(__name__)

TABLE = "default.oot_workflow_job"
ERRORS_TABLE = "default.oot_replication_errors"
# Both tables replace, so a repeated block does no harm; deduplicated, a retry could miss the view of failed tests.
_SETTINGS = {"insert_deduplicate": 0}
# ClickHouse's error codes that speak of a value: cannot parse (6, 26, 27, 38, 41, 69, 72), incorrect data (117),
# type mismatch (53, 70), out of bounds (69, 131, 321, 407), a null (349), an unknown enum (36), a constraint (469).
_VALUE_CODES = frozenset({6, 26, 27, 36, 38, 41, 53, 69, 70, 72, 117, 131, 321, 349, 407, 469})


class Written(NamedTuple):
    """How many rows landed, and how many records went to the dead letters."""

    rows: int
    dead: int


class Writer:
    """Writes batches of stream records; a batch may be written twice without harm (the table deduplicates)."""

    def __init__(self, client: Client, columns: Sequence[Column], statuses: Sequence[str]) -> None:
        self._client = client
        self._names = [column.name for column in columns]
        self._types = [column.type for column in columns]
        self._transform = Transform(columns, statuses)

    def write(self, records: Sequence[Mapping[str, Any]]) -> Written:
        """Write a batch durably.

        Raises OperationalError (or the connection's own error) while ClickHouse can't be reached: nothing is lost,
        write the same batch again.
        """
        good: list[tuple[Mapping[str, Any], list[Any]]] = []
        dead: list[tuple[Mapping[str, Any], str]] = []
        for record in records:
            try:
                row = self._transform.row(record)
            except PoisonError as error:
                dead.append((record, str(error)))
            else:
                if row is not None:
                    good.append((record, row))
        refused = self._insert(good)
        dead += refused
        if dead:
            self._bury(dead)
        return Written(rows=len(good) - len(refused), dead=len(dead))

    def _insert(self, batch: list[tuple[Mapping[str, Any], list[Any]]]) -> list[tuple[Mapping[str, Any], str]]:
        """Insert the rows; where ClickHouse refuses some for what they hold, halve until these are alone."""
        if not batch:
            return []
        try:
            self._client.insert(
                TABLE,
                [row for _, row in batch],
                column_names=self._names,
                column_type_names=self._types,
                settings=_SETTINGS,
            )
        except OperationalError:
            raise
        except (DataError, DatabaseError) as error:
            if not _blames_a_value(error):
                raise OperationalError(str(error)) from error
            if len(batch) == 1:
                return [(batch[0][0], str(error)[:1000])]
            middle = len(batch) // 2
            return self._insert(batch[:middle]) + self._insert(batch[middle:])
        return []

    def _bury(self, dead: list[tuple[Mapping[str, Any], str]]) -> None:
        rows = []
        for record, reason in dead:
            change = record["dynamodb"]
            key = (change.get("Keys") or {}).get("dynamoKey", {}).get("S", "")
            log.error("record %r can't be replicated: %s", key, reason)
            told = ("dynamodb-stream", key, change.get("SequenceNumber", ""), reason, json.dumps(record, default=str))
            rows.append([text.encode(errors="backslashreplace").decode() for text in told])
        self._client.insert(
            ERRORS_TABLE, rows, column_names=["source", "record_id", "sequence_number", "reason", "record"]
        )


def _blames_a_value(error: Exception) -> bool:
    """Tell a value that ClickHouse will never accept from everything else, which it or its operator will get over."""
    if isinstance(error, DataError):
        return True
    code = re.search(r"\bcode: (\d+)", str(error))
    return code is not None and int(code[1]) in _VALUE_CODES
