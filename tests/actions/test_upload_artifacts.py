"""The real action.yml of upload-artifacts, executed step by step; GitHub's own artifact step is played and checked."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from oot_local.actions.job import Job
from oot_local.actions.parser import ActionParser
from tests.actions.stand_in_artifacts import USES, Artifacts, members
from tests.oot_runner.test_report_result import find_python

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from oot_local.actions.results import StepResult

ACTION = Path(__file__).parents[2] / "actions" / "upload-artifacts"
MANIFEST = "oot-hud-manifest.json"
NAME = "test-reports-runattempt1-test_987"


@pytest.fixture
def artifacts() -> Artifacts:
    return Artifacts()


@pytest.fixture(scope="module")
def parser() -> Iterator[ActionParser]:
    with ActionParser() as parser:
        yield parser


MakeJob: TypeAlias = "Callable[..., Job]"


@pytest.fixture
def make_job(tmp_path: Path, parser: ActionParser, artifacts: Artifacts) -> MakeJob:
    def make(*, github: dict[str, Any] | None = None, job: dict[str, Any] | None = None, **given: Any) -> Job:
        workspace = tmp_path / "wörk späce" / "backend"
        workspace.mkdir(parents=True, exist_ok=True)
        return Job(
            workspace,
            tmp_path / "témp",
            github={"run_id": "240", "repository": "example/backend", **(github or {})},
            job={"check_run_id": 987, **(job or {})},
            parser=parser,
            uses_handlers={USES: artifacts},
            **given,
        )

    return make


def upload(job: Job, **inputs: str) -> StepResult:
    return job.run_action(ACTION, {name.replace("_", "-"): text for name, text in inputs.items()})


def write(job: Job, name: str, text: str = "<testsuite/>") -> Path:
    path = job.workspace / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def titles(result: StepResult) -> list[tuple[str, str]]:
    """Give our annotations; the runner's own, of steps that failed, have no title."""
    return [(each.level, each.title) for each in result.annotations if each.title]


