"""The bytes of an XML file, whatever their encoding, as the UTF-8 that XML 1.0 permits: the one cleaning rule.

A document that is valid comes out as it went in. What producers write although XML forbids it is mended so that it
costs a character and never the file: control characters (colours, NULs) and references to them are dropped, bytes
that are not in the file's encoding become U+FFFD, blank lines and byte order marks in front of the declaration go.
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Callable, Iterable, Iterator

HEAD_BYTES = 256  # enough for a byte order mark and an XML declaration
# The file names its own codec: accept those that decode in linear time.
CODECS = re.compile(r"utf-8|iso8859-\d+|cp\d+|koi8-[rtu]|gb2312|gbk|gb18030|big5|shift_jis|euc_jp|euc_kr")
DECLARATION = re.compile(rb"""<\?xml[^>]{0,200}?\sencoding\s*=\s*["']([\w.-]{1,40})["']""")
BYTE_ORDERS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
BLANK_HEAD = re.compile(rb"(?:[ \t\r\n]|\xef\xbb\xbf)*")

CONTROLS = bytes(set(range(0x20)) - set(b"\t\n\r"))
NONCHARACTERS = ("\ufffe".encode(), "\uffff".encode())
# In a CDATA section `&#27;` is text, and valid.
SECTION_OR_REFERENCE = re.compile(rb"<!\[CDATA\[.*?(?:\]\]>|\Z)|&#(?:x([0-9A-Fa-f]{1,6})|([0-9]{1,7}));", re.DOTALL)
SECTION_END = b"]]>"
# The end of a piece that may be the start of a reference, or of a section's start or end.
UNFINISHED = re.compile(rb"(?:&(?:#\w{0,8})?|<(?:!(?:\[(?:C(?:D(?:A(?:TA?)?)?)?)?)?)?|\]{1,2})\Z")
LONGEST_UNFINISHED = 10


class UnknownEncodingError(Exception):
    """A file in an encoding that is not read here."""


def clean(pieces: Iterable[bytes], in_section: Callable[[], bool]) -> Iterator[tuple[bytes, bool]]:
    """Yield the pieces of a file as clean UTF-8, a blank head included, each with whether it is the last.

    `in_section` says whether what was yielded so far ends in a CDATA section. Raises UnknownEncodingError.
    """
    stream = iter(pieces)
    head = b""
    for piece in stream:
        head += piece
        if len(head) >= HEAD_BYTES:
            break
    decoder = codecs.getincrementaldecoder(_codec(head))("replace")
    rest, piece, final = b"", head, False
    while True:
        data = rest + decoder.decode(piece, final=final).encode("utf-8", "replace")
        data, rest = _permitted(data, final=final, in_section=in_section)
        yield data, final
        if final:
            return
        following = next(stream, None)
        piece, final = following or b"", following is None


def without_blank_head(data: bytes) -> tuple[bytes, int]:
    """Return a file's first data without the blanks and byte order marks in front, and how many lines these were."""
    match = BLANK_HEAD.match(data)
    end = match.end() if match else 0
    return data[end:], data.count(b"\n", 0, end)


def _codec(head: bytes) -> str:
    """Return the codec of a file that begins so."""
    head = head.lstrip(b" \t\r\n") or head
    for start, name in BYTE_ORDERS:
        if head.startswith(start):
            return name
    declared = DECLARATION.match(head)
    name = declared.group(1).decode("ascii") if declared else "utf-8"
    try:
        known = codecs.lookup(name).name
    except LookupError:
        known = name
    if known == "ascii" or known.startswith("utf-16"):
        return "utf-8"  # bytes that are not UTF-16: the program that wrote them meant its strings
    if not CODECS.fullmatch(known):
        raise UnknownEncodingError(f"the encoding {name} is not read here; write the report as UTF-8")
    return known


def _permitted(data: bytes, *, final: bool, in_section: Callable[[], bool]) -> tuple[bytes, bytes]:
    """Return the data without what XML forbids, and a rest to put in front of what follows."""
    if any(map(data.__contains__, CONTROLS)):  # a third of the time that `translate` takes
        data = data.translate(None, CONTROLS)
    if not data.isascii():
        for noncharacter in NONCHARACTERS:
            data = data.replace(noncharacter, b"")
    rest = b""
    if not final:
        unfinished = UNFINISHED.search(data, max(len(data) - LONGEST_UNFINISHED, 0))
        if unfinished:
            data, rest = data[: unfinished.start()], unfinished.group()
    if b"#" in data and b"&#" in data:  # the first alone is ten times as fast, and mostly settles it
        outside = 0
        if in_section():
            end = data.find(SECTION_END)
            outside = len(data) if end < 0 else end
        data = data[:outside] + SECTION_OR_REFERENCE.sub(_permitted_reference, data[outside:])
    return data, rest


def _permitted_reference(match: re.Match[bytes]) -> bytes:
    hexadecimal, decimal = match.groups()
    if hexadecimal is None and decimal is None:
        return match.group()  # a section
    code = int(hexadecimal, 16) if hexadecimal else int(decimal)
    permitted = code in (9, 10, 13) or 0x20 <= code < 0xD800 or 0xE000 <= code < 0xFFFE or 0x10000 <= code <= 0x10FFFF
    return match.group() if permitted else b""
