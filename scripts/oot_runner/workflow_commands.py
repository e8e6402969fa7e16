"""What the GitHub runner listens to: workflow commands in the log, and the files it reads outputs and summaries from.

Formats: https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

SUMMARY_BYTES = 1024 * 1024  # a step's summary above it is thrown away whole
ANNOTATION_BYTES = 4096  # the checks API cuts at 64 KB; nobody reads that much

# Bytes that move the cursor or hide text, and the separators that some readers take for a line's end.
_CONTROL = re.compile("\x1b\\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """Give hostile text without terminal escapes, control characters and lone surrogates; newlines and tabs stay."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL.sub("", text).encode("utf-8", "replace").decode("utf-8")


def harmless(text: str) -> str:
    """Give hostile text for the log, in which no line is a workflow command.

    The runner takes a line for one where it starts with `::` after blanks, or has `##[` anywhere.
    """
    return re.sub(r"(?m)^(?=\s*::)", "| ", plain(text).replace("##[", "## ["))


def escape(text: str) -> str:
    """Escape the message of a workflow command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escape_property(text: str) -> str:
    """Escape a property of a workflow command, such as a title or a file."""
    return escape(text).replace(":", "%3A").replace(",", "%2C")


def annotation(level: str, message: str, **properties: object) -> str:
    """Give the command for an annotation; `level` is error, warning or notice; empty properties are left out."""
    told = ",".join(f"{key}={escape_property(plain(str(value)))}" for key, value in properties.items() if value)
    data = plain(message).encode()[:ANNOTATION_BYTES].decode(errors="ignore")
    return f"::{level}{' ' if told else ''}{told}::{escape(data.replace('##[', '## ['))}"


class Runner:
    """The runner around this process: GitHub's, or another CI's, where commands are plain text and files are absent."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.is_github = environ.get("GITHUB_ACTIONS") == "true"
        self._output = environ.get("GITHUB_OUTPUT") or None
        self._env = environ.get("GITHUB_ENV") or None
        self._summary = environ.get("GITHUB_STEP_SUMMARY") or None

    def say(self, text: str) -> None:
        """Print to the log; nothing in the text becomes a command."""
        print(harmless(text), flush=True)

    def annotate(self, level: str, message: str, **properties: object) -> None:
        """Make an annotation on GitHub; elsewhere print the same as text on stderr."""
        if self.is_github:
            self._command(annotation(level, message, **properties))
        else:
            title = properties.get("title")
            print(plain(f"{level}: {f'{title}: ' if title else ''}{message}"), file=sys.stderr, flush=True)

    def mask(self, secret: str) -> None:
        """Have the runner hide a secret from all that follows in the log."""
        if self.is_github and secret:
            self._command(f"::add-mask::{escape(secret)}")

    def _command(self, text: str) -> None:
        print(text, flush=True)

    def set_outputs(self, outputs: dict[str, str]) -> None:
        """Append the step's outputs; a random delimiter keeps a value from setting another output."""
        self._set(self._output, outputs)

    def set_env(self, variables: dict[str, str]) -> None:
        """Append to the environment of the job's later steps, as set_outputs does."""
        self._set(self._env, variables)

    def _set(self, path: str | None, values: dict[str, str]) -> None:
        if path is None:
            return
        delimiter = f"oot-{os.urandom(16).hex()}"
        text = "".join(f"{name}<<{delimiter}\n{plain(value)}\n{delimiter}\n" for name, value in values.items())
        self._append(path, text)

    def add_summary(self, markdown: str) -> None:
        """Append to the step's summary; above SUMMARY_BYTES GitHub throws all of it away."""
        if self._summary is None:
            return
        self._append(self._summary, markdown)

    def _append(self, path: str, text: str) -> None:
        try:
            with Path(path).open("a", encoding="utf-8", errors="replace", newline="\n") as stream:
                stream.write(text)
        except OSError as error:  # a full disk, say: what was reported stays reported
            self.annotate("warning", f"{path} cannot be written: {error}")
