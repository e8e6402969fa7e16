"""What makes a DynamoDB emulator that forgets everything when it is killed as durable as DynamoDB: a proxy before it.

It forwards requests, puts writes into one order, and remembers those that were answered. When the emulator was killed,
`POST /down` lets nothing through until `POST /restore` has sent all of them again to the new one, in the same order,
which makes the same items and the same stream (under a new name: whoever reads it reads all of it again). A write that
was cut off before its answer may have been done or not, as with the real one: a coin decides. The stream is read
between writes, so that nobody has seen in it what then was not done.

    python -m tests.integration.durable_dynamodb PORT UPSTREAM_PORT SEED
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys

import uvloop

_STREAM = "GetRecords"
_WRITES = ("CreateTable", "UpdateTimeToLive", "PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem")
_AWAY = b'{"__type": "InternalServerError", "message": "the emulator is away"}'


class Proxy:
    """One emulator's memory."""

    def __init__(self, upstream: int, seed: int) -> None:
        self._upstream = upstream
        self._coin = random.Random(seed)  # noqa: S311 - no secret
        self._order = asyncio.Lock()
        self._journal: list[bytes] = []
        self._up = True
        self._life = 0  # connections of an earlier life of the emulator are dead

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, with one of its own to the emulator."""
        life, link = self._life, Link(self._upstream)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                request = await read_message(reader)
                if life != self._life:
                    link.close()
                    life, link = self._life, Link(self._upstream)
                writer.write(await self._answer(link, request))
                await writer.drain()
        writer.close()
        link.close()

    async def _answer(self, link: Link, request: bytes) -> bytes:
        if request.startswith(b"POST /down "):
            self._up = False
            return message(200, b"")
        if request.startswith(b"POST /restore "):
            async with self._order:
                return message(200, str(await self._restore()).encode())
        told = operation(request)
        if told == _STREAM:
            async with self._order:
                return await self._forward(link, request) or message(500, _AWAY)
        if told not in _WRITES:
            return await self._forward(link, request) or message(500, _AWAY)
        async with self._order:
            answer = await self._forward(link, request)
            in_doubt = answer is None and link.asked
            if self._coin.random() < 0.5 if in_doubt else answer and answer.startswith(b"HTTP/1.1 200"):
                self._journal.append(request)
        return answer or message(500, _AWAY)

    async def _forward(self, link: Link, request: bytes) -> bytes | None:
        link.asked = False
        try:
            return await link.ask(request) if self._up else None
        except (OSError, asyncio.IncompleteReadError):
            link.close()
            return None

    async def _restore(self) -> int:
        link = Link(self._upstream)
        for request in self._journal:
            await link.ask(request)
        link.close()
        self._life += 1
        self._up = True
        return len(self._journal)


class Link:
    """A connection to the emulator, made when it is needed, and anew when the emulator has closed it in between."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.asked = False

    async def ask(self, request: bytes) -> bytes:
        """Send a request and give its answer; `asked` tells whether it may have been read."""
        if self._streams and self._streams[0].at_eof():
            self.close()
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=2**24)
        reader, writer = self._streams
        writer.write(request)
        self.asked = True
        answer = await read_message(reader)
        if b"\nconnection: close\r" in answer[:2000].lower():  # after a thousand requests
            self.close()
        return answer

    def close(self) -> None:
        """Let go of the connection."""
        if self._streams:
            self._streams[1].close()
            self._streams = None


async def read_message(reader: asyncio.StreamReader) -> bytes:
    """Read a request or an answer whole; all of them carry a Content-Length."""
    head = await reader.readuntil(b"\r\n\r\n")
    size = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            size = int(line.split(b":")[1])
    return head + (await reader.readexactly(size) if size else b"")


def operation(request: bytes) -> str:
    """Give the name of the operation that is asked for, "" for what is none of DynamoDB's."""
    head = request[: request.index(b"\r\n\r\n")]
    target = next((line for line in head.split(b"\r\n") if line.lower().startswith(b"x-amz-target:")), b"")
    return target.rpartition(b".")[2].decode()


def message(status: int, body: bytes) -> bytes:
    """Write an answer."""
    return b"HTTP/1.1 %d x\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n%b" % (
        status,
        len(body),
        body,
    )


async def main(port: int, upstream: int, seed: int) -> None:
    proxy = Proxy(upstream, seed)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", port, limit=2**24)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(*(int(argument) for argument in sys.argv[1:4])))
