"""copy, from the local GitHub to real S3: opaque bytes under pytorch's keys, once, and nothing that is not wanted."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING, Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from oot_ops.cli import main
from oot_stats.copy import command as copy_artifacts
from oot_stats.exit_codes import FAILED, NOTHING, PARTLY, STORED
from oot_stats.publish.objects import Objects
from oot_stats.reasons import RejectedError
from oot_stats.sources.artifacts import Artifact
from oot_stats.sources.github_api import GitHub
from oot_stats.sources.stream import Stream
from tests.hud_endpoint.web import Answer, Web

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from types_boto3_s3.client import S3Client

    from tests.oot_stats.local_runs import LocalRuns

REPO = "spec/backend"
REPORTS = "test-reports-runattempt2-test-default-1-2-linux_77"


@pytest.fixture
def copy(aws_environment: dict[str, str], github: LocalRuns, bucket: str) -> Callable[..., int]:
    def run(run_id: int, *more: str) -> int:
        told = ["--repo", REPO, "--workflow-run-id", str(run_id), "--workflow-run-attempt", "2", "--bucket", bucket]
        return main(["stats", "copy", *told, *more])

    return run


@pytest.fixture
def run_id(github: LocalRuns) -> int:
    return github.add(REPO, attempts=[{"jobs": []}, {"jobs": []}])


def stored(s3: S3Client, bucket: str) -> dict[str, bytes]:
    found = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    return {item["Key"]: s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read() for item in found}


def test_artifacts_of_the_attempt_are_kept_as_they_are(
    copy: Callable[..., int], github: LocalRuns, run_id: int, s3: S3Client, bucket: str
) -> None:
    opaque = b"not a zip at all \x00\xff"
    github.upload(run_id, REPORTS, opaque)
    github.upload(run_id, "usage-log-runattempt2-x_78", b"PK\x03\x04")
    for other in ("test-reports-runattempt1-old_7", "docker-image", "test-reports-without-attempt_9"):
        github.upload(run_id, other, b"x")
    assert copy(run_id) == STORED
    place = f"{REPO}/{run_id}/2/artifact"
    assert stored(s3, bucket) == {
        f"{place}/test-reports-test-default-1-2-linux_77.zip": opaque,
        f"{place}/usage-log-x_78.zip": b"PK\x03\x04",
    }
    head = s3.head_object(Bucket=bucket, Key=f"{place}/usage-log-x_78.zip")
    assert head["Metadata"]["sha256"] == hashlib.sha256(b"PK\x03\x04").hexdigest()


def test_large_ones_travel_in_parts_and_what_is_there_is_not_fetched_again(
    copy: Callable[..., int], github: LocalRuns, run_id: int, s3: S3Client, bucket: str
) -> None:
    data = random.Random(3).randbytes(20 * 1024 * 1024)  # noqa: S311
    github.upload(run_id, REPORTS, data)
    assert copy(run_id) == STORED
    (whole,) = stored(s3, bucket).values()
    assert whole == data
    asked = len(requests.get(f"{github.url}/_local/blob_requests", timeout=60).json())
    assert copy(run_id) == STORED
    blobs = requests.get(f"{github.url}/_local/blob_requests", timeout=60).json()
    assert len(blobs) == asked
    assert not {"authorization", "cookie"} & {name for headers in blobs for name in headers}


@pytest.mark.parametrize(
    ("name", "object_name"),
    [
        ("test-reports-runattempt2-../../../etc_1", "test-reports-..-..-..-etc_1~"),
        ("test-reports-runattempt2-a\nb::warning::c_1", "test-reports-a-b--warning--c_1~"),
        ("test-reports-runattempt2-ünï_1", "test-reports--n-_1~"),
        ("test-reports-runattempt2-" + "a" * 400, "test-reports-" + "a" * 187 + "~"),
    ],
    ids=range(4),
)
def test_names_are_made_harmless_and_stay_apart(
    copy: Callable[..., int], github: LocalRuns, run_id: int, s3: S3Client, bucket: str, name: str, object_name: str
) -> None:
    github.upload(run_id, name, b"x")
    assert copy(run_id) == STORED
    (key,) = stored(s3, bucket)
    assert key.startswith(f"{REPO}/{run_id}/2/artifact/{object_name}")
    assert len(key.rpartition("~")[2]) == len("0123456789ab.zip")


def test_two_of_one_name_are_not_mixed(
    copy: Callable[..., int], github: LocalRuns, run_id: int, s3: S3Client, bucket: str
) -> None:
    github.upload(run_id, "test-reports-runattempt2-x_1", b"one")
    github.upload(run_id, "test-reports-runattempt2-x_1.zip", b"two")
    assert copy(run_id) == PARTLY
    assert len(stored(s3, bucket)) == 1


def test_one_that_is_gone_keeps_no_other_back(
    copy: Callable[..., int],
    github: LocalRuns,
    run_id: int,
    s3: S3Client,
    bucket: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gone = github.upload(run_id, "test-reports-runattempt2-gone_1", b"x")
    github.upload(run_id, "test-reports-runattempt2-old_2", b"x", expired="1")
    github.upload(run_id, REPORTS, b"good")
    github.fault(f"/artifacts/{gone['id']}/zip", 410, body='{"message": "Gone"}')
    assert copy(run_id) == PARTLY
    assert list(stored(s3, bucket).values()) == [b"good"]
    told = capsys.readouterr().out
    assert told.count("(gone)") == 2


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://example.org/x", "https://u@h/x", "//", "ftp://h/x"])
def test_a_redirect_elsewhere_is_not_followed(
    copy: Callable[..., int], github: LocalRuns, run_id: int, s3: S3Client, bucket: str, location: str
) -> None:
    held = github.upload(run_id, REPORTS, b"x")
    github.fault(f"/artifacts/{held['id']}/zip", 302, headers={"location": location})
    assert copy(run_id) == FAILED
    assert stored(s3, bucket) == {}


def test_nothing_is_larger_than_allowed(
    copy: Callable[..., int], github: LocalRuns, run_id: int, s3: S3Client, bucket: str
) -> None:
    for number in range(3):
        github.upload(run_id, f"test-reports-runattempt2-x_{number}", b"x" * 100)
    assert copy(run_id, "--max-copied-bytes", "250") == PARTLY
    assert len(stored(s3, bucket)) == 2


def test_nothing_to_keep(copy: Callable[..., int], run_id: int) -> None:
    assert copy(run_id) == NOTHING


def test_a_run_that_is_not_there(copy: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert copy(4711) == FAILED
    assert "with 404" in capsys.readouterr().err


@pytest.fixture
def web() -> Iterator[Web]:
    web = Web()
    yield web
    web.close()


LIES: list[tuple[str, dict[str, Any], Answer]] = [
    ("download_failed", {}, Answer(200, b"x" * 5, announced=10)),
    ("run_too_large", {}, Answer(200, b"x" * 11)),
    ("run_too_large", {"size": 11}, Answer(200, b"x" * 10)),
    ("wrong_digest", {"digest": "sha256:" + "0" * 64}, Answer(200, b"x" * 10)),
    ("wrong_digest", {"digest": "sha256:" + "0" * 64}, Answer(200, b"")),
    ("download_failed", {}, Answer(403)),
    ("gone", {}, Answer(404)),
    ("bad_redirect", {}, Answer(302, headers={"location": "/elsewhere"})),
]


@pytest.mark.parametrize(("code", "changes", "answer"), LIES, ids=range(len(LIES)))
def test_what_is_not_what_was_announced_is_not_stored(
    aws_environment: dict[str, str],
    web: Web,
    s3: S3Client,
    bucket: str,
    code: str,
    changes: dict[str, Any],
    answer: Answer,
) -> None:
    web.answers["/repos/spec/backend/actions/artifacts/5/zip"] = Answer(302, headers={"location": f"{web.url}/blob"})
    web.answers["/blob"] = answer
    artifact = Artifact("github", REPORTS, "5", 10, 2, 77)._replace(**changes)
    with GitHub(web.url, "token", REPO, patience=0, say=print, sleep=lambda _: None) as github:
        (done,) = copy_artifacts.copy(github, [(artifact, False)], Objects(s3, bucket), (REPO, 1, 2), 10)
    assert done.fate == code
    assert stored(s3, bucket) == {}
    assert s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


def test_a_broken_connection_is_tried_again(
    aws_environment: dict[str, str], github: LocalRuns, run_id: int, s3: S3Client, bucket: str
) -> None:
    waits: list[float] = []
    github.upload(run_id, REPORTS, b"x" * 10**6)
    for _ in range(2):
        github.fault("/_blob/", 503)
    with GitHub(github.url, "token", REPO, patience=0, say=print, sleep=waits.append) as client:
        (done,) = copy_artifacts.copy(client, client.artifacts(run_id), Objects(s3, bucket), (REPO, run_id, 2), 10**9)
    assert (done.fate, waits) == ("stored", [1, 2])
    assert list(stored(s3, bucket).values()) == [b"x" * 10**6]


@given(st.lists(st.binary(min_size=1, max_size=20)), st.lists(st.integers(-1, 30), max_size=20))
def test_a_stream_gives_all_bytes_in_pieces_of_any_size(pieces: list[bytes], sizes: list[int]) -> None:
    whole = b"".join(pieces)
    stream = Stream(pieces, f"sha256:{hashlib.sha256(whole).hexdigest()}", len(whole))
    read = [stream.read(size) for size in sizes]
    assert all(len(part) <= size for part, size in zip(read, sizes, strict=True) if size >= 0)
    assert b"".join([*read, stream.read()]) == whole
    assert stream.read(10) == b""


def test_a_stream_without_its_end_is_nothing() -> None:
    stream = Stream([b"abc"], "sha256:" + "0" * 64, 10)
    assert stream.read(3) == b"abc"
    with pytest.raises(RejectedError):
        stream.read(1)
