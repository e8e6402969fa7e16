"""AWS clients, and how long each waits. Made without boto3, which adds a third to the cold start and nothing we use."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botocore.session import Session
    from types_boto3_dynamodb.client import DynamoDBClient
    from types_boto3_s3.client import S3Client

CONNECTIONS = 50  # more than the threads that use them


def patient_dynamodb() -> DynamoDBClient:
    """A client that tries again by itself, for as long as a job may wait for the relay's answer."""
    client: DynamoDBClient = _client("dynamodb", connect_timeout=2, read_timeout=5, attempts=4)
    return client


def prompt_dynamodb() -> DynamoDBClient:
    """A client that tries once and says soon how it went: its user has a budget of seconds for its own tries."""
    client: DynamoDBClient = _client("dynamodb", connect_timeout=1, read_timeout=1, attempts=1)
    return client


def s3() -> S3Client:
    """A client of S3."""
    client: S3Client = _client("s3", connect_timeout=2, read_timeout=10, attempts=4)
    return client


def secret_text(arn: str) -> str:
    """Give the text of a Secrets Manager secret; `arn` may be its name. Raises what botocore raises."""
    return str(
        _client("secretsmanager", connect_timeout=2, read_timeout=5, attempts=2)
        .get_secret_value(SecretId=arn)
        .get("SecretString", "")
    )


@cache
def _session() -> Session:
    from botocore.session import get_session

    return get_session()


def _client(service: str, *, connect_timeout: float, read_timeout: float, attempts: int) -> Any:  # noqa: ANN401
    from botocore.config import Config

    config = Config(
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=CONNECTIONS,
        tcp_keepalive=True,
    )
    return _session().create_client(service, config=config)