def test_files_go_to_github_with_their_manifest(make_job: MakeJob, artifacts: Artifacts) -> None:
    job = make_job(matrix={"device": "npu", "python": 3.11})
    write(job, "reports/a b/ünï.xml")
    write(job, "reports/empty.xml", "")
    result = upload(job, path="reports/**/*.xml", retention_days="7", compression_level="9")

    name = "test-reports-runattempt1-test (npu, 3.11)_987"
    (call,) = artifacts.calls
    assert (call["name"], call["retention-days"], call["compression-level"]) == (name, "7", "9")
    held = members(artifacts.zips[name])
    manifest = json.loads(held.pop(MANIFEST))
    assert held == {"reports/a b/ünï.xml": b"<testsuite/>", "reports/empty.xml": b""}
    assert manifest == {
        "schema_version": "1",
        "repo": "example/backend",
        "workflow_run_id": "240",
        "workflow_run_attempt": "1",
        "job": "test (npu, 3.11)",
        "job_id": "987",
        "matrix": {"device": "npu", "python": 3.11},
        "kind": "test-reports",
        "name": name,
        "files": [
            {"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for path, data in held.items()
        ],
        "skipped": [],
        "skipped_total": 0,
    }
    url = "https://github.com/example/backend/actions/runs/240/artifacts/1001"
    assert result.outputs == {
        "outcome": "uploaded",
        "artifact-url": url,
        "destination": "github",
        "name": name,
        "files": "2",
        "bytes": "12",
        "sha256": hashlib.sha256(artifacts.zips[name]).hexdigest(),
        "manifest": result.outputs["manifest"],
    }
    assert json.loads(Path(result.outputs["manifest"]).read_bytes()) == manifest
    assert (result.conclusion, titles(result)) == ("success", [])
    assert f"[2 files, 12 bytes]({url}) in GitHub's artifacts (the link needs a GitHub login)" in result.summary
    assert job.env["OOT_HUD_ARTIFACT_URL"] == url
    assert not list(job.temp.glob("oot-hud-artifact-*"))  # the copies are gone


def test_a_manifest_never_enters_a_test_jsons_archive(make_job: MakeJob, artifacts: Artifacts) -> None:
    job = make_job()
    write(job, "times.json", "{}")
    result = upload(job, path="*.json", kind="test-jsons")
    name = "test-jsons-runattempt1-test_987"
    assert members(artifacts.zips[name]) == {"times.json": b"{}"}
    (beside,) = members(artifacts.zips[f"manifest-{name}"]).items()
    assert beside[0] == MANIFEST
    assert [file["path"] for file in json.loads(beside[1])["files"]] == ["times.json"]
    assert (result.outputs["name"], result.outputs["outcome"]) == (name, "uploaded")


def test_legs_attempts_and_steps_never_clash(make_job: MakeJob, artifacts: Artifacts) -> None:
    for attempt, device in (("1", "npu"), ("2", "npu"), ("1", "x/pu"), ("1", "x:pu")):
        # Without GitHub's id of the job, the names alone have to differ.
        job = make_job(github={"run_attempt": attempt}, matrix={"d": device}, job={"check_run_id": None})
        write(job, "a.xml")
        for _twice in range(2 if device == "npu" else 1):
            assert upload(job, path="a.xml").outputs["outcome"] == "uploaded"
    assert sorted(artifacts.zips) == [
        "test-reports-runattempt1-test (npu)-2_run240",
        "test-reports-runattempt1-test (npu)_run240",
        "test-reports-runattempt1-test (x_pu)~018d787b_run240",
        "test-reports-runattempt1-test (x_pu)~3678ebb1_run240",
        "test-reports-runattempt2-test (npu)-2_run240",
        "test-reports-runattempt2-test (npu)_run240",
    ]


def test_runners_without_check_run_id(make_job: MakeJob, artifacts: Artifacts) -> None:
    job = make_job(job={"check_run_id": None})
    write(job, "a.xml")
    assert upload(job, path="a.xml").outputs["name"] == "test-reports-runattempt1-test_run240"


def test_the_link_of_logs_is_what_report_result_gets(make_job: MakeJob) -> None:
    job = make_job()
    write(job, "a.xml")
    links = [upload(job, path="a.xml", kind=kind).outputs["artifact-url"] for kind in ("debug", "logs", "test-reports")]
    assert job.env["OOT_HUD_ARTIFACT_URL"] == links[1]


@dataclass(frozen=True)
class Situation:
    """What a job meets, and what must come of it; `told` are the titles by level, in order."""

    inputs: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=lambda: {"a.xml": "<testsuite/>"})
    github: dict[str, Any] = field(default_factory=dict)
    refuses: str = "(?!)"
    outcome: str = "uploaded"
    told: tuple[tuple[str, str], ...] = ()
    held: frozenset[str] | None = None
    fails: bool = False


