"""publish on real S3: what is stored and where, whatever collect's output claims, and however often it was killed."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import tracemalloc
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from oot_ops.cli import main
from oot_stats.exit_codes import FAILED, NOTHING, PARTLY, STORED
from tests.oot_stats.local_runs import new_id
from tests.oot_stats.stats_rows import ATTEMPT, FAILING, PASSING, REPO, RUN_ID, SUMMARY, collected, packed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from clickhouse_connect.driver.client import Client
    from types_boto3_s3.client import S3Client

    from tests.oot_stats.local_runs import LocalRuns

TABLES: dict[str, list[Any]] = {
    "test_run_summary": [SUMMARY],
    "failed_test_runs": [FAILING],
    "test_run": [PASSING, FAILING],
}
PLACE = f"{RUN_ID}/{ATTEMPT}"


def flags(folder: Path, bucket: str, *more: str, **changes: str) -> list[str]:
    told = {
        "repo": REPO,
        "workflow-run-id": str(RUN_ID),
        "workflow-run-attempt": str(ATTEMPT),
        "head-repository": REPO,
        "head-branch": "main",
        "bucket": bucket,
        "out": str(folder),
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    return [*(f"--{name}={value}" for name, value in told.items()), *more]


@pytest.fixture
def run(aws_environment: dict[str, str], bucket: str) -> Callable[..., int]:
    def run(folder: Path, *more: str, **changes: str) -> int:
        return main(["stats", "publish", *flags(folder, changes.pop("bucket", bucket), *more, **changes)])

    return run


def objects(s3: S3Client, bucket: str) -> dict[str, bytes]:
    found = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    return {item["Key"]: s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read() for item in found}


def rows(data: bytes) -> list[Any]:
    return [orjson.loads(line) for line in gzip.decompress(data).splitlines()]


def test_the_rows_are_stored_under_keys_of_the_event(
    run: Callable[..., int], s3: S3Client, bucket: str, tmp_path: Path
) -> None:
    assert run(collected(tmp_path, TABLES)) == STORED
    stored = objects(s3, bucket)
    assert set(stored) == {f"{name}/{PLACE}" for name in (*TABLES, "manifest")}
    for table, expected in TABLES.items():
        assert rows(stored[f"{table}/{PLACE}"]) == [{**row, "repo": REPO} for row in expected]
    head = s3.head_object(Bucket=bucket, Key=f"test_run/{PLACE}")
    assert (head["ContentType"], head["ContentEncoding"]) == ("application/json", "gzip")
    manifest = orjson.loads(stored[f"manifest/{PLACE}"])
    assert manifest["tables"]["test_run"]["rows"] == 2
    assert manifest["tables"]["test_run"]["sha256"] == head["Metadata"]["content-sha256"]
    assert manifest["artifacts"][0]["fate"] == "parsed"


def test_a_prefix_goes_in_front(run: Callable[..., int], s3: S3Client, bucket: str, tmp_path: Path) -> None:
    assert run(collected(tmp_path, {"test_run": [PASSING]}), prefix="/a/b/") == STORED
    assert set(objects(s3, bucket)) == {f"a/b/test_run/{PLACE}", f"a/b/manifest/{PLACE}"}


def test_the_manifest_s_own_identity_is_not_believed(
    run: Callable[..., int], s3: S3Client, bucket: str, tmp_path: Path
) -> None:
    lies = {"repo": "pytorch/pytorch", "workflow_run_id": 1, "workflow_run_attempt": 9, "totals": {"a": "\x1b[31m\n"}}
    assert run(collected(tmp_path, {"test_run": [PASSING]}, **lies)) == STORED
    manifest = orjson.loads(objects(s3, bucket)[f"manifest/{PLACE}"])
    assert [manifest[name] for name in ("repo", "workflow_run_id", "workflow_run_attempt")] == [REPO, RUN_ID, ATTEMPT]
    assert manifest["totals"] == {"a": r"\u001b[31m\u000a"}


@pytest.mark.parametrize(
    ("head_repository", "head_branch"), [("stranger/backend", "main"), (REPO, "feature"), ("", "main")]
)
def test_a_pull_request_s_whole_run_is_not_stored_whatever_collect_wrote(
    run: Callable[..., int], s3: S3Client, bucket: str, tmp_path: Path, head_repository: str, head_branch: str
) -> None:
    folder = collected(tmp_path, TABLES)
    assert run(folder, head_repository=head_repository, head_branch=head_branch) == PARTLY
    stored = objects(s3, bucket)
    assert f"test_run/{PLACE}" not in stored
    assert orjson.loads(stored[f"manifest/{PLACE}"])["tables"]["test_run"]["error"]["code"] == "not_default_branch"


def test_files_of_other_names_are_never_looked_at(
    run: Callable[..., int], s3: S3Client, bucket: str, tmp_path: Path
) -> None:
    folder = collected(tmp_path, {"test_run": [PASSING]})
    for name in ("merges", "..", "oot_workflow_job", "manifest"):
        (folder / f"{name}.jsonl.gz").write_bytes(packed([PASSING]))
    assert run(folder) == STORED
    assert set(objects(s3, bucket)) == {f"test_run/{PLACE}", f"manifest/{PLACE}"}


def test_bad_lines_are_left_out_and_told(
    run: Callable[..., int],
    s3: S3Client,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    bad: list[Any] = [b"::set-output name=x::y", {**PASSING, "workflow_id": 9}, b"<script>"]
    assert run(collected(tmp_path, {"test_run": [PASSING, *bad, PASSING]})) == PARTLY
    stored = objects(s3, bucket)
    assert len(rows(stored[f"test_run/{PLACE}"])) == 2
    table = orjson.loads(stored[f"manifest/{PLACE}"])["tables"]["test_run"]
    assert (table["rows"], table["collected_rows"], table["rejected"]) == (2, 5, {"not_json": 2, "wrong_run": 1})
    assert [each["line"] for each in table["rejected_lines"]] == [2, 3, 4]
    told = summary.read_text() + capsys.readouterr().out
    assert "2 not_json, 1 wrong_run" in told
    assert "set-output" not in told
    assert "<script>" not in told


def test_a_damaged_table_is_left_out_and_the_others_are_stored(
    run: Callable[..., int], s3: S3Client, bucket: str, tmp_path: Path
) -> None:
    folder = collected(tmp_path, TABLES)
    (folder / "test_run.jsonl.gz").write_bytes(packed([PASSING] * 50)[:-20])
    (folder / "failed_test_runs.jsonl.gz").unlink()
    assert run(folder) == PARTLY
    stored = objects(s3, bucket)
    assert set(stored) == {f"test_run_summary/{PLACE}", f"manifest/{PLACE}"}
    tables = orjson.loads(stored[f"manifest/{PLACE}"])["tables"]
    assert {name: table.get("error", {}).get("code") for name, table in tables.items()} == {
        "test_run_summary": None,
        "failed_test_runs": "missing",
        "test_run": "bad_gzip",
    }


def test_a_table_that_is_not_what_collect_counted_is_told(
    run: Callable[..., int], s3: S3Client, bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = collected(tmp_path, {"test_run": [PASSING] * 3})
    (folder / "test_run.jsonl.gz").write_bytes(packed([PASSING] * 2))
    assert run(folder) == PARTLY
    assert "test_run has 2 lines, and collect's manifest says 3." in capsys.readouterr().out


@pytest.mark.parametrize(("tables", "code"), [({}, NOTHING), ({"test_run": [b"x"]}, FAILED)])
def test_where_no_row_is_right_only_the_manifest_says_why(
    run: Callable[..., int], s3: S3Client, bucket: str, tmp_path: Path, tables: dict[str, Any], code: int
) -> None:
    assert run(collected(tmp_path, tables)) == code
    assert set(objects(s3, bucket)) == {f"manifest/{PLACE}"}


@pytest.mark.parametrize(
    "manifest",
    [
        None,
        b"",
        b"[]",
        b"{",
        b'{"schema_version": "1"}',
        b'{"schema_version": "2", "tables": {}}',
        b'{"schema_version": "1", "tables": {"merges": {"rows": 1}}}',
        b'{"schema_version": "1", "tables": {"test_run": {"rows": -1}}}',
        b'{"schema_version": "1", "tables": {"test_run": {"rows": "many"}}}',
    ],
    ids=range(9),
)
def test_without_a_manifest_nothing_is_stored(
    run: Callable[..., int],
    s3: S3Client,
    bucket: str,
    tmp_path: Path,
    manifest: bytes | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = collected(tmp_path, TABLES)
    (folder / "manifest.json").unlink() if manifest is None else (folder / "manifest.json").write_bytes(manifest)
    assert run(folder) == FAILED
    assert objects(s3, bucket) == {}
    assert "run collect" in capsys.readouterr().err


def test_the_same_again_changes_nothing_and_another_content_replaces(
    run: Callable[..., int], s3: S3Client, bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(collected(tmp_path, TABLES))
    before = {item["Key"]: item["LastModified"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    assert run(collected(tmp_path, TABLES)) == STORED
    after = {item["Key"]: item["LastModified"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    assert after == before
    assert capsys.readouterr().out.count("unchanged ") == 3
    run(collected(tmp_path, {**TABLES, "test_run": [PASSING] * 5}))
    assert len(rows(objects(s3, bucket)[f"test_run/{PLACE}"])) == 5


def test_the_same_rows_are_the_same_bytes(run: Callable[..., int], s3: S3Client, bucket: str, tmp_path: Path) -> None:
    run(collected(tmp_path / "one", TABLES), prefix="one")
    folder = collected(tmp_path / "two", TABLES)
    for table, lines in TABLES.items():  # packed otherwise, and written in another order of names
        text = b"".join(orjson.dumps(row) + b" \n" for row in lines)
        (folder / f"{table}.jsonl.gz").write_bytes(gzip.compress(text, 9, mtime=12345))
    run(folder, prefix="two")
    stored = objects(s3, bucket)
    for table in (*TABLES, "manifest"):
        one, two = stored[f"one/{table}/{PLACE}"], stored[f"two/{table}/{PLACE}"]
        assert one.replace(b'"key":"one/', b'"key":"two/') == two, table


def incompressible(count: int) -> list[Any]:
    """Rows of which many are more than one part of an upload."""
    dice = random.Random(7)  # noqa: S311 - the same bytes in every run
    return [{**PASSING, "name": f"test_{number}", "text": dice.randbytes(4500).hex()} for number in range(count)]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return collected(tmp_path_factory.mktemp("large"), {**TABLES, "test_run": incompressible(1400)})


REQUESTS = 11  # that a whole run makes
FAULTS = range(1, REQUESTS + 2)


@pytest.fixture
def killed(aws_environment: dict[str, str]) -> Callable[[dict[int, list[str]]], dict[int, int]]:
    """Publishes with these flags, killed before these requests; gives how each process ended."""

    def run(argv: dict[int, list[str]]) -> dict[int, int]:
        told = json.dumps([{"fault": fault, "argv": each} for fault, each in argv.items()])
        command = [sys.executable, "-m", "tests.oot_stats.killed_publish"]
        done = subprocess.run(
            command, input=told.encode(), check=True, env=os.environ | aws_environment, capture_output=True, timeout=240
        )
        return dict(zip(argv, json.loads(done.stdout.splitlines()[-1]), strict=True))

    return run


def test_killed_at_any_request_and_repeated_it_ends_the_same(
    run: Callable[..., int], s3: S3Client, bucket: str, large: Path, killed: Callable[..., dict[int, int]]
) -> None:
    ends = killed({fault: flags(large, bucket, prefix=f"killed-{fault}") for fault in FAULTS})
    assert ends == {**dict.fromkeys(FAULTS, -signal.SIGKILL), REQUESTS + 1: STORED}
    half = objects(s3, bucket)
    assert [key for key in half if "/manifest/" in key] == [f"killed-{REQUESTS + 1}/manifest/{PLACE}"], "it comes last"
    assert {sum(key.startswith(f"killed-{fault}/") for key in half) for fault in FAULTS} == {0, 1, 2, 3, 4}
    assert all(rows(data) for key, data in half.items() if "/manifest/" not in key), "what is there is whole"
    for fault in FAULTS:
        assert run(large, prefix=f"killed-{fault}") == STORED
    stored = objects(s3, bucket)
    assert len(stored) == len(FAULTS) * 4
    for table in TABLES:
        (content,) = {stored[f"killed-{fault}/{table}/{PLACE}"] for fault in FAULTS}
        whole = gzip.decompress((large / f"{table}.jsonl.gz").read_bytes()).splitlines()
        assert rows(content) == [{**orjson.loads(line), "repo": REPO} for line in whole]


def test_killed_while_clickhouse_loads_and_repeated_the_rows_are_the_same(
    run: Callable[..., int], clickhouse: Client, bucket: str, tmp_path: Path, killed: Callable[..., dict[int, int]]
) -> None:
    faults = {fault: new_id() for fault in (8, 11, 14, 17, 20, 23, 28, 33)}  # S3 has all objects after the 8th
    folders = {
        fault: collected(tmp_path / str(run_id), {table: of_run(run_id, rows) for table, rows in TABLES.items()})
        for fault, run_id in faults.items()
    }
    argv = {
        fault: flags(folders[fault], bucket, "--clickhouse", workflow_run_id=str(run_id))
        for fault, run_id in faults.items()
    }
    assert killed(argv) == dict.fromkeys(faults, -signal.SIGKILL)
    for fault, run_id in faults.items():
        assert run(folders[fault], "--clickhouse", workflow_run_id=str(run_id)) == STORED
        assert counts(clickhouse, run_id) == {"test_run_summary": 1, "failed_test_runs": 1, "test_run": 2}


def test_memory_stays_flat(run: Callable[..., int], large: Path) -> None:
    tracemalloc.start()
    try:
        assert run(large) == STORED
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    size = (large / "test_run.jsonl.gz").stat().st_size
    assert size > 5 * 1024 * 1024
    assert peak < 64 * 1024 * 1024, f"{peak:,} bytes"


def test_without_s3_it_says_so_and_fails(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(collected(tmp_path, TABLES), bucket="no-such-bucket-anywhere") == FAILED
    assert capsys.readouterr().err.startswith("publish: ")


def test_rows_of_jobs_that_are_not_the_run_s_are_left_out(
    run: Callable[..., int], s3: S3Client, bucket: str, tmp_path: Path, github: LocalRuns
) -> None:
    first, second, stranger = new_id(), new_id(), new_id()
    run_id = github.add(REPO, attempts=[{"jobs": [{"id": first}]}, {"jobs": [{"id": second}]}])
    cases = [{**PASSING, "job_id": job} for job in (first, second, stranger, None)]
    folder = collected(tmp_path, {"test_run": of_run(run_id, cases)})
    assert run(folder, "--check-jobs", workflow_run_id=str(run_id)) == PARTLY
    stored = rows(objects(s3, bucket)[f"test_run/{run_id}/{ATTEMPT}"])
    assert [row["job_id"] for row in stored] == [first, second, None]


def test_without_github_s_word_on_the_jobs_nothing_is_stored(
    run: Callable[..., int],
    s3: S3Client,
    bucket: str,
    tmp_path: Path,
    github: LocalRuns,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(collected(tmp_path, TABLES), "--check-jobs", workflow_run_id=str(new_id())) == FAILED
    assert "actions: read" in capsys.readouterr().err
    assert objects(s3, bucket) == {}


IN_CLICKHOUSE = {
    "test_run_summary": "test_run_summary",
    "failed_test_runs": "failed_test_runs",
    "test_run": "test_run_s3",
}


def of_run(run_id: int, rows: list[Any]) -> list[Any]:
    return [{**row, "workflow_id": run_id} if isinstance(row, dict) else row for row in rows]


def counts(clickhouse: Client, run_id: int) -> dict[str, int]:
    return {
        table: clickhouse.query(
            f"SELECT count() FROM default.{place} FINAL WHERE workflow_id = {run_id}"  # noqa: S608
        ).result_rows[0][0]
        for table, place in IN_CLICKHOUSE.items()
    }


def test_the_rows_are_in_clickhouse_once_however_often_it_runs(
    run: Callable[..., int], clickhouse: Client, tmp_path: Path
) -> None:
    run_id = new_id()
    passed = [{**PASSING, "name": f"test_{number}", "failure": [{"message": "a"}]} for number in range(300)]
    folder = collected(
        tmp_path, {table: of_run(run_id, rows) for table, rows in {**TABLES, "test_run": passed}.items()}
    )
    for _ in range(2):
        assert run(folder, "--clickhouse", workflow_run_id=str(run_id)) == STORED
        assert counts(clickhouse, run_id) == {"test_run_summary": 1, "failed_test_runs": 1, "test_run": 300}
    repo, names = clickhouse.query(
        f"SELECT any(repo), uniqExact(name) FROM default.test_run_s3 FINAL WHERE workflow_id = {run_id}"  # noqa: S608
    ).result_rows[0]
    assert (repo, names) == (REPO, 300)


def test_rows_that_the_table_cannot_take_are_told_with_both_numbers(
    run: Callable[..., int], clickhouse: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = new_id()
    bad = {**PASSING, "time": {"hostile": "::error::x"}}
    folder = collected(tmp_path, {"test_run": of_run(run_id, [PASSING, bad])})
    assert run(folder, "--clickhouse", workflow_run_id=str(run_id)) == PARTLY
    assert counts(clickhouse, run_id)["test_run"] == 1
    assert "ClickHouse has 1 rows of it, and the manifest says 2" in capsys.readouterr().out


def test_clickhouse_away_is_a_failure_that_repeating_mends(
    run: Callable[..., int], clickhouse: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = new_id()
    folder = collected(tmp_path, {"test_run": of_run(run_id, [PASSING])})
    with monkeypatch.context() as away:
        away.setenv("CLICKHOUSE_URL", "http://127.0.0.1:9")
        assert run(folder, "--clickhouse", workflow_run_id=str(run_id)) == FAILED
    assert run(folder, "--clickhouse", workflow_run_id=str(run_id)) == STORED
    assert counts(clickhouse, run_id)["test_run"] == 1


def test_a_prefix_and_clickhouse_do_not_go_together(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(collected(tmp_path, TABLES), "--clickhouse", prefix="x") == FAILED
    assert "leave --prefix out" in capsys.readouterr().err
