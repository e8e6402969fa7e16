"""Read a zip archive of strangers: nothing is unpacked to disk, nothing in its headers is believed.

The central directory is read as a stream, so an archive of a million entries costs no memory; each entry has to agree
with its own header, its size, its checksum and its neighbours. The format: PKWARE's APPNOTE.TXT 6.3.10. The standard
library's zipfile builds an object for each entry before anything can be refused, and lets entries overlap.
"""

from __future__ import annotations

import re
import stat
import struct
import unicodedata
from array import array
from bisect import bisect_right
from typing import IO, TYPE_CHECKING, NamedTuple

from isal import isal_zlib

from oot_stats.reasons import RejectedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oot_stats.limits import Limits

FREE_BYTES = 16 * 1024**2  # up to here, no ratio is suspicious
_PIECE = 128 * 1024
_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_FULL_16, _FULL_32 = 0xFFFF, 0xFFFFFFFF
_LONGEST_NAME = 2_048
_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
_SIZES_FOLLOW = 0x0008
_UTF8 = 0x0800
_STORED, _DEFLATED = 0, 8
_UNIX = 3
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)\s*(?:\..*)?", re.IGNORECASE)
_NESTED = (".zip", ".jar", ".whl")


class Entry(NamedTuple):
    """A file of the archive. `path` is relative, with slashes, and has no part that leads elsewhere."""

    path: str
    size: int
    compressed: int
    checksum: int
    method: int
    flags: int
    offset: int
    raw_name: bytes


class Refused(NamedTuple):
    """An entry that is not read."""

    path: str
    reason: RejectedError