NOTHING = ("warning", "There is nothing to upload")
BAD_INPUT = ("error", "An input of upload-artifacts is wrong")
SITUATIONS: dict[str, Situation] = {
    "uploaded": Situation(held=frozenset({"a.xml"})),
    "nothing there": Situation(files={}, outcome="nothing", told=(NOTHING,)),
    "nothing there, ignored": Situation({"if-no-files-found": "ignore"}, {}, outcome="nothing"),
    "nothing there, an error": Situation(
        {"if-no-files-found": "error"},
        {},
        outcome="nothing",
        told=(("error", "There is nothing to upload"),),
        fails=True,
    ),
    "only hidden files": Situation(files={".cache/a.xml": ""}, outcome="nothing", told=(NOTHING,)),
    "hidden files, wanted": Situation(
        {"include-hidden": "true"}, {".cache/a.xml": ""}, held=frozenset({".cache/a.xml"})
    ),
    "GitHub is down": Situation(refuses="", outcome="failed", told=(("error", "GitHub did not take the artifact"),)),
    "GitHub is down, and it matters": Situation(
        {"fail-on-error": "true"},
        refuses="",
        outcome="failed",
        told=(("error", "GitHub did not take the artifact"),),
        fails=True,
    ),
    "GitHub refuses the manifest beside": Situation(
        {"kind": "test-jsons"}, refuses="manifest-", told=(("warning", "The manifest was not stored"),)
    ),
    "an unknown destination": Situation({"destination": "ftp"}, outcome="failed", told=(BAD_INPUT,)),
    "an unknown destination, and it matters": Situation(
        {"destination": "ftp", "fail-on-error": "true"}, outcome="failed", told=(BAD_INPUT,), fails=True
    ),
    "S3 without a bucket": Situation({"destination": "s3"}, outcome="failed", told=(BAD_INPUT,)),
    "GitHub Enterprise Server": Situation(
        github={"server_url": "https://github.example.com"},
        outcome="failed",
        told=(("error", "GitHub Enterprise Server has no place for these artifacts"),),
    ),
    "too large": Situation(
        {"max-size": "10 B"}, outcome="failed", told=(("error", "The files are larger than max-size"),)
    ),
    "a secret": Situation(
        files={"a.xml": "", "certs/server.pem": "x"},
        told=(("warning", "Some files look like secrets"),),
        held=frozenset({"a.xml", "certs/server.pem"}),
    ),
    "names that GitHub and Windows refuse": Situation(
        files={'TEST-a::b?<"x">.xml': "1", "nul.xml": "2"},
        told=(("notice", "Some files have another name in the archive"),),
        held=frozenset({"TEST-a__b___x__~0658a92e.xml", "_nul~7092b869.xml"}),
    ),
    "a name of one's own": Situation({"name": "my: reports"}, held=frozenset({"a.xml"})),
}


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS)
def test_situations(make_job: MakeJob, artifacts: Artifacts, situation: Situation) -> None:
    artifacts.refuses = situation.refuses
    job = make_job(github=situation.github)
    for name, text in situation.files.items():
        write(job, name, text)
    result = job.run_action(ACTION, {"path": "**", **situation.inputs})
    assert (result.outputs["outcome"], titles(result)) == (situation.outcome, list(situation.told)), result.log
    assert (job.status == "failure") is situation.fails
    if situation.held is not None:
        (data,) = artifacts.zips.values()
        assert set(members(data)) == situation.held | {MANIFEST}
    for _, title in situation.told:
        assert title in result.summary
    assert ("OOT_HUD_ARTIFACT_URL" in job.env) is (situation.outcome == "uploaded")


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX") or os.name == "nt", reason="sockets and links are a Unix matter")
def test_what_must_not_be_uploaded_is_left_out_by_name(make_job: MakeJob, artifacts: Artifacts, tmp_path: Path) -> None:
    job = make_job()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key.xml").write_text("secret")
    write(job, "r/good.xml")
    (job.workspace / "r/inside.xml").symlink_to("good.xml")
    (job.workspace / "r/outside.xml").symlink_to(tmp_path / "secret" / "key.xml")
    (job.workspace / "r/folder").symlink_to(tmp_path / "secret")
    (job.workspace / "r/nowhere.xml").symlink_to("nothing")
    (job.workspace / "r/loop.xml").symlink_to("loop.xml")
    os.mkfifo(job.workspace / "r/pipe.xml")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(job.workspace / "r")
        server.bind("socket.xml")
        os.chdir(here)
    result = upload(job, path="r")
    held = members(artifacts.zips[NAME])
    manifest = json.loads(held.pop(MANIFEST))
    assert held == {"r/good.xml": b"<testsuite/>", "r/inside.xml": b"<testsuite/>"}
    assert {(each["path"], each["reason"]) for each in manifest["skipped"]} == {
        ("r/outside.xml", "a link that leads out of the workspace"),
        ("r/folder", "a link that leads out of the workspace"),
        ("r/nowhere.xml", "a link that leads nowhere"),
        ("r/loop.xml", "a link that leads nowhere"),
        ("r/pipe.xml", "a named pipe"),
        ("r/socket.xml", "a socket"),
    }
    assert titles(result) == [("warning", "Some files were left out")]
    assert "r/outside.xml" in result.annotations[0].message


