"""ClickHouse on a cluster of one's own: replicated where the data is, Distributed under the same names elsewhere."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from hud_endpoint.clickhouse.connection import connect
from hud_endpoint.clickhouse.ddl import statements
from hud_endpoint.clickhouse.saved_queries import names, read_parameters, run, saved_query
from hud_endpoint.views.data.reader import ClickHouseReader
from hud_endpoint.views.models.filters import Filters
from oot_local.processes import reserve_port
from oot_ops.create_tables import create_clickhouse
from tests.deploy.own_clickhouse import configured_clickhouse
from tests.hud_endpoint.clickhouse import history
from tests.hud_endpoint.clickhouse.test_saved_queries import FOLDER
from tests.hud_endpoint.views.test_oracle import RUNNING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clickhouse_connect.driver.client import Client

SQL = (Path(__file__).resolve().parents[2] / "deploy/clickhouse/distributed.sql").read_text()
DISTRIBUTED = [part.strip() for part in re.sub(r"--.*", "", SQL).split(";") if part.strip()]
NOW = datetime.now(UTC).replace(microsecond=0)
REPOS = ["cluster/a", "cluster/b"]
CLUSTER = """
    <tcp_port>{tcp}</tcp_port>
    <remote_servers>
        <oot><shard><replica><host>127.0.0.1</host><port>{shard}</port></replica></shard></oot>
    </remote_servers>
"""


def test_each_table_is_replicated_and_each_statement_is_for_the_whole_cluster() -> None:
    for statement in statements("cluster", cluster="oot"):
        assert "ON CLUSTER 'oot'" in statement or "INSERT INTO default.oot_repo_names" in statement, statement
        for engine in re.findall(r"ENGINE = (\w+)\('/clickhouse/tables/{uuid}/{shard}', '{replica}'", statement):
            assert engine in ("ReplicatedReplacingMergeTree", "ReplicatedAggregatingMergeTree"), statement
        assert statement.count("ENGINE = ") == statement.count("/clickhouse/tables/{uuid}/{shard}"), statement


def test_every_table_that_a_reader_reads_is_there_under_its_own_name() -> None:
    read = {
        table
        for name in names()
        for table in re.findall(r"\b(?:default|oot)\.\w+", re.sub(r"--.*", "", saved_query(name).sql))
    }
    made = re.findall(r"TABLE IF NOT EXISTS ([\w.]+)\nENGINE = Distributed\('oot', '(\w+)', '(\w+)'", SQL)
    assert {name for name, _, _ in made} == read | {"default.crcr_workflow_job"}
    assert all(name == f"{database}.{table}" for name, database, table in made)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Client]]:
    """A node that holds the data, and one that has the Distributed tables alone."""
    holds, asks = (reserve_port(0, "clickhouse") for _ in range(2))
    shard, other = (reserve_port(0, "clickhouse-tcp") for _ in range(2))
    folder = tmp_path_factory.mktemp("cluster")
    with (
        configured_clickhouse(folder / "holds", holds, CLUSTER.format(tcp=shard, shard=shard), tcp=True) as holder,
        configured_clickhouse(folder / "asks", asks, CLUSTER.format(tcp=other, shard=shard)) as asker,
    ):
        create_clickhouse(holder, "local", 100, "default")
        data, entry = connect(holder), connect(asker)
        for statement in DISTRIBUTED:
            entry.command(statement)
        history.load(data, history.made_up(REPOS, NOW, "cluster"))
        history.refresh(data)
        yield data, entry
        data.close()
        entry.close()


@pytest.mark.parametrize("name", sorted(names()))
def test_every_saved_query_answers_the_same(name: str, nodes: tuple[Client, Client]) -> None:
    data, entry = nodes
    for told in json.loads((FOLDER / name / "params.json").read_text())["tests"]:
        parameters = read_parameters(saved_query(name), told)
        assert repr(run(entry, name, parameters)) == repr(run(data, name, parameters))  # as text: NaN is not NaN


def test_every_page_is_the_same(nodes: tuple[Client, Client]) -> None:
    async def pages(client: Client) -> list[Any]:
        reader = ClickHouseReader(lambda: client, RUNNING, now=lambda: NOW)
        found: list[Any] = [
            await reader.summary(Filters(days=30)),
            *[await reader.backend(repo, Filters(days=30)) for repo in REPOS],
            await reader.pull_request(104),
            await reader.test("test_sdpa", Filters(days=30)),
        ]
        return [replace(page, freshness=None) for page in found]  # when it was read

    data, entry = (anyio.run(pages, client) for client in nodes)
    assert all(repo in repr(data) for repo in REPOS)
    assert repr(entry) == repr(data)


def test_final_shows_each_job_once_and_an_insert_arrives(nodes: tuple[Client, Client]) -> None:
    data, entry = nodes
    row = {
        **history.made_up(["cluster/c"], NOW, "cluster-c", runs=3)[0],
        "dynamoKey": "cluster/c/1",
        "is_deleted": 0,
        "conclusion": "failure",
    }
    for version, conclusion in ((2, "success"), (1, "failure")):
        told = {**row, "version": version, "conclusion": conclusion}
        entry.insert(
            "default.oot_workflow_job",
            [list(told.values())],
            column_names=list(told),
            settings={"distributed_foreground_insert": 1},
        )
    query = "SELECT conclusion FROM default.oot_workflow_job FINAL WHERE dynamoKey = 'cluster/c/1'"
    assert data.query(query).result_rows == entry.query(query).result_rows == [("success",)]
