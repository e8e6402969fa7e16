"""A DynamoDB in a bad mood: a real one behind a door that a test scripts, call by call."""

from __future__ import annotations

import json
import socket
import struct
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from collections.abc import Iterator

OPERATION = "x-amz-target"


class Door(ThreadingHTTPServer):
    """Each call takes the next mood; when all are used up, calls go through.

    Moods: `pass`, `stall` (never answers), `reset`, `lost` (applied, then the connection breaks), `garbage`,
    `no item` (a refusal without what stood against it), or `<HTTP status> <AWS error code>`.
    """

    daemon_threads = True

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = behind
        self.moods: list[str] = []
        self.calls: list[str] = []
        self.closing = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: object) -> None:
        """Say nothing: clients that went away are what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: Door
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.calls.append(str(self.headers[OPERATION]).rpartition(".")[2])
        mood = self.server.moods.pop(0) if self.server.moods else "pass"
        if mood == "stall":
            self.server.closing.wait(30)
        if mood in ("stall", "reset"):
            return self._break()
        if mood == "garbage":
            return self._answer(200, b"<html>a proxy's own page</html>")
        if mood[0].isdigit():
            status, _, code = mood.partition(" ")
            told = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "secret words"} if code else {}
            return self._answer(int(status), json.dumps(told).encode())
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        answer = requests.post(self.server.behind, data=body, headers=headers, timeout=60)
        if mood == "lost":
            return self._break()
        content = answer.content
        if mood == "no item":
            refusal: dict[str, Any] = answer.json()
            assert refusal.pop("Item"), "there was nothing to leave out"
            content = json.dumps(refusal).encode()
        return self._answer(answer.status_code, content)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/x-amz-json-1.0")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _break(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST, not FIN
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing: a test's output is its own."""


@contextmanager
def door_to(behind: str) -> Iterator[Door]:
    """Hold the door open while the block runs."""
    with Door(behind) as door:
        thread = threading.Thread(target=door.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield door
        finally:
            door.closing.set()
            door.shutdown()
            thread.join()
