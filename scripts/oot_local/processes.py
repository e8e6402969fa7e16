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

from oot_local.state import LocalError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

READY_SECONDS = 30.0
STOP_SECONDS = 5.0
_LAST_LINES = 15
_PORTS = range(15_000, 32_000)  # below what Linux and macOS hand out by themselves


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
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
            )

    def wait_ready(self, deadline: float) -> None:
        """Wait until the probe answers. Raises LocalError naming the child when it ends or takes too long."""
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


def _end_with_parent() -> None:
    """Ask Linux to end this child when its parent dies, even by kill -9 (prctl(2), PR_SET_PDEATHSIG).

    At once: with nobody left to insist, a child that retries against its dying neighbours would live on for long.
    """
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def free_port(wanted: int, name: str) -> int:
    """Give a free port on loopback: the wanted one, or any for 0. Raises LocalError when the wanted one is in use."""
    if not 0 <= wanted <= 65535:
        raise LocalError(
            f"--{name}-port {wanted} is no port: give one from 1 to 65535, or leave it out for a free one."
        )
    # Not the system's own choice: those ports go to outgoing connections too, and ours is bound only a moment later.
    candidates = [wanted] if wanted else [_PORTS.start + secrets.randbelow(len(_PORTS)) for _ in range(50)]
    for port in candidates:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                problem = error.strerror
            else:
                return port
    raise LocalError(
        f"Port {wanted or 'of any number'} for {name} can't be used ({problem}): "
        f"choose another with --{name}-port, or leave it out for a free one."
    )
