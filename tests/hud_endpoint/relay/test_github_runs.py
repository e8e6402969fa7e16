"""How GitHub is asked for a run: once for each, as it writes its id, and not without end for one repo's sake."""

from __future__ import annotations

import itertools

import pytest

from hud_endpoint.errors import RefusedError
from hud_endpoint.relay.github_calls import CALLS_PER_MINUTE, GitHubCalls
from hud_endpoint.relay.github_runs import MISSING_SECONDS, GitHubRun, GitHubRuns
from tests.hud_endpoint.relay.desk import REPO, Clock

RUN = GitHubRun("schedule", "77")


class GitHub:
    """Knows one run."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, _repo: str, run_id: str) -> GitHubRun | None:
        self.asked.append(run_id)
        return RUN if run_id == "240" else None


def find(runs: GitHubRuns, run_id: str, repo: str = REPO) -> str:
    """Return the run's event, or the code of the refusal."""
    try:
        return runs.find(repo, run_id).event
    except RefusedError as error:
        return error.code


def test_a_run_is_asked_for_once() -> None:
    github = GitHub()
    runs = GitHubRuns(github)
    assert [find(runs, "240", repo) for repo in (REPO, REPO, REPO.upper())] == ["schedule"] * 3
    assert github.asked == ["240"]


@pytest.mark.parametrize(
    "run_id",
    ["0240", "+240", " 240", "240 ", "2_40", "-240", "240.0", "0xF0", "\u0662\u0664\u0660", "240\n", "0", "9" * 20],
)
def test_one_run_has_one_id(run_id: str) -> None:
    """Each of them is 240 to Python's int(), and would be another key of the same job in HUD."""
    github = GitHub()
    assert find(GitHubRuns(github), run_id) == "run_not_found"
    assert github.asked == []


def test_a_run_that_is_not_there_may_come(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, github = Clock(), GitHub()
    monkeypatch.setattr("hud_endpoint.relay.github_runs.time.monotonic", clock)
    runs = GitHubRuns(github)
    assert [find(runs, "7") for _ in range(5)] == ["run_not_found"] * 5
    clock.now += MISSING_SECONDS + 1
    assert find(runs, "7") == "run_not_found"
    assert github.asked == ["7", "7"]


def test_one_repo_s_made_up_runs_do_not_use_up_the_calls_of_all() -> None:
    clock, github = Clock(), GitHub()
    runs, numbers = GitHubRuns(github, GitHubCalls(clock)), itertools.count(1000)
    answers = [find(runs, str(next(numbers))) for _ in range(CALLS_PER_MINUTE + 5)]
    assert answers == ["run_not_found"] * CALLS_PER_MINUTE + ["rate_limited"] * 5
    assert find(runs, "240", "spec/another") == "schedule"
    assert find(runs, "240") == "rate_limited"
    clock.now += 60 / CALLS_PER_MINUTE
    assert find(runs, "240") == "schedule"
    assert find(runs, "241") == "rate_limited"
    assert find(runs, "240") == "schedule"  # what is known costs nothing
    assert len(github.asked) == CALLS_PER_MINUTE + 2
