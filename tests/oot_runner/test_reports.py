"""Which files the globs name, and what is told of those that cannot be read or are not there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from oot_runner import reports

if TYPE_CHECKING:
    from pathlib import Path

SUITE = '<testsuite name="s"><testcase classname="c" name="{}" time="0.5"/></testsuite>'


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = tmp_path / "wörk [1] späce"
    for name in ("reports/a.xml", "reports/deep/er/b.xml", "reports/deep/c.txt", "other/d [x].xml", "other/skip.xml"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SUITE.format(path.stem), encoding="utf-8")
    return root


def names(patterns: list[str], workspace: Path) -> list[str]:
    return [path.relative_to(workspace).as_posix() for path in reports.find(tuple(patterns), workspace).files]


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (["reports/*.xml"], ["reports/a.xml"]),
        (["reports/**/*.xml"], ["reports/a.xml", "reports/deep/er/b.xml"]),
        (["./reports/**/*.xml", "reports/a.xml"], ["reports/a.xml", "reports/deep/er/b.xml"]),
        (["**/*.xml", "!other/**", "!**/er/*"], ["reports/a.xml"]),
        (["**/*.xml", "!other/**", "other/skip.xml"], ["reports/a.xml", "reports/deep/er/b.xml", "other/skip.xml"]),
        (["other/d [x].xml"], ["other/d [x].xml"]),
        (["reports"], ["reports/a.xml", "reports/deep/er/b.xml"]),
        (["reports/**"], ["reports/a.xml", "reports/deep/c.txt", "reports/deep/er/b.xml"]),
        (["! other/*.xml"], []),
        (["nowhere/*.xml"], []),
    ],
)
def test_globs(workspace: Path, patterns: list[str], found: list[str]) -> None:
    assert names(patterns, workspace) == found


def test_absolute_patterns(workspace: Path) -> None:
    import glob

    absolute = f"{glob.escape(str(workspace))}/reports/*.xml"
    assert names([absolute], workspace) == ["reports/a.xml"]


def test_a_link_counts_its_file_once(workspace: Path) -> None:
    try:
        (workspace / "reports" / "link.xml").symlink_to(workspace / "reports" / "a.xml")
    except OSError:
        pytest.skip("this machine makes no symbolic links")
    assert names(["reports/*.xml"], workspace) == ["reports/a.xml"]


def summarize(patterns: list[str], workspace: Path) -> reports.Summary:
    return reports.summarize(tuple(patterns), workspace, lambda _: None)


def test_reports_are_summed_up(workspace: Path) -> None:
    found = summarize(["**/*.xml"], workspace)
    assert found.report is not None
    assert (found.report["total"], found.report["passed"], found.messages) == (4, 4, [])
    assert {test.name for test in found.slowest} == {"a", "b", "d [x]", "skip"}


def test_an_empty_glob_is_named_with_the_folders_searched(workspace: Path) -> None:
    found = summarize(["reports/*.junit", "build/**/*.xml", "!x"], workspace)
    (message,) = found.messages
    assert (found.report, message.code) == (None, "no_reports")
    assert message.facts["patterns"] == "reports/*.junit, build/**/*.xml, !x"
    assert message.facts["searched"] == f"{workspace / 'reports'} (2 entries), {workspace / 'build'} (does not exist)"


def test_a_file_that_is_no_report_is_named_and_the_others_count(workspace: Path) -> None:
    for number in range(7):
        (workspace / "reports" / f"broken{number}.xml").write_text("<testsuite", encoding="utf-8")
    found = summarize(["reports/*.xml"], workspace)
    assert found.report is not None
    assert (found.report["total"], found.report["files"]) == (1, 1)
    (message,) = found.messages
    assert (message.code, message.facts["rejected"], message.facts["files"]) == ("rejected_reports", 7, 8)
    reasons = str(message.facts["reasons"])
    assert reasons.startswith("reports/broken0.xml: line 1: ")
    assert reasons.endswith("; and 2 more")


def test_no_patterns_are_no_reports(workspace: Path) -> None:
    assert reports.summarize((), workspace, lambda _: None) == (None, [], [])


def test_big_inputs_tell_how_far_they_are(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "BIG_BYTES", 10)
    said: list[str] = []
    reports.summarize(("**/*.xml",), workspace, said.append)
    assert said == ["Reading test reports: 4 files, 0 MB."]


@pytest.mark.timeout(20)  # it takes milliseconds; the standard library's glob never comes back
@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_links_that_lead_round_and_a_tree_that_is_deep(tmp_path: Path) -> None:
    """Tests made the folder: what reports for them must not be kept from it."""
    for name in ("one", "two"):
        (tmp_path / name).symlink_to(".")
    (tmp_path / "a.xml").touch()
    deep = tmp_path.joinpath(*["reports"] * ((3_900 - len(str(tmp_path))) // len("reports/")))
    deep.mkdir(parents=True)
    for number in range(20):
        (deep / f"{number}.txt").touch()
    assert reports.find(("**/*.xml",), tmp_path).files == [tmp_path / "a.xml"]
    assert reports.find(("**/reports/**/reports/**/*.xml",), tmp_path).files == []
