"""A realistic instance of what each page shows, with the values that templates get wrong most easily."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hud_endpoint.views.models.backend import (
    BackendPage,
    Criterion,
    EarlierRepository,
    EnvironmentEntry,
    FailingTest,
    FlakyTest,
    KnownName,
    Readiness,
    SlowJob,
    SlowTest,
)
from hud_endpoint.views.models.counts import Counts, DayCount, Freshness, Spread, TrendPoint
from hud_endpoint.views.models.failed_test import FailedTestPage, FailingBackend, Occurrence
from hud_endpoint.views.models.filters import Filters
from hud_endpoint.views.models.jobs import Job, Verdict
from hud_endpoint.views.models.matrix import Cell, Column, Matrix, MatrixRow, Paging
from hud_endpoint.views.models.pull_request import PullRequestBackend, PullRequestCommit, PullRequestPage
from hud_endpoint.views.models.summary import BackendRow, Breaker, BrokenBackend, Summary

NOW = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
SHA = "3f1c9be2d8a04c5e9b7d6a1f0c2e4b8d7a5f9e13"
OLDER_SHA = "0d5a2b7c9e8f1a3b5c7d9e0f2a4b6c8d0e1f3a5b"
FILTERS = Filters()
FRESHNESS = Freshness(read_at=NOW, rolled_up_at=NOW - timedelta(minutes=2))
HISTORY = tuple(
    DayCount(day=NOW.replace(hour=0, minute=0) - timedelta(days=6 - day), failures=day % 3) for day in range(7)
)


def trend(*failures: int) -> tuple[TrendPoint, ...]:
    """A week in points of 6 hours; each has 20 jobs."""
    start = NOW.replace(hour=12, minute=0) - timedelta(hours=6 * (len(failures) - 1))
    return tuple(
        TrendPoint(start=start + timedelta(hours=6 * number), counts=Counts.of(success=20 - failed, failure=failed))
        for number, failed in enumerate(failures)
    )


FALCON = BackendRow(
    repo="example-labs/torch-falcon",
    level="L2",
    counts=Counts.of(success=412, failure=71, timed_out=12, cancelled=9, other=3),
    duration=Spread(average=1804.2, p50=1655.0, p95=3871.5, samples=490),
    queue=Spread(average=41.0, p50=33.2, p95=120.9, samples=501),
    tests=2_104_338,
    tests_failed=211,
    tests_flaky=18,
    pull_requests=84,
    last_run=NOW - timedelta(minutes=14),
    stale=False,
    running=3,
    disputed=0,
    trend=trend(1, 2, 0, 3, 5, 9, 4, 2, 1, 0, 0, 2, 3, 3, 1, 1, 7, 2, 2, 1, 0, 0, 1, 4, 9, 8, 3, 2),
)
NPU = replace(
    FALCON,
    repo="northwind/pytorch-npu",
    counts=Counts.of(success=300, failure=9, timed_out=1),
    running=0,
    last_run=NOW - timedelta(hours=37),
    stale=True,
)
MESA = replace(
    FALCON,
    repo="fabrikam/torch-mesa",
    level="L4",
    counts=Counts.of(success=9995, failure=4),
    running=None,
    last_run=NOW - timedelta(hours=3),
)
UNJUDGED = BackendRow(
    repo="contoso/torch-aurora",
    level="",
    counts=Counts.of(cancelled=2),
    duration=Spread(),
    queue=Spread(),
    tests=0,
    tests_failed=0,
    tests_flaky=0,
    pull_requests=1,
    last_run=NOW - timedelta(days=5),
    stale=True,
    running=0,
    disputed=0,
    trend=(),
)
BREAKER = Breaker(
    upstream_repo="pytorch/pytorch",
    pr_number=179565,
    sha=SHA,
    is_sha=True,
    event_type="pull_request",
    broken=(
        BrokenBackend(
            repo=FALCON.repo, level="L2", failed_jobs=3, judged_jobs=3, baseline=0.91, baseline_commits=480,
            run_url="https://github.com/example-labs/torch-falcon/actions/runs/240",
        ),
        BrokenBackend(
            repo=MESA.repo, level="L4", failed_jobs=1, judged_jobs=4, baseline=0.9996, baseline_commits=9990,
            run_url="https://github.com/fabrikam/torch-mesa/actions/runs/77",
        ),
    ),
    judged_backends=3,
    tests=("test_matmul_cpu_float32", "test_sdpa_bf16"),
    first_seen=NOW - timedelta(hours=2),
    last_seen=NOW - timedelta(minutes=14),
)  # fmt: skip
NIGHTLY_BREAKER = replace(
    BREAKER, pr_number=0, sha="buildkite-1234-job-5", is_sha=False, event_type="nightly", tests=(), judged_backends=2
)
SUMMARY = Summary(
    filters=FILTERS,
    freshness=FRESHNESS,
    counts=Counts.of(success=10707, failure=84, timed_out=13, cancelled=11, other=3),
    tests=6_313_014,
    tests_failed=633,
    pull_requests=97,
    running=3,
    backends=(FALCON, NPU, MESA, UNJUDGED),
    breakers=(BREAKER, NIGHTLY_BREAKER),
    levels={"L4": 1, "L2": 2, "": 1},
)
EMPTY_SUMMARY = replace(
    SUMMARY, counts=Counts(), tests=0, tests_failed=0, pull_requests=0, running=0, backends=(), breakers=(), levels={}
)
LAST_GOOD_SUMMARY = replace(
    SUMMARY,
    freshness=Freshness(read_at=NOW - timedelta(minutes=50), last_good=True, running_known=False),
    running=None,
)

FAILED = Job(
    key=f"{FALCON.repo}/a8f5f167/ci/test-float32/987",
    repo=FALCON.repo,
    reported_as=FALCON.repo,
    level="L2",
    workflow="ci",
    name="test-float32",
    check_run_id="987",
    run_id="240",
    attempt=2,
    state="failure",
    refused=(),
    origin="job",
    event_type="pull_request",
    upstream_repo="pytorch/pytorch",
    pr_number=179565,
    sha=SHA,
    is_sha=True,
    verified=True,
    first_seen=NOW - timedelta(minutes=50),
    started_at=NOW - timedelta(minutes=50),
    completed_at=NOW - timedelta(minutes=14),
    duration=2160.0,
    queue_time=31.5,
    total_tests=8452,
    passed_tests=8430,
    failed_tests=2,
    skipped_tests=20,
    error_tests=1,
    flaky_tests=0,
    details_truncated=1,
    run_url="https://github.com/example-labs/torch-falcon/actions/runs/240",
    artifact_url="https://artifacts.example.org/240/index.html",
    failures=("test_matmul_cpu_float32", "test_<script>alert(1)</script>"),
    verdict=Verdict(triage="upstream", reason="2 backends fail on this commit that pass otherwise."),
)
PASSED = replace(
    FAILED,
    key=f"{FALCON.repo}/a8f5f167/ci/build/985", name="build", check_run_id="985", state="success", failed_tests=0,
    error_tests=0, failures=(), attempt=1, details_truncated=0, artifact_url="", verdict=Verdict(),
)  # fmt: skip
TIMED_OUT = replace(
    FAILED,
    key=f"{FALCON.repo}/a8f5f167/ci/test-bf16/988", name="test-bf16", check_run_id="988", state="timed_out",
    origin="sweeper", duration=None, total_tests=0, passed_tests=0, failed_tests=0, failures=(),
    verdict=Verdict(triage="infra", reason="The job fell silent and was timed out; it reported no tests."),
)  # fmt: skip
RUNNING = replace(
    FAILED,
    key=f"{FALCON.repo}/a8f5f167/ci/test-dynamo/989", name="test-dynamo", check_run_id="989", state="running",
    completed_at=None, duration=None, total_tests=0, passed_tests=0, failed_tests=0, skipped_tests=0, failures=(),
    artifact_url="", verdict=Verdict(),
)  # fmt: skip
FIRST_ATTEMPT = replace(FAILED, key=f"{FALCON.repo}/a8f5f167/ci/test-float32/901", attempt=1, check_run_id="901")

COLUMNS = (
    Column(workflow="ci", job="build"),
    Column(workflow="ci", job="test-float32"),
    Column(workflow="nightly", job="test-float32"),
)
MATRIX = Matrix(
    columns=COLUMNS,
    rows=(
        MatrixRow(
            upstream_repo="pytorch/pytorch", pr_number=179565, sha=SHA, is_sha=True, event_type="pull_request",
            verified=True, superseded=False, first_seen=NOW - timedelta(minutes=50),
            counts=Counts.of(success=1, failure=1, timed_out=1),
            cells=(
                Cell(state="success", jobs=(PASSED,), attempts=1),
                Cell(state="failure", jobs=(FAILED, replace(PASSED, name="test-float32")), attempts=2),
                None,
            ),
        ),
        MatrixRow(
            upstream_repo="pytorch/pytorch", pr_number=179565, sha=OLDER_SHA, is_sha=True, event_type="pull_request",
            verified=True, superseded=True, first_seen=NOW - timedelta(hours=9),
            counts=Counts.of(success=1, cancelled=1),
            cells=(
                Cell(state="success", jobs=(replace(PASSED, sha=OLDER_SHA),), attempts=1),
                Cell(state="cancelled", jobs=(replace(PASSED, state="cancelled", sha=OLDER_SHA),), attempts=1),
                None,
            ),
        ),
        MatrixRow(
            upstream_repo="pytorch/pytorch", pr_number=0, sha="buildkite-1234-job-5", is_sha=False,
            event_type="nightly", verified=False, superseded=False, first_seen=NOW - timedelta(hours=11),
            counts=Counts.of(timed_out=1),
            cells=(None, None, Cell(state="timed_out", jobs=(TIMED_OUT,), attempts=1)),
        ),
    ),
)  # fmt: skip
TEST_FAILURE = FailingTest(
    name="test_matmul_cpu_float32",
    classname="TestLinalgCPU",
    file="test/test_linalg.py",
    status="failure",
    message="AssertionError: Tensor-likes are not close!",
    stacktrace='Traceback (most recent call last):\n  File "test_linalg.py", line 12, in test_matmul\nAssertionError',
    duration=0.25,
    failures=4,
    first_seen=NOW - timedelta(days=3),
    last_seen=NOW - timedelta(minutes=14),
    is_new=True,
    also_on=(MESA.repo,),
    history=HISTORY,
    job="test-float32",
    workflow="ci",
    upstream_repo="pytorch/pytorch",
    pr_number=179565,
    sha=SHA,
    run_url=FAILED.run_url,
    artifact_url=FAILED.artifact_url,
    verdict=Verdict(triage="upstream", reason="It fails on fabrikam/torch-mesa as well."),
)
HOSTILE_FAILURE = replace(
    TEST_FAILURE,
    name="<script>alert(1)</script>" + "x" * 400,
    classname="\u202egnp.exe",
    message="=cmd|' /C calc'!A0",
    stacktrace="",
    status="error",
    duration=None,
    is_new=False,
    also_on=(),
    pr_number=0,
    artifact_url="",
    verdict=Verdict(),
)
BACKEND = BackendPage(
    filters=FILTERS,
    freshness=FRESHNESS,
    asked=FALCON.repo,
    repo=FALCON.repo,
    names=(),
    earlier=(),
    health=FALCON,
    environment=(EnvironmentEntry(name="device", value="falcon-2"), EnvironmentEntry(name="sdk", value="8.0")),
    readiness=Readiness(
        criteria=(
            Criterion(name="timeout_rate", label="Timeout rate", unit="share", comparison="<", threshold=0.01,
                      value=0.024, met=False, samples=495),
            Criterion(name="end_to_end_p50", label="End to end, median", unit="seconds", comparison="<",
                      threshold=10800, value=1690.0, met=True, samples=480),
            Criterion(name="pass_rate", label="Pass rate", unit="share", comparison=">", threshold=0.9,
                      value=None, met=None, samples=0),
        ),
        ready=False,
    ),
    running=(RUNNING,),
    disputed=(),
    disputed_total=0,
    matrix=MATRIX,
    paging=Paging(page=1, page_rows=50, total_rows=84),
    failures=(TEST_FAILURE, HOSTILE_FAILURE),
    failures_total=31,
    slowest_jobs=(SlowJob(workflow="ci", job="test-float32", duration=FALCON.duration),),
    slowest_tests=(SlowTest(name="test_sdpa_bf16", classname="TestSdpa", file="", longest=812.5, failures=3),),
    flakiest_tests=(
        FlakyTest(name="test_rng", classname="TestRandom", file="test/test_rng.py", flakes=5, failures=6,
                  last_seen=NOW - timedelta(hours=5)),
    ),
    nightly=Matrix(
        columns=COLUMNS[2:],
        rows=tuple(
            replace(MATRIX.rows[2], sha=sha, is_sha=sha == SHA, cells=MATRIX.rows[2].cells[2:])
            for sha in (SHA, MATRIX.rows[2].sha)
        ),
    ),
)  # fmt: skip
EMPTY_BACKEND = replace(
    BACKEND,
    asked=UNJUDGED.repo,
    repo=UNJUDGED.repo,
    health=replace(UNJUDGED, counts=Counts(), last_run=None, pull_requests=0),
    environment=(),
    readiness=Readiness(
        criteria=tuple(replace(one, value=None, met=None, samples=0) for one in BACKEND.readiness.criteria), ready=None
    ),
    running=None,
    matrix=Matrix(columns=(), rows=()),
    paging=Paging(page=1, page_rows=50, total_rows=0),
    failures=(),
    failures_total=0,
    slowest_jobs=(),
    slowest_tests=(),
    flakiest_tests=(),
    nightly=Matrix(columns=(), rows=()),
)
PULL_REQUEST = PullRequestPage(
    number=179565,
    upstream_repo="pytorch/pytorch",
    freshness=Freshness(read_at=NOW),
    commits=(
        PullRequestCommit(
            sha=SHA, is_sha=True, first_seen=NOW - timedelta(minutes=50),
            counts=Counts.of(success=2, failure=1, timed_out=1), running=1, disputed=0,
            backends=(
                PullRequestBackend(
                    repo=FALCON.repo, level="L2", counts=Counts.of(success=1, failure=1, timed_out=1), running=1,
                    disputed=0, is_new=False, jobs=(FAILED, TIMED_OUT, RUNNING, PASSED), superseded=(FIRST_ATTEMPT,),
                ),
                PullRequestBackend(
                    repo=MESA.repo, level="L4", counts=Counts.of(success=1), running=0, disputed=0, is_new=False,
                    jobs=(replace(PASSED, repo=MESA.repo, level="L4", verified=False),), superseded=(),
                ),
            ),
        ),
        PullRequestCommit(
            sha=OLDER_SHA, is_sha=True, first_seen=NOW - timedelta(hours=9), counts=Counts.of(success=1, cancelled=1),
            running=0, disputed=0,
            backends=(
                PullRequestBackend(
                    repo=FALCON.repo, level="L2", counts=Counts.of(success=1, cancelled=1), running=0,
                    disputed=0, is_new=False,
                    jobs=(replace(PASSED, state="cancelled", sha=OLDER_SHA), replace(PASSED, sha=OLDER_SHA)),
                    superseded=(),
                ),
            ),
        ),
    ),
)  # fmt: skip
EMPTY_PULL_REQUEST = replace(PULL_REQUEST, number=1, commits=())
TEST = FailedTestPage(
    name=TEST_FAILURE.name,
    classname="",
    file="",
    filters=FILTERS,
    freshness=Freshness(read_at=NOW),
    kind="everywhere",
    reason="It fails on 2 of the 4 backends that reported in the last 7 days.",
    reporting_backends=4,
    backends=(
        FailingBackend(repo=FALCON.repo, level="L2", failures=4, judged_jobs=165, flakes=1,
                    first_seen=NOW - timedelta(days=3), last_seen=NOW - timedelta(minutes=14), is_new=True,
                    history=HISTORY),
        FailingBackend(repo=MESA.repo, level="L4", failures=1, judged_jobs=2500, flakes=0,
                    first_seen=NOW - timedelta(days=60), last_seen=NOW - timedelta(hours=2), is_new=False,
                    history=HISTORY),
    ),
    occurrences=(
        Occurrence(
            repo=FALCON.repo, classname="TestLinalgCPU", file="test/test_linalg.py", status="failure",
            message=TEST_FAILURE.message, stacktrace=TEST_FAILURE.stacktrace, duration=0.25,
            seen=NOW - timedelta(minutes=14), workflow="ci", job="test-float32", attempt=2,
            upstream_repo="pytorch/pytorch", pr_number=179565, sha=SHA, is_sha=True, event_type="pull_request",
            run_url=FAILED.run_url, artifact_url=FAILED.artifact_url, recovered=False,
        ),
    ),
    occurrences_total=5,
    variants=(("TestLinalgCPU", "test/test_linalg.py"), ("TestLinalgXPU", "test/test_linalg.py")),
)  # fmt: skip
NOT_FAILING = replace(
    TEST, kind="none", reason="It has not failed in the last 7 days.", backends=(), occurrences=(), occurrences_total=0,
    variants=(),
)  # fmt: skip

# Two results for one job name: of a job that passed, of one that failed, and of one that still runs here.
DISPUTED = replace(PASSED, refused=("failure", "failure", "success"))
DISPUTED_FAILURE = replace(FAILED, refused=("success",))
DISPUTED_RUN = replace(RUNNING, refused=("failure",))
_ROW = MATRIX.rows[0]
DISPUTED_BACKEND = replace(
    BACKEND,
    health=replace(FALCON, disputed=14),
    running=(DISPUTED_RUN,),
    disputed=(DISPUTED_RUN, DISPUTED, DISPUTED_FAILURE),
    disputed_total=15,
    matrix=replace(
        MATRIX,
        rows=(
            replace(
                _ROW,
                cells=(
                    Cell(state="success", jobs=(DISPUTED,), attempts=1),
                    Cell(state="failure", jobs=(DISPUTED_FAILURE,), attempts=1),
                    Cell(state="success", jobs=(PASSED,), attempts=1),
                ),
            ),
            *MATRIX.rows[1:],
        ),
    ),
)
_COMMIT = PULL_REQUEST.commits[0]
DISPUTED_PULL_REQUEST = replace(
    PULL_REQUEST,
    commits=(
        replace(
            _COMMIT,
            counts=Counts.of(success=2),
            running=1,
            disputed=2,
            backends=(
                replace(
                    _COMMIT.backends[0], counts=Counts.of(success=1), disputed=2, jobs=(DISPUTED, DISPUTED_RUN),
                    superseded=(replace(FIRST_ATTEMPT, refused=("success",)),),
                ),
                _COMMIT.backends[1],
            ),
        ),
    ),
)  # fmt: skip
DISPUTED_SUMMARY = replace(SUMMARY, backends=(replace(FALCON, disputed=3), NPU, replace(MESA, disputed=1)))

# `example-labs/torch-falcon` was renamed from torch-hawk; another repo had its name before, and a third one since gone.
OLD_NAME, EARLIER = "example-labs/torch-hawk", "example-labs/torch-falcon@500"
RENAMED_BACKEND = replace(
    BACKEND,
    asked=OLD_NAME,
    names=(
        KnownName(name=FALCON.repo, first_seen=NOW - timedelta(days=9), last_seen=NOW - timedelta(minutes=14)),
        KnownName(name=OLD_NAME, first_seen=NOW - timedelta(days=90), last_seen=NOW - timedelta(days=9)),
    ),
    earlier=(
        EarlierRepository(backend=EARLIER, repository_id="500", last_seen=NOW - timedelta(days=12)),
        EarlierRepository(backend=NPU.repo, repository_id="501", last_seen=NOW - timedelta(days=50)),
    ),
)
EARLIER_BACKEND = replace(BACKEND, asked=EARLIER, repo=EARLIER, health=replace(NPU, repo=EARLIER), running=())
SUMMARY_OF_BOTH = replace(SUMMARY, backends=(FALCON, replace(NPU, repo=EARLIER)), breakers=())
PULL_REQUEST_OF_THREE = replace(
    PULL_REQUEST,
    commits=(
        replace(
            _COMMIT,
            backends=tuple(
                replace(_COMMIT.backends[1], repo=repo, is_new=is_new)
                for repo, is_new in ((FALCON.repo, False), (EARLIER, False), (f"{FALCON.repo}@502", True))
            ),
        ),
    ),
)
TEST_OF_BOTH = replace(
    TEST,
    backends=(TEST.backends[0], replace(TEST.backends[1], repo=EARLIER)),
    occurrences=(replace(TEST.occurrences[0], repo=EARLIER),),
)
