"""Files into S3 so that repeating does no harm: what is there already, by the digest of its content, is left alone.

An object appears when it is whole, never before: S3 shows a multipart upload only once it is completed. What a killed
upload leaves behind is for the bucket's lifecycle rule (AbortIncompleteMultipartUpload).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

DIGEST = "content-sha256"  # of what is inside the gzip, since two machines may compress the same differently
_PART_BYTES = 5 * 1024 * 1024  # S3's least

Fate = Literal["stored", "unchanged"]


class Readable(Protocol):
    """Something to read from; it need not be seekable."""

    def read(self, size: int = -1, /) -> bytes: ...


class Objects:
    """The objects of one bucket, below a prefix of our own choice."""

    def __init__(self, client: S3Client, bucket: str, prefix: str = "") -> None:
        self._client = client
        self.bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    def key(self, *parts: str | int) -> str:
        """Give the key below the prefix."""
        return self._prefix + "/".join(str(part) for part in parts)

    def has(self, key: str, expected: dict[str, str], size: int | None = None) -> bool:
        """Say whether the object is there with this metadata, and this size if one is given. Raises ClientError."""
        try:
            found = self._client.head_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
                return False
            raise
        known = {name.lower(): value for name, value in found["Metadata"].items()}
        return expected.items() <= known.items() and size in (None, found["ContentLength"])

    def put(self, key: str, content: Readable, metadata: dict[str, str], **headers: str) -> None:
        """Store a stream, in parts where it is large.

        Raises ClientError, Boto3Error, BotoCoreError, and whatever reading the stream raises; then there is
        no new object.
        """
        from boto3.s3.transfer import TransferConfig

        parts = TransferConfig(multipart_threshold=_PART_BYTES, multipart_chunksize=_PART_BYTES, max_concurrency=2)
        parts.max_in_memory_upload_chunks = 2  # its default would hold ten
        self._client.upload_fileobj(
            cast("Any", content),
            self.bucket,
            key,
            ExtraArgs={"Metadata": metadata, "ChecksumAlgorithm": "SHA256", **headers},
            Config=parts,
        )
