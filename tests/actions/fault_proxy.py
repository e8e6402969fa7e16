"""A proxy before the local S3 or STS: it keeps what passes, and does to some requests what networks do."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self, TypeAlias
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Passed:
    """A request on its way; `body` only where it is small."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


Fault: TypeAlias = Callable[[Passed], "int | str | None"]
"""Gives the status to answer instead, or `drop` to break the connection, or nothing to let a request through."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    proxy: FaultProxy

    def handle_error(self, *_: object) -> None:
        """Broken connections are what this is for."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        proxy = self.server.proxy
        passed = Passed(self.command, self.path, dict(self.headers.items()), body)
        with proxy.lock:
            proxy.passed.append(passed)
            fault = proxy.fault(passed)
        if fault == "drop":
            self.close_connection = True
            return
        if isinstance(fault, int):
            answer = b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"
            self._answer(fault, [("Content-Type", "application/xml")], answer)
            return
        target = urlsplit(proxy.target)
        headers = {k: v for k, v in passed.headers.items() if k.lower() not in ("transfer-encoding", "connection")}
        with closing(http.client.HTTPConnection(target.hostname or "", target.port, timeout=60)) as connection:
            connection.request(self.command, self.path, body or None, {**headers, "Content-Length": str(len(body))})
            with connection.getresponse() as response:
                self._answer(response.status, response.getheaders(), response.read())

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        length = dict(headers).get("Content-Length", "0") if self.command == "HEAD" else str(len(body))
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        """Quiet."""


@dataclass
class FaultProxy:
    """The proxy before `target`; `fault` decides over each request."""

    target: str
    fault: Fault = lambda _: None
    passed: list[Passed] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_port}"
