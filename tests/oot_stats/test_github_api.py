"""GitHub's API as it is on a bad day: pages, rate limits, errors; and downloads that leave the token at home."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from oot_stats.limits import Limits
from oot_stats.reasons import RejectedError
from oot_stats.sources.downloads import Downloads, bare
from oot_stats.sources.github_api import GitHub, GitHubError, is_fetched
from tests.oot_stats.local_runs import LocalRuns
from tests.oot_stats.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from oot_stats.sources.artifacts import Artifact

REPO = "spec/backend"
SECRET = "a-job-s-token"
PRIMARY = {"x-ratelimit-remaining": "0"}
SECONDARY = '{"message": "You have exceeded a secondary rate limit. Please wait a few minutes."}'


class Waits:
    """Time that passes at once: how long each wait was, and what was said."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.said: list[str] = []


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving() as url:
        yield url


@pytest.fixture
def local(url: str) -> LocalRuns:
    return LocalRuns(url)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def github(url: str, waits: Waits) -> Iterator[GitHub]:
    with GitHub(url, SECRET, REPO, patience=100, say=waits.said.append, sleep=waits.seconds.append) as github:
        yield github


def fetched(github: GitHub, artifact: Artifact, **limits: int) -> bytes:
    downloads = Downloads(Limits(**limits), sleep=lambda _: None)
    with downloads.fetch(artifact, lambda: bare(github.address(artifact))) as file:
        return file.read()


def rejected(github: GitHub, artifact: Artifact, **limits: int) -> str:
    with pytest.raises(RejectedError) as caught:
        fetched(github, artifact, **limits)
    assert caught.value.detail.endswith(".")
    return caught.value.code


def only(github: GitHub, run: int) -> Artifact:
    ((artifact, _),) = github.artifacts(run)
    return artifact


# --- listing


def test_all_pages_are_read(github: GitHub, local: LocalRuns) -> None:
    run = local.add(REPO, attempts=[{"jobs": [{"id": number, "name": f"job {number}"} for number in range(1, 251)]}])
    for number in range(205):
        local.upload(run, f"test-reports-runattempt1-x_{number}", b"")
    assert {artifact.job_id for artifact, _ in github.artifacts(run)} == set(range(205))
    assert len(github.jobs(run, 1)) == 250


def test_a_job_that_was_taken_over_keeps_its_attempt(github: GitHub, local: LocalRuns) -> None:
    first = [{"id": 1, "name": "build"}, {"id": 2, "name": "test"}]
    run = local.add(
        REPO, attempts=[{"jobs": first}, {"jobs": [{**first[0], "run_attempt": 1}, {"id": 3, "name": "test"}]}]
    )
    assert [(job.id, job.name, job.run_attempt) for job in github.jobs(run, 2)] == [(1, "build", 1), (3, "test", 2)]
    assert {job.id for job in github.jobs(run)} == {1, 2, 3}
    assert (github.run(run, 2).run_started_at or "").endswith("Z")


def test_a_run_that_is_not_there(github: GitHub) -> None:
    with pytest.raises(GitHubError, match="404: does the token have `actions: read`"):
        list(github.artifacts(10**15))


@pytest.mark.parametrize("moved", ["repositories/7", "repos/org/newname"])
def test_a_renamed_repository_is_followed_within_the_api(
    github: GitHub, local: LocalRuns, waits: Waits, moved: str
) -> None:
    run = local.add("org/newname")
    local.upload(run, "test-reports-runattempt1-x_1", b"zip")
    api = github._url
    with GitHub(api, SECRET, "org/newname", patience=1, say=print) as renamed:
        artifact = only(renamed, run)
    local.fault(f"{REPO}/actions/runs/{run}", 301, headers={"location": f"{api}/repos/org/newname/actions/runs/{run}"})
    path = f"actions/artifacts/{artifact.place}/zip"
    local.fault(path, 301, headers={"location": f"{api}/{moved}/{path}"})
    local.fault(f"{moved}/{path}", 302, headers={"location": "https://blob.example.org/zip"})
    assert github.address(artifact) == "https://blob.example.org/zip"
    assert github.run(run).repository.full_name == "org/newname"
    assert waits.said == [f"{REPO} is org/newname now."]


