"""Pages full of what downstream jobs could send: markup, addresses that run, endless names, turned text."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hud_endpoint.views.models.backend import BackendPage, EnvironmentEntry
from hud_endpoint.views.models.matrix import Cell, Column, Matrix
from tests.hud_endpoint.views import sample_pages as sample

if TYPE_CHECKING:
    from hud_endpoint.views.models.failed_test import FailedTestPage
    from hud_endpoint.views.models.jobs import Job
    from hud_endpoint.views.models.pull_request import PullRequestPage
    from hud_endpoint.views.models.summary import Breaker, Summary

SCRIPT = "<script>window.hacked = true</script>"
MARKUP = '"\'><img src=x onerror="window.hacked = true">{{ 7*7 }}{% raw %}</title></style></script>'
RUNS = "javascript:window.hacked = true"
ENDLESS = "x" * 10_000
TURNED = "\u202egnp.exe\u2066"  # reads exe.png where the mark has its way
ARABIC = "اختبار المصفوفات"
CONTROLS = "a\x00b\x07c\x1b[31mred\x1b[0m\x7f\ud800"
EMOJI = "🧪👩\u200d🚀"
TEXTS = (SCRIPT, MARKUP, RUNS, ENDLESS, TURNED, ARABIC, CONTROLS, EMOJI)

_MUDDLE = TURNED + MARKUP + SCRIPT + ARABIC + CONTROLS + EMOJI

JOB: Job = replace(
    sample.FAILED,
    repo=MARKUP,
    level=SCRIPT,
    workflow=_MUDDLE,
    name=SCRIPT,
    state=MARKUP,
    event_type=SCRIPT,
    upstream_repo=MARKUP,
    sha=MARKUP,
    is_sha=False,
    verified=False,
    run_url=RUNS,
    artifact_url="data:text/html,<script>window.hacked = true</script>",
    failures=TEXTS,
    failed_tests=10_000,
    details_truncated=9_992,
    verdict=replace(sample.FAILED.verdict, reason=_MUDDLE),
)
FAILURE = replace(
    sample.TEST_FAILURE,
    name=SCRIPT,
    classname=_MUDDLE,
    file=ENDLESS,
    message=_MUDDLE,
    stacktrace=_MUDDLE + "\n" + ENDLESS,
    also_on=TEXTS * 4,
    job=MARKUP,
    workflow=SCRIPT,
    sha=MARKUP,
    run_url=RUNS,
    artifact_url=RUNS,
)
COLUMNS = tuple(Column(workflow=f"workflow {n // 50} {MARKUP}", job=f"{TEXTS[n % 8][:300]} {n}") for n in range(200))


def matrix(rows: int) -> Matrix:
    """A matrix of 200 columns; every third cell has more to tell."""
    calm = Cell(state="success", jobs=(replace(sample.PASSED, run_url=RUNS),), attempts=1)
    bad = Cell(state="failure", jobs=(JOB,) * 3, attempts=3)
    cells = tuple(None if n % 3 == 0 else bad if n % 3 == 1 else calm for n in range(200))
    row = replace(sample.MATRIX.rows[0], sha=MARKUP, is_sha=False, upstream_repo=MARKUP, cells=cells)
    return Matrix(columns=COLUMNS, rows=(row,) * rows, columns_left_out=800)


BREAKER: Breaker = replace(
    sample.BREAKER,
    upstream_repo=MARKUP,
    sha=_MUDDLE,
    is_sha=False,
    event_type=SCRIPT,
    broken=tuple(replace(sample.BREAKER.broken[0], repo=text, run_url=RUNS) for text in TEXTS),
    tests=TEXTS,
)
SUMMARY: Summary = replace(
    sample.SUMMARY,
    backends=tuple(replace(sample.FALCON, repo=text, level=text[:30]) for text in TEXTS) + sample.SUMMARY.backends,
    breakers=(BREAKER,) * 40,
    levels={SCRIPT: 3, "L2": 4},
)
BACKEND: BackendPage = replace(
    sample.BACKEND,
    health=replace(sample.FALCON, level=SCRIPT),
    environment=tuple(EnvironmentEntry(name=text, value=text) for text in TEXTS) * 4,
    running=(JOB,) * 200,
    matrix=matrix(12),
    failures=(FAILURE,) * 50,
    failures_total=10_000,
    slowest_jobs=tuple(replace(sample.BACKEND.slowest_jobs[0], workflow=text, job=text) for text in TEXTS),
    slowest_tests=tuple(replace(sample.BACKEND.slowest_tests[0], name=text, file=text) for text in TEXTS),
    flakiest_tests=tuple(replace(sample.BACKEND.flakiest_tests[0], name=text, classname=text) for text in TEXTS),
    nightly=matrix(3),
)
_COMMIT = sample.PULL_REQUEST.commits[0]
PULL_REQUEST: PullRequestPage = replace(
    sample.PULL_REQUEST,
    commits=(
        replace(
            _COMMIT,
            sha=_MUDDLE,
            is_sha=False,
            backends=tuple(
                replace(_COMMIT.backends[0], repo=text, level=MARKUP, jobs=(JOB,) * 5, superseded=(JOB,) * 60)
                for text in TEXTS
            ),
        ),
    ),
    jobs_left_out=10_000,
)
TEST: FailedTestPage = replace(
    sample.TEST,
    reason=_MUDDLE,
    backends=tuple(replace(sample.TEST.backends[0], repo=text, level=SCRIPT) for text in TEXTS),
    occurrences=tuple(
        replace(
            sample.TEST.occurrences[0], repo=text, classname=text, file=text, message=text, stacktrace=_MUDDLE,
            workflow=text, job=text, sha=text, is_sha=False, event_type=text, pr_number=0, run_url=RUNS,
            artifact_url=RUNS, status=text,
        )
        for text in TEXTS
    ) * 6,
    occurrences_total=10_000,
    variants=tuple((text, text) for text in TEXTS) * 20,
)  # fmt: skip
