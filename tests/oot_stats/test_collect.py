"""The command: which rows of which artifacts end up in the folder, what the manifest tells, and how it ends."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from oot_ops.cli import main
from oot_runner import junit
from oot_stats import exit_codes
from oot_stats.limits import Limits
from oot_stats.reading import pool as reading_pool
from tests.oot_stats.hostile_artifacts import REPORT
from tests.oot_stats.zips import archive

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

    from tests.oot_stats.local_runs import LocalRuns

REPO = "spec/backend"
ROOT = Path(__file__).resolve().parents[2]
SUITE = '<testsuite name="s">{}</testsuite>'
SAMPLES = sorted(path for path in (ROOT / "tests/oot_runner/junit_samples").iterdir() if path.stem != "no_tests")


@pytest.fixture(autouse=True)
def no_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


class Collected:
    """What the command left behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        self.totals, self.tables = self.manifest["totals"], self.manifest["tables"]

    def rows(self, table: str) -> list[dict[str, Any]]:
        path = self.folder / f"{table}.jsonl.gz"
        if not path.exists():
            return []
        return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]

    def fates(self) -> dict[str, tuple[str, str]]:
        return {artifact["name"]: (artifact["fate"], artifact["reason"]) for artifact in self.manifest["artifacts"]}


def flags(run: int, out: Path, *more: str, attempt: int = 1, branch: str = "main", head: str = REPO) -> list[str]:
    which = ["--repo", REPO, "--workflow-run-id", str(run), "--workflow-run-attempt", str(attempt)]
    return [*which, "--head-branch", branch, "--head-repository", head, "--out", str(out), "--workers", "1", *more]


def collect(run: int, out: Path, *more: str, code: int = 0, **told: Any) -> Collected:
    assert main(["stats", "collect", *flags(run, out, *more, **told)]) == code
    return Collected(out)


def report(name: str, inside: str = "", folder: str = "test_ops") -> bytes:
    case = f'<testcase classname="C" name="{name}" time="0.5" file="f.py">{inside}</testcase>'
    return archive({f"test/test-reports/python-pytest/{folder}/{folder}-1.xml": SUITE.format(case)})


# --- rows and tables


def test_the_tables(github: LocalRuns, tmp_path: Path) -> None:
    run = github.add(REPO)
    files = {
        "test/test-reports/python-pytest/test_a/x.xml": SUITE.format(
            '<testcase classname="C" name="ok" time="1" file="a.py"/>'
            '<testcase classname="C" name="bad" time="2" file="a.py"><failure message="no"/></testcase>'
            '<testcase classname="C" name="skip" time="0" file="a.py"><skipped/></testcase>'
        ),
        "test/test-reports/python-pytest/test_a/y.xml": SUITE.format(
            '<testcase classname="C" name="more" time="4" file="a.py"/>'
        ),
        "test-reports/rocm.xml": SUITE.format('<testcase classname="D" name="rerun" time="1"><rerun/></testcase>'),
        "root.xml": SUITE.format('<testcase name="nan" time="nan"/>'),
        "notes.txt": "not a report",
    }
    github.upload(run, "test-reports-runattempt1-default-1-2-linux.2xlarge_77.zip", archive(files))
    found = collect(run, tmp_path)
    whose = {"workflow_id": str(run), "workflow_run_attempt": 1, "job_id": 77}
    assert all(whose.items() <= row.items() for table in found.tables for row in found.rows(table))
    places = [(row["name"], row["invoking_file"]) for row in found.rows("test_run")]
    unzipped = "unzipped-test-reports-runattempt1-default-1-2-linux.2xlarge_77"
    in_test_a = [(name, "test_a") for name in ("ok", "bad", "skip", "more")]
    assert places == [*in_test_a, ("rerun", "test-reports"), ("nan", unzipped)]
    assert [row["name"] for row in found.rows("failed_test_runs")] == ["bad", "rerun"]
    names = ("invoking_file", "file", "classname", "tests", "failures", "errors", "skipped", "successes", "time")
    assert [tuple(row[name] for name in names) for row in found.rows("test_run_summary")] == [
        ("test_a", "a.py", "C", 4, 1, 0, 1, 2, 7.0),
        ("test-reports", None, "D", 1, 0, 0, 0, 1, 1.0),
        (unzipped, None, None, 1, 0, 0, 0, 1, 0.0),
    ]
    assert found.totals["cases"] == 6
    assert found.manifest["artifacts"][0]["counts"] == {"parsed": 4, "rejected": 0, "skipped": 0, "others": 1}


