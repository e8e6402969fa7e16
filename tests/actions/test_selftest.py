"""selftest.yml itself, run here step by step: what it will say on every OS, it says on this one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
import yaml

from oot_local.actions.job import Job
from tests.actions.stand_in_artifacts import USES, Artifacts

if TYPE_CHECKING:
    from oot_local.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
JOBS = yaml.safe_load((ROOT / ".github" / "workflows" / "selftest.yml").read_text())["jobs"]


@pytest.mark.parametrize("name_of_job", JOBS)
def test_every_step_does_what_it_claims(stack: Stack, tmp_path: Path, name_of_job: str) -> None:
    selftest, artifacts = JOBS[name_of_job], Artifacts()
    leg = selftest["strategy"]["matrix"]["include"][0]
    for name in ("actions", "scripts", "tests"):
        (tmp_path / "workspace").mkdir(exist_ok=True)
        (tmp_path / "workspace" / name).symlink_to(ROOT / name)
    started = requests.post(f"{stack.state['github_url']}/_local/jobs", json={"repo": "o/r"}, timeout=60).json()
    tokens = {
        "ACTIONS_ID_TOKEN_REQUEST_URL": started["request_url"],
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": started["request_token"],
    }
    github = {"repository": "o/r", "job": name_of_job, "run_id": "7", "event_name": "push", "sha": "a" * 40}
    with Job(
        tmp_path / "workspace",
        tmp_path / "temp",
        github=github,
        job={"check_run_id": 9},
        matrix=leg,
        runner_env=tokens,
        uses_handlers={USES: artifacts},
    ) as job:
        results = {}
        for step in selftest["steps"]:
            if step.get("uses", "").startswith("actions/download-artifact@"):
                given = {name: job.evaluate(value) for name, value in step["with"].items()}
                artifacts.download(given["name"], job.workspace / given["path"])
            if step.get("uses", "").startswith("actions/"):
                continue  # the checkout and the Python are this test's own
            results[step["name"]] = result = perform(job, step)
            failing = step.get("continue-on-error", False)
            assert result.outcome == ("failure" if failing else "success"), f"{step['name']}\n{result.log}"
            job.status = "success"  # as continue-on-error has it
    if name_of_job == "report-result":
        assert "the completed callback of" in results["It came, with the job's name and its matrix values"].log


def perform(job: Job, step: dict[str, Any]) -> Any:
    said = {name: step[name] for name in ("name", "id") if name in step}
    env = {name: job.evaluate(value) for name, value in step.get("env", {}).items()}
    if "run" in step:
        return job.run(job.evaluate(step["run"]), shell=step["shell"], env=env, **said)
    inputs = {name: job.evaluate(value) for name, value in step.get("with", {}).items()}
    return job.run_action(ROOT / step["uses"].removeprefix("$/"), inputs, env=env, **said)
