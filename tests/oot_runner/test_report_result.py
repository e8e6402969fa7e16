"""The script itself, as a process: on each Python that is here, alone on a machine, and on CIs other than GitHub's."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from oot_runner import payload, reporting
from oot_runner.inputs import INPUTS
from tests.oot_runner.conftest import CLIENT_PAYLOAD, SHA
from tests.oot_runner.server_side import accept
from tests.oot_runner.web_server import WebServer, answer, jwt, stall

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNNER = Path(__file__).parents[2] / "scripts" / "oot_runner"
SCRIPT = RUNNER.parent / "report_result.py"
VERSIONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
MACHINE = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TEMP") if name in os.environ}
NIGHTLY = ["--status", "completed", "--event-type", "nightly", "--delivery-id", SHA]


def find_python(version: str) -> str | None:
    """Gives a Python of this version: one that answers, for version managers leave names behind that do not."""
    names = [f"python{version}", *map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python3"))]
    for found in filter(None, map(shutil.which, names)):
        ran = subprocess.run([found, "-V"], capture_output=True, text=True, check=False)
        if ran.returncode == 0 and f"Python {version}." in ran.stdout:
            return found
    return None


def run_script(
    *arguments: str, env: dict[str, str] | None = None, python: str = sys.executable, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, str(SCRIPT), *arguments],
        env={**MACHINE, **(env or {})},
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=240,
        check=False,
    )


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "wörk späce"
    (folder / "reports").mkdir(parents=True)
    (folder / "reports" / "jünit.xml").write_text(
        '<testsuite name="s"><testcase classname="C" name="ok"/><testcase classname="C" name="nö">'
        '<failure message="1 != 2">x.py:1: E</failure></testcase></testsuite>',
        encoding="utf-8",
    )
    return folder


@pytest.mark.parametrize("version", VERSIONS)
def test_every_python(version: str, server: WebServer, workspace: Path) -> None:
    python = find_python(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    (workspace / "event.json").write_text(json.dumps({"client_payload": CLIENT_PAYLOAD}), encoding="utf-8")
    env = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_PATH": str(workspace / "event.json"),
        "GITHUB_JOB": "test",
        "GITHUB_OUTPUT": str(workspace / "output"),
        "GITHUB_REPOSITORY": "example/backend",
        "GITHUB_RUN_ID": "240",
        "GITHUB_STEP_SUMMARY": str(workspace / "summary"),
        "GITHUB_WORKFLOW": "ci",
        "GITHUB_WORKSPACE": str(workspace),
        "OOT_STATUS": "completed",
        "OOT_CONCLUSION": "failure",
        "OOT_CALLBACK_URL": server.callback_url,
        "OOT_TEST_REPORTS": "reports/*.xml",
        "ACTIONS_ID_TOKEN_REQUEST_URL": server.token_url,
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t",
        "PYTHONWARNINGS": "error",
    }
    ran = run_script(env=env, python=python)
    assert (ran.returncode, ran.stderr) == (0, "")
    accept(server.callbacks[0].body)
    assert [test["name"] for test in server.callbacks[0].json["workflow"]["failed_tests"]] == ["nö"]
    assert "outcome<<" in (workspace / "output").read_text(encoding="utf-8")
    assert "<code>C::nö</code>" in (workspace / "summary").read_text(encoding="utf-8")


def test_the_script_compiles_on_a_python_that_is_too_old() -> None:
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"), feature_version=(3, 4))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)], "f-strings are from 3.6"


@pytest.mark.parametrize("version", ["3.6", "3.7"])
def test_a_python_that_is_too_old_says_so(version: str) -> None:
    python = find_python(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    ran = run_script(*NIGHTLY, python=python)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith(f"report_result.py needs Python 3.8 or later, and this is {version}.")


@pytest.mark.skipif(sys.version_info < (3, 10), reason="sys.stdlib_module_names is from 3.10")
@pytest.mark.parametrize(
    "path", sorted(RUNNER.glob("**/*.py")), ids=lambda path: path.relative_to(RUNNER).with_suffix("").as_posix()
)
def test_the_standard_library_is_enough(path: Path) -> None:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            modules.add(node.module or "")
    assert {name.partition(".")[0] for name in modules} <= sys.stdlib_module_names | {"oot_runner"}


def test_it_needs_nothing_but_its_folder(tmp_path: Path, workspace: Path) -> None:
    shutil.copytree(RUNNER, tmp_path / "oot_runner")
    script = shutil.copy(SCRIPT, tmp_path)
    command = [sys.executable, "-I", script, *NIGHTLY, "--dry-run", "--conclusion", "success"]
    command += ["--run-id", "1", "--workflow-name", "w", "--test-reports", "reports/*.xml"]
    ran = subprocess.run(command, cwd=workspace, env=MACHINE, capture_output=True, encoding="utf-8", check=False)
    assert '"failed": 1' in ran.stdout, ran.stderr


def test_a_package_of_the_same_name_is_not_taken_for_ours(tmp_path: Path) -> None:
    (tmp_path / "oot_runner").mkdir()
    (tmp_path / "oot_runner" / "__init__.py").write_text("raise SystemExit('not ours')", encoding="utf-8")
    ran = run_script(*NIGHTLY, "--dry-run", env={"PYTHONPATH": str(tmp_path)}, cwd=tmp_path)
    assert "not ours" not in ran.stderr
    assert ran.returncode == 0


def test_help_teaches() -> None:
    ran = run_script("--help", env={"COLUMNS": "120"})
    assert ran.returncode == 0
    for item in INPUTS:
        assert f"--{item.name} " in ran.stdout
        assert f"[{item.env}]" in " ".join(ran.stdout.split())
    for word in ("buildkite-agent oidc request-token", "id_tokens:", "--dry-run", "Anywhere else"):
        assert word in ran.stdout


def test_buildkite(server: WebServer, workspace: Path) -> None:
    (workspace / "token").write_text(jwt(), encoding="utf-8")
    env = {
        "BUILDKITE": "true",
        "BUILDKITE_BUILD_ID": "0190a8f5-0000-4000-8000-000000000001",
        "BUILDKITE_PIPELINE_SLUG": "nightly",
        "BUILDKITE_LABEL": "NPU",
        "BUILDKITE_BUILD_URL": "https://buildkite.com/o/nightly/builds/1",
        "BUILDKITE_COMMAND_EXIT_STATUS": "0",
    }
    flags = ["--token-file", "token", "--test-reports", "reports/*.xml", "--callback-url", server.callback_url]
    ran = run_script(*NIGHTLY, *flags, env=env, cwd=workspace)
    assert ran.returncode == 0
    assert "HUD report: delivered https://hud.example/oot/example/backend" in ran.stdout
    assert "::" not in ran.stdout.replace("C::nö", "")
    assert "warning: The job succeeded although tests failed" in ran.stderr
    (request,) = server.requests
    assert request.headers["authorization"] == f"Bearer {(workspace / 'token').read_text()}"
    workflow = request.json["workflow"]
    assert (workflow["run_id"], workflow["check_run_id"]) == (
        env["BUILDKITE_BUILD_ID"],
        f"{env['BUILDKITE_BUILD_ID']}-1",
    )


def test_gitlab(server: WebServer) -> None:
    env = {
        "GITLAB_CI": "true",
        "CI_PIPELINE_ID": "55",
        "CI_PROJECT_NAME": "backend",
        "CI_JOB_ID": "77",
        "CI_JOB_NAME": "test",
        "CI_JOB_STATUS": "failed",
        "OOT_TOKEN": jwt(),
        "OOT_CALLBACK_URL": server.callback_url,
    }
    ran = run_script(*NIGHTLY, env=env)
    assert "HUD report: delivered" in ran.stdout
    assert server.callbacks[0].json["workflow"]["conclusion"] == "failure"


def test_a_ci_of_any_kind_and_an_exit_status_where_it_is_asked_for(server: WebServer) -> None:
    server.relay = [answer(400, {"detail": "so", "code": "invalid_callback"})]
    flags = [*NIGHTLY, "--conclusion", "success", "--run-id", "1", "--workflow-name", "w"]
    env = {"OOT_TOKEN": jwt(), "OOT_CALLBACK_URL": server.callback_url}
    assert run_script(*flags, env=env).returncode == 0
    assert run_script(*flags, "--fail-on-error", "false", env=env).returncode == 0
    failed = run_script(*flags, "--fail-on-error", env=env)
    assert failed.returncode == 1
    assert "error: The relay refused the report: It answered 400: so" in failed.stderr


def test_a_relay_that_stalls_costs_max_time_and_no_more(server: WebServer) -> None:
    server.relay = [stall]
    flags = [
        *NIGHTLY,
        "--conclusion",
        "success",
        "--run-id",
        "1",
        "--workflow-name",
        "w",
        "--max-time",
        "1",
        "--retries",
        "0",
    ]
    ran = run_script(*flags, env={"OOT_TOKEN": jwt(), "OOT_CALLBACK_URL": server.callback_url})
    assert ran.returncode == 0
    assert "no whole answer within 1.0 s" in ran.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_log_that_is_not_utf_8(server: WebServer, encoding: str, workspace: Path) -> None:
    flags = [*NIGHTLY, "--conclusion", "failure", "--run-id", "1", "--workflow-name", "w", "--job-name", "日本"]
    env = {"OOT_TOKEN": jwt(), "OOT_CALLBACK_URL": server.callback_url, "PYTHONIOENCODING": encoding}
    ran = run_script(*flags, "--test-reports", "reports/*.xml", env=env, cwd=workspace)
    assert ran.returncode == 0
    assert "HUD report: delivered" in ran.stdout
    assert server.callbacks[0].json["workflow"]["job_name"] == "日本"


def test_a_mistake_of_ours_fails_nobody_s_job(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def mistake(*_: object) -> None:
        raise RuntimeError("ours\n::error::x")

    monkeypatch.setattr(payload, "results", mistake)
    flags = [*NIGHTLY, "--conclusion", "success", "--run-id", "1", "--workflow-name", "w"]
    assert reporting.main(flags, {}) == 0
    told = capsys.readouterr()
    assert "error: report-result itself failed" in told.err
    assert "Traceback" in told.out
    assert "\n| ::error::x" in told.out
    assert reporting.main([*flags, "--fail-on-error"], {}) == 1


def test_files_that_cannot_be_written_do_not_keep_a_report_from_its_way(server: WebServer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    below = str(tmp_path / "file" / "below")
    env = {
        "OOT_TOKEN": jwt(),
        "OOT_CALLBACK_URL": server.callback_url,
        "RUNNER_TEMP": below,
        "GITHUB_OUTPUT": below,
        "GITHUB_STEP_SUMMARY": below,
    }
    ran = run_script(*NIGHTLY, "--conclusion", "success", "--run-id", "1", "--workflow-name", "w", env=env)
    assert ran.returncode == 0
    assert "HUD report: delivered" in ran.stdout
    assert ran.stderr.count("warning: ") == 3
