"""A made-up history with everything that makes counting hard, and how plain Python counts it."""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from hud_endpoint.clickhouse.ddl import rollups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clickhouse_connect.driver.client import Client

TABLE = "default.oot_workflow_job"
CONCLUSIONS = ("success", "success", "success", "success", "failure", "cancelled", "timed_out", "skipped", "neutral")
EVENTS = ("pull_request", "pull_request", "pull_request", "push", "nightly", "periodic")
TESTS = tuple(f"test_{name}" for name in ("matmul", "sdpa", "rng", "compile", "quote's \"\\ {x} 日本"))
AGES = (0, 0, 0.3, 0.9, 2, 5, 6.9, 7.1, 9, 13, 20)

Row = dict[str, Any]


def made_up(repos: Sequence[str], now: datetime, seed: str, runs: int = 60) -> list[Row]:
    """Runs with matrix legs, re-runs of all or some of them, jobs that still run, replayed and deleted rows.

    Times keep clear of the edges of hours, where a window begins. Another seed has other commits.
    """
    chance = random.Random(seed)  # noqa: S311 - not a secret
    rows: list[Row] = []
    commits = [(chance.randrange(101, 109), f"{chance.getrandbits(160):040x}") for _ in range(12)]
    for number in range(runs):
        repo = chance.choice(repos)
        event = chance.choice(EVENTS)
        hour = (now - timedelta(days=chance.choice(AGES))).replace(minute=0, second=0, microsecond=0)
        seen = hour + timedelta(minutes=1 + number % 20) - timedelta(hours=1)
        pr_number, sha = chance.choice(commits)
        run = {
            "delivery_id": f"d{chance.randrange(20)}-{seed}",
            "run_id": str(number) if chance.random() < 0.9 else "",
            "pr_number": pr_number if event == "pull_request" else 0,
            "pytorch_head_sha": sha if chance.random() < 0.9 else f"buildkite-{number}",
            "event_type": event,
            "workflow_run_url": f"https://github.com/{repo}/actions/runs/{number}",
        }
        for job in ("build", "test")[: chance.choice((1, 2))]:
            legs = chance.choice((1, 1, 4))
            for attempt in range(1, chance.choice((1, 1, 2, 3)) + 1):
                late = timedelta(hours=chance.choice((0, 0, 1, 30))) if attempt > 1 else timedelta()
                for leg in range(legs):
                    key = f"{repo}/{number}/{job}/{attempt}/{leg}"
                    about = {**run, "job_name": job, "run_attempt": attempt, "dynamoKey": key}
                    at = min(seen + timedelta(seconds=attempt * 10 + leg) + late, now - timedelta(seconds=1))
                    rows.append(_row(chance, repo, at, about))
    replayed = [
        {
            **row,
            "version": 1,
            "conclusion": "stale",
            "total_tests": 10**6,
            "failed_tests_json": json.dumps([{"name": "test_of_an_old_version", "status": "failure"}]),
        }
        for row in rows[::7]
    ]
    removed = [{**row, "version": 4 * 10**13, "is_deleted": 1} for row in rows[::11]]
    return rows + replayed + removed


def _row(chance: random.Random, repo: str, seen: datetime, about: Row) -> Row:
    running = chance.random() < 0.1
    conclusion = "" if running else chance.choice(CONCLUSIONS)
    started = (seen - timedelta(seconds=chance.randrange(60))).replace(microsecond=0)
    swept = conclusion == "timed_out" and chance.random() < 0.5
    failed = chance.sample(TESTS, chance.randint(1, 3)) if conclusion == "failure" and chance.random() < 0.9 else []
    tests = [
        {
            "name": name,
            "classname": chance.choice(("TestA", "TestB")),
            "file": chance.choice(("", "test/test_a.py")),
            "status": chance.choice(("failure", "error")),
            "message": f"{name} in {about['dynamoKey']}",
            "stacktrace": "a\nb",
            **({"duration_seconds": chance.randrange(1, 9000) / 10} if chance.random() < 0.7 else {}),
        }
        for name in failed
    ]
    return {
        "downstream_repo": repo,
        "downstream_repo_level": chance.choice(("", "L2", "L3")),
        "upstream_repo": chance.choice(("pytorch/pytorch", "pytorch/pytorch", "other/pytorch")),
        "workflow_name": "ci",
        "status": "in_progress" if running else "completed",
        "conclusion": conclusion,
        "origin": "sweeper" if swept else "job",
        "queue_time": chance.choice((None, chance.randrange(1000) / 4)),
        "started_at": started,
        "completed_at": started + timedelta(seconds=chance.randrange(1, 5000)),
        "times_estimated": swept or chance.random() < 0.2,
        "total_tests": chance.randrange(5000),
        "failed_tests": len(tests),
        "flaky_tests": chance.randrange(3),
        "failed_tests_json": json.dumps(tests) if tests else "",
        "artifact_url": "",
        "environment": json.dumps({"run": about["run_id"]}) if chance.random() < 0.3 else "",
        "repository_id": "",
        "conflicts": json.dumps(["failure 0123456789ab"]) if conclusion and chance.random() < 0.1 else "",
        "first_seen": seen.replace(microsecond=0),
        "version": 3 * 10**13 + 1,
        "is_deleted": 0,
        **about,
    }


