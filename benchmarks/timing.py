"""How time is taken: runs that alternate, so that a busy neighbour slows both sides; medians, nearest ranks."""

from __future__ import annotations

import gc
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.result import BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[1]
PROCESS_SECONDS = 60.0


def seconds(work: Callable[[], object]) -> float:
    """Give the wall time of one call; garbage of earlier runs is collected before, not during it."""
    gc.collect()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def cpu_seconds(work: Callable[[], object]) -> float:
    """Give the CPU time that one call takes in this process: what a neighbour takes is not in it."""
    gc.collect()
    started = time.process_time()
    work()
    return time.process_time() - started


def alternate(
    timed: Mapping[str, Callable[[], float]], runs: int, *, limit: float = math.inf
) -> dict[str, list[float]]:
    """Call each in turn, `runs` times around or until `limit` seconds are over; gives what each returned, by name."""
    samples: dict[str, list[float]] = {name: [] for name in timed}
    started = time.monotonic()
    for done in range(runs):
        if done and time.monotonic() - started > limit:
            break
        for name, measure in timed.items():
            samples[name].append(measure())
    return samples


def percentile(samples: Sequence[float], share: float) -> float:
    """Give the smallest sample that `share` of all samples do not exceed (nearest rank). Raises ValueError for none."""
    if not samples:
        raise ValueError("no samples")
    return sorted(samples)[max(math.ceil(share * len(samples)), 1) - 1]


def median(samples: Sequence[float]) -> float:
    """Give the middle sample, the lower of two."""
    return percentile(samples, 0.5)


def python(*arguments: str, env: Mapping[str, str] | None = None, cwd: Path = ROOT) -> tuple[float, str]:
    """Run the interpreter; gives the wall time of the whole process in seconds, and what it printed.

    Raises BenchmarkError with its last words when it fails or takes longer than a minute.
    """
    environment = dict(os.environ) | {"PYTHONPATH": f"{ROOT}:{ROOT / 'scripts'}"} if env is None else dict(env)
    started = time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, *arguments],
            env=environment,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PROCESS_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"python {' '.join(arguments)[:80]} took over {PROCESS_SECONDS:.0f} s") from None
    taken = time.perf_counter() - started
    if done.returncode:
        raise BenchmarkError(f"python {' '.join(arguments)[:80]} failed: {(done.stderr or done.stdout)[-800:]}")
    return taken, done.stdout
