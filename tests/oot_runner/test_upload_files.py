"""What `path` names: a table of patterns over one tree, and what must not be uploaded."""

from __future__ import annotations

import ntpath
import os
import re
from pathlib import PureWindowsPath
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oot_runner import globs
from oot_runner.upload import files
from oot_runner.upload.messages import UploadError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TREE = (
    "top.xml",
    "top.log",
    "reports/a.xml",
    "reports/b.XML",
    "reports/deep/er/c.xml",
    "reports/deep/c.log",
    "reports/wö rld/ü.xml",
    "reports/.hidden.xml",
    ".cache/d.xml",
    "odd [1]/e*.xml",
    "odd 1/f.xml",
)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "work [x] späce"
    for name in TREE:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


def names(workspace: Path, *patterns: str, include_hidden: bool = False) -> list[str]:
    return [file.name for file in files.select(patterns, workspace, include_hidden=include_hidden).files]


VISIBLE = sorted(name for name in TREE if "/." not in name and not name.startswith("."))
PATTERNS = {
    "a file": (["top.xml"], ["top.xml"]),
    "a folder": (["reports/deep"], ["reports/deep/c.log", "reports/deep/er/c.xml"]),
    "a folder with a slash": (["reports/deep/"], ["reports/deep/c.log", "reports/deep/er/c.xml"]),
    "everything": (["."], VISIBLE),
    "everything, by glob": (["**"], VISIBLE),
    "any depth": (["**/*.xml"], [name for name in VISIBLE if name.endswith(".xml")]),
    "below a folder": (["reports/**/*.xml"], ["reports/a.xml", "reports/deep/er/c.xml", "reports/wö rld/ü.xml"]),
    "one level": (["*.xml"], ["top.xml"]),
    "a star takes folders whole": (
        ["reports/d*"],
        ["reports/deep/c.log", "reports/deep/er/c.xml"],
    ),
    "question mark and class": (["t?p.[lx]*"], ["top.log", "top.xml"]),
    "negated class": (["top.[!x]*"], ["top.log"]),
    "several": (["top.log", "reports/*.xml"], ["reports/a.xml", "top.log"]),
    "each once": (["top.xml", "*.xml", "./top.xml"], ["top.xml"]),
    "excluded": (["reports", "!reports/deep"], ["reports/a.xml", "reports/b.XML", "reports/wö rld/ü.xml"]),
    "excluded by glob": (["**", "!**/*.xml"], ["reports/b.XML", "reports/deep/c.log", "top.log"]),
    "excluded and named again": (["**/*.log", "!**", "top.log"], ["top.log"]),
    "brackets as they are": (["odd [1]/e*.xml"], ["odd [1]/e*.xml"]),
    "brackets as a class": (["odd [1]/f.xml"], ["odd 1/f.xml"]),
    "up and down": (["reports/../top.xml"], ["top.xml"]),
    "spelled out though hidden": (["reports/.hidden.xml", ".cache"], [".cache/d.xml", "reports/.hidden.xml"]),
    "nothing": (["nothing/**/*.xml", "no.xml"], []),
}


@pytest.mark.skipif(os.name == "nt", reason="the tree has names that Windows cannot store")
@pytest.mark.parametrize(("patterns", "found"), PATTERNS.values(), ids=PATTERNS)
def test_patterns(workspace: Path, patterns: list[str], found: list[str]) -> None:
    assert names(workspace, *patterns) == sorted(found)


def test_hidden_files_come_when_asked_for(workspace: Path) -> None:
    assert names(workspace, "**", include_hidden=True) == sorted(TREE)
    assert files.select(("**",), workspace, include_hidden=False).hidden == 2


