"""A stand-in for the relay on machines that have nothing but Python 3.8: `selftest.yml` reports to it on every OS.

    python tests/actions/stand_in_relay.py start relay.jsonl          # returns once it listens; prints its URL
    python tests/actions/stand_in_relay.py check relay.jsonl STATUS JOB_NAME
    python tests/actions/stand_in_relay.py stop relay.jsonl

It keeps each callback as a line of the file; `check` says whether one with this status and job name came, signed with
a token and within the contract's outlines.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

STARTS_SECONDS = 120.0


class Relay(BaseHTTPRequestHandler):
    """Takes every callback."""

    received: Path

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        callback = json.loads(body)
        line = {"path": self.path, "bearer": self.headers.get("Authorization", "")[:7], "callback": callback}
        with self.received.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        answer = json.dumps({"ok": True, "status": callback["workflow"]["status"], "outcome": "delivered"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing: the file says it."""


def serve(received: Path) -> None:
    """Serve until stopped; tells process id and port beside the file."""
    Relay.received = received
    server = HTTPServer(("127.0.0.1", 0), Relay)
    state = received.with_suffix(".state")
    state.with_suffix(".tmp").write_text(json.dumps({"pid": os.getpid(), "port": server.server_port}))
    state.with_suffix(".tmp").replace(state)
    server.serve_forever()


def start(received: Path) -> str:
    """Start the server as a process of its own; gives its URL."""
    received.write_text("")
    received.with_suffix(".state").unlink() if received.with_suffix(".state").exists() else None
    detached = {"creationflags": 0x8} if os.name == "nt" else {"start_new_session": True}  # DETACHED_PROCESS
    subprocess.Popen(
        [sys.executable, __file__, "serve", str(received)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **detached,  # type: ignore[arg-type, unused-ignore]  # differs by OS
    )
    deadline = time.monotonic() + STARTS_SECONDS
    while time.monotonic() < deadline:
        if received.with_suffix(".state").exists():
            port = json.loads(received.with_suffix(".state").read_text())["port"]
            return f"http://127.0.0.1:{port}/github/callback"
        time.sleep(0.05)
    raise SystemExit("the stand-in relay did not start")


def check(received: Path, status: str, job_name: str) -> str:
    """Say that the callback came; ends with a sentence when it didn't."""
    lines = [json.loads(line) for line in received.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        workflow = line["callback"]["workflow"]
        if (workflow["status"], workflow["job_name"]) != (status, job_name):
            continue
        problems = [
            problem
            for problem, wrong in {
                "came to the wrong path": line["path"] != "/github/callback",
                "came without a bearer token": line["bearer"] != "Bearer ",
                "has no delivery_id": not line["callback"].get("delivery_id"),
                "has no run_id": not workflow.get("run_id"),
                "completed without a conclusion": status == "completed" and not workflow.get("conclusion"),
                "completed without counts": status == "completed" and not workflow.get("test_results"),
            }.items()
            if wrong
        ]
        if problems:
            raise SystemExit(f"the {status} callback of {job_name} {' and '.join(problems)}")
        return f"the {status} callback of {job_name} came: {json.dumps(workflow.get('test_results'))}"
    told = [(line["callback"]["workflow"]["status"], line["callback"]["workflow"]["job_name"]) for line in lines]
    raise SystemExit(f"no {status} callback of {job_name}; these came: {told}")


def stop(received: Path) -> None:
    """End the server."""
    os.kill(json.loads(received.with_suffix(".state").read_text())["pid"], signal.SIGTERM)


def main(arguments: list[str]) -> None:
    """Run the command line."""
    if len(arguments) < 2 or arguments[0] not in ("start", "serve", "check", "stop"):
        raise SystemExit(__doc__)
    command, received = arguments[0], Path(arguments[1]).resolve()
    if command == "start":
        print(start(received))
    elif command == "serve":
        serve(received)
    elif command == "check":
        print(check(received, *arguments[2:]))
    else:
        stop(received)


if __name__ == "__main__":
    main(sys.argv[1:])
