"""What the README and its neighbours claim is run: commands, links, the example workflow, the layout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from oot_local.node import find_node

if TYPE_CHECKING:
    from oot_local.stack import Stack

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("actions/*/README.md")])
README = (ROOT / "README.md").read_text()


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def block_with(word: str, language: str = "sh") -> str:
    (found,) = [block for block in blocks(language) if word in block]
    return found


def bash(script: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    for target in targets:
        parts = urlsplit(target)
        if parts.scheme:
            assert parts.scheme == "https", target
        elif parts.path:
            assert (page.parent / parts.path).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)) | {"setup"}
    assert set(re.findall(r"(?:`|^)make ([a-z]+)", page.read_text(), re.MULTILINE)) <= targets


def test_make_lists_its_targets() -> None:
    listed = bash("make")
    assert listed.returncode == 0
    for target in ("demo", "smoke", "up", "down", "test", "lint", "bench", "clean"):
        assert f"make {target} " in listed.stdout


def test_the_commands_by_hand_bring_a_result_home(stack: Stack) -> None:
    script = block_with("curl").replace(". .venv/bin/activate", "").replace("python -c", f"{sys.executable} -c")
    script = script.replace(".local/stack.json", f"{stack.folder}/stack.json")
    script = re.sub(r"(oot-hud github \w+)", rf"\1 --dir {stack.folder}", script)
    ran = bash(script)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert '"outcome":"delivered"' in ran.stdout


def test_the_operators_commands_exist(stack: Stack) -> None:
    commands = [line.partition("#")[0].split() for line in block_with("uvicorn").splitlines()]
    assert len(commands) == 6
    printed = bash(" ".join(commands[0]))
    assert printed.returncode == 0
    assert "SharedReplacingMergeTree" in printed.stdout
    # The local stack runs these very applications, and this very replicator.
    running = {name: stack.process(name).argv for name in ("relay", "hud", "replicator", "sweeper")}
    assert commands[1][1:] == ["--factory", "hud_endpoint.app:relay"]
    assert set(commands[1][1:]) <= set(running["relay"])
    assert set(commands[2][1:]) <= set(running["hud"])
    assert set(commands[3][1:]) <= set(running["replicator"])
    assert set(commands[4][1:]) <= set(running["sweeper"])
    assert bash(" ".join([*commands[5], "--help"])).returncode == 0


def test_the_example_workflow_passes_the_linters(tmp_path: Path) -> None:
    workflows = tmp_path / ".github" / "workflows"
    workflows.mkdir(parents=True)
    (workflows / "ci.yml").write_text(block_with("report-result", "yaml"))
    (tmp_path / "actions").symlink_to(ROOT / "actions")
    linted = subprocess.run(
        [find_node(), ROOT / ".ci" / "lint-workflows.mjs", tmp_path],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout


def test_every_folder_of_the_layout_is_there() -> None:
    for folder in re.findall(r"^\| \[[^\]]+\]\(([^)]+)\) \|", README, re.MULTILINE):
        assert (ROOT / folder).is_dir(), folder


def test_nothing_at_the_root_that_no_newcomer_expects() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    expected = {
        *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE", "Makefile", "pyproject.toml"),
        *("requirements.txt", "requirements-dev.txt", "requirements-node.txt", "requirements-release.txt"),
        *("requirements-build.txt", "requirements-python38.txt", "CODE_OF_CONDUCT.md"),
        *(".editorconfig", ".pre-commit-config.yaml"),
        *("package.json", "package-lock.json", ".gitignore"),
    }
    assert {path for path in tracked if "/" not in path} <= expected


def test_hud_endpoint_imports_nothing_from_scripts_and_scripts_only_what_they_share() -> None:
    allowed = (
        "hud_endpoint.contract",
        *("hud_endpoint.wire_types", "hud_endpoint.events", "hud_endpoint.lenient"),
        "hud_endpoint.clickhouse",
        "hud_endpoint.errors",
        "hud_endpoint.events",
        "hud_endpoint.secret_settings",
        *("hud_endpoint.logs", "hud_endpoint.metrics", "hud_endpoint.aws_lambda"),  # what each function has
    )
    of_the_relay = (*allowed, "hud_endpoint.relay")  # its own commands read its tables with its own code
    for file in ROOT.glob("hud_endpoint/**/*.py"):
        assert not re.search(r"^\s*(?:from|import) oot_", file.read_text(), re.MULTILINE), file
    for file in ROOT.glob("scripts/**/*.py"):
        for imported in re.findall(r"^\s*(?:from|import) (hud_endpoint[\w.]*)", file.read_text(), re.MULTILINE):
            permitted = of_the_relay if file.is_relative_to(ROOT / "scripts/oot_ops") else allowed
            assert imported == "hud_endpoint" or imported.startswith(permitted), f"{file} imports {imported}"


@pytest.mark.parametrize(
    "lock",
    [
        *("requirements.txt", "requirements-build.txt", "requirements-dev.txt", "requirements-node.txt"),
        *("requirements-python38.txt", "requirements-release.txt", "package-lock.json"),
    ],
)
def test_lock_files_are_hashed_and_record_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text.replace("https://opencollective.com", "").replace("https://github.com/sponsors", "")
    if lock.endswith(".txt"):
        packages = re.findall(r"^[a-z0-9][^\n]*==", text, re.MULTILINE)
        assert packages
        assert len(re.findall(r"^[a-z0-9][^\n]*== ?[^\n]*\\\n    --hash=sha256:", text, re.MULTILINE)) == len(packages)
    else:
        assert '"resolved"' not in text
        assert '"integrity": "sha512-' in text
