"""Compressed bodies: whatever gzip can be, the cap holds while it is inflated."""

from __future__ import annotations

import gzip
import io
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hud_endpoint.errors import RefusedError
from hud_endpoint.gzip_body import inflate


def packed(data: bytes, level: int = 9) -> bytes:
    """Gzip without the time: workers that collect the same tests must see the same names."""
    return gzip.compress(data, level, mtime=0)


LIMIT = 100_000
WHOLE = packed(b'{"a": 1}')


def named() -> bytes:
    """A gzip file with a name, as the command line tool writes it."""
    out = io.BytesIO()
    with gzip.GzipFile("body.json", "wb", fileobj=out) as file:
        file.write(b"{}")
    return out.getvalue()


def code(data: bytes, limit: int = LIMIT) -> str:
    with pytest.raises(RefusedError) as caught:
        inflate(data, limit)
    assert len(caught.value.message) < 200
    return caught.value.code


@given(st.lists(st.binary(max_size=2000), min_size=1, max_size=5), st.integers(0, 9))
def test_what_was_compressed_comes_back(parts: list[bytes], level: int) -> None:
    data = b"".join(packed(part, level) for part in parts)  # RFC 1952: members one after another
    assert inflate(data, LIMIT) == b"".join(parts)


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT])
def test_up_to_the_limit(size: int) -> None:
    assert len(inflate(packed(b"x" * size), LIMIT)) == size


def test_a_file_with_a_name_is_one() -> None:
    assert inflate(named(), LIMIT) == b"{}"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (packed(b"x" * (LIMIT + 1)), "body_too_large"),
        (packed(b"x" * LIMIT) + packed(b"x"), "body_too_large"),
        (packed(b"\0" * 50_000_000), "body_too_large"),
        (b"", "invalid_encoding"),
        (b"{}", "invalid_encoding"),
        (WHOLE[:-1], "invalid_encoding"),
        (WHOLE[:-8], "invalid_encoding"),
        (WHOLE[:12], "invalid_encoding"),
        (WHOLE[:3], "invalid_encoding"),
        (WHOLE + b"x", "invalid_encoding"),
        (WHOLE + b"\0" * 10, "invalid_encoding"),
        (WHOLE + WHOLE[:-1], "invalid_encoding"),
        (WHOLE[:-8] + b"\0" * 4 + WHOLE[-4:], "invalid_encoding"),  # a wrong CRC
        (WHOLE[:-4] + b"\xff" * 4, "invalid_encoding"),  # a wrong length
        (WHOLE[:10] + b"\xff" * 20, "invalid_encoding"),
        (zlib.compress(b"{}"), "invalid_encoding"),  # deflate is another encoding
        (zlib.compress(b"{}", wbits=-15), "invalid_encoding"),
        (b"".join([packed(b"")] * 17), "invalid_encoding"),
        (b"".join([packed(b"")] * 100_000), "invalid_encoding"),
        (packed(WHOLE)[:-1], "invalid_encoding"),
    ],
)
def test_what_is_refused(data: bytes, told: str) -> None:
    assert code(data) == told


@given(st.binary(max_size=200))
def test_garbage_is_refused_and_nothing_else_happens(data: bytes) -> None:
    assert code(b"\x1f\x8b\x08\x00" + data) == "invalid_encoding"


def test_a_bomb_costs_what_a_plain_body_costs() -> None:
    bomb = packed(b"\0" * 100_000_000)  # a thousandth of it
    tracemalloc.start()
    try:
        assert code(bomb, 2 * 1024 * 1024) == "body_too_large"
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * 1024**2


@given(st.binary(max_size=300), st.integers(0, 10**9), st.sampled_from([b"", b"\0", b"\xff", b"\x1f\x8b"]))
def test_a_damaged_file_is_never_read_otherwise_than_by_the_gzip_module(body: bytes, seed: int, damage: bytes) -> None:
    data = bytearray(packed(body) + (packed(b"more") if seed % 2 else b""))
    at = seed % len(data)
    data[at : at + seed % 3] = damage
    try:
        expected: bytes | None = gzip.decompress(bytes(data))
    except (OSError, EOFError, zlib.error):
        expected = None
    try:
        plain: bytes | None = inflate(bytes(data), LIMIT)
    except RefusedError:
        plain = None
    assert plain is None or plain == expected
    if plain is None and expected is not None:  # the module ignores zeros at the end, and an empty file
        assert not data or data.endswith(b"\0")
