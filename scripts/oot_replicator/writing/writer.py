"""Batches of records into ClickHouse: a bad record is quarantined alone, an unreachable server is waited for."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from clickhouse_connect.driver.exceptions import DatabaseError, DataError, OperationalError

from oot_replicator.rows.transform import Transform
from oot_replicator.writing.letters import Table, letter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clickhouse_connect.driver.client import Client

    from hud_endpoint.clickhouse.ddl import Column
    from oot_replicator.writing.letters import DeadLetters

    Dead = list[tuple[Mapping[str, Any], str]]

TABLE = "default.oot_workflow_job"
# ClickHouse's error codes that speak of a value: cannot parse (6, 26, 27, 38, 41, 69, 72), incorrect data (117),
# type mismatch (53, 70), out of bounds (69, 131, 321, 407), a null (349), an unknown enum (36), a constraint (469).
_VALUE_CODES = frozenset({6, 26, 27, 36, 38, 41, 53, 69, 70, 72, 117, 131, 321, 349, 407, 469})


class Written(NamedTuple):
    """How many rows landed, and how many records went to the dead letters."""

    rows: int
    dead: int


def batch_numbers(records: Sequence[Mapping[str, Any]], written: Written) -> dict[str, float]:
    """Return what is counted of a batch; `lag` is the age of its newest record, 0 where it doesn't say."""
    now = datetime.now(UTC)
    created = records[-1].get("dynamodb", {}).get("ApproximateCreationDateTime")
    lag = (now - created).total_seconds() if isinstance(created, datetime) else 0.0
    return {
        "records": len(records),
        "rows": written.rows,
        "dead_letters": written.dead,
        "lag": max(lag, 0.0),
        "last_batch": now.timestamp(),
    }


class Writer:
    """Writes batches of stream records; a batch may be written twice without harm (the table deduplicates).

    With `asynchronous`, ClickHouse collects the rows of many small inserts (async_insert); it answers when they are
    durable all the same.
    """

    def __init__(
        self,
        client: Client,
        columns: Sequence[Column],
        statuses: Sequence[str],
        dead_letters: DeadLetters | None = None,
        *,
        asynchronous: bool = False,
    ) -> None:
        self._client = client
        self._names = [column.name for column in columns]
        self._types = [column.type for column in columns]
        self._transform = Transform(columns, statuses)
        self._dead_letters = dead_letters or Table(client)
        # The table replaces: a repeated block does no harm; deduplicated, a retry could miss the view of failed tests.
        self._settings = {"insert_deduplicate": 0, "wait_for_async_insert": 1}
        self._asynchronous = asynchronous

    def write(self, records: Sequence[Mapping[str, Any]]) -> Written:
        """Write a batch durably.

        Raises OperationalError (or the connection's own error) while ClickHouse can't be reached: nothing is lost,
        write the same batch again.
        """
        made = self._transform.rows(records)
        refused: Dead = []
        if made.records:
            refused = self._insert(made.columns, made.records, asynchronous=self._asynchronous)
        dead = made.dead + refused
        if dead:
            self._dead_letters.bury([letter(record, reason) for record, reason in dead])
        return Written(rows=len(made.records) - len(refused), dead=len(dead))

    def _insert(
        self, columns: list[list[Any]], records: Sequence[Mapping[str, Any]], *, asynchronous: bool = False
    ) -> Dead:
        """Insert the rows; where ClickHouse refuses some for what they hold, halve until these are alone."""
        try:
            self._client.insert(
                TABLE,
                columns,
                column_names=self._names,
                column_type_names=self._types,
                column_oriented=True,
                settings=self._settings | {"async_insert": int(asynchronous)},
            )
        except OperationalError:
            raise
        except (DataError, DatabaseError) as error:
            if not _blames_a_value(error):
                raise OperationalError(str(error)) from error
            if asynchronous:
                return self._insert(columns, records)  # it may have answered for rows of others, collected with ours
            if len(records) == 1:
                return [(records[0], str(error))]
            middle = len(records) // 2
            halves = (slice(None, middle), slice(middle, None))
            return [one for half in halves for one in self._insert([column[half] for column in columns], records[half])]
        return []


def _blames_a_value(error: Exception) -> bool:
    """Tell a value that ClickHouse will never accept from everything else, which it or its operator will get over."""
    if isinstance(error, DataError):
        return True
    code = re.search(r"\bcode: (\d+)", str(error))
    return code is not None and int(code[1]) in _VALUE_CODES
