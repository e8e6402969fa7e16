"""A closed-loop HTTP load: a few keep-alive connections, each sending the next request when it has its answer.

One thread and plain sockets, so that the load takes little of the machine that it measures. Bounded by count and time.
"""

from __future__ import annotations

import selectors
import socket
import time
from typing import NamedTuple

from benchmarks.result import BenchmarkError


class Load(NamedTuple):
    """What a load came to: wall seconds of the whole, and of each request."""

    seconds: float
    latencies: list[float]


class _Connection:
    def __init__(self, port: int, request: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = request
        self._answer = b""
        self._sent = 0.0

    def send(self) -> None:
        self._answer = b""
        self._sent = time.perf_counter()
        self.socket.sendall(self._request)

    def receive(self) -> float | None:
        """Read what is there; gives the latency once the answer is whole. Raises BenchmarkError for a bad one."""
        data = self.socket.recv(65536)
        if not data:
            raise BenchmarkError("the endpoint closed the connection")
        self._answer += data
        head, end, body = self._answer.partition(b"\r\n\r\n")
        if not end:
            return None
        if b" 200 " not in head[:13]:
            raise BenchmarkError(f"the endpoint answered {self._answer[:500].decode(errors='replace')}")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        return time.perf_counter() - self._sent if len(body) >= int(length.partition(b":")[2]) else None


def post(
    port: int, path: str, headers: dict[str, str], body: bytes, *, requests: int, connections: int, limit: float
) -> Load:
    """Send `requests` POSTs over `connections`, or as many as `limit` seconds allow. Raises BenchmarkError."""
    lines = [f"POST {path} HTTP/1.1", f"host: 127.0.0.1:{port}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    request = "\r\n".join([*lines, "", ""]).encode() + body
    latencies: list[float] = []
    opened = [_Connection(port, request) for _ in range(connections)]
    with selectors.DefaultSelector() as selector:
        try:
            started = time.perf_counter()
            for connection in opened:
                selector.register(connection.socket, selectors.EVENT_READ, connection)
                connection.send()
            while len(latencies) < requests and time.perf_counter() - started < limit:
                ready = selector.select(timeout=10)
                if not ready:
                    raise BenchmarkError("the endpoint gave no answer within 10 s")
                for key, _ in ready:
                    latency = key.data.receive()
                    if latency is not None:
                        latencies.append(latency)
                        key.data.send()
            return Load(time.perf_counter() - started, latencies)
        finally:
            for connection in opened:
                connection.socket.close()
