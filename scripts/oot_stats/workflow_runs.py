"""Ask GitHub about a workflow run: the event that tells of it may be old, or lack its conclusion.

    oot-hud stats run --repo org/name --workflow-run-id 240 [--workflow-run-attempt 1]

prints the run, and in a workflow sets the step's outputs. GITHUB_TOKEN (`actions: read`) and GITHUB_API_URL are read.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from oot_stats import which_run
from oot_stats.sources.github_api import GitHub, GitHubError

if TYPE_CHECKING:
    import argparse

    from oot_stats.sources.github_answers import WorkflowRun


UNKNOWN = "unknown"  # GitHub never said how the run ended: its reports are collected all the same
_WAITS = (2.0, 3.0, 5.0)


def _outputs(found: WorkflowRun) -> dict[str, str]:
    head = found.head_repository
    return {
        "repo": found.repository.full_name,
        "run-id": str(found.id),
        "run-attempt": str(found.run_attempt),
        "conclusion": found.conclusion or "",
        "event": found.event,
        "head-branch": found.head_branch or "",
        "head-repository": head.full_name if head else "",
    }


def _ended_run(github: GitHub, run_id: int, attempt: int | None) -> WorkflowRun:
    """Return the run; GitHub sometimes says that it has ended and takes a while to say how.

    Raises GitHubError.
    """
    for wait in _WAITS:
        found = github.run(run_id, attempt)
        if found.conclusion or found.status != "completed":
            return found
        print(f"GitHub does not say yet how run {run_id} ended; asking again in {wait:g} s", flush=True)
        github.sleep(wait)
    found = github.run(run_id, attempt)
    return found if found.conclusion else found.model_copy(update={"conclusion": UNKNOWN})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    which_run.add_arguments(parser, latest=True)


def main(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    try:
        with GitHub.of(options.repo) as github:
            found = _ended_run(github, options.workflow_run_id, options.workflow_run_attempt)
    except GitHubError as error:
        print(f"stats run: {error}", file=sys.stderr)
        return 1
    # Every value is one printable line, so none of them can become another output.
    lines = "".join(f"{name}={value}\n" for name, value in _outputs(found).items())
    print(lines, end="")
    if output := os.environ.get("GITHUB_OUTPUT"):
        with Path(output).open("a", encoding="utf-8") as file:
            file.write(lines)
    return 0
