"""Ask GitHub about a workflow run: the event that tells of it may be old, or lack its conclusion.

    python -m oot_stats.workflow_runs --repo org/name --workflow-run-id 240 [--workflow-run-attempt 1]

prints the run, and in a workflow sets the step's outputs. GITHUB_TOKEN (`actions: read`) and GITHUB_API_URL are read.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from oot_stats import which_run
from oot_stats.sources.github_api import GitHub, GitHubError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oot_stats.sources.github_answers import WorkflowRun


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


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which_run.add_arguments(parser, latest=True)
    options = parser.parse_args(argv)
    try:
        with GitHub.of(options.repo) as github:
            found = github.run(options.workflow_run_id, options.workflow_run_attempt)
    except GitHubError as error:
        print(f"workflow_runs: {error}", file=sys.stderr)
        return 1
    # Every value is one printable line, so none of them can become another output.
    lines = "".join(f"{name}={value}\n" for name, value in _outputs(found).items())
    print(lines, end="")
    if output := os.environ.get("GITHUB_OUTPUT"):
        with Path(output).open("a", encoding="utf-8") as file:
            file.write(lines)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
