"""Servers of a test's own, to kill, to stall, or to hold nothing but what the test put in."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oot_local.processes import Process, answers, end_with_parent, reserve_port
from oot_ops.create_tables import create_clickhouse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
STOP_SECONDS = 20  # what a whole stack may take to end its own children


def python(name: str, argv: Sequence[str], folder: Path, env: Mapping[str, str], ready_url: str = "") -> Process:
    """A Python process, not started yet; without a URL to ask it is ready at once."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **env}
    ready = (lambda: answers(ready_url)) if ready_url else (lambda: True)
    return Process(name, [sys.executable, *argv], environment, folder / f"{name}.log", ready)


def start(process: Process) -> None:
    process.start()
    process.wait_ready()


@contextmanager
def running(argv: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A command that ends with the block, and with this process too, however that ends; so do children of ours in it.

    What it starts is told to end with it in the same way (`oot_local.processes`).
    """
    with subprocess.Popen(argv, text=True, preexec_fn=end_with_parent, **options) as process:  # noqa: PLW1509
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_SECONDS)
            process.kill()


@contextmanager
def own_clickhouse(folder: Path, port: int = 0) -> Iterator[tuple[Process, str]]:
    """A ClickHouse with our schema, and its URL; it keeps what it holds when it is killed and started again."""
    port = port or reserve_port(0, "clickhouse")
    url = f"http://127.0.0.1:{port}"
    argv = ["-m", "oot_local.clickhouse_server", str(folder / "clickhouse"), str(port)]
    process = python("clickhouse", argv, folder, {}, f"{url}/ping")
    try:
        start(process)
        create_clickhouse(url, "local", 100, "default")
        yield process, url
    finally:
        process.stop()