def test_the_manifest_tells_what_the_files_are(github: LocalRuns, tmp_path: Path) -> None:
    run = github.add(REPO)
    for job in range(5):
        github.upload(run, f"test-reports-runattempt1-x_{job}", report(f"t{job}", "<error/>"))
    found = collect(run, tmp_path)
    assert found.manifest["schema_version"] == "1"
    assert {path.name for path in tmp_path.iterdir()} == {
        *(f"{table}.jsonl.gz" for table in found.tables),
        "manifest.json",
    }
    for table, told in found.tables.items():
        data = (tmp_path / f"{table}.jsonl.gz").read_bytes()
        assert told == {"rows": 5, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


@pytest.mark.parametrize(
    ("branch", "head", "default", "whole"),
    [
        ("main", REPO, "main", True),
        ("main", "Spec/Backend", "main", True),
        ("develop", REPO, "develop", True),
        (f"trunk/{'a' * 40}", REPO, "main", True),
        ("main", "fork/backend", "main", False),
        (f"trunk/{'a' * 40}", "fork/backend", "main", False),
        ("main", REPO, "develop", False),
        ("trunk/abc", REPO, "main", False),
        (f"trunk/{'a' * 40}/x", REPO, "main", False),
        ("feature", REPO, "main", False),
        ("", "", "main", False),
    ],
)
def test_every_test_is_kept_for_the_repo_s_own_trunk_alone(
    github: LocalRuns,
    tmp_path: Path,
    branch: str,
    head: str,
    default: str,
    whole: bool,  # noqa: FBT001 - a table
) -> None:
    run = github.add(REPO)
    github.upload(run, "test-reports-runattempt1-x_1", report("a"))
    found = collect(run, tmp_path, "--default-branch", default, branch=branch, head=head)
    assert ("test_run" in found.tables) is whole
    assert found.tables["test_run_summary"]["rows"] == 1


def test_the_same_input_gives_the_same_bytes(github: LocalRuns, tmp_path: Path) -> None:
    run = github.add(REPO)
    for job in range(12):
        github.upload(run, f"test-reports-runattempt1-x_{job}", report(f"t{job}", "<failure/>" * (job % 2)))
    first = collect(run, tmp_path / "1", "--workers", "1")
    second = collect(run, tmp_path / "2", "--workers", "3")
    assert first.tables == second.tables
    assert first.manifest["artifacts"] == second.manifest["artifacts"]


def test_artifacts_of_one_job_are_summed_together(github: LocalRuns, tmp_path: Path) -> None:
    run = github.add(REPO)
    for part in "abc":
        github.upload(run, f"test-reports-runattempt1-{part}_5", report(part))
    found = collect(run, tmp_path)
    assert [row["tests"] for row in found.rows("test_run_summary")] == [3]


def test_what_a_job_listed_and_lost_is_noted(github: LocalRuns, tmp_path: Path) -> None:
    run = github.add(REPO)
    listed = [{"path": "a/a.xml", "size": 9}, {"path": "b/b.xml", "size": 1}, {"path": 3}, "x"]
    files = {"a/a.xml": REPORT, "oot-hud-manifest.json": json.dumps({"schema_version": "1", "files": listed})}
    github.upload(run, "test-reports-runattempt1-x_1", archive(files))
    github.upload(run, "test-reports-runattempt1-y_2", archive({"a/a.xml": REPORT, "oot-hud-manifest.json": "[1]"}))
    found = collect(run, tmp_path)
    lost = {artifact["job_id"]: artifact["lost"] for artifact in found.manifest["artifacts"]}
    assert lost == {
        1: [f"a/a.xml was 9 bytes and has {len(REPORT)}", "b/b.xml is listed, but not there"],
        2: [],
    }
    assert found.totals["lost_files"] == 2


def test_reruns_of_disabled_tests_are_told(github: LocalRuns, tmp_path: Path) -> None:
    run = github.add(REPO)
    github.upload(run, "test-reports-runattempt1-x_1", report("a", "<skipped message='{\"num_red\": 1}'/>"))
    (file,) = collect(run, tmp_path).manifest["artifacts"][0]["files"]
    assert (file["fate"], file["detail"]) == ("parsed", "It is a rerun of disabled tests.")


def test_what_reports_mean_is_the_same_as_for_a_job_s_own_counts(github: LocalRuns, tmp_path: Path) -> None:
    """Each sample of a producer: a row a case, and sums as `report-result` has them, but for attempts of one test."""
    run = github.add(REPO)
    for number, sample in enumerate(SAMPLES):
        github.upload(run, f"test-reports-runattempt1-x_{number}", archive({"x/x.xml": sample.read_bytes()}))
    found = collect(run, tmp_path)
    for number, sample in enumerate(SAMPLES):
        report = junit.summarize([sample])
        rows = [row for row in found.rows("test_run_summary") if row["job_id"] == number]
        sums = {
            name: sum(row[name] for row in rows) for name in ("tests", "failures", "errors", "skipped", "successes")
        }
        failed = [row for row in found.rows("failed_test_runs") if row["job_id"] == number]
        assert sums["failures"] + sums["errors"] == report.failed, sample
        assert len([row for row in failed if row.keys() & {"failure", "error"}]) == report.failed - (
            sample.stem == "pytest_subtests" or 2 * (sample.stem == "pytest_xunit1")
        )
        assert sums["skipped"] == report.skipped, sample
        if sample.stem != "pytest_rerunfailures":
            assert (sums["tests"], sums["successes"]) == (report.total, report.passed), sample


def test_earlier_attempts_beside_the_last_one_are_left_out(github: LocalRuns, tmp_path: Path) -> None:
    run = github.add(REPO)
    failed = SUITE.format('<testcase name="ops"><error/></testcase>')
    files = {"ops/test_attempts/attempt_1.xml": failed, "ops/test.xml": SUITE.format('<testcase name="ops"/>')}
    github.upload(run, "test-reports-runattempt1-x_1", archive(files))
    found = collect(run, tmp_path)
    assert [row["name"] for row in found.rows("test_run")] == ["ops"]
    assert found.rows("failed_test_runs") == []
    (file,) = found.manifest["artifacts"][0]["files"]
    assert (file["path"], file["fate"], file["reason"]) == (
        "ops/test_attempts/attempt_1.xml",
        "skipped",
        "earlier_attempt",
    )


# --- attempts and sources


def test_only_the_asked_attempt_and_what_it_took_over(github: LocalRuns, tmp_path: Path) -> None:
    first = [{"id": 10, "name": "build"}, {"id": 11, "name": "test"}]
    second = [{**first[0], "run_attempt": 1}, {"id": 21, "name": "test"}]
    run = github.add(REPO, attempts=[{"jobs": first}, {"jobs": second}])
    for attempt, job in ((1, 10), (1, 11), (2, 21)):
        github.upload(run, f"test-reports-runattempt{attempt}-x_{job}", report(f"t{job}"))
    found = collect(run, tmp_path / "2", attempt=2)
    assert {row["name"]: row["workflow_run_attempt"] for row in found.rows("test_run")} == {"t10": 2, "t21": 2}
    assert found.fates()["test-reports-runattempt1-x_11"] == ("skipped", "superseded")
    assert found.manifest["fallbacks"] == [
        {"rule": "carried_over", "artifact": "test-reports-runattempt1-x_10", "from_attempt": 1}
    ]
    found = collect(run, tmp_path / "1", attempt=1)
    assert {row["name"] for row in found.rows("test_run")} == {"t10", "t11"}
    assert found.fates()["test-reports-runattempt2-x_21"] == ("skipped", "other_attempt")


def test_what_expired_matters_only_where_it_is_asked_for(github: LocalRuns, tmp_path: Path) -> None:
    run = github.add(REPO, attempts=[{"jobs": [{"id": 1, "name": "test"}]}, {"jobs": [{"id": 2, "name": "test"}]}])
    github.upload(run, "test-reports-runattempt1-x_1", b"x", expired="yes")
    github.upload(run, "sccache-stats-runattempt2-x_2", b"x", expired="yes")
    github.upload(run, "test-reports-runattempt2-x_2", report("a"))
    assert collect(run, tmp_path / "2", attempt=2).fates()["test-reports-runattempt1-x_1"] == ("skipped", "superseded")
    found = collect(run, tmp_path / "1", attempt=1, code=exit_codes.PARTLY)
    assert found.fates()["test-reports-runattempt1-x_1"] == ("rejected", "gone")


def test_without_the_jobs_nothing_is_guessed(github: LocalRuns, tmp_path: Path) -> None:
    run = github.add(REPO, attempts=[{"jobs": []}, {"jobs": []}])
    for attempt in (1, 2):
        github.upload(run, f"test-reports-runattempt{attempt}-x_{attempt}", report(f"t{attempt}"))
    github.fault(f"runs/{run}/attempts/2/jobs", 403)
    found = collect(run, tmp_path, attempt=2)
    assert [row["name"] for row in found.rows("test_run")] == ["t2"]
    assert [told["rule"] for told in found.manifest["fallbacks"]] == ["jobs_unknown"]


@pytest.mark.parametrize("way", ["s3", "presigned"])
def test_both_sources_count_once(
    github: LocalRuns, s3: S3Client, bucket: str, aws_environment: dict[str, str], tmp_path: Path, way: str
) -> None:
    """Also what S3 holds of an earlier attempt whose job was taken over."""
    first = [{"id": 10, "name": "build"}, {"id": 11, "name": "test"}]
    run = github.add(
        REPO, attempts=[{"jobs": first}, {"jobs": [{**first[0], "run_attempt": 1}, {"id": 21, "name": "test"}]}]
    )
    github.upload(run, "test-reports-runattempt2-both_21.zip", report("both"))
    github.upload(run, "test-reports-runattempt2-github_22", report("github"))
    for attempt, name in ((2, "both_21"), (2, "s3 ü_23"), (1, "build_10"), (1, "old_11")):
        key = f"{REPO}/{run}/{attempt}/artifact/test-reports-{name}.zip"
        s3.put_object(Bucket=bucket, Key=key, Body=report(name))
    for key in (f"{REPO}/{run}/2/artifact/test-reports-log_1.txt", f"{REPO}/{run}0/2/artifact/test-reports-x_1.zip"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"not ours")
    # A job of attempt 2 may write below its own folder: what it puts there is none of attempt 1's.
    forged = f"{REPO}/{run}/2/artifact/{REPO}/{run}/1/artifact/test-reports-forged_10.zip"
    s3.put_object(Bucket=bucket, Key=forged, Body=report("forged"))
    urls = tmp_path / "urls"
    if way == "presigned":
        which = ["--bucket", bucket, "--repo", REPO, "--workflow-run-id", str(run), "--workflow-run-attempt", "2"]
        assert main(["stats", "presign", *which, "--out", str(urls)]) == 0
    source = ["--s3", f"s3://{bucket}"] if way == "s3" else ["--presigned", str(urls)]
    found = collect(run, tmp_path / "out", *source, attempt=2)
    assert sorted(row["name"] for row in found.rows("test_run")) == ["both_21", "build_10", "github", "s3 ü_23"]
    assert found.fates()["test-reports-runattempt2-both_21.zip"] == ("skipped", "same_in_both")
    assert "X-Amz" not in (tmp_path / "out" / "manifest.json").read_text()
    keys = [artifact["key"] for artifact in found.manifest["artifacts"] if artifact["source"] == "s3"]
    assert all(f"{REPO}/{run}/" in key for key in keys)
    # S3 alone
    alone = collect(run, tmp_path / "alone", *source, "--no-github", attempt=2)
    assert sorted(row["name"] for row in alone.rows("test_run")) == ["both_21", "s3 ü_23"]


def test_the_copy_is_read_where_the_first_fails(
    github: LocalRuns, s3: S3Client, bucket: str, aws_environment: dict[str, str], tmp_path: Path
) -> None:
    run = github.add(REPO)
    github.upload(run, "test-reports-runattempt1-x_1.zip", report("from github"))
    key = f"{REPO}/{run}/1/artifact/test-reports-x_1.zip"
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})  # there is no such object
    (tmp_path / "urls").write_text(url)
    found = collect(run, tmp_path / "out", "--presigned", str(tmp_path / "urls"))
    assert [row["name"] for row in found.rows("test_run")] == ["from github"]
    assert [(one["source"], one["fate"], one["reason"]) for one in found.manifest["artifacts"]] == [
        ("s3", "skipped", "gone"),
        ("github", "parsed", ""),
    ]


