"""The local GitHub's runs, jobs and artifacts behave as GitHub's REST API documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests

from tests.oot_stats.local_runs import LocalRuns
from tests.oot_stats.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = {"authorization": "Bearer a-token"}


@pytest.fixture(scope="module")
def github() -> Iterator[LocalRuns]:
    with serving() as url:
        yield LocalRuns(url)


def get(github: LocalRuns, path: str, **told: str) -> requests.Response:
    return requests.get(
        f"{github.url}/repos/spec/backend/actions{path}", headers=told, timeout=60, allow_redirects=False
    )


def test_a_run_and_its_attempts(github: LocalRuns) -> None:
    run = github.add("spec/backend", attempts=[{"conclusion": "failure", "jobs": []}, {"jobs": []}], head_branch="x")
    latest, first = get(github, f"/runs/{run}").json(), get(github, f"/runs/{run}/attempts/1").json()
    assert (latest["run_attempt"], latest["conclusion"], latest["head_branch"]) == (2, "success", "x")
    assert (first["run_attempt"], first["conclusion"]) == (1, "failure")
    assert latest["previous_attempt_url"].endswith("/attempts/1")
    assert get(github, f"/runs/{run}/attempts/3").status_code == 404
    assert requests.get(f"{github.url}/repos/other/repo/actions/runs/{run}", timeout=60).status_code == 404


def test_pages_are_linked(github: LocalRuns) -> None:
    run = github.add("spec/backend")
    for number in range(5):
        github.upload(run, f"a{number}", b"")
    names, url = [], f"{github.url}/repos/spec/backend/actions/runs/{run}/artifacts?per_page=2"
    while url:
        page = requests.get(url, timeout=60)
        assert page.json()["total_count"] == 5
        names += [artifact["name"] for artifact in page.json()["artifacts"]]
        url = page.links.get("next", {}).get("url", "")
    assert names == ["a4", "a3", "a2", "a1", "a0"]
    assert len(get(github, f"/runs/{run}/artifacts?name=a3").json()["artifacts"]) == 1


def test_jobs_of_an_attempt_and_of_all(github: LocalRuns) -> None:
    run = github.add(
        "spec/backend", attempts=[{"jobs": [{"id": 1}]}, {"jobs": [{"id": 1, "run_attempt": 1}, {"id": 2}]}]
    )
    told = {
        query: [(job["id"], job["run_attempt"]) for job in get(github, f"/runs/{run}{query}").json()["jobs"]]
        for query in ("/attempts/1/jobs", "/jobs", "/jobs?filter=all")
    }
    assert told == {"/attempts/1/jobs": [(1, 1)], "/jobs": [(1, 1), (2, 2)], "/jobs?filter=all": [(1, 1), (2, 2)]}


def test_an_archive_is_behind_a_redirect_that_wants_no_token(github: LocalRuns) -> None:
    run = github.add("spec/backend")
    artifact = github.upload(run, "a", b"content")
    path = f"/artifacts/{artifact['id']}/zip"
    assert get(github, path).status_code == 401
    answer = get(github, path, **TOKEN)
    assert answer.status_code == 302
    assert requests.get(answer.headers["location"], timeout=60).content == b"content"
    assert requests.get(answer.headers["location"], headers=TOKEN, timeout=60).status_code == 403
    expired = github.upload(run, "b", b"content", expired="yes")
    assert get(github, f"/artifacts/{expired['id']}/zip", **TOKEN).status_code == 410


def test_an_ordered_fault_comes_as_often_as_it_was_ordered(github: LocalRuns) -> None:
    run = github.add("spec/backend")
    github.fault(f"runs/{run}/artifacts", 429, headers={"retry-after": "5"}, times=2)
    statuses = [get(github, f"/runs/{run}/artifacts").status_code for _ in range(3)]
    assert statuses == [429, 429, 200]