def test_absolute_patterns_inside_and_outside(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.log").write_text("x")
    assert names(workspace, f"{workspace}/top.xml") == ["top.xml"]
    outside = tmp_path.as_posix().lstrip("/")
    assert names(workspace, f"{tmp_path}/else*/*.log") == [f"{outside}/elsewhere/x.log"]


def test_a_pattern_that_is_no_glob_is_told(workspace: Path) -> None:
    with pytest.raises(UploadError, match="is no glob"):
        names(workspace, "reports/[z-a].xml")


def test_where_it_was_searched_is_told(workspace: Path) -> None:
    told = files.select(("reports/*.json", "none/*.x"), workspace, include_hidden=False).searched
    assert f"{workspace}/reports (5 entries)" in told
    assert "none (does not exist)" in told


class TestWindows:
    """The same functions with Windows' own path rules, as far as another system can have them."""

    WORKSPACE = PureWindowsPath("D:\\a\\back [end]")

    @pytest.fixture(autouse=True)
    def _windows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for room in (files, globs):
            monkeypatch.setattr(room, "os", SimpleNamespace(path=ntpath, sep="\\", name="nt"))

    @pytest.mark.parametrize(
        ("pattern", "path", "fits"),
        [
            ("reports/**/*.xml", "D:\\a\\back [end]\\reports\\x y\\A.XML", True),
            ("reports\\*.xml", "d:\\A\\back [end]\\Reports\\a.xml", True),
            ("reports\\*.xml", "D:\\a\\back [end]\\reports\\deep\\a.xml", False),
            ("D:\\a\\back [end]\\logs", "D:\\a\\back [end]\\logs\\x.log", True),
            ("C:/temp/*.log", "C:\\temp\\ü.log", True),
            ("C:/temp/*.log", "D:\\temp\\ü.log", False),
        ],
    )
    def test_patterns(self, pattern: str, path: str, *, fits: bool) -> None:
        workspace: Any = self.WORKSPACE
        absolute = globs.absolute(pattern, workspace)
        assert globs.matcher(absolute, workspace, below=True)(path) is fits

    def test_fixed_parts_and_names(self) -> None:
        workspace: Any = self.WORKSPACE
        for pattern, fixed in (("r/**/*.xml", "D:\\a\\back [end]\\r"), ("C:/t/*.log", "C:\\t"), ("C:/*.log", "C:")):
            assert globs.fixed(globs.absolute(pattern, workspace), workspace) == fixed
        for path, name in (
            ("D:\\a\\back [end]\\r\\ü 1.xml", "r/ü 1.xml"),
            ("d:\\A\\BACK [end]\\r.xml", "r.xml"),
            ("C:\\Temp\\x.log", "C/Temp/x.log"),
            ("\\\\server\\share\\x.log", "server/share/x.log"),
        ):
            assert files._shown(path, str(workspace)) == name


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
class TestLinks:
    def test_links_inside_the_workspace_are_followed_once(self, workspace: Path) -> None:
        (workspace / "latest").symlink_to("reports/deep")
        (workspace / "reports" / "up").symlink_to("..")
        (workspace / "link.xml").symlink_to("top.xml")
        assert "link.xml" in names(workspace, "**/*.xml")
        assert names(workspace, "latest/*.log") == ["latest/c.log"]
        found = names(workspace, "reports")
        assert len(found) == len(set(found))
        assert "reports/deep/c.log" in found

    def test_links_that_leave_it_are_left_out(self, workspace: Path, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.mkdir()
        (secret / "key.xml").write_text("secret")
        (workspace / "out").symlink_to(secret)
        (workspace / "key.xml").symlink_to(secret / "key.xml")
        (workspace / "sneaky.xml").symlink_to("out/key.xml")
        for pattern in ("**/*.xml", "out", "out/*.xml", "out/key.xml"):
            selection = files.select((pattern,), workspace, include_hidden=False)
            assert not [file for file in selection.files if "secret" in file.real], pattern
            assert {skip.reason for skip in selection.skipped} == {"a link that leads out of the workspace"}, pattern

    def test_a_file_that_is_swapped_for_a_link_is_not_read(self, workspace: Path, tmp_path: Path) -> None:
        (tmp_path / "secret.xml").write_text("secret")
        (file,) = files.select(("top.xml",), workspace, include_hidden=False).files
        for swap in (os.symlink, os.link):
            (workspace / "top.xml").unlink()
            swap(tmp_path / "secret.xml", workspace / "top.xml")
            with pytest.raises(OSError, match=r"another file|symbolic link"):
                file.open()

    def test_a_thousand_folders_deep_and_links_everywhere(self, workspace: Path) -> None:
        folder = workspace / "d"
        for _ in range(600):
            folder = folder / "d"
        folder.mkdir(parents=True)
        for number in range(8):
            (workspace / f"n{number}").mkdir()
            for other in range(8):
                (workspace / f"n{number}" / f"to{other}").symlink_to(f"../n{other}")
            (workspace / f"n{number}" / "x.xml").write_text("x")
        found = names(workspace, "n*/**/*.xml")
        assert {f"n{number}/x.xml" for number in range(8)} <= set(found)
        assert len(found) <= 16


def test_what_cannot_be_read_is_left_out(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def refusing(path: str, *given: Any) -> Any:
            if path.endswith(name):
                raise PermissionError(13, "Permission denied")
            return call(path, *given)

        return refusing

    # Root, as which tests may run, can read everything: so the calls refuse.
    monkeypatch.setattr(os, "open", refuse(os.open, "top.xml"))
    monkeypatch.setattr(os, "scandir", refuse(os.scandir, "deep"))
    selection = files.select(("**",), workspace, include_hidden=False)
    assert selection.skipped == [
        ("reports/deep", "a folder that cannot be read"),
        ("top.xml", "it cannot be read (Permission denied)"),
    ]
    assert "top.log" in [file.name for file in selection.files]


@pytest.mark.parametrize(
    ("name", "content", "secret"),
    [
        (".env", "", True),
        ("a/.env.production", "", True),
        (".env.example", "", False),
        ("certs/server.PEM", "", True),
        ("id_ed25519", "", True),
        ("id_ed25519.pub", "", False),
        ("home/.aws/credentials", "", True),
        ("home/.docker/config.json", "", True),
        ("config.json", "", False),
        ("environment.log", "", False),
        ("keys.xml", "", False),
        ("x/.git/config", "[remote]\n url = https://github.com/o/r\n", False),
        ("x/.git/config", "[http]\n extraheader = AUTHORIZATION: basic eDp5\n", True),
        ("x/.git/config", "[remote]\n url = https://user:pass@example.org/o/r\n", True),
        ("x/.git/config", "[remote]\n url = https://ghp_abc@github.com/o/r\n", True),
        ("x/.git/modules/sub/config", "[remote]\n url = https://user:pass@example.org/o/r\n", True),
        ("x/config", "[remote]\n url = https://user:pass@example.org/o/r\n", False),
    ],
)
def test_what_looks_like_a_secret(tmp_path: Path, name: str, content: str, *, secret: bool) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    (file,) = files.select((name,), tmp_path, include_hidden=True).files
    assert files.looks_secret(file) is secret


@given(st.lists(st.sampled_from("ab"), max_size=7), st.lists(st.sampled_from(["a", "b", "?", None]), max_size=6))
def test_a_pattern_is_the_beginning_of_what_it_names(names: list[str], parts: list[str | None]) -> None:
    """The law, as one regular expression has it: with its backtracking it is too slow for a hostile tree."""
    whole = "".join("(?:/[^/]+)*" if part is None else f"/{part.replace('?', '.')}" for part in parts)
    law = re.fullmatch(f"{whole}(?:/.*)?", "".join(f"/{name}" for name in names)) is not None
    told = [None if part is None else re.compile(part.replace("?", ".")) for part in parts]
    assert globs._fits(names, [*told, None]) is law
    exact = re.fullmatch(whole, "".join(f"/{name}" for name in names)) is not None
    assert globs._fits(names, told) is exact


@pytest.mark.timeout(20)  # it takes milliseconds; a matcher that backtracks takes minutes
def test_a_tree_that_tests_made_deep_costs_no_more(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["reports"] * ((3_900 - len(str(tmp_path))) // len("reports/")))
    deep.mkdir(parents=True)
    for number in range(20):
        (deep / f"{number}.txt").touch()
    assert names(tmp_path, "**/reports/**/reports/**/*.xml") == []
    assert len(names(tmp_path, "**/reports/**/reports/**/*.txt")) == 20
