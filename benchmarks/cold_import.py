"""Cold start of each Lambda handler: a whole process that imports and builds it, less one that runs `pass`.

Alternating runs, medians; bytecode is compiled before (deployed packages bring theirs).
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
_HANDLER = "import hud_endpoint.aws_lambda; hud_endpoint.aws_lambda.{}_handler"
_REPLICATOR = "import oot_replicator.aws_lambda; oot_replicator.aws_lambda.{}_handler"
# what is named, what is run, whether the budget is about it
PROGRAMS = (
    ("cold start of the relay", _HANDLER.format("relay"), True),
    ("cold start of the results endpoint", _HANDLER.format("results"), True),
    ("cold start of the pages", _HANDLER.format("pages"), True),
    ("cold start of the outbox", _HANDLER.format("outbox"), True),
    ("cold start of the sweeper", _HANDLER.format("sweep"), True),
    ("cold start of the stream replicator", _REPLICATOR.format("stream"), True),
    ("cold start of the loader of test stats", _REPLICATOR.format("stats"), True),
    ("cold start of verify", _REPLICATOR.format("verify"), True),
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
        programs = ["pass", *(program for _, program, _ in PROGRAMS)]
        for program in programs:
            python("-c", program, env=env)
        say(f"{len(programs)} programs, {size.runs} alternating runs")
        cpu: dict[str, list[float]] = {program: [] for program in programs}
        times = alternate({program: _timed(program, env, cpu[program]) for program in programs}, size.runs)
    middle = {program: 1000 * median(samples) for program, samples in times.items()}
    busy = {program: 1000 * median(samples) for program, samples in cpu.items()}
    return [
        Row(
            NAME,
            what,
            "ms",
            middle[program] - middle["pass"],
            budget=BUDGET if counts else None,
            note=f"{busy[program] - busy['pass']:.0f} ms of CPU; `pass` takes {middle['pass']:.0f} ms, left out",
        )
        for what, program, counts in PROGRAMS
    ]


def _timed(program: str, env: Mapping[str, str], cpu: list[float]) -> Callable[[], float]:
    """Time one process, and keep its CPU seconds beside: what a busy neighbour takes is not in them."""

    def run() -> float:
        before = os.times()
        taken = python("-c", program, env=env)[0]
        after = os.times()
        cpu.append(sum(after[2:4]) - sum(before[2:4]))
        return taken

    return run


def _environment(folder: Path) -> dict[str, str]:
    """Settings with which every handler can be built; nothing they name is contacted."""
    allowlist = folder / "allowlist.yaml"
    allowlist.write_text("L2:\n  - example-org/torch-sample\n")
    env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return env | {
        "PYTHONPATH": f"{ROOT}:{ROOT / 'scripts'}",
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
