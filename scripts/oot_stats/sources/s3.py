"""Artifacts in S3: listed and read with the job's own rights, or by presigned URLs where collect has none.

Keys: `<owner>/<repo>/<run id>/<attempt>/artifact/<name>.zip`, as pytorch and actions/upload-artifacts write them. A
file of presigned URLs holds one URL a line; `oot_stats.presign` writes it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from oot_stats.reasons import RejectedError
from oot_stats.sources.artifacts import Artifact, job_id_of
from oot_stats.sources.downloads import bare
from oot_stats.sources.github_api import is_fetched

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from types_boto3_s3.client import S3Client

_PIECE = 256 * 1024
_MOST_LINES = 100_000


class S3Error(Exception):
    """A source in S3 can't be used; the message says why, and what to do."""


def client() -> S3Client:
    """Give a client with the usual rights; it signs in the one way that every region takes. Raises S3Error."""
    import boto3
    from botocore.config import Config

    try:
        return boto3.client("s3", config=Config(signature_version="s3v4"))
    except (BotoCoreError, ValueError) as error:
        raise S3Error(f"AWS can't be used: {error}. Look at AWS_PROFILE, AWS_REGION and AWS_ENDPOINT_URL.") from None


def split(url: str) -> tuple[str, str]:
    """Give bucket and prefix of s3://bucket/prefix. Raises S3Error."""
    found = re.fullmatch(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?", url)
    if not found:
        raise S3Error("--s3 is written s3://bucket or s3://bucket/prefix.")
    prefix = (found[2] or "").strip("/")
    return found[1], f"{prefix}/" if prefix else ""


class Bucket:
    """Artifacts of one run in a bucket."""

    def __init__(self, client: S3Client, url: str, repo: str, run_id: int) -> None:
        self._client = client
        self.bucket, prefix = split(url)
        self._prefix = f"{prefix}{repo}/{run_id}/"
        self._run = (repo, run_id)

    def artifacts(self) -> Iterator[Artifact]:
        """Give the artifacts of all attempts. Raises S3Error."""
        try:
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self._prefix)
            for page in pages:
                for found in page.get("Contents", []):
                    artifact = _artifact(found["Key"], found["Key"], found["Size"], *self._run)
                    if artifact:
                        yield artifact
        except (BotoCoreError, ClientError) as error:
            raise S3Error(f"s3://{self.bucket}/{self._prefix} can't be listed: {error}") from None

    def read(self, artifact: Artifact) -> Iterable[bytes]:
        """Give an artifact's bytes. Raises RejectedError, and OSError where the connection breaks."""
        try:
            body = self._client.get_object(Bucket=self.bucket, Key=artifact.place)["Body"]
            yield from body.iter_chunks(_PIECE)
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if status in (404, 410):
                raise RejectedError("gone", "S3 has it no longer.") from None
            raise RejectedError("download_failed", f"S3 answered {status}.") from None
        except BotoCoreError as error:
            raise OSError(str(error)) from None

    def presigned(self, seconds: int, attempt: int) -> list[str]:
        """Give URLs of the artifacts up to an attempt, good for some time. Raises S3Error."""
        return [
            self._client.generate_presigned_url(
                "get_object", Params={"Bucket": self.bucket, "Key": artifact.key}, ExpiresIn=seconds
            )
            for artifact in self.artifacts()
            if artifact.attempt and artifact.attempt <= attempt
        ]


class Presigned:
    """Artifacts of one run behind presigned URLs."""

    def __init__(self, path: Path, repo: str, run_id: int) -> None:
        self._path, self._run = path, (repo, run_id)

    def artifacts(self) -> Iterator[Artifact]:
        """Give the artifacts of all attempts. Raises S3Error."""
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise S3Error(f"{self._path} can't be read: {error}") from None
        for number, line in enumerate(lines[:_MOST_LINES], 1):
            if not line.strip():
                continue
            url = line.strip()
            if not is_fetched(url):
                raise S3Error(f"{self._path}:{number} is no https URL.")
            artifact = _artifact(unquote(urlsplit(url).path), url, 0, *self._run)
            if artifact:
                yield artifact

    @staticmethod
    def read(artifact: Artifact) -> Iterable[bytes]:
        """Give an artifact's bytes. Raises RejectedError, and what requests raises."""
        return bare(artifact.place)


def _artifact(key: str, place: str, size: int, repo: str, run_id: int) -> Artifact | None:
    """Give the artifact at a key; None for what is none, such as a log beside it.

    Below the run's folder jobs choose the key: one that has the folder in it a second time is no other attempt's.
    """
    _, _, below = f"/{key}".partition(f"/{repo}/{run_id}/")
    found = re.fullmatch(r"([0-9]{1,6})/artifact/([^/]+\.zip)", below)
    if not found:
        return None
    return Artifact("s3", found[2], place, size, int(found[1]), job_id_of(found[2]), key=key)
