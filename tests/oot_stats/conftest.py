"""What the tests of the privileged scripts share: S3 as the scripts find it, and a bucket of each test's own."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from tests.oot_stats.local_runs import LocalRuns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_s3.client import S3Client

    from oot_local.stack import Stack


@pytest.fixture(scope="session")
def s3(aws: dict[str, Any]) -> Iterator[S3Client]:
    """A client of the stack's S3."""
    client = boto3.client("s3", **aws)
    yield client
    client.close()


@pytest.fixture
def bucket(s3: S3Client) -> str:
    """A bucket that holds nothing yet."""
    name = f"stats-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def aws_environment(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """This process's environment as a job has it that may use S3."""
    told = {
        "AWS_ENDPOINT_URL": stack.state["aws_endpoint_url"],
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "CLICKHOUSE_URL": stack.state["clickhouse_url"],
    }
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it keeps the keys of the first test that used it
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return told


@pytest.fixture
def github(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> LocalRuns:
    """The local GitHub, where this process's environment points as a job's does."""
    monkeypatch.setenv("GITHUB_API_URL", stack.state["github_url"])
    monkeypatch.setenv("GITHUB_TOKEN", "a-job-s-token")
    return LocalRuns(stack.state["github_url"])
