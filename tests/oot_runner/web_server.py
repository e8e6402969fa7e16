"""A real HTTP server that plays the relay and GitHub's token endpoint, well or badly, as a test's script says."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from tests.oot_runner.server_side import REPOSITORY, respond

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping
    from typing import Self, TypeAlias

    Behaviour: TypeAlias = Callable[[BaseHTTPRequestHandler, "Request"], None]

__all__ = [
    "REPOSITORY",
    "Request",
    "WebServer",
    "answer",
    "deliver",
    "dribble",
    "drop",
    "jwt",
    "refuse_unread",
    "stall",
    "truncate",
]


@dataclass(frozen=True)
class Request:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body's JSON object."""
        value: dict[str, Any] = json.loads(self.body)
        return value


def answer(status: int, value: object = None, headers: Mapping[str, str] | None = None) -> Behaviour:
    """Answers with a status and JSON (or bytes as they are)."""

    def behave(handler: BaseHTTPRequestHandler, _: Request) -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        handler.send_response(status)
        for name, text in {"Content-Length": str(len(body)), **(headers or {})}.items():
            handler.send_header(name, text)
        handler.end_headers()
        handler.wfile.write(body)

    return behave


def deliver(handler: BaseHTTPRequestHandler, request: Request) -> None:
    """Answers as our relay does; what the contract refuses, it refuses."""
    answer(*respond(request.body))(handler, request)


def drop(handler: BaseHTTPRequestHandler, _: Request) -> None:
    """Closes the connection without a word."""
    handler.close_connection = True


def stall(handler: BaseHTTPRequestHandler, _: Request) -> None:
    """Says nothing, for longer than a test's max-time."""
    server = handler.server
    assert isinstance(server, _Server)
    server.closing.wait(20)
    handler.close_connection = True


def dribble(handler: BaseHTTPRequestHandler, _: Request) -> None:
    """Sends a byte now and then, so that no single read ever times out."""
    server = handler.server
    assert isinstance(server, _Server)
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _turn in range(1000):
        if server.closing.wait(0.1):
            break
        handler.wfile.write(b" ")


def truncate(handler: BaseHTTPRequestHandler, _: Request) -> None:
    """Promises more than it sends."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"ok": true')
    handler.close_connection = True


def refuse_unread(status: int, value: object) -> Behaviour:
    """Answers before it has read the body, and closes."""

    def behave(handler: BaseHTTPRequestHandler, request: Request) -> None:
        answer(status, value)(handler, request)
        handler.close_connection = True

    behave.unread = True  # type: ignore[attr-defined]
    return behave


def jwt(**claims: object) -> str:
    """Gives an unsigned token that lives for five minutes, with claims."""
    parts: list[object] = [{"alg": "RS256", "typ": "JWT"}, {"exp": int(time.time()) + 300, **claims}]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, "c2lnbmF0dXJl"])


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], owner: WebServer) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)
        self.owner = owner
        self.closing = threading.Event()

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        owner = self.server.owner
        unread = owner.relay and getattr(owner.relay[0], "unread", False)
        self._serve(b"" if unread else self.rfile.read(int(self.headers["Content-Length"])))

    def do_CONNECT(self) -> None:
        self._serve(b"")

    def _serve(self, body: bytes) -> None:
        owner = self.server.owner
        request = Request(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
        with owner.lock:
            owner.requests.append(request)
            script = owner.token if self.path.startswith("/token") else owner.relay
            behave = script.pop(0) if len(script) > 1 else script[0]
        behave(self, request)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@dataclass
class WebServer:
    """The server: `relay` and `token` are behaviours for the requests to come, of which the last one stays."""

    host: str = "127.0.0.1"
    tls: ssl.SSLContext | None = None
    relay: list[Behaviour] = field(default_factory=lambda: [deliver])
    token: list[Behaviour] = field(default_factory=lambda: [answer(200, {"value": jwt()})])
    requests: list[Request] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        self._server = _Server((self.host, 0), self)
        if self.tls:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Its address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self._server.server_port}"

    @property
    def callback_url(self) -> str:
        """What `callback-url` is set to, with the slash that CRCR's own has."""
        return f"{self.url}/github/callback/"

    @property
    def token_url(self) -> str:
        """What GitHub sets ACTIONS_ID_TOKEN_REQUEST_URL to."""
        return f"{self.url}/token?api-version=2.0"

    @property
    def callbacks(self) -> list[Request]:
        """The reports that came."""
        return [request for request in self.requests if request.method == "POST"]
