"""Zip archives as strangers make them: good ones, and each way of lying that the collector has to stand."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


def archive(files: Mapping[str, bytes | str], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A plain archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        for name, data in files.items():
            made.writestr(name, data)
    return file.getvalue()


def with_entry(good: Mapping[str, bytes | str], info: zipfile.ZipInfo, data: bytes | str = b"x") -> bytes:
    """A plain archive with one more entry, made by hand."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in good.items():
            made.writestr(name, content)
        made.writestr(info, data)
    return file.getvalue()


def entry(name: str, **told: Any) -> zipfile.ZipInfo:
    """An entry whose fields are as told."""
    info = zipfile.ZipInfo("x")
    info.filename, info.compress_type = name, zipfile.ZIP_DEFLATED
    for field, value in told.items():
        setattr(info, field, value)
    return info


def renamed(data: bytes, old: bytes, new: bytes) -> bytes:
    """Change a name of the same length, in both headers."""
    assert len(old) == len(new)
    assert data.count(old) == 2
    return data.replace(old, new)


def patched(data: bytes, name: bytes, local: Mapping[int, bytes], central: Mapping[int, bytes]) -> bytes:
    """Overwrite bytes of an entry's own header and of the directory's, at offsets from their signatures."""
    changed = bytearray(data)
    headers = (
        (data.index(name) - len(LOCAL) - 26, LOCAL, local),
        (data.rindex(name) - len(CENTRAL) - 42, CENTRAL, central),
    )
    for start, signature, changes in headers:
        assert data.startswith(signature, start)
        for offset, new in changes.items():
            changed[start + offset : start + offset + len(new)] = new
    return bytes(changed)


def end_patched(data: bytes, change: Callable[[list[int]], None]) -> bytes:
    """Change the end record: [disk, start disk, entries here, entries, size, offset, comment length]."""
    at = data.rindex(END)
    fields = list(struct.unpack_from("<4H2LH", data, at + 4))
    change(fields)
    return data[: at + 4] + struct.pack("<4H2LH", *fields) + data[at + 22 :]


def overlapping(content: bytes, names: list[str]) -> bytes:
    """Entries that all share the one file that is there, as in the best of bombs."""
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = packed.compress(content) + packed.flush()
    name = names[0].encode()
    head = struct.pack("<5H3L2H", 20, 0, 8, 0, 0, zlib.crc32(content), len(data), len(content), len(name), 0)
    body = LOCAL + head + name + data
    directory = b""
    for each in names:
        raw = each.encode()
        directory += CENTRAL + struct.pack(
            "<6H3L5H2L",
            *(20, 20, 0, 8, 0, 0),
            *(zlib.crc32(content), len(data), len(content)),
            *(len(raw), 0, 0, 0, 0),
            *(0, 0),
        )
        directory += raw
    end = struct.pack("<4s4H2LH", END, 0, 0, len(names), len(names), len(directory), len(body), 0)
    return body + directory + end


def many_entries(count: int) -> bytes:
    """A directory of that many empty files, in the smallest room."""
    local = LOCAL + struct.pack("<5H3L2H", 20, 0, 0, 0, 0, 0, 0, 0, 5, 0)
    body = b"".join(local + b"%05x" % (number % 2**20) for number in range(count))
    directory = b"".join(
        CENTRAL
        + struct.pack("<6H3L5H2L", 20, 20, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, number * 35)
        + b"%05x" % (number % 2**20)
        for number in range(count)
    )
    here = min(count, 0xFFFF)
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, len(directory), len(body))
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(body) + len(directory), 1)
    end = struct.pack("<4s4H2LH", END, 0, 0, here, here, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return body + directory + end64 + locator + end


def streamed(files: Mapping[str, bytes], *, zip64: bool = False) -> bytes:
    """An archive written to a pipe: sizes follow the data, in descriptors."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.data += bytes(data)
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            with made.open(name, "w", force_zip64=zip64) as file:
                file.write(content)
    return pipe.data
