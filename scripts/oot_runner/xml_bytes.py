"""The bytes of an XML file, whatever their encoding, as the UTF-8 that XML 1.0 permits.

Standard library only, Python 3.8 or later.
"""

from __future__ import annotations

import codecs
import re

# The file names its own codec: accept those that decode in linear time.
CODECS = re.compile(r"utf-8|iso8859-\d+|cp\d+|koi8-[rtu]|gb2312|gbk|gb18030|big5|shift_jis|euc_jp|euc_kr")
DECLARATION = re.compile(rb"""<\?xml[^>]{0,200}?\sencoding\s*=\s*["']([\w.-]{1,40})["']""")
BYTE_ORDERS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)

# XML 1.0 forbids these characters, and producers write them all the same: colours and NULs in captured text.
CONTROLS = bytes(set(range(0x20)) - set(b"\t\n\r"))
NONCHARACTERS = ("\ufffe".encode(), "\uffff".encode())
REFERENCE = re.compile(rb"&#(?:x([0-9A-Fa-f]{1,6})|([0-9]{1,7}));")
LONGEST_REFERENCE = len("&#1114111;")


def codec(head: bytes) -> str:
    """Give the codec of a file that begins so. Raises LookupError, with a sentence, for one that is not read here."""
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
        raise LookupError(f"the encoding {name} is not read here; write the report as UTF-8")
    return known


def permitted(data: bytes, *, final: bool) -> tuple[bytes, bytes]:
    """Drop what XML forbids. Gives the data, and a rest that may be the start of a character reference."""
    data, rest = data.translate(None, CONTROLS), b""
    if not data.isascii():
        for noncharacter in NONCHARACTERS:
            data = data.replace(noncharacter, b"")
    if not final:
        start = data.rfind(b"&", -LONGEST_REFERENCE)
        if start >= 0 and b";" not in data[start:]:
            data, rest = data[:start], data[start:]
    if b"#" in data and b"&#" in data:  # the first alone is ten times as fast, and mostly settles it
        data = REFERENCE.sub(_permitted_reference, data)
    return data, rest


def _permitted_reference(reference: re.Match[bytes]) -> bytes:
    hexadecimal, decimal = reference.groups()
    code = int(hexadecimal, 16) if hexadecimal else int(decimal)
    permitted = code in (9, 10, 13) or 0x20 <= code < 0xD800 or 0xE000 <= code < 0xFFFE or 0x10000 <= code <= 0x10FFFF
    return reference.group() if permitted else b""
