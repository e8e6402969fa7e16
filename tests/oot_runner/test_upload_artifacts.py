"""The script itself, as a process: on every Python that there is, from its folder alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.oot_runner.test_report_result import find_python

SCRIPT = Path(__file__).parents[2] / "scripts" / "upload_artifacts.py"


def run(*arguments: str, python: str = sys.executable, **env: str) -> subprocess.CompletedProcess[str]:
    command = [python, "-E", "-s", "-W", "error", "-X", "utf8", str(SCRIPT), *arguments]
    return subprocess.run(command, env=env, capture_output=True, encoding="utf-8", check=False)


def written(path: Path) -> dict[str, str]:
    """What a GITHUB_OUTPUT or GITHUB_ENV file holds."""
    lines, values = iter(path.read_text(encoding="utf-8").splitlines()), {}
    for line in lines:
        name, _, delimiter = line.partition("<<")
        values[name] = "\n".join(iter(lambda: next(lines), delimiter))
    return values


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14"])
def test_every_python(version: str, tmp_path: Path) -> None:
    python = find_python(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "ü.xml").write_text("<x/>")
    env = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_ENV": str(tmp_path / "env"),
        "GITHUB_JOB": "test",
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_REPOSITORY": "example/backend",
        "GITHUB_RUN_ID": "240",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "GITHUB_WORKSPACE": str(tmp_path),
        "OOT_PATH": "reports",
        "RUNNER_TEMP": str(tmp_path),
    }
    begun = run("begin", python=python, **env)
    assert (begun.returncode, begun.stderr) == (0, "")
    outputs = written(tmp_path / "output")
    assert outputs["name"] == "test-reports-runattempt1-test_run240"
    assert sorted(path.name for path in Path(outputs["path"]).rglob("*.*")) == ["oot-hud-manifest.json", "ü.xml"]
    told = {"OOT_GITHUB_OUTCOME": "success", "OOT_GITHUB_URL": "https://github.com/x", "OOT_STORY": outputs["story"]}
    ended = run("end", python=python, **env, **told)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert written(tmp_path / "output")["outcome"] == "uploaded"
    assert written(tmp_path / "env")["OOT_HUD_ARTIFACT_URL"] == "https://github.com/x"
    assert "https://github.com/x" in (tmp_path / "summary").read_text(encoding="utf-8")


@pytest.mark.parametrize("version", ["3.6", "3.7"])
def test_a_python_that_is_too_old_says_so(version: str) -> None:
    python = find_python(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    ran = subprocess.run([python, str(SCRIPT), "begin"], capture_output=True, encoding="utf-8", check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith(f"upload_artifacts.py needs Python 3.8 or later, and this is {version}.")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["begin", "end"]])
def test_it_says_how_it_is_called(arguments: list[str]) -> None:
    ran = run(*arguments)
    assert ran.returncode == 1
    assert "usage: upload_artifacts.py begin | end" in ran.stderr


def test_a_story_that_is_gone_or_spoilt_is_an_upload_broken_off(tmp_path: Path) -> None:
    spoilt = tmp_path / "story.json"
    for text in ("", "{", "[]", json.dumps({"told": [], "unknown": 1})):
        spoilt.write_text(text)
        ran = run("end", OOT_STORY=str(spoilt))
        assert (ran.returncode, ran.stdout) == (0, "")
        assert "The upload was broken off" in ran.stderr
    assert run("end", OOT_STORY="", OOT_FAIL_ON_ERROR="true").returncode == 1
