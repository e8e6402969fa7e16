"""A workflow file, run here job by job: its expressions by GitHub's own evaluator, its `run:` steps for real.

Others' actions have stand-ins: checkout and setup-python are this test's own, artifacts live in a folder, and
configure-aws-credentials gives the stack's.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from oot_local.actions.job import Job

if TYPE_CHECKING:
    from collections.abc import Mapping

    from oot_local.actions.parser import ActionParser
    from oot_local.actions.results import StepResult

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"
_OURS = ("actions/checkout", "actions/setup-python")


def load(name: str) -> dict[str, Any]:
    """Read a workflow; YAML 1.1 takes its `on` for a boolean."""
    whole: dict[Any, Any] = yaml.safe_load((WORKFLOWS / name).read_text(encoding="utf-8"))
    return {"on" if key is True else key: value for key, value in whole.items()}


class Jobs:
    """The jobs of one run of a workflow, in the order in which they are asked for."""

    def __init__(self, workflow: str, folder: Path, parser: ActionParser, **contexts: Any) -> None:
        self.jobs: dict[str, Any] = load(workflow)["jobs"]
        self.artifacts = folder / "artifacts"
        self.results: dict[str, dict[str, Any]] = {}
        self.logs: dict[str, str] = {}
        self.summaries: dict[str, str] = {}
        self._folder = folder
        self._parser = parser
        self._aws: Mapping[str, str] = contexts.pop("aws", {})
        self._oidc: Mapping[str, str] = contexts.pop("oidc", {})
        self._contexts = contexts
        (folder / "workspace").mkdir()

    def run(self, name: str) -> str:
        """Run one job; gives its result: success, failure or skipped."""
        told = self.jobs[name]
        needed = [told["needs"]] if isinstance(told.get("needs"), str) else told.get("needs", [])
        needs = {each: self.results[each] for each in needed}
        may = told.get("permissions", {}).get("id-token") == "write"
        with Job(
            self._folder / "workspace",
            self._folder / f"temp-{name}",
            needs=needs,
            job={"workflow_repository": "pytorch/oot-hud", "workflow_sha": "c" * 40},
            runner_env=self._oidc if may else {},
            parser=self._parser,
            **self._contexts,
        ) as job:
            if not self._starts(job, told, needs):
                self.results[name] = {"result": "skipped", "outputs": {}}
                return "skipped"
            job.env.update({key: job.evaluate(value) for key, value in told.get("env", {}).items()})
            for step in told["steps"]:
                if job.status != "success" or not _holds(job, step.get("if", "true")):
                    continue
                self._step(job, name, step)
            outputs = {key: job.evaluate(value) for key, value in told.get("outputs", {}).items()}
            self.results[name] = {"result": job.status, "outputs": outputs}
            return job.status

    def _starts(self, job: Job, told: Mapping[str, Any], needs: Mapping[str, Any]) -> bool:
        """GitHub starts no job whose needs did not all succeed, unless its condition asks for the status itself."""
        condition = str(told.get("if", "true"))
        asks = any(word in condition for word in ("cancelled()", "always()", "failure()"))
        return (asks or all(need["result"] == "success" for need in needs.values())) and _holds(job, condition)

    def _step(self, job: Job, name: str, step: Mapping[str, Any]) -> None:
        uses = step.get("uses", "").partition("@")[0]
        if uses in _OURS or step.get("name") == "Install":
            return
        if uses:
            self._use(uses, {key: job.evaluate(str(value)) for key, value in step.get("with", {}).items()}, job)
            return
        assert "${{" not in step["run"]
        env = {key: job.evaluate(value) for key, value in step.get("env", {}).items()}
        done: StepResult = job.run(step["run"], env=env, id=step.get("id", ""), name=step["name"])
        self.logs[name] = self.logs.get(name, "") + done.log
        self.summaries[name] = self.summaries.get(name, "") + done.summary

    def _use(self, uses: str, inputs: Mapping[str, str], job: Job) -> None:
        if uses == "aws-actions/configure-aws-credentials":
            assert inputs["role-to-assume"]
            job.env.update(self._aws)
            return
        held = self.artifacts / inputs["name"]
        path = Path(inputs["path"])
        if uses == "actions/upload-artifact":
            shutil.rmtree(held, ignore_errors=True)
            held.mkdir(parents=True)
            for file in path.iterdir() if path.is_dir() else [path]:
                shutil.copy(file, held)
        else:
            assert uses == "actions/download-artifact", uses
            shutil.copytree(held, path)


def _holds(job: Job, condition: str) -> bool:
    bare = str(condition).strip().replace("cancelled()", "false")  # the evaluator has no status of a workflow
    return job.evaluate(f"${{{{ {bare} }}}}") not in ("false", "", "0")
