"""The replicator's command line: what is wrong is told at the start, before a record is read."""

from __future__ import annotations

import socket

import pytest

from oot_ops.cli import main


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--statuses", "complete"], "'complete' is no status"),
        (["--statuses", " , "], "no status is named"),
        (["--statuses", "completed,done"], "'done' is no status"),
        (["--metrics-port", "65536"], "'65536' is not a whole number from 0 to 65535"),
        (["--metrics-port", "0" * 20 + "65536"], "is not a whole number"),
        (["--metrics-port", "9" * 5000], "is not a whole number"),
    ],
    ids=lambda told: str(told)[:40],
)
def test_a_wrong_flag_is_told(flags: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["replicate", *flags])
    assert told in capsys.readouterr().err


def test_a_wrong_environment_is_told_as_a_wrong_flag(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REPLICATE_STATUSES", "")
    with pytest.raises(SystemExit):
        main(["replicate"])
    assert "no status is named: REPLICATE_STATUSES lists in_progress and completed" in capsys.readouterr().err


def test_a_port_that_is_taken_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr("signal.signal", lambda *_: None)  # this process keeps its own
        assert main(["replicate", "--metrics-port", str(port)]) == 1
    assert f"port {port}" in capsys.readouterr().err
