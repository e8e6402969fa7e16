"""The Actions part of the local GitHub's REST API: runs, attempts, jobs, artifacts, and the blob storage behind them.

Paths, fields, pagination, the 302 to blob storage, 410 for what expired and the rate limits are GitHub's:
https://docs.github.com/rest/actions. `/_local/...` is ours, to fill it and to break it:

    POST /_local/runs                         {"repo", "id", "attempts": [{"jobs": [{"id", "name", ...}]}], ...}
    POST /_local/runs/{id}/artifacts?name=    the archive's bytes; gives the artifact
    POST /_local/faults                       {"path", "status", "headers", "body", "times"}: the next answers there
    GET  /_local/blob_requests                the headers with which blob storage was asked
"""

from __future__ import annotations

import hashlib
import itertools
import re
import secrets
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastapi import FastAPI

LARGEST_PAGE = 100
_HOURLY = 5000


def github_id(name: str) -> str:
    """Return the id of a repo or an owner: the same in every run, and without case, as names are."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name.lower()).int % 10**9)


class Actions:
    """The runs of every repo, held in memory."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.runs: dict[int, dict[str, Any]] = {}
        self.artifacts: dict[int, dict[str, Any]] = {}
        self.blobs: dict[str, bytes] = {}
        self.blob_requests: list[dict[str, str]] = []
        self.faults: list[dict[str, Any]] = []
        self._ids = itertools.count(4_000_000_001)

    def add_run(self, told: dict[str, Any]) -> dict[str, Any]:
        """Hold a run: what is told of it, GitHub's own fields for the rest, its attempts apart."""
        repo, number = told["repo"], int(told["id"])
        attempts = told.pop("attempts", None) or [{"jobs": []}]
        for count, attempt in enumerate(attempts, 1):
            attempt.setdefault("run_started_at", _now())
            attempt.setdefault("conclusion", told.get("conclusion", "success"))
            attempt["jobs"] = [self._job(repo, number, count, job) for job in attempt["jobs"]]
        repository = {
            "id": int(github_id(repo)),
            "full_name": repo,
            "default_branch": told.get("default_branch", "main"),
        }
        self.runs[number] = {
            "id": number,
            "name": told.get("name", "ci"),
            "event": told.get("event", "pull_request"),
            "status": told.get("status", "completed"),
            "head_branch": told.get("head_branch", "main"),
            "head_sha": told.get("head_sha", "f" * 40),
            "path": told.get("path", ".github/workflows/ci.yml"),
            "workflow_id": told.get("workflow_id", 159038),
            "run_number": told.get("run_number", 562),
            "repository": repository,
            "head_repository": {"full_name": told.get("head_repository", repo)},
            "pull_requests": told.get("pull_requests", []),
            "html_url": f"https://github.com/{repo}/actions/runs/{number}",
            "created_at": attempts[0]["run_started_at"],
            "attempts": attempts,
        }
        return self.run(number, len(attempts))

    def run(self, number: int, attempt: int) -> dict[str, Any]:
        """A run as the REST API shows one attempt of it. Raises KeyError where there is none."""
        run = self.runs[number]
        attempts = run["attempts"]
        if not 1 <= attempt <= len(attempts):
            raise KeyError(attempt)
        base = f"{self.url}/repos/{run['repository']['full_name']}/actions/runs/{number}"
        return {
            **{name: value for name, value in run.items() if name != "attempts"},
            "run_attempt": attempt,
            "conclusion": attempts[attempt - 1]["conclusion"],
            "run_started_at": attempts[attempt - 1]["run_started_at"],
            "updated_at": _now(),
            "url": base,
            "jobs_url": f"{base}/jobs",
            "artifacts_url": f"{base}/artifacts",
            "previous_attempt_url": f"{base}/attempts/{attempt - 1}" if attempt > 1 else None,
        }

    def jobs(self, number: int, attempts: list[int]) -> list[dict[str, Any]]:
        """The jobs of these attempts; one carried over from an earlier attempt stands in each."""
        found: dict[int, dict[str, Any]] = {}
        for attempt in attempts:
            for job in self.runs[number]["attempts"][attempt - 1]["jobs"]:
                found[job["id"]] = job
        return list(found.values())

    def _job(self, repo: str, run: int, attempt: int, told: dict[str, Any]) -> dict[str, Any]:
        number = int(told.get("id") or next(self._ids))
        now = _now()
        return {
            "id": number,
            "run_id": run,
            "run_attempt": attempt,
            "name": "test",
            "status": "completed",
            "conclusion": "success",
            "created_at": now,
            "started_at": now,
            "completed_at": now,
            "head_branch": "main",
            "head_sha": "f" * 40,
            "workflow_name": "ci",
            "labels": ["ubuntu-24.04"],
            "runner_name": "GitHub Actions 1",
            "steps": [],
            "url": f"{self.url}/repos/{repo}/actions/jobs/{number}",
            "html_url": f"https://github.com/{repo}/actions/runs/{run}/job/{number}",
            "check_run_url": f"{self.url}/repos/{repo}/check-runs/{number}",
            **told,
        }

    def add_artifact(self, run: int, name: str, data: bytes, **told: str) -> dict[str, Any]:
        """Hold an artifact's archive; `expired` and `created_at` may be told."""
        number, repo = next(self._ids), self.runs[run]["repository"]["full_name"]
        url = f"{self.url}/repos/{repo}/actions/artifacts/{number}"
        artifact = {
            "id": number,
            "name": name,
            "size_in_bytes": len(data),
            "url": url,
            "archive_download_url": f"{url}/zip",
            "digest": f"sha256:{hashlib.sha256(data).hexdigest()}",
            "expired": bool(told.get("expired")),
            "created_at": told.get("created_at") or _now(),
            "updated_at": _now(),
            "expires_at": _now(),
            "workflow_run": {"id": run, "head_branch": self.runs[run]["head_branch"]},
        }
        self.artifacts[number] = artifact
        self.blobs[str(number)] = data
        return artifact

    def fault(self, path: str) -> Response | None:
        """The answer that was ordered for this path, if any."""
        for fault in self.faults:
            if fault["times"] > 0 and re.search(fault["path"], path):
                fault["times"] -= 1
                return Response(fault.get("body", ""), fault["status"], fault.get("headers"))
        return None


