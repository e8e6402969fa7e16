"""The archive: whole, the same bytes from the same files, in flat memory, whatever happens to the files meanwhile."""

from __future__ import annotations

import gc
import hashlib
import io
import json
import os
import struct
import tracemalloc
import zipfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oot_runner.upload import archive, files
from oot_runner.upload.archive import Archive, Entry, Read, Reader
from oot_runner.upload.manifest import MEMBER, SKIPPED_LISTED, Place, Skipped, Stored, render

if TYPE_CHECKING:
    from pathlib import Path

PLACE = Place("example/backend", "240", "1", "test (npu)", "987", {"d": "npu"}, "https://github.com")


def entries(folder: Path) -> list[Entry]:
    found = files.select((".",), folder, include_hidden=True).files
    return [Entry(file, file.name) for file in found]


def archived(folder: Path, level: int = 6, last: tuple[str, bytes] | None = None) -> tuple[Archive, Read]:
    read = Read([])
    return Archive(entries(folder), read, level, lambda: last), read


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


FILES = {"b.xml": b"<b/>", "a/ü 1.xml": b"x" * 100_000, "a/empty": b"", "z.bin": os.urandom(3000)}


@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_what_goes_in_comes_out(tmp_path: Path, level: int) -> None:
    write(tmp_path, FILES)
    made, read = archived(tmp_path, level, (MEMBER, b"{}"))
    data = made.read()
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert opened.testzip() is None
        assert [info.filename for info in opened.infolist()] == ["a/empty", "a/ü 1.xml", "b.xml", "z.bin", MEMBER]
        assert {info.filename: opened.read(info) for info in opened.infolist()} == {**FILES, MEMBER: b"{}"}
        assert {info.date_time for info in opened.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert (made.size, made.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert {(file.path, file.size, file.sha256) for file in read.stored} == {
        (name, len(content), hashlib.sha256(content).hexdigest()) for name, content in FILES.items()
    }


def test_the_same_files_make_the_same_bytes(tmp_path: Path) -> None:
    hashes = set()
    for turn, names in enumerate((FILES, dict(reversed(FILES.items())))):
        folder = tmp_path / str(turn)
        write(folder, names)
        for path in folder.rglob("*"):
            os.utime(path, (turn * 10**6, turn * 10**6))
        made, _ = archived(folder)
        made.read()
        hashes.add(made.sha256)
    assert len(hashes) == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.lists(st.binary(max_size=50), max_size=8), st.lists(st.integers(1, 60), min_size=1, max_size=20))
def test_reading_in_pieces_gives_the_same(blocks: list[bytes], sizes: list[int]) -> None:
    reader, got = Reader(iter(blocks)), b""
    for size in sizes:
        piece = reader.read(size)
        assert len(piece) == size or len(got + piece) == len(b"".join(blocks))
        got += piece
    assert got + reader.read() == b"".join(blocks)
    assert reader.read(1) == reader.read() == b""


def test_memory_stays_flat(tmp_path: Path) -> None:
    with (tmp_path / "big.log").open("wb") as stream:
        stream.truncate(96 * 2**20)
    made, read = archived(tmp_path, 1)
    gc.collect()
    tracemalloc.start()
    while made.read(2**20):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert read.stored[0].size == 96 * 2**20
    assert peak < 8 * 2**20


def test_a_member_that_may_pass_4_gib_has_room_for_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"big": b"x" * 100, "small": b"y"})
    monkeypatch.setattr(archive, "ZIP64_BYTES", 100)
    made, _ = archived(tmp_path)
    data = made.read()
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert opened.testzip() is None
        # The bytes of a local header's extra fields: sizes of eight bytes, and nothing.
        extra = [struct.unpack_from("<H", data, info.header_offset + 28)[0] for info in opened.infolist()]
    assert extra == [20, 0]


def test_files_that_change_meanwhile(tmp_path: Path) -> None:
    write(tmp_path, {"gone": b"1", "grows": b"2" * 10, "shrinks": b"3" * 10, "stays": b"4"})
    made, read = archived(tmp_path)
    (tmp_path / "gone").unlink()
    with (tmp_path / "grows").open("ab") as stream:
        stream.write(b"more")
    os.truncate(tmp_path / "shrinks", 4)
    with zipfile.ZipFile(io.BytesIO(made.read())) as opened:
        held = {info.filename: opened.read(info) for info in opened.infolist()}
    assert held == {"grows": b"2" * 10, "shrinks": b"3" * 4, "stays": b"4"}
    assert [each.path for each in read.skipped] == ["gone"]
    assert read.changed == ["shrinks"]
    assert {file.path: file.size for file in read.stored} == {name: len(data) for name, data in held.items()}


def test_a_manifest_is_strict_json_whatever_the_names() -> None:
    place = PLACE._replace(job_name="j\udcff", matrix={"ü": "\ud800"})
    stored = [Stored("raw_~1.xml", 1, "0" * 64, "raw\udcff.xml")]
    told = json.loads(render(place, "logs", "name", stored, [Skipped("x\udc80", "a socket")]))
    assert told["files"][0]["source"] == "raw?.xml"
    assert (told["job"], told["matrix"], told["skipped"][0]["path"]) == ("j?", {"ü": "?"}, "x?")


def test_the_manifest_has_old_names_and_is_bounded_where_nothing_was_stored() -> None:
    stored = [Stored("a_~1.xml", 1, "0" * 64, "a:.xml"), Stored("b.xml", 2, "1" * 64)]
    skipped = [Skipped(f"{number}.xml", "a socket") for number in range(SKIPPED_LISTED + 5)]
    told = json.loads(render(PLACE, "logs", "name", stored, skipped))
    assert [file.get("source") for file in told["files"]] == ["a:.xml", None]
    assert (len(told["skipped"]), told["skipped_total"]) == (SKIPPED_LISTED, SKIPPED_LISTED + 5)
