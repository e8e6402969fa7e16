"""Ports that nobody else can get in between, and children that never outlive the process that started them."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from oot_local.processes import Process, answers, reserve_port
from oot_local.state import LocalError
from tests.integration.own_servers import python, running
from tests.integration.waiting import SECONDS, wait_for

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="a port stays bound, and children are bound, on Linux alone")
RUN = """
import sys
from pathlib import Path
from tests.integration.own_servers import python, running

def test_that_is_killed(tmp_path):
    child = python("child", ["-c", "import time; time.sleep(600)"], tmp_path, {})
    child.start()
    with running([sys.executable, "-c", "import time; time.sleep(600)"]) as command:
        Path(OUT).write_text(f"{child.pid} {command.pid}")
        command.wait()
"""


@LINUX
def test_a_reserved_port_is_nobody_elses_and_the_childs_before_and_after_it_is_killed(tmp_path: Path) -> None:
    port = reserve_port(0, "child")
    server = python("child", ["-m", "http.server", str(port), "--bind", "127.0.0.1"], tmp_path, {})
    server.ready = lambda: answers(f"http://127.0.0.1:{port}/")
    for _ in range(2):
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        server.start()
        server.wait_ready()
        os.kill(server.pid, signal.SIGKILL)
        wait_for(lambda: not answers(f"http://127.0.0.1:{port}/"), "the end of the server")
    server.stop()


@LINUX
def test_no_two_reservations_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where chance names the same port again, and again."""
    first = reserve_port(0, "first")
    draws = iter([first, first, first + 1, *range(first + 2, first + 60)])
    monkeypatch.setattr("oot_local.processes._PORTS", range(100_000))
    monkeypatch.setattr("oot_local.processes.secrets.randbelow", lambda _: next(draws))
    assert reserve_port(0, "second") > first


def test_a_child_that_ends_ends_the_wait_for_it(tmp_path: Path) -> None:
    process = Process("child", [sys.executable, "-c", "raise SystemExit('why')"], os.environ, tmp_path / "log", bool)
    process.start()
    with pytest.raises(LocalError, match=r"child ended unexpectedly \(exit code 1\)\.(.|\n)*why"):
        process.wait_ready()
    process.stop()


def test_a_command_ends_with_its_block() -> None:
    with pytest.raises(RuntimeError), running([sys.executable, "-c", "import time; time.sleep(600)"]) as command:
        raise RuntimeError
    assert command.poll() is not None


@LINUX
def test_a_killed_test_run_leaves_no_child(tmp_path: Path) -> None:
    out = tmp_path / "pids"
    (tmp_path / "test_killed.py").write_text(RUN.replace("OUT", repr(str(out))))
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    root = Path(__file__).resolve().parents[2]
    with running(argv, cwd=root, stdout=subprocess.DEVNULL) as worker:
        wait_for(lambda: out.exists() and out.read_text(), "its children", alive=lambda: worker.poll() is None)
        children = [int(pid) for pid in out.read_text().split()]
        assert all(is_alive(pid) for pid in children)
        worker.kill()
        worker.wait(SECONDS)
    wait_for(lambda: not any(is_alive(pid) for pid in children), "the end of its children")


def is_alive(pid: int) -> bool:
    try:
        return re.search(r"^State:\s+Z", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE) is None
    except FileNotFoundError:
        return False
