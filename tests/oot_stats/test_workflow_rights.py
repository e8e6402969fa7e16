"""What each job of the privileged workflows may touch: the tables of docs/threat-model.md, held to the files."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.oot_stats.workflow_jobs import ROOT, WORKFLOWS, load

FILES = ("upload-test-stats.yml", "report-deferred.yml")
READ = {"actions": "read", "contents": "read"}
# job -> permissions, whether an environment gates it, and the subcommand of ours that it runs
RIGHTS: dict[str, dict[str, tuple[dict[str, str], bool, str]]] = {
    "upload-test-stats.yml": {
        "run": (READ, False, "stats run"),
        "presign": ({"contents": "read", "id-token": "write"}, True, "stats presign"),
        "collect": (READ, False, "stats collect"),
        "publish": ({**READ, "id-token": "write"}, True, "stats publish"),
        "copy": ({**READ, "id-token": "write"}, True, "stats copy"),
    },
    "report-deferred.yml": {
        "read": (READ, False, "deferred read"),
        "post": ({**READ, "id-token": "write"}, False, "deferred post"),
    },
}
JOBS = [(file, name, load(file)["jobs"][name]) for file in FILES for name in RIGHTS[file]]
STEPS = [(f"{file}:{name}", step) for file, name, job in JOBS for step in job["steps"]]
each_job = pytest.mark.parametrize(("file", "name", "job"), JOBS, ids=[f"{file}-{name}" for file, name, _ in JOBS])


@pytest.mark.parametrize("file", FILES)
def test_a_workflow_itself_has_no_rights_and_no_other_jobs(file: str) -> None:
    assert load(file)["permissions"] == {}
    assert set(load(file)["jobs"]) == set(RIGHTS[file])


@each_job
def test_a_job_has_the_rights_of_the_table(file: str, name: str, job: dict[str, Any]) -> None:
    permissions, gated, command = RIGHTS[file][name]
    assert job["permissions"] == permissions
    assert ("environment" in job) is gated
    run = " ".join(step.get("run", "") for step in job["steps"])
    assert re.findall(r"oot-hud (\w+ \w+)", run) == [command]


@each_job
def test_credentials_and_strangers_formats_never_meet(file: str, name: str, job: dict[str, Any]) -> None:
    text = json.dumps(job)
    opens = any(word in text for word in (" collect ", " read "))
    has_credentials = job["permissions"].get("id-token") == "write"
    assert not (opens and has_credentials)
    assert has_credentials or "configure-aws-credentials" not in text
    assert "secrets." not in text or (has_credentials and "environment" in job)
    assert "secrets: inherit" not in (WORKFLOWS / file).read_text()


@each_job
def test_the_code_that_runs_is_the_workflow_s_own(file: str, name: str, job: dict[str, Any]) -> None:
    checkouts = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
    assert [step["with"] for step in checkouts] == [
        {
            "repository": "${{ job.workflow_repository || 'pytorch/oot-hud' }}",
            # An empty ref would be the caller's own code: one that does not exist fails instead.
            "ref": "${{ job.workflow_sha || 'a-runner-that-knows-job.workflow_sha-is-needed' }}",
            "persist-credentials": False,
        }
    ]
    assert "actions/cache" not in json.dumps(job), "a cache is something that others may have filled"
    pythons = [step["with"] for step in job["steps"] if step.get("uses", "").startswith("actions/setup-python@")]
    assert pythons == [{"python-version": "3.12"}]


@each_job
def test_packages_are_locked_and_built_by_nobody(file: str, name: str, job: dict[str, Any]) -> None:
    (install,) = [step["run"] for step in job["steps"] if step.get("name") == "Install"]
    assert install.splitlines() == [
        "python -m pip install --quiet --require-hashes --no-deps -r requirements.txt -r requirements-build.txt",
        "python -m pip install --quiet --no-deps --no-build-isolation . # oot-hud itself, as a wheel",
    ]
    assert job["env"]["PIP_ONLY_BINARY"] == ":all:"


@pytest.mark.parametrize(("where", "step"), STEPS, ids=[f"{index}" for index in range(len(STEPS))])
def test_nothing_is_written_into_a_script(where: str, step: dict[str, Any]) -> None:
    assert "${{" not in step.get("run", ""), where
    quoted = re.sub(r"\$\{[A-Z]+:\+[^}]*\}", "", re.sub(r'"[^"]*"', "", step.get("run", "")))
    assert not re.findall(r"\$(?!\?)\w+", quoted), f"{where}: a variable outside quotes"


def test_actions_are_pinned_to_one_commit_each_and_say_their_version() -> None:
    pins: dict[str, set[str]] = {}
    for path in [*sorted(WORKFLOWS.glob("*.yml")), *sorted((ROOT / "actions").glob("*/action.yml"))]:
        for action, pin in re.findall(r"uses: ([\w.-]+/[\w./-]+)@(.*)", path.read_text(encoding="utf-8")):
            assert re.fullmatch(r"[0-9a-f]{40} # v\d+\.\d+\.\d+", pin) or "pytorch/oot-hud/" in action, f"{path}: {pin}"
            if "pytorch/oot-hud/" not in action:
                pins.setdefault(action, set()).add(pin)
    assert {action for action in pins if len(pins[action]) > 1} == set()


@pytest.mark.parametrize("file", FILES)
def test_one_run_of_each_attempt_at_a_time_and_none_is_cut_off(file: str) -> None:
    concurrency = load(file)["concurrency"]
    assert "run_attempt" in concurrency["group"]
    assert not concurrency.get("cancel-in-progress")


def test_others_can_call_it_with_a_few_lines() -> None:
    told = load("upload-test-stats.yml")["on"]
    assert told["workflow_run"] == {"workflows": ["CI"], "types": ["completed"]}
    assert load("ci.yml")["name"] == "CI"
    inputs = told["workflow_call"]["inputs"]
    assert [name for name, each in inputs.items() if each.get("required")] == ["workflow-run-id"]
    assert set(told["workflow_call"]["secrets"]) == {"CLICKHOUSE_URL"}