def test_it_is_not_followed_for_ever(github: GitHub, local: LocalRuns) -> None:
    run = local.add(REPO)
    local.upload(run, "test-reports-runattempt1-x_1", b"zip")
    artifact = only(github, run)
    path = f"actions/artifacts/{artifact.place}/zip"
    for _ in range(5):
        local.fault(path, 301, headers={"location": f"{github._url}/repositories/7/{path}"})
    assert "/repositories/7/" in github.address(artifact)  # which nothing is fetched from


@pytest.mark.parametrize(("status", "remedy"), [(403, "does the token have"), (500, "in trouble"), (502, "in trouble")])
def test_what_to_do_depends_on_whose_trouble_it_is(github: GitHub, local: LocalRuns, status: int, remedy: str) -> None:
    run = local.add(REPO)
    for _ in range(8):
        local.fault(f"runs/{run}/artifacts", status, body="{}")
    with pytest.raises(GitHubError, match=remedy):
        list(github.artifacts(run))


# --- rate limits


@pytest.mark.parametrize(
    ("status", "headers", "body", "wait"),
    [
        (403, {**PRIMARY, "x-ratelimit-reset": "+30"}, '{"message": "API rate limit exceeded"}', 31),
        (429, {**PRIMARY, "x-ratelimit-reset": "+30"}, "", 31),
        (403, {"retry-after": "7"}, SECONDARY, 7),
        (429, {"retry-after": "0"}, "", 1),
        (403, {}, SECONDARY, 60),
        (429, {}, "", 60),
    ],
)
def test_rate_limits_are_waited_for(
    github: GitHub, local: LocalRuns, waits: Waits, status: int, headers: dict[str, str], body: str, wait: float
) -> None:
    if "x-ratelimit-reset" in headers:
        headers = {**headers, "x-ratelimit-reset": str(int(time.time()) + 30)}
    run = local.add(REPO)
    local.fault(f"runs/{run}/artifacts", status, headers=headers, body=body)
    assert list(github.artifacts(run)) == []
    assert len(waits.seconds) == 1
    assert wait - 2 <= waits.seconds[0] <= wait
    assert waits.said[0].startswith("GitHub's rate limit is used up")


def test_patience_ends(github: GitHub, local: LocalRuns, waits: Waits) -> None:
    run = local.add(REPO)
    local.fault(f"runs/{run}/artifacts", 429, headers={"retry-after": "40"}, times=9)
    with pytest.raises(GitHubError, match="asks to wait 40 s, more than --max-seconds leaves"):
        list(github.artifacts(run))
    assert waits.seconds == [40, 40]


def test_what_is_forbidden_is_not_asked_again(github: GitHub, local: LocalRuns, waits: Waits) -> None:
    run = local.add(REPO)
    local.fault(f"runs/{run}/artifacts", 403, body='{"message": "Resource not accessible by integration"}', times=2)
    with pytest.raises(GitHubError, match="403"):
        list(github.artifacts(run))
    assert waits.seconds == []


@pytest.mark.parametrize(("times", "ends"), [(3, True), (9, False)])
def test_a_server_s_bad_moment_passes(
    github: GitHub,
    local: LocalRuns,
    waits: Waits,
    times: int,
    ends: bool,  # noqa: FBT001 - a table
) -> None:
    run = local.add(REPO)
    local.fault(f"runs/{run}/artifacts", 502, times=times)
    if ends:
        assert list(github.artifacts(run)) == []
    else:
        with pytest.raises(GitHubError, match="502"):
            list(github.artifacts(run))
    assert waits.seconds == [1, 2, 4]


def test_nobody_at_home(waits: Waits) -> None:
    nowhere = GitHub("http://127.0.0.1:9", SECRET, REPO, patience=1, say=waits.said.append, sleep=waits.seconds.append)
    with nowhere, pytest.raises(GitHubError, match="did not answer"):
        list(nowhere.artifacts(1))
    assert waits.seconds == [1, 2, 4]


# --- downloads


