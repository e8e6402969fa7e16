"""The pages' tables as CSV (RFC 4180), safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hud_endpoint.views.models.backend import BackendPage
    from hud_endpoint.views.models.failed_test import FailedTestPage
    from hud_endpoint.views.models.jobs import Job
    from hud_endpoint.views.models.pull_request import PullRequestPage
    from hud_endpoint.views.models.summary import Summary

    Cell = str | int | float | bool | datetime | None
    Table = tuple[Sequence[str], Iterable[Sequence[Cell]]]

# A spreadsheet runs a cell that starts with one of these as a formula (OWASP, CSV injection); text only, not numbers.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_JOB = (
    "upstream_repo", "pr_number", "sha", "event_type", "repo", "level", "workflow", "job", "attempt", "superseded",
    "state", "origin", "verified", "first_seen", "started_at", "completed_at", "duration_s", "queue_time_s",
    "total_tests", "passed_tests", "failed_tests", "skipped_tests", "error_tests", "flaky_tests", "details_truncated",
    "triage", "run_url", "artifact_url", "results", "refused", "reported_as",
)  # fmt: skip


def write_csv(table: Table) -> bytes:
    """Give the table as UTF-8 with a header line."""
    header, rows = table
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(header)
    writer.writerows([_safe(cell) for cell in row] for row in rows)
    return out.getvalue().encode(errors="replace")


def summary_table(page: Summary) -> Table:
    """One row a backend."""
    header = (
        "repo", "level", "pass_rate", "judged", "success", "failure", "timed_out", "cancelled", "other", "total",
        "running", "tests", "tests_failed", "tests_flaky", "pull_requests", "duration_avg_s", "duration_p50_s",
        "duration_p95_s", "queue_avg_s", "queue_p50_s", "queue_p95_s", "last_run", "stale", "disputed",
    )  # fmt: skip
    return header, (
        (
            one.repo, one.level, one.counts.pass_rate, one.counts.judged, one.counts.success, one.counts.failure,
            one.counts.timed_out, one.counts.cancelled, one.counts.other, one.counts.total, one.running, one.tests,
            one.tests_failed, one.tests_flaky, one.pull_requests, one.duration.average, one.duration.p50,
            one.duration.p95, one.queue.average, one.queue.p50, one.queue.p95, one.last_run, one.stale,
            one.disputed,
        )
        for one in page.backends
    )  # fmt: skip


def backend_table(page: BackendPage) -> Table:
    """One row a job execution of the matrix's page."""
    jobs = [job for row in page.matrix.rows for cell in row.cells if cell for job in cell.jobs]
    return _JOB, (_job(job, superseded=False) for job in jobs)


def pull_request_table(page: PullRequestPage) -> Table:
    """One row a job execution, superseded attempts and running jobs among them."""
    backends = [backend for commit in page.commits for backend in commit.backends]
    told = [(job, False) for backend in backends for job in backend.jobs]
    told += [(job, True) for backend in backends for job in backend.superseded]
    return _JOB, (_job(job, superseded=superseded) for job, superseded in told)


def failed_test_table(page: FailedTestPage) -> Table:
    """One row a failure."""
    header = (
        "seen", "repo", "classname", "name", "file", "status", "message", "workflow", "job", "attempt", "recovered",
        "upstream_repo", "pr_number", "sha", "event_type", "duration_s", "run_url", "artifact_url",
    )  # fmt: skip
    return header, (
        (
            one.seen, one.repo, one.classname, page.name, one.file, one.status, one.message, one.workflow, one.job,
            one.attempt, one.recovered, one.upstream_repo, one.pr_number, one.sha, one.event_type, one.duration,
            one.run_url, one.artifact_url,
        )
        for one in page.occurrences
    )  # fmt: skip


def _job(job: Job, *, superseded: bool) -> tuple[Cell, ...]:
    return (
        job.upstream_repo, job.pr_number, job.sha, job.event_type, job.repo, job.level, job.workflow, job.name,
        job.attempt, superseded, job.state, job.origin, job.verified, job.first_seen, job.started_at, job.completed_at,
        job.duration, job.queue_time, job.total_tests, job.passed_tests, job.failed_tests, job.skipped_tests,
        job.error_tests, job.flaky_tests, job.details_truncated, job.verdict.triage, job.run_url, job.artifact_url,
        1 + len(job.refused), " ".join(job.refused), job.reported_as,
    )  # fmt: skip


def _safe(cell: Cell) -> Cell:
    """Write times as ISO 8601, truth as true and false, and text so that no spreadsheet takes it for a formula."""
    if isinstance(cell, datetime):
        return cell.isoformat().replace("+00:00", "Z")
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, str):
        text = cell.replace("\0", "\ufffd")
        return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
    return cell
