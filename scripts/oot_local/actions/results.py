"""What a step of a job came to: while it runs (RunningStep) and for good (StepResult)."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from oot_local.actions.commands import Annotation, FileCommandError, RunnerFiles, StepLog

if TYPE_CHECKING:
    from collections.abc import Mapping

Outcome: TypeAlias = Literal["success", "failure", "cancelled", "skipped"]


@dataclass(frozen=True)
class StepResult:
    """What a step came to. A composite action is a step too: `steps` are its own, and all but `outputs` sums them up.

    `outcome` is what happened and `conclusion` what it counts as after `continue-on-error`. `exit_code` is that of
    a script that ran to its end; `duration` is in seconds. `outputs`, `env`, `state` and `summary` were written to
    the GITHUB_* files; the `outputs` of a composite action are those it declares.
    """

    id: str
    name: str
    outcome: Outcome
    conclusion: Outcome
    duration: float
    exit_code: int | None
    log: str
    outputs: Mapping[str, str]
    annotations: tuple[Annotation, ...]
    masks: tuple[str, ...]
    summary: str
    env: Mapping[str, str]
    state: Mapping[str, str]
    steps: tuple[StepResult, ...]

    def step(self, name: str) -> StepResult:
        """Gives the step of this id or name; raises KeyError."""
        for step in self.steps:
            if name in {step.id, step.name}:
                return step
        raise KeyError(name)


@dataclass
class RunningStep:
    """A step under way."""

    log: StepLog
    started: float = field(default_factory=time.monotonic)
    skipped: bool = False
    exit_code: int | None = None
    outputs: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    state: dict[str, str] = field(default_factory=dict)
    summary: str = ""
    steps: list[StepResult] = field(default_factory=list)

    def read(self, files: RunnerFiles) -> None:
        """Takes what a script wrote to its files; a malformed one fails the step, after the pairs before."""
        for kind, pairs in (("output", self.outputs), ("env", self.env), ("state", self.state)):
            try:
                for name, value in files.pairs(kind):
                    pairs[name] = value
            except FileCommandError as error:
                self.log.fail(f"Unable to process file command '{kind}' successfully.")
                self.log.fail(str(error))
        try:
            self.summary = self.log.job_masks.hide(files.summary())
        except FileCommandError as error:
            # GitHub drops such a summary and goes on.
            self.log.annotate(Annotation("error", str(error)))

    def include(self, step: StepResult) -> None:
        """Takes a finished step of this composite action."""
        self.steps.append(step)
        self.log.include(step.log, step.annotations, step.masks)
        self.env.update(step.env)
        self.state.update(step.state)
        self.summary += step.summary

    def finish(self, id_: str, name: str, *, continue_on_error: bool) -> StepResult:
        """Gives the result for good."""
        outcome: Outcome = "failure" if self.log.failed else "skipped" if self.skipped else "success"
        return StepResult(
            id=id_,
            name=name,
            outcome=outcome,
            conclusion="success" if outcome == "failure" and continue_on_error else outcome,
            duration=time.monotonic() - self.started,
            exit_code=self.exit_code,
            log="".join(f"{line}\n" for line in self.log.lines),
            outputs=self.outputs,
            annotations=tuple(self.log.annotations),
            masks=tuple(self.log.masks),
            summary=self.summary,
            env=self.env,
            state=self.state,
            steps=tuple(self.steps),
        )
