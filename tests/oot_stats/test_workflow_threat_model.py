"""docs/threat-model.md: every invariant names tests that exist, and its table of rights is the workflows' own."""

from __future__ import annotations

import ast
import re
from functools import cache
from typing import Any

import pytest

from oot_stats.callbacks import matching as deferred_callbacks
from oot_stats.publish import normalised
from tests.oot_stats.test_workflow_rights import RIGHTS
from tests.oot_stats.workflow_jobs import ROOT, load

TEXT = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")


def rows(section: str) -> list[list[str]]:
    (_, body, _) = re.split(rf"<!-- /?{section} -->", TEXT)
    lines = [line for line in body.strip().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


INVARIANTS = rows("invariants")
TESTS = sorted({name for row in INVARIANTS for name in re.findall(r"`(tests/[^`]+)`", row[-1])})


@cache
def known(path: str) -> set[str]:
    """The tests of a file, as pytest calls them."""
    found = set()
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
    return found


@pytest.mark.parametrize("name", TESTS)
def test_a_test_that_holds_an_invariant_exists(name: str) -> None:
    path, _, test = name.partition("::")
    assert test in known(path)


def test_the_invariants_are_numbered_and_each_is_held_by_a_test() -> None:
    assert [row[0] for row in INVARIANTS] == [str(number) for number in range(1, len(INVARIANTS) + 1)]
    for number, told, held in INVARIANTS:
        assert told.endswith("."), number
        assert re.fullmatch(r"`tests/[^`]+`( `tests/[^`]+`)*", held), number


def granted(job: dict[str, Any]) -> list[str]:
    """A job's rights in the table's words."""
    permissions = {**job["permissions"]}
    oidc = permissions.pop("id-token", "none") == "write"
    told = ", ".join(f"{name}: {level}" for name, level in sorted(permissions.items()))
    return [told, "yes" if oidc else "no", "yes" if "environment" in job else "no"]


def test_the_table_of_rights_is_the_workflows() -> None:
    files = {row[0]: {each[1]: each[2:5] for each in rows("rights") if each[0] == row[0]} for row in rows("rights")}
    assert files == {file: {name: granted(load(file)["jobs"][name]) for name in jobs} for file, jobs in RIGHTS.items()}
    opens = {row[1] for row in rows("rights") if row[5].startswith("**")}
    assert opens == {"collect", "read"}
    assert not [row for row in rows("rights") if row[1] in opens and "yes" in row[3:5]]


@pytest.mark.parametrize("page", ["threat-model.md", "upload-test-stats.md"])
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        path, _, anchor = target.partition("#")
        linked = ROOT / "docs" / path if path else ROOT / "docs" / page
        assert linked.exists(), target
        headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
        slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not anchor or anchor in slugs, target


def test_the_page_of_the_workflow_explains_its_codes() -> None:
    page = (ROOT / "docs" / "upload-test-stats.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`([a-z_]+)`", page))
    assert set(normalised.REASONS) <= told
    fetched = {"bad_archive", "too_large", "gone", "download_failed", "bad_redirect", "wrong_digest"}
    assert set(deferred_callbacks.REASONS) | fetched <= told