# --- how it ends


@pytest.mark.parametrize(
    ("uploads", "code"),
    [
        ({}, exit_codes.NOTHING),
        ({"test-jsons-runattempt1-x_1": b"x"}, exit_codes.NOTHING),
        ({"test-reports-runattempt1-x_1": archive({"a.txt": "x"})}, exit_codes.NOTHING),
        ({"test-reports-runattempt1-x_1": archive({"coverage.xml": "<coverage/>"})}, exit_codes.NOTHING),
        ({"test-reports-runattempt1-x_1": report("a")}, exit_codes.STORED),
        ({"test-reports-runattempt1-x_1": report("a"), "test-reports-runattempt1-y_2": b"x"}, exit_codes.PARTLY),
        ({"test-reports-runattempt1-x_1": archive({"a.xml": REPORT, "b.xml": "<"})}, exit_codes.PARTLY),
        ({"test-reports-runattempt1-x_1": b"x"}, exit_codes.PARTLY),
    ],
)
def test_exit_codes(github: LocalRuns, tmp_path: Path, uploads: dict[str, bytes], code: int) -> None:
    run = github.add(REPO)
    for name, data in uploads.items():
        github.upload(run, name, data)
    collect(run, tmp_path, code=code)


@pytest.mark.parametrize(
    ("more", "code", "told"),
    [
        (["--max-entries", "0"], exit_codes.USAGE, "--max-entries must be more than 0"),
        (["--no-github"], exit_codes.USAGE, "--no-github needs --s3 or --presigned."),
        (["--s3", "bucket"], exit_codes.FAILED, "s3://bucket"),
        (["--presigned", "no-such-file"], exit_codes.FAILED, "no-such-file can't be read"),
        (["--workflow-run-id", "999999999999"], exit_codes.FAILED, "404"),
        (["--out", "/proc/nowhere"], exit_codes.FAILED, "can't be written"),
    ],
)
def test_what_is_wrong_is_said(
    github: LocalRuns, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], code: int, told: str
) -> None:
    run = github.add(REPO)
    assert main(["stats", "collect", *flags(run, tmp_path, *more)]) == code
    error = capsys.readouterr().err
    assert error.startswith("collect: ")
    assert told in error


