"""A run as pytorch's are: hundreds of artifacts, GitHub and S3, two attempts, real reports; totals to the case."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
import pytest

from oot_ops.cli import main
from tests.integration import producers
from tests.oot_stats import reference
from tests.oot_stats.local_runs import LocalRuns
from tests.oot_stats.zips import archive

if TYPE_CHECKING:
    from pathlib import Path

    from clickhouse_connect.driver.client import Client

    from oot_local.stack import Stack

REPO = "spec/realistic"
JOBS = 200
RERUN = 40  # jobs that ran again in attempt 2
IN_BOTH = 10  # artifacts that are on GitHub and in S3
CASES = 300_000


class Realistic(NamedTuple):
    """The run, and what each job's artifact holds."""

    run: int
    bucket: str
    reports: list[producers.Produced]

    @property
    def cases(self) -> int:
        return sum(report.cases for report in self.reports)

    @property
    def failed(self) -> int:
        return sum(report.failed for report in self.reports)

    @property
    def skipped(self) -> int:
        return sum(report.skipped for report in self.reports)


@pytest.fixture(scope="module")
def realistic(stack: Stack, aws: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Realistic:
    folder = tmp_path_factory.mktemp("producers")
    pytest_report = producers.pytest_report(folder, 500)
    reports = [
        pytest_report,
        pytest_report,  # a shard of the same tests, in another file
        producers.unittest_report(folder, 300),
        producers.gtest_report(180),
        producers.ctest_report(folder, 20),
    ]
    places = ["test_ops", "test_ops_gradients", "test_nn", "cpp/stream_test", "cpp/ctest"]
    data = archive({
        f"test/test-reports/{place}/TEST-{number}.xml": one.report
        for number, (place, one) in enumerate(zip(places, reports, strict=True))
    } | {"test/test-reports/test_ops/log.txt": "said\n"})  # fmt: skip
    bucket = "realistic-artifacts"
    s3 = boto3.client("s3", **aws)
    s3.create_bucket(Bucket=bucket)
    first = [{"id": 1_000 + number, "name": f"test ({number})"} for number in range(JOBS)]
    second = [
        {"id": 2_000 + number, "name": job["name"]} if number < RERUN else {**job, "run_attempt": 1}
        for number, job in enumerate(first)
    ]
    github = LocalRuns(stack.state["github_url"])
    run = github.add(REPO, attempts=[{"jobs": first}, {"jobs": second}])
    for attempt, jobs in ((1, first), (2, second[:RERUN])):
        for number, job in enumerate(jobs):
            if number % 2 == 0:
                github.upload(run, f"test-reports-runattempt{attempt}-default-{number}_{job['id']}.zip", data)
            if number % 2 == 1 or number < 2 * IN_BOTH:
                key = f"{REPO}/{run}/{attempt}/artifact/test-reports-default-{number}_{job['id']}.zip"
                s3.put_object(Bucket=bucket, Key=key, Body=data)
    github.upload(run, "sccache-stats-runattempt2-x_1", b"not a report")
    s3.close()
    return Realistic(run, bucket, reports)


@pytest.fixture(autouse=True)
def environment(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "GITHUB_API_URL": stack.state["github_url"],
        "GITHUB_TOKEN": "a-job-s-token",
        "AWS_ENDPOINT_URL": stack.state["aws_endpoint_url"],
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "us-east-1",
        "CLICKHOUSE_URL": stack.state["clickhouse_url"],
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


def flags(realistic: Realistic, out: Path, attempt: int, branch: str) -> list[str]:
    which = ["--repo", REPO, "--workflow-run-id", str(realistic.run), "--workflow-run-attempt", str(attempt)]
    return [*which, "--head-branch", branch, "--head-repository", REPO, "--out", str(out)]


def collect(realistic: Realistic, out: Path, attempt: int, branch: str) -> dict[str, Any]:
    source = ["--s3", f"s3://{realistic.bucket}", "--workers", "2"]
    assert main(["stats", "collect", *flags(realistic, out, attempt, branch), *source]) == 0
    told: dict[str, Any] = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    return told


def rows(out: Path, table: str) -> list[bytes]:
    return gzip.decompress((out / f"{table}.jsonl.gz").read_bytes()).splitlines()


def test_a_whole_run_to_the_case(realistic: Realistic, clickhouse: Client, tmp_path: Path) -> None:
    """Attempt 2, of trunk: the jobs that ran again by what they left now, the others by what they left then."""
    manifest = collect(realistic, tmp_path, 2, "main")
    assert JOBS * realistic.cases == CASES
    assert manifest["totals"]["cases"] == manifest["tables"]["test_run"]["rows"] == CASES
    assert manifest["tables"]["failed_test_runs"]["rows"] == JOBS * realistic.failed
    assert manifest["totals"]["artifacts"]["parsed"] == JOBS
    assert manifest["totals"]["artifacts"]["rejected"] == manifest["totals"]["files"]["rejected"] == 0
    reasons = Counter(artifact["reason"] for artifact in manifest["artifacts"] if artifact["fate"] == "skipped")
    # Of the artifacts in both sources, those of attempt 1 are superseded in both.
    assert reasons == {"superseded": RERUN + IN_BOTH, "same_in_both": IN_BOTH, "not_reports": 1}
    assert Counter(told["rule"] for told in manifest["fallbacks"]) == {"carried_over": JOBS - RERUN}

    jobs = Counter(json.loads(line)["job_id"] for line in rows(tmp_path, "test_run"))
    assert jobs == {(2_000 if number < RERUN else 1_000) + number: realistic.cases for number in range(JOBS)}
    summary = [json.loads(line) for line in rows(tmp_path, "test_run_summary")]
    assert sum(row["tests"] for row in summary) == CASES
    assert sum(row["failures"] + row["errors"] for row in summary) == JOBS * realistic.failed
    assert sum(row["skipped"] for row in summary) == JOBS * realistic.skipped
    assert manifest["totals"]["peak_bytes"] < 64 * 1024**2

    destination = ["--bucket", realistic.bucket, "--clickhouse"]
    assert main(["stats", "publish", *flags(realistic, tmp_path, 2, "main"), *destination]) == 0
    stored = clickhouse.query(
        "SELECT count(), uniqExact(job_id) FROM default.test_run_s3 FINAL WHERE workflow_id = {run:Int64}",
        parameters={"run": realistic.run},
    ).result_rows
    assert stored == [(CASES, JOBS)]
    summed = clickhouse.query(
        "SELECT sum(tests), sum(failures) + sum(errors), sum(skipped) FROM default.test_run_summary FINAL "
        "WHERE workflow_id = {run:Int64} AND workflow_run_attempt = 2",
        parameters={"run": realistic.run},
    ).result_rows
    assert summed == [(CASES, JOBS * realistic.failed, JOBS * realistic.skipped)]


def test_one_job_s_rows_are_those_of_pytorch_s_script(realistic: Realistic, tmp_path: Path) -> None:
    """Attempt 1, of a branch: the failed rows and the summary alone."""
    manifest = collect(realistic, tmp_path, 1, "feature")
    assert set(manifest["tables"]) == {"failed_test_runs", "test_run_summary"}
    assert manifest["totals"]["cases"] == CASES
    whose = {"workflow_id": str(realistic.run), "workflow_run_attempt": 1, "job_id": 1_007}
    places = ["test_ops", "test_ops_gradients", "test_nn", "stream_test", "ctest"]
    expected = [
        row
        for place, report in zip(places, realistic.reports, strict=True)
        for row in reference.rows(report.report.encode(), {**whose, "invoking_file": place})
    ]
    failed = [json.loads(line) for line in rows(tmp_path, "failed_test_runs")]
    assert [row for row in failed if row["job_id"] == 1_007] == [
        row for row in expected if row.keys() & {"failure", "error", "rerun"}
    ]
    groups = [json.loads(line) for line in rows(tmp_path, "test_run_summary")]
    assert _rounded([row for row in groups if row["job_id"] == 1_007]) == _rounded(reference.summary(expected))


def _rounded(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(({**group, "time": round(group["time"], 6)} for group in groups), key=repr)
