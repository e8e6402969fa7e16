"""What a step tells the runner: by lines of its output, and through the GITHUB_* files.

Source: GitHub's "Workflow commands for GitHub Actions", and where it is silent the runner's own behaviour
(ActionCommand, ActionCommandManager and FileCommandManager of actions/runner).
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

Level: TypeAlias = Literal["error", "warning", "notice"]

SUMMARY_LIMIT = 1024 * 1024
REPLACED = {
    "set-env": "GITHUB_ENV",
    "set-output": "GITHUB_OUTPUT",
    "save-state": "GITHUB_STATE",
    "add-path": "GITHUB_PATH",
}
SILENT = {"echo", "add-matcher", "remove-matcher"}
KNOWN = {"error", "warning", "notice", "add-mask", "stop-commands", "group", "endgroup", "debug", *REPLACED, *SILENT}


@dataclass(frozen=True)
class Annotation:
    """A message on the run's page, and on a line of a file if it has one (a path relative to the workspace)."""

    level: Level
    message: str
    title: str = ""
    file: str = ""
    line: int | None = None
    column: int | None = None


@dataclass(frozen=True)
class Command:
    """A workflow command; property names are in lower case."""

    name: str
    properties: dict[str, str]
    data: str


# `::name key=value,key=value::data`, first on its line; and the older `##[name key=value;…]data`, anywhere in it.
_COMMAND = re.compile(r"\s*::(?P<name>[^\s:]+)(?: (?P<properties>.*?))?::(?P<data>.*)", re.DOTALL)
_OLD_COMMAND = re.compile(r".*?##\[(?P<name>[^\s\]]+)(?: (?P<properties>[^\]]*))?\](?P<data>.*)", re.DOTALL)
_DATA_ESCAPES = {"%0D": "\r", "%0A": "\n", "%25": "%"}
_PROPERTY_ESCAPES = {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ",", "%25": "%"}
_OLD_ESCAPES = {"%3B": ";", "%0D": "\r", "%0A": "\n", "%5D": "]", "%25": "%"}


def parse_command(line: str, *, resume_token: str | None = None) -> Command | None:
    """Gives the workflow command that a line of output is; `resume_token` names the one that ends stop-commands."""
    for pattern, separator, property_escapes, data_escapes in (
        (_COMMAND, ",", _PROPERTY_ESCAPES, _DATA_ESCAPES),
        (_OLD_COMMAND, ";", _OLD_ESCAPES, _OLD_ESCAPES),
    ):
        found = pattern.fullmatch(line)
        if not found:
            continue
        name = found["name"].lower()
        if name not in KNOWN and (resume_token is None or name != resume_token.lower()):
            continue
        pairs = (pair.partition("=") for pair in (found["properties"] or "").strip().split(separator))
        properties = {key.lower(): _unescape(value, property_escapes) for key, _, value in pairs if key and value}
        return Command(name, properties, _unescape(found["data"], data_escapes))
    return None


def _unescape(text: str, escapes: dict[str, str]) -> str:
    # One after another as the runner does, `%25` last.
    for escape, character in escapes.items():
        text = text.replace(escape, character)
    return text


