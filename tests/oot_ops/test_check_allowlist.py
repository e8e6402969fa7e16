"""What a maintainer of the allowlist sees in CI: each problem where it is, or how many repos there are."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from hud_endpoint.relay.allowlist import parse_allowlist
from oot_ops import check_allowlist

if TYPE_CHECKING:
    from pathlib import Path

WRONG = """\
L1: [org/a]
L2:
  - org/b
  - b
L3:
  npu:
    ORG/a: [oncall1]
    org/c: {event: [nightly]}
L9: []
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "oot_ops", "allowlist", "check", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=240, check=False)


def test_a_good_one_is_counted(tmp_path: Path) -> None:
    file = tmp_path / "allowlist.yml"
    file.write_text("L1: [org/a]\nL2: [org/b, org/c]\nL4: [org/d]\nproviders: {gitlab: {repo_map: {5: org/b}}}")
    ran = run(str(file))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == f"{file}: 4 repos (L1 1, L2 2, L3 0, L4 1), 1 pipelines elsewhere\n"


def test_every_problem_is_a_line_that_editors_can_follow(tmp_path: Path) -> None:
    file = tmp_path / "allow list.yml"
    file.write_text(WRONG)
    ran = run(str(file))
    assert (ran.returncode, ran.stderr) == (1, "")
    assert ran.stdout.splitlines() == [
        f"{file}:4: `b` is not written owner/name",
        f"{file}:7: ORG/a is listed twice, first in line 1",
        f"{file}:8: org/c: event is unknown; an entry has oncalls, events, id, nightly_on",
        f"{file}:9: L9 is no level: the keys are L1, L2, L3, L4 and providers",
    ]


@pytest.mark.parametrize(("name", "told"), [("missing.yml", "No such file or directory"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, name: str, told: str) -> None:
    ran = run(str(tmp_path / name))
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == f"allowlist check: {tmp_path / name} can't be read: {told}\n"


def test_without_a_file_the_usage_is_told() -> None:
    ran = run()
    assert ran.returncode == 2
    assert "usage: " in ran.stderr


def test_the_example_in_the_help_is_an_allowlist() -> None:
    ran = run("--help")
    assert ran.returncode == 0
    example = str(check_allowlist.__doc__).partition("\n\nL1:")[2]
    assert example.replace("  ", "") in ran.stdout.replace("  ", "")
    ids = {"<organization_id>": "a", "<pipeline_id>": "b", "<project_id>": "5"}
    text = "L1:" + example
    for placeholder, value in ids.items():
        text = text.replace(placeholder, value)
    assert parse_allowlist(text).summary() == "5 repos (L1 1, L2 1, L3 1, L4 2), 2 pipelines elsewhere"
