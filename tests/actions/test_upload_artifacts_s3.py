"""The real action.yml of upload-artifacts against the local S3, STS and OIDC issuer, well and badly."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import boto3
import jwt
import pytest
import requests

from oot_local.actions.job import Job
from oot_local.actions.parser import ActionParser
from oot_runner.upload.s3 import PART_BYTES
from tests.actions.fault_proxy import FaultProxy, Passed
from tests.actions.stand_in_artifacts import USES, Artifacts, members

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from types_boto3_s3.client import S3Client

    from oot_local.actions.results import StepResult
    from oot_local.stack import Stack

ACTION = Path(__file__).parents[2] / "actions" / "upload-artifacts"
BUCKET = "oot-ci-results"
ROLE = "arn:aws:iam::000000000000:role/oot-ci-results"
PREFIX = "example/backend/240/1/artifact"
# The Python that the action finds is this one: it has boto3, which is else installed from PyPI.
HERE = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "AWS_EC2_METADATA_DISABLED": "true"}
KEYS = {**HERE, "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}


@pytest.fixture(scope="module")
def s3(aws: dict[str, Any]) -> Iterator[S3Client]:
    client = boto3.client("s3", **aws)
    client.create_bucket(Bucket=BUCKET)
    yield client
    client.close()


@pytest.fixture
def proxy(stack: Stack) -> Iterator[FaultProxy]:
    with FaultProxy(stack.state["aws_endpoint_url"]) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def parser() -> Iterator[ActionParser]:
    with ActionParser() as parser:
        yield parser


@pytest.fixture
def artifacts() -> Artifacts:
    return Artifacts()


@pytest.fixture
def make_job(tmp_path: Path, parser: ActionParser, artifacts: Artifacts, s3: S3Client) -> Callable[..., Job]:
    def make(env: dict[str, str] | None = None, **given: Any) -> Job:
        workspace = tmp_path / "wörk späce" / "backend"
        workspace.mkdir(parents=True, exist_ok=True)
        github = {"run_id": "240", "repository": "example/backend", **given.pop("github", {})}
        job = {"check_run_id": 987}
        return Job(
            workspace,
            tmp_path / "témp",
            github=github,
            job=job,
            parser=parser,
            uses_handlers={USES: artifacts},
            env=KEYS if env is None else env,
            **given,
        )

    return make


def upload(job: Job, endpoint: str, **inputs: str) -> StepResult:
    given = {"path": "**", "s3-bucket": BUCKET, "s3-endpoint-url": endpoint}
    return job.run_action(ACTION, {**given, **{name.replace("_", "-"): text for name, text in inputs.items()}})


def write(job: Job, name: str, data: bytes = b"<testsuite/>") -> None:
    path = job.workspace / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def titles(result: StepResult) -> list[tuple[str, str]]:
    return [(each.level, each.title) for each in result.annotations if each.title]


def get(s3: S3Client, key: str) -> dict[str, Any]:
    """Give an object, its content as `Body`."""
    found = s3.get_object(Bucket=BUCKET, Key=key)
    with closing(found["Body"]) as body:
        return {**found, "Body": body.read()}


def objects(s3: S3Client, prefix: str) -> dict[str, dict[str, Any]]:
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    return {each["Key"][len(prefix) :]: get(s3, each["Key"]) for each in listed}


def noise(size: int) -> bytes:
    return hashlib.shake_128(b"no zip makes this smaller").digest(size)


def test_a_large_upload_goes_in_parts_and_comes_out_whole(
    make_job: Callable[..., Job], s3: S3Client, proxy: FaultProxy, artifacts: Artifacts
) -> None:
    job = make_job()
    big = noise(2 * PART_BYTES + 12345)
    write(job, "reports/a b/ünï.xml")
    write(job, "reports/big.bin", big)
    result = upload(job, proxy.url)

    name = "test-reports-runattempt1-test_987"
    assert (result.outputs["outcome"], titles(result)) == ("uploaded", []), result.log
    assert artifacts.calls == []
    data = get(s3, f"{PREFIX}/{name}.zip")
    archive = data["Body"]
    held = members(archive)
    manifest = json.loads(held.pop("oot-hud-manifest.json"))
    assert held == {"reports/a b/ünï.xml": b"<testsuite/>", "reports/big.bin": big}
    assert [(file["path"], file["size"], file["sha256"]) for file in manifest["files"]] == [
        (path, len(content), hashlib.sha256(content).hexdigest()) for path, content in held.items()
    ]
    assert (data["ContentType"], data["ContentDisposition"]) == (
        "application/zip",
        f"attachment; filename*=UTF-8''{name}.zip",
    )
    assert result.outputs["sha256"] == hashlib.sha256(archive).hexdigest()
    assert (result.outputs["destination"], result.outputs["files"]) == ("s3", "2")
    assert result.outputs["bytes"] == str(len(big) + 12)
    parts = [each for each in proxy.passed if "partNumber=" in each.path]
    assert len(parts) == 3
    assert all("SHA256" in str({key.lower(): each for key, each in part.headers.items()}).upper() for part in parts)

    # People get a page, which runs nothing, and from it the archive.
    page = requests.get(result.outputs["artifact-url"], timeout=60)
    assert (
        result.outputs["artifact-url"]
        == f"{proxy.url}/{BUCKET}/{PREFIX}/{name}.html"
        == job.env["OOT_HUD_ARTIFACT_URL"]
    )
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.text
    assert f'<a href="{name}.zip">' in page.text
    assert "reports/a b/ünï.xml" in page.text
    assert f"({result.outputs['artifact-url']}) in S3, since `s3-bucket` is set." in result.summary


def test_logs_open_in_a_browser_and_run_nothing_there(
    make_job: Callable[..., Job], s3: S3Client, proxy: FaultProxy
) -> None:
    job = make_job()
    log = b"a line of a log\n" * 1000
    files = {
        "test.log": log,
        "old.log.gz": gzip.compress(log, mtime=0),
        "report.xml": b"<x/>",
        "evil.html": b"<script>alert(1)</script>",
        "evil.svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        "times.json": b"{}",
        "plot.png": b"\x89PNG",
        "core.1": b"\x7fELF",
        "<b>&.log": b"short",
    }
    for name, data in files.items():
        write(job, name, data)
    result = upload(job, proxy.url, kind="logs", public_base_url="https://ci.example.org/logs/")
    base = "logs-runattempt1-test_987"
    stored = objects(s3, f"{PREFIX}/{base}/")
    shown = {
        name: (each["ContentType"], each.get("ContentEncoding", ""), each.get("ContentDisposition", ""))
        for name, each in stored.items()
    }
    text = "text/plain; charset=utf-8"
    odd = "_b_&~3f3c7bbd.log"
    assert shown == {
        "test.log": (text, "gzip", ""),
        "old.log.gz": (text, "gzip", ""),
        "report.xml": (text, "", ""),
        "evil.html": (text, "", ""),
        "evil.svg": (text, "", ""),
        "times.json": ("application/json; charset=utf-8", "", ""),
        "plot.png": ("image/png", "", ""),
        "core.1": ("application/octet-stream", "", "attachment; filename*=UTF-8''core.1"),
        odd: (text, "", ""),
    }
    assert gzip.decompress(stored["test.log"]["Body"]) == log
    link = f"{proxy.url}/{BUCKET}/{PREFIX}/{base}/test.log"
    assert requests.get(link, timeout=60).content == log  # as a browser does, it undoes the encoding
    assert result.outputs["artifact-url"] == f"https://ci.example.org/logs/{PREFIX}/{base}.html"
    page = requests.get(f"{proxy.url}/{BUCKET}/{PREFIX}/{base}.html", timeout=60).text
    assert f'<a href="{base}/test.log"><code>test.log</code></a>' in page
    assert "<b>" not in page
    for name in stored:
        assert requests.get(f"{proxy.url}/{BUCKET}/{PREFIX}/{base}/{name}", timeout=60).status_code == 200


def test_test_jsons_have_their_manifest_beside_them(
    make_job: Callable[..., Job], s3: S3Client, proxy: FaultProxy
) -> None:
    job = make_job()
    write(job, "times.json", b"{}")
    result = upload(job, proxy.url, kind="test-jsons", s3_prefix="/own/prefix/")
    stored = objects(s3, "own/prefix/test-jsons-runattempt1-test_987")
    assert set(stored) == {".zip", ".manifest.json"}
    assert members(stored[".zip"]["Body"]) == {"times.json": b"{}"}
    assert [file["path"] for file in json.loads(stored[".manifest.json"]["Body"])["files"]] == ["times.json"]
    assert result.outputs["artifact-url"].endswith("/own/prefix/test-jsons-runattempt1-test_987.zip")


def parts_fail(*answers: int | str) -> Callable[[Passed], int | str | None]:
    """The second part meets these answers, the last one for ever; everything else passes."""
    left = list(answers)

    def fault(passed: Passed) -> int | str | None:
        if "partNumber=2" not in passed.path:
            return None
        return left.pop(0) if len(left) > 1 else (left[0] or None)

    return fault


@pytest.mark.parametrize("answers", [(503, 500, 0), ("drop", "drop", 0)], ids=["5xx", "broken connections"])
def test_passing_trouble_midway_is_outlived(
    make_job: Callable[..., Job], s3: S3Client, proxy: FaultProxy, answers: tuple[int | str, ...]
) -> None:
    proxy.fault = parts_fail(*answers)
    job = make_job()
    big = noise(PART_BYTES + 5000)
    write(job, "big.bin", big)
    result = upload(job, proxy.url, destination="s3", name=f"outlived-{answers[0]}")
    assert (result.outputs["outcome"], titles(result)) == ("uploaded", []), result.log
    stored = get(s3, f"{PREFIX}/outlived-{answers[0]}.zip")["Body"]
    assert members(stored)["big.bin"] == big


def test_a_server_that_fails_midway_leaves_nothing_behind(
    make_job: Callable[..., Job], s3: S3Client, proxy: FaultProxy, artifacts: Artifacts
) -> None:
    proxy.fault = parts_fail(500)
    job = make_job(env={**KEYS, "AWS_MAX_ATTEMPTS": "2"})
    write(job, "big.bin", noise(PART_BYTES + 5000))
    result = upload(job, proxy.url, destination="s3", name="midway")
    assert (result.outputs["outcome"], result.conclusion) == ("failed", "success")
    assert titles(result) == [("error", "S3 did not take the upload")]
    assert "OOT_HUD_ARTIFACT_URL" not in job.env
    assert not s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads")
    assert objects(s3, f"{PREFIX}/midway") == {}

    # With `auto` the files go to GitHub instead, loudly.
    result = upload(job, proxy.url)
    assert (result.outputs["outcome"], result.outputs["destination"]) == ("uploaded", "github"), result.log
    assert titles(result) == [("warning", "S3 was not to be had, and GitHub's artifacts took the files")]
    (data,) = artifacts.zips.values()
    assert set(members(data)) == {"big.bin", "oot-hud-manifest.json"}


def test_what_is_wrong_with_s3_is_told(make_job: Callable[..., Job], proxy: FaultProxy) -> None:
    job = make_job()
    write(job, "a.xml")
    told = upload(job, proxy.url, destination="s3", s3_bucket="no-such-bucket", fail_on_error="true")
    assert (titles(told), told.conclusion) == ([("error", "There is no such bucket")], "failure")
    proxy.fault = lambda _: 403
    told = upload(make_job(), proxy.url, destination="s3")
    assert titles(told) == [("error", "S3 refused the upload")]
    nobody = {**HERE, "HOME": "/nonexistent"}
    told = upload(make_job(env=nobody), proxy.url, destination="s3")
    assert titles(told) == [("error", "There are no credentials for S3")]
    impatient = {**KEYS, "AWS_MAX_ATTEMPTS": "1"}
    told = upload(make_job(env=impatient), "http://127.0.0.1:9", destination="s3")
    assert titles(told) == [("error", "S3 did not take the upload")]


@pytest.mark.parametrize(
    ("kind", "refused", "title", "stored"),
    [
        ("logs", "/half-1/", "Not every file can be opened by itself", {".zip", ".html"}),
        ("debug", "/half-2.html", "Not every file can be opened by itself", {".zip", "/a.log"}),
        ("test-jsons", "/half-3.manifest.json", "The manifest was not stored", {".zip"}),
    ],
)
def test_what_fails_after_the_archive_is_told_and_the_archive_stays(
    make_job: Callable[..., Job], s3: S3Client, proxy: FaultProxy, kind: str, refused: str, title: str, stored: set[str]
) -> None:
    proxy.fault = lambda passed: 403 if passed.method == "PUT" and refused in passed.path else None
    job = make_job()
    write(job, "a.log")
    name = refused.strip("/").partition(".")[0]
    result = upload(job, proxy.url, kind=kind, name=name)
    assert (result.outputs["outcome"], titles(result)) == ("uploaded", [("warning", title)]), result.log
    assert set(objects(s3, f"{PREFIX}/{name}")) == stored
    assert result.outputs["artifact-url"].endswith(".html" if ".html" in stored else ".zip")


def test_a_link_that_is_not_public_is_told(make_job: Callable[..., Job], proxy: FaultProxy) -> None:
    proxy.fault = lambda passed: 403 if passed.method == "HEAD" else None
    job = make_job()
    write(job, "a.xml")
    result = upload(job, proxy.url, name="private")
    assert titles(result) == [("notice", "The link is not public")]
    assert result.outputs["outcome"] == "uploaded"


def test_a_role_is_assumed_with_the_jobs_own_token(
    stack: Stack, make_job: Callable[..., Job], s3: S3Client, proxy: FaultProxy
) -> None:
    github = stack.state["github_url"]
    body = {"repo": "example/backend", "claims": {"run_id": "240"}}
    started = requests.post(f"{github}/_local/jobs", json=body, timeout=60).json()
    offered = {
        "ACTIONS_ID_TOKEN_REQUEST_URL": started["request_url"],
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": started["request_token"],
    }
    env = {**HERE, "AWS_ENDPOINT_URL_STS": proxy.url}
    job = make_job(env=env, runner_env=offered)
    write(job, "a.xml")
    result = upload(job, proxy.url, destination="s3", role_to_assume=ROLE, name="by-role")
    assert (result.outputs["outcome"], titles(result)) == ("uploaded", []), result.log

    asked = next(each for each in proxy.passed if b"AssumeRoleWithWebIdentity" in each.body)
    sent = {key: values[0] for key, values in parse_qs(asked.body.decode()).items()}
    # The emulator takes any token: what we send is judged as AWS would.
    keys = jwt.PyJWKClient(f"{github}/.well-known/jwks")
    token = sent["WebIdentityToken"]
    claims = jwt.decode(
        token,
        keys.get_signing_key_from_jwt(token).key,
        algorithms=["RS256"],
        audience="sts.amazonaws.com",
        issuer=github,
        options={"require": ["iss", "aud", "exp", "iat", "sub"]},
    )
    assert (claims["repository"], claims["run_id"]) == ("example/backend", "240")
    assert (sent["RoleArn"], sent["RoleSessionName"]) == (ROLE, "example@backend-240-1")
    assert "Authorization" not in asked.headers  # nobody's keys are needed for this call
    allowed = json.loads(sent["Policy"])["Statement"]
    assert [(each["Action"], each["Resource"]) for each in allowed if "Condition" not in each] == [
        (["s3:PutObject", "s3:AbortMultipartUpload"], f"arn:aws:s3:::{BUCKET}/{PREFIX}/*")
    ]
    assert token in result.masks
    assert token not in result.log
    puts = [each for each in proxy.passed if each.method == "PUT"]
    assert puts
    for each in puts:
        assert "local/" not in each.headers["Authorization"]
        assert each.headers["X-Amz-Security-Token"] in result.masks
        assert urlsplit(each.path).path.startswith(f"/{BUCKET}/{PREFIX}/")


def test_a_role_without_a_token_or_refused(make_job: Callable[..., Job], proxy: FaultProxy, stack: Stack) -> None:
    job = make_job(env=HERE)
    write(job, "a.xml")
    result = upload(job, proxy.url, destination="s3", role_to_assume=ROLE)
    assert titles(result) == [("error", "The job has no permission to ask for an OIDC token")]

    started = requests.post(f"{stack.state['github_url']}/_local/jobs", json={"repo": "o/r"}, timeout=60).json()
    offered = {
        "ACTIONS_ID_TOKEN_REQUEST_URL": started["request_url"],
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": started["request_token"],
    }
    proxy.fault = lambda passed: 403 if b"AssumeRole" in passed.body else None
    job = make_job(env={**HERE, "AWS_ENDPOINT_URL_STS": proxy.url}, runner_env=offered)
    result = upload(job, proxy.url, destination="s3", role_to_assume=ROLE)
    assert titles(result) == [("error", "AWS did not let this job have the role")]
