"""Every part of the way is killed (-9) and stalled while 10,000 callbacks arrive in disorder: nothing lost or doubled.

The endpoint (two processes), the replicator, ClickHouse and the DynamoDB emulator are real servers. The emulator loses
its memory when it is killed, which DynamoDB does not: `durable_dynamodb` gives it back. FAULT_MATRIX_SEED repeats a
run, FAULT_MATRIX_CALLBACKS and FAULT_MATRIX_OUTAGE_SECONDS make it longer (the outage of a minute: 60).
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from hud_endpoint.clickhouse.connection import connect
from oot_local.processes import Process, answers, reserve_port
from oot_ops.create_tables import create_dynamodb
from tests.integration.own_servers import ROOT, own_clickhouse, python, start
from tests.integration.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CALLBACKS = int(os.environ.get("FAULT_MATRIX_CALLBACKS", "10000"))
OUTAGE_SECONDS = float(os.environ.get("FAULT_MATRIX_OUTAGE_SECONDS", "3"))
SENDERS = 12
PATIENCE_SECONDS = 200  # on a machine that has nothing else to do, all of it takes a minute

pytestmark = pytest.mark.timeout(400)
TOKEN = secrets.token_urlsafe(32)
YESTERDAY = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)


class Callback(NamedTuple):
    """One callback of one job, as bytes."""

    job: int
    kind: str
    body: bytes


class World(NamedTuple):
    """All servers by name, and where they answer."""

    processes: dict[str, Process]
    hud_ports: list[int]
    clickhouse_url: str
    proxy_port: int
    env: dict[str, str]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    import boto3

    folder = tmp_path_factory.mktemp("faults")
    emulator_port, proxy_port, *hud_ports = (reserve_port(0, name) for name in ("aws", "proxy", "hud", "hud"))
    aws = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy_port}",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with own_clickhouse(folder) as (clickhouse, clickhouse_url):
        env = {**aws, "CLICKHOUSE_URL": clickhouse_url, "INTERNAL_API_TOKEN": TOKEN}
        emulator = Process(
            "emulator",
            [str(Path(sys.executable).parent / "ministack")],
            {
                **os.environ,
                "BIND_HOST": "127.0.0.1",
                "GATEWAY_PORT": str(emulator_port),
                "PERSIST_STATE": "0",
                "IOT_MTLS_ENABLED": "0",
                "SERVICES": "dynamodb,dynamodbstreams",
            },
            folder / "emulator.log",
            lambda: answers(f"http://127.0.0.1:{emulator_port}/_ministack/health"),
        )
        argv = ["-m", "tests.integration.durable_dynamodb", str(proxy_port), str(emulator_port), "1"]
        proxy = python("proxy", argv, folder, {}, f"http://127.0.0.1:{proxy_port}/_ministack/health")
        replicator = python("replicator", ["-m", "oot_ops", "replicate"], folder, env)
        huds = {
            f"hud{number}": python(
                f"hud{number}",
                ["-m", "uvicorn", "--factory", "hud_endpoint.app:hud", "--port", str(port), "--no-access-log"],
                folder,
                env,
                f"http://127.0.0.1:{port}/healthz",
            )
            for number, port in enumerate(hud_ports)
        }
        processes = {"clickhouse": clickhouse, "emulator": emulator, "replicator": replicator, **huds}
        everything = [emulator, proxy, *huds.values()]
        try:
            for process in everything:
                start(process)
            client = boto3.client(
                "dynamodb",
                endpoint_url=aws["AWS_ENDPOINT_URL"],
                region_name="us-east-1",
                aws_access_key_id="local",
                aws_secret_access_key="local",
            )
            create_dynamodb(client)
            client.close()
            start(replicator)
            yield World(processes, hud_ports, clickhouse_url, proxy_port, env)
        finally:
            for process in [replicator, *reversed(everything)]:
                process.stop()


# --- the callbacks ---------------------------------------------------------------------------------------------------


def body(repo: str, job: int, kind: str) -> bytes:
    """A job's callback, the same bytes at every try; the relay accepted it at its own second."""
    at = YESTERDAY + timedelta(seconds=job % 3600 * 3 + ("in_progress", "swept", "completed").index(kind))
    workflow: dict[str, Any] = {"status": "in_progress", "started_at": at.isoformat()}
    if kind != "in_progress":
        workflow = {"status": "completed", "conclusion": "timed_out" if kind == "swept" else conclusion(job)}
    if kind == "completed":
        workflow |= {
            "completed_at": (at + timedelta(minutes=9)).isoformat(),
            "test_results": {"passed": job, "failed": job % 2, "skipped": 1},
            "failed_tests": [{"name": f"test_{job}", "message": "é"}] if job % 2 else [],
        }
    told = {
        "trusted": {
            "verified_repo": repo,
            "downstream_repo_level": "L2",
            "received_at": at.isoformat(),
            "ci_metrics": {"queue_time": job + 0.5 if kind == "in_progress" else None},
            "origin": "sweeper" if kind == "swept" else "job",
            "dispatch_verified": True,
        },
        "untrusted": {
            "callback_payload": {
                "delivery_id": f"d{job}",
                "payload": {"pull_request": {"number": job + 1, "head": {"sha": "a" * 40}}},
                "workflow": {"name": "ci", "job_name": "test", "check_run_id": job, "run_id": job, **workflow},
            }
        },
    }
    return json.dumps(told).encode()


