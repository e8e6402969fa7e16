"""Which artifacts an attempt's stats are made of: by their names, and by what GitHub says of the jobs."""

from __future__ import annotations

import pytest

from oot_stats.sources.artifacts import Artifact, attempt_of, by_job, choose, job_id_of
from oot_stats.sources.github_answers import WorkflowJob

STARTED = "2026-06-01T12:00:00Z"
# Attempt 2 of a run: `build` was not run again, `test` was, and its first try has another id.
JOBS = [WorkflowJob(id=10, name="build", run_attempt=1), WorkflowJob(id=21, name="test", run_attempt=2)]
EARLIER = {10: "build", 11: "test", 12: "gone", 21: "test"}


def github(name: str, created_at: str = "", place: str = "1") -> Artifact:
    return Artifact("github", name, place, 1, attempt_of(name), job_id_of(name), created_at)


def s3(name: str, attempt: int) -> Artifact:
    return Artifact("s3", name, f"o/r/1/{attempt}/artifact/{name}", 1, attempt, job_id_of(name))


@pytest.mark.parametrize(
    ("name", "attempt", "job_id"),
    [
        ("test-reports-runattempt1-test-default-1-2-linux.2xlarge_5596745227.zip", 1, 5596745227),
        ("test-reports-runattempt12-npu-torch-2.9_98765", 12, 98765),
        ("test-reports-test-default-1-2-linux.2xlarge_5596745227.zip", None, 5596745227),
        ("torchci-reports-runattempt3-5596745227.zip", 3, None),
        ("test-reports-runattempt2", 2, None),
        ("test-reports-runattempt2_7", 2, 7),
        ("test-reports-runattempt2-x_7-1", 2, None),
        ("test-reports-runattempt-x_7", None, 7),
        ("test-reports-myrunattempt2-x_7", None, 7),
        ("test-reports-runattempt2x-y_7", None, 7),
        ("test-reports-runattempt1-x_99999999999999999999999", 1, None),
        ("test-reports-runattempt1-x_9999999999999999999", 1, None),
        ("test-reports-runattempt1-x_٣", 1, None),
        ("", None, None),
    ],
)
def test_names(name: str, attempt: int | None, job_id: int | None) -> None:
    assert (attempt_of(name), job_id_of(name)) == (attempt, job_id)


@pytest.mark.parametrize(
    ("artifact", "reason"),
    [
        (github("test-reports-runattempt2-test_21"), ""),
        (github("test-reports-runattempt1-build_10"), "fallback: carried_over"),
        (github("test-reports-runattempt1-test_11"), "superseded"),
        (github("test-reports-runattempt1-gone_12"), "other_attempt"),
        (github("test-reports-runattempt1-unknown_999"), "other_attempt"),
        (github("test-reports-runattempt1-nameless"), "other_attempt"),
        (github("test-reports-runattempt3-test_31"), "other_attempt"),
        (github("test-reports-build_10"), ""),
        (github("test-reports-x_999", "2026-06-01T12:00:01Z"), "fallback: by_time"),
        (github("test-reports-x_999", "2026-06-01T11:59:59Z"), "unknown_attempt"),
        (s3("test-reports-test_21.zip", 2), ""),
        (s3("test-reports-build_10.zip", 1), "fallback: carried_over"),
        (s3("test-reports-test_11.zip", 1), "superseded"),
        (github("test-jsons-runattempt2-test_21"), "not_reports"),
        (github("sccache-stats-runattempt2-test-reports_21"), "not_reports"),
        (github("wheel"), "not_reports"),
    ],
)
def test_the_rule_for_attempts(artifact: Artifact, reason: str) -> None:
    choice = choose([artifact], 2, JOBS, EARLIER, STARTED, 10)
    if reason and not reason.startswith("fallback"):
        assert [(left, code) for left, code, _ in choice.left] == [(artifact, reason)]
        assert choice.left[0][2].endswith(".")
        assert not choice.chosen
        return
    assert choice.chosen == [artifact]
    assert [f"fallback: {told['rule']}" for told in choice.fallbacks] == ([reason] if reason else [])


def test_a_job_with_another_id_is_known_by_its_name() -> None:
    """GitHub may list a job that was taken over under a new id."""
    choice = choose([github("test-reports-runattempt1-build_9")], 2, JOBS, {9: "build"}, STARTED, 10)
    assert [artifact.job_id for artifact in choice.chosen] == [9]


def test_without_github_s_word_only_the_asked_attempt_counts() -> None:
    artifacts = [s3("test-reports-a_1.zip", 1), s3("test-reports-a_2.zip", 2)]
    choice = choose(artifacts, 2, None, {}, "", 10)
    assert choice.chosen == artifacts[1:]
    assert "GitHub did not tell" in choice.left[0][2]


def test_the_same_artifact_in_both_counts_once() -> None:
    both = [github("test-reports-runattempt2-test_21.zip"), s3("test-reports-test_21.zip", 2)]
    for artifacts in (both, both[::-1]):
        choice = choose(artifacts, 2, JOBS, EARLIER, STARTED, 10)
        assert choice.chosen == [both[1]]
        assert choice.copies == {both[1]: both[0]}


def test_two_of_one_name_in_one_source_are_two() -> None:
    twice = [github("test-reports-runattempt2-test_21", place=place) for place in ("1", "2")]
    assert choose(twice, 2, JOBS, EARLIER, STARTED, 10).chosen == twice


def test_one_that_is_listed_twice_is_one() -> None:
    artifact = github("test-reports-runattempt2-test_21")
    assert choose([artifact, artifact], 2, JOBS, EARLIER, STARTED, 10).chosen == [artifact]


def test_there_are_never_too_many() -> None:
    choice = choose([s3(f"test-reports-x_{number}.zip", 2) for number in range(5)], 2, JOBS, {}, "", 3)
    assert (len(choice.chosen), [code for _, code, _ in choice.left]) == (3, ["too_many_artifacts"] * 2)


def test_artifacts_of_a_job_stay_together() -> None:
    names = ["test-reports-a_1", "test-reports-b_2", "test-reports-c_1", "test-reports-d"]
    found = by_job([github(name) for name in names])
    assert [[artifact.job_id for artifact in job] for job in found] == [[1, 1], [2], [None]]


def test_never_are_too_many_files_open_for_one_job() -> None:
    found = by_job([github(f"test-reports-{number}") for number in range(120)])
    assert [len(job) for job in found] == [50, 50, 20]