def install(app: FastAPI, url: str) -> Actions:
    """Give an application these paths; `url` is where it answers."""
    actions = Actions(url)
    for routes in (_ours, _runs, _jobs, _artifacts):
        router = APIRouter()
        routes(actions, router)
        app.include_router(router)

    @app.middleware("http")
    async def faults(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        path = request.url.path
        ordered = None if path.startswith("/_local/") else actions.fault(f"{path}?{request.url.query}")
        response = ordered or await answer(request)
        if path.startswith("/repos/") and "x-ratelimit-remaining" not in response.headers:
            response.headers["x-ratelimit-limit"] = str(_HOURLY)
            response.headers["x-ratelimit-remaining"] = str(_HOURLY - 1)
            response.headers["x-ratelimit-reset"] = str(int(time.time()) + 3600)
        return response

    return actions


def _ours(actions: Actions, router: APIRouter) -> None:
    @router.post("/_local/runs")
    async def add_run(request: Request) -> dict[str, Any]:
        return actions.add_run(await request.json())

    @router.post("/_local/runs/{run}/artifacts")
    async def add_artifact(request: Request, run: int, name: str, expired: str = "", created_at: str = "") -> Any:  # noqa: ANN401
        return actions.add_artifact(run, name, await request.body(), expired=expired, created_at=created_at)

    @router.post("/_local/faults")
    async def order_fault(request: Request) -> dict[str, bool]:
        actions.faults.append({"times": 1, **await request.json()})
        return {"ok": True}

    @router.get("/_local/blob_requests")
    async def blob_requests() -> list[dict[str, str]]:
        return actions.blob_requests


def _runs(actions: Actions, router: APIRouter) -> None:
    @router.get("/repos/{owner}/{name}/actions/runs/{run}")
    async def get_run(owner: str, name: str, run: int) -> JSONResponse:
        if not _has(actions, owner, name, run):
            return _not_found()
        return JSONResponse(actions.run(run, len(actions.runs[run]["attempts"])))

    @router.get("/repos/{owner}/{name}/actions/runs/{run}/attempts/{attempt}")
    async def get_attempt(owner: str, name: str, run: int, attempt: int) -> JSONResponse:
        if not _has(actions, owner, name, run, attempt):
            return _not_found()
        return JSONResponse(actions.run(run, attempt))


def _jobs(actions: Actions, router: APIRouter) -> None:
    @router.get("/repos/{owner}/{name}/actions/runs/{run}/jobs")
    async def jobs(request: Request, owner: str, name: str, run: int) -> JSONResponse:
        if not _has(actions, owner, name, run):
            return _not_found()
        latest = len(actions.runs[run]["attempts"])
        attempts = list(range(1, latest + 1)) if request.query_params.get("filter") == "all" else [latest]
        return _page(actions, request, "jobs", actions.jobs(run, attempts))

    @router.get("/repos/{owner}/{name}/actions/runs/{run}/attempts/{attempt}/jobs")
    async def attempt_jobs(request: Request, owner: str, name: str, run: int, attempt: int) -> JSONResponse:
        if not _has(actions, owner, name, run, attempt):
            return _not_found()
        return _page(actions, request, "jobs", actions.jobs(run, [attempt]))


def _artifacts(actions: Actions, router: APIRouter) -> None:
    @router.get("/repos/{owner}/{name}/actions/runs/{run}/artifacts")
    async def artifacts(request: Request, owner: str, name: str, run: int) -> JSONResponse:
        if not _has(actions, owner, name, run):
            return _not_found()
        wanted = request.query_params.get("name")
        found = [
            artifact
            for artifact in reversed(actions.artifacts.values())  # GitHub lists the newest first
            if artifact["workflow_run"]["id"] == run and wanted in (None, artifact["name"])
        ]
        return _page(actions, request, "artifacts", found)

    @router.get("/repos/{owner}/{name}/actions/artifacts/{artifact}/zip")
    async def archive(request: Request, owner: str, name: str, artifact: int) -> Response:
        held = actions.artifacts.get(artifact)
        if held is None or not _has(actions, owner, name, held["workflow_run"]["id"]):
            return _not_found()
        if not request.headers.get("authorization"):
            return JSONResponse({"message": "Requires authentication", "status": "401"}, 401)
        if held["expired"]:
            return JSONResponse({"message": "Artifact has expired", "status": "410"}, 410)
        url = f"{actions.url}/_blob/{artifact}?se={_now()}&sig={secrets.token_urlsafe(16)}"
        return RedirectResponse(url, 302)

    @router.get("/_blob/{blob}")
    async def blob(request: Request, blob: str) -> Response:
        """Azure's storage: the signature in the URL is the only credential that it takes."""
        headers = dict(request.headers)
        actions.blob_requests.append(headers)
        if "authorization" in headers or "cookie" in headers or not request.query_params.get("sig"):
            return Response("<Code>AuthenticationFailed</Code>", 403, media_type="application/xml")
        return Response(actions.blobs[blob], media_type="application/zip")


def _has(actions: Actions, owner: str, name: str, run: int, attempt: int = 1) -> bool:
    held = actions.runs.get(run)
    same = held is not None and held["repository"]["full_name"].lower() == f"{owner}/{name}".lower()
    return same and held is not None and 1 <= attempt <= len(held["attempts"])


def _page(actions: Actions, request: Request, kind: str, found: list[dict[str, Any]]) -> JSONResponse:
    """One page, with GitHub's Link header: https://docs.github.com/rest/using-the-rest-api/using-pagination-in-the-rest-api."""
    query = request.query_params
    size = min(int(query.get("per_page", 30)), LARGEST_PAGE)
    page = int(query.get("page", 1))
    last = max(-(-len(found) // size), 1)
    links = {"next": page + 1, "last": last} if page < last else {}
    if page > 1:
        links |= {"first": 1, "prev": page - 1}
    kept = "&".join(f"{name}={value}" for name, value in query.items() if name not in {"page", "per_page"})
    base = f"{actions.url}{request.url.path}?{kept + '&' if kept else ''}per_page={size}&page="
    headers = {"link": ", ".join(f'<{base}{number}>; rel="{rel}"' for rel, number in links.items())} if links else {}
    return JSONResponse({"total_count": len(found), kind: found[(page - 1) * size : page * size]}, headers=headers)


def _not_found() -> JSONResponse:
    return JSONResponse({"message": "Not Found", "status": "404"}, 404)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
