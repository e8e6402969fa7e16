"""Child processes of the local stack: started, probed until ready, watched, stopped; a crash tells its last words."""

from __future__ import annotations

import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import requests

from oot_local.state import LocalError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

READY_SECONDS = 240.0  # of a very busy machine: a child that has ended ends the wait at once
STOP_SECONDS = 5.0
PROBE_SECONDS = 10.0  # where nobody listens yet, the probe is answered at once
_LAST_LINES = 15
_PORTS = range(15_000, 32_000)  # below what Linux and macOS hand out by themselves
_reserved_ports: list[socket.socket] = []


@dataclass
class Process:
    """One child and its log file."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    log: Path
    ready: Callable[[], bool]
    popen: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def pid(self) -> int:
        """The child's process id, which is its group's as well."""
        if self.popen is None:
            raise LocalError(f"{self.name} has not been started.")
        return self.popen.pid

    def start(self) -> None:
        """Start the child in a process group of its own, so that the terminal's Ctrl-C reaches the supervisor only."""
        self.stop()
        with self.log.open("ab") as log:
            # Its stdin is a pipe that nobody writes to: the ClickHouse server serves until it closes.
            self.popen = subprocess.Popen(
                self.argv,
                env=dict(self.env),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # Safe here: children are started by the main thread, and the function only makes a system call.
                preexec_fn=end_with_parent,  # noqa: PLW1509
            )

    def wait_ready(self) -> None:
        """Wait until the probe answers. Raises LocalError naming the child when it ends or takes too long."""
        deadline = time.monotonic() + READY_SECONDS
        while not self.ready():
            self.check()
            if time.monotonic() > deadline:
                raise LocalError(f"{self.name} was not ready within {READY_SECONDS:.0f} s.\n{self.last_words()}")
            time.sleep(0.02)

    def check(self) -> None:
        """Raise LocalError when the child has ended."""
        if self.popen is not None and (code := self.popen.poll()) is not None:
            raise LocalError(f"{self.name} ended unexpectedly (exit code {code}).\n{self.last_words()}")

    def stop(self) -> None:
        """End the child, gently first; one that has ended or never started is left alone."""
        if self.popen is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.popen.poll() is not None:
                break
            with suppress(ProcessLookupError, PermissionError):  # it has ended between the two lines
                os.killpg(self.popen.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self.popen.wait(STOP_SECONDS)
        if self.popen.stdin:
            self.popen.stdin.close()
        self.popen = None

    def last_words(self) -> str:
        """The end of the child's log."""
        lines = self.log.read_text(errors="replace").splitlines()[-_LAST_LINES:] if self.log.exists() else []
        told = "\n".join(f"  | {line}" for line in lines) or "  | (nothing)"
        return f"The last lines of {self.log}:\n{told}"


def end_with_parent() -> None:
    """Ask Linux to end this child when its parent dies, even by kill -9 (prctl(2), PR_SET_PDEATHSIG); a `preexec_fn`.

    At once: with nobody left to insist, a child that retries against its dying neighbours would live on for long.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def answers(url: str) -> bool:
    """Say whether a server answers with 200 there."""
    try:
        return requests.get(url, timeout=PROBE_SECONDS).status_code == 200
    except requests.RequestException:
        return False


def reserve_port(wanted: int, name: str) -> int:
    """Return a port on loopback for a child: the wanted one, or any for 0. Raises LocalError when none can be had.

    On Linux it stays bound by this process, so that nobody else gets it before the child listens, or while the child
    is started again. A child that sets SO_REUSEADDR, as servers do, can bind it all the same, since nobody listens.
    """
    if not 0 <= wanted <= 65535:
        raise LocalError(
            f"--{name}-port {wanted} is no port: give one from 1 to 65535, or leave it out for a free one."
        )
    # Not the system's own choice: where it can't stay bound, those ports go to outgoing connections too.
    candidates = [wanted] if wanted else [_PORTS.start + secrets.randbelow(len(_PORTS)) for _ in range(50)]
    problem: str | None = None
    for port in candidates:
        holder = socket.socket()
        try:
            if wanted:  # an earlier server's connections may still linger there
                holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(("127.0.0.1", port))
            # After binding, so that two who reserve never share a port.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        except OSError as error:
            holder.close()
            problem = error.strerror
            continue
        if sys.platform == "linux":
            _reserved_ports.append(holder)
        else:  # elsewhere SO_REUSEADDR does not let two sockets share a port
            holder.close()
        return port
    raise LocalError(
        f"Port {wanted or 'of any number'} for {name} can't be used ({problem}): "
        f"choose another with --{name}-port, or leave it out for a free one."
    )