class Archive:
    """An archive in an open file."""

    def __init__(self, file: IO[bytes], limits: Limits) -> None:
        """Find the directory and check it. Raises RejectedError for what makes the archive unreadable as a whole."""
        self._file = file
        self._limits = limits
        self._unpacked = 0
        self._last = (-1, 0)  # where the entry that was read last begins, and how much of it was unpacked
        self._size = file.seek(0, 2)
        self._entries, self._directory, self._directory_end = self._find_directory()
        if self._entries > limits.entries:
            raise RejectedError("too_many_entries", f"It has {self._entries:,} entries; {limits.entries:,} are read.")
        if not self._entries:
            raise RejectedError("empty_archive", "It has no entry.")
        self._offsets = self._check_neighbours()

    def entries(self) -> Iterator[Entry | Refused]:
        """Give the files in the order of the directory; folders are left out."""
        seen: set[int] = set()
        for header, raw_name, extra in self._headers():
            shown = _decoded(raw_name, header[3])
            try:
                entry = self._entry(header, raw_name, extra)
                if entry is None:
                    continue
                same = hash(unicodedata.normalize("NFC", entry.path).casefold())
            except RejectedError as reason:
                yield Refused(shown, reason)
                continue
            if same in seen:
                yield Refused(shown, RejectedError("duplicate_name", "An earlier entry has this path."))
                continue
            seen.add(same)
            yield entry

    def read(self, entry: Entry) -> Iterator[bytes]:
        """Give the content of a file. Raises RejectedError as soon as something is wrong with it."""
        position = self._data_of(entry)
        if self._last[0] == entry.offset:  # it is read again
            self._unpacked -= self._last[1]
        left, size, checksum = entry.compressed, 0, 0
        inflate = isal_zlib.decompressobj(-15) if entry.method == _DEFLATED else None
        while left if inflate is None else not inflate.eof:
            data = b"" if inflate is None else inflate.unconsumed_tail
            if not data and left:
                self._file.seek(position)
                data = self._file.read(min(_PIECE, left))
                position += len(data)
                left -= len(data)
            fed = bool(data)
            if inflate is not None:
                data = self._inflate(inflate, data)
            if not fed and not data:
                break
            size += len(data)
            self._unpacked += len(data)
            self._last = (entry.offset, size)
            self._check_sizes(entry, size, entry.compressed - left)
            checksum = isal_zlib.crc32(data, checksum)
            if data:
                yield data
        if inflate is not None and (not inflate.eof or left or inflate.unused_data):
            raise RejectedError("bad_compression", "Its compressed data ends too early, or too late.")
        if size != entry.size:
            raise RejectedError("wrong_size", f"It has {size:,} bytes, and the archive says {entry.size:,}.")
        if checksum != entry.checksum:
            raise RejectedError("wrong_checksum", "Its CRC-32 is not the one in the archive.")

    @staticmethod
    def _inflate(inflate: isal_zlib.Decompress, data: bytes) -> bytes:
        try:
            return bytes(inflate.decompress(data, _PIECE))
        except isal_zlib.error as error:  # type: ignore[misc]  # its stubs call it a value
            raise RejectedError("bad_compression", f"Its compressed data is damaged: {error}.") from None

    def _check_sizes(self, entry: Entry, size: int, consumed: int) -> None:
        limits = self._limits
        if size > entry.size:
            raise RejectedError("wrong_size", f"It has more than the {entry.size:,} bytes that the archive says.")
        if size > limits.file_bytes:
            raise RejectedError("file_too_large", f"It has more than {limits.file_bytes:,} bytes.")
        if size > FREE_BYTES and size > limits.ratio * consumed:
            raise RejectedError("compressed_too_well", f"It is compressed more than {limits.ratio} to 1.")
        if self._unpacked > limits.archive_bytes:
            raise RejectedError(
                "archive_too_large", f"The archive unpacks to more than {limits.archive_bytes:,} bytes."
            )

    def _find_directory(self) -> tuple[int, int, int]:
        """Give the number of entries, and where their directory begins and ends."""
        tail_size = min(self._size, _END.size + _FULL_16)
        tail = self._at(self._size - tail_size, tail_size)
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or at + _END.size > len(tail):
            raise RejectedError("not_a_zip", "It has no zip directory: no archive, or cut off.")
        _, disk, start_disk, here, entries, size, offset, comment = _END.unpack_from(tail, at)
        end = self._size - tail_size + at
        if comment != len(tail) - at - _END.size:
            raise RejectedError("not_a_zip", "Something follows its end.")
        if _FULL_16 in (disk, start_disk, here, entries) or _FULL_32 in (size, offset):
            end, disk, start_disk, here, entries, size, offset = self._find_directory_64(end)
        if disk or start_disk or here != entries or offset + size != end or size < entries * _CENTRAL.size:
            raise RejectedError("not_a_zip", "Its directory is not where the archive says, or spans several disks.")
        return entries, offset, end

    def _find_directory_64(self, end: int) -> tuple[int, int, int, int, int, int, int]:
        locator = self._at(end - _LOCATOR.size, _LOCATOR.size)
        if end < _LOCATOR.size or not locator.startswith(b"PK\x06\x07"):
            raise RejectedError("not_a_zip", "It needs a zip64 directory and has none.")
        offset64 = _LOCATOR.unpack(locator)[2]
        if offset64 + _END64.size != end - _LOCATOR.size:
            raise RejectedError("not_a_zip", "Its zip64 directory is not where the archive says.")
        record = self._at(offset64, _END64.size)
        if not record.startswith(b"PK\x06\x06"):
            raise RejectedError("not_a_zip", "Its zip64 directory is damaged.")
        *_, disk, start_disk, here, entries, size, offset = _END64.unpack(record)
        return offset64, disk, start_disk, here, entries, size, offset

    def _headers(self) -> Iterator[tuple[tuple[int, ...], bytes, bytes]]:
        """Give each header of the directory with its name and extra field, reading on as needed."""
        position, buffer, at = self._directory, b"", 0
        for _ in range(self._entries):
            if len(buffer) - at < _CENTRAL.size + 3 * _FULL_16 and position < self._directory_end:
                more = self._at(position, min(4 * _FULL_16, self._directory_end - position))
                buffer, at = buffer[at:] + more, 0
                position += len(more)
            if len(buffer) - at < _CENTRAL.size or buffer[at : at + 4] != b"PK\x01\x02":
                raise RejectedError("not_a_zip", "Its directory is damaged.")
            header = _CENTRAL.unpack_from(buffer, at)
            at += _CENTRAL.size
            name, extra, comment = header[10:13]
            if at + name + extra + comment > len(buffer):
                raise RejectedError("not_a_zip", "Its directory is damaged.")
            yield header, buffer[at : at + name], buffer[at + name : at + name + extra]
            at += name + extra + comment
        if at != len(buffer) or position != self._directory_end:
            raise RejectedError("not_a_zip", "Its directory has more entries than the archive says.")

    def _check_neighbours(self) -> array[int]:
        """Check that no two entries share bytes, by what the directory says; gives where they begin, sorted."""
        starts = array("Q")
        extents = []
        for header, raw_name, extra in self._headers():
            try:
                _, compressed, offset = _sizes(header, extra)
            except RejectedError:
                continue  # told when the entry is looked at
            extents.append((offset, offset + _LOCAL.size + len(raw_name) + compressed))
            starts.append(offset)
        extents.sort()
        end = 0
        for start, its_end in extents:
            if start < end:
                raise RejectedError("overlapping_entries", "Entries of it share bytes, as in a bomb.")
            end = its_end
        if end > self._directory:
            raise RejectedError("overlapping_entries", "Entries of it reach into its directory.")
        return array("Q", [start for start, _ in extents])

    def _entry(self, header: tuple[int, ...], raw_name: bytes, extra: bytes) -> Entry | None:
        made_by, flags, method, checksum, attributes = header[1], header[3], header[4], header[7], header[15]
        path = _path(raw_name, flags)
        size, compressed, offset = _sizes(header, extra)
        if path.endswith("/"):
            return None
        kind = stat.S_IFMT(attributes >> 16) if made_by >> 8 == _UNIX else 0
        if kind not in (0, stat.S_IFREG):
            raise RejectedError("not_a_file", "It is a link or a device.")
        if flags & _ENCRYPTED:
            raise RejectedError("encrypted", "It is encrypted.")
        if method not in (_STORED, _DEFLATED):
            raise RejectedError("unsupported_compression", f"Its compression is method {method}; use deflate.")
        if size > self._limits.file_bytes:
            raise RejectedError("file_too_large", f"It has {size:,} bytes; {self._limits.file_bytes:,} are read.")
        if path.lower().endswith(_NESTED):
            raise RejectedError("nested_archive", "It is an archive in the archive; put the reports in themselves.")
        return Entry(path, size, compressed, checksum, method, flags, offset, raw_name)

    def _data_of(self, entry: Entry) -> int:
        """Give where an entry's data begins, after a look at its own header."""
        raw = self._at(entry.offset, _LOCAL.size)
        if len(raw) < _LOCAL.size or not raw.startswith(b"PK\x03\x04"):
            raise RejectedError("lying_header", "There is no file where the archive says.")
        _, _, flags, method, _, _, checksum, compressed, size, name, extra = _LOCAL.unpack(raw)
        rest = self._at(entry.offset + _LOCAL.size, name + extra)
        agree = (method, rest[:name]) == (entry.method, entry.raw_name)
        agree &= not (flags ^ entry.flags) & (_ENCRYPTED | _SIZES_FOLLOW | _UTF8)
        if not flags & _SIZES_FOLLOW:
            if _FULL_32 in (compressed, size):
                size, compressed = _zip64(rest[name:], size, compressed)
            agree &= (checksum, compressed, size) == (entry.checksum, entry.compressed, entry.size)
        begin = int(entry.offset + _LOCAL.size + name + extra)
        after = bisect_right(self._offsets, entry.offset)
        end = self._offsets[after] if after < len(self._offsets) else self._directory
        if not agree or begin + entry.compressed > end:
            raise RejectedError("lying_header", "Its own header and the archive's directory disagree.")
        return begin

    def _at(self, offset: int, size: int) -> bytes:
        self._file.seek(max(offset, 0))
        return self._file.read(size)


