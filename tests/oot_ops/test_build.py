"""What a release publishes: the Lambda zip is the same bytes each time and runs, the tag tells the truth."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from hud_endpoint import __version__
from oot_ops.build_lambda import LEFT_OUT, ROOT, BuildError, build, requirements, write_zip
from oot_ops.build_release import check_tag, notes, write_checksums, write_source

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
MACHINE = "arm64" if os.uname().machine == "aarch64" else "x86_64"
HANDLERS = (
    "hud_endpoint.aws_lambda",
    "oot_replicator.aws_lambda",
    "oot_replicator.s3_to_clickhouse",
    "oot_replicator.verify",
)
CHANGELOG = (
    "# Changelog\n\n## [Unreleased]\n\n- soon\n\n## [1.2.3] - 2026-11-01\n\n- this\n\n"
    "## [1.2.2]\n\n- that\n\n[1.2.3]: x\n"
)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("lambda") / "oot-hud.zip"
    build(target, architecture=MACHINE, python=PYTHON)
    return target


def test_the_zip_holds_what_the_functions_need_and_no_more(archive: Path) -> None:
    names = zipfile.ZipFile(archive).namelist()
    assert {name.split("/")[0] for name in names} >= {"hud_endpoint", "oot_replicator", "fastapi", "mangum", "pydantic"}
    assert not {name.split("/")[0] for name in names} & {"boto3", "botocore", "uvicorn", "uvloop", "github", "tests"}
    assert not [name for name in names if name.endswith(".pyc") or name.startswith("oot_local")]
    assert archive.stat().st_size < 20e6
    assert sum(info.file_size for info in zipfile.ZipFile(archive).infolist()) < 250e6  # Lambda's limit, unzipped


def test_it_is_the_same_bytes_again(archive: Path, tmp_path: Path) -> None:
    build(tmp_path / "again.zip", architecture=MACHINE, python=PYTHON)
    assert (tmp_path / "again.zip").read_bytes() == archive.read_bytes()


@pytest.mark.parametrize("module", HANDLERS)
def test_each_handler_is_importable_from_the_zip_and_lambdas_own_packages(
    archive: Path, tmp_path: Path, module: str
) -> None:
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(tmp_path / "task")  # noqa: S202 - our own archive
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    for name in ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six"):
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        origin = Path(spec.origin)
        source = origin if name == "six" else origin.parent
        (runtime / source.name).symlink_to(source)
    code = f"import sys; sys.path[:0] = {[str(tmp_path / 'task'), str(runtime)]!r}; import {module}"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_kept_requirement_keeps_its_hash() -> None:
    kept = requirements((ROOT / "requirements.txt").read_text())
    names = [line.split("==")[0] for line in kept.splitlines() if "==" in line and not line.startswith(" ")]
    assert not set(names) & LEFT_OUT
    assert {"fastapi", "cryptography", "clickhouse-connect"} <= set(names)
    assert len(re.findall(r"^[a-z0-9][^\n]*\\\n    --hash=sha256:", kept, re.MULTILINE)) == len(names)


def test_what_is_left_out_is_locked_elsewhere() -> None:
    """A renamed package must not slip in under its new name unnoticed."""
    lock = (ROOT / "requirements.txt").read_text()
    assert [name for name in LEFT_OUT if f"\n{name}==" not in lock] == []


def test_a_zip_does_not_depend_on_the_files_times_or_their_order(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    write_zip(tmp_path / "1.zip", {"a": tmp_path / "a", "b": tmp_path / "b"})
    os.utime(tmp_path / "a", (1, 1))
    write_zip(tmp_path / "2.zip", {"b": tmp_path / "b", "a": tmp_path / "a"})
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()


def test_an_unknown_python_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"could not install the packages for Python 3\.2 on"):
        build(tmp_path / "x.zip", python="3.2")


@pytest.mark.parametrize(
    ("tag", "told"),
    [
        ("1.2.3", "not a release's tag"),
        ("v1.2", "not a release's tag"),
        ("v1.2.3; rm -rf", "not a release's tag"),
        ("v1.2.4", r"__version__ is 1.2.3"),
    ],
)
def test_a_tag_that_is_not_the_projects_version_is_refused(tag: str, told: str) -> None:
    with pytest.raises(BuildError, match=told):
        check_tag(tag, "1.2.3", CHANGELOG)


def test_a_version_without_a_changelog_is_refused() -> None:
    with pytest.raises(BuildError, match=r"no section `## \[1\.2\.3\]`"):
        check_tag("v1.2.3", "1.2.3", "# Changelog\n\n## [Unreleased]\n\n- soon\n")


def test_the_notes_are_the_versions_own_section() -> None:
    assert check_tag("v1.2.3", "1.2.3", CHANGELOG) == "1.2.3"
    assert notes("1.2.3", CHANGELOG) == "- this\n"
    assert notes("1.2.2", CHANGELOG) == "- that\n"
    assert notes("1.2", CHANGELOG) == ""


def test_the_changelog_has_this_version() -> None:
    assert notes(__version__, (ROOT / "CHANGELOG.md").read_text())


def test_the_source_archive_is_the_commit_the_same_each_time(tmp_path: Path) -> None:
    for name in ("a.tar.gz", "b.tar.gz"):
        write_source(tmp_path / name, "oot-hud-trial")
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()
    with tarfile.open(tmp_path / "a.tar.gz") as source:
        assert "oot-hud-trial/actions/report-result/action.yml" in source.getnames()


def test_checksums_are_what_sha256sum_checks(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"a")
    (tmp_path / "sbom.cdx.json").write_bytes(b"{}")
    write_checksums(tmp_path)
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=tmp_path, check=True, capture_output=True)
