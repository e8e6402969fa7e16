"""Links into buckets of every kind, sizes of parts, words for S3's errors, and progress."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from oot_runner.upload import install_boto3, s3
from oot_runner.upload.messages import UploadError
from oot_runner.upload.role import Credentials
from oot_runner.upload.s3 import PART_BYTES, Bucket, Store

if TYPE_CHECKING:
    from collections.abc import Callable

NOBODY = Credentials("key", "secret", "token")


def store(bucket: Bucket) -> Store:
    return Store(install_boto3.load(Path("/nonexistent"), print), bucket, NOBODY, print)


@pytest.mark.parametrize(
    ("bucket", "url"),
    [
        (Bucket("ci-results", "eu-central-1", "", ""), "https://ci-results.s3.eu-central-1.amazonaws.com/"),
        (
            Bucket("ci-results", "", "", ""),
            "https://ci-results.s3.us-east-1.amazonaws.com/|https://ci-results.s3.amazonaws.com/",
        ),
        (Bucket("ci.example.org", "eu-central-1", "", ""), "https://s3.eu-central-1.amazonaws.com/ci.example.org/"),
        (Bucket("ci-results", "cn-north-1", "", ""), "https://ci-results.s3.cn-north-1.amazonaws.com.cn/"),
        (Bucket("ci-results", "x", "https://minio.example.org:9000", ""), "https://minio.example.org:9000/ci-results/"),
        (
            Bucket("ci-results", "x", "https://minio.example.org", "https://cdn.example.org/a"),
            "https://cdn.example.org/a/",
        ),
    ],
)
def test_links(bucket: Bucket, url: str) -> None:
    link = store(bucket).url("o/r/1/1/artifact/logs-runattempt1-test (npu, ü)_9.html")
    assert link in [
        f"{base}o/r/1/1/artifact/logs-runattempt1-test%20%28npu%2C%20%C3%BC%29_9.html" for base in url.split("|")
    ]


@pytest.mark.parametrize(
    ("expected", "part"), [(0, PART_BYTES), (10**9, PART_BYTES), (9_000 * PART_BYTES + 1, PART_BYTES + 1)]
)
def test_any_size_fits_into_the_parts_that_s3_takes(monkeypatch: pytest.MonkeyPatch, expected: int, part: int) -> None:
    bucket = store(Bucket("ci-results", "", "", ""))
    seen: list[Any] = []

    class Manager:
        def __init__(self, _: object, settings: Any) -> None:
            seen.append(settings)

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(bucket, "_boto3", bucket._boto3._replace(create_transfer_manager=Manager))
    with bucket._manager(expected):
        pass
    assert (seen[0].multipart_chunksize, seen[0].max_in_memory_upload_chunks) == (part, s3.IN_FLIGHT)


def failing(store: Store, code: str, status: int) -> Callable[[], None]:
    def fail() -> None:
        with store._told("key"):
            answer = {"Error": {"Code": code, "Message": "because"}, "ResponseMetadata": {"HTTPStatusCode": status}}
            raise store._boto3.ClientError(answer, "PutObject")

    return fail


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [
        ("AccessDenied", 403, "s3_refused"),
        ("InvalidAccessKeyId", 403, "s3_refused"),
        ("ExpiredToken", 400, "s3_refused"),
        ("NoSuchBucket", 404, "no_bucket"),
        ("RequestTimeout", 400, "s3_failed"),
        ("PermanentRedirect", 301, "s3_failed"),
        ("SlowDown", 503, "s3_failed"),
        ("InternalError", 500, "s3_failed"),
    ],
)
def test_what_s3_answers_becomes_one_of_our_messages(code: str, status: int, told: str) -> None:
    with pytest.raises(UploadError) as failed:
        failing(store(Bucket("ci-results", "", "", "")), code, status)()
    assert failed.value.message.code == told


def test_long_uploads_say_how_far_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    progress = s3._Progress("s3://b/k", said.append)
    progress.on_progress(bytes_transferred=10**6)
    assert said == []
    monkeypatch.setattr(s3, "SAY_SECONDS", 0.0)
    progress.on_progress(bytes_transferred=41 * 10**6)
    (line,) = said
    assert re.fullmatch(r"s3://b/k: 42 MB sent in \d+ s\.", line)
