"""The run that reports: GitHub's, Buildkite's, GitLab's or one told by flags."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oot_runner import ci
from oot_runner.messages import ReportError
from tests.oot_runner.conftest import CLIENT_PAYLOAD

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from oot_runner.settings import Settings

GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_REPOSITORY": "example/backend",
    "GITHUB_RUN_ID": "240",
    "GITHUB_RUN_ATTEMPT": "2",
    "GITHUB_WORKFLOW": "npu-ci",
    "GITHUB_JOB": "test",
    "GITHUB_SERVER_URL": "https://github.example",
    "GITHUB_EVENT_NAME": "repository_dispatch",
    "GITHUB_WORKSPACE": "/workspace",
    "OOT_JOB_STATUS": "failure",
    "OOT_CHECK_RUN_ID": "987",
    "OOT_MATRIX": "null",
}
BUILDKITE = {
    "BUILDKITE": "true",
    "BUILDKITE_BUILD_ID": "0190-uuid",
    "BUILDKITE_RETRY_COUNT": "1",
    "BUILDKITE_PIPELINE_SLUG": "vllm-nightly",
    "BUILDKITE_BUILD_URL": "https://buildkite.com/o/p/builds/1",
    "BUILDKITE_LABEL": "GPU tests",
    "BUILDKITE_REPO": "git@github.com:example/backend.git",
    "BUILDKITE_COMMAND_EXIT_STATUS": "1",
}
GITLAB = {
    "GITLAB_CI": "true",
    "CI_PROJECT_PATH": "group/project",
    "CI_PROJECT_NAME": "project",
    "CI_PIPELINE_ID": "55",
    "CI_PIPELINE_URL": "https://gitlab.com/group/project/-/pipelines/55",
    "CI_JOB_ID": "77",
    "CI_JOB_NAME": "test: [npu]",
    "CI_JOB_STATUS": "canceled",
}


def test_github(make_settings: Callable[..., Settings], tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"client_payload": CLIENT_PAYLOAD}), encoding="utf-8")
    run = ci.detect({**GITHUB, "GITHUB_EVENT_PATH": str(event)}, make_settings())
    assert (run.provider, run.repository, run.workflow_name) == ("github", "example/backend", "npu-ci")
    assert (run.run_id, run.run_attempt, run.check_run_id, run.job_name) == ("240", "2", "987", "test")
    assert run.run_url == "https://github.example/example/backend/actions/runs/240"
    assert (run.job_status, run.event["client_payload"]) == ("failure", CLIENT_PAYLOAD)


def test_buildkite_as_crcr_s_wrapper_maps_it(make_settings: Callable[..., Settings]) -> None:
    run = ci.detect(BUILDKITE, make_settings())
    assert (run.run_id, run.run_attempt, run.check_run_id) == ("0190-uuid", "2", "0190-uuid-2")
    assert (run.workflow_name, run.job_name, run.job_status) == ("vllm-nightly", "GPU tests", "failure")
    assert run.repository == "example/backend"
    assert ci.detect({**BUILDKITE, "BUILDKITE_PARALLEL_JOB": "3"}, make_settings()).job_name == "GPU tests #3"


def test_gitlab(make_settings: Callable[..., Settings]) -> None:
    run = ci.detect(GITLAB, make_settings())
    assert (run.run_id, run.run_attempt, run.check_run_id) == ("55", "1", "77")
    assert (run.repository, run.job_name, run.job_status) == ("group/project", "test: [npu]", "cancelled")


def test_any_other_ci_says_it_in_flags(make_settings: Callable[..., Settings]) -> None:
    told = {"OOT_RUN_ID": "9", "OOT_WORKFLOW_NAME": "nightly", "OOT_RUN_URL": "https://ci.example/9"}
    run = ci.detect(told, make_settings())
    assert (run.provider, run.run_id, run.run_attempt, run.check_run_id) == ("other", "9", "1", "9-1")
    assert (run.job_name, run.job_status) == ("default", "")
    with pytest.raises(ReportError) as missing:
        ci.detect({"OOT_RUN_ID": "9"}, make_settings())
    assert missing.value.message.facts["flags"] == "--workflow-name"


@pytest.mark.parametrize("environ", [GITHUB, BUILDKITE, GITLAB])
def test_flags_overrule_the_ci(make_settings: Callable[..., Settings], environ: dict[str, str]) -> None:
    run = ci.detect({**environ, "OOT_RUN_ID": "1", "OOT_WORKFLOW_NAME": "mine"}, make_settings(job_name="named"))
    assert (run.run_id, run.workflow_name, run.job_name) == ("1", "mine", "named")


def test_a_whole_run_has_one_identity_whichever_job_speaks(make_settings: Callable[..., Settings]) -> None:
    first = ci.detect({**GITHUB, "OOT_CHECK_RUN_ID": "1"}, make_settings(scope="workflow", status="in_progress"))
    last_job = {**GITHUB, "OOT_CHECK_RUN_ID": "2", "GITHUB_JOB": "report"}
    last = ci.detect(last_job, make_settings(scope="workflow", conclusion="success"))
    assert (first.job_name, first.check_run_id) == (last.job_name, last.check_run_id) == ("workflow", "240-2")


def test_runners_that_do_not_tell_the_check_run_id(make_settings: Callable[..., Settings]) -> None:
    assert ci.detect({**GITHUB, "OOT_CHECK_RUN_ID": ""}, make_settings()).check_run_id == "240-2"


@pytest.mark.parametrize(
    ("matrix", "name"),
    [
        ("null", "test"),
        ("", "test"),
        ("{}", "test"),
        ("not json", "test"),
        ('{"device": "npu", "python": "3.11"}', "test (npu, 3.11)"),
        ('{"python": 3.11, "fast": true, "extra": null}', "test (3.11, true, null)"),
        ('{"cfg": {"b": 1, "a": ["x"]}}', 'test ({"a": ["x"], "b": 1})'),
        ('{"a": "x, y", "b": ""}', 'test ("x, y", "")'),
        ('{"a": "npü"}', "test (npü)"),
    ],
)
def test_the_name_of_a_matrix_leg(matrix: str, name: str) -> None:
    assert ci.leg_name("test", matrix) == name


@given(
    st.lists(
        st.lists(st.text(st.sampled_from('ab ,()"\\\n'), max_size=4), min_size=2, max_size=2), min_size=2, max_size=2
    )
)
def test_two_legs_never_share_a_name(legs: list[list[str]]) -> None:
    first, second = (ci.leg_name("test", json.dumps(dict(zip("xy", leg)))) for leg in legs)
    assert (first == second) == (legs[0] == legs[1])


def test_a_dispatch_s_payload_may_come_from_a_file(make_settings: Callable[..., Settings], tmp_path: Path) -> None:
    path = tmp_path / "payload.json"
    path.write_text(json.dumps(CLIENT_PAYLOAD), encoding="utf-8")
    for given_as in (str(path), json.dumps(CLIENT_PAYLOAD)):
        run = ci.detect(BUILDKITE, make_settings(client_payload=given_as))
        assert run.event == {"client_payload": CLIENT_PAYLOAD}
