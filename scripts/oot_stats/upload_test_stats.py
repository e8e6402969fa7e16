"""Test stats of a workflow run: from the artifacts that its jobs left to the tables behind HUD.

    python -m oot_stats.upload_test_stats collect --help    # artifacts -> rows in a folder; no rights needed
    python -m oot_stats.upload_test_stats publish --help    # that folder -> S3 and ClickHouse
    python -m oot_stats.upload_test_stats copy --help       # raw artifacts -> S3, unopened
    python -m oot_stats.upload_test_stats all --help        # collect and publish, for local use

In CI collect runs in a job without credentials, and publish and copy in jobs that open nothing of the artifacts.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import TYPE_CHECKING

from oot_stats.exit_codes import FAILED, NOTHING

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "collect": ("collect.command", "turn a run's artifacts into rows"),
    "publish": ("publish.command", "store the rows that collect found"),
    "copy": ("copy.command", "keep the raw artifacts in S3"),
}
BOTH = ("collect", "publish")


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; gives the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv and argv[0] == "all":
        return _both(argv[1:])
    command = argv[0] if argv and argv[0] in COMMANDS else ""
    parser = argparse.ArgumentParser(
        prog="upload_test_stats", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (room, told) in COMMANDS.items():
        if name == command:  # only the asked command's room is imported: the others' clients take a second
            module = importlib.import_module(f"oot_stats.{room}")
            own = commands.add_parser(
                name, help=told, description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
            )
            module.add_arguments(own)
            own.set_defaults(run=module.run)
        else:
            commands.add_parser(name, help=told)
    commands.add_parser("all", help="collect and publish, for local use")
    options = parser.parse_args(argv)
    code: int = options.run(options)
    return code


def _both(argv: list[str]) -> int:
    """Collect, then publish, with one set of flags."""
    parser = argparse.ArgumentParser(
        prog="upload_test_stats all",
        description="Collect, then publish what was collected; the flags are those of both.",
        conflict_handler="resolve",
    )
    modules = [importlib.import_module(f"oot_stats.{COMMANDS[name][0]}") for name in BOTH]
    for module in modules:
        module.add_arguments(parser)
    options = parser.parse_args(argv)
    worst = 0
    for module in modules:
        code: int = module.run(options)
        if code in (FAILED, NOTHING):
            return code
        worst = max(worst, code)
    return worst


if __name__ == "__main__":
    raise SystemExit(main())
