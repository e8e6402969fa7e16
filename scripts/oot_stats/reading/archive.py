"""Read a zip archive of strangers: nothing is unpacked to disk, and nothing in its headers is believed.

`zipfile` reads it, under a policy: entries and sizes are capped before anything is opened, no two entries share bytes,
and each agrees with its own header. An archive that other programs may read otherwise is refused, not guessed at. The
format: PKWARE's APPNOTE.TXT 6.3.10.
"""

from __future__ import annotations

import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from typing import IO, TYPE_CHECKING, NamedTuple

from oot_stats.reasons import RejectedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oot_stats.limits import Limits

FREE_BYTES = 16 * 1024**2  # up to here, no ratio is suspicious
MOST_RATIO = 500  # how many times larger a file may get
_PIECE = 128 * 1024
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_SIZE = 20
_LOCAL = struct.Struct("<4s5H3L2H")
_FULL_16, _FULL_32 = 0xFFFF, 0xFFFFFFFF
_LONGEST_NAME = 2_048
_MOST_DIRECTORY_BYTES = 512  # for each entry that is read: its name and extra fields
_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
_SIZES_FOLLOW = 0x0008
_UTF8 = 0x0800
_UNIX = 3
_NESTED = (".zip", ".jar", ".whl")
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, struct.error)


class Entry(NamedTuple):
    """A file of the archive. `path` is relative, with slashes, and has no part that leads elsewhere."""

    path: str
    info: zipfile.ZipInfo

    @property
    def size(self) -> int:
        return self.info.file_size


class Refused(NamedTuple):
    """An entry that is not read."""

    path: str
    reason: RejectedError


class Archive:
    """An archive in an open file."""

    def __init__(self, file: IO[bytes], limits: Limits) -> None:
        """Check the archive as a whole. Raises RejectedError for what makes it unreadable."""
        self._file = file
        self._limits = limits
        self._unpacked = 0
        count, directory = _end_of(file, limits)
        try:
            self._zip = zipfile.ZipFile(file)
        except _BROKEN as error:
            raise RejectedError("not_a_zip", f"Its directory is damaged: {error}.") from None
        infos = self._zip.infolist()
        if len(infos) != count:
            raise RejectedError("not_a_zip", f"Its directory has {len(infos):,} entries, and its end says {count:,}.")
        _check_neighbours(infos, directory)

    def entries(self) -> Iterator[Entry | Refused]:
        """Yield the files in the order of the directory; folders are left out."""
        seen: set[str] = set()
        for info in self._zip.infolist():
            try:
                path = _path(info)
                if path.endswith("/"):
                    continue
                self._check_kind(info)
            except RejectedError as reason:
                yield Refused(info.orig_filename[:_LONGEST_NAME], reason)
                continue
            if path in seen:
                yield Refused(path, RejectedError("duplicate_name", "An earlier entry has this path."))
                continue
            seen.add(path)
            yield Entry(path, info)

    def read(self, entry: Entry) -> Iterator[bytes]:
        """Yield the content of a file in pieces. Raises RejectedError as soon as something is wrong with it."""
        self._check_header(entry.info)
        size = 0
        try:
            with self._zip.open(entry.info) as file:
                while piece := file.read(_PIECE):
                    size += len(piece)
                    self._unpacked += len(piece)
                    if self._unpacked > self._limits.archive_bytes:
                        limit = self._limits.archive_bytes
                        raise RejectedError("archive_too_large", f"The archive unpacks to more than {limit:,} bytes.")
                    yield piece
        except _BROKEN as error:
            if "CRC" in str(error):
                raise RejectedError("wrong_checksum", "Its CRC-32 is not the one in the archive.") from None
            raise RejectedError(
                "bad_compression", f"Its compressed data is damaged: {str(error) or 'cut off'}."
            ) from None
        if size != entry.size:
            raise RejectedError("wrong_size", f"It has {size:,} bytes, and the archive says {entry.size:,}.")

    def _check_kind(self, info: zipfile.ZipInfo) -> None:
        kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == _UNIX else 0
        if kind not in (0, stat.S_IFREG):
            raise RejectedError("not_a_file", "It is a link or a device.")
        if info.flag_bits & _ENCRYPTED:
            raise RejectedError("encrypted", "It is encrypted.")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise RejectedError(
                "unsupported_compression", f"Its compression is method {info.compress_type}; use deflate."
            )
        size, limit = info.file_size, self._limits.file_bytes
        if _FULL_32 in (size, info.compress_size, info.header_offset):
            raise RejectedError("lying_header", "It needs zip64 sizes and has none.")
        if size > limit:
            raise RejectedError("file_too_large", f"It has {size:,} bytes; {limit:,} are read.")
        if size > FREE_BYTES and size > MOST_RATIO * info.compress_size:
            raise RejectedError("compressed_too_well", f"It is compressed more than {MOST_RATIO} to 1.")
        if info.orig_filename.lower().endswith(_NESTED):
            raise RejectedError("nested_archive", "It is an archive in the archive; put the reports in themselves.")

    def _check_header(self, info: zipfile.ZipInfo) -> None:
        """Check that an entry's own header tells the same as the directory: other programs go by it."""
        self._file.seek(info.header_offset)
        raw = self._file.read(_LOCAL.size)
        if len(raw) < _LOCAL.size or not raw.startswith(b"PK\x03\x04"):
            raise RejectedError("lying_header", "There is no file where the archive says.")
        _, _, flags, method, _, _, checksum, compressed, size, name_size, _ = _LOCAL.unpack(raw)
        name = self._file.read(name_size)
        agree = method == info.compress_type and name == _raw_name(info)
        agree &= not (flags ^ info.flag_bits) & (_ENCRYPTED | _SIZES_FOLLOW | _UTF8)
        if not flags & _SIZES_FOLLOW:
            agree &= checksum == info.CRC
            agree &= size in (info.file_size, _FULL_32) and compressed in (info.compress_size, _FULL_32)
        if not agree:
            raise RejectedError("lying_header", "Its own header and the archive's directory disagree.")


