"""GitHub's REST API for runs, jobs and artifacts: pages, rate limits with a patience that ends, and downloads.

An artifact's download is two steps: GitHub answers 302 with the address of blob storage, and that is fetched bare. The
token, netrc and cookies stay with GitHub: https://docs.github.com/rest/actions/artifacts#download-an-artifact.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import github
import requests
from pydantic import BaseModel, ValidationError

from oot_stats.reasons import RejectedError
from oot_stats.sources.artifacts import Artifact, attempt_of, job_id_of
from oot_stats.sources.github_answers import WorkflowJob, WorkflowRun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

PAGE = 100
_MOST_PAGES = 200
_TRIES = 4
_TIMEOUT = 60
_PATIENCE_SECONDS = 900
_SECONDARY_SECONDS = 60  # what GitHub asks for where it names no time
_GONE = (404, 410)
_MOST_RENAMES = 3


class GitHubError(Exception):
    """GitHub did not tell what is needed; the message says what, why, and what to do."""


class GitHub:
    """One repository's part of the API."""

    def __init__(
        self,
        url: str,
        token: str,
        repo: str,
        *,
        patience: float,
        say: Callable[[str], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._repo, self._url, self._token = repo, url.rstrip("/"), token
        self._patience, self._say, self.sleep = patience, say, sleep
        self._github = github.Github(
            base_url=self._url,
            auth=github.Auth.Token(token) if token else None,
            timeout=_TIMEOUT,
            retry=None,  # it would wait for an hour without a word
            seconds_between_requests=None,
            lazy=True,
        )
        self._session = session(self._url)

    @classmethod
    def of(cls, repo: str, say: Callable[[str], None] = print, patience: float = _PATIENCE_SECONDS) -> Self:
        """Ask as GITHUB_API_URL and GITHUB_TOKEN say. Raises GitHubError for an address that is none."""
        url = os.environ.get("GITHUB_API_URL") or "https://api.github.com"
        if not is_fetched(url):
            raise GitHubError(f"GITHUB_API_URL is {url!r}: it must begin with https://, since the token travels there.")
        return cls(url, os.environ.get("GITHUB_TOKEN", ""), repo, patience=patience, say=say)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._github.close()
        self._session.close()

    def run(self, run_id: int, attempt: int | None = None) -> WorkflowRun:
        """Give an attempt of a run, by default its latest. Raises GitHubError."""
        path = f"/actions/runs/{run_id:d}" + (f"/attempts/{attempt:d}" if attempt else "")
        found = _parsed(WorkflowRun, self._get(path), path)
        if found.id != run_id or (attempt and found.run_attempt != attempt):
            raise GitHubError(f"GitHub answered {path} with another run.")
        name = found.repository.full_name
        if name.lower() != self._repo.lower():  # ids of runs are unique, and only a rename leads from name to name
            self._say(f"{self._repo} is {name} now.")
            self._repo = name
        return found

    def jobs(self, run_id: int, attempt: int | None = None) -> list[WorkflowJob]:
        """Give an attempt's jobs, with those it took over; or those of all attempts. Raises GitHubError."""
        path = f"/actions/runs/{run_id:d}" + (f"/attempts/{attempt:d}" if attempt else "") + "/jobs"
        return [_parsed(WorkflowJob, job, path) for job in self._pages(path, "jobs", "" if attempt else "&filter=all")]

    def artifacts(self, run_id: int) -> Iterator[tuple[Artifact, bool]]:
        """Give all artifacts of a run, and whether each has expired. Raises GitHubError."""
        for told in self._pages(f"/actions/runs/{run_id}/artifacts", "artifacts"):
            name = str(told["name"])
            artifact = Artifact(
                "github",
                name,
                str(int(told["id"])),
                int(told.get("size_in_bytes") or 0),
                attempt_of(name),
                job_id_of(name),
                str(told.get("created_at") or ""),
                str(told.get("digest") or ""),
            )
            yield artifact, bool(told.get("expired"))

    def address(self, artifact: Artifact) -> str:
        """Give where an artifact is fetched from. Raises RejectedError."""
        path = f"{self._url}/repos/{self._repo}/actions/artifacts/{artifact.place}/zip"
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}

        def ask() -> requests.Response:
            answer = self._session.get(path, headers=headers, allow_redirects=False, timeout=_TIMEOUT)
            if answer.status_code >= 400:
                raise github.GithubException(answer.status_code, _json(answer), dict(answer.headers))
            return answer

        try:
            for _ in range(_MOST_RENAMES):
                location = self._patiently(ask).headers.get("location", "")
                if not location.startswith((f"{self._url}/repositories/", f"{self._url}/repos/")):
                    break
                path = location  # the repo was renamed: the API itself says where it is now
        except github.GithubException as error:
            if error.status in _GONE:
                raise RejectedError("gone", "GitHub has it no longer: it expired, or was deleted.") from None
            raise RejectedError("download_failed", f"GitHub answered {error.status}.") from None
        except GitHubError as error:
            raise RejectedError("download_failed", str(error)) from None
        return location

    def _pages(self, path: str, key: str, more: str = "") -> Iterator[dict[str, Any]]:
        for page in range(1, _MOST_PAGES + 1):
            found = self._get(f"{path}?per_page={PAGE}&page={page}{more}").get(key)
            if not isinstance(found, list):
                raise GitHubError(f"GitHub answered {path} without {key}.")
            yield from found
            if len(found) < PAGE:
                return
        raise GitHubError(f"{path} has more than {_MOST_PAGES * PAGE:,} {key}.")

    def _get(self, path: str) -> dict[str, Any]:
        path = f"/repos/{self._repo}{path}"
        try:
            _, told = self._patiently(lambda: self._github.requester.requestJsonAndCheck("GET", path))
        except github.GithubException as error:
            remedy = "does the token have `actions: read` there?"
            if error.status >= 500:
                remedy = "GitHub is in trouble; nothing was lost, run it again later."
            raise GitHubError(f"GitHub answered {path} with {error.status}: {remedy}") from None
        if not isinstance(told, dict):
            raise GitHubError(f"GitHub answered {path} with something else than it documents.")
        return told

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Ask, and again where GitHub is busy or wants us to wait. Raises GithubException and GitHubError."""
        tries = 0
        while True:
            tries += 1
            try:
                return ask()
            except github.GithubException as error:
                wait = _wait(error.status, error.headers or {}, error.data)
                if wait is None or (error.status >= 500 and tries >= _TRIES):
                    raise
                if error.status < 500:
                    self._wait_for_limit(wait)
                    tries = 0
                    continue
            except (requests.RequestException, ValueError) as error:
                if tries >= _TRIES:
                    raise GitHubError(f"GitHub at {self._url} did not answer: {type(error).__name__}.") from None
            self.sleep(2.0 ** (tries - 1))

    def _wait_for_limit(self, wait: float) -> None:
        if wait > self._patience:
            raise GitHubError(
                f"GitHub's rate limit asks to wait {wait:,.0f} s, more than --max-seconds leaves "
                f"({self._patience:,.0f} s): run it again later, or with a token of a higher limit."
            )
        self._patience -= wait
        self._say(f"GitHub's rate limit is used up; going on in {wait:,.0f} s")
        self.sleep(wait)


def _parsed(model: type[M], told: object, path: str) -> M:
    try:
        return model.model_validate(told)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"][:3])
        raise GitHubError(f"GitHub's answer to {path} is not what it documents (at {where}).") from None


def _wait(status: int, headers: Mapping[str, str], told: object) -> float | None:
    """Give the seconds after which to ask again; None where that would not help."""
    if status >= 500:
        return 0
    if status not in (403, 429):
        return None
    lower = {name.lower(): value for name, value in headers.items()}
    after = lower.get("retry-after", "")
    if after.isdecimal():
        return max(float(after), 1)
    if lower.get("x-ratelimit-remaining") == "0" and lower.get("x-ratelimit-reset", "").isdecimal():
        return max(float(lower["x-ratelimit-reset"]) - time.time(), 0) + 1
    message = str(told.get("message", "")) if isinstance(told, dict) else str(told)
    return _SECONDARY_SECONDS if status == 429 or "rate limit" in message.lower() else None


def _json(answer: requests.Response) -> object:
    try:
        return answer.json()
    except ValueError:
        return {}


def session(url: str) -> requests.Session:
    """Give a session for an address that adds no credential by itself, as netrc would; proxies stay."""
    made = requests.Session()
    made.trust_env = False
    if not proxy_bypass(urlsplit(url).hostname or ""):
        made.proxies.update(getproxies())
    return made


def is_fetched(url: str) -> bool:
    """Say whether an address is one that archives are fetched from: https, or this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.username or parts.password or not host:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in {"127.0.0.1", "::1", "localhost"})
