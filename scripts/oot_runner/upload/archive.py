"""The zip archive as a stream: bounded memory whatever the size, and the same bytes from the same files.

Members are in the order of their names, with the zip format's first day as their time; the manifest is the last one,
since it tells what was really read. Each file is read once, up to the size it had when it was found.
"""

from __future__ import annotations

import hashlib
import zipfile
from typing import TYPE_CHECKING, Any, Callable, Iterator, NamedTuple

from oot_runner.upload.manifest import Skipped, Stored

if TYPE_CHECKING:
    from oot_runner.upload.files import Found

CHUNK_BYTES = 1024 * 1024
ZIP64_BYTES = 1024**3  # such a member's header gets room for a size above 4 GiB, which deflate may make of less


class Entry(NamedTuple):
    """A file and its name in the archive."""

    file: Found
    name: str


class UnreadableError(Exception):
    """A file can't be opened any more; it has been noted."""


class Read:
    """What reading the entries came to so far."""

    def __init__(self, skipped: list[Skipped]) -> None:
        self.stored: list[Stored] = []
        self.skipped = list(skipped)
        self.changed: list[str] = []

    def chunks(self, entry: Entry) -> Iterator[bytes]:
        """Give a file's bytes and take note of what they were.

        Raises UnreadableError instead of giving a first chunk where the file can't be opened at all.
        """
        digest, size = hashlib.sha256(), 0
        try:
            stream = entry.file.open()
        except OSError as error:
            self.skipped.append(Skipped(entry.file.name, f"it cannot be read any more ({error.strerror or error})"))
            raise UnreadableError from None
        with stream:
            while size < entry.file.size:
                try:
                    chunk = stream.read(min(CHUNK_BYTES, entry.file.size - size))
                except OSError:
                    chunk = b""
                if not chunk:
                    self.changed.append(entry.file.name)
                    break
                digest.update(chunk)
                size += len(chunk)
                yield chunk
        source = entry.file.name if entry.name != entry.file.name else ""
        self.stored.append(Stored(entry.name, size, digest.hexdigest(), source))


class Reader:
    """A file object over blocks that are made as they are read; it reads once, and forwards only."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        """Give the next `size` bytes, fewer only at the end; all that is left where no size is given."""
        parts, length = [self._rest], len(self._rest)
        while size < 0 or length < size:
            block = next(self._blocks, None)
            if block is None:
                break
            parts.append(block)
            length += len(block)
        data = b"".join(parts)
        wanted = len(data) if size < 0 else size
        self._rest = data[wanted:]
        return data[:wanted]


class Archive(Reader):
    """The archive to read; `size` and `sha256` are those of what was read so far.

    `last` gives the name and the bytes of a member that comes after all entries, or None.
    """

    def __init__(
        self, entries: list[Entry], read: Read, level: int, last: Callable[[], tuple[str, bytes] | None]
    ) -> None:
        super().__init__(_stream(entries, read, level, last))
        self.size = 0
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """The hash of the archive's bytes, in hex."""
        return self._digest.hexdigest()

    def read(self, size: int = -1) -> bytes:
        """As any Reader does; takes note of what it gives."""
        data = super().read(size)
        self.size += len(data)
        self._digest.update(data)
        return data


class _Sink:
    """What ZipFile writes to: it cannot seek, so sizes follow each member in a data descriptor."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing waits here."""

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data


def _stream(
    entries: list[Entry], read: Read, level: int, last: Callable[[], tuple[str, bytes] | None]
) -> Iterator[bytes]:
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:  # type: ignore[call-overload]  # typeshed wants tell(); zipfile does without
        for entry in sorted(entries, key=lambda entry: entry.name.encode()):
            chunks = read.chunks(entry)
            try:
                first = next(chunks, b"")
            except UnreadableError:
                continue
            # A name instead of a ZipInfo: then zipfile itself sets the fixed time, the level and the permissions.
            with archive.open(entry.name, "w", force_zip64=entry.file.size >= ZIP64_BYTES) as member:
                member.write(first)
                yield sink.take()
                for chunk in chunks:
                    member.write(chunk)
                    yield sink.take()
            yield sink.take()
        closing = last()
        if closing:
            archive.writestr(zipfile.ZipInfo(closing[0]), closing[1], zipfile.ZIP_DEFLATED, level)
    yield sink.take()
