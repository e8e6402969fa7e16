"""`oot-hud`: the one command before everything that operators and the privileged workflows run.

A command is a module with `add_arguments(parser)` and `main(options)`, and its docstring is its help. Only the module
that is asked for is imported: each needs other packages, and some take a second to import.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from hud_endpoint import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

# Our own packages: one of their modules that is missing is a defect, and no package to install.
_OURS = ("hud_endpoint", "oot_local", "oot_ops", "oot_replicator", "oot_runner", "oot_stats")


class Command(NamedTuple):
    """A command: its module, the extras that it needs (comma-separated), and what it does."""

    module: str
    extras: str
    summary: str


GROUPS: dict[str, dict[str, Command]] = {
    "Set up": {
        "tables": Command("oot_ops.create_tables", "replicator", "create the tables in DynamoDB and ClickHouse"),
        "allowlist check": Command("oot_ops.check_allowlist", "relay", "check an allowlist before it is deployed"),
        "doctor operator": Command(
            "oot_ops.doctor.operator", "relay,replicator", "say what is wrong with a deployment"
        ),
        "doctor backend": Command("oot_ops.doctor.backend", "relay", "say what is wrong with a backend's set-up"),
        "capacity": Command("oot_ops.capacity", "", "compute what a load costs and where its limits are"),
        "export-schema": Command("oot_ops.export_schema", "relay", "write the JSON Schemas of the wire contract"),
    },
    "The relay": {
        "sweep": Command("oot_ops.sweep", "relay", "time out the jobs that have been silent for too long"),
        "outbox": Command("oot_ops.outbox", "relay", "list, retry, replay or drop what HUD has not taken"),
        "repo-pins": Command("oot_ops.repo_pins", "relay", "list or release the ids that repos were pinned to"),
        "level-report": Command("oot_ops.level_report", "relay,pages", "say whether each backend fits its level"),
    },
    "DynamoDB and S3 to ClickHouse": {
        "replicate": Command("oot_replicator.dynamo_to_clickhouse", "replicator", "follow DynamoDB's stream"),
        "backfill": Command("oot_replicator.backfill", "replicator", "bring over the DynamoDB table itself"),
        "verify": Command(
            "oot_replicator.verify", "replicator", "compare DynamoDB with ClickHouse; mend it with --repair"
        ),
        "dead-letters": Command(
            "oot_replicator.dead_letters", "replicator", "list, replay or drop what could not be written"
        ),
        "load": Command("oot_replicator.s3_to_clickhouse", "replicator", "load test stats from S3"),
    },
    "Privileged workflows": {
        "stats run": Command("oot_stats.workflow_runs", "stats", "ask GitHub about a workflow run"),
        "stats presign": Command("oot_stats.presign", "stats", "sign URLs of a run's artifacts in S3"),
        "stats collect": Command("oot_stats.collect.command", "stats", "read a run's artifacts, without credentials"),
        "stats publish": Command("oot_stats.publish.command", "stats", "check and store what collect wrote"),
        "stats copy": Command("oot_stats.copy.command", "stats", "copy a run's artifacts to S3, unopened"),
        "stats all": Command("oot_stats.collect_and_publish", "stats", "collect and publish, for local use"),
        "deferred": Command("oot_stats.deferred", "stats", "read and post the reports of jobs without a token"),
    },
    "On this machine": {
        "up": Command("oot_local.stack", "local", "run the local stack until Ctrl-C"),
        "down": Command("oot_local.down", "local", "stop a stack that runs elsewhere"),
        "demo": Command("oot_local.demo", "local", "take one real result from a job to the dashboard"),
        "github": Command("oot_local.github", "local", "dispatch, or mint a token, as the local GitHub"),
        "completion": Command("oot_ops.completion", "completion", "print the completion for bash, zsh or fish"),
    },
}
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}


def _table(commands: Mapping[str, Command]) -> str:
    width = max(map(len, COMMANDS))
    return "\n".join(f"  {name:<{width}}  {command.summary}" for name, command in commands.items())


_DESCRIPTION = "Operate the CI results of PyTorch's out-of-tree backends.\n\n" + "\n\n".join(
    f"{title}:\n{_table(commands)}" for title, commands in GROUPS.items()
)
_EPILOG = """\
`oot-hud COMMAND --help` explains a command, with examples. Settings are environment variables: docs/settings.md.
Completion in your shell: eval "$(oot-hud completion bash)", or zsh, or fish."""


def main(argv: list[str] | None = None) -> int:
    """Run from the command line and return the exit code."""
    if "_ARGCOMPLETE" in os.environ:
        return _complete()
    argv = sys.argv[1:] if argv is None else argv
    name = selected(argv)
    if not name and " ".join(argv) in _subcommands():
        argv = [*argv, "--help"]
    try:
        parser, own = build_parser(name)
        options = parser.parse_args(argv)
        try:
            code: int = importlib.import_module(COMMANDS[name].module).main(options)
        except argparse.ArgumentError as error:  # flags that do not go together
            own.error(str(error))
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] in _OURS:
            raise
        print(f"oot-hud {name}: the package {error.name} is not installed. {_remedy(name)}", file=sys.stderr)
        return 1
    return code


def selected(words: list[str]) -> str:
    """Return the command that the words begin with, "" where there is none."""
    return next((name for name in (" ".join(words[:2]), " ".join(words[:1])) if name in COMMANDS), "")


def build_parser(name: str) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    """Return the whole parser, in which one command has its flags, and that command's own parser.

    Raises ModuleNotFoundError where a package is missing that the command imports.
    """
    raw = argparse.RawDescriptionHelpFormatter
    top = own = argparse.ArgumentParser("oot-hud", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=raw)
    top.add_argument("--version", action="version", version=f"oot-hud {__version__}")
    groups = {"": top.add_subparsers(required=True, metavar="COMMAND")}
    for group, members in _subcommands().items():
        if group:
            above = groups[""].add_parser(group, description=_table(members), formatter_class=raw)
            groups[group] = above.add_subparsers(required=True, metavar="COMMAND")
        for member, command in members.items():
            last = member.rpartition(" ")[2]
            if member != name:
                groups[group].add_parser(last, add_help=False)
                continue
            module = importlib.import_module(command.module)
            own = groups[group].add_parser(last, description=module.__doc__, formatter_class=raw)
            module.add_arguments(own)
    return top, own


def _subcommands() -> dict[str, dict[str, Command]]:
    """Return the commands by their first word, "" for those of one word."""
    found: dict[str, dict[str, Command]] = {"": {}}
    for name, command in COMMANDS.items():
        found.setdefault(name.rpartition(" ")[0], {})[name] = command
    return found


def _remedy(name: str) -> str:
    if COMMANDS[name].extras == "local":
        return "The local stack runs from a checkout, where `make setup` installs what it needs."
    return f"Install what the command needs: pip install 'oot-hud[{COMMANDS[name].extras}]'"


def _complete() -> int:
    """Answer a shell that asks for completions, with the flags of the command that is being typed."""
    import argcomplete

    words = os.environ["COMP_LINE"][: int(os.environ["COMP_POINT"])].split()[1:]
    parser, _ = build_parser(selected(words))
    argcomplete.autocomplete(parser)
    return 0
