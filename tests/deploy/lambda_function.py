"""A Lambda function on this machine: AWS's own runtime client runs its handler, and this plays Lambda's runtime API.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
INVOCATION = "/2018-06-01/runtime/invocation/"
SECONDS = 240


class InvocationError(Exception):
    """What the runtime reported in place of an answer: `errorType` and `errorMessage`, as the caller sees them."""


class LambdaFunction:
    """One deployed function, called like a function; its log is what it printed and what the runtime wrote for it."""

    def __init__(self, handler: str, environment: dict[str, str]) -> None:
        self._events: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._answers: queue.Queue[tuple[str, dict[str, Any]]] = queue.Queue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._runtime_api())
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `end`
        self._telemetry = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `end`
        lambdas_own = {
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_port}",
            "AWS_LAMBDA_FUNCTION_NAME": handler.rpartition(".")[2],
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            "AWS_LAMBDA_LOG_LEVEL": "INFO",
            "_LAMBDA_TELEMETRY_LOG_FD": str(self._telemetry.fileno()),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.deploy.lambda_runtime", handler],
            cwd=ROOT,
            env={"PYTHONPATH": os.environ["PYTHONPATH"]} | environment | lambdas_own,
            stdout=self._log,
            stderr=self._log,
            pass_fds=[self._telemetry.fileno()],
        )

    def __call__(self, event: dict[str, Any]) -> dict[str, Any]:
        """Invoke it. Raises InvocationError where the invocation failed, or the function did not start."""
        self._events.put((str(uuid.uuid4()), json.dumps(event).encode()))
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            try:
                kind, answer = self._answers.get(timeout=0.1)
            except queue.Empty:
                if self.process.poll() is not None and self._answers.empty():
                    raise InvocationError({"errorType": "Runtime.ExitError", "errorMessage": self.log}) from None
                continue
            if kind != "response":
                raise InvocationError(answer)
            return answer
        raise TimeoutError(self.log)

    @property
    def log(self) -> str:
        """All that CloudWatch would have."""
        texts = []
        for file in (self._log, self._telemetry):
            size = os.fstat(file.fileno()).st_size
            texts.append(os.pread(file.fileno(), size, 0).decode(errors="replace"))
        return "".join(texts)

    def lines(self) -> list[dict[str, Any]]:
        """Return its log lines, without those that are metrics."""
        size = os.fstat(self._log.fileno()).st_size
        lines = [json.loads(line) for line in os.pread(self._log.fileno(), size, 0).decode().splitlines()]
        return [line for line in lines if "_aws" not in line]

    def end(self) -> None:
        """End it as Lambda does: at any moment, while it waits for an event."""
        self.process.terminate()
        self.process.wait()
        self._events.put(("", b""))  # for the call that still waits
        self._server.shutdown()
        self._server.server_close()
        self._log.close()
        self._telemetry.close()

    def _runtime_api(self) -> type[BaseHTTPRequestHandler]:
        events, answers = self._events, self._answers

        class RuntimeApi(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                assert self.path == f"{INVOCATION}next", self.path
                request_id, event = events.get()
                headers = {
                    "Lambda-Runtime-Aws-Request-Id": request_id,
                    "Lambda-Runtime-Deadline-Ms": str(int((time.time() + SECONDS) * 1000)),
                    "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:123456789012:function:local",
                    "Content-Type": "application/json",
                }
                self._reply(200, headers, event)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                self._reply(202, {}, b"{}")
                answers.put((self.path.rpartition("/")[2], json.loads(body)))

            def _reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return RuntimeApi