def test_an_old_result_is_never_left_behind(github: LocalRuns, tmp_path: Path) -> None:
    run = github.add(REPO)
    github.upload(run, "test-reports-runattempt1-x_1", report("a"))
    collect(run, tmp_path)
    github.fault(f"runs/{run}/artifacts", 403)
    assert main(["stats", "collect", *flags(run, tmp_path)]) == exit_codes.FAILED
    assert list(tmp_path.iterdir()) == []


def test_a_quota_by_flag_and_by_variable(github: LocalRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = github.add(REPO)
    github.upload(run, "test-reports-runattempt1-x_1", report("a"))
    found = collect(run, tmp_path / "flag", "--max-bytes", "800", code=exit_codes.PARTLY)
    assert found.manifest["artifacts"][0]["reason"] == "artifact_too_large"
    monkeypatch.setenv("COLLECT_MAX_BYTES", "800")
    collect(run, tmp_path / "variable", code=exit_codes.PARTLY)


# --- processes


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "crashed"),
        ("import os; os._exit(1)", "crashed"),
        ("raise MemoryError", "out_of_memory"),
        ("import time; time.sleep(60)", "too_slow"),
    ],
)
def test_a_process_that_dies_loses_one_artifact(
    github: LocalRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, reason: str
) -> None:
    """The job's other artifacts are read again, and nothing is counted twice."""
    folder = tmp_path / "stand_in"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import sys, importlib.abc\n"
        "def patch():\n"
        "    from oot_stats.reading import process as room\n"
        "    real = room.Job.read\n"
        "    def read(self, file, request):\n"
        "        if 'evil' in request['artifact']:\n"
        f"            {code}\n"
        "        return real(self, file, request)\n"
        "    room.Job.read = read\n"
        "sys.modules['sitecustomize'].patch = patch\n"
    )
    (folder / "start.py").write_text(
        "import sitecustomize, sys, runpy\nsitecustomize.patch()\n"
        "from oot_stats.reading import process\nraise SystemExit(process.main())\n"
    )
    real = subprocess.Popen

    def start(argv: list[str], **told: Any) -> Any:
        told["env"] = {**told["env"], "PYTHONPATH": f"{folder}:{ROOT / 'scripts'}"}
        return real([argv[0], str(folder / "start.py"), *argv[3:]], **told)

    monkeypatch.setattr("oot_stats.reading.pool.subprocess.Popen", start)
    run = github.add(REPO)
    for name in ("a", "evil", "z"):
        github.upload(run, f"test-reports-runattempt1-{name}_1", report(name, "<failure/>"))
    github.upload(run, "test-reports-runattempt1-other_2", report("other"))
    found = collect(run, tmp_path / "out", "--max-seconds", "2", code=exit_codes.PARTLY)
    assert found.fates()["test-reports-runattempt1-evil_1"] == ("rejected", reason)
    assert sorted(row["name"] for row in found.rows("test_run")) == ["a", "other", "z"]
    assert [row["name"] for row in found.rows("failed_test_runs")] == ["a", "z"]
    assert sum(row["tests"] for row in found.rows("test_run_summary")) == found.tables["test_run"]["rows"] == 3


