"""S3: the archive as a multipart upload straight from the stream, single files to open in a browser, and their links.

Memory is bounded by the parts in flight. An upload that fails is aborted, so that nothing of it stays and costs; one
whose process is killed is left to the bucket's lifecycle rule.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import zlib
from typing import TYPE_CHECKING, Any, Callable, Iterator, NamedTuple
from urllib.parse import quote

from oot_runner.upload.archive import Reader
from oot_runner.upload.messages import UploadError
from oot_runner.upload.pages import kind_of

if TYPE_CHECKING:
    from oot_runner.upload.archive import Archive, Entry
    from oot_runner.upload.install_boto3 import Boto3
    from oot_runner.upload.role import Credentials

PART_BYTES = 8 * 1024 * 1024
PARTS = 9_000  # S3 takes 10,000
IN_FLIGHT = 4
SAY_SECONDS = 5.0
COMPRESSED_FROM = 1024  # below it gzip saves nothing
ATTEMPTS = 5
DEFAULT_REGION = "us-east-1"
_CHECKED = {"ChecksumAlgorithm": "SHA256"}
_NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "CredentialRetrievalError")


class Bucket(NamedTuple):
    """Where the upload goes, and how people reach it; empty texts are the defaults."""

    name: str
    region: str
    endpoint_url: str
    public_base_url: str


class Store:
    """A bucket, written to with one set of credentials: those given, else the environment's."""

    def __init__(
        self, boto3: Boto3, bucket: Bucket, credentials: Credentials | None, say: Callable[[str], None]
    ) -> None:
        self.bucket = bucket
        self._boto3 = boto3
        self._say = say
        where = {"region_name": bucket.region or DEFAULT_REGION, "endpoint_url": bucket.endpoint_url or None}
        settings: dict[str, Any] = {
            "connect_timeout": 10,
            "read_timeout": 60,
            "retries": {"mode": "standard"},
            "user_agent_extra": "oot-hud-upload-artifacts/1",
        }
        if not os.environ.get("AWS_MAX_ATTEMPTS"):
            settings["retries"] = {"mode": "standard", "total_max_attempts": ATTEMPTS}
        keys = dict(zip(("aws_access_key_id", "aws_secret_access_key", "aws_session_token"), credentials or ()))
        with self._told(""):
            self._client = boto3.client("s3", config=boto3.Config(**settings), **where, **keys)
            # A bucket's own origin wherever it can have one: no other bucket's pages share it.
            is_own = not bucket.endpoint_url and "." not in bucket.name
            style = {"addressing_style": "virtual" if is_own else "path"}
            unsigned = boto3.Config(signature_version=boto3.UNSIGNED, s3=style)
            self._links = boto3.client("s3", config=unsigned, **where)

    def url(self, key: str) -> str:
        """Give the address at which people read an object."""
        if self.bucket.public_base_url:
            return f"{self.bucket.public_base_url}/{quote(key)}"
        # Without credentials this is the bare address, right for every partition and every kind of bucket name.
        link: str = self._links.generate_presigned_url("get_object", Params={"Bucket": self.bucket.name, "Key": key})
        return link

    def put_archive(self, key: str, archive: Archive, expected: int) -> None:
        """Upload the archive, `expected` bytes before compression; raises UploadError, and aborts what had begun."""
        extra = {"ContentType": "application/zip", "ContentDisposition": _disposition(key), **_CHECKED}
        progress = _Progress(f"s3://{self.bucket.name}/{key}", self._say)
        with self._told(key), self._manager(expected) as manager:
            manager.upload(archive, self.bucket.name, key, extra_args=extra, subscribers=[progress]).result()

    def put(self, key: str, data: bytes, content_type: str) -> None:
        """Store a small object; raises UploadError."""
        with self._told(key):
            self._client.put_object(Bucket=self.bucket.name, Key=key, Body=data, ContentType=content_type, **_CHECKED)

    def put_files(self, prefix: str, entries: list[Entry], level: int) -> tuple[set[str], str]:
        """Store files one by one, to be opened in a browser; gives the names of those that are there, and why not all.

        Texts are compressed on their way: a browser undoes it by itself.
        """
        with self._manager(max((entry.file.size for entry in entries), default=0)) as manager:
            under_way = [(entry.name, self._put_file(manager, prefix, entry, level)) for entry in entries]
            failed = {name: why for name, future in under_way if (why := self._failure(f"{prefix}/{name}", future))}
        return {entry.name for entry in entries} - set(failed), next(iter(failed.values()), "")

    def _failure(self, key: str, future: Any) -> str:  # noqa: ANN401 - see Boto3
        """Wait for an upload; gives why it failed, or nothing."""
        try:
            with self._told(key):
                future.result()
        except (UploadError, OSError) as error:
            return str(error.message.facts.get("why", key)) if isinstance(error, UploadError) else f"{key}: {error}"
        return ""

    def _put_file(self, manager: Any, prefix: str, entry: Entry, level: int) -> Any:  # noqa: ANN401 - see Boto3
        kind = kind_of(entry.name)
        compress = kind.is_text and not kind.is_gzipped and level > 0 and entry.file.size >= COMPRESSED_FROM
        key = f"{prefix}/{entry.name}"
        extra = {"ContentType": kind.content_type, **_CHECKED}
        if compress or kind.is_gzipped:
            extra["ContentEncoding"] = "gzip"
        if kind.is_download:
            extra["ContentDisposition"] = _disposition(key)
        source = Reader(_blocks(entry, level if compress else None))
        return manager.upload(source, self.bucket.name, key, extra_args=extra)

    @contextlib.contextmanager
    def _manager(self, expected: int) -> Any:  # noqa: ANN401 - see Boto3
        part = max(PART_BYTES, -(-expected // PARTS))
        settings = self._boto3.TransferConfig(
            multipart_threshold=part, multipart_chunksize=part, max_concurrency=IN_FLIGHT, use_threads=True
        )
        settings.max_in_memory_upload_chunks = IN_FLIGHT
        with self._boto3.create_transfer_manager(self._client, settings) as manager:
            yield manager

    @contextlib.contextmanager
    def _told(self, key: str) -> Any:  # noqa: ANN401 - a context without a value
        """Turn boto3's errors into ours."""
        facts = {"bucket": self.bucket.name, "key": key}
        try:
            yield
        except self._boto3.ClientError as error:
            told = error.response.get("Error", {})
            code, why = str(told.get("Code", "")), str(told.get("Message", "")) or str(error)
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if code == "NoSuchBucket":
                endpoint = self.bucket.endpoint_url or self.bucket.region or DEFAULT_REGION
                raise UploadError("no_bucket", bucket=self.bucket.name, endpoint=endpoint) from None
            if 400 <= status < 500 and code not in ("RequestTimeout", "SlowDown"):
                raise UploadError("s3_refused", answer=code or status, why=why, **facts) from None
            raise UploadError("s3_failed", why=f"{code}: {why}", **facts) from None
        except self._boto3.Error as error:
            if type(error).__name__ in _NO_CREDENTIALS:
                raise UploadError("no_credentials", why=error) from None
            raise UploadError("s3_failed", why=error, **facts) from None


def _blocks(entry: Entry, level: int | None) -> Iterator[bytes]:
    """Give a file's bytes, compressed where there is a `level`; it is opened when the first are asked for."""
    packer = None if level is None else zlib.compressobj(level, zlib.DEFLATED, 31)  # 31: gzip, without a time
    left = entry.file.size
    with entry.file.open() as stream:
        while left > 0 and (chunk := stream.read(min(left, 1024 * 1024))):
            left -= len(chunk)
            yield packer.compress(chunk) if packer else chunk
    if packer:
        yield packer.flush()


class _Progress:
    """Says now and then how far an upload is; boto3 calls it from its threads."""

    def __init__(self, what: str, say: Callable[[str], None]) -> None:
        self._what = what
        self._say = say
        self._lock = threading.Lock()
        self._sent = 0
        self._started = self._said = time.monotonic()

    def on_progress(self, bytes_transferred: int, **_: object) -> None:
        with self._lock:
            self._sent += bytes_transferred
            now = time.monotonic()
            if now - self._said < SAY_SECONDS:
                return
            self._said = now
            self._say(f"{self._what}: {self._sent / 1e6:,.0f} MB sent in {now - self._started:.0f} s.")


def _disposition(key: str) -> str:
    return f"attachment; filename*=UTF-8''{quote(key.rpartition('/')[2], safe='')}"
