"""Outbox bodies that are too large for a DynamoDB item, in S3; a lifecycle rule of the bucket forgets leftovers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

PREFIX = "outbox/"


class S3Bodies:
    """Bodies by the id of their entry."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def put(self, name: str, body: bytes) -> None:
        """Store a body. Raises what boto3 raises."""
        self._client.put_object(Bucket=self._bucket, Key=PREFIX + name, Body=body)

    def get(self, name: str) -> bytes:
        """Return a body. Raises what boto3 raises."""
        return self._client.get_object(Bucket=self._bucket, Key=PREFIX + name)["Body"].read()

    def delete(self, name: str) -> None:
        """Forget a body. Raises what boto3 raises."""
        self._client.delete_object(Bucket=self._bucket, Key=PREFIX + name)
