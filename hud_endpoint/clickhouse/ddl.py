"""The schema rendered for where it runs: one server, ClickHouse Cloud, or a cluster of one's own."""

from __future__ import annotations

from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

Target = Literal["local", "cloud", "cluster"]

_REPLICA_ARGS = "'/clickhouse/tables/{uuid}/{shard}', '{replica}', "


class Column(NamedTuple):
    """A column that rows are inserted into: its name, its ClickHouse type, and its DEFAULT ("" for the type's own)."""

    name: str
    type: str
    default: str


def statements(target: Target = "local", *, retention_days: int = 100, cluster: str = "default") -> list[str]:
    """Give the CREATE statements in the order to run them; each may be run again without harm.

    `cloud` names SharedReplacingMergeTree, `cluster` ReplicatedReplacingMergeTree ON CLUSTER.
    """
    values = {
        "engine_prefix": {"local": "", "cloud": "Shared", "cluster": "Replicated"}[target],
        "replica_args": _REPLICA_ARGS if target == "cluster" else "",  # Cloud fills in its own
        "on_cluster": f" ON CLUSTER '{cluster}'" if target == "cluster" else "",
        "retention_days": retention_days,
    }
    rendered = []
    folder = files("hud_endpoint.clickhouse") / "schema"
    for file in sorted(folder.iterdir(), key=lambda path: path.name):
        text = Template(file.read_text()).substitute(values)
        rendered += [statement.strip() for statement in text.split(";\n") if statement.strip()]
    return rendered


def insert_columns(client: Client, table: str) -> list[Column]:
    """Give the columns of a table that rows are inserted into, as the server has them (aliases are left out)."""
    described = client.query(f"DESCRIBE TABLE {table}").named_results()
    return [
        Column(str(column["name"]), str(column["type"]), str(column["default_expression"]))
        for column in described
        if column["default_type"] in ("", "DEFAULT")
    ]