def conclusion(job: int) -> str:
    return "failure" if job % 2 else "success"


def make_callbacks(repo: str, count: int, chance: random.Random) -> list[Callback]:
    """Jobs with any of the three callbacks, each once or more often, until there are `count`; then all is shuffled."""
    made: list[Callback] = []
    for job in itertools.count():
        kinds = [
            kind
            for kind, share in (("in_progress", 0.9), ("swept", 0.2), ("completed", 0.9))
            if chance.random() < share
        ]
        for kind in kinds or ["completed"]:
            made += [Callback(job, kind, body(repo, job, kind))] * chance.choice((1, 1, 1, 2, 3))
        if len(made) >= count:
            del made[count:]
            chance.shuffle(made)
            return made
    raise AssertionError


def expected_rows(callbacks: list[Callback]) -> dict[int, tuple[Any, ...]]:
    """What the law of the merge makes of them, in whatever order: conclusion, passed tests, origin, queue time."""
    kinds: dict[int, set[str]] = {}
    for one in callbacks:
        kinds.setdefault(one.job, set()).add(one.kind)
    rows: dict[int, tuple[Any, ...]] = {}
    for job, told in kinds.items():
        queue_time = job + 0.5 if "in_progress" in told else None
        if "completed" in told:
            rows[job] = (conclusion(job), job, "job", queue_time)
        elif "swept" in told:
            rows[job] = ("timed_out", 0, "sweeper", queue_time)
    return rows


