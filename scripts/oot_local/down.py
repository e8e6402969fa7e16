"""Stop the local stack that `oot-hud up` runs elsewhere."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from oot_local import state
from oot_local.state import LocalError

if TYPE_CHECKING:
    import argparse

_SECONDS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--dir", type=Path, default=state.DEFAULT_DIR, help="state folder (default: .local)")


def main(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    try:
        stop(options.dir)
    except LocalError as error:
        print(f"down: {error}", file=sys.stderr)
        return 1
    print("The local stack is down.")
    return 0


def stop(folder: Path) -> None:
    """Stop the stack of a state folder. Raises LocalError where there is none, or it does not stop."""
    pid = state.read(folder)["pid"]
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _SECONDS
    while state.is_running(folder):
        if time.monotonic() > deadline:
            raise LocalError(f"The stack (pid {pid}) did not stop within {_SECONDS} s: see the logs in {folder}/logs.")
        time.sleep(0.05)
