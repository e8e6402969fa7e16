"""The jobs that run now, from DynamoDB's sparse indexes: one query each for a backend or a PR, never a scan."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hud_endpoint.views.data.rows import is_verified
from hud_endpoint.views.models.jobs import Job
from hud_endpoint.wire_types import is_sha

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from types_boto3_dynamodb.client import DynamoDBClient

    from hud_endpoint.views.data.names import Names

MAX_RUNNING = 1000  # of one backend or PR; more are not looked at
COUNT_THREADS = 8  # a thousand backends are a thousand queries of milliseconds; the client has ten connections


class RunningUnknownError(Exception):
    """DynamoDB did not answer."""


class RunningJobs:
    """Reads what runs; raises RunningUnknownError when DynamoDB does not answer."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table
        self._threads = ThreadPoolExecutor(COUNT_THREADS, thread_name_prefix="running")

    def under_name(self, repo: str, names: Names) -> list[tuple[Job, str]]:
        """Return the running jobs that report under a repo's name with their delivery ids, newest first."""
        return self._jobs("running_repo", repo, names)

    def of_pull_request(self, upstream_repo: str, number: int, names: Names) -> list[tuple[Job, str]]:
        """Return the running jobs of an upstream PR with their delivery ids, newest first."""
        return self._jobs("running_pr", f"{upstream_repo}#{number}", names)

    def counts(self, backends: Iterable[str], names: Names) -> dict[str, int]:
        """Return how many jobs of each backend run."""
        context = copy_context()
        return dict(self._threads.map(lambda one: context.copy().run(self._count, one, names), backends))

    def _count(self, backend: str, names: Names) -> tuple[str, int]:
        return backend, sum(self._count_under_name(name, backend, names) for name in names.names_of(backend))

    def _count_under_name(self, repo: str, backend: str, names: Names) -> int:
        if names.is_shared(repo):
            return sum(job.repo == backend for job, _ in self.under_name(repo, names))
        return sum(page["Count"] for page in self._pages("running_repo", repo, Select="COUNT"))

    def _jobs(self, index: str, value: str, names: Names) -> list[tuple[Job, str]]:
        items = [item for page in self._pages(index, value) for item in page["Items"]]
        jobs = [(_job(item, names), item.get("delivery_id", {}).get("S", "")) for item in items]
        return sorted(jobs, key=lambda one: (-one[0].first_seen.timestamp(), one[0].key))

    def _pages(self, index: str, value: str, **options: Any) -> list[Mapping[str, Any]]:  # noqa: ANN401
        from botocore.exceptions import BotoCoreError, ClientError

        request: dict[str, Any] = {
            "TableName": self._table,
            "IndexName": index,
            "KeyConditionExpression": "#index = :value",
            "ExpressionAttributeNames": {"#index": index},
            "ExpressionAttributeValues": {":value": {"S": value}},
            **options,
        }
        pages: list[Mapping[str, Any]] = []
        try:
            while True:
                page: Mapping[str, Any] = self._client.query(**request)
                pages.append(page)
                if "LastEvaluatedKey" not in page or sum(one["Count"] for one in pages) >= MAX_RUNNING:
                    return pages
                request["ExclusiveStartKey"] = page["LastEvaluatedKey"]
        except (BotoCoreError, ClientError) as error:
            raise RunningUnknownError(type(error).__name__) from error


def _job(item: Mapping[str, Mapping[str, Any]], names: Names) -> Job:
    """Read an item as it stands there; a field of another type than ours counts as absent."""

    def text(name: str) -> str:
        value = item.get(name, {}).get("S", "")
        return value if isinstance(value, str) else ""

    def whole(name: str, default: int = 0) -> int:
        value = str(item.get(name, {}).get("N", ""))
        return int(value) if value.isdecimal() else default

    def flag(name: str) -> bool:
        return item.get(name, {}).get("BOOL") is True

    event_type = text("event_type") or "pull_request"
    started = _time(text("started_at"))
    first_seen = _time(text("first_seen")) or started or datetime.now(UTC)
    repo, sha = text("downstream_repo"), text("pytorch_head_sha")
    queue = item.get("queue_time", {}).get("N")
    return Job(
        key=text("dynamoKey"),
        repo=names.backend_of(repo, text("repository_id"), first_seen),
        reported_as=repo,
        level=text("downstream_repo_level"),
        workflow=text("workflow_name"),
        name=text("job_name"),
        check_run_id=text("check_run_id"),
        run_id=text("run_id"),
        attempt=whole("run_attempt", 1),
        state="running",
        refused=tuple(str(note).partition(" ")[0] for note in sorted(item.get("conflicts", {}).get("SS", []))),
        origin=text("origin") or "job",
        event_type=event_type,
        upstream_repo=text("upstream_repo"),
        pr_number=whole("pr_number"),
        sha=sha,
        is_sha=is_sha(sha),
        verified=is_verified(event_type, dispatch=flag("dispatch_verified"), commit=flag("commit_verified")),
        first_seen=first_seen,
        started_at=started,
        completed_at=None,
        duration=None,
        queue_time=float(queue) if queue is not None else None,
        total_tests=0,
        passed_tests=0,
        failed_tests=0,
        skipped_tests=0,
        error_tests=0,
        flaky_tests=0,
        details_truncated=0,
        run_url=text("workflow_run_url"),
        artifact_url="",
    )


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
