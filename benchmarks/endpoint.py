"""Results endpoint: validated callbacks/s on one core with the store stubbed, and the latency that the endpoint adds.

`benchmarks.endpoint_server` runs pinned to one core (where the OS can pin); this process is the load: 4 keep-alive
connections in a closed loop, so the latency is the one at saturation. A small body, and one with 50 failed tests.
The rate a core is by the server's CPU seconds, so that no neighbour on that core spoils it; the note has the clock's.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import requests

from benchmarks import callbacks, endpoint_load, servers
from benchmarks.endpoint_server import TOKEN
from benchmarks.machine import usable_cores
from benchmarks.result import Budget, Row
from benchmarks.timing import median, percentile
from hud_endpoint.results.api import TOKEN_HEADER
from oot_local.processes import reserve_port

if TYPE_CHECKING:
    from benchmarks.result import Say

NAME = "endpoint"
RATE = Budget("at least", 3_000)
LATENCY = Budget("under", 10)
CONNECTIONS = 4
ROUNDS = 5  # the median of them counts
BODIES = {"small body": 0, "50 failed tests": 50}


class Size(NamedTuple):
    """Requests of each body, and the seconds they may take."""

    requests: int
    limit: float


FULL = Size(requests=15_000, limit=12.0)
QUICK = Size(requests=4_000, limit=3.0)


def measure(size: Size, say: Say) -> list[Row]:
    """Give the rows of this budget."""
    cores = usable_cores()
    core = cores[0] if len(cores) > 1 and hasattr(os, "sched_setaffinity") else -1
    port = reserve_port(0, "endpoint")
    with tempfile.TemporaryDirectory(prefix="oot-hud-bench-") as folder:
        argv = ["-m", "benchmarks.endpoint_server", str(port), str(core)]
        with servers.process("endpoint", argv, Path(folder), f"http://127.0.0.1:{port}/_cpu"):
            rows = []
            for name, failed in BODIES.items():
                rows += _load(port, name, callbacks.relayed(failed), size, say)
    return rows


def _load(port: int, name: str, body: bytes, size: Size, say: Say) -> list[Row]:
    say(f"{name}: {len(body) / 1024:.1f} KB, up to {size.requests:,} requests over {CONNECTIONS} connections")
    headers = {TOKEN_HEADER: TOKEN, "content-type": "application/json"}

    def post(count: int) -> endpoint_load.Load:
        return endpoint_load.post(
            port, "/api/oot/results", headers, body, requests=count, connections=CONNECTIONS, limit=size.limit / ROUNDS
        )

    post(max(size.requests // 20, CONNECTIONS))  # warms up
    loads, cpu_each = [], []
    for _ in range(ROUNDS):
        before = _cpu_seconds(port)
        load = post(size.requests // ROUNDS)
        cpu_each.append((_cpu_seconds(port) - before) / len(load.latencies))
        loads.append(load)
    cpu = median(cpu_each)
    milliseconds = [1000 * latency for load in loads for latency in load.latencies]
    clock = median([len(load.latencies) / load.seconds for load in loads])
    note = f"{1e6 * cpu:.0f} us of CPU each; {clock:,.0f}/s by the clock"
    middle = f"at saturation by {CONNECTIONS} connections; median {median(milliseconds):.2f} ms"
    return [
        Row(NAME, f"endpoint, callbacks a core, {name}", "/s", 1 / cpu, budget=RATE, note=note),
        Row(NAME, f"endpoint, p99, {name}", "ms", percentile(milliseconds, 0.99), budget=LATENCY, note=middle),
    ]


def _cpu_seconds(port: int) -> float:
    return float(requests.get(f"http://127.0.0.1:{port}/_cpu", timeout=5).json()["seconds"])
