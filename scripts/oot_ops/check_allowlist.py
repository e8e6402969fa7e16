"""Checks an allowlist before it is merged or deployed, with the relay's own reader.

    oot-hud allowlist check .github/allowlist.yml

Prints every problem as FILE:LINE: message and exits 1; else counts the repos of each level and exits 0. A file that
can't be read exits 2.

L1: [org/newcomer]                              # known, results are not shown
L2: [org/backend]                               # shown on HUD
L3:
  npu:                                          # the device, as in ciflow/oot/npu
    org/npu-backend: [oncall1, oncall2]
L4:
  - org/mature: oncall1, oncall2
  - org/picky: {events: [pull_request, nightly], oncalls: [oncall1]}
providers:                                      # CI elsewhere, by ids that nobody can take over
  buildkite:
    repo_map:
      <organization_id>/<pipeline_id>:
        repo: org/backend
        required_claims: {build_branch: [main]}
  gitlab:                                       # or https://git.example.org
    repo_map:
      "<project_id>": org/backend
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hud_endpoint.relay.allowlist import AllowlistError, parse_allowlist

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("file", metavar="FILE", help="the allowlist, YAML")


def main(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    file = options.file
    try:
        allowlist = parse_allowlist(Path(file).read_bytes())
    except OSError as error:
        print(f"allowlist check: {file} can't be read: {error.strerror}", file=sys.stderr)
        return 2
    except AllowlistError as error:
        for line, message in error.problems:
            print(f"{file}:{line}: {message}")
        return 1
    print(f"{file}: {allowlist.summary()}")
    return 0
