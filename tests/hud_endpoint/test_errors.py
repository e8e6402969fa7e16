"""Every code is raised somewhere, and docs/errors.md explains each one with its status."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from hud_endpoint.errors import CODES, RefusedError

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)` \| (\d{3}) \| (.+) \| (.+) \|$", re.MULTILINE)
SOURCES = [path for path in (ROOT / "hud_endpoint").rglob("*.py") if path.name != "errors.py"]


def constants(node: ast.AST) -> set[str]:
    return {one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)}


def test_the_document_explains_every_code_with_its_status() -> None:
    assert {code: int(status) for code, status, *_ in ROW.findall(DOCUMENT)} == CODES


def test_no_code_is_explained_twice() -> None:
    codes = [code for code, *_ in ROW.findall(DOCUMENT)]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("row", ROW.findall(DOCUMENT), ids=lambda row: row[0])
def test_cause_and_remedy_are_sentences(row: tuple[str, str, str, str]) -> None:
    for told in row[2:]:
        assert told[0].isupper() or told[0] == "`", told
        assert told.endswith("."), told


def test_every_code_is_raised_somewhere() -> None:
    used = set().union(*(constants(ast.parse(path.read_text(encoding="utf-8"))) for path in SOURCES))
    assert not CODES.keys() - used


def test_nothing_else_is_raised() -> None:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "RefusedError":
                assert constants(node.args[0]) <= CODES.keys(), f"{path}:{node.lineno}"


def test_links_in_the_document_lead_somewhere() -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", DOCUMENT):
        assert (ROOT / "docs" / link).exists(), link


def test_a_refusal_carries_its_status() -> None:
    error = RefusedError("body_too_large", "why")
    assert (error.code, error.status, error.message, str(error)) == ("body_too_large", 413, "why", "why")
    with pytest.raises(KeyError):
        RefusedError("made_up", "why")
