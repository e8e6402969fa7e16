"""The runner's tests on a real Python 3.8: see .ci/python38, which CI runs in a job of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NONE_HERE = 77


@pytest.mark.timeout(600)
def test_the_oldest_python_passes_them() -> None:
    # This run tries every Python itself where a test starts one.
    command = [str(ROOT / ".ci" / "python38"), "-k", "not test_every_python"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode == NONE_HERE:
        pytest.skip(ran.stdout.strip())
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-1000:]
