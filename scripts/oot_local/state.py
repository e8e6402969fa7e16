"""What a running local stack tells others: `.local/stack.json`, and the lock that says whether it still runs."""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOCK_TRIES = 10
DEFAULT_DIR = Path(".local")


class LocalError(Exception):
    """The local stack can't do what was asked; the message says why and what to do."""


def is_running(folder: Path) -> bool:
    """Tell whether a stack holds the folder's lock."""
    try:
        with (folder / "stack.lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold the folder for one stack. Raises LocalError when another has it, or it can't be used."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / "stack.lock").open("w")
    except OSError as error:
        raise LocalError(f"The state folder {folder} can't be used ({error.strerror}): run `make clean`.") from None
    with handle:
        for _ in range(_LOCK_TRIES):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:  # another stack, or only somebody who is looking for one
                time.sleep(0.05)
        else:
            raise LocalError(f"A local stack already runs in {folder}: stop it with `make down`.")
        yield


def write(folder: Path, state: dict[str, Any]) -> None:
    """Tell others how to reach the stack; the file holds a token, so only its owner may read it."""
    path = folder / "stack.json"
    temporary = path.with_suffix(".tmp")
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps(state, indent=2) + "\n")
    temporary.replace(path)


def read(folder: Path) -> dict[str, Any]:
    """Give the state of the stack that runs in the folder. Raises LocalError when none does or the file is damaged."""
    if not is_running(folder):
        raise LocalError(f"No local stack runs in {folder}: start one with `make up` or `make demo`.")
    try:
        state = json.loads((folder / "stack.json").read_text())
    except FileNotFoundError:
        raise LocalError(f"The stack in {folder} is still starting: try again in a few seconds.") from None
    except (OSError, ValueError) as error:
        raise LocalError(
            f"{folder / 'stack.json'} is damaged ({error}): stop the stack with Ctrl-C, then `make clean`."
        ) from None
    if not isinstance(state, dict) or not isinstance(state.get("pid"), int):
        raise LocalError(f"{folder / 'stack.json'} is damaged (no pid): stop the stack with Ctrl-C, then `make clean`.")
    return state


def uses_real_clickhouse() -> bool:
    """Tell whether the user's own ClickHouse stands in: then nothing made up is put into it."""
    return bool(os.environ.get("CLICKHOUSE_URL"))
