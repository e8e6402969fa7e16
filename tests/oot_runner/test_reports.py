"""Which files the globs name, and what is told of those that cannot be read or are not there."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from oot_runner import reports

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


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("a.xml,b.xml", "it holds a comma"),
        ("reports/{a,b}.xml", "braces are not expanded"),
        ("$OUT/*.xml", "variables are not expanded"),
        ("${OUT}/*.xml", "variables are not expanded"),
        ("%OUT%/*.xml", "variables are not expanded"),
        ("'reports/*.xml'", "it is in quotes"),
        ("file:///reports/a.xml", "it is an address"),
        ("other/a.xml other/b.xml", "it holds a blank"),
        (r"nowhere/.*\.xml", "it holds a backslash"),
        pytest.param(
            r"reports\*.xml", "it holds a backslash", marks=pytest.mark.skipif(os.sep != "/", reason="right there")
        ),
        ("nowhere/.*.xml", "it looks like a regular expression"),
    ],
)
def test_a_pattern_that_names_nothing_says_what_may_be_wrong(workspace: Path, pattern: str, why: str) -> None:
    messages = {
        message.code: str(message.facts) for message in summarize([pattern, "reports/*.xml"], workspace).messages
    }
    assert why in messages["odd_pattern"]
    assert set(messages) == {"odd_pattern"}
    assert {message.code for message in summarize([pattern], workspace).messages} == {"no_reports", "odd_pattern"}


def test_a_pattern_that_only_looks_odd_is_none(workspace: Path) -> None:
    (workspace / "reports" / "a, $b {c,d}.xml").write_text(SUITE.format("t"), encoding="utf-8")
    assert summarize(["reports/a, $b {c,d}.xml", "nowhere/*.xml"], workspace).messages == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are none on Windows")
@pytest.mark.timeout(20)
def test_what_is_no_file_costs_its_counts_alone(workspace: Path) -> None:
    os.mkfifo(workspace / "reports" / "pipe.xml")
    (workspace / "reports" / "dead.xml").symlink_to("nowhere.xml")
    found = summarize(["reports/*.xml"], workspace)
    assert found.report is not None
    assert found.report["total"] == 1
    (message,) = found.messages
    assert message.facts["reasons"] == (
        "reports/dead.xml: it is a link to nothing; reports/pipe.xml: it is not a regular file"
    )
    alone = summarize(["reports/pipe.xml"], workspace)
    assert [message.code for message in alone.messages] == ["rejected_reports"]


UNREADABLE = """
import os, sys
from pathlib import Path
from oot_runner import junit, reports
os.seteuid(65534)
found = reports.summarize(("**/*.xml", "secret/x.xml"), Path(sys.argv[1]), print)
print(found.report["total"], found.messages[0].facts["reasons"])
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else")
def test_what_a_container_s_root_wrote_costs_its_counts_alone() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        root = Path(name)
        root.chmod(0o755)
        for path in ("a.xml", "secret/x.xml", "b.xml"):
            (root / path).parent.mkdir(exist_ok=True)
            (root / path).write_text(SUITE.format("t"), encoding="utf-8")
        (root / "secret").chmod(0o700)
        (root / "b.xml").chmod(0o600)
        done = subprocess.run(
            [sys.executable, "-c", UNREADABLE, name], capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": str(Path(reports.__file__).parents[1])},
        )  # fmt: skip
    assert done.stdout.strip() == (
        "1 secret: the folder cannot be read: let the job's user read what its containers write; "
        "b.xml: the file cannot be read: Permission denied"
    ), done.stderr


@pytest.mark.parametrize(
    ("content", "codes"),
    [
        ("<testsuites><testsuite/><testsuite/></testsuites>", ["no_tests"]),
        ('<testsuite tests="0"/>', ["no_tests"]),
        ('<testsuite tests="3"/>', []),
        ("<testsuite><testcase><skipped/></testcase></testsuite>", []),
        ("<testsuite", ["rejected_reports"]),
    ],
)
def test_reports_without_a_test_are_told_in_a_job_that_succeeded(
    tmp_path: Path, content: str, codes: list[str]
) -> None:
    (tmp_path / "a.xml").write_text(content, encoding="utf-8")
    for succeeded in (True, False):
        found = reports.summarize(("*.xml",), tmp_path, lambda _: None, succeeded=succeeded)
        expected = codes if succeeded else [code for code in codes if code != "no_tests"]
        assert [message.code for message in found.messages] == expected


def test_unknown_words_and_stated_numbers_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(
        '<testsuite name="s" tests="9"><testcase name="t" status="exploded"/></testsuite>', encoding="utf-8"
    )
    found = reports.summarize(("*.xml",), tmp_path, lambda _: None)
    assert found.report is not None
    assert (found.report["total"], found.report["passed"], found.report["skipped"]) == (9, 8, 1)
    assert [(message.code, message.facts) for message in found.messages] == [
        ("unknown_status", {"words": "exploded"}),
        ("stated_beyond_cases", {"remarks": "a.xml: s states 9 tests and holds 1"}),
    ]


FAILED = '<testsuite tests="1"><testcase name="t"><failure/></testcase></testsuite>'
PASSED = '<testsuite tests="1"><testcase name="t"/></testsuite>'


@pytest.mark.parametrize(
    ("attempts", "last"),
    [
        (["ops/test_attempts/attempt_1.xml"], "ops/test.xml"),
        (["ops/shard_1_of_2/test_attempts/attempt_1.xml", "ops/shard_1_of_2/test_attempts/attempt_2.xml"],
         "ops/shard_1_of_2/test.xml"),
        (["ops/test_attempts/attempt_1.xml"], "ops/test_attempts/attempt_2.xml"),
        (["attempt-1/junit.xml", "attempt-2/junit.xml"], "attempt-10/junit.xml"),
        (["TEST-a.attempt-1.xml"], "TEST-a.xml"),
        (["junit_attempt1.xml"], "junit_attempt2.xml"),
    ],
)  # fmt: skip
def test_earlier_attempts_make_a_test_flaky_and_count_no_more(tmp_path: Path, attempts: list[str], last: str) -> None:
    for name, content in [*((name, FAILED) for name in attempts), (last, PASSED)]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    found = reports.summarize(("**/*.xml",), tmp_path, lambda _: None)
    assert found.report is not None
    assert [found.report[key] for key in ("files", "total", "passed", "failed", "flaky")] == [1, 1, 1, 0, 1]


@pytest.mark.parametrize(
    "names", [["a/attempt_1.xml", "b/attempt_2.xml"], ["x-attempt-1.xml", "y.xml"], ["test_attempts/attempt_1.xml"]]
)
def test_what_has_no_later_attempt_counts(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(FAILED, encoding="utf-8")
    found = reports.summarize(("**/*.xml",), tmp_path, lambda _: None)
    assert found.report is not None
    assert (found.report["total"], found.report["failed"]) == (len(names), len(names))