class Masks:
    """The values that a job's log must not show."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: set[str] = set()
        for value in values:
            self.add(value)

    def add(self, value: str) -> None:
        """Masks a value, and each line of it: the log is written by lines."""
        self._values.update(text for text in (value, *value.splitlines()) if text.strip())

    def hide(self, text: str) -> str:
        """Gives the text with `***` in place of each masked value, the longest first."""
        for value in sorted(self._values, key=len, reverse=True):
            text = text.replace(value, "***")
        return text


@dataclass
class StepLog:
    """The log of a running step, kept as GitHub shows it, and what its lines told the runner.

    A value is masked from the line on that asks for it, as on GitHub: what leaked before stays to be seen.
    """

    workspace: Path
    job_masks: Masks
    lines: list[str] = field(default_factory=list)
    annotations: list[Annotation] = field(default_factory=list)
    masks: list[str] = field(default_factory=list)
    failed: bool = False
    _resume_token: str | None = None

    def feed(self, line: str) -> None:
        """Takes one line of the step's output."""
        command = parse_command(line, resume_token=self._resume_token)
        if self._resume_token is not None:
            if command and command.name == self._resume_token.lower():
                self._resume_token = None
            self._keep(line)
        elif command:
            self._obey(command, line)
        else:
            self._keep(line)

    def fail(self, message: str, *, file: str = "", line: int | None = None, column: int | None = None) -> None:
        """Adds an error of the runner's own, and fails the step."""
        self.failed = True
        self.annotate(Annotation("error", message, file=self._relative(file), line=line, column=column))

    def annotate(self, annotation: Annotation) -> None:
        """Adds an annotation, and its line to the log."""
        hide = self.job_masks.hide
        masked = replace(annotation, message=hide(annotation.message), title=hide(annotation.title))
        self.annotations.append(masked)
        self._keep(f"##[{annotation.level}]{annotation.message}")

    def include(self, log: str, annotations: Iterable[Annotation], masks: Iterable[str]) -> None:
        """Takes the log of a step within this one, as it stands."""
        self.lines.extend(log.split("\n")[:-1])
        self.annotations.extend(annotations)
        self.masks.extend(masks)

    def _obey(self, command: Command, line: str) -> None:
        match command.name:
            case "error" | "warning" | "notice":
                self.annotate(self._annotation(command))
            case "add-mask" if not command.data.strip():
                self.annotate(Annotation("warning", "Can't add secret mask for empty string in ##[add-mask] command."))
            case "add-mask":
                self.masks.append(command.data)
                self.job_masks.add(command.data)
            case "stop-commands" if command.data.lower() in KNOWN | {""}:
                self.fail(f"Invalid stop-commands token '{command.data}': it must be a value nobody can guess.")
            case "stop-commands":
                self._resume_token = command.data
                self._keep(line)
            case name if name in REPLACED:
                # GitHub has disabled two of them and deprecated the others, which still work there.
                self.fail(f"The `{name}` command is not supported: write to the file ${REPLACED[name]} instead.")
            case name if name not in SILENT:
                self._keep(f"##[{name}]{command.data}")

    def _annotation(self, command: Command) -> Annotation:
        return Annotation(
            level=cast("Level", command.name),
            message=command.data,
            title=command.properties.get("title", ""),
            file=self._relative(command.properties.get("file", "")),
            line=_number(command.properties.get("line")),
            column=_number(command.properties.get("col")),
        )

    def _relative(self, file: str) -> str:
        return file.removeprefix(f"{self.workspace}/")

    def _keep(self, line: str) -> None:
        self.lines.append(self.job_masks.hide(line))


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


class FileCommandError(Exception):
    """A GITHUB_* file isn't in the format that GitHub reads."""


class RunnerFiles:
    """The files through which one step hands things to the runner."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        step = uuid.uuid4()
        #: By the name of the `github` context's property; the environment variable is GITHUB_ and the same in capitals.
        self.paths = {
            name: directory / f"{prefix}_{step}"
            for name, prefix in {
                "output": "set_output",
                "env": "set_env",
                "state": "save_state",
                "path": "add_path",
                "step_summary": "step_summary",
            }.items()
        }
        for path in self.paths.values():
            path.touch()

    def pairs(self, name: str) -> Iterator[tuple[str, str]]:
        """Gives the pairs of one file; raises FileCommandError where the format breaks, after the pairs before."""
        lines = iter(self._read(name).split("\n"))
        for line in lines:
            if not line:
                continue
            key, equals, value = line.partition("=")
            if not equals or "<<" in key:
                key, heredoc, delimiter = line.partition("<<")
                if not heredoc:
                    raise FileCommandError(f"Invalid format '{line}'")
                if not delimiter:
                    raise FileCommandError(f"Invalid format '{line}'. Delimiter must not be empty")
                value = "\n".join(_until(delimiter, lines))
            if not key:
                raise FileCommandError(f"Invalid format '{line}'. Name must not be empty")
            yield key, value

    def added_paths(self) -> list[str]:
        """Gives the directories to put before PATH, the last first."""
        return [line for line in reversed(self._read("path").splitlines()) if line]

    def summary(self) -> str:
        """Gives the step summary's Markdown; raises FileCommandError when it is more than GitHub takes."""
        summary = self._read("step_summary")
        size = len(summary.encode())
        if size > SUMMARY_LIMIT:
            limit = SUMMARY_LIMIT // 1024
            raise FileCommandError(f"$GITHUB_STEP_SUMMARY supports content up to {limit}k, got {size // 1024}k")
        return summary

    def _read(self, name: str) -> str:
        path = self.paths[name]
        # A step that deletes its file has said nothing.
        return path.read_bytes().decode("utf-8-sig", errors="replace") if path.exists() else ""


def _until(delimiter: str, lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if line == delimiter:
            return
        yield line
    raise FileCommandError(f"Invalid value. Matching delimiter not found '{delimiter}'")