def test_hostile_names_stay_text(make_job: MakeJob, artifacts: Artifacts) -> None:
    job = make_job(github={"job": "$(touch pwned)`touch pwned`"}, matrix={"x": "<img src=x>\n::error::no"})
    write(job, "r/::set-output name=outcome::no\n::error::no`$(touch pwned) <img src=x>.pem", "x")
    result = upload(job, path="r")
    assert result.outputs["outcome"] == "uploaded", result.log
    assert not list(job.workspace.rglob("pwned"))
    assert [level for level, _ in titles(result)] == ["warning", "notice"]
    assert len(result.annotations) == 2
    for line in result.summary.split("\n"):
        assert "<img" not in re.sub(r"(`+)[^`].*?\1", "", line), line


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A folder for PATH with the shell's tools and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("sh", "env"):
        found = shutil.which(tool)
        assert found
        (folder / tool).symlink_to(found)
    return folder


def script(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


@pytest.mark.skipif(os.name == "nt", reason="PATH is emptied with symbolic links")
@pytest.mark.parametrize("fails", [False, True])
def test_a_machine_without_python_is_told_what_to_do(make_job: MakeJob, bare_path: Path, *, fails: bool) -> None:
    script(bare_path, "python3", "exit 1  # a Python 3.6 says so to the check")
    job = make_job(env={"PATH": str(bare_path)})
    result = upload(job, path="**", fail_on_error=str(fails).lower())
    assert (job.status == "failure") is fails
    assert result.outputs["outcome"] == "failed"
    assert titles(result) == [("error", "upload-artifacts found no Python")]
    assert "actions/setup-python" in result.summary


@pytest.mark.skipif(os.name == "nt", reason="PATH is emptied with symbolic links")
def test_a_step_that_is_killed_fails_nothing_and_is_told(make_job: MakeJob, bare_path: Path) -> None:
    killed = 'echo "python=$0.real" >> "$GITHUB_OUTPUT"; echo "story=/nowhere" >> "$GITHUB_OUTPUT"; kill -9 $$'
    script(bare_path, "python3", f'case "$*" in *begin) {killed};; esac')
    (bare_path / "python3.real").symlink_to(sys.executable)
    job = make_job(env={"PATH": str(bare_path)})
    write(job, "a.xml")
    result = upload(job, path="**")
    assert (job.status, result.outputs["outcome"]) == ("success", "failed")
    assert titles(result) == [("error", "The upload was broken off")]


@pytest.mark.skipif(os.name == "nt", reason="PATH is emptied with symbolic links")
def test_an_old_python_uploads_to_github_though_not_to_s3(
    make_job: MakeJob, bare_path: Path, artifacts: Artifacts
) -> None:
    python = find_python("3.8")
    if python is None:
        pytest.skip("there is no Python 3.8 on this machine")
    script(bare_path, "python3", f'exec "{python}" "$@"')
    job = make_job(env={"PATH": str(bare_path)}, matrix={"device": "ñpu"})
    write(job, "reports/ü.xml")
    result = upload(job, path="reports", s3_bucket="my-ci-results", kind="logs")
    assert (result.outputs["outcome"], result.outputs["destination"]) == ("uploaded", "github"), result.log
    (told,) = [each for each in result.annotations if each.title]
    assert told.title == "S3 was not to be had, and GitHub's artifacts took the files"
    assert "needs Python 3.10" in told.message
    assert set(members(artifacts.zips["logs-runattempt1-test (ñpu)_987"])) == {"reports/ü.xml", MANIFEST}


def test_a_cancelled_job_still_uploads(make_job: MakeJob, artifacts: Artifacts) -> None:
    job = make_job()
    write(job, "a.log")
    job.status = "cancelled"
    assert upload(job, path="*.log", kind="logs").outputs["outcome"] == "uploaded"
    assert list(artifacts.zips) == ["logs-runattempt1-test_987"]


def test_a_hostile_environment_changes_nothing(make_job: MakeJob) -> None:
    job = make_job(env={"PYTHONPATH": "shadow", "PYTHONSTARTUP": "x", "PYTHONIOENCODING": "ascii"})
    for name in ("json", "zipfile", "upload", "oot_runner"):
        write(job, f"shadow/{name}.py", "raise SystemExit(f'{__name__} came from the workspace')")
        write(job, f"{name}.py", "raise SystemExit(f'{__name__} came from the workspace')")
    assert upload(job, path="**").outputs["outcome"] == "uploaded"