def under_former_names(rows: Sequence[Row], repos: Sequence[str], now: datetime) -> tuple[list[Row], list[Row]]:
    """Return the rows as they were reported, and the same with what pages are to call each backend.

    The first repo was renamed, and so was the third, to a name that the second had had until then; the fourth has never
    told an id, and the others did not in the beginning. What the second would have reported since is left out.
    """
    renamed, gone, taker, unknown = repos
    reported, shown = [], []
    for row in rows:
        repo, age = row["downstream_repo"], now - row["first_seen"]
        repository_id = "" if repo == unknown or age > timedelta(days=10) else f"id-{repo}"
        if repo == renamed:
            name, backend = (f"{repo}-before" if age > timedelta(days=4) else repo), repo
        elif repo == gone:
            if age < timedelta(days=3):
                continue
            name, backend = f"{repo}-shared", f"{repo}-shared@id-{repo}"
        elif repo == taker:
            name, backend = (repo if age > timedelta(days=2.5) else f"{gone}-shared"), f"{gone}-shared"
        else:
            name, backend = repo, repo
        reported.append({**row, "downstream_repo": name, "repository_id": repository_id})
        shown.append({**row, "downstream_repo": backend})
    return reported, shown


def load(client: Client, rows: Sequence[Row]) -> None:
    """Insert the rows in two parts, so that FINAL has something to merge."""
    names = list(rows[0])
    for part in (rows[::2], rows[1::2]):
        client.insert(TABLE, [[row[name] for name in names] for row in part], column_names=names)


def window(now: datetime, days: int) -> datetime:
    """Give the start of a window: the start of the hour `days` ago."""
    return (now - timedelta(days=days)).replace(minute=0, second=0, microsecond=0)


def executions(rows: Sequence[Row]) -> list[Row]:
    """Give the last version of each row that is not deleted, marked with what its job's latest attempt makes of it."""
    last: dict[str, Row] = {}
    for row in rows:
        if row["version"] >= last.get(row["dynamoKey"], row)["version"]:
            last[row["dynamoKey"]] = row
    jobs: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in last.values():
        if not row["is_deleted"]:
            jobs[job_of(row)].append(row)
    marked = []
    for job in jobs.values():
        attempt = max(row["run_attempt"] for row in job)
        succeeded = all(row["conclusion"] == "success" for row in job if row["run_attempt"] == attempt)
        for row in job:
            superseded = row["run_attempt"] < attempt
            marked.append({**row, "superseded": superseded, "recovered": superseded and succeeded})
    return [row for row in marked if row["status"] == "completed"]


def job_of(row: Row) -> tuple[str, ...]:
    """Give what makes executions one job."""
    return tuple(row[name] for name in ("downstream_repo", "delivery_id", "workflow_name", "run_id", "job_name"))


def counted(rows: Sequence[Row], now: datetime, days: int, events: Sequence[str] = ()) -> list[Row]:
    """Give the executions that count in a window: of each job's latest attempt, finished."""
    return [
        row
        for row in executions(rows)
        if not row["superseded"]
        and row["first_seen"] >= window(now, days)
        and (not events or row["event_type"] in events)
    ]


def failed_tests(rows: Sequence[Row]) -> list[Row]:
    """Give each failed test of the executions, with what its execution knows."""
    return [
        {**row, **test} for row in rows if row["failed_tests_json"] for test in json.loads(row["failed_tests_json"])
    ]


def by_repo(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Give the rows of each backend."""
    found = defaultdict(list)
    for row in rows:
        found[row["downstream_repo"]].append(row)
    return found


def ended(rows: Sequence[Row]) -> dict[str, int]:
    """Count how jobs ended."""
    named = ("success", "failure", "timed_out", "cancelled")
    found = {name: sum(row["conclusion"] == name for row in rows) for name in named}
    return {**found, "other": len(rows) - sum(found.values())}


def durations(rows: Sequence[Row]) -> list[float]:
    """Give the durations in seconds that are not estimated."""
    return [(row["completed_at"] - row["started_at"]).total_seconds() for row in rows if not row["times_estimated"]]


def is_broken(row: Row) -> bool:
    """Tell whether an execution breaks its backend on its commit."""
    return bool(row["conclusion"] == "failure" or (row["conclusion"] == "timed_out" and row["origin"] != "sweeper"))


def commit_of(row: Row) -> tuple[str, int, str]:
    """Give the upstream commit an execution tested."""
    return row["upstream_repo"], row["pr_number"], row["pytorch_head_sha"]


def in_databases(statement: str, database: str) -> str:
    """Return a statement of the schema for a test's own `database`, with `{database}_oot` in place of `oot`."""
    own = statement.replace("default.", f"{database}.")
    return re.sub(r"(?<![\w.'])oot(?=\.\w|\s*$)", f"{database}_oot", own)


def refresh(client: Client, database: str = "oot", tables: Sequence[str] = ()) -> None:
    """Bring the rollups, or some of them, up to date now, instead of within a minute."""
    for table in tables or rollups():
        # One that is under way may have begun before the rows came.
        for command in ("WAIT", "REFRESH", "WAIT"):
            client.command(f"SYSTEM {command} VIEW {database}.{table}_mv")
