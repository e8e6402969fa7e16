"""What reaches the runner: commands of ours, and never one of a test's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oot_runner.workflow_commands import Runner, annotation, harmless, plain

if TYPE_CHECKING:
    from pathlib import Path

PIECES = [
    "::",
    "##[",
    ":",
    "#",
    "[",
    "]",
    "%",
    "\r",
    "\n",
    "\t",
    " ",
    "a",
    "\x1b",
    "\u2028",
    "\u0085",
    "\ud800",
    "`",
    ",",
]
HOSTILE = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


def is_command(line: str) -> bool:
    """As the runner finds them: ActionCommand.TryParseV2 and TryParse in actions/runner."""
    return line.lstrip().startswith("::") or "##[" in line


@given(HOSTILE)
@example(" \t::error::x")
@example("a\n ::error::x")
@example("a##[error]x")
def test_no_line_of_the_log_is_a_command(text: str) -> None:
    assert not any(is_command(line) for line in harmless(text).splitlines())


@given(HOSTILE)
def test_an_annotation_is_one_command_of_its_own_kind(text: str) -> None:
    lines = annotation("error", text, title=text, file=text, line=3).splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("::error ")
    head, _, data = lines[0][2:].partition("::")
    assert head.count(",") <= 2
    assert "##[" not in data
    assert "::" not in head


def test_an_annotation_says_it_all() -> None:
    made = annotation("warning", "50% of a, b\nc: d", title="a: b, c", file="", line=None)
    assert made == "::warning title=a%3A b%2C c::50%25 of a, b%0Ac: d"
    assert len(annotation("error", "é" * 10_000)) < 5000


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("nul\0bell\a", "nulbell"),
        ("\u202eevil\u2066", "evil"),
        ("tab\tünï", "tab\tünï"),
        ("\ud800", "?"),
    ],
)
def test_plain(text: str, shown: str) -> None:
    assert plain(text) == shown


@pytest.fixture
def github(tmp_path: Path) -> dict[str, str]:
    files = {"GITHUB_OUTPUT": str(tmp_path / "öutput"), "GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}
    return {"GITHUB_ACTIONS": "true", **files}


def test_no_output_sets_another(github: dict[str, str], tmp_path: Path) -> None:
    Runner(github).set_outputs({"outcome": "delivered\nEOF\noutcome=failed", "hud-url": ""})
    first, *lines = (tmp_path / "öutput").read_text(encoding="utf-8").splitlines()
    name, _, delimiter = first.partition("<<")
    assert (name, lines[:4]) == ("outcome", ["delivered", "EOF", "outcome=failed", delimiter])
    assert len(delimiter) > 30
    Runner(github).set_outputs({"outcome": "x"})
    assert (tmp_path / "öutput").read_text(encoding="utf-8").count(delimiter) == 4, "a delimiter was used again"


def test_summaries_add_up(github: dict[str, str], tmp_path: Path) -> None:
    Runner(github).add_summary("ünï\n")
    Runner(github).add_summary("two\n")
    assert (tmp_path / "summary").read_text(encoding="utf-8") == "ünï\ntwo\n"


def test_a_secret_is_masked_before_anything_else(github: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    Runner(github).mask("a%b")
    Runner(github).mask("")
    assert capsys.readouterr().out == "::add-mask::a%25b\n"


def test_elsewhere_nothing_is_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    runner = Runner({})
    runner.mask("secret")
    runner.annotate("error", "It is so.\nDo this.", title="Title")
    runner.say("said")
    runner.set_outputs({"a": "b"})
    runner.add_summary("c")
    assert capsys.readouterr() == ("said\n", "error: Title: It is so.\nDo this.\n")
