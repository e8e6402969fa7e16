"""presign: URLs of the run's own objects, good for reading them and nothing else, and printed nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import requests

from oot_ops.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from types_boto3_s3.client import S3Client


def sign(bucket: str, out: Path, repo: str = "spec/backend") -> int:
    which = ["--repo", repo, "--workflow-run-id", "240", "--workflow-run-attempt", "2"]
    return main(["stats", "presign", "--bucket", bucket, *which, "--seconds", "60", "--out", str(out)])


def test_the_run_s_objects_can_be_read_by_their_urls(
    aws_environment: dict[str, str], s3: S3Client, bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("1/artifact/a_1.zip", "2/artifact/a_1.zip", "2/artifact/ü b+c_2.zip")  # jobs that did not run again
    own = {f"spec/backend/240/{name}": name.encode() for name in names}
    others = ["spec/backend/240/3/artifact/a.zip", "spec/backend/2400/2/artifact/a.zip", "spec/backend/240/2/other"]
    for key in [*own, *others]:
        s3.put_object(Bucket=bucket, Key=key, Body=own.get(key, b"x"))
    assert sign(bucket, tmp_path / "urls") == 0
    urls = (tmp_path / "urls").read_text().splitlines()
    assert [requests.get(url, timeout=60).content for url in urls] == list(own.values())
    told = capsys.readouterr()
    for url in urls:
        query = parse_qs(urlsplit(url).query)
        assert (query["X-Amz-Expires"], query["X-Amz-Algorithm"]) == (["60"], ["AWS4-HMAC-SHA256"])
        assert query["X-Amz-Signature"][0] not in told.out + told.err
    assert (tmp_path / "urls").stat().st_mode & 0o077 == 0


def test_no_bucket(aws_environment: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sign("no-such-bucket-anywhere", tmp_path / "urls") == 1
    assert capsys.readouterr().err.startswith("presign: ")