def _end_of(file: IO[bytes], limits: Limits) -> tuple[int, int]:
    """Return the number of entries, and where their directory begins, as the archive's end says.

    Raises RejectedError for an archive that has anything before or after it, or more entries than are read.
    """
    size = file.seek(0, 2)
    start = max(size - _END.size - _FULL_16, 0)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _END.size > len(tail):
        raise RejectedError("not_a_zip", "It has no zip directory: no archive, or cut off.")
    _, disk, start_disk, here, entries, directory_size, offset, comment = _END.unpack_from(tail, at)
    if comment != len(tail) - at - _END.size:
        raise RejectedError("not_a_zip", "Something follows its end.")
    end = start + at
    if _FULL_16 in (disk, start_disk, here, entries) or _FULL_32 in (directory_size, offset):
        end -= _LOCATOR_SIZE + _END64.size
        file.seek(max(end, 0))
        record = file.read(_END64.size + 4)
        if len(record) < _END64.size + 4 or record[:4] + record[-4:] != b"PK\x06\x06PK\x06\x07":
            raise RejectedError("not_a_zip", "It needs a zip64 directory and has none.")
        *_, disk, start_disk, here, entries, directory_size, offset = _END64.unpack(record[:-4])
    if disk or start_disk or here != entries or offset + directory_size != end:
        raise RejectedError("not_a_zip", "Its directory is not where the archive says, or spans several disks.")
    if entries > limits.entries or directory_size > limits.entries * _MOST_DIRECTORY_BYTES:
        raise RejectedError("too_many_entries", f"It has {entries:,} entries; {limits.entries:,} are read.")
    if not entries:
        raise RejectedError("empty_archive", "It has no entry.")
    return entries, offset


def _check_neighbours(infos: list[zipfile.ZipInfo], directory: int) -> None:
    """Check that no two entries share bytes. `zipfile` does since 3.11.8 and 3.12.2, when it opens each."""
    extents = sorted(
        (info.header_offset, info.header_offset + _LOCAL.size + len(_raw_name(info)) + info.compress_size)
        for info in infos
    )
    end = 0
    for start, its_end in extents:
        if start < end:
            raise RejectedError("overlapping_entries", "Entries of it share bytes, as in a bomb.")
        end = its_end
    if end > directory:
        raise RejectedError("overlapping_entries", "Entries of it reach into its directory.")


def _raw_name(info: zipfile.ZipInfo) -> bytes:
    return info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437")


def _path(info: zipfile.ZipInfo) -> str:
    """Return an entry's name as a path in the archive. Raises RejectedError `unsafe_name`.

    Nothing is unpacked: names that some file system does not take, or takes for one another, are none of its matter.
    """
    path = info.orig_filename.replace("\\", "/")  # what some programs on Windows write
    parts = path.removesuffix("/").split("/")
    why = ""
    if len(path) > _LONGEST_NAME:
        why = "It is too long."
    elif not path.strip("/"):
        why = "It is empty."
    elif not all(map(_is_shown, path)):
        why = "It has control or direction characters."
    elif path.startswith("/") or re.match(r"[A-Za-z]:", path):
        why = "It is absolute."
    elif ".." in parts:
        why = "It leads out of the archive."
    elif not all(parts):
        why = "A part of it is empty."
    if why:
        raise RejectedError("unsafe_name", why)
    return "/".join(part for part in path.split("/") if part != ".")


def _is_shown(character: str) -> bool:
    return unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}
