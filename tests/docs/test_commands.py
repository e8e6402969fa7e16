"""Every command that a document tells is one that exists, with flags and values that its program accepts."""

from __future__ import annotations

import importlib.util
import re
from typing import Any

import botocore.session
import pytest
import yaml
from botocore import xform_name

from oot_ops.cli import build_parser, selected
from oot_runner.command_line import overlay
from tests.docs.pages import PAGES, ROOT, commands, lines, programs

OTHERS = {"venv", "pip"}  # Python's own


def without_doubles(found: list[tuple[str, list[str]]]) -> list[Any]:
    """Give each once, under a name that says where it stands."""
    seen = {" ".join(words): pytest.param(words, id=f"{page}: {' '.join(words)}") for page, words in reversed(found)}
    return [seen[told] for told in sorted(seen)]


@pytest.mark.parametrize("words", without_doubles(programs()))
def test_a_program_takes_its_flags(words: list[str]) -> None:
    program, *rest = words
    asked = [word for word in rest if word not in ("--help", "...")]
    if program == "oot-hud":
        name = selected(asked)
        assert name or asked in ([], ["doctor"], ["stats"], ["allowlist"]), f"there is no `{' '.join(words)}`"
        if any(word.startswith("-") for word in asked):  # else it may only be mentioned
            build_parser(name)[0].parse_args(asked)
    elif program.endswith(".py"):
        assert (ROOT / program).is_file()
        overlay(asked, {})
    elif program not in OTHERS:
        assert program.startswith(("oot_local.", "benchmarks")), f"operators call it as oot-hud: {words}"
        assert importlib.util.find_spec(program), f"there is no {program}"


def test_the_commands_are_found() -> None:
    """A pattern that finds nothing would pass for ever."""
    pages = {page for page, _ in programs()}
    assert {"README.md", "docs/operating.md", "docs/onboarding.md", "docs/migrating.md", "docs/capacity.md"} <= pages
    assert len(programs()) > 50


@pytest.mark.parametrize("words", without_doubles(commands("aws")))
def test_aws_takes_its_flags(words: list[str]) -> None:
    _, service, command, *flags = words
    model = botocore.session.get_session().get_service_model(service)
    operations = {xform_name(name, "-"): name for name in model.operation_names}
    assert command in operations, words
    members = {
        xform_name(name, "-"): name
        for name in getattr(model.operation_model(operations[command]).input_shape, "members", {})
    }
    assert {flag.removeprefix("--") for flag in flags if flag.startswith("--")} <= set(members), words


@pytest.mark.parametrize("words", without_doubles(commands("sam")))
def test_sam_takes_the_templates_parameters(words: list[str]) -> None:
    text = re.sub(r"!(\w+)", "", (ROOT / "deploy/template.yaml").read_text())
    known = yaml.safe_load(text)["Parameters"]
    if "--template" not in words:
        return  # only mentioned
    given = [word.partition("=")[0] for word in words if re.match(r"[A-Z]\w+=", word)]
    assert given
    assert set(given) <= set(known)
    needed = {name for name, one in known.items() if "Default" not in one}
    assert needed <= set(given)
    assert (ROOT / words[words.index("--template") + 1]).is_file()


@pytest.mark.parametrize("words", without_doubles(commands("clickhouse-client")))
def test_clickhouse_clients_files_and_parameters_are_there(words: list[str]) -> None:
    sql = (ROOT / words[words.index("--queries-file") + 1]).read_text()
    for word in words:
        if told := re.match(r"--param_(\w+)=", word):
            assert f"{{{told[1]}:String}}" in sql


@pytest.mark.parametrize("words", without_doubles(commands("docker")))
def test_docker_builds_what_is_there(words: list[str]) -> None:
    if words[1] == "build":
        assert (ROOT / words[words.index("--file") + 1]).is_file()
    else:
        assert "oot-hud" in words  # what runs in it is held by tests/deploy/test_docker.py


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_nothing_is_run_that_no_test_knows(page: Any) -> None:
    known = (
        *("make", "python", "python3", "uvicorn", "aws", "sam", "clickhouse-client", "docker", "curl"),
        *("buildkite-agent", "git", "relay", "dispatch", "token", "echo", "gh", "oot-hud"),
    )
    for line in lines(page):
        word = re.split(r"[ =:]", re.sub(r"^(?:[A-Z_]+=\S+ )+", "", line))[0]
        if re.fullmatch(r"[a-z][a-z-]+", word) and " --" in line:
            assert word in known, f"{page.name}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_into_a_page_find_their_heading(page: Any) -> None:
    for target, anchor in re.findall(r"\]\(([^)\s#]*)#([^)\s]+)\)", page.read_text()):
        if target.startswith("https://"):
            continue
        other = (page.parent / target) if target else page
        headings = re.findall(r"^#{1,6} (.+)$", other.read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}
        assert anchor in anchors, f"{page.name}: {target}#{anchor}"