class Senders:
    """Sends callbacks to the endpoint as the relay's outbox does: until each has been accepted."""

    def __init__(self, ports: list[int], repo: str) -> None:
        self._ports = ports
        self.repo = repo
        self.accepted = 0
        self.outcomes: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._local = threading.local()
        self._connections: list[Connection] = []

    def send_all(self, callbacks: list[Callback]) -> None:
        """Send them all, whoever else is sending; raises what went wrong first."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        with ThreadPoolExecutor(SENDERS) as pool:
            for done in [pool.submit(self._send, one, deadline) for one in callbacks]:
                done.result()
        for connection in self._connections:
            connection.close()

    def _send(self, callback: Callback, deadline: float) -> None:
        for turn in itertools.count(callback.job):
            assert time.monotonic() < deadline, f"{self.accepted} callbacks were accepted: {self.outcomes}"
            outcome = self._try(self._ports[turn % len(self._ports)], callback.body)
            with self._lock:
                self.outcomes[outcome] += 1
                if outcome in ("stored", "duplicate"):
                    self.accepted += 1
                    return
            assert outcome in ("cut off", "refused 500", "refused 503"), outcome
            time.sleep(0.05)  # the backoff of who sends again

    def _try(self, port: int, told: bytes) -> str:
        connections: dict[int, Connection] = self._local.__dict__.setdefault("all", {})
        try:
            if port not in connections:
                connections[port] = Connection(port)
                self._connections.append(connections[port])
            status, said = connections[port].post(told)
        except (OSError, ValueError):
            if port in connections:
                connections.pop(port).close()
            return "cut off"
        return str(json.loads(said)["outcome"]) if status == 200 else f"refused {status}"


class Connection:
    """HTTP in a few lines: http.client takes as long for a callback as the endpoint does."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._reader = self._socket.makefile("rb")

    def post(self, body: bytes) -> tuple[int, bytes]:
        """Give status and body. Raises OSError or ValueError when the connection breaks."""
        head = (
            f"POST /api/oot/results HTTP/1.1\r\nHost: x\r\nx-hud-internal-bot: {TOKEN}\r\nContent-Length: {len(body)}"
        )
        self._socket.sendall(head.encode() + b"\r\n\r\n" + body)
        status = int(self._reader.readline()[9:12])
        size = 0
        while line := self._reader.readline().strip():
            if line.lower().startswith(b"content-length:"):
                size = int(line[15:])
        answer = self._reader.read(size)
        if len(answer) < size:
            raise ValueError("cut off")
        return status, answer

    def close(self) -> None:
        self._reader.close()
        self._socket.close()


# --- the faults ------------------------------------------------------------------------------------------------------


def kill(world: World, name: str, chance: random.Random) -> None:
    """Kill -9, and start it again after a while; the emulator gets back what it knew."""
    process = world.processes[name]
    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: process.popen and process.popen.poll() == -signal.SIGKILL, f"the death of {name}")
    if name == "emulator":
        tell_proxy(world, "/down")
    time.sleep(chance.uniform(0, 0.5))  # for so long nobody is there
    start(process)
    if name == "emulator":
        tell_proxy(world, "/restore")


def stall(world: World, name: str, chance: random.Random) -> None:
    """Stop it in the middle of what it does; its connections stay open and say nothing."""
    pid = world.processes[name].pid
    os.kill(pid, signal.SIGSTOP)
    time.sleep(chance.uniform(0.2, 1.5))  # longer and shorter than the patience of its callers
    os.kill(pid, signal.SIGCONT)


