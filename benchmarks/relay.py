"""The relay's throughput: accepted callbacks a second through the real relay, HUD and (emulated) DynamoDB.

Four keep-alive clients post callbacks of different jobs, each with its own token, so each goes the whole way: token,
allowlist, rate, dispatch record, transaction, delivery to HUD. The emulator bounds the rate on this machine; what the
relay's own process costs is told beside it, in CPU time a callback, and does not depend on the emulator.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import requests

from benchmarks.latency import Prepared, prepare
from benchmarks.result import BenchmarkError, Row
from benchmarks.servers import refuse_real_services
from benchmarks.timing import median, percentile
from oot_local import stack

if TYPE_CHECKING:
    from benchmarks.result import Say

NAME = "relay"
CLIENTS = 4


class Size(NamedTuple):
    """How many callbacks in all."""

    callbacks: int


FULL = Size(callbacks=400)
QUICK = Size(callbacks=100)


def measure(size: Size, say: Say) -> list[Row]:
    """Give the rows. Raises BenchmarkError when a callback is not delivered."""
    refuse_real_services()
    os.environ["RATE_LIMIT_PER_MINUTE"] = "60000"  # a handful of repos stands in for hundreds
    try:
        with (
            tempfile.TemporaryDirectory(prefix="oot-hud-bench-", ignore_cleanup_errors=True) as folder,
            stack.running(Path(folder)) as running,
        ):
            prepared = prepare(running.state, size.callbacks)
            say(f"{size.callbacks} callbacks from {CLIENTS} clients")
            pid = running.process("relay").pid
            cpu, started = _cpu_seconds(pid), time.perf_counter()
            answered = _post(f"{running.state['relay_url']}/github/callback", prepared)
            elapsed, cpu = time.perf_counter() - started, _cpu_seconds(pid) - cpu
    finally:
        del os.environ["RATE_LIMIT_PER_MINUTE"]
    note = (
        f"{1e6 * cpu / size.callbacks:,.0f} us of the relay's own CPU each; the answer took {median(answered):.0f} ms"
    )
    return [
        Row(NAME, "relay, callbacks accepted and delivered, local stack", "/s", size.callbacks / elapsed, note=note),
        Row(NAME, "relay, p99 of the answer", "ms", percentile(answered, 0.99)),
    ]


def _post(url: str, prepared: list[Prepared]) -> list[float]:
    """Post them all; gives the milliseconds to each answer."""
    answered: list[float] = []
    problems: list[str] = []

    def client(mine: list[Prepared]) -> None:
        with requests.Session() as session:
            for token, body in mine:
                started = time.perf_counter()
                try:
                    response = session.post(url, json=body, headers={"authorization": f"Bearer {token}"}, timeout=30)
                except requests.RequestException as error:
                    problems.append(str(error))
                    return
                answered.append(1000 * (time.perf_counter() - started))
                if response.status_code != 200:
                    problems.append(response.text[:300])
                    return

    threads = [threading.Thread(target=client, args=(prepared[index::CLIENTS],)) for index in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise BenchmarkError(f"the relay did not take a callback: {problems[0]}")
    return answered


def _cpu_seconds(pid: int) -> float:
    """The CPU time that a process has used; 0 where the system doesn't tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
