"""What the artifacts of a run may cost: the quotas of collect, each a flag and a variable (docs/settings.md)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import argparse

PREFIX = "COLLECT_MAX_"


class Limits(NamedTuple):
    """Beyond one of these an artifact, or a file in it, is rejected. What a report may hold is the reader's matter."""

    bytes: int = 64 * 1024**3
    entries: int = 20_000
    seconds: int = 900
    memory: int = 1024**3

    @property
    def artifact_bytes(self) -> int:
        """Size of one archive as it is fetched."""
        return self.bytes // 32

    @property
    def archive_bytes(self) -> int:
        """Size of all files of one archive, unpacked."""
        return self.bytes // 2

    @property
    def file_bytes(self) -> int:
        """Size of one file, unpacked."""
        return self.bytes // 16

    @property
    def artifacts(self) -> int:
        """Artifacts of a run that are read."""
        return max(self.entries // 4, 1)


MEANINGS = {
    "bytes": "bytes of all archives of a run together; one archive may have a 32nd of it, the files of one archive, "
    "unpacked, half, and one file a 16th",
    "entries": "entries of one archive; a run may have a quarter as many artifacts",
    "seconds": "seconds that reading one artifact may take, and waiting for GitHub's rate limits all together",
    "memory": "bytes of address space of a process that reads artifacts",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each quota; its variable is the default."""
    group = parser.add_argument_group("quotas", f"Each is {PREFIX}<NAME> in the environment as well.")
    for name, standard in Limits._field_defaults.items():
        group.add_argument(
            f"--max-{name}",
            type=int,
            default=os.environ.get(PREFIX + name.upper(), standard),
            metavar="N",
            help=f"{MEANINGS[name]} (default: %(default)s)",
        )


def of(options: argparse.Namespace) -> Limits:
    """Return the quotas that were asked for. Raises ValueError naming one that is not positive."""
    limits = Limits(**{name: getattr(options, f"max_{name}") for name in Limits._fields})
    for name, number in limits._asdict().items():
        if number <= 0:
            raise ValueError(f"--max-{name} must be more than 0")
    return limits
