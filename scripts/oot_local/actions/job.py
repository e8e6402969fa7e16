"""A job on the local runner: runs `run:` steps and whole composite actions, step by step, as GitHub would.

    with Job(workspace, temp, github={"repository": "owner/backend"}) as job:
        job.run("pytest --junitxml=reports/results.xml")
        report = job.run_action(Path("actions/report-result"), {"conclusion": job.status})

GitHub's own packages read action.yml and compute its expressions (`action_parser`), `shells` runs the scripts, and
`workflow_commands` reads what they tell the runner. Where GitHub's documentation is silent, the model is the code of
actions/runner: StepsRunner, ActionRunner, CompositeActionHandler.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from oot_local.actions.commands import Annotation, Masks, RunnerFiles, StepLog
from oot_local.actions.contexts import STRATEGY, github_context, runner_context, step_environment
from oot_local.actions.parser import ActionParser, Evaluator, ExpressionError, Status, Step
from oot_local.actions.results import Outcome, RunningStep, StepResult
from oot_local.actions.shells import ScriptError, run_script

if TYPE_CHECKING:
    from oot_local.actions.parser import Action

_MAX_DEPTH = 10  # composite actions in one another: GitHub's limit
_REPO_MARKS = (".git", ".github")  # either is at the root of a repository
_LINE_END = re.compile(r"\r\n|\n|\r")  # where the runner ends a line of output


@dataclass(frozen=True)
class UsesCall:
    """What a local handler of a `uses:` step is given: the reference, its inputs, the step's env and the job.

    `echo` writes a line to the step's log, where workflow commands are obeyed as ever.
    """

    uses: str
    inputs: Mapping[str, str]
    env: Mapping[str, str]
    job: Job
    echo: Callable[[str], None]


UsesHandler: TypeAlias = Callable[[UsesCall], Mapping[str, str]]
"""Plays an action of somebody else: gives its outputs, or raises UsesError to fail the step."""


class UsesError(Exception):
    """A `uses:` step fails; the message becomes its error annotation."""


class HandlerMissingError(Exception):
    """An action uses another one that nothing plays here."""

    def __init__(self, uses: str, file: Path | None) -> None:
        key = uses.partition("@")[0]
        super().__init__(f"{file} uses {uses}, which nothing plays here: give Job(uses_handlers={{'{key}': ...}}).")


@dataclass
class _Scope:
    """What the steps beside one another share: those of the job, or those of one composite action (in `file`)."""

    github: Mapping[str, Any]
    inputs: Mapping[str, Any]
    env: Mapping[str, str] = field(default_factory=dict)
    file: Path | None = None
    depth: int = 0
    steps: dict[str, Any] = field(default_factory=dict)
    status: Outcome = "success"

    def tell(self, step: StepResult) -> None:
        """Takes note of a finished step."""
        if step.id:
            outcomes = {"outcome": step.outcome, "conclusion": step.conclusion}
            self.steps[step.id] = {"outputs": dict(step.outputs), **outcomes}
        if step.conclusion == "failure" and self.status == "success":
            self.status = "failure"


class Job:
    """A job on the local runner. Close it, or use it in a `with`.

    The contexts are GitHub's and need to hold only what matters; `job` is for `check_run_id` and the like. `env` is
    the job's own, `secrets` are masked as github.token is. `runner_env` is what a runner adds to the environment of
    every step and to no context (ACTIONS_ID_TOKEN_REQUEST_URL); what ends in _TOKEN is masked. `uses_handlers` play
    others' actions, by `owner/repo` or `owner/repo/path`, whatever the ref. `timeout` is for a step, in seconds.
    Jobs may share an ActionParser.

    Whatever fails on GitHub too fails its step. What is wrong with the files or the setting raises: InvalidActionError,
    HandlerMissingError, NodeMissingError, NodeModulesMissingError.
    """

    def __init__(
        self,
        workspace: Path,
        temp: Path,
        *,
        github: Mapping[str, Any] | None = None,
        runner: Mapping[str, str] | None = None,
        job: Mapping[str, Any] | None = None,
        matrix: Mapping[str, Any] | None = None,
        strategy: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | None = None,
        needs: Mapping[str, Any] | None = None,
        vars: Mapping[str, str] | None = None,  # noqa: A002 - the context's name
        secrets: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
        runner_env: Mapping[str, str] | None = None,
        uses_handlers: Mapping[str, UsesHandler] | None = None,
        timeout: float = 120,
        parser: ActionParser | None = None,
    ) -> None:
        self.workspace = workspace.resolve()
        self.temp = temp.resolve()
        self.timeout = timeout
        #: The job's environment: its own, and what steps wrote to GITHUB_ENV.
        self.env = dict(env or {})
        self._paths: list[str] = []
        self._runner_env = dict(runner_env or {})
        self._handlers = {name.lower(): handler for name, handler in (uses_handlers or {}).items()}
        self._parser = parser or ActionParser()
        self._owns_parser = parser is None

        event_path = self.temp / "_github_workflow" / "event.json"
        github = github_context(github or {}, workspace=self.workspace, event_path=event_path)
        event_path.parent.mkdir(parents=True, exist_ok=True)
        event_path.write_text(json.dumps(github["event"]), encoding="utf-8")
        self._scope = _Scope(github, inputs or {})
        self._runner = runner_context(runner or {}, workspace=self.workspace, temp=self.temp)
        self._contexts = {
            "runner": self._runner,
            "job": dict(job or {}),
            "matrix": matrix or {},
            "strategy": {**STRATEGY, **(strategy or {})},
            "needs": needs or {},
            "vars": vars or {},
            "secrets": secrets or {},
        }
        tokens = (value for name, value in self._runner_env.items() if name.endswith("_TOKEN"))
        self._masks = Masks([github["token"], *(secrets or {}).values(), *tokens])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the Node process, unless it was given."""
        if self._owns_parser:
            self._parser.close()

    @property
    def status(self) -> Outcome:
        """The job's status: success, failure once a step's conclusion was one, or what it was set to (cancelled)."""
        return self._scope.status

    @status.setter
    def status(self, status: Outcome) -> None:
        self._scope.status = status

    def run(
        self,
        command: str,
        *,
        shell: str = "bash",
        working_directory: str = "",
        name: str = "",
        id: str = "",  # noqa: A002 - the step's id, under its name in a workflow
        env: Mapping[str, str] | None = None,
    ) -> StepResult:
        """Runs a `run:` step of the job, whatever the job's status. All arguments are taken as they are."""
        step = Step(id=id, name=name, run=command, shell=shell, working_directory=working_directory, env=env or {})
        return self._step(step, self._scope)

    def run_action(
        self,
        action_dir: Path,
        inputs: Mapping[str, str] | None = None,
        *,
        name: str = "",
        id: str = "",  # noqa: A002 - as above
        env: Mapping[str, str] | None = None,
    ) -> StepResult:
        """Runs a `uses:` step of the job with a composite action's directory, whatever the job's status.

        All arguments are taken as they are: what a workflow says in `${{ }}` goes through `evaluate` first.
        """
        step = Step(id=id, name=name, uses=str(action_dir.resolve()), inputs=inputs or {}, env=env or {})
        return self._step(step, self._scope)

    def evaluate(self, template: str) -> str:
        """Gives the text of a string with `${{ }}` parts, as in a `with:` of the job; raises ExpressionError."""
        return self._evaluator(self._scope, self.env).text(self._parser.template(template))

    def _evaluator(self, scope: _Scope, env: Mapping[str, str]) -> Evaluator:
        # Inside a composite action success() and failure() ask for the action's own status, cancelled() for the job's.
        contexts = {
            **self._contexts,
            "github": {**scope.github, "action_status": scope.status} if scope.depth else scope.github,
            "job": {**self._contexts["job"], "status": self.status},
            "inputs": scope.inputs,
            "steps": scope.steps,
            "env": env,
        }
        return Evaluator(self._parser, contexts, Status(scope=scope.status, job=self.status), scope.file)

    def _step(self, step: Step, scope: _Scope) -> StepResult:
        """Runs one step of a scope, and tells the scope."""
        running = RunningStep(StepLog(self.workspace, self._masks))
        name = _default_name(step)
        continue_on_error = False
        seen = self._evaluator(scope, {**self.env, **scope.env})
        try:
            own_env = {**scope.env, **seen.texts(step.env)}
            seen = self._evaluator(scope, {**self.env, **own_env})
            name = seen.text(step.name) or name
            running.skipped = step.condition is not None and not seen.condition(step.condition)
            if not running.skipped:
                self._perform(step, running, replace(scope, env=own_env))
        except (ExpressionError, ScriptError, UsesError) as error:
            _fail(running, error)
        try:
            continue_on_error = running.log.failed and seen.boolean(step.continue_on_error)
        except ExpressionError as error:
            _fail(running, error)
        result = running.finish(step.id, name, continue_on_error=continue_on_error)
        scope.tell(result)
        return result

    def _perform(self, step: Step, running: RunningStep, scope: _Scope) -> None:
        """Does what a step says, in a scope with the step's own env."""
        if step.uses is None:
            self._run_script(step, running, scope)
            return
        env = {**self.env, **scope.env}
        seen = self._evaluator(scope, env)
        inputs = seen.texts(step.inputs)
        directory = self._directory(step.uses, scope)
        if directory:
            self._run_composite(self._parser.load(directory), inputs, running, scope)
            return
        handler = self._handlers.get(step.uses.partition("@")[0].lower())
        if not handler:
            raise HandlerMissingError(step.uses, scope.file)
        running.outputs.update(handler(UsesCall(step.uses, inputs, env, self, running.log.feed)))

    def _directory(self, uses: str, scope: _Scope) -> Path | None:
        """Gives the directory of an action that is at hand; None for one of another repository."""
        if uses.startswith("$/") and scope.file:
            # The repository of the action that says so, wherever it is.
            marked = (folder for folder in scope.file.parents if any((folder / name).exists() for name in _REPO_MARKS))
            return next(marked, self.workspace) / uses.removeprefix("$/")
        # Only run_action gives an absolute path: a file says `./`, from the workspace.
        return self.workspace / uses if uses.startswith("./") or Path(uses).is_absolute() else None

    def _run_script(self, step: Step, running: RunningStep, scope: _Scope) -> None:
        files = RunnerFiles(self.temp / "_runner_file_commands")
        github = {
            **scope.github,
            "action": step.id or "__run",
            **{name: str(path) for name, path in files.paths.items()},
        }
        env = {**self.env, **scope.env}
        seen = self._evaluator(replace(scope, github=github), env)
        environment = step_environment(env, paths=self._paths, github=github, runner=self._runner)
        ran = run_script(
            seen.text(step.run),
            seen.text(step.shell),
            directory=self.workspace / seen.text(step.working_directory),
            env={**environment, **self._runner_env},
            temp=self.temp,
            timeout=self.timeout,
        )
        running.exit_code = ran.exit_code
        for line in _LINE_END.split(ran.output.removesuffix("\n")) if ran.output else ():
            running.log.feed(line)
        if ran.exit_code is None:
            running.log.fail(f"The step has timed out after {self.timeout:g} seconds.")
        elif ran.exit_code != 0:
            running.log.fail(f"Process completed with exit code {ran.exit_code}.")
        running.read(files)
        self.env.update(running.env)
        added = files.added_paths()
        self._paths = [*added, *(path for path in self._paths if path not in added)]

    def _run_composite(self, action: Action, inputs: Mapping[str, str], running: RunningStep, scope: _Scope) -> None:
        if scope.depth >= _MAX_DEPTH:
            raise UsesError(f"Composite action depth exceeded max depth {_MAX_DEPTH}")
        seen = replace(self._evaluator(scope, {**self.env, **scope.env}), file=action.path)
        inner = _Scope(
            github={**scope.github, "action_path": str(action.path.parent)},
            inputs=_all_inputs(action, inputs, seen, running.log),
            env=scope.env,
            file=action.path,
            depth=scope.depth + 1,
        )
        for step in action.steps:
            running.include(self._step(step, inner))
        running.log.failed = inner.status == "failure"
        running.outputs.update(self._evaluator(inner, {**self.env, **inner.env}).texts(action.outputs))


