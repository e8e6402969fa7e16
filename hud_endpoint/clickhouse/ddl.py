"""The schema rendered for where it runs: one server, ClickHouse Cloud, or a cluster of one's own."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from clickhouse_connect.driver.client import Client

Target = Literal["local", "cloud", "cluster"]

_REPLICA = "'/clickhouse/tables/{uuid}/{shard}', '{replica}'"


class Column(NamedTuple):
    """A column that rows are inserted into: its name, its ClickHouse type, and its DEFAULT ("" for the type's own)."""

    name: str
    type: str
    default: str


class Migration(NamedTuple):
    """One numbered file of the schema: its statements are rendered and may each be run again without harm."""

    number: int
    name: str
    sha256: str
    statements: list[str]


def migrations(
    target: Target = "local",
    *,
    retention_days: int = 100,
    cluster: str = "default",
    folder: Traversable | None = None,
) -> list[Migration]:
    """Give the files of the schema by number; `folder` holds others than the package's own.

    `cloud` names SharedReplacingMergeTree, `cluster` ReplicatedReplacingMergeTree ON CLUSTER.
    Raises ValueError when two files share a number or a file's name has none.
    """
    values = {
        "engine_prefix": {"local": "", "cloud": "Shared", "cluster": "Replicated"}[target],
        "replica": _REPLICA if target == "cluster" else "",  # Cloud fills in its own
        "replica_args": f"{_REPLICA}, " if target == "cluster" else "",
        "on_cluster": f" ON CLUSTER '{cluster}'" if target == "cluster" else "",
        "retention_days": retention_days,
    }
    found: dict[int, Migration] = {}
    for file in (folder or files("hud_endpoint.clickhouse") / "schema").iterdir():
        told = re.fullmatch(r"(\d{3})_\w+\.sql", file.name)
        if told is None:
            raise ValueError(f"{file.name} in the schema's folder: a migration's name is NNN_what_it_does.sql")
        number, text = int(told[1]), file.read_text()
        if number in found:
            raise ValueError(f"{file.name} and {found[number].name} have the same number: give one the next free one")
        rendered = re.split(r"(?m);\s*$", Template(text).substitute(values))
        digest = hashlib.sha256(text.encode()).hexdigest()
        found[number] = Migration(number, file.name, digest, [part.strip() for part in rendered if part.strip()])
    return [found[number] for number in sorted(found)]


def statements(target: Target = "local", *, retention_days: int = 100, cluster: str = "default") -> list[str]:
    """Give the whole schema's statements in the order to run them; each may be run again without harm."""
    ordered = migrations(target, retention_days=retention_days, cluster=cluster)
    return [statement for migration in ordered for statement in migration.statements]


def rollups() -> list[str]:
    """Give the tables of the database `oot` that refreshable views fill, each after those it is computed from.

    The view of each is named like it, with `_mv`. Where a later file makes a view anew, its place there counts.
    """
    made = re.findall(r"(?m)^CREATE MATERIALIZED VIEW IF NOT EXISTS oot\.(\w+)_mv", "\n".join(statements()))
    return list(dict.fromkeys(reversed(made)))[::-1]


def insert_columns(client: Client, table: str) -> list[Column]:
    """Give the columns of a table that rows are inserted into, as the server has them (aliases are left out)."""
    described = client.query(f"DESCRIBE TABLE {table}").named_results()
    return [
        Column(str(column["name"]), str(column["type"]), str(column["default_expression"]))
        for column in described
        if column["default_type"] in ("", "DEFAULT")
    ]
