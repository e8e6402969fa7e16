"""Servers that rooms measure, each started for one room and ended with it: ClickHouse alone, and any server of ours."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.result import BenchmarkError
from benchmarks.timing import ROOT
from hud_endpoint.clickhouse import ddl
from hud_endpoint.clickhouse.connection import connect
from oot_local.processes import Process, answers, reserve_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clickhouse_connect.driver.client import Client

# The local stack takes these for real services; benchmarks write made-up rows and must not meet one.
REAL_SERVICES = ("AWS_ENDPOINT_URL", "CLICKHOUSE_URL", "OIDC_ISSUERS", "HUD_API_URL", "HUD_API_TOKEN")


def refuse_real_services() -> None:
    """Raise BenchmarkError when the environment points at a service of the user's own."""
    named = [name for name in REAL_SERVICES if os.environ.get(name)]
    if named:
        raise BenchmarkError(
            f"{', '.join(named)} is set: unset it, benchmarks write made-up rows and run on their own."
        )


@contextmanager
def process(name: str, argv: Sequence[str], folder: Path, ready_url: str) -> Iterator[Process]:
    """Hold a Python child up while the block runs; it answers at `ready_url`. Raises LocalError when it doesn't."""
    env = dict(os.environ) | {"PYTHONPATH": f"{ROOT}:{ROOT / 'scripts'}"}
    child = Process(name, [sys.executable, *argv], env, folder / f"{name}.log", lambda: answers(ready_url))
    try:
        child.start()
        child.wait_ready()
        yield child
    finally:
        child.stop()


@contextmanager
def clickhouse() -> Iterator[Client]:
    """Hold a ClickHouse with our schema up, empty, in a folder that goes with it."""
    port = reserve_port(0, "clickhouse")
    with tempfile.TemporaryDirectory(prefix="oot-hud-bench-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        argv = ["-m", "oot_local.clickhouse_server", str(folder / "clickhouse"), str(port)]
        with process("clickhouse", argv, folder, f"http://127.0.0.1:{port}/ping"):
            client = connect(f"http://127.0.0.1:{port}", read_timeout=300)
            try:
                for statement in ddl.statements():
                    client.command(statement)
                yield client
            finally:
                client.close()
