"""The tables: created with all they need, left alone where they exist, and an error in words where a store is away."""

from __future__ import annotations

import json
import socket
import uuid
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from hud_endpoint.clickhouse.ddl import Migration, migrations, statements
from oot_ops import create_tables
from oot_ops.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oot_local.stack import Stack

TARGETS = {
    "local": "ReplacingMergeTree(version",
    "cloud": "SharedReplacingMergeTree(",
    "cluster": "ReplicatedReplacing",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the user's; one attempt, for a refused connection will not get better."""
    for name in ("RESULTS_TABLE", "RELAY_TABLE", "RETENTION_DAYS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "DEFAULT_REGION": "us-east-1",
        "ACCESS_KEY_ID": "x",
        "SECRET_ACCESS_KEY": "x",
        "MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)


@pytest.fixture
def nowhere() -> Iterator[str]:
    """The URL of a port that refuses every connection."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{closed.getsockname()[1]}"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str, aws: str = "", clickhouse: str = "") -> int:
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws)
    monkeypatch.setenv("CLICKHOUSE_URL", clickhouse)
    return main(["tables", *arguments])


class TestDryRun:
    def test_prints_everything_and_touches_nothing(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], nowhere: str
    ) -> None:
        assert run(monkeypatch, "--dry-run", aws=nowhere, clickhouse=nowhere) == 0  # any touch would fail
        told = capsys.readouterr().out
        head, *parts = told.split("\n-- ClickHouse, ")
        assert [table["TableName"] for table in json.loads(head)["dynamodb"]] == [
            "torchci-oot-workflow-job",
            "torchci-oot-relay",
            "torchci-oot-replicator",
        ]
        assert [part.partition("\n")[0] for part in parts] == list(TARGETS)
        for part, engine in zip(parts, TARGETS.values(), strict=True):
            assert engine in part

    @pytest.mark.parametrize("target", TARGETS)
    def test_prints_one_target_when_asked(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], target: Any
    ) -> None:
        arguments = ("--dry-run", "--target", target, "--retention-days", "42", "--cluster", "mine")
        assert run(monkeypatch, *arguments) == 0
        told = capsys.readouterr().out
        assert told.count("-- ClickHouse, ") == 1
        assert ";\n\n".join(statements(target, retention_days=42, cluster="mine")) in told


class TestCreation:
    @pytest.fixture
    def names(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Two tables that are not there yet."""
        names = [f"{kind}-{uuid.uuid4().hex}" for kind in ("results", "relay")]
        for variable, name in zip(("RESULTS_TABLE", "RELAY_TABLE"), names, strict=True):
            monkeypatch.setenv(variable, name)
        return names

    @pytest.fixture
    def stores(self, stack: Stack) -> dict[str, str]:
        return {"aws": stack.state["aws_endpoint_url"], "clickhouse": stack.state["clickhouse_url"]}

    def test_creates_what_is_missing_and_leaves_the_rest(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        names: list[str],
        stores: dict[str, str],
    ) -> None:
        for created in (", ".join(names), "nothing, all there", "nothing, all there"):
            assert run(monkeypatch, **stores) == 0
            assert capsys.readouterr().out == f"DynamoDB: created {created}; ClickHouse: applied nothing, all there\n"

    @pytest.mark.parametrize(
        ("only", "told"), [("dynamodb", "DynamoDB: created"), ("clickhouse", "ClickHouse: applied")]
    )
    def test_one_store_alone(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        names: list[str],
        stores: dict[str, str],
        nowhere: str,
        only: str,
        told: str,
    ) -> None:
        away = {"clickhouse": "aws", "dynamodb": "clickhouse"}[only]
        assert run(monkeypatch, "--only", only, **{**stores, away: nowhere}) == 0  # any touch of the other would fail
        out = capsys.readouterr().out
        assert out.startswith(told)
        assert ";" not in out
        assert (names[0] in out) == (only == "dynamodb")

    def test_what_is_created_has_streams_indexes_and_expiry(
        self, monkeypatch: pytest.MonkeyPatch, names: list[str], stores: dict[str, str], aws: dict[str, Any]
    ) -> None:
        run(monkeypatch, **stores)
        client = boto3.client("dynamodb", **aws)
        results, relay = (client.describe_table(TableName=name)["Table"] for name in names)
        expiries = [client.describe_time_to_live(TableName=name)["TimeToLiveDescription"] for name in names]
        client.close()
        assert results["StreamSpecification"] == {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        assert results["KeySchema"] == [{"AttributeName": "dynamoKey", "KeyType": "HASH"}]
        assert {index["IndexName"]: index["KeySchema"] for index in results["GlobalSecondaryIndexes"]} == {
            name: [{"AttributeName": name, "KeyType": "HASH"}] for name in ("running_repo", "running_pr")
        }
        assert "StreamSpecification" not in relay
        for table in (results, relay):
            assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
        assert [expiry["AttributeName"] for expiry in expiries] == ["expires_at"] * 2
        assert [expiry["TimeToLiveStatus"] for expiry in expiries] == ["ENABLED"] * 2

    @pytest.mark.parametrize("away", ["aws", "clickhouse"])
    def test_a_store_that_is_away_is_told_in_words(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        stores: dict[str, str],
        nowhere: str,
        away: str,
    ) -> None:
        assert run(monkeypatch, **{**stores, away: nowhere}) == 1
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err.startswith("tables: ")
        assert "Traceback" not in told.err
        assert nowhere.removeprefix("http://").partition(":")[2] in told.err  # where it looked
        assert told.err.endswith("(Are AWS_ENDPOINT_URL and CLICKHOUSE_URL right?)\n")
        assert len(told.err) < 700


class TestCheck:
    @pytest.fixture
    def clickhouse_url(self, stack: Stack) -> str:
        return str(stack.state["clickhouse_url"])

    def test_a_database_that_lacks_nothing(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clickhouse_url: str, nowhere: str
    ) -> None:
        assert run(monkeypatch, "--check", clickhouse=clickhouse_url, aws=nowhere) == 0
        assert capsys.readouterr().out == "ClickHouse is up to date\n"

    def test_what_it_lacks_is_named_and_not_made(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clickhouse_url: str
    ) -> None:
        more = Migration(999, "999_more.sql", "0" * 64, ["CREATE TABLE default.more (x UInt8) ENGINE = Memory"])
        monkeypatch.setattr(create_tables, "migrations", lambda: [*migrations(), more])
        for _ in range(2):
            assert run(monkeypatch, "--check", clickhouse=clickhouse_url) == 1
            assert capsys.readouterr().out == "ClickHouse lacks 999_more.sql: run `oot-hud tables`\n"

    def test_a_changed_file_is_told(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clickhouse_url: str
    ) -> None:
        first, *others = migrations()
        monkeypatch.setattr(create_tables, "migrations", lambda: [first._replace(sha256="0" * 64), *others])
        assert run(monkeypatch, "--check", clickhouse=clickhouse_url) == 1
        assert capsys.readouterr().err.startswith(f"tables: {first.name} was changed after it had been applied")
