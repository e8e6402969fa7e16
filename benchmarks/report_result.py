"""report-result: the wall time of the whole process as the action starts it, less its HTTP round trips.

The token endpoint and the relay are a real HTTP server in a thread here, which times each connection from its
acceptance to its end; that sum is taken off. Alternating with `python -c pass`; medians. The first step of a job runs
from a fresh copy without bytecode, as a runner has just downloaded it; the last step finds what the first compiled.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import reports
from benchmarks.result import BenchmarkError, Budget, Row
from benchmarks.timing import ROOT, alternate, median, python

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.result import Say

NAME = "report-result"
BUDGET = Budget("at most", 150)
_ANSWERS = {
    "GET": {"count": 1, "value": "aGVhZGVy.e30.c2lnbmF0dXJl"},
    "POST": {
        "ok": True,
        "status": "completed",
        "outcome": "delivered",
        "dynamoKey": "example-org/torch-sample/d/ci/test/1",
        "hud_url": "https://hud.example.org/oot#example-org/torch-sample",
    },
}


class Size(NamedTuple):
    """Cases in the reports, and how often each process is started."""

    cases: int
    runs: int


FULL = Size(cases=1_000, runs=15)
QUICK = Size(cases=1_000, runs=5)


class _Server(ThreadingHTTPServer):
    """The token endpoint and the relay; `spent` is the time of each connection so far."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spent: list[float] = []


class _Handler(BaseHTTPRequestHandler):
    def setup(self) -> None:
        self._started = time.perf_counter()
        super().setup()

    def finish(self) -> None:
        super().finish()
        if isinstance(self.server, _Server):
            self.server.spent.append(time.perf_counter() - self._started)

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self._answer()

    def _answer(self) -> None:
        body = json.dumps(_ANSWERS[self.command]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def measure(size: Size, say: Say) -> list[Row]:
    """Give the rows of this budget."""
    with tempfile.TemporaryDirectory(prefix="oot-hud-bench-") as folder, _serving() as server:
        job = _Job(Path(folder), server, size.cases)
        job.last_step()
        say(f"{size.runs} alternating runs of the first step, the last step and `python -c pass`")
        times = alternate(
            {"pass": lambda: python("-c", "pass")[0], "first": job.first_step, "last": job.last_step}, size.runs
        )
    middle = {name: 1000 * median(samples) for name, samples in times.items()}
    told = {
        "first": "report-result, first step (in_progress, nothing compiled)",
        "last": f"report-result, last step (completed, {size.cases:,} tests)",
    }
    note = "whole process less round trips; the baseline, `python -c pass`, is included"
    return [Row(NAME, what, "ms", middle[name], middle["pass"], None, BUDGET, note=note) for name, what in told.items()]


class _Job:
    """A job's folder, its reports and its environment."""

    def __init__(self, folder: Path, server: _Server, cases: int) -> None:
        self._server = server
        self._workspace = folder / "workspace"
        self._scripts = folder / "action" / "scripts"
        self._workspace.mkdir()
        reports.write(self._workspace, cases)
        self._copy()
        self._env = self._environment(folder, f"http://127.0.0.1:{server.server_port}")

    def first_step(self) -> float:
        self._copy()
        return self._run("in_progress")

    def last_step(self) -> float:
        return self._run("completed")

    def _copy(self) -> None:
        shutil.rmtree(self._scripts, ignore_errors=True)
        runner = self._scripts / "oot_runner"
        shutil.copytree(ROOT / "scripts" / "oot_runner", runner, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "scripts" / "report_result.py", self._scripts)

    def _run(self, status: str) -> float:
        """Seconds of the process outside of its connections."""
        self._server.spent.clear()
        script = str(self._scripts / "report_result.py")
        env = self._env | {"OOT_STATUS": status}
        taken, printed = python("-E", "-s", "-X", "utf8", script, env=env, cwd=self._workspace)
        deadline = time.monotonic() + 5
        while len(self._server.spent) < 2 and time.monotonic() < deadline:
            time.sleep(0.001)  # the second connection's thread may still be closing it
        if "HUD report: delivered" not in printed or len(self._server.spent) != 2:
            raise BenchmarkError(f"report_result.py did not deliver: {printed[-800:]}")
        return taken - sum(self._server.spent)

    def _environment(self, folder: Path, url: str) -> dict[str, str]:
        event = folder / "event.json"
        upstream = {
            "pull_request": {"number": 1, "head": {"sha": "a" * 40}},
            "repository": {"full_name": "pytorch/pytorch"},
        }
        payload = {"event_type": "pull_request", "delivery_id": "d", "payload": upstream}
        event.write_text(json.dumps({"action": "pull_request", "client_payload": payload}))
        paths = {name: folder / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        return {
            "PATH": os.environ.get("PATH", ""),
            "GITHUB_ACTIONS": "true",
            "GITHUB_REPOSITORY": "example-org/torch-sample",
            "GITHUB_WORKFLOW": "ci",
            "GITHUB_JOB": "test",
            "GITHUB_RUN_ID": "1",
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_EVENT_NAME": "repository_dispatch",
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_WORKSPACE": str(self._workspace),
            "RUNNER_TEMP": str(folder),
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{url}/token?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request-token",
            "OOT_CALLBACK_URL": f"{url}/github/callback",
            "OOT_TEST_REPORTS": "*.xml",
            "OOT_JOB_STATUS": "success",
            "OOT_CHECK_RUN_ID": "1",
            **{name: str(path) for name, path in paths.items()},
        }


@contextmanager
def _serving() -> Iterator[_Server]:
    with _Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