def _sizes(header: tuple[int, ...], extra: bytes) -> tuple[int, int, int]:
    """Give an entry's size, its compressed size, and where its own header is."""
    compressed, size, offset = header[8], header[9], header[16]
    if _FULL_32 in (size, compressed, offset):
        size, compressed, offset = _zip64(extra, size, compressed, offset)
    return size, compressed, offset


def _zip64(extra: bytes, *told: int) -> tuple[int, ...]:
    """Give the numbers, those that didn't fit from the extra field. Raises RejectedError."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            count = min(length, len(extra) - at - 4) // 8
            numbers = iter(struct.unpack_from(f"<{count}Q", extra, at + 4))
            if count >= sum(number == _FULL_32 for number in told):
                return tuple(next(numbers) if number == _FULL_32 else number for number in told)
            break
        at += 4 + length
    raise RejectedError("lying_header", "It needs zip64 sizes and has none.")


def _decoded(raw: bytes, flags: int) -> str:
    """Give a name for people to read, whatever it is."""
    return raw[:_LONGEST_NAME].decode("utf-8" if flags & _UTF8 else "cp437", "replace")


def _path(raw: bytes, flags: int) -> str:
    """Give a name as a path in the archive. Raises RejectedError `unsafe_name`."""
    why = ""
    try:
        name = raw.decode("utf-8" if flags & _UTF8 or raw.isascii() else "cp437")
    except UnicodeDecodeError:
        name, why = "", "It is not in UTF-8."
    path = name.replace("\\", "/")  # what some programs on Windows write
    parts = path.removesuffix("/").split("/")
    if len(raw) > _LONGEST_NAME:
        why = "It is too long."
    elif not path.strip("/"):
        why = why or "It is empty."
    elif not all(map(_is_shown, path)):
        why = "It has control or direction characters."
    elif path.startswith("/") or re.match(r"[A-Za-z]:", path):
        why = "It is absolute."
    elif ".." in parts:
        why = "It leads out of the archive."
    elif any(_DEVICES.fullmatch(part) for part in parts):
        why = "It is the name of a device."
    elif not all(parts):
        why = "A part of it is empty."
    if why:
        raise RejectedError("unsafe_name", why)
    return "/".join(part for part in path.split("/") if part != ".")


def _is_shown(character: str) -> bool:
    return unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}
