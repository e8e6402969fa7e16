"""What the relay's tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hud_endpoint.contract import RESULTS_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_dynamodb.client import DynamoDBClient


def everything(dynamodb: DynamoDBClient) -> list[dict[str, Any]]:
    pages = dynamodb.get_paginator("scan").paginate(TableName=RESULTS_TABLE, ConsistentRead=True)
    items = [item for page in pages for item in page["Items"]]
    for item in items:
        for name in ("conflicts", "revision"):  # notes of other tests' second results may still be on their way
            item.pop(name, None)
    return sorted(items, key=lambda item: str(item["dynamoKey"]["S"]))


@pytest.fixture
def nothing_new(dynamodb: DynamoDBClient) -> Iterator[None]:
    """After the test, DynamoDB holds what it held before."""
    before = everything(dynamodb)
    yield
    assert everything(dynamodb) == before
