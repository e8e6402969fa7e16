"""The archive of one callback, opened as hostile: exactly one small file of one name, or nothing."""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import Any

import orjson

from hud_endpoint.contract import RELAY_BODY_BYTES
from oot_runner.deferral import FILE_NAME

ARCHIVE_BYTES = RELAY_BODY_BYTES + 64 * 1024  # stored, not even compressed
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError, ValueError)


class ArchiveError(Exception):
    """An archive that is not what report-result leaves behind."""

    code = "bad_archive"


def read_callback(data: bytes) -> Any:  # noqa: ANN401 - JSON, of any kind until it is validated
    """Give the JSON in the archive. Raises ArchiveError."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            (entry,) = archive.infolist()
            plain = entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) and not entry.flag_bits & 1
            if entry.filename != FILE_NAME or not plain or entry.file_size > RELAY_BODY_BYTES:
                raise ArchiveError
            with archive.open(entry) as file:  # whatever the archive says of its size, no more is inflated
                content = file.read(RELAY_BODY_BYTES + 1)
                if len(content) > RELAY_BODY_BYTES or file.read(1):
                    raise ArchiveError
    except _BROKEN:
        raise ArchiveError from None
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        raise ArchiveError from None
