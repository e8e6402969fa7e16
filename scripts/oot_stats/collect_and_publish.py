r"""Collect a run's test stats, then publish what was collected: for local use.

    oot-hud stats all --repo org/name --workflow-run-id 240 --workflow-run-attempt 1 \
        --head-repository org/name --head-branch main --bucket test-stats

The flags are those of `stats collect` and `stats publish`. In CI the two run in jobs of their own: what opens
strangers' files has no credentials.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oot_stats.collect import command as collect
from oot_stats.exit_codes import FAILED, NOTHING
from oot_stats.publish import command as publish

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of both."""
    collect.add_arguments(parser)
    publish.add_storing_arguments(parser)


def main(options: argparse.Namespace) -> int:
    """Run the command and return its exit code: the worse of the two."""
    collected = collect.main(options)
    if collected in (FAILED, NOTHING):
        return collected
    return max(collected, publish.main(options))
