"""A made-up history with everything that makes counting hard, and the plain-Python reading of it."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

TABLE = "default.oot_workflow_job"
CONCLUSIONS = ("success", "success", "success", "failure", "cancelled", "timed_out", "skipped")


def made_up(repos: list[str], now: datetime, seed: int) -> list[dict[str, Any]]:
    """Runs with matrix legs, re-runs of all or some of them, jobs that still run, replayed and deleted rows."""
    chance = random.Random(seed)  # noqa: S311 - not a secret
    rows: list[dict[str, Any]] = []
    for number in range(60):
        repo = chance.choice(repos)
        seen = now - timedelta(days=chance.choice((0, 0, 2, 5, 6.9, 7.1, 20)), minutes=1 + number)
        run = {"delivery_id": f"d{chance.randrange(20)}", "run_id": str(number) if chance.random() < 0.9 else ""}
        pr_number = chance.choice((0, 101, 102, 103))
        for job in ("build", "test")[: chance.choice((1, 2))]:
            legs = chance.choice((1, 1, 4))
            for attempt in range(1, chance.choice((1, 1, 2, 3)) + 1):
                for leg in range(legs):
                    key = f"{repo}/{number}/{job}/{attempt}/{leg}"
                    about = {**run, "pr_number": pr_number, "job_name": job, "run_attempt": attempt, "dynamoKey": key}
                    at = seen + timedelta(seconds=attempt * 10 + leg)
                    rows.append(_row(chance, repo, at, about))
    replayed = [{**row, "version": 1, "conclusion": "stale", "total_tests": 10**6} for row in rows[::7]]
    removed = [{**row, "version": 4 * 10**13, "is_deleted": 1} for row in rows[::11]]
    return rows + replayed + removed


def _row(chance: random.Random, repo: str, seen: datetime, about: dict[str, Any]) -> dict[str, Any]:
    running = chance.random() < 0.1
    started = seen - timedelta(seconds=chance.randrange(60))
    return {
        "downstream_repo": repo,
        "downstream_repo_level": chance.choice(("", "L2", "L3")),
        "upstream_repo": chance.choice(("pytorch/pytorch", "other/pytorch")),
        "workflow_name": "ci",
        "status": "in_progress" if running else "completed",
        "conclusion": "" if running else chance.choice(CONCLUSIONS),
        "started_at": started.replace(microsecond=0),
        "completed_at": started.replace(microsecond=0) + timedelta(seconds=chance.randrange(5000)),
        "times_estimated": chance.random() < 0.3,
        "total_tests": chance.randrange(5000),
        "failed_tests": chance.randrange(50),
        "first_seen": seen.replace(microsecond=0),
        "version": 3 * 10**13 + 1,
        "is_deleted": 0,
        **about,
    }


def counted(rows: list[dict[str, Any]], now: datetime, days: int) -> list[dict[str, Any]]:
    """Give the rows that count: the last version of each, in the window, of each job's latest attempt, finished."""
    last: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["version"] >= last.get(row["dynamoKey"], row)["version"]:
            last[row["dynamoKey"]] = row
    seen = [row for row in last.values() if not row["is_deleted"] and row["first_seen"] > now - timedelta(days=days)]
    jobs = defaultdict(list)
    for row in seen:
        jobs[
            tuple(row[name] for name in ("downstream_repo", "delivery_id", "workflow_name", "run_id", "job_name"))
        ].append(row)
    latest = [
        row for job in jobs.values() for row in job if row["run_attempt"] == max(one["run_attempt"] for one in job)
    ]
    return [row for row in latest if row["status"] == "completed"]


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give oot_summary's row of each repo, worst pass rate first."""
    by_repo = defaultdict(list)
    for row in rows:
        by_repo[row["downstream_repo"]].append(row)
    told = [_backend(repo, jobs) for repo, jobs in by_repo.items()]
    return sorted(told, key=lambda one: (one["pass_rate"] is None, one["pass_rate"] or 0, one["repo"]))


def _backend(repo: str, jobs: list[dict[str, Any]]) -> dict[str, Any]:
    ended = {name: sum(job["conclusion"] == name for job in jobs) for name in CONCLUSIONS}
    judged = ended["success"] + ended["failure"] + ended["timed_out"]
    durations = [
        (job["completed_at"] - job["started_at"]).total_seconds() for job in jobs if not job["times_estimated"]
    ]
    latest = max(jobs, key=lambda job: job["first_seen"])
    return {
        "repo": repo,
        "level": latest["downstream_repo_level"],
        "successes": ended["success"],
        "failures": ended["failure"],
        "timed_out": ended["timed_out"],
        "cancelled": ended["cancelled"],
        "total": len(jobs),
        "judged": judged,
        "pass_rate": ended["success"] / judged if judged else None,
        "avg_duration_s": sum(durations) / len(durations) if durations else None,
        "tests": sum(job["total_tests"] for job in jobs),
        "tests_failed": sum(job["failed_tests"] for job in jobs),
        "pull_requests": len({(job["upstream_repo"], job["pr_number"]) for job in jobs if job["pr_number"]}),
        "last_run": latest["first_seen"],
    }
