"""Text cut to a number of bytes in UTF-8, between characters.

The caps are those of `hud_endpoint/contract.py`, which these scripts cannot import: they run alone on other people's
machines. tests/oot_runner holds the two together.
"""

from __future__ import annotations

import hashlib

NAME_BYTES = 512
MESSAGE_BYTES = 1024
STACKTRACE_BYTES = 4096


def cut(text: str, limit: int) -> str:
    """Return the longest prefix of a text that fits `limit` bytes; lone surrogates become question marks."""
    if len(text) * 4 <= limit and text.isascii():
        return text
    data = text[: limit + 1].encode("utf-8", "replace")
    return data[:limit].decode("utf-8", "ignore")


def cut_name(name: str, limit: int = NAME_BYTES) -> str:
    """Return a name of at most `limit` bytes; a cut one ends in a hash of the whole, so two never become one."""
    whole = name.encode("utf-8", "replace")
    if len(whole) <= limit:
        return whole.decode("utf-8")
    digest = "~" + hashlib.sha256(whole).hexdigest()[:12]
    return cut(name, limit - len(digest)) + digest
