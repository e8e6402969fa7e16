"""What collect hands over is hostile: each line and each file that must not pass, and that all others do."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oot_stats.publish import normalised
from oot_stats.publish.normalised import (
    LINE_BYTES,
    FileError,
    Limits,
    Run,
    Tally,
    normalise,
)
from oot_stats.tables import TABLES, whole_run_is_kept
from tests.oot_stats.stats_rows import ATTEMPT, FAILING, JOB, PASSING, REPO, RUN_ID, SUMMARY, packed

RUN = Run(REPO, RUN_ID, ATTEMPT, frozenset({JOB}))
GOOD: dict[str, dict[str, Any]] = {"test_run_summary": SUMMARY, "failed_test_runs": FAILING, "test_run": PASSING}


def read(data: bytes, table: str = "test_run", run: Run = RUN, limits: Limits | None = None) -> tuple[list[Any], Tally]:
    tally = Tally()
    whole = b"".join(normalise(io.BytesIO(data), table, run, tally, limits))
    assert len(whole) == tally.bytes
    assert whole.count(b"\n") == tally.rows
    return [orjson.loads(line) for line in whole.splitlines()], tally


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {"text": "x"}
    for _ in range(depth):
        value = {"properties": value}
    return value


@pytest.mark.parametrize("table", TABLES)
def test_what_pytorch_s_script_writes_passes_and_gets_its_repo(table: str) -> None:
    rows, tally = read(packed([GOOD[table]] * 3), table)
    assert rows == [{**GOOD[table], "repo": REPO}] * 3
    assert not tally.rejected


@pytest.mark.parametrize(
    "row",
    [
        {**PASSING, "workflow_id": str(RUN_ID)},  # its command line has the id as text
        {**PASSING, "job_id": None},
        {**PASSING, "name": 7.0, "file": None, "line": 12.0},
        {**PASSING, "failure": [{"message": "a", "text": "b"}, {"message": "c"}]},
        {**PASSING, "skipped": [{"type": "pytest.skip"}], "system-out": {"text": "{[" * 100}},
        {**PASSING, "name": "nan", "time": 1e308},
        {**PASSING, "name": "'; DROP TABLE x; --\u0000\u2028\u202e::set-output name=x::"},
        {**PASSING, **{f"attribute_{number}": "x" for number in range(400)}},
        {**PASSING, **nested(normalised.MAX_DEPTH - 2)},
    ],
    ids=range(9),
)
def test_odd_but_right_rows_pass(row: dict[str, Any]) -> None:
    rows, tally = read(packed([row]))
    assert (rows, tally.rejected) == ([{**row, "repo": REPO}], {})


BAD_LINES: list[tuple[str, str, bytes | dict[str, Any]]] = [
    ("test_run", "not_json", b"{"),
    ("test_run", "not_json", b""),
    ("test_run", "not_json", b"null"),
    ("test_run", "not_json", b"[]"),
    ("test_run", "not_json", b'"text"'),
    ("test_run", "not_json", orjson.dumps(PASSING) + orjson.dumps(PASSING)),
    ("test_run", "not_json", orjson.dumps(PASSING).replace(b'"name"', b'"na\xff"')),
    ("test_run", "not_json", json.dumps({**PASSING, "time": float("nan")}).encode()),
    ("test_run", "not_json", json.dumps({**PASSING, "time": float("inf")}).encode()),
    ("test_run", "not_json", json.dumps(PASSING).replace("0.5", "1e999").encode()),
    ("test_run", "not_json", b'{"a":' * 5000 + b"1" + b"}" * 5000),
    ("test_run", "line_too_long", orjson.dumps({**PASSING, "text": "x" * LINE_BYTES})),
    ("test_run", "wrong_shape", {name: value for name, value in PASSING.items() if name != "workflow_id"}),
    ("test_run", "wrong_shape", {name: value for name, value in PASSING.items() if name != "invoking_file"}),
    ("test_run", "wrong_shape", {**PASSING, "job_id": "77"}),
    ("test_run", "wrong_shape", {**PASSING, "job_id": True}),
    ("test_run", "wrong_shape", {**PASSING, "job_id": -1}),
    ("test_run", "wrong_shape", {**PASSING, "job_id": 2**63}),
    ("test_run", "wrong_shape", {**PASSING, "workflow_run_attempt": True}),
    ("test_run", "wrong_shape", {**PASSING, "workflow_run_attempt": 1.0}),
    ("test_run", "wrong_shape", {**PASSING, "invoking_file": {"a": 1}}),
    ("test_run", "too_deep", {**PASSING, **nested(normalised.MAX_DEPTH + 1)}),
    ("test_run", "too_deep", {**PASSING, "x": orjson.loads(b"[" * 70 + b"]" * 70)}),
    ("test_run", "too_many_keys", {**PASSING, **{f"attribute_{number}": 1 for number in range(2600)}}),
    ("test_run", "too_many_keys", {**PASSING, "failure": {f"attribute_{number}": 1 for number in range(2600)}}),
    ("test_run", "too_many_keys", {**PASSING, "k" * 5000: 1}),
    ("test_run", "wrong_run", {**PASSING, "workflow_id": RUN_ID + 1}),
    ("test_run", "wrong_run", {**PASSING, "workflow_id": f"{RUN_ID} "}),
    ("test_run", "wrong_run", {**PASSING, "workflow_run_attempt": ATTEMPT + 1}),
    ("test_run", "foreign_job", {**PASSING, "job_id": JOB + 1}),
    ("failed_test_runs", "wrong_shape", PASSING),
    ("failed_test_runs", "wrong_run", {**FAILING, "workflow_id": 1}),
    ("test_run_summary", "wrong_shape", PASSING),
    ("test_run_summary", "wrong_shape", {**SUMMARY, "extra": 1}),
    ("test_run_summary", "wrong_shape", {**SUMMARY, "tests": SUMMARY["tests"] + 1}),
    ("test_run_summary", "wrong_shape", {**SUMMARY, "failures": -1}),
    ("test_run_summary", "wrong_shape", {**SUMMARY, "failures": "0"}),
    ("test_run_summary", "wrong_shape", {**SUMMARY, "time": "1"}),
    ("test_run_summary", "wrong_shape", {**SUMMARY, "classname": ["a"]}),
    ("test_run_summary", "foreign_job", {**SUMMARY, "job_id": JOB + 1}),
]


@pytest.mark.parametrize(("table", "code", "bad"), BAD_LINES, ids=range(len(BAD_LINES)))
def test_a_bad_line_is_left_out_alone(table: str, code: str, bad: bytes | dict[str, Any]) -> None:
    rows, tally = read(packed([GOOD[table], bad, GOOD[table]]), table)
    assert rows == [{**GOOD[table], "repo": REPO}] * 2
    assert (dict(tally.rejected), tally.examples) == ({code: 1}, [(2, code)])


def test_a_row_s_own_word_about_its_repo_is_not_believed() -> None:
    rows, _ = read(packed([{**PASSING, "repo": "pytorch/pytorch"}, {**PASSING, "repo": ["x"]}]))
    assert [row["repo"] for row in rows] == [REPO, REPO]


def test_every_reason_has_a_bad_line_that_shows_it() -> None:
    assert {code for _, code, _ in BAD_LINES} == set(normalised.REASONS)


def test_without_the_jobs_any_id_of_a_job_passes() -> None:
    _, tally = read(packed([{**PASSING, "job_id": JOB + 1}]), run=RUN._replace(jobs=None))
    assert tally.rows == 1


@pytest.mark.parametrize("count", [1, 3])
def test_lines_too_long_for_memory_do_not_hide_their_neighbours(count: int) -> None:
    long = b'{"text":"' + b"x" * (3 * LINE_BYTES) + b'"}'
    rows, tally = read(packed([PASSING, *[long] * count, PASSING]))
    assert (len(rows), dict(tally.rejected)) == (2, {"line_too_long": count})
    _, tally = read(gzip.compress(orjson.dumps(PASSING) + b"\n" + long))  # the last, and never ended
    assert (tally.rows, dict(tally.rejected)) == (1, {"line_too_long": 1})


def test_only_the_first_bad_lines_are_listed() -> None:
    _, tally = read(packed([b"x"] * 500))
    assert (tally.rejected["not_json"], len(tally.examples)) == (500, 20)


def test_members_one_after_another_are_one_file() -> None:
    rows, _ = read(packed([PASSING]) + packed([PASSING]))
    assert len(rows) == 2


GOOD_FILE = packed([PASSING] * 100)
BAD_FILES = [
    ("bad_gzip", b"", None),
    ("bad_gzip", b"not gzip at all", None),
    ("bad_gzip", GOOD_FILE[:-9], None),
    ("bad_gzip", GOOD_FILE[: len(GOOD_FILE) // 2], None),
    ("bad_gzip", GOOD_FILE[:-8] + b"\0" * 8, None),  # wrong CRC and length
    ("bad_gzip", GOOD_FILE + b"trailing", None),
    ("bad_gzip", zlib.compress(b"{}\n"), None),
    ("bad_gzip", bytes([*GOOD_FILE[:40], GOOD_FILE[40] ^ 255, *GOOD_FILE[41:]]), None),
    ("gzip_bomb", gzip.compress(b"x" * (80 * 1024 * 1024), 9), None),
    ("file_too_large", GOOD_FILE, Limits(file_bytes=1000)),
    ("too_many_rows", GOOD_FILE, Limits(rows=99)),
]


@pytest.mark.parametrize(("code", "data", "limits"), BAD_FILES, ids=range(len(BAD_FILES)))
def test_a_bad_file_is_left_out_as_a_whole(code: str, data: bytes, limits: Limits | None) -> None:
    if data == b"":
        assert read(data)[0] == []  # no member at all: no rows
        return
    with pytest.raises(FileError) as raised:
        read(data, limits=limits)
    assert raised.value.code == code
    assert str(raised.value)[0].isupper()
    assert str(raised.value).endswith(".")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=12), json_values, max_size=8))
def test_what_passes_says_what_it_said(extra: dict[str, Any]) -> None:
    row = {**extra, **PASSING}
    rows, tally = read(packed([row]))
    assert (rows, tally.rejected) == ([{**row, "repo": REPO}], {})


@given(st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line), max_size=6))
def test_whatever_stands_between_two_rows_neither_is_lost(lines: list[bytes]) -> None:
    rows, tally = read(packed([PASSING, *lines, PASSING]))
    assert (len(rows), tally.rejected.total()) == (2, len(lines))


@given(st.binary(max_size=300))
def test_bytes_of_any_kind_raise_nothing_else(data: bytes) -> None:
    with suppress(FileError):
        read(data)


@pytest.mark.parametrize(
    ("head_repository", "head_branch", "kept"),
    [
        (REPO, "main", True),
        (REPO.upper(), "main", True),
        (REPO, f"trunk/{'a' * 40}", True),
        (REPO, "feature", False),
        (REPO, "main2", False),
        (REPO, "trunk/latest", False),
        (REPO, f"trunk/{'a' * 40}x", False),
        (REPO, f"trunk/{'a' * 40}\n", False),
        ("stranger/backend", "main", False),
        ("stranger/backend", f"trunk/{'a' * 40}", False),
        ("", "main", False),
        (REPO, "", False),
    ],
)
def test_every_test_is_kept_of_the_repo_s_own_default_branch_alone(
    head_repository: str,
    head_branch: str,
    kept: bool,  # noqa: FBT001 - a parametrized value
) -> None:
    assert whole_run_is_kept(REPO, head_repository, head_branch, "main") is kept
