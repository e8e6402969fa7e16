"""The benches of hostile situations."""

from __future__ import annotations

import uuid
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, get_args

import pytest

from hud_endpoint import app as apps
from hud_endpoint.contract import RESULTS_TABLE
from hud_endpoint.settings import ResultsSettings
from oot_ops.create_tables import dynamodb_tables
from tests.hostile.bench import SECRET, Bench, Hud
from tests.hostile.situations import Policy
from tests.hud_endpoint.serving import served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from types_boto3_dynamodb.client import DynamoDBClient

    from oot_local.stack import Stack

Benches = dict[str, Bench]


@contextmanager
def aws_environment(aws: dict[str, Any]) -> Iterator[None]:
    """What apps built in the block find the stack's AWS by; no longer, for it would hold for tests elsewhere too."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", aws["endpoint_url"])
        environment.setenv("AWS_DEFAULT_REGION", aws["region_name"])
        environment.setenv("AWS_ACCESS_KEY_ID", aws["aws_access_key_id"])
        environment.setenv("AWS_SECRET_ACCESS_KEY", aws["aws_secret_access_key"])
        yield


@pytest.fixture(scope="session")
def make_benches(
    stack: Stack,
    dynamodb: DynamoDBClient,
    aws: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[Hud], Benches]]:
    with ExitStack() as closing:

        def make(hud: Hud) -> Benches:
            with aws_environment(aws):
                return {
                    policy: Bench(stack, dynamodb, tmp_path_factory.mktemp(policy), closing, policy=policy, hud=hud)
                    for policy in get_args(Policy)
                }

        yield make


@pytest.fixture(scope="session")
def benches(stack: Stack, make_benches: Callable[[Hud], Benches]) -> Benches:
    """A relay of each policy, before the stack's HUD."""
    return make_benches(Hud(stack.state["hud_url"], stack.state["internal_api_token"]))


@pytest.fixture(scope="session")
def breakable_benches(
    make_benches: Callable[[Hud], Benches], dynamodb: DynamoDBClient, aws: dict[str, Any]
) -> Iterator[Benches]:
    """The same before a HUD in this process, whose code a test may change, with a table of its own."""
    name = f"results-{uuid.uuid4().hex}"
    [like] = [table for table in dynamodb_tables() if table["TableName"] == RESULTS_TABLE]
    dynamodb.create_table(**{**like, "TableName": name})
    with aws_environment(aws):
        results = apps.results(ResultsSettings(internal_api_token=SECRET, results_table=name))
    with served(results) as url:
        yield make_benches(Hud(url, SECRET, name))