def tell_proxy(world: World, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", world.proxy_port, timeout=60)
    connection.request("POST", path, b"")
    assert connection.getresponse().status == 200
    connection.close()


def faults(world: World, senders: Senders, chance: random.Random, told: list[str]) -> None:
    """Each fault of each part once, in any order, evenly over the callbacks."""
    matrix = [(fault, name) for fault in (kill, stall) for name in world.processes]
    chance.shuffle(matrix)
    for number, (fault, name) in enumerate(matrix, start=1):
        place = number * CALLBACKS // (len(matrix) + 2)
        wait_for(lambda: senders.accepted >= place, "progress of the callbacks", PATIENCE_SECONDS)  # noqa: B023
        fault(world, name, chance)
        told.append(f"{fault.__name__} {name}")


# --- what comes of it ------------------------------------------------------------------------------------------------


def ask(world: World, what: str, repo: str) -> list[Any]:
    client = connect(world.clickhouse_url)
    query = f"SELECT {what} FROM default.oot_workflow_job FINAL WHERE downstream_repo = {{repo: String}}"  # noqa: S608
    found = list(client.query(query, parameters={"repo": repo}).result_rows)
    client.close()
    return found


def arrive(world: World, repo: str, expected: dict[int, tuple[Any, ...]]) -> None:
    """Wait until ClickHouse holds what the callbacks mean, and nothing else."""

    def right() -> bool:
        rows = ask(world, "check_run_id, conclusion, passed_tests, origin, queue_time", repo)
        wrong.clear()
        wrong.extend(row for row in rows if expected.get(int(row[0])) != tuple(row[1:]))
        return len(rows) == len(expected) and not wrong

    wrong: list[Any] = []
    wait_for(lambda: ask(world, "count()", repo) == [(len(expected),)], f"{len(expected)} rows", PATIENCE_SECONDS)
    try:
        wait_for(right, "the last states", PATIENCE_SECONDS)
    except AssertionError:
        pytest.fail(f"{len(wrong)} of {len(expected)} rows are wrong, such as {wrong[:3]}")


def verify(world: World) -> dict[str, Any]:
    command = [sys.executable, "-m", "oot_ops", "verify", "--since", "3d", "--lag", "5s", "--json"]
    env = {**os.environ, **world.env}
    ran = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert ran.returncode == 0, f"{ran.stdout}{ran.stderr}"
    report: dict[str, Any] = json.loads(ran.stdout)
    assert (report["missing"], report["stale"], report["extra"], report["poison"]) == (0, 0, 0, 0)
    return report


def counts(report: dict[str, Any]) -> str:
    return ", ".join(f"{report[name]:,} {name}" for name in ("compared", "missing", "stale", "extra"))


def test_everything_fails_once_and_nothing_is_lost(
    world: World, record_property: Callable[[str, object], None]
) -> None:
    seed = int(os.environ.get("FAULT_MATRIX_SEED") or secrets.randbelow(10**6))
    chance = random.Random(seed)  # noqa: S311 - no secret
    repo = f"faults/{seed}"
    callbacks = make_callbacks(repo, CALLBACKS, chance)
    expected = expected_rows(callbacks)
    senders = Senders(world.hud_ports, repo)
    done: list[str] = []
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        print(f"seed {seed}")
        sending = pool.submit(senders.send_all, callbacks)
        faults(world, senders, chance, done)  # in this thread: with the one that starts a process, the process ends
        sending.result()
    sent = time.monotonic() - began
    arrive(world, repo, expected)
    report = verify(world)
    assert senders.accepted == len(callbacks) == CALLBACKS
    assert sorted(done) == sorted(f"{fault} {name}" for fault in ("kill", "stall") for name in world.processes)
    told = (
        f"fault matrix, seed {seed}: {len(callbacks):,} callbacks of {len({one.job for one in callbacks}):,} jobs in "
        f"{sent:.0f} s ({dict(senders.outcomes)}); {', '.join(done)}; {len(expected):,} rows right; "
        f"verify: {counts(report)}"
    )
    print(told)
    record_property("told", told)


def test_clickhouse_down_for_a_while_loses_nothing(
    world: World, record_property: Callable[[str, object], None]
) -> None:
    chance = random.Random(1)  # noqa: S311 - no secret
    repo = f"outage/{secrets.token_hex(4)}"
    callbacks = make_callbacks(repo, 600, chance)
    expected = expected_rows(callbacks)
    senders = Senders(world.hud_ports, repo)
    clickhouse = world.processes["clickhouse"]
    clickhouse.stop()
    down_at = time.monotonic()
    senders.send_all(callbacks)  # the endpoint takes them all the same
    assert set(senders.outcomes) == {"stored", "duplicate"}
    time.sleep(max(0.0, down_at + OUTAGE_SECONDS - time.monotonic()))
    start(clickhouse)
    back_at = time.monotonic()
    arrive(world, repo, expected)
    told = (
        f"ClickHouse down for {OUTAGE_SECONDS:.0f} s: {len(callbacks)} callbacks taken meanwhile, {len(expected)} rows "
        f"right {time.monotonic() - back_at:.1f} s after it was back; verify: {counts(verify(world))}"
    )
    print(told)
    record_property("told", told)
