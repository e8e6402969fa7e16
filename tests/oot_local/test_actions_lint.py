"""`.ci/lint-workflows.mjs` finds what is wrong with workflows and composite actions, and never passes on nothing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from oot_local.node import find_node

if TYPE_CHECKING:
    from subprocess import CompletedProcess

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = """\
name: ci
on: push
permissions: {}
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - run: echo "$HOME"
"""
ACTION = """\
name: a
description: b
runs:
  using: composite
  steps:
    - shell: bash
      run: 'true'
"""


def lint(root: Path, program: Path = ROOT / ".ci" / "lint-workflows.mjs") -> CompletedProcess[str]:
    return subprocess.run([find_node(), program, root], capture_output=True, text=True, check=False, timeout=60)


def write(root: Path, *, workflow: str = WORKFLOW, action: str = ACTION) -> None:
    for path, content in ((".github/workflows/ci.yml", workflow), ("actions/report/action.yml", action)):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)


def test_nothing_wrong(tmp_path: Path) -> None:
    write(tmp_path)
    ran = lint(tmp_path)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("1 workflows, 1 actions: no findings\n", "", 0)


@pytest.mark.parametrize(
    ("workflow", "action", "finding"),
    [
        (WORKFLOW.replace("$HOME", "${{ bad.x }}"), ACTION, ".github/workflows/ci.yml:8:20: Unrecognized named-value"),
        (WORKFLOW.replace("latest", "9.10"), ACTION, '.github/workflows/ci.yml:6:14: label "ubuntu-9.10" is unknown'),
        (WORKFLOW.replace("    steps", "    step"), ACTION, ".github/workflows/ci.yml:7:5: Unexpected value 'step'"),
        (WORKFLOW.replace("    steps", "    needs: x\n    steps"), ACTION, "at least one job with no dependencies"),
        (WORKFLOW.replace("run: echo", "uses: $/actions/x #"), ACTION, '8:15: "$/actions/x" is not in this repository'),
        (WORKFLOW.replace("run: echo", "uses: actions/x #"), ACTION, 'specifying action "actions/x" in invalid format'),
        (WORKFLOW.replace("{}", "{contents: all}"), ACTION, '"all" is invalid for permission of scope "contents"'),
        (WORKFLOW, ACTION.replace("'true'", "${{ secrets.X }}"), "actions/report/action.yml:7:12: Unrecognized"),
        (WORKFLOW, ACTION.replace("      run", "      if: vars.X\n      run"), "actions/report/action.yml:7:11: Unrec"),
        (WORKFLOW, ACTION.replace("    - shell: bash", "    -"), "Required property is missing: shell"),
        (WORKFLOW, "name: [", "actions/report/action.yml:1:8: Flow sequence"),
    ],
)
def test_findings_have_a_place(tmp_path: Path, workflow: str, action: str, finding: str) -> None:
    write(tmp_path, workflow=workflow, action=action)
    ran = lint(tmp_path)
    assert finding in ran.stdout
    assert ran.returncode == 1
    assert not ran.stderr


def test_what_is_newer_than_actionlint_is_no_finding(tmp_path: Path) -> None:
    workflow = WORKFLOW.replace("$HOME", "${{ job.check_run_id }} ${{ vars.X }} ${{ matrix.os }}")
    workflow = workflow.replace("permissions: {}", "permissions: {attestations: write, id-token: write}")
    labels = "[ubuntu-24.04, ubuntu-24.04-arm, windows-2025, macos-15]"
    workflow = workflow.replace(
        "runs-on: ubuntu-latest", f"strategy: {{matrix: {{os: {labels}}}}}\n    runs-on: ${{{{ matrix.os }}}}"
    )
    workflow += "      - uses: $/actions/report\n  call:\n    uses: $/.github/workflows/ci.yml\n"
    write(tmp_path, workflow=workflow)
    ran = lint(tmp_path)
    assert (ran.stdout, ran.returncode) == ("1 workflows, 1 actions: no findings\n", 0)


@pytest.mark.parametrize(("missing", "sentence"), [(".github", "No workflow in"), ("actions", "No action.yml in")])
def test_nothing_to_check_is_an_error(tmp_path: Path, missing: str, sentence: str) -> None:
    write(tmp_path)
    shutil.rmtree(tmp_path / missing)
    ran = lint(tmp_path)
    assert ran.stdout.startswith(sentence)
    assert ran.stdout.endswith("nothing was checked.\n")
    assert ran.returncode == 1


def test_missing_node_modules(tmp_path: Path) -> None:
    write(tmp_path)
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    ran = lint(tmp_path, tmp_path / ".ci" / "lint-workflows.mjs")
    assert (ran.stdout, ran.returncode) == (
        "node_modules is missing, or not what package-lock.json says: run `make setup`.\n",
        1,
    )