def _default_name(step: Step) -> str:
    if step.uses is not None:
        return f"Run {step.uses}"
    script = step.run if isinstance(step.run, str) else step.run.text
    return f"Run {script.lstrip().partition(chr(10))[0]}"


def _fail(running: RunningStep, error: Exception) -> None:
    if isinstance(error, ExpressionError):
        where = error.finding
        running.log.fail(where.message, file=str(error.file or ""), line=where.line, column=where.column)
    else:
        running.log.fail(str(error))


def _all_inputs(action: Action, given: Mapping[str, str], seen: Evaluator, log: StepLog) -> dict[str, str]:
    """Gives an action's `inputs` context: those given and the others' defaults. It warns only, as GitHub does."""
    names = {name.lower() for name in given}
    known = [each.name for each in action.inputs]
    unexpected = sorted(names - {name.lower() for name in known})
    if unexpected:
        log.annotate(
            Annotation("warning", f"Unexpected input(s) {_quoted(unexpected)}, valid inputs are [{_quoted(known)}]")
        )
    inputs = dict(given)
    for each in action.inputs:
        if each.name.lower() not in names:
            if each.required and each.default is None:
                log.annotate(Annotation("warning", f"Input required and not supplied: {each.name}"))
            inputs[each.name] = seen.text(each.default or "")
        elif each.deprecation:
            message = f"Input '{each.name}' has been deprecated with message: {each.deprecation}"
            log.annotate(Annotation("warning", message))
    return inputs


def _quoted(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
