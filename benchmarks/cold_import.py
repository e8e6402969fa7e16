"""Cold start of each server: a whole process that imports it and builds the app, less one that runs `pass`.

Alternating runs, medians; bytecode is compiled before (deployed packages bring theirs). What a Lambda handler does at
import is to build its app, so the factories are called; the import alone is in the note.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.result import Budget, Row
from benchmarks.timing import ROOT, alternate, median, python

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.result import Say

NAME = "cold-import"
BUDGET = Budget("under", 500)
# what is named, what is run, what of it is the import alone
SERVERS = (
    ("relay", "import hud_endpoint.app; hud_endpoint.app.relay()", "import hud_endpoint.app"),
    ("HUD", "import hud_endpoint.app; hud_endpoint.app.hud()", "import hud_endpoint.app"),
    ("replicator", "import scripts.replicator.dynamo_to_clickhouse", ""),
)


class Size(NamedTuple):
    """How often each process is started."""

    runs: int


FULL = Size(runs=7)
QUICK = Size(runs=2)


def measure(size: Size, say: Say) -> list[Row]:
    """Give the rows of this budget."""
    with tempfile.TemporaryDirectory(prefix="oot-hud-bench-") as folder:
        env = _environment(Path(folder))
        programs = {"pass": "pass"} | {program: program for _, *both in SERVERS for program in both if program}
        for program in programs:
            python("-c", program, env=env)
        say(f"{len(programs)} programs, {size.runs} alternating runs")
        times = alternate({name: _timed(program, env) for name, program in programs.items()}, size.runs)
    middle = {name: 1000 * median(samples) for name, samples in times.items()}
    return [
        Row(
            NAME,
            f"cold start of the {server}",
            "ms",
            middle[program] - middle["pass"],
            budget=BUDGET,
            note=(f"import alone {middle[part] - middle['pass']:.0f} ms; " if part else "import; ")
            + f"`python -c pass` takes {middle['pass']:.0f} ms, left out",
        )
        for server, program, part in SERVERS
    ]


def _timed(program: str, env: Mapping[str, str]) -> Callable[[], float]:
    return lambda: python("-c", program, env=env)[0]


def _environment(folder: Path) -> dict[str, str]:
    """Settings with which both factories can be built; nothing they name is contacted."""
    allowlist = folder / "allowlist.yaml"
    allowlist.write_text("L2:\n  - example-org/torch-sample\n")
    env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return env | {
        "PYTHONPATH": str(ROOT),
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "INTERNAL_API_TOKEN": "x" * 16,
        "HUD_API_URL": "http://127.0.0.1:9/api/oot/results",
        "HUD_API_TOKEN": "x" * 16,
        "DISPATCH_TOKEN": "x" * 16,
        "CALLBACK_SIGNING_KEY": "x" * 32,
        "ALLOWLIST": str(allowlist),
        "OIDC_ISSUERS": "http://127.0.0.1:9",
        "CLICKHOUSE_URL": "http://127.0.0.1:9",
    }
