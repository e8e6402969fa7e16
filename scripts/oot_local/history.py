"""Weeks of sample history, so that pages have something to show: made up, and labelled so in every row."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import requests

from oot_local.sample_backends import BACKENDS, FOREACH, GUARD, failure
from oot_local.state import LocalError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clickhouse_connect.driver.client import Client

    from oot_local.sample_backends import Backend, Test

DAYS = 30
LABEL = "sample history"  # the workflow name of every made-up row; delivery ids start with `sample-`
FEATURED = (179565, "3f1c9be2d8a04c5e9b7d6a1f0c2e4b8d7a5f9e13")  # the pull request whose real result the demo carries
_TABLE = "default.oot_workflow_job"
_PULLS_A_DAY = 7
_HOUR = timedelta(hours=1)
_IDS_KEPT_FOR = timedelta(days=27)  # results from before are without one
# Jobs of the featured pull request that run while the demo is looked at: repo, job, minutes since their start.
_RUNNING = {
    ("contoso/torch-aurora", "test-ops (fp32)"): 26,
    ("fabrikam/torch-mesa", "test-inductor"): 9,
    ("fabrikam/torch-mesa", "test-distributed"): 31,
}
# Upstream changes that break several backends at once, by how many pull requests ago: the signal pages are for.
_BREAKS: dict[int, tuple[Test, frozenset[str]]] = {
    3: (FOREACH, frozenset({"contoso/torch-aurora", "northwind/pytorch-npu", "fabrikam/torch-mesa"})),
    16: (GUARD, frozenset({"contoso/torch-aurora", "fabrikam/torch-mesa"})),
    71: (FOREACH, frozenset({"northwind/pytorch-npu", "fabrikam/torch-mesa"})),
}


@dataclass(frozen=True)
class Commit:
    """What upstream asked backends to test."""

    event: str
    pr_number: int
    sha: str
    delivery: str
    at: datetime
    known_upstream: bool = True  # a nightly's commit
    breaks: tuple[Test, frozenset[str]] | None = None


def rows(now: datetime, seed: int = 54) -> Iterator[dict[str, Any]]:
    """Give the rows of DAYS days before `now`; the same seed gives the same history."""
    chance = random.Random(seed)  # noqa: S311 - sample data
    for commit in _commits(chance, now):
        for backend in BACKENDS:
            age = now - commit.at
            if not backend.silent_since <= age < backend.known_for or (
                commit.event == "nightly" and not backend.nightly
            ):
                continue
            for job in backend.jobs:
                if commit.sha != FEATURED[1] or (backend.repo, job) not in _RUNNING:
                    yield from _runs(chance, now, commit, backend, job)


def load(client: Client, now: datetime) -> int:
    """Insert the history; gives the number of rows. Loading it again on the same day replaces nothing and adds days."""
    history = list(rows(now))
    names = list(history[0])
    client.insert(_TABLE, [list(row.values()) for row in history], column_names=names)
    return len(history)


def start_running(hud_url: str, token: str, now: datetime) -> int:
    """Report jobs that run right now through the endpoint, as the relay does. Raises LocalError when it refuses."""
    number, sha = FEATURED
    known = {backend.repo: backend for backend in BACKENDS}
    for order, ((repo, job), minutes) in enumerate(_RUNNING.items()):
        started = (now - timedelta(minutes=minutes)).isoformat()
        callback = {
            "delivery_id": f"sample-{number}-1",
            "payload": {"pull_request": {"number": number, "head": {"sha": sha}}},
            "workflow": {
                "status": "in_progress",
                "name": LABEL,
                "job_name": job,
                "url": f"https://github.com/{repo}/actions/runs/{9_000 + order}",
                "run_id": str(9_000 + order),
                "run_attempt": 1,
                "check_run_id": str(90_000 + order),
                "started_at": started,
            },
        }
        trusted = {
            "verified_repo": repo,
            "repository_id": known[repo].repository_id,
            "downstream_repo_level": known[repo].level,
            "dispatch_verified": True,
            "received_at": started,
        }
        body = {"trusted": trusted, "untrusted": {"callback_payload": callback}}
        headers = {"x-hud-internal-bot": token}
        answer = requests.post(f"{hud_url}/api/oot/results", json=body, headers=headers, timeout=10)
        if answer.status_code != 200:
            raise LocalError(f"HUD refused a running sample job (HTTP {answer.status_code}): {answer.text[:300]}")
    return len(_RUNNING)


def _commits(chance: random.Random, now: datetime) -> Iterator[Commit]:
    for number in range(DAYS * _PULLS_A_DAY):
        at = now - timedelta(days=number / _PULLS_A_DAY, minutes=chance.uniform(20, 180))
        pull, head = (180_240 - 3 * number - chance.randrange(3), f"{chance.getrandbits(160):040x}")
        if number == 0:
            (pull, head), at = FEATURED, now - timedelta(minutes=75)
        if chance.random() < 0.2:  # pushed to once more: an earlier commit of the same pull request
            earlier = f"{chance.getrandbits(160):040x}"
            yield Commit("pull_request", pull, earlier, f"sample-{pull}-0", at - 5 * _HOUR)
        yield Commit("pull_request", pull, head, f"sample-{pull}-1", at, breaks=_BREAKS.get(number))
        if number % _PULLS_A_DAY == 1:
            merged = f"{chance.getrandbits(160):040x}"
            yield Commit("push", 0, merged, f"sample-push-{merged[:8]}", at - 2 * _HOUR)
    for day in range(DAYS):
        night = (now - timedelta(days=day)).replace(hour=3, minute=10, second=0, microsecond=0)
        if night < now:
            build = chance.randrange(10_000)  # some nightlies know no commit, only a build of their own
            sha = f"{chance.getrandbits(160):040x}" if day % 6 else f"buildkite-{build}-main"
            yield Commit("nightly", 0, sha, sha, night, known_upstream=day % 6 not in (0, 4))


def _runs(chance: random.Random, now: datetime, commit: Commit, backend: Backend, job: str) -> Iterator[dict[str, Any]]:
    """One job, with its re-run where a flaky failure was run again."""
    conclusion, failed = _outcome(chance, now, commit, backend, job)
    lasting = commit.breaks or (backend.broken_since and job == backend.jobs[-1])
    run_id = chance.randrange(10**10)
    at = commit.at + timedelta(seconds=chance.uniform(5, 90))
    first = _row(chance, now, commit, backend, job, at, run_id, 1, conclusion, failed)
    if first["completed_at"] > now:
        return
    yield first
    if conclusion == "failure" and not lasting and chance.random() < 0.4:
        again = first["completed_at"] + timedelta(minutes=chance.uniform(5, 60))
        second = _row(chance, now, commit, backend, job, again, run_id, 2, "success", [])
        if second["completed_at"] < now:
            yield second


def _outcome(
    chance: random.Random, now: datetime, commit: Commit, backend: Backend, job: str
) -> tuple[str, list[Test]]:
    if commit.breaks and backend.repo in commit.breaks[1] and job != "build":
        return "failure", [commit.breaks[0]]
    if backend.broken_since and commit.at > now - backend.broken_since and job == backend.jobs[-1]:
        return "failure", [backend.weak[0], *chance.sample(backend.weak[1:], chance.randint(0, 1))]
    draw = chance.random()
    if draw < backend.good:
        return "success", []
    if draw > 1 - backend.late:
        return "timed_out", []
    return ("cancelled", []) if chance.random() < 0.2 else ("failure", [chance.choice(backend.weak)])


def _row(
    chance: random.Random,
    now: datetime,
    commit: Commit,
    backend: Backend,
    job: str,
    at: datetime,
    run_id: int,
    attempt: int,
    conclusion: str,
    failed: list[Test],
) -> dict[str, Any]:
    queued = timedelta(seconds=chance.lognormvariate(4.2, 0.8))
    took = timedelta(minutes=backend.minutes * chance.lognormvariate(0, 0.25) * (0.3 if job == "build" else 1))
    total = 0 if job == "build" else 4000 + sum(map(ord, job)) + chance.randint(0, 60)
    skipped = total // 20
    check_run_id = str(chance.randrange(10**10))
    details = [failure(test, backend) for test in failed] if total else []
    repo = backend.former_name if now - at > backend.renamed else backend.repo
    run_url = f"https://github.com/{repo}/actions/runs/{run_id}"
    other = "failure" if conclusion == "success" else "success"  # of the leg with the same name
    refused = [f"{other} {check_run_id:0>12}"] if job == backend.shared and chance.random() < 0.05 else []
    return {
        "dynamoKey": f"{repo}/{commit.delivery}/{LABEL}/{job}/{check_run_id}",
        "status": "completed",
        "downstream_repo": repo,
        "upstream_repo": "pytorch/pytorch",
        "pr_number": commit.pr_number,
        "pytorch_head_sha": commit.sha,
        "delivery_id": commit.delivery,
        "workflow_run_url": run_url,
        "workflow_name": LABEL,
        "job_name": job,
        "check_run_id": check_run_id,
        "run_id": str(run_id),
        "run_attempt": attempt,
        "conclusion": conclusion,
        "queue_time": queued.total_seconds(),
        "execution_time": took.total_seconds(),
        "started_at": at + queued,
        "completed_at": at + queued + took,
        "total_tests": total,
        "passed_tests": total - skipped - len(details),
        "failed_tests": len(details),
        "skipped_tests": skipped,
        "failed_tests_json": json.dumps(details) if details else "",
        "artifact_url": f"{run_url}/artifacts/{check_run_id}" if total else "",
        "environment": json.dumps({"sample": True, "device": backend.device, "sdk": backend.sdk}),
        "downstream_repo_level": backend.level,
        "event_type": commit.event,
        "flaky_tests": int(total > 0 and chance.random() < 0.05),
        "dispatch_verified": commit.event != "nightly",
        "commit_verified": commit.event == "nightly" and commit.known_upstream,
        "repository_id": backend.repository_id if now - at < _IDS_KEPT_FOR else "",
        "conflicts": json.dumps(refused) if refused else "",
        "times_estimated": chance.random() < 0.01,
        "first_seen": at.astimezone(UTC),
        "version": 3 * 10**13 + 2,
    }
