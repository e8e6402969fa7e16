"""Names of artifacts and of files in them: stable, storable everywhere, and read right by pytorch's collectors."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oot_runner.upload.names import FORBIDDEN, MemberNames, artifact_name, clean

#: What a collector must find: (kind, attempt, job name, job id) and the name. The S3 key is this with `.zip`.
VECTORS = [
    (("test-reports", "1", "test", "987"), "test-reports-runattempt1-test_987"),
    (("test-reports", "2", "test (npu, 3.11)", "987"), "test-reports-runattempt2-test (npu, 3.11)_987"),
    (("logs", "1", "build / test", "987"), "logs-runattempt1-build _ test~5d5ffd0a_987"),
    (("logs", "1", "build : test", "987"), "logs-runattempt1-build _ test~4c443d7b_987"),
    (("debug", "13", "tëst 📦", "1"), "debug-runattempt13-tëst 📦_1"),
    (("test-jsons", "1", "a_runattempt2_b", "1"), "test-jsons-runattempt1-a_run-attempt2_b~6cb03512_1"),
    (("test-jsons", "1", "x-runattempt9-y", "1"), "test-jsons-runattempt1-x-run-attempt9-y~467e27f3_1"),
    (("logs", "1", "test", "run240"), "logs-runattempt1-test_run240"),
]


def attempt_as_pytorch_reads_it(name: str) -> int | None:
    """tools/stats/upload_stats_lib.py: the part between hyphens that starts with runattempt."""
    found = [int(atom[len("runattempt") :]) for atom in name.split("-") if atom.startswith("runattempt")]
    return found[0] if len(found) == 1 else None


def job_id_as_pytorch_reads_it(name: str) -> int | None:
    """tools/stats/upload_stats_lib.py get_job_id: what follows the last underscore."""
    try:
        return int(name.rpartition("_")[2])
    except ValueError:
        return None


@pytest.mark.parametrize(("parts", "name"), VECTORS, ids=[name for _, name in VECTORS])
def test_names(parts: tuple[str, str, str, str], name: str) -> None:
    assert artifact_name(*parts) == name


jobs = st.text(st.characters(codec="utf-8"), max_size=300) | st.text('runattempt-_0123 :"<>/\\.', max_size=40)


@given(jobs, st.integers(1, 99), st.integers(1, 10**12))
def test_collectors_read_any_name_right(job: str, attempt: int, job_id: int) -> None:
    name = artifact_name("test-reports", str(attempt), job, str(job_id))
    assert (attempt_as_pytorch_reads_it(name), job_id_as_pytorch_reads_it(name)) == (attempt, job_id)
    assert name.startswith("test-reports-")
    assert not FORBIDDEN.search(name)
    assert len(name.encode()) <= 200
    assert not {unicodedata.category(each) for each in name} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


@given(jobs, jobs)
def test_two_jobs_never_share_a_name(one: str, other: str) -> None:
    if one != other:
        assert artifact_name("logs", "1", one, "1") != artifact_name("logs", "1", other, "1")


def test_a_second_upload_of_a_job_gets_a_number() -> None:
    first = artifact_name("logs", "1", "test", "9")
    second = artifact_name("logs", "1", "test", "9", [first])
    third = artifact_name("logs", "1", "test", "9", [first, second])
    assert (second, third) == ("logs-runattempt1-test-2_9", "logs-runattempt1-test-3_9")


def test_a_clean_name_stays_and_a_long_one_is_cut_between_characters() -> None:
    assert clean("reports of tëst") == "reports of tëst"
    cut = clean("ü" * 300)
    assert re.fullmatch("ü+~[0-9a-f]{8}", cut)
    assert len(cut.encode()) <= 200


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("reports/a b/ünï.xml", r"reports/a b/ünï\.xml"),
        ("a:b/c?.xml", r"a_b~[0-9a-f]{8}/c_~[0-9a-f]{8}\.xml"),
        ("r/CON", r"r/_CON~[0-9a-f]{8}"),
        ("r/com1.log", r"r/_com1~[0-9a-f]{8}\.log"),
        ("r/console.log", r"r/console\.log"),
        ("r/dot.", r"r/dot~[0-9a-f]{8}"),
        ("back\\slash.xml", r"back_slash~[0-9a-f]{8}\.xml"),
        ("r/line\nbreak.xml", r"r/line_break~[0-9a-f]{8}\.xml"),
        ("r/raw\udcff.xml", r"r/raw_~[0-9a-f]{8}\.xml"),
        ("r/\u202exml.exe", r"r/_xml~[0-9a-f]{8}\.exe"),
        ("d/" * 800 + "x.xml", r"long-path~[0-9a-f]{8}/x\.xml"),
        ("oot-hud-manifest.json", r"oot-hud-manifest~[0-9a-f]{8}\.json"),
    ],
)
def test_names_in_an_archive(path: str, pattern: str) -> None:
    assert re.fullmatch(pattern, MemberNames("oot-hud-manifest.json").take(path))


paths = st.lists(st.text('aA.:éE\u0301/ \\nulNUL"~', min_size=1, max_size=8), unique=True, max_size=20)


@given(paths)
def test_names_in_an_archive_are_distinct_even_where_case_and_normal_form_are_not(given_paths: list[str]) -> None:
    names = MemberNames()
    taken = [names.take(path) for path in given_paths]
    folded = {unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()) for name in taken}
    assert len(folded) == len(given_paths)
    for name in taken:
        for part in name.split("/"):
            assert not FORBIDDEN.search(part)
            assert part not in ("", ".", "..")
            assert part == part.rstrip(" .")
