"""deploy/Dockerfile without docker: its rules as text, and its commands run in a folder that holds what it copies."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
import yaml

from oot_local.processes import Process, answers, reserve_port
from tests.wheel import build, install

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
    return argv


def ignored(path: str) -> bool:
    """Tell whether the file beside the Dockerfile keeps a path out of the build, as docker reads it: the last wins."""
    out = False
    for line in (ROOT / "deploy/Dockerfile.dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if pattern in ("*", path) or path.startswith(f"{pattern}/"):
            out = not line.startswith("!")
    return out


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of the image, installed as its build does: a wheel of what is copied, beside the locked packages."""
    sources = tmp_path_factory.mktemp("build")
    for one in INSTRUCTIONS:
        if one.name == "COPY" and "--from" not in one.told:
            *names, target = one.told.split()
            for name in names:
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, sources / target, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / name, sources / target)
    wheel = build(sources, tmp_path_factory.mktemp("dist"))
    return install(wheel, tmp_path_factory.mktemp("image") / "venv", packages=True)


def environment(programs: Path, **changes: str) -> dict[str, str]:
    """What a container starts with: nothing of ours but the programs."""
    return {"PATH": f"{programs}:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", **changes}


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
    runs = [line for one in INSTRUCTIONS if one.name == "RUN" for line in one.told.split(" && ")]
    assert [line.strip().split("pip ")[1] for line in runs if "pip " in line] == [
        "install --no-deps --require-hashes --only-binary :all: -r requirements.txt",
        "install --no-deps --require-hashes --only-binary :all: -r requirements-build.txt",
        "wheel --no-deps --no-build-isolation --wheel-dir dist .",
        "install --no-deps --no-index dist/*.whl",
    ]
    assert not [one.told for one in LAST_STAGE if one.name == "RUN"]


def test_what_it_copies_is_sent_and_what_it_does_not_is_not() -> None:
    copies = [one.told.split()[:-1] for one in INSTRUCTIONS if one.name == "COPY" and "--from" not in one.told]
    sources = {name for names in copies for name in names}
    assert sources >= {"requirements.txt", "requirements-build.txt", "pyproject.toml", "hud_endpoint", "scripts"}
    assert not [source for source in sources if ignored(source)]
    for path in (".git", ".venv", "tests", "seeds", "requirements-dev.txt", "node_modules", ".local/stack.json"):
        assert ignored(path), path


@pytest.fixture(scope="module")
def served(programs: Path, stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The default command, as it stands in the Dockerfile but for the address; gives its port."""
    port = reserve_port(0, "hud")
    changes = {"0.0.0.0": "127.0.0.1", "8000": str(port)}  # noqa: S104 - what is replaced
    argv = [changes.get(word, word) for word in command("CMD")]
    env = environment(
        programs,
        INTERNAL_API_TOKEN="a-token-of-this-test-only",
        CLICKHOUSE_URL=stack.state["clickhouse_url"],
        AWS_DEFAULT_REGION="us-east-1",
    )
    log = tmp_path_factory.mktemp("log") / "hud.log"
    argv[0] = str(programs / argv[0])
    process = Process("hud", argv, env, log, lambda: answers(f"http://127.0.0.1:{port}/healthz"))
    try:
        process.start()
        process.wait_ready()
        yield port
    finally:
        process.stop()


def healthy(port: int, programs: Path) -> int:
    argv = [word.replace(":8000/", f":{port}/") for word in command("HEALTHCHECK")]
    assert argv != command("HEALTHCHECK")
    argv[0] = str(programs / argv[0])
    ran = subprocess.run(argv, env=environment(programs), stderr=subprocess.DEVNULL, timeout=240, check=False)
    return ran.returncode


def test_the_default_command_serves_and_the_health_check_sees_it(served: int, programs: Path) -> None:
    assert healthy(served, programs) == 0
    assert healthy(reserve_port(0, "nobody"), programs) == 1
    assert answers(f"http://127.0.0.1:{served}/oot")  # templates, styles and queries are in the image


def commands() -> list[str]:
    """What the documents run in a container: everything behind the image's name."""
    text = re.sub(r"\\\n\s*", " ", TEXT.replace("#   ", "") + OPERATING)
    return sorted({match[1].strip() for match in re.finditer(r"docker run .*?oot-hud +([\w].*)", text)})


def test_every_role_has_its_command() -> None:
    told = " ".join(commands())
    for part in ("hud_endpoint.app:relay", "oot-hud replicate", "oot-hud sweep", "oot-hud tables"):
        assert part in told


@pytest.mark.parametrize("documented", commands())
def test_every_documented_command_starts_in_the_image(programs: Path, documented: str) -> None:
    argv = shlex.split(documented)
    if argv[0] == "uvicorn":  # its factory, without the settings it asks for
        arguments, said = [*argv[1:], "--port", str(reserve_port(0, "any"))], "HUD_API_URL: Field required"
    else:
        arguments, said = [*argv[1:], "--help"], "usage: oot-hud "
    done = subprocess.run(
        [str(programs / argv[0]), *arguments],
        env=environment(programs),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert said in done.stdout + done.stderr, done.stderr


def test_the_doctor_has_all_its_parts(programs: Path) -> None:
    """Both of its halves run from the image alone, and say what is wrong with a machine that has nothing set."""
    for half, said in (("backend", "FAIL"), ("operator", "FAIL DynamoDB")):
        done = subprocess.run(
            [str(programs / "oot-hud"), "doctor", half],
            env=environment(programs, CLICKHOUSE_URL="http://127.0.0.1:9", AWS_EC2_METADATA_DISABLED="true"),
            cwd="/",
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert said in done.stdout, done.stderr
        assert "Traceback" not in done.stderr