def test_what_reads_strangers_archives_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "a-job-s-token")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    process = reading_pool.ReadingProcess(Limits())
    try:
        process._start()
        assert process._process is not None
        environment = Path(f"/proc/{process._process.pid}/environ").read_bytes()
    finally:
        process.close()
    assert b"a-job-s-token" not in environment
    assert b"hunter2" not in environment


def test_a_process_ends_with_the_one_that_started_it() -> None:
    process = reading_pool.ReadingProcess(Limits())
    try:
        channel = process._start()
        assert process._process is not None
        assert process._process.poll() is None
        channel.close()
        assert process._process.wait(timeout=240) == 0
    finally:
        process.close()


# --- what it tells


def test_the_summary_is_text_and_nothing_else(
    github: LocalRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names are strangers': no markup, no link, no mention and no workflow command comes of them."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    run = github.add(REPO)
    evil = "x/::error::![](http://evil) <b>@everyone`.xml"
    github.upload(run, "test-reports-runattempt1-x_1", archive({evil: "<", "y/@team <img>.xml": REPORT}))
    github.upload(run, "test-reports-runattempt1-::set-env name=A::_2", b"x")
    collect(run, tmp_path / "out", code=exit_codes.PARTLY)
    summary = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert "3 test cases" in summary
    assert "not_a_zip" in summary
    assert "Slowest" in summary
    outside = re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", summary)  # what is in no code span
    for markup in ("<b>", "@everyone", "](http", "::error", "<img>"):
        assert markup not in outside
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in printed if line.startswith("::")] == [
        line for line in printed if line.startswith("::warning ")
    ]


def test_help_tells_the_exit_codes_and_quotas() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "oot_ops", "stats", "collect", "--help"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "3 stored but for what was rejected" in " ".join(told.split())
    for name in Limits._fields:
        assert f"--max-{name}" in told
