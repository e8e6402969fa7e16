"""action.yml files as GitHub reads them: its own parser and expression evaluator, in one long-lived Node process.

The process is `parser.mjs` beside this file, which tells the protocol.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from oot_local.node import find_node

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = Path(__file__).with_name("parser.mjs")


@dataclass(frozen=True)
class Expression:
    """An expression still to be computed, and where it stands in its file."""

    text: str
    line: int | None = None
    column: int | None = None


Value: TypeAlias = str | Expression


@dataclass(frozen=True)
class Input:
    """An input that an action declares."""

    name: str
    default: Value | None
    required: bool
    deprecation: str


@dataclass(frozen=True)
class Step:
    """A step: it has either `run` (with `shell`) or `uses` (with `inputs`). Without a condition it always runs."""

    id: str = ""
    name: Value = ""
    condition: Expression | None = None
    run: Value = ""
    shell: Value = ""
    working_directory: Value = ""
    uses: str | None = None
    inputs: Mapping[str, Value] = field(default_factory=dict)
    env: Mapping[str, Value] = field(default_factory=dict)
    continue_on_error: Value = "false"


@dataclass(frozen=True)
class Action:
    """A composite action."""

    path: Path
    name: str
    inputs: tuple[Input, ...]
    outputs: Mapping[str, Value]
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Status:
    """What the status functions answer from: `scope` for success() and failure(), `job` for cancelled()."""

    scope: str
    job: str


@dataclass(frozen=True)
class Finding:
    """One thing the parser or the evaluator refused; line and column are 1-based."""

    message: str
    line: int | None = None
    column: int | None = None


class NodeModulesMissingError(Exception):
    """The locked npm packages aren't installed."""

    def __init__(self) -> None:
        super().__init__("node_modules with GitHub's workflow parser is missing: run `make setup`.")


class InvalidActionError(Exception):
    """GitHub's parser refuses an action.yml; `findings` holds everything it found."""

    def __init__(self, path: Path, findings: tuple[Finding, ...]) -> None:
        self.path = path
        self.findings = findings
        super().__init__("\n".join(f"{path}:{each.line or 1}:{each.column or 1}: {each.message}" for each in findings))


class ExpressionError(Exception):
    """An expression can't be computed; `file` is the action.yml it stands in, if any."""

    def __init__(self, finding: Finding, file: Path | None = None) -> None:
        self.finding = finding
        self.file = file
        super().__init__(finding.message)


class ActionParser:
    """The Node process, started at the first question. Close it, or use it in a `with`; threads may share it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._turn = threading.Lock()
        self._questions = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the process; the next question would start another."""
        with self._turn:
            if self._process:
                self._process.communicate()  # closes its stdin, upon which it ends
                self._process = None

    def load(self, action_dir: Path) -> Action:
        """Reads the action.yml (or action.yaml) of a directory; raises InvalidActionError."""
        path = next((path for name in ("action.yml", "action.yaml") if (path := action_dir / name).is_file()), None)
        if not path:
            raise InvalidActionError(action_dir, (Finding("No action.yml or action.yaml here"),))
        answer = self.ask("load", path=str(path))
        if "errors" in answer:
            raise InvalidActionError(path, tuple(Finding(**each) for each in answer["errors"]))
        action = answer["result"]
        return Action(
            path=path,
            name=action["name"],
            inputs=tuple(Input(**{**each, "default": _value(each["default"])}) for each in action["inputs"]),
            outputs=_values(action["outputs"]),
            steps=tuple(_step(each) for each in action["steps"]),
        )

    def template(self, text: str) -> Value:
        """Reads a string with `${{ }}` parts as a workflow's `with:` may hold it; raises ExpressionError."""
        answer = self.ask("template", template=text)
        if "errors" in answer:
            raise ExpressionError(Finding(answer["errors"][0]["message"]))
        return _value(answer["result"]) or ""

    def ask(self, method: str, **params: object) -> dict[str, Any]:
        """Gives the program's answer to a question, which has either `result` or `errors`."""
        with self._turn:
            process = self._process = self._process or self._start()
            if not process.stdin or not process.stdout:
                raise RuntimeError("The Node process was started without pipes.")
            self._questions += 1
            process.stdin.write(json.dumps({"id": self._questions, "method": method, "params": params}) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            answer: dict[str, Any] = json.loads(line) if line else {}
            if answer.get("id") != self._questions:
                raise RuntimeError("The Node process that reads actions ended early; its stderr says why.")
            return answer

    @staticmethod
    def _start() -> subprocess.Popen[str]:
        if not (ROOT / "node_modules" / "@actions" / "workflow-parser").is_dir():
            raise NodeModulesMissingError
        # NODE_OPTIONS and friends are for the caller's own programs.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NODE_")}
        return subprocess.Popen(
            [find_node(), PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
            encoding="utf-8",
        )


@dataclass(frozen=True)
class Evaluator:
    """Computes values as seen from one place: with the contexts and the status there. All raise ExpressionError."""

    parser: ActionParser
    contexts: Mapping[str, Any]
    status: Status
    file: Path | None = None

    def text(self, value: Value) -> str:
        """Gives a value's text, as GitHub writes numbers and booleans."""
        return value if isinstance(value, str) else str(self._evaluate(value, "string"))

    def texts(self, values: Mapping[str, Value]) -> dict[str, str]:
        """Gives the text of each value."""
        return {name: self.text(value) for name, value in values.items()}

    def boolean(self, value: Value) -> bool:
        """Gives a boolean: literal, or of an expression that must give one."""
        return value == "true" if isinstance(value, str) else self._evaluate(value, "boolean") is True

    def condition(self, value: Expression) -> bool:
        """Tells whether a step's `if:` holds."""
        return self._evaluate(value, "condition") is True

    def _evaluate(self, value: Expression, wanted: Literal["string", "boolean", "condition"]) -> str | bool:
        answer = self.parser.ask(
            "evaluate",
            expression=value.text,
            wanted=wanted,
            contexts=self.contexts,
            status={"scope": self.status.scope, "job": self.status.job},
        )
        if "errors" in answer:
            raise ExpressionError(Finding(answer["errors"][0]["message"], value.line, value.column), self.file)
        result: str | bool = answer["result"]
        return result


def _value(answer: str | dict[str, Any] | None) -> Value | None:
    if isinstance(answer, dict):
        return Expression(answer["expression"], answer["line"], answer["column"])
    return answer


def _values(answers: dict[str, Any]) -> dict[str, Value]:
    return {name: _value(answer) or "" for name, answer in answers.items()}


def _step(answer: dict[str, Any]) -> Step:
    texts = _values({key: answer.get(key) for key in ("name", "run", "shell", "working_directory")})
    condition = answer["condition"]
    return Step(
        id=answer["id"],
        condition=Expression(condition["expression"], condition["line"], condition["column"]),
        uses=answer["uses"],
        inputs=_values(answer["with"]),
        env=_values(answer["env"]),
        continue_on_error=_value(answer["continue_on_error"]) or "",
        **texts,
    )
