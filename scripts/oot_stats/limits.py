"""What the artifacts of a run may cost: the quotas of collect, each a flag and a variable (docs/settings.md)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import argparse

PREFIX = "COLLECT_MAX_"


class Limits(NamedTuple):
    """Beyond one of these an artifact, or a file in it, is rejected; sizes are bytes."""

    artifacts: int = 5_000
    artifact_bytes: int = 2 * 1024**3
    run_bytes: int = 64 * 1024**3
    entries: int = 50_000
    file_bytes: int = 4 * 1024**3
    archive_bytes: int = 32 * 1024**3
    ratio: int = 500
    depth: int = 50
    tag_bytes: int = 1024**2
    names: int = 2_000
    elements: int = 50_000_000
    row_bytes: int = 1024**2
    groups: int = 20_000
    seconds: int = 900
    memory_bytes: int = 1024**3
    rate_limit_seconds: int = 900


MEANINGS = {
    "artifacts": "artifacts of a run that are read",
    "artifact_bytes": "size of one archive",
    "run_bytes": "size of all archives of a run together",
    "entries": "entries of one archive",
    "file_bytes": "size of one file, unpacked",
    "archive_bytes": "size of all files of one archive, unpacked",
    "ratio": "how many times larger a file may get when it is unpacked; the first 16 MiB are free",
    "depth": "depth of nested XML elements",
    "tag_bytes": "size of one XML tag or comment",
    "names": "different names of XML elements and attributes in one report",
    "elements": "XML elements of one report",
    "row_bytes": "size of one test case; text beyond it is cut, attributes and elements beyond it reject the report",
    "groups": "different files and classes of tests in one job",
    "seconds": "seconds that reading one artifact may take",
    "memory_bytes": "address space of a process that reads artifacts",
    "rate_limit_seconds": "seconds to wait for GitHub's rate limits, all together",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each quota; its variable is the default."""
    group = parser.add_argument_group("quotas", f"Each is {PREFIX}<NAME> in the environment as well.")
    for name, standard in Limits._field_defaults.items():
        group.add_argument(
            f"--max-{name.replace('_', '-')}",
            type=int,
            default=os.environ.get(PREFIX + name.upper(), standard),
            metavar="N",
            help=f"{MEANINGS[name]} (default: %(default)s)",
        )


def of(options: argparse.Namespace) -> Limits:
    """Give the quotas that were asked for. Raises ValueError naming one that is not positive."""
    limits = Limits(**{name: getattr(options, f"max_{name}") for name in Limits._fields})
    for name, number in limits._asdict().items():
        if number <= 0:
            raise ValueError(f"--max-{name.replace('_', '-')} must be more than 0")
    return limits
