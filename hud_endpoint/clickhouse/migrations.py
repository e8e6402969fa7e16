"""Brings a database to the code's schema: each numbered file is applied once, in order, and recorded when it is done.

Every statement may be run again without harm, so a run that was cut off goes on with the next one, two runs at the
same time end as one, and a database from before there was a record is taken over by running what it already has.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clickhouse_connect.driver.client import Client

    from hud_endpoint.clickhouse.ddl import Migration

_RECORD = "oot_schema_version"
_TRIES, _PAUSE_SECONDS = 3, 1.0


class MigrationError(Exception):
    """The database can't be brought to this schema; the message says why and what to do. Nothing was changed."""


def pending(client: Client, migrations: Sequence[Migration], *, database: str = "default") -> list[Migration]:
    """Give the migrations that the database lacks, in order; changes nothing.

    Raises MigrationError when the database is newer than the code, when a file was changed after it was applied, or
    when a table of the same name is somebody else's.
    """
    applied = _applied(client, database)
    known = {migration.number: migration for migration in migrations}
    if newer := sorted(applied.keys() - known.keys()):
        names = ", ".join(applied[number][0] for number in newer)
        raise MigrationError(
            f"The database has {names}, which this code does not know: a newer release was here. "
            "Use that release, or a later one."
        )
    for number, (name, sha256) in sorted(applied.items()):
        if known[number].sha256 != sha256:
            raise MigrationError(
                f"{known[number].name} was changed after it had been applied (as {name}): "
                "restore the file, and put the change into a new one with the next number."
            )
    if not applied:
        _refuse_foreign_table(client, database)
    return [migration for migration in migrations if migration.number not in applied]


def apply(client: Client, migrations: Sequence[Migration], *, database: str = "default") -> list[Migration]:
    """Apply what is pending; gives what that was. Raises MigrationError as `pending` does, and ClickHouse's errors."""
    lacking = pending(client, migrations, database=database)
    for migration in lacking:
        _apply_file(client, migration, database)
    return lacking


def _apply_file(client: Client, migration: Migration, database: str) -> None:
    """Run one file and record it. Of two runs at the same time, each may take away what the other's next step needs.

    Then the file is begun again, unless the other run has recorded it by now.
    """
    from clickhouse_connect.driver.exceptions import DatabaseError

    for tries_left in reversed(range(_TRIES)):
        try:
            for statement in migration.statements:
                client.command(statement)
            break
        except DatabaseError:
            if not tries_left:
                raise
            time.sleep(_PAUSE_SECONDS)
            if migration.number in _applied(client, database):
                return
    client.insert(
        f"{database}.{_RECORD}",
        [[migration.number, migration.name, migration.sha256]],
        column_names=["number", "name", "sha256"],
    )


def _applied(client: Client, database: str) -> dict[int, tuple[str, str]]:
    """Give name and digest of each recorded migration by its number."""
    if not client.command(f"EXISTS TABLE {database}.{_RECORD}"):
        return {}
    rows = client.query(f"SELECT number, name, sha256 FROM {database}.{_RECORD} FINAL").result_rows  # noqa: S608
    return {number: (name, sha256) for number, name, sha256 in rows}


def _refuse_foreign_table(client: Client, database: str) -> None:
    """RFC-0054's own table has the same name and no version: rows written to it would not replace each other."""
    columns = {
        name
        for (name,) in client.query(
            "SELECT name FROM system.columns WHERE database = {database: String} AND table = 'oot_workflow_job'",
            parameters={"database": database},
        ).result_rows
    }
    if columns and "version" not in columns:
        raise MigrationError(
            f"{database}.oot_workflow_job exists and has no column `version`: it is not this project's. Rename it, run "
            "this again, and bring its jobs over with `oot-hud backfill`."
        )
