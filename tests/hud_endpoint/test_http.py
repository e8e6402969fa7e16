"""Bodies over real sockets, for both halves: plain and gzip, announced and chunked, cut off, lying and hostile."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import time
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests
from starlette.applications import Starlette
from starlette.routing import Route

from hud_endpoint import http
from hud_endpoint.errors import CODES, RefusedError
from hud_endpoint.http import answer_errors, as_json, read_body
from tests.hud_endpoint.samples import COMPLETED_CALLBACK, new_repo, relay_payload
from tests.integration.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request
    from starlette.responses import Response

    from oot_local.stack import Stack
    from tests.hud_endpoint.conftest import Serve


def packed(data: bytes, level: int = 9) -> bytes:
    """Gzip without the time: workers that collect the same tests must see the same names."""
    return gzip.compress(data, level, mtime=0)


LIMIT = 100_000


@pytest.fixture
def url(serve: Serve) -> str:
    """An application that tells how long the body is that it read."""

    async def length(request: Request) -> Response:
        return as_json({"length": len(await read_body(request, LIMIT))})

    async def refuse(_request: Request) -> Response:
        raise RefusedError("store_unavailable", "Not now.", retry_after=7)

    app = Starlette(routes=[Route("/", length, methods=["POST"]), Route("/refuse", refuse)])
    answer_errors(app, "error")
    return serve(app)


def posted(url: str, body: bytes, encoding: str | None, *, chunked: bool = False) -> tuple[int, dict[str, Any]]:
    headers = {} if encoding is None else {"content-encoding": encoding}
    data: bytes | Iterator[bytes] = (body[at : at + 1000] for at in range(0, len(body), 1000)) if chunked else body
    answer = requests.post(url, data=data, headers=headers, timeout=60)
    return answer.status_code, answer.json()


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
class TestBodies:
    @pytest.mark.parametrize("size", [0, 1, 65_536, LIMIT])
    @pytest.mark.parametrize("encoding", [None, "", "identity", "Identity"])
    def test_plain(self, url: str, encoding: str | None, size: int, chunked: bool) -> None:  # noqa: FBT001 - a column
        assert posted(url, b"x" * size, encoding, chunked=chunked) == (200, {"length": size})

    @pytest.mark.parametrize("size", [0, 1, 65_536, LIMIT])
    @pytest.mark.parametrize("encoding", ["gzip", "GZIP", "gzip ", "x-gzip"])
    def test_gzip(self, url: str, encoding: str, size: int, chunked: bool) -> None:  # noqa: FBT001
        assert posted(url, packed(b"x" * size), encoding, chunked=chunked) == (200, {"length": size})

    @pytest.mark.parametrize(
        ("body", "encoding", "code"),
        [
            (b"x" * (LIMIT + 1), None, "body_too_large"),
            (packed(b"x" * (LIMIT + 1)), "gzip", "body_too_large"),
            (packed(b"\0" * 30_000_000), "gzip", "body_too_large"),
            (b"x" * (LIMIT + 1), "gzip", "body_too_large"),  # even before anything is inflated
            (b"{}", "gzip", "invalid_encoding"),
            (b"", "gzip", "invalid_encoding"),
            (packed(b"{}")[:-1], "gzip", "invalid_encoding"),
            (packed(b"{}") + b"more", "gzip", "invalid_encoding"),
            (b"{}", "br", "unsupported_encoding"),
            (b"{}", "zstd", "unsupported_encoding"),
            (zlib.compress(b"{}"), "deflate", "unsupported_encoding"),
            (packed(packed(b"{}")), "gzip, gzip", "unsupported_encoding"),
            (packed(b"{}"), "gzip;q=1", "unsupported_encoding"),
            (b"{}", "<script>", "unsupported_encoding"),
        ],
    )
    def test_refused(
        self,
        url: str,
        body: bytes,
        encoding: str | None,
        code: str,
        chunked: bool,  # noqa: FBT001
    ) -> None:
        status, told = posted(url, body, encoding, chunked=chunked)
        assert (status, told["code"]) == (CODES[code], code)
        assert set(told) == {"error", "code"}
        assert "<script>" not in told["error"]


def test_an_unknown_encoding_is_told_the_known_one(url: str) -> None:
    answer = requests.post(url, data=b"x", headers={"content-encoding": "br"}, timeout=60)
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "gzip")


def test_a_refusal_says_when_to_come_again(url: str) -> None:
    answer = requests.get(f"{url}/refuse", timeout=60)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    assert answer.json() == {"error": "Not now.", "code": "store_unavailable"}


def raw(url: str, head: str, body: bytes = b"") -> tuple[int, bytes]:
    """Send a request whose headers may lie, and read the whole answer."""
    place = urlsplit(url)
    with socket.create_connection((str(place.hostname), place.port or 80), timeout=60) as connection:
        connection.sendall(f"POST / HTTP/1.1\r\nhost: {place.netloc}\r\n{head}\r\n\r\n".encode("latin-1") + body)
        answer = b""
        while read := connection.recv(65536):
            answer += read
            if b"}" in answer:
                break
    return int(answer.split()[1]), answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("head", "body", "status"),
    [
        (f"content-length: {LIMIT + 1}", b"", 413),  # refused before it comes
        (f"content-length: {10**14}", b"", 413),
        (f"content-length: {10**14}\r\ncontent-encoding: gzip", b"", 413),
        ("content-length: 2", b"{}" + b"x" * 100, 200),  # the rest is no part of it
        ("content-length: 99999999999999999999999", b"", 400),
        ("content-length: -1", b"{}", 400),
        ("content-length: two", b"{}", 400),
        ("content-length: 2\r\ncontent-length: 3", b"{}x", 400),
        ("content-length: 2\r\ntransfer-encoding: chunked", b"2\r\n{}\r\n0\r\n\r\n", 400),  # how requests are smuggled
        ("transfer-encoding: chunked", b"nonsense\r\n", 400),
    ],
)
def test_lengths_that_lie_gain_nothing(url: str, head: str, body: bytes, status: int) -> None:
    assert raw(url, f"{head}\r\nconnection: close", body)[0] == status


def test_chunks_without_an_end_are_refused_at_the_limit(url: str) -> None:
    place = urlsplit(url)
    with socket.create_connection((str(place.hostname), place.port or 80), timeout=60) as connection:
        connection.sendall(f"POST / HTTP/1.1\r\nhost: {place.netloc}\r\ntransfer-encoding: chunked\r\n\r\n".encode())
        sent = 0
        chunk = b"2000\r\n" + b"x" * 0x2000 + b"\r\n"
        while sent <= LIMIT:
            connection.sendall(chunk)
            sent += 0x2000
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_caller_who_leaves_is_no_error_of_ours(url: str, caplog: pytest.LogCaptureFixture) -> None:
    place = urlsplit(url)
    with caplog.at_level(logging.INFO):
        with socket.create_connection((str(place.hostname), place.port or 80), timeout=60) as connection:
            connection.sendall(f"POST / HTTP/1.1\r\nhost: {place.netloc}\r\ncontent-length: 50\r\n\r\n{{".encode())
        wait_for(lambda: posted(url, b"x", None)[0] == 200, "the server")
    assert not caplog.records


def trickle(url: str, head: str, piece: bytes, pause: float) -> tuple[int, dict[str, Any], float]:
    """Send a body piece by piece until the server closes; gives the status, the answer and the seconds it took."""
    place = urlsplit(url)
    started, answer = time.monotonic(), b""
    with socket.create_connection((str(place.hostname), place.port or 80)) as connection:
        connection.settimeout(pause)
        start = f"POST {place.path or '/'} HTTP/1.1\r\nhost: {place.netloc}\r\ncontent-length: 99000\r\n{head}\r\n"
        connection.sendall(start.encode())
        while time.monotonic() - started < 30:
            try:
                read = connection.recv(65536)
            except TimeoutError:
                with suppress(OSError):  # closed: what it said is read in the next round
                    connection.sendall(piece)
                continue
            if not read:
                break
            answer += read
        else:
            raise AssertionError("the server still waits")
    return int(answer.split()[1]), json.loads(answer.partition(b"\r\n\r\n")[2]), time.monotonic() - started


class TestSlowBodies:
    @pytest.fixture
    def allowance(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http, "BODY_SECONDS", 0.5)

    @pytest.mark.usefixtures("allowance")
    @pytest.mark.parametrize("piece", [b"", b" "], ids=["nothing", "bytes"])
    def test_one_that_only_trickles_is_refused_and_its_connection_closed(self, url: str, piece: bytes) -> None:
        status, told, seconds = trickle(url, "", piece, 0.1)
        assert (status, told["code"]) == (408, "body_too_slow")
        assert 0.5 <= seconds < 5

    @pytest.mark.usefixtures("allowance")
    @pytest.mark.parametrize("chunk", [b"1\r\n \r\n", b"1;" + b"x" * 500 + b"\r\n \r\n"], ids=["chunks", "extensions"])
    def test_neither_is_a_chunked_one_waited_for(self, url: str, chunk: bytes) -> None:
        place = urlsplit(url)
        with socket.create_connection((str(place.hostname), place.port or 80), timeout=60) as connection:
            start = f"POST / HTTP/1.1\r\nhost: {place.netloc}\r\ntransfer-encoding: chunked\r\n\r\n"
            connection.sendall(start.encode() + chunk)
            assert connection.recv(65536).startswith(b"HTTP/1.1 408 ")

    @pytest.mark.usefixtures("allowance")
    def test_one_that_comes_slowly_but_steadily_is_taken(self, url: str) -> None:
        def pieces() -> Iterator[bytes]:
            for _ in range(8):
                time.sleep(0.1)
                yield b"x" * 10_000  # five times what it must send

        answer = requests.post(url, data=pieces(), timeout=60)
        assert (answer.status_code, answer.json()) == (200, {"length": 80_000})

    @pytest.mark.parametrize("half", ["hud", "relay"])
    def test_both_halves_answer_a_byte_every_three_seconds(self, stack: Stack, half: str) -> None:
        if half == "hud":
            path, head = "/api/oot/results", f"x-hud-internal-bot: {stack.state['internal_api_token']}\r\n"
        else:
            asked = {"repo": stack.state["sample_repo"], "claims": {"run_id": "7"}}
            minted = requests.post(f"{stack.state['github_url']}/_local/mint", json=asked, timeout=60).json()["token"]
            path, head = "/github/callback", f"authorization: Bearer {minted}\r\n"
        status, told, seconds = trickle(stack.state[f"{half}_url"] + path, head, b" ", 3)
        assert (status, told["code"]) == (408, "body_too_slow")
        assert seconds < 20


@pytest.mark.parametrize(("broken", "status"), [(False, 200), (True, 400)])
@pytest.mark.parametrize("half", ["hud", "relay"])
def test_both_halves_take_gzip(stack: Stack, half: str, broken: bool, status: int) -> None:  # noqa: FBT001 - a column
    token = stack.state["internal_api_token"]
    if half == "hud":
        path, body = "/api/oot/results", relay_payload(repo=new_repo())
        headers = {"x-hud-internal-bot": token}
    else:
        asked = {
            "repo": stack.state["sample_repo"],
            "claims": {"run_id": "7", "check_run_id": "987", "event_name": "schedule"},
        }
        minted = requests.post(f"{stack.state['github_url']}/_local/mint", json=asked, timeout=60).json()["token"]
        path, headers = "/github/callback", {"authorization": f"Bearer {minted}"}
        workflow = {**COMPLETED_CALLBACK["workflow"], "run_id": "7"}
        body = {**COMPLETED_CALLBACK, "event_type": "nightly", "delivery_id": f"gzip-{broken}", "workflow": workflow}
    data = packed(json.dumps(body).encode())
    answer = requests.post(
        stack.state[f"{half}_url"] + path,
        data=data[:-1] if broken else data,
        headers={**headers, "content-encoding": "gzip"},
        timeout=60,
    )
    assert answer.status_code == status, answer.text
    if broken:
        assert answer.json()["code"] == "invalid_encoding"
