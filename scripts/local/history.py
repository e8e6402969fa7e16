"""A few weeks of sample history, so that pages have something to show: made up, and labelled so in every row."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clickhouse_connect.driver.client import Client

DAYS = 21
LABEL = "sample history"  # the workflow name of every made-up row; delivery ids start with `sample-`
_TABLE = "default.oot_workflow_job"
# repo, level, share of jobs that succeed, share of jobs that time out, jobs
_BACKENDS = (
    ("example-labs/torch-falcon", "L2", 0.72, 0.06, ("build", "test-core", "test-dynamo")),
    ("northwind/pytorch-npu", "L2", 0.88, 0.02, ("test (fp32)", "test (bf16)")),
    ("contoso/torch-aurora", "L3", 0.955, 0.01, ("build", "test-ops")),
    ("fabrikam/torch-mesa", "L4", 0.985, 0.002, ("test-distributed", "test-ops", "test-inductor")),
)
_TESTS = ("test_matmul", "test_conv2d_backward", "test_allreduce", "test_compile_resnet", "test_sdpa_bf16", "test_rng")


def rows(now: datetime, seed: int = 54) -> Iterator[dict[str, Any]]:
    """Give the rows of DAYS days before `now`; the same seed gives the same history."""
    chance = random.Random(seed)  # noqa: S311 - sample data
    for day in range(DAYS):
        for pull in range(6):
            at = now - timedelta(days=day, minutes=chance.uniform(1, 1400))
            pr_number = 180_000 - day * 6 - pull
            sha = f"{chance.getrandbits(160):040x}"
            # Now and then an upstream change breaks several backends at once: the signal these pages are for.
            breaks = 0.5 if chance.random() < 0.06 else 0.0
            for repo, level, good, late, jobs in _BACKENDS:
                for job in jobs:
                    yield _row(chance, at, pr_number, sha, repo, level, job, good - breaks, late)


def load(client: Client, now: datetime) -> int:
    """Insert the history; gives the number of rows. Loading it again on the same day replaces nothing and adds days."""
    history = list(rows(now))
    names = list(history[0])
    client.insert(_TABLE, [list(row.values()) for row in history], column_names=names)
    return len(history)


def _row(
    chance: random.Random,
    at: datetime,
    pr_number: int,
    sha: str,
    repo: str,
    level: str,
    job: str,
    good: float,
    late: float,
) -> dict[str, Any]:
    draw = chance.random()
    conclusion = (
        "success" if draw < good else "timed_out" if draw > 1 - late else "cancelled" if draw > 0.99 else "failure"
    )
    duration = timedelta(seconds=chance.lognormvariate(7.2, 0.4))
    failed = chance.sample(_TESTS, chance.randint(1, 3)) if conclusion == "failure" else []
    total = 4000 + chance.randint(0, 400)
    skipped = total // 20
    delivery = f"sample-{pr_number}"
    check_run_id = str(chance.randrange(10**10))
    return {
        "dynamoKey": f"{repo}/{delivery}/{LABEL}/{job}/{check_run_id}",
        "status": "completed",
        "downstream_repo": repo,
        "upstream_repo": "pytorch/pytorch",
        "pr_number": pr_number,
        "pytorch_head_sha": sha,
        "delivery_id": delivery,
        "workflow_run_url": f"https://github.com/{repo}/actions",
        "workflow_name": LABEL,
        "job_name": job,
        "check_run_id": check_run_id,
        "run_id": str(chance.randrange(10**10)),
        "run_attempt": 1,
        "conclusion": conclusion,
        "queue_time": chance.lognormvariate(3.5, 0.8),
        "execution_time": duration.total_seconds(),
        "started_at": at,
        "completed_at": at + duration,
        "total_tests": total,
        "passed_tests": total - skipped - len(failed),
        "failed_tests": len(failed),
        "skipped_tests": skipped,
        "failed_tests_json": json.dumps([_failure(name) for name in failed]) if failed else "",
        "environment": json.dumps({"sample": True, "device": repo.rsplit("-", 1)[-1]}),
        "downstream_repo_level": level,
        "first_seen": at.astimezone(UTC),
        "version": 3 * 10**13 + 2,
    }


def _failure(name: str) -> dict[str, str]:
    return {
        "name": name,
        "classname": "TestSample",
        "file": "test/test_sample.py",
        "status": "failure",
        "message": "AssertionError: Tensor-likes are not close! (sample history)",
        "stacktrace": f"Traceback (most recent call last):\n  in {name}\nAssertionError: Tensor-likes are not close!",
    }
