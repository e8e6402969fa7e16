"""upload-test-stats.yml, run job by job: from artifacts on GitHub and in a private bucket to S3 and ClickHouse."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from oot_local.actions.parser import ActionParser
from tests.oot_stats.local_runs import archive, new_id
from tests.oot_stats.workflow_jobs import Jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from clickhouse_connect.driver.client import Client
    from types_boto3_s3.client import S3Client

    from oot_local.stack import Stack
    from tests.oot_stats.local_runs import LocalRuns

REPO = "spec/stats"
REPORT = b"""<testsuites><testsuite name="s">
<testcase classname="TestOps" name="test_add" file="test_ops.py" time="0.5"/>
<testcase classname="TestOps" name="test_sub" file="test_ops.py" time="0.25">
<failure message="1 != 2">::set-output name=repo::evil/repo</failure></testcase>
</testsuite></testsuites>"""


@pytest.fixture(scope="module")
def parser() -> Iterator[ActionParser]:
    with ActionParser() as parser:
        yield parser


class Upload:
    """A run that is over, and the workflow that follows it."""

    def __init__(
        self, stack: Stack, github: LocalRuns, aws: dict[str, str], parser: ActionParser, folder: Path
    ) -> None:
        self._stack, self.github, self._aws, self._parser, self._folder = stack, github, aws, parser, folder
        self.jobs = [new_id(), new_id(), new_id()]
        self.run_id = 0

    def over(self, **told: Any) -> int:
        jobs = [{"id": job, "name": f"test {job}"} for job in self.jobs]
        told = {"event": "push", "head_branch": "main", **told}
        conclusion = told.pop("conclusion", "failure")
        self.run_id = self.github.add(REPO, attempts=[{"jobs": jobs, "conclusion": conclusion}], **told)
        return self.run_id

    def follow(self, event: dict[str, Any] | None = None, **inputs: Any) -> Jobs:
        """Start the workflow: called by another one where there are inputs, else by its own `workflow_run`."""
        own = {"id": self.run_id, "run_attempt": 1, "conclusion": None, **(event or {})}
        variables = {
            "TEST_STATS_BUCKET": inputs.pop("bucket", ""),
            "TEST_ARTIFACTS_BUCKET": inputs.pop("artifacts_bucket", ""),
            "TEST_STATS_ROLE": "arn:aws:iam::000000000000:role/test-stats",
        }
        called = {
            "workflow-run-id": str(self.run_id),
            "workflow-run-attempt": "1",
            "upload": "stats artifacts",
            **{name.replace("_", "-"): value for name, value in inputs.items()},
        }
        return Jobs(
            "upload-test-stats.yml",
            self._folder,
            self._parser,
            aws=self._aws,
            oidc={"ACTIONS_ID_TOKEN_REQUEST_URL": "http://127.0.0.1:9/", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "x"},
            github={
                "repository": REPO,
                "event_name": "workflow_run",
                "event": {"workflow_run": own, "repository": {"default_branch": "main"}},
                "token": "the-job-s-own",
                "api_url": self._stack.state["github_url"],
            },
            vars=variables,
            inputs={"aws-region": "us-east-1", "environment": "test-stats", **called} if inputs else {},
            secrets={"CLICKHOUSE_URL": self._stack.state["clickhouse_url"]},
        )


@pytest.fixture
def upload(
    stack: Stack, github: LocalRuns, aws_environment: dict[str, str], parser: ActionParser, tmp_path: Path
) -> Upload:
    aws = {name: value for name, value in aws_environment.items() if name.startswith("AWS_")}
    return Upload(stack, github, aws, parser, tmp_path)


@pytest.fixture
def buckets(s3: S3Client) -> Callable[[], str]:
    def make() -> str:
        name = f"workflow-{new_id()}"
        s3.create_bucket(Bucket=name)
        return name

    return make


def keys(s3: S3Client, bucket: str) -> set[str]:
    return {item["Key"] for item in s3.list_objects_v2(Bucket=bucket).get("Contents", [])}


def names(s3: S3Client, bucket: str, key: str) -> list[str]:
    body = gzip.decompress(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    return sorted(orjson.loads(line)["name"] for line in body.splitlines())


def test_github_and_a_private_bucket_end_in_s3_and_clickhouse(
    upload: Upload, s3: S3Client, buckets: Callable[[], str], clickhouse: Client
) -> None:
    run, (first, second, third) = upload.over(), upload.jobs
    stats, raw, private = buckets(), buckets(), buckets()
    reports = archive(("test/test-reports/python-pytest/test_ops/test_ops-1.xml", REPORT))
    upload.github.upload(run, f"test-reports-runattempt1-default-1-1-linux_{first}", reports)
    upload.github.upload(run, f"test-reports-runattempt1-hostile_{second}", b"no zip")
    foreign = f"test-reports-runattempt1-of-another-run_{new_id()}"  # a job's id that is none of this run's
    upload.github.upload(run, foreign, reports)
    s3.put_object(
        Bucket=private, Key=f"{REPO}/{run}/1/artifact/test-reports-default-2-2-linux_{third}.zip", Body=reports
    )
    jobs = upload.follow(bucket=stats, artifacts_bucket=raw, source_bucket=private, clickhouse=True)
    results = {name: jobs.run(name) for name in ("run", "presign", "collect", "publish", "copy")}
    assert set(results.values()) == {"success"}, (results, jobs.logs)

    assert keys(s3, stats) == {
        f"{table}/{run}/1" for table in ("test_run_summary", "failed_test_runs", "test_run", "manifest")
    }
    assert names(s3, stats, f"test_run/{run}/1") == ["test_add", "test_add", "test_sub", "test_sub"]
    assert names(s3, stats, f"failed_test_runs/{run}/1") == ["test_sub", "test_sub"]
    manifest = orjson.loads(s3.get_object(Bucket=stats, Key=f"manifest/{run}/1")["Body"].read())
    assert manifest["tables"]["test_run"]["rejected"] == {"foreign_job": 2}
    assert {each["name"]: each["fate"] for each in manifest["artifacts"]}[
        f"test-reports-runattempt1-hostile_{second}"
    ] == "rejected"
    (ids,) = clickhouse.query(
        f"SELECT groupArray(job_id) FROM default.test_run_s3 FINAL WHERE workflow_id = {run}"  # noqa: S608
    ).result_rows[0]
    assert sorted(ids) == sorted([first, first, third, third])
    assert len(keys(s3, raw)) == 3, "raw archives are kept as they are, hostile or not"
    told = "".join(jobs.logs.values())
    assert "X-Amz-Signature" not in told
    assert "::set-output" not in told
    assert "foreign_job" in jobs.summaries["publish"]


@pytest.mark.parametrize(
    ("told", "stored"),
    [
        ({"head_branch": "main"}, {"test_run_summary", "failed_test_runs", "test_run", "manifest"}),
        ({"head_branch": "feature"}, {"test_run_summary", "failed_test_runs", "manifest"}),
        (
            {"head_branch": "main", "head_repository": "stranger/stats", "event": "pull_request"},
            {"test_run_summary", "failed_test_runs", "manifest"},
        ),
    ],
    ids=["main", "branch", "fork"],
)
def test_by_itself_it_follows_this_repository_s_own_ci(
    upload: Upload, s3: S3Client, buckets: Callable[[], str], told: dict[str, str], stored: set[str]
) -> None:
    run, bucket = upload.over(**told), buckets()
    upload.github.upload(run, f"test-reports-runattempt1-x_{upload.jobs[0]}", archive(("a/b/t.xml", REPORT)))
    # What the event says of the branch is not asked for: GitHub is.
    jobs = upload.follow(event={"head_branch": "main", "head_repository": {"full_name": REPO}}, bucket=bucket)
    results = [jobs.run(name) for name in ("run", "presign", "collect", "publish", "copy")]
    assert results == ["success", "skipped", "success", "success", "skipped"], jobs.logs
    assert keys(s3, bucket) == {f"{table}/{run}/1" for table in stored}


@pytest.mark.parametrize(
    ("conclusion", "results"),
    [
        ("success", ["success", "skipped", "success", "skipped", "skipped"]),  # nothing was left behind
        ("skipped", ["success", "skipped", "skipped", "skipped", "skipped"]),
        ("action_required", ["success", "skipped", "skipped", "skipped", "skipped"]),
        ("startup_failure", ["success", "skipped", "skipped", "skipped", "skipped"]),
    ],
)
def test_where_there_is_nothing_to_store_no_job_gets_rights(
    upload: Upload, buckets: Callable[[], str], conclusion: str | None, results: list[str]
) -> None:
    upload.over(conclusion=conclusion)
    jobs = upload.follow(bucket=buckets())
    assert [jobs.run(name) for name in ("run", "presign", "collect", "publish", "copy")] == results, jobs.logs


@pytest.mark.parametrize("conclusion", ["cancelled", "timed_out", "stale", "neutral", None])
def test_a_run_is_stored_however_it_ended(
    upload: Upload, s3: S3Client, buckets: Callable[[], str], conclusion: str | None
) -> None:
    """pytorch stores cancelled runs too (pytorch/pytorch#129694): one job in a timeout cancels the whole."""
    run, bucket = upload.over(conclusion=conclusion, event="pull_request", head_branch="x"), buckets()
    upload.github.upload(run, f"test-reports-runattempt1-x_{upload.jobs[0]}", archive(("a/t.xml", REPORT)))
    jobs = upload.follow(bucket=bucket)
    results = [jobs.run(each) for each in ("run", "presign", "collect", "publish")]
    assert results == ["success", "skipped", "success", "success"], jobs.logs
    assert f"manifest/{run}/1" in keys(s3, bucket)


def test_without_a_bucket_collect_alone_tells_what_it_would_store(upload: Upload) -> None:
    run = upload.over()
    upload.github.upload(run, f"test-reports-runattempt1-x_{upload.jobs[0]}", archive(("a/t.xml", REPORT)))
    jobs = upload.follow()
    results = [jobs.run(name) for name in ("run", "presign", "collect", "publish", "copy")]
    assert results == ["success", "skipped", "success", "skipped", "skipped"], jobs.logs
    assert jobs.summaries["collect"]


def test_a_branch_s_name_that_a_shell_would_obey_is_only_a_name(
    upload: Upload, s3: S3Client, buckets: Callable[[], str]
) -> None:
    name = "--help;echo pwned;$(echo pwned)`echo pwned`'\"\\ ünï"
    run, bucket = upload.over(head_branch=name, event="pull_request"), buckets()
    upload.github.upload(run, f"test-reports-runattempt1-x_{upload.jobs[0]}", archive(("a/t.xml", REPORT)))
    jobs = upload.follow(bucket=bucket)
    results = [jobs.run(each) for each in ("run", "presign", "collect", "publish")]
    assert results == ["success", "skipped", "success", "success"], jobs.logs
    assert keys(s3, bucket) == {f"{table}/{run}/1" for table in ("test_run_summary", "failed_test_runs", "manifest")}
    assert "\npwned" not in "".join(jobs.logs.values())
