"""Every command here, called wrongly: it says what is wrong with which flag or variable, and touches nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from oot_ops.cli import main
from oot_stats.exit_codes import FAILED

if TYPE_CHECKING:
    from pathlib import Path

RUN = {"--repo": "spec/backend", "--workflow-run-id": "240", "--workflow-run-attempt": "1"}
HEAD = ("--head-branch", "main", "--head-repository", "spec/backend")
COMMANDS: dict[str, tuple[str, ...]] = {
    "stats collect": HEAD,
    "stats publish": (*HEAD, "--bucket", "stats"),
    "stats all": (*HEAD, "--bucket", "stats"),
    "stats copy": ("--bucket", "raw"),
    "stats presign": ("--bucket", "raw", "--out", "urls"),
    "stats run": (),
    "deferred read": (),
    "deferred post": (),
}
WRONG = [
    *(("--repo", repo) for repo in ("", "a", "a/b/c", "../..", "a/..", "a b/c", "a/b?x=1", "a/b\n")),
    *(("--workflow-run-id", number) for number in ("0", "-1", "1.0", "²", "9" * 5000)),
    *(("--workflow-run-attempt", number) for number in ("0", "x")),
]


def call(command: str, **changes: str) -> int:
    told = {**RUN, **{f"--{name.replace('_', '-')}": value for name, value in changes.items()}}
    flags = [f"{name}={value}" for name, value in told.items()]
    return main([*command.split(), *flags, *COMMANDS[command]])


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITHUB_API_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("GITHUB_OUTPUT", raising=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_run_reaches_no_path_and_no_key(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for flag, value in WRONG:
        with pytest.raises(SystemExit, match="2"):
            call(command, **{flag.strip("-").replace("-", "_"): value})
        assert f"argument {flag}: {value!r} is no " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["stats collect", "stats copy", "stats run", "deferred read"])
@pytest.mark.parametrize("url", ["garbage", "ftp://example.org", "http://example.org", "https://u:p@example.org"])
def test_an_address_that_the_token_must_not_travel_to(
    command: str, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_API_URL", url)
    assert call(command) == FAILED
    assert "it must begin with https://" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["stats publish", "stats copy", "stats presign"])
@pytest.mark.parametrize(("name", "value"), [("AWS_PROFILE", "nobody"), ("AWS_ENDPOINT_URL", "garbage")])
def test_a_wrong_setting_of_aws(
    command: str, name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    assert call(command) == FAILED
    told = capsys.readouterr().err
    assert value in told
    assert name in told
