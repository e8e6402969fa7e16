"""The inputs of upload-artifacts: what is taken, and what is refused with which words."""

from __future__ import annotations

import pytest

from oot_runner.upload.inputs import INPUTS, Settings, fails, read
from oot_runner.upload.messages import UploadError


def settings(**given: str) -> Settings:
    given = {"path": "reports", **given}
    env = {f"OOT_{name.upper()}": text for name, text in given.items() if name.islower()}
    return read({**env, **{name: text for name, text in given.items() if name.isupper()}})


def test_defaults() -> None:
    assert settings() == Settings(
        path=("reports",),
        kind="test-reports",
        name="",
        destination="auto",
        s3_bucket="",
        s3_prefix="",
        s3_region="",
        s3_endpoint_url="",
        role_to_assume="",
        public_base_url="",
        retention_days="",
        compression_level=6,
        if_no_files_found="warn",
        include_hidden=False,
        max_size=2 * 2**30,
    )
    assert set(Settings._fields) == {item.name.replace("-", "_") for item in INPUTS} - {"fail_on_error"}


@pytest.mark.parametrize(
    ("text", "size"), [("10", 10), ("500 MB", 5 * 10**8), ("1.5GiB", 3 * 2**29), ("2 gb", 2 * 10**9), ("0", 0)]
)
def test_sizes(text: str, size: int) -> None:
    assert settings(max_size=text).max_size == size


def test_several_paths_and_the_region_of_the_environment() -> None:
    told = settings(path=" a \n\n!b\r\nc ", AWS_REGION="eu-west-1", s3_prefix="/a/b/", public_base_url="https://x.y/z/")
    assert told.path == ("a", "!b", "c")
    assert (told.s3_region, told.s3_prefix, told.public_base_url) == ("eu-west-1", "a/b", "https://x.y/z")
    assert settings(AWS_DEFAULT_REGION="us-west-2").s3_region == "us-west-2"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("path", "  \n"),
        ("path", "!only\n!excludes"),
        ("kind", "Logs"),
        ("kind", "a/b"),
        ("kind", "runattempt2"),
        ("destination", "S3"),
        ("s3_bucket", "s3://bucket"),
        ("s3_bucket", "Bucket"),
        ("s3_prefix", "a/../b"),
        ("s3_prefix", "a//b"),
        ("s3_prefix", "a/*"),
        ("s3_prefix", "a\x00b"),
        ("s3_prefix", "a" * 513),
        ("s3_endpoint_url", "http://s3.example.org"),
        ("s3_endpoint_url", "https://user:pass@s3.example.org"),
        ("s3_endpoint_url", "ftp://s3.example.org"),
        ("role_to_assume", "oot-ci-results"),
        ("role_to_assume", "arn:aws:iam::123456789012:user/x"),
        ("public_base_url", "javascript:alert(1)"),
        ("public_base_url", "https://x.y/?a=b"),
        ("public_base_url", "https://x.y/ z"),
        ("public_base_url", "//x.y"),
        ("retention_days", "0"),
        ("retention_days", "a week"),
        ("compression_level", "10"),
        ("compression_level", "six"),
        ("if_no_files_found", "fail"),
        ("include_hidden", "maybe"),
        ("max_size", "big"),
        ("max_size", "1 parsec"),
        ("fail_on_error", "perhaps"),
    ],
)
def test_what_is_refused_is_named(name: str, value: str) -> None:
    with pytest.raises(UploadError) as refused:
        settings(**{name: value})
    assert refused.value.message.code == "bad_input"
    assert refused.value.message.facts["name"] == name.replace("_", "-")


def test_s3_needs_a_bucket() -> None:
    with pytest.raises(UploadError, match="s3-bucket"):
        settings(destination="s3")


@pytest.mark.parametrize(("text", "asked"), [("true", True), (" TRUE ", True), ("false", False), ("", False)])
def test_fail_on_error_is_obeyed_whatever_else_is_wrong(text: str, *, asked: bool) -> None:
    assert fails({"OOT_FAIL_ON_ERROR": text, "OOT_KIND": "?"}) is asked
