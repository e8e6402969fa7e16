"""Both sides as keys, versions and digests inside ClickHouse, where they are compared; Python never holds them.

The rows that DynamoDB's items mean pass through a table that keeps nothing (engine Null) into a view that keeps their
digests, so both sides are cast and hashed by the same server, whatever columns there are.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from hud_endpoint.clickhouse.ddl import insert_columns
from oot_replicator.writing.writer import TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from clickhouse_connect.driver.client import Client

    from hud_endpoint.clickhouse.ddl import Column

SCAN = 0  # the round of what the scan found; later ones look again at what differed
PAGE = 100  # as many items as BatchGetItem takes
_PREFIX = "oot_verify_"
_LEFT_OVER_SECONDS = 24 * 3600
# A group that does not fit goes to disk, so the number of keys has no limit.
_SETTINGS = {"max_bytes_before_external_group_by": 1024**3, "max_execution_time": 3600}


class Difference(NamedTuple):
    """A key whose two sides differ: missing or stale in ClickHouse, or extra there. A version is 0 where none is."""

    kind: str
    dynamo_key: str
    first_seen_ms: int
    version: int
    clickhouse_version: int


class Staging:
    """The tables of one comparison; use it as a context manager, which drops them."""

    def __init__(self, client: Client, since: datetime) -> None:
        self._client = client
        self._since_ms = int(since.timestamp() * 1000)
        self._name = f"default.{_PREFIX}{int(time.time())}_{secrets.token_hex(4)}"
        self.columns: Sequence[Column] = insert_columns(client, TABLE)

    def __enter__(self) -> Staging:
        self._drop_left_over()
        compared = [f"`{column.name}`" for column in self.columns if column.name not in ("version", "is_deleted")]
        self._digest = f"sipHash128(tuple({', '.join(compared)}))"
        structure = ", ".join(f"`{column.name}` {column.type}" for column in self.columns)
        name = self._name
        self._client.command(
            f"CREATE TABLE {name}_in (`round` UInt32, `versioned` Bool, {structure}) ENGINE = Null",
        )
        self._client.command(
            f"CREATE TABLE {name} (round UInt32, versioned Bool, dynamoKey String, first_seen DateTime64(3, 'UTC'), "
            "version UInt64, digest FixedString(16)) ENGINE = MergeTree ORDER BY (round, dynamoKey)"
        )
        self._client.command(
            f"CREATE TABLE {name}_diff (kind LowCardinality(String), dynamoKey String, first_seen_ms Int64, "
            "version UInt64, clickhouse_version UInt64) ENGINE = MergeTree ORDER BY (first_seen_ms, dynamoKey)"
        )
        self._client.command(
            f"CREATE MATERIALIZED VIEW {name}_mv TO {name} AS "  # noqa: S608 - our own names
            f"SELECT round, versioned, dynamoKey, first_seen, version, {self._digest} AS digest FROM {name}_in "
            f"WHERE {self._in_window}"
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._drop(self._name)

    def add(self, columns: Sequence[Sequence[Any]], versioned: Sequence[bool], number: int = SCAN) -> None:
        """Take rows in column order. `versioned` tells which versions can be compared: those made of a revision."""
        if not versioned:
            return
        types = [column.type for column in self.columns]
        self._client.insert(
            f"{self._name}_in",
            [[number] * len(versioned), versioned, *columns],
            column_names=["round", "versioned", *(column.name for column in self.columns)],
            column_type_names=["UInt32", "Bool", *types],
            column_oriented=True,
        )

    def compare(self) -> None:
        """Find where the scan and ClickHouse differ; `pages` gives it."""
        self._client.command(
            f"INSERT INTO {self._name}_diff {self._differences(SCAN, self._in_window)}", settings=_SETTINGS
        )

    def count(self) -> int:
        """Give how many keys the scan has put in."""
        told = self._client.query(f"SELECT count() FROM {self._name} WHERE round = {SCAN}")  # noqa: S608 - our own name
        return int(told.result_rows[0][0])

    def pages(self) -> Iterator[list[Difference]]:
        """Give what `compare` found, in pages of one time each."""
        after: tuple[int, str] = (-(2**63), "")
        while True:
            found = self._client.query(
                f"SELECT kind, dynamoKey, first_seen_ms, version, clickhouse_version FROM {self._name}_diff "  # noqa: S608
                "WHERE (first_seen_ms, dynamoKey) > ({time: Int64}, {key: String}) "
                f"ORDER BY first_seen_ms, dynamoKey LIMIT {PAGE}",
                parameters={"time": after[0], "key": after[1]},
            ).result_rows
            if not found:
                return
            page = [Difference(*row) for row in found]
            yield page
            after = (page[-1].first_seen_ms, page[-1].dynamo_key)

    def compare_again(self, page: Sequence[Difference], number: int) -> dict[tuple[str, int], Difference]:
        """Compare these keys anew with what was added as round `number`; gives those that still differ."""
        times = [one.first_seen_ms for one in page]
        # Keys begin with their repo; time and repo are what the table is sorted by.
        repos = {"/".join(one.dynamo_key.split("/")[:2]) for one in page}
        where = (
            "first_seen BETWEEN fromUnixTimestamp64Milli({first: Int64}, 'UTC') "
            "AND fromUnixTimestamp64Milli({last: Int64}, 'UTC') "
            "AND downstream_repo IN {repos: Array(String)} AND dynamoKey IN {keys: Array(String)}"
        )
        parameters = {
            "first": min(times),
            "last": max(times),
            "repos": sorted(repos),
            "keys": [one.dynamo_key for one in page],
        }
        rows = self._client.query(self._differences(number, where), parameters=parameters).result_rows
        return {(one.dynamo_key, one.first_seen_ms): one for one in (Difference(*row) for row in rows)}

    @property
    def _in_window(self) -> str:
        return f"first_seen >= fromUnixTimestamp64Milli({self._since_ms}, 'UTC')"

    def _differences(self, number: int, where: str) -> str:
        """The SELECT of what differs; FINAL shows a row as its last version has it, and none that was deleted."""
        return f"""
            SELECT
                multiIf(here = 0, 'missing', there = 0, 'extra', 'stale') AS kind,
                dynamoKey,
                toUnixTimestamp64Milli(first_seen) AS first_seen_ms,
                dynamodb_version,
                clickhouse_version
            FROM (
                SELECT
                    dynamoKey,
                    first_seen,
                    countIf(dynamodb) AS there,
                    countIf(NOT dynamodb) AS here,
                    maxIf(version, dynamodb) AS dynamodb_version,
                    maxIf(version, NOT dynamodb) AS clickhouse_version,
                    uniqExact(digest) AS digests,
                    max(versioned) AS comparable
                FROM (
                    SELECT true AS dynamodb, dynamoKey, first_seen, version, versioned, digest
                    FROM {self._name} WHERE round = {number}
                    UNION ALL
                    SELECT false, dynamoKey, first_seen, version, false, {self._digest}
                    FROM {TABLE} FINAL WHERE {where}
                )
                GROUP BY dynamoKey, first_seen
            )
            WHERE there = 0 OR here = 0 OR digests > 1 OR (comparable AND dynamodb_version != clickhouse_version)
        """  # noqa: S608 - our own names

    def _drop(self, name: str) -> None:
        for kind, suffix in (("VIEW", "_mv"), ("TABLE", "_in"), ("TABLE", "_diff"), ("TABLE", "")):
            self._client.command(f"DROP {kind} IF EXISTS {name}{suffix}")

    def _drop_left_over(self) -> None:
        """Drop what a killed comparison left behind."""
        rows = self._client.query(
            "SELECT name FROM system.tables WHERE database = 'default' AND startsWith(name, {prefix: String})",
            parameters={"prefix": _PREFIX},
        ).result_rows
        for name in {"_".join(name.split("_")[:4]) for (name,) in rows}:
            if int(name.split("_")[2]) < time.time() - _LEFT_OVER_SECONDS:
                self._drop(f"default.{name}")
