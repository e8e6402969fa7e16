"""Runs a step's script with a shell, as the runner does: from a file, in a process group that ends with the step."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Source: "Workflow syntax for GitHub Actions", jobs.<job_id>.steps[*].shell. {0} is the script's path.
SHELLS = {
    "bash": ("bash --noprofile --norc -e -o pipefail {0}", ".sh"),
    "sh": ("sh -e {0}", ".sh"),
    "python": ("python {0}", ".py"),
    "pwsh": ("pwsh -command \". '{0}'\"", ".ps1"),
}
PWSH_SCRIPT = r"""$ErrorActionPreference = 'stop'
{0}
if ((Test-Path -LiteralPath variable:\LASTEXITCODE)) {{ exit $LASTEXITCODE }}
"""


class ScriptError(Exception):
    """A script can't be started: no such shell, program or directory."""


@dataclass(frozen=True)
class ScriptRun:
    """What became of a script; `exit_code` is None when its time ran out."""

    exit_code: int | None
    output: str


def run_script(
    script: str, shell: str, *, directory: Path, env: Mapping[str, str], temp: Path, timeout: float
) -> ScriptRun:
    """Runs a script and gives its output, stdout and stderr together; raises ScriptError.

    What the script leaves running in the background ends with it (on GitHub, with the job).
    """
    template, suffix = SHELLS.get(shell, (shell, ""))
    if "{0}" not in template:
        raise ScriptError(f"Invalid shell option '{shell}': use {', '.join(SHELLS)} or a command with {{0}}.")
    if not directory.is_dir():
        raise ScriptError(f"The working directory '{directory}' does not exist.")
    program, *arguments = shlex.split(template)
    found = shutil.which(program, path=env.get("PATH", os.defpath))
    if not found:
        raise ScriptError(f"Unable to locate executable file: {program}.")

    path = temp / f"{uuid.uuid4()}{suffix}"
    path.write_text(PWSH_SCRIPT.format(script) if shell == "pwsh" else script, encoding="utf-8", newline="")
    output = path.with_suffix(".log")
    # To a file and not a pipe: a pipe would stay open as long as anything the script left behind.
    with output.open("wb") as sink:
        try:
            process = subprocess.Popen(
                [found, *(argument.replace("{0}", str(path)) for argument in arguments)],
                cwd=directory,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            # An environment too large for the system, or with a null byte in it: GitHub's runner fails on both too.
            raise ScriptError(f"An error occurred trying to start process '{found}': {error}") from error
        exit_code: int | None
        try:
            exit_code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            exit_code = None
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return ScriptRun(exit_code, output.read_bytes().decode("utf-8", errors="replace"))
