"""What the server side's tests share."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

import pytest
import requests

from tests.hud_endpoint.relay.desk import new_table
from tests.hud_endpoint.serving import served
from tests.hud_endpoint.web import Web

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.applications import Starlette
    from types_boto3_dynamodb.client import DynamoDBClient


class Serve(Protocol):
    """Serves an application until the test ends, and gives its URL."""

    def __call__(self, app: Starlette) -> str: ...


@pytest.fixture
def web() -> Iterator[Web]:
    """A scripted server."""
    server = Web()
    yield server
    server.close()


@pytest.fixture
def session() -> Iterator[requests.Session]:
    """A session as hud_endpoint.app makes it."""
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that refuses every connection: bound, but not listening."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield closed.getsockname()[1]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves applications with the production server, on real sockets."""
    with ExitStack() as stack:
        yield lambda app: stack.enter_context(served(app))


@pytest.fixture
def aws_environment(aws: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What boto3.client reads, for applications that are built in this process."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws["endpoint_url"])
    monkeypatch.setenv("AWS_DEFAULT_REGION", aws["region_name"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", aws["aws_access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", aws["aws_secret_access_key"])


@pytest.fixture
def own_relay_table(dynamodb: DynamoDBClient) -> str:
    """A relay table that nobody else looks at."""
    return new_table(dynamodb)
