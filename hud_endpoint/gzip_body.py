"""Bodies that come compressed: inflated no further than their cap, so that a bomb costs what a plain body costs."""

from __future__ import annotations

import zlib

from hud_endpoint.errors import RefusedError

_GZIP = 16 + zlib.MAX_WBITS  # a gzip header, and nothing else, is accepted
_MEMBERS = 16  # RFC 1952 lets a file have any number; each of them costs a window of memory


def inflate(data: bytes, limit: int) -> bytes:
    """Give the plain bytes of a gzip file.

    Raises RefusedError `body_too_large` above `limit` bytes, and `invalid_encoding` for what is no whole gzip file.
    """
    plain = bytearray()
    for _ in range(_MEMBERS):
        member = zlib.decompressobj(_GZIP)
        try:
            plain += member.decompress(data, limit + 1 - len(plain))
        except zlib.error as error:
            raise _invalid("it is damaged") from error
        if len(plain) > limit:
            raise too_large(limit)
        if not member.eof:
            raise _invalid("its end is missing")
        data = member.unused_data
        if not data:
            return bytes(plain)
    raise _invalid(f"it has more than {_MEMBERS} members")


def too_large(limit: int) -> RefusedError:
    """The refusal of a body with more than `limit` bytes, before or after inflating."""
    return RefusedError("body_too_large", f"The body has more than {limit:,} bytes: send fewer test details.")


def _invalid(why: str) -> RefusedError:
    return RefusedError("invalid_encoding", f"The body is said to be gzip, but {why}: send one whole gzip file.")
