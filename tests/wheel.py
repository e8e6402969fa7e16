"""Our wheel, built from a folder and installed into an environment that holds nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {name: os.environ[name] for name in ("HOME", "LANG", "PATH", "TMPDIR") if name in os.environ}


def build(source: Path, folder: Path) -> Path:
    """Build the wheel of a source folder as a release does: with what requirements-build.txt has locked."""
    _pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder), str(source))
    (wheel,) = folder.glob("oot_hud-*.whl")
    return wheel


def build_editable(source: Path, folder: Path) -> Path:
    """Build the wheel that an editable installation of a source folder consists of."""
    code = f"from hatchling.build import build_editable; print(build_editable({str(folder)!r}))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=source, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.strip()


def install(wheel: Path, folder: Path, *, packages: bool = False) -> Path:
    """Install the wheel into an empty environment and return its folder of programs.

    With `packages`, it sees the packages of this Python too, which are the locked ones; our own code is not among them.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    _pip("--python", str(folder), "install", "--no-deps", "--no-index", str(wheel))
    if packages:
        (site,) = folder.glob("lib/python*/site-packages")
        # The .pth files in a folder that a .pth file names are not read: an editable install is not seen.
        (site / "packages.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
        script = folder / "bin" / "uvicorn"
        script.write_text(f"#!{folder}/bin/python\nfrom uvicorn import main\n\nmain()\n")
        script.chmod(0o755)
    return folder / "bin"


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
