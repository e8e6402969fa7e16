"""Archives: what zipfile makes is read as zipfile reads it; what is damaged is refused, and never anything worse."""

from __future__ import annotations

import io
import random
import zipfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oot_stats.limits import Limits
from oot_stats.reading.archive import Archive, Entry
from oot_stats.reasons import RejectedError
from tests.oot_stats.hostile_artifacts import BAD, GOOD, REPORT
from tests.oot_stats.zips import archive, streamed

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES = st.lists(
    st.from_regex(r"[a-z][a-z0-9_é .-]{0,8}[a-z0-9](/[a-z][a-z0-9_-]{0,8}x){0,3}\.xml", fullmatch=True),
    unique_by=lambda name: name.casefold(), min_size=1, max_size=8,
)  # fmt: skip


def contents(data: bytes, limits: Limits | None = None) -> dict[str, bytes]:
    """Everything in an archive. Raises RejectedError for the first thing that is wrong."""
    opened = Archive(io.BytesIO(data), limits or Limits())
    found = {}
    for entry in opened.entries():
        if not isinstance(entry, Entry):
            raise entry.reason
        found[entry.path] = b"".join(opened.read(entry))
    return found


@settings(max_examples=60)
@given(
    NAMES,
    st.integers(0, 2**32),
    st.sampled_from([zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED]),
    st.booleans(),
)
def test_what_zipfile_makes_is_read(names: list[str], seed: int, method: int, piped: bool) -> None:  # noqa: FBT001 - a draw
    made = random.Random(seed)  # noqa: S311 - nothing secret
    files = {
        name: made.randbytes(made.choice([0, 1, 100, 300_000])) + b"a" * made.choice([0, 9, 10**6]) for name in names
    }
    data = streamed(files, zip64=made.random() < 0.5) if piped else archive(files, method)
    assert contents(data) == files


@settings(max_examples=150)
@given(st.integers(0, 10**9), st.sampled_from([b"", b"\0", b"\xff", b"PK\x01\x02", b"\xff\xff\xff\xff"]))
def test_damage_is_refused_or_does_no_harm(seed: int, damage: bytes) -> None:
    """Never another error, never other content than was put in."""
    made = random.Random(seed)  # noqa: S311 - nothing secret
    data = bytearray(archive({**GOOD, BAD: REPORT * 30}))
    for _ in range(made.randint(1, 3)):
        at = made.randrange(len(data))
        data[at : at + made.randint(0, 2) + len(damage)] = damage
    try:
        found = contents(bytes(data))
    except RejectedError:
        return
    assert set(found.values()) <= {REPORT.encode(), (REPORT * 30).encode()}


def test_content_comes_in_small_pieces() -> None:
    opened = Archive(io.BytesIO(archive({"a.xml": b"x" * 10**7})), Limits())
    (entry,) = opened.entries()
    assert isinstance(entry, Entry)
    assert max(map(len, opened.read(entry))) <= 128 * 1024


@pytest.mark.parametrize(
    ("limits", "files", "reason"),
    [
        ({"entries": 2}, {"a.xml": b"", "b.xml": b"", "c.xml": b""}, "too_many_entries"),
        ({"bytes": 1600}, {"a.xml": b"x" * 101}, "file_too_large"),
        ({"bytes": 1600}, {f"{n}.xml": b"x" * 100 for n in range(9)}, "archive_too_large"),
    ],
)
def test_limits(limits: Mapping[str, int], files: dict[str, bytes], reason: str) -> None:
    data = archive(files)
    assert contents(data) == files
    with pytest.raises(RejectedError) as caught:
        contents(data, Limits(**limits))
    assert caught.value.code == reason
