"""deploy/Dockerfile without docker: its rules as text, and its commands run in a folder that holds what it copies."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
import yaml

from oot_local.processes import READY_SECONDS, Process, free_port
from tests.integration.own_servers import answers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oot_local.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "deploy/Dockerfile").read_text()
OPERATING = (ROOT / "docs/operating.md").read_text()


class Instruction(NamedTuple):
    """One instruction, its lines joined."""

    name: str
    told: str


INSTRUCTIONS = [
    Instruction(*line.split(maxsplit=1))
    for line in re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", TEXT)).splitlines()
    if line.strip()
]
LAST_STAGE = INSTRUCTIONS[max(number for number, one in enumerate(INSTRUCTIONS) if one.name == "FROM") :]


def told(name: str) -> list[str]:
    return [one.told for one in LAST_STAGE if one.name == name]


def command(name: str) -> list[str]:
    """Give a command in exec form: no shell between the signal and the process."""
    (found,) = told(name)
    argv: list[str] = json.loads(found[found.index("[") :])
    return [sys.executable if word == "python" else word for word in argv]


def ignored(path: str) -> bool:
    """Tell whether the file beside the Dockerfile keeps a path out of the build, as docker reads it: the last wins."""
    out = False
    for line in (ROOT / "deploy/Dockerfile.dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if pattern in ("*", path) or path.startswith(f"{pattern}/"):
            out = not line.startswith("!")
    return out


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the image's /app would hold."""
    app = tmp_path_factory.mktemp("image") / "app"
    for source, target in (one.split() for one in told("COPY") if not one.startswith("--")):
        inside = app / Path(target).relative_to("/app")
        shutil.copytree(ROOT / source, inside, ignore=shutil.ignore_patterns("__pycache__"))
    return app


def environment(**changes: str) -> dict[str, str]:
    """What a container starts with: nothing of ours but the packages."""
    venv = Path(sys.executable).parent
    return {"PATH": f"{venv}:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1", **changes}


def test_it_runs_as_nobody() -> None:
    assert told("USER") == ["10001:10001"]
    assert not re.search(r"(?i)\b(token|secret|password|key)\b\s*=", TEXT)


def test_the_base_image_is_named_by_its_digest() -> None:
    stages = {one.told.split(" AS ")[0] for one in INSTRUCTIONS if one.name == "FROM"}
    (image,) = stages  # one Python builds and runs
    assert re.fullmatch(r"python:3\.13-slim@sha256:[0-9a-f]{64}", image)
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
    (docker,) = [update for update in updates if update["package-ecosystem"] == "docker"]
    assert docker["directory"] == "/deploy"


def test_packages_are_those_of_the_lock_file() -> None:
    (install,) = [one.told for one in INSTRUCTIONS if "pip install" in one.told]
    for flag in ("--require-hashes", "--only-binary :all:", "--no-deps", "-r requirements.txt"):
        assert flag in install
    assert not [one.told for one in LAST_STAGE if one.name == "RUN"]


def test_what_it_copies_is_sent_and_what_it_does_not_is_not() -> None:
    sources = [one.told.split()[0] for one in INSTRUCTIONS if one.name == "COPY" and "--from" not in one.told]
    assert sources == ["requirements.txt", "hud_endpoint", "scripts/oot_replicator", "scripts/oot_ops"]
    assert not [source for source in sources if ignored(source)]
    for path in (".git", ".venv", "tests", "seeds", "requirements-dev.txt", "scripts/oot_local", ".local/stack.json"):
        assert ignored(path), path


@pytest.fixture(scope="module")
def served(image: Path, stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The default command, as it stands in the Dockerfile but for the address; gives its port."""
    port = free_port(0, "hud")
    changes = {"0.0.0.0": "127.0.0.1", "8000": str(port)}  # noqa: S104 - what is replaced
    argv = [changes.get(word, word) for word in command("CMD")]
    env = environment(
        INTERNAL_API_TOKEN="a-token-of-this-test-only",
        CLICKHOUSE_URL=stack.state["clickhouse_url"],
        AWS_DEFAULT_REGION="us-east-1",
    )
    log = tmp_path_factory.mktemp("log") / "hud.log"
    process = Process(
        "hud", ["env", "-C", str(image), *argv], env, log, lambda: answers(f"http://127.0.0.1:{port}/healthz")
    )
    try:
        process.start()
        process.wait_ready(time.monotonic() + READY_SECONDS)
        yield port
    finally:
        process.stop()


def healthy(port: int) -> int:
    argv = [word.replace(":8000/", f":{port}/") for word in command("HEALTHCHECK")]
    assert argv != command("HEALTHCHECK")
    return subprocess.run(argv, env=environment(), stderr=subprocess.DEVNULL, timeout=20, check=False).returncode


def test_the_default_command_serves_and_the_health_check_sees_it(served: int) -> None:
    assert healthy(served) == 0
    assert healthy(free_port(0, "nobody")) == 1
    assert answers(f"http://127.0.0.1:{served}/oot")  # templates, styles and queries are in the image


def commands() -> list[str]:
    """What the documents run in a container: everything behind the image's name."""
    text = re.sub(r"\\\n\s*", " ", TEXT.replace("#   ", "") + OPERATING)
    return sorted({match[1].strip() for match in re.finditer(r"docker run .*?oot-hud +([\w].*)", text)})


def test_every_role_has_its_command() -> None:
    told = " ".join(commands())
    for part in ("hud_endpoint.app:relay", "dynamo_to_clickhouse", "oot_ops.sweep", "oot_ops.create_tables"):
        assert part in told


@pytest.mark.parametrize("documented", commands())
def test_every_documented_command_starts_in_the_image(image: Path, documented: str) -> None:
    argv = shlex.split(documented)
    if argv[0] == "uvicorn":  # its factory, without the settings it asks for
        program, said = ["uvicorn", *argv[1:], "--port", str(free_port(0, "any"))], "HUD_API_URL: Field required"
    else:
        program, said = [sys.executable, *argv[1:3], "--help"], "usage: "
    done = subprocess.run(
        program, cwd=image, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert said in done.stdout + done.stderr, done.stderr
