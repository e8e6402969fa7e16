"""Archives beside zipfile and unzip: what ours reads they read the same; what they may read otherwise it refuses."""

from __future__ import annotations

import io
import random
import shutil
import subprocess
import zipfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oot_stats.limits import Limits
from oot_stats.reading.archive import Archive, Entry
from oot_stats.reasons import RejectedError
from tests.oot_stats.hostile_artifacts import BAD, GOOD, HOSTILE, READ, REPORT
from tests.oot_stats.zips import archive

if TYPE_CHECKING:
    from pathlib import Path

ARCHIVES = {**{name: hostile.data for name, hostile in HOSTILE.items()}, **READ}


def contents(data: bytes) -> dict[str, bytes]:
    """What ours reads, by the names in the archive; files that are refused are left out."""
    found: dict[str, bytes] = {}
    try:
        opened = Archive(io.BytesIO(data), Limits())
        for entry in opened.entries():
            if isinstance(entry, Entry):
                try:
                    found[entry.info.filename] = b"".join(opened.read(entry))
                except RejectedError:
                    continue
    except RejectedError:
        return {}
    return found


@pytest.mark.parametrize("name", ARCHIVES)
def test_what_is_read_zipfile_reads_the_same(name: str) -> None:
    data = ARCHIVES[name]
    found = contents(data)
    if found:
        with zipfile.ZipFile(io.BytesIO(data)) as opened:
            first: dict[str, zipfile.ZipInfo] = {}
            for info in opened.infolist():
                first.setdefault(info.filename, info)
            assert {file: opened.read(first[file]) for file in found} == found


@pytest.mark.skipif(shutil.which("unzip") is None, reason="unzip is not installed")
@pytest.mark.parametrize("name", [name for name in ARCHIVES if name != "same-name"])
def test_what_is_read_unzip_reads_the_same(name: str, tmp_path: Path) -> None:
    found = contents(ARCHIVES[name])
    (tmp_path / "a.zip").write_bytes(ARCHIVES[name])
    for file, content in found.items():
        if file.isascii() and not set(file) & set("[]*?\\"):
            done = subprocess.run(
                ["unzip", "-p", "-qq", "-C", str(tmp_path / "a.zip"), file], capture_output=True, check=False
            )
            assert content in (done.stdout, done.stdout[: len(content)]), file


@settings(max_examples=200)
@given(st.integers(0, 10**9), st.sampled_from([b"", b"\0", b"\xff", b"PK\x01\x02", b"PK\x05\x06"]))
def test_a_damaged_archive_is_never_read_otherwise_than_by_zipfile(seed: int, damage: bytes) -> None:
    made = random.Random(seed)  # noqa: S311 - nothing secret
    data = bytearray(archive({**GOOD, BAD: REPORT * 3}))
    for _ in range(made.randint(1, 3)):
        at = made.randrange(len(data))
        data[at : at + made.randint(0, 2) + len(damage)] = damage
    found = contents(bytes(data))
    if found:
        with zipfile.ZipFile(io.BytesIO(bytes(data))) as opened:
            assert {file: opened.read(file) for file in found} == found
