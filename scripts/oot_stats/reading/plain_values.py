"""The values of plain XML as JSON, byte for byte wherever that is the same: attributes, texts, and simple children.

Whatever only an XML parser can tell raises NotPlainError: then the piece of the report goes to expat as it came.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from oot_runner.xml_bytes import CONTROLS, NONCHARACTERS
from oot_stats.reading.case_rows import TEXT_STARTS, dump, value

if TYPE_CHECKING:
    from collections.abc import Sequence

CHILDREN = frozenset((b"skipped", b"failure", b"error", b"rerun", b"system-out", b"system-err"))
LARGEST_CONTENT = 256 * 1024
# Numbers that JSON writes as Python reads them, a line each.
_NUMBERS = re.compile(rb"(?:(?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,15})?(?:\n|\Z))*+")
_FIRST_TEXT = min(byte for byte in TEXT_STARTS if byte > ord("9"))
# A value with one of these is not the JSON of itself, or not XML: all become NUL, which counts fast.
_SPECIAL = bytes.maketrans(CONTROLS + b"\t\n\r&<\\", bytes(len(CONTROLS) + 6))
_HAS_SPECIAL = re.compile(rb"[\x00-\x1f&\\]")
_CONTROL = re.compile(rb"[\x00-\x1f]")
_NO_TEXT = CONTROLS + b"\r"  # what a text may not have, or not as it came
_REFERENCE = re.compile(r"&(?:(lt|gt|amp|quot|apos)|#([0-9]{1,7})|#x([0-9A-Fa-f]{1,6}));|&")
_ENTITIES = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}
_CHILD = re.compile(
    rb'[ \n\t]*+<([a-z-]+)((?: [A-Za-z_][\w.-]{0,60}="[^"<]*+")*+) ?+(?:/>|>([^<]*+)</\1>[ \n\t]*+)', re.ASCII
)
_ATTRIBUTE = re.compile(rb' ([\w.-]+)="([^"]*+)"', re.ASCII)
_OTHERS = frozenset((b"text", b"tail", b"xmlns"))


class NotPlainError(Exception):
    """This is for expat."""


class Column(NamedTuple):
    """One attribute of every case: either bytes that only miss their quotes, or the JSON itself."""

    values: Sequence[bytes]
    quoted: bool

    def json(self, index: int) -> bytes:
        """Give one value as JSON."""
        return b'"%b"' % self.values[index] if self.quoted else self.values[index]


class Content(NamedTuple):
    """What a case holds, as the part of its row that begins with a comma; and the tags of its children."""

    json: bytes
    tags: frozenset[bytes]


EMPTY = Content(b"", frozenset())


def is_plain(whole: bytes, special: int) -> bool:
    """Say whether none of the values in a text needs a second look; around them it has so many special characters."""
    return whole.translate(_SPECIAL).count(0) == special and _is_text(whole)


def column(values: list[bytes], *, plain: bool) -> Column:
    """Give an attribute's values as JSON. Raises NotPlainError."""
    if plain:
        lowest = min(values)
        if lowest and lowest[0] >= _FIRST_TEXT and max(values)[0] < 0x7F:
            return Column(values, quoted=True)
        if lowest[:1].isdigit() and _NUMBERS.fullmatch(b"\n".join(values)):
            return Column(values, quoted=False)
    return Column([_json(value) for value in values], quoted=False)


def content(data: bytes) -> Content:
    """Read what is inside a case: each child once, with attributes and text alone. Raises NotPlainError."""
    if len(data) > LARGEST_CONTENT or b"num_red" in data:  # the latter is for case_rows to look at
        raise NotPlainError
    position, pieces, tags = 0, [], set()
    while position < len(data):
        child = _CHILD.match(data, position)
        if child is None:
            if data[position:].strip(b" \n\t"):
                raise NotPlainError
            break
        tag, attributes, text = child.groups()
        if tag not in CHILDREN or tag in tags:
            raise NotPlainError
        tags.add(tag)
        pieces.append(b',"%b":{%b}' % (tag, b",".join(_members(attributes, text))))
        position = child.end()
    return Content(b"".join(pieces), frozenset(tags))


def _members(attributes: bytes, text: bytes | None) -> list[bytes]:
    found = dict(_ATTRIBUTE.findall(attributes))
    if 2 * len(found) != attributes.count(b'"') or not _OTHERS.isdisjoint(found):  # one twice is not well-formed
        raise NotPlainError
    members = [b'"%b":%b' % (name, _json(raw)) for name, raw in found.items()]
    if text:
        if len(text.translate(None, _NO_TEXT)) < len(text) or b"]]>" in text or not _is_text(text):
            raise NotPlainError
        told = _unescaped(text)
        if not told.isspace():
            members.append(b'"text":' + dump(told))
    return members


def _json(raw: bytes) -> bytes:
    """Give an attribute as JSON: a number where it is one."""
    if _HAS_SPECIAL.search(raw) is None and raw.isascii() and (not raw or raw[0] in TEXT_STARTS):
        return b'"%b"' % raw
    if _CONTROL.search(raw) or not _is_text(raw):
        raise NotPlainError
    return dump(value(_unescaped(raw)))


def _unescaped(raw: bytes) -> str:
    text = raw.decode()
    return _REFERENCE.sub(_character, text) if "&" in text else text


def _character(reference: re.Match[str]) -> str:
    name, decimal, hexadecimal = reference.groups()
    if name:
        return _ENTITIES[name]
    if not (decimal or hexadecimal):
        raise NotPlainError
    code = int(decimal) if decimal else int(hexadecimal, 16)
    if not (code in {9, 10, 13} or 0x20 <= code < 0xD800 or 0xE000 <= code < 0xFFFE or 0x10000 <= code <= 0x10FFFF):
        raise NotPlainError
    return chr(code)


def _is_text(data: bytes) -> bool:
    """Say whether bytes are UTF-8 without what XML forbids; controls apart."""
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return not any(noncharacter in data for noncharacter in NONCHARACTERS)