def test_the_token_stays_with_github(
    github: GitHub, local: LocalRuns, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither it, nor a password that netrc has for that host, nor a cookie reaches blob storage."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password hunter2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert requests.get(f"{url}/_blob/0", timeout=60).request.headers["authorization"].startswith("Basic")
    run = local.add(REPO)
    local.upload(run, "test-reports-runattempt1-x_1", b"content")
    assert fetched(github, only(github, run)) == b"content"
    asked: dict[str, Any] = requests.get(f"{url}/_local/blob_requests", timeout=60).json()[-1]
    assert not {"authorization", "cookie", "x-github-api-version"} & asked.keys()
    assert SECRET not in str(asked)


@pytest.mark.parametrize(
    ("path", "status", "headers", "reason"),
    [
        ("/zip", 410, {}, "gone"),
        ("/zip", 404, {}, "gone"),
        ("/zip", 401, {}, "download_failed"),
        ("/zip", 302, {"location": "http://blob.example.org/x"}, "bad_redirect"),
        ("/zip", 302, {"location": "file:///etc/passwd"}, "bad_redirect"),
        ("/zip", 302, {"location": "//127.0.0.1:1/x"}, "bad_redirect"),
        ("/zip", 302, {"location": "https://user:pass@127.0.0.1/x"}, "bad_redirect"),
        ("/zip", 302, {}, "bad_redirect"),
        ("/zip", 200, {}, "bad_redirect"),
        ("/_blob/", 404, {}, "gone"),
        ("/_blob/", 410, {}, "gone"),
        ("/_blob/", 403, {}, "download_failed"),
        ("/_blob/", 302, {"location": "http://169.254.169.254/"}, "bad_redirect"),
    ],
)
def test_what_can_t_be_fetched(
    github: GitHub, local: LocalRuns, path: str, status: int, headers: dict[str, str], reason: str
) -> None:
    run = local.add(REPO)
    local.upload(run, "test-reports-runattempt1-x_1", b"content")
    local.fault(path, status, headers=headers)
    assert rejected(github, only(github, run)) == reason
    assert fetched(github, only(github, run)) == b"content"


def test_an_expired_artifact(github: GitHub, local: LocalRuns) -> None:
    run = local.add(REPO)
    local.upload(run, "test-reports-runattempt1-x_1", b"content", expired="yes")
    ((artifact, expired),) = github.artifacts(run)
    assert expired
    assert rejected(github, artifact) == "gone"


def test_storage_is_asked_again_when_it_breaks_off(github: GitHub, local: LocalRuns) -> None:
    run = local.add(REPO)
    local.upload(run, "test-reports-runattempt1-x_1", b"content")
    local.fault("/_blob/", 503, times=2)
    assert fetched(github, only(github, run)) == b"content"
    local.fault("/_blob/", 503, times=3)
    assert rejected(github, only(github, run)) == "download_failed"


def test_what_is_not_what_was_announced(github: GitHub, local: LocalRuns) -> None:
    run = local.add(REPO)
    local.upload(run, "test-reports-runattempt1-x_1", b"content")
    local.fault("/_blob/", 200, body="other content")
    assert rejected(github, only(github, run)) == "wrong_digest"


def test_quotas(github: GitHub, local: LocalRuns) -> None:
    run = local.add(REPO)
    local.upload(run, "test-reports-runattempt1-x_1", b"x" * 1000)
    artifact = only(github, run)
    limits = {"bytes": 32 * 999}
    assert rejected(github, artifact, **limits) == "artifact_too_large"
    assert rejected(github, artifact._replace(size=0), **limits) == "artifact_too_large"  # a source that lies
    downloads = Downloads(Limits(bytes=32 * 1000))
    for _ in range(32):
        downloads.fetch(artifact, lambda: bare(github.address(artifact))).close()
    with pytest.raises(RejectedError) as caught:
        downloads.fetch(artifact, lambda: bare(github.address(artifact)))
    assert (caught.value.code, downloads.total_bytes) == ("run_too_large", 33_000)


@pytest.mark.parametrize(
    ("url", "fetched"),
    [
        ("https://blob.example.org/x?sig=1", True),
        ("http://127.0.0.1:8080/x", True),
        ("http://localhost/x", True),
        ("http://[::1]:80/x", True),
        ("http://127.0.0.1.example.org/", False),
        ("http://example.org/", False),
        ("https://", False),
        ("https://a@example.org/", False),
        ("http://[::1", False),
        ("ftp://127.0.0.1/", False),
        ("", False),
    ],
)
def test_addresses(url: str, fetched: bool) -> None:  # noqa: FBT001 - a table
    assert is_fetched(url) is fetched
