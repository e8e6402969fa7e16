"""Which event started a run of GitHub Actions: asked of GitHub, for results that another run reports.

A run's event never changes, so an answer is kept. No answer is a refusal that may be tried again: what nobody could
verify is not taken.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hud_endpoint.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

TIMEOUT_SECONDS = 5
MAX_RUNS = 4096
RETRY_AFTER_SECONDS = 30


@dataclass(frozen=True)
class GitHubRun:
    """What GitHub says of a run: the event that started it, and the repo's id."""

    event: str
    repository_id: str


class GitHubRuns:
    """Runs by repo and id.

    `ask` returns None for a run that GitHub does not show, and raises LookupError when it can't say.
    """

    def __init__(self, ask: Callable[[str, str], GitHubRun | None]) -> None:
        self._ask = ask
        self._runs: OrderedDict[tuple[str, str], GitHubRun] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, repo: str, run_id: str) -> GitHubRun:
        """Return the run. Raises RefusedError `run_not_found` and `github_unavailable`."""
        key = (repo.lower(), run_id)
        with self._lock:
            if key in self._runs:
                self._runs.move_to_end(key)
                return self._runs[key]
        try:
            run = self._ask(repo, run_id)
        except LookupError as error:
            raise RefusedError(
                "github_unavailable",
                f"GitHub could not be asked which event started run {run_id} of {repo} ({error}): send it again.",
                retry_after=RETRY_AFTER_SECONDS,
            ) from None
        if run is None:
            raise RefusedError(
                "run_not_found",
                f"GitHub shows this relay no run {run_id} of {repo}, so its event can't be verified: check the run id; "
                "a private repo's jobs must report themselves.",
            )
        with self._lock:
            self._runs[key] = run
            if len(self._runs) > MAX_RUNS:
                self._runs.popitem(last=False)
        return run


def ask_github_for_runs(api_url: str, token: str | None) -> Callable[[str, str], GitHubRun | None]:
    """Return the function that asks GitHub's REST API for a run; without a token, 60 times an hour."""

    def ask(repo: str, run_id: str) -> GitHubRun | None:
        import github  # here, for cold starts: only deferred results need it
        from requests import RequestException

        client = github.Github(
            base_url=api_url,
            auth=github.Auth.Token(token) if token else None,
            timeout=TIMEOUT_SECONDS,
            retry=None,
            seconds_between_requests=None,
            lazy=True,  # the repo itself need not be fetched
        )
        try:
            run = client.get_repo(repo).get_workflow_run(int(run_id))
            run.complete()
            data = run.raw_data
            event, repository_id = data.get("event"), (data.get("repository") or {}).get("id")
        except github.RateLimitExceededException:
            raise LookupError("rate limited; a GITHUB_TOKEN has more calls") from None
        except github.GithubException as error:
            if error.status == 404:
                return None
            raise LookupError(f"HTTP {error.status}") from None
        except (RequestException, ValueError, TypeError, AttributeError, AssertionError, RuntimeError) as error:
            raise LookupError(f"{type(error).__name__}: is {api_url} GitHub's API?") from None
        finally:
            client.close()
        if not isinstance(event, str) or not isinstance(repository_id, int):
            raise LookupError(f"no run in the answer: is {api_url} GitHub's API?")  # noqa: TRY004 - not our caller's fault
        return GitHubRun(event, str(repository_id))

    return ask
