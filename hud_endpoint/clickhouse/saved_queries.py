"""Saved queries in HUD's own format: `queries/<name>/query.sql`, and `params.json` naming each parameter's type."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clickhouse_connect.driver.client import Client

# A page may be slow, but never take the server down with it.
_LIMITS = {"readonly": 2, "max_execution_time": 10, "max_memory_usage": 4 * 1024**3, "max_result_rows": 100_000}


@dataclass(frozen=True)
class SavedQuery:
    """A query and the ClickHouse types of its parameters."""

    name: str
    sql: str
    params: Mapping[str, str]


@cache
def saved_query(name: str) -> SavedQuery:
    """Read one of the queries that come with the package."""
    folder = files("hud_endpoint.clickhouse") / "queries" / name
    params = json.loads((folder / "params.json").read_text())["params"]
    return SavedQuery(name, (folder / "query.sql").read_text(), params)


def run(client: Client, name: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Run a saved query, read-only and bounded, and give its rows by column name.

    Raises clickhouse_connect's errors as they come.
    """
    query = saved_query(name)
    if set(parameters) != set(query.params):
        raise ValueError(f"{name} takes the parameters {sorted(query.params)}, not {sorted(parameters)}")
    result = client.query(query.sql, parameters=dict(parameters), settings=_LIMITS)
    return list(result.named_results())
