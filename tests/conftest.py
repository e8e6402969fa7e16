"""What tests share: the local stack, real and started once a session."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from aws_lambda_powertools.logging.formatter import THREAD_LOCAL_KEYS
from hypothesis import settings

from hud_endpoint.clickhouse.connection import connect
from hud_endpoint.contract import RELAY_TABLE
from oot_local import stack as local
from oot_ops.create_tables import dynamodb_tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clickhouse_connect.driver.client import Client
    from types_boto3_dynamodb.client import DynamoDBClient

# Child processes find the same packages as the tests, whatever their folder is.
os.environ["PYTHONPATH"] = os.pathsep.join(str(Path(__file__).parents[1] / folder) for folder in (".", "scripts"))
# So do shells that call `oot-hud`, whatever is installed.
_BIN = tempfile.TemporaryDirectory(prefix="oot-hud-bin-")
_SCRIPT = Path(_BIN.name, "oot-hud")
_SCRIPT.write_text(
    f'#!/bin/sh\nPYTHONPATH="{os.environ["PYTHONPATH"]}" exec "{sys.executable}" -m oot_ops "$@"\n', encoding="utf-8"
)
_SCRIPT.chmod(0o755)
os.environ["PATH"] = os.pathsep.join((_BIN.name, os.environ["PATH"]))
settings.register_profile("default", deadline=None, derandomize=True)  # the same examples on every machine
settings.load_profile("default")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the local stack, so that `-m "not stack"` runs all the rest without it."""
    for item in items:
        if isinstance(item, pytest.Function) and "stack" in item.fixturenames:
            item.add_marker("stack")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests told with record_property("told", ...), from whichever worker."""
    for report in terminalreporter.getreports("passed"):
        for name, told in report.user_properties:
            if name == "told":
                terminalreporter.write_line(str(told))


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on, or touches, what the user's shell points at."""
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "CLICKHOUSE_URL", "OIDC_ISSUERS", "HUD_API_URL", "HUD_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def own_log_context() -> Iterator[None]:
    """No log line says what another test was about."""
    before = THREAD_LOCAL_KEYS.set({})
    yield
    THREAD_LOCAL_KEYS.reset(before)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local.Stack]:
    """The whole local stack; repos may call it as often as tests do."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RATE_LIMIT_PER_MINUTE", "60000")
        with local.running(tmp_path_factory.mktemp("stack")) as running:
            yield running


@pytest.fixture(scope="session")
def aws(stack: local.Stack) -> dict[str, Any]:
    """Arguments for boto3.client."""
    return local.aws_client_options(stack.state)


@pytest.fixture(scope="session")
def dynamodb(aws: dict[str, Any]) -> Iterator[DynamoDBClient]:
    """A client of the stack's DynamoDB."""
    client = boto3.client("dynamodb", **aws)
    yield client
    client.close()


@pytest.fixture(scope="session")
def relay_table(dynamodb: DynamoDBClient) -> str:
    """A relay table of the tests' own, which no worker or sweeper of the stack looks at."""
    name = "relay-of-the-tests"
    (table,) = [table for table in dynamodb_tables() if table["TableName"] == RELAY_TABLE]
    dynamodb.create_table(**{**table, "TableName": name})
    return name


@pytest.fixture(scope="session")
def clickhouse(stack: local.Stack) -> Iterator[Client]:
    """A client of the stack's ClickHouse."""
    client = connect(stack.state["clickhouse_url"])
    yield client
    client.close()
