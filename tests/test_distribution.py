"""What `pip install` brings: the wheel in an empty environment, its one command, and the packages of each extra."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement

from hud_endpoint import __version__
from oot_ops.cli import COMMANDS, GROUPS, build_parser
from tests.wheel import ENVIRONMENT, ROOT, build, build_editable, install

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

PACKAGES = ("hud_endpoint", "oot_runner", "oot_stats", "oot_replicator", "oot_ops", "oot_local")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
# What an extra brings beside what our code imports.
SERVERS = {"uvicorn", "httptools", "uvloop", "mangum"}
# What serves both applications, and imports in a function what only one of them needs: they are built for real below.
BOTH = ("hud_endpoint.app", "hud_endpoint.aws_lambda", "hud_endpoint.http")
# The modules of each extra, and with them all that they import of ours.
ENTRIES = {
    "relay": ["hud_endpoint.relay", *BOTH],
    "pages": ["hud_endpoint.results", "hud_endpoint.views", *BOTH],
    "replicator": ["oot_replicator"],
    "stats": ["oot_stats"],
    "completion": ["oot_ops.completion"],
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def empty(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds our wheel and nothing else, not even pip."""
    return install(wheel, tmp_path_factory.mktemp("empty") / "venv")


@pytest.fixture(scope="module")
def full(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds our wheel and the locked packages."""
    return install(wheel, tmp_path_factory.mktemp("full") / "venv", packages=True)


def run(*command: object, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a program far from the checkout."""
    return subprocess.run(
        [str(word) for word in command],
        env=ENVIRONMENT | env,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


class TestWheel:
    def test_it_holds_all_of_our_code_and_its_files_and_nothing_else(self, wheel: Path) -> None:
        names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
        tracked = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "hud_endpoint", "scripts"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        assert names == {path.removeprefix("scripts/") for path in tracked if (ROOT / path).is_file()}
        assert {f"{package}/py.typed" for package in PACKAGES} <= names

    def test_it_says_what_it_is(self, wheel: Path) -> None:
        with zipfile.ZipFile(wheel) as archive:
            (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
            metadata = archive.read(name).decode()
        assert f"\nVersion: {__version__}\n" in metadata
        assert "\nLicense-Expression: BSD-3-Clause\n" in metadata
        for line in (
            "Author: ",
            "Classifier: Typing :: Typed",
            "Keywords: ",
            "Project-URL: Issues",
            "Requires-Python: >=3.11",
        ):
            assert f"\n{line}" in metadata
        assert set(re.findall(r"^Provides-Extra: (.*)$", metadata, re.MULTILINE)) == set(EXTRAS)
        assert not re.findall(r"^Requires-Dist: (?!.*extra ==).*$", metadata, re.MULTILINE), "the base needs nothing"

    def test_it_is_the_same_bytes_again(self, wheel: Path, tmp_path: Path) -> None:
        assert build(ROOT, tmp_path).read_bytes() == wheel.read_bytes()


class TestInstalled:
    def test_the_command_explains_itself(self, empty: Path) -> None:
        told = run(empty / "oot-hud", "--help")
        assert told.returncode == 0
        assert all(f"\n  {name} " in told.stdout for name in COMMANDS)
        assert run(empty / "oot-hud", "--version").stdout == f"oot-hud {__version__}\n"
        assert run(empty / "python", "-m", "oot_ops", "--version").stdout == f"oot-hud {__version__}\n"

    def test_a_checkout_can_be_installed_editable_as_make_setup_does(self, tmp_path: Path) -> None:
        programs = install(build_editable(ROOT, tmp_path), tmp_path / "venv")
        assert run(programs / "oot-hud", "--version").stdout == f"oot-hud {__version__}\n"
        where = run(programs / "python", "-c", "import oot_ops; print(oot_ops.__file__)").stdout.strip()
        assert where == str(ROOT / "scripts" / "oot_ops" / "__init__.py")

    def test_both_launchers_run_from_their_path(self, empty: Path, tmp_path: Path) -> None:
        (site,) = empty.parent.glob("lib/python*/site-packages")
        nightly = ["--status", "completed", "--event-type", "nightly", "--delivery-id", "0" * 40]
        reported = run(
            *(empty / "python", site / "report_result.py", *nightly, "--conclusion", "success", "--dry-run"),
            *("--run-id", "1", "--workflow-name", "w"),
        )
        assert reported.returncode == 0
        assert '"conclusion": "success"' in reported.stdout
        (tmp_path / "log.txt").write_text("a line")
        uploaded = run(
            *(empty / "python", site / "upload_artifacts.py", "begin"),
            OOT_PATH="log.txt",
            GITHUB_WORKSPACE=str(tmp_path),
            RUNNER_TEMP=str(tmp_path),
        )
        assert "Traceback" not in uploaded.stderr
        assert run(empty / "python", site / "upload_artifacts.py").stderr.endswith("upload_artifacts.py begin | end\n")

    @pytest.mark.parametrize("name", sorted(name for name, command in COMMANDS.items() if command.extras))
    def test_a_command_without_its_packages_says_what_to_install(self, empty: Path, name: str) -> None:
        told = run(empty / "oot-hud", *name.split(), "--help")
        if told.returncode == 0:  # what it imports later is said later
            assert told.stdout.startswith(f"usage: oot-hud {name}")
            return
        assert re.fullmatch(rf"oot-hud {name}: the package \w+ is not installed\. .*\n", told.stderr), told.stderr
        extras = COMMANDS[name].extras
        assert (f"pip install 'oot-hud[{extras}]'" if extras != "local" else "make setup") in told.stderr

    @pytest.mark.parametrize("name", sorted(COMMANDS))
    def test_every_command_explains_itself_with_an_example(self, full: Path, name: str) -> None:
        told = run(full / "oot-hud", *name.split(), "--help")
        assert told.returncode == 0, told.stderr
        assert told.stdout.startswith(f"usage: oot-hud {name}")
        assert f"oot-hud {name}" in told.stdout.partition("\n\n")[2] or name == "down"

    def test_the_doctor_looks_at_a_machine_where_nothing_is_set_up(self, full: Path) -> None:
        away = {"AWS_EC2_METADATA_DISABLED": "true", "CLICKHOUSE_URL": "http://127.0.0.1:9"}
        told = run(full / "oot-hud", "doctor", "operator", **away)
        assert told.returncode == 1
        assert "FAIL DynamoDB" in told.stdout
        assert "FAIL ClickHouse" in told.stdout
        assert "Traceback" not in told.stderr
        backend = run(full / "oot-hud", "doctor", "backend", "--json", OOT_CALLBACK_URL="http://127.0.0.1:9/x")
        assert backend.returncode == 1
        assert "fail" in {check["state"] for check in json.loads(backend.stdout)}


class TestCompletion:
    @pytest.mark.parametrize(
        ("line", "found"),
        [
            ("oot-hud ", {"doctor", "stats", "verify", "replicate"}),
            ("oot-hud doctor ", {"backend", "operator"}),
            ("oot-hud verify --r", {"--repair", "--retention-days"}),
            ("oot-hud outbox re", {"replay", "retry"}),
            ("oot-hud stats publish --max-ta", {"--max-table-bytes", "--max-table-rows"}),
        ],
    )
    def test_a_shell_is_answered(self, full: Path, tmp_path: Path, line: str, found: set[str]) -> None:
        answer = tmp_path / "answer"
        asked = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_STDOUT_FILENAME": str(answer), "_ARGCOMPLETE_IFS": "\n"}
        ran = run(full / "oot-hud", COMP_LINE=line, COMP_POINT=str(len(line)), **asked)
        assert ran.returncode == 0, ran.stderr
        words = {word.strip() for word in answer.read_text().splitlines()}
        assert found <= words
        assert found == words or line.endswith(" ")

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_a_shell_s_script_is_printed(self, full: Path, shell: str) -> None:
        told = run(full / "oot-hud", "completion", shell)
        assert told.returncode == 0
        assert "oot-hud" in told.stdout


def test_every_command_is_in_one_group() -> None:
    assert sum(len(group) for group in GROUPS.values()) == len(COMMANDS)
    assert all(set(command.extras.split(",")) <= {"", "local", *EXTRAS} for command in COMMANDS.values())


def test_flags_that_do_not_go_together_are_told_with_the_command_s_usage(capsys: pytest.CaptureFixture[str]) -> None:
    from oot_ops.cli import main

    with pytest.raises(SystemExit, match="2"):
        main(["load", "--bucket", "b"])
    assert capsys.readouterr().err.startswith("usage: oot-hud load ")
    assert build_parser("load")[1].prog == "oot-hud load"


# What each extra must bring.


def files() -> Iterator[tuple[str, Path]]:
    """Every module of ours by its name."""
    for package in PACKAGES:
        base = ROOT if package == "hud_endpoint" else ROOT / "scripts"
        for path in (base / package).rglob("*.py"):
            yield ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__"), path


MODULES = dict(files())


class Imports(ast.NodeVisitor):
    """The names that a module imports when it runs, in functions too if asked."""

    def __init__(self, *, in_functions: bool) -> None:
        self.names: set[str] = set()
        self._in_functions = in_functions

    def visit_If(self, node: ast.If) -> None:
        for each in node.orelse if "TYPE_CHECKING" in ast.unparse(node.test) else [*node.body, *node.orelse]:
            self.visit(each)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if self._in_functions:
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.names |= {alias.name for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.names |= {f"{node.module}.{alias.name}" for alias in node.names}


@cache
def imports(module: str) -> frozenset[str]:
    visitor = Imports(in_functions=module not in BOTH)
    visitor.visit(ast.parse(MODULES[module].read_text()))
    return frozenset(visitor.names)


def reached(entries: Iterable[str]) -> set[str]:
    """Return the names of all that these packages and modules import, directly or through each other."""
    waiting = [name for name in MODULES for entry in entries if name == entry or name.startswith(f"{entry}.")]
    names: set[str] = set()
    seen: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        names |= imports(module)
        for name in imports(module):
            waiting += [each for each in (name, name.rpartition(".")[0]) if each in MODULES]
    return names


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def distributions(names: Iterable[str]) -> set[str]:
    """Return the installed distributions that these modules belong to."""
    by_module = packages_distributions()
    tops = {name.partition(".")[0] for name in names} - set(PACKAGES) - sys.stdlib_module_names
    return {normalised(by_module[top][0]) for top in tops}


def needed(requirements: Iterable[str]) -> set[str]:
    """Return the distributions that installing these brings, on this machine."""
    found: set[tuple[str, str]] = set()
    waiting = [(Requirement(each), "") for each in requirements]
    while waiting:
        requirement, extra = waiting.pop()
        name = normalised(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        for wanted in ("", *requirement.extras):
            if (name, wanted) in found:
                continue
            found.add((name, wanted))
            try:
                waiting += [(Requirement(each), wanted) for each in requires(name) or []]
            except PackageNotFoundError:
                found.discard((name, wanted))
    return {name for name, _ in found}


@pytest.mark.parametrize("extra", ENTRIES)
def test_an_extra_lists_what_its_code_imports_and_nothing_else(extra: str) -> None:
    commands = [command.module for command in COMMANDS.values() if command.extras == extra]
    imported = distributions(reached([*ENTRIES[extra], *commands]))
    listed = {Requirement(each).name for each in EXTRAS[extra]}
    assert imported <= needed(EXTRAS[extra]), "not brought by the extra"
    assert listed - SERVERS <= imported, "listed, and imported by none of its code"


def test_the_runner_needs_no_package() -> None:
    assert distributions(reached(["oot_runner", "oot_ops.cli"])) <= distributions(["argcomplete"])


BLOCKED = """
import sys
from importlib.abc import MetaPathFinder
blocked = frozenset(sys.argv[1].split(","))
class NotThese(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in blocked:
            raise ModuleNotFoundError(f"{name} is not in the extra", name=name)
sys.meta_path.insert(0, NotThese())
exec(sys.argv[2])
"""
BUILD_RELAY = "import hud_endpoint.app as app, hud_endpoint.aws_lambda; app.relay()"
BUILD_HUD = (
    "import hud_endpoint.app as app, hud_endpoint.aws_lambda; hud = app.hud(); app._pages(app.load(app.HudSettings))"
)


def runs(code: str, extras: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run code with the packages of these extras only."""
    brought = needed(each for extra in filter(None, extras.split(",")) for each in EXTRAS[extra])
    by_module = packages_distributions()
    blocked = [top for top, names in by_module.items() if not {normalised(name) for name in names} & brought]
    (tmp_path / "allowlist.yaml").write_text("L2:\n  - example-org/torch-sample\n")
    settings = {
        "AWS_DEFAULT_REGION": "us-east-1",
        "INTERNAL_API_TOKEN": "x" * 16,
        "HUD_API_URL": "http://127.0.0.1:9/api/oot/results",
        "HUD_API_TOKEN": "x" * 16,
        "DISPATCH_TOKEN": "x" * 16,
        "CALLBACK_SIGNING_KEY": "x" * 32,
        "ALLOWLIST": str(tmp_path / "allowlist.yaml"),
        "PYTHONPATH": os.environ["PYTHONPATH"],
    }
    return run(sys.executable, "-c", BLOCKED, ",".join(blocked), code, **settings)


@pytest.mark.parametrize(
    ("extra", "code"),
    [("relay", BUILD_RELAY), ("pages", BUILD_HUD), ("replicator", "import oot_replicator.aws_lambda")],
)
def test_an_application_starts_with_the_packages_of_its_extra(extra: str, code: str, tmp_path: Path) -> None:
    ran = runs(code, extra, tmp_path)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if command.extras != "local"])
def test_a_command_is_importable_with_the_packages_of_its_extras(name: str, tmp_path: Path) -> None:
    command = COMMANDS[name]
    ran = runs(f"import {command.module}", command.extras, tmp_path)
    assert ran.returncode == 0, ran.stderr
    if command.extras:
        missing = distributions(reached([command.module])) - needed(
            each for extra in command.extras.split(",") for each in EXTRAS[extra]
        )
        assert not missing
