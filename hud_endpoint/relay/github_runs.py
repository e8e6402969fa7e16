"""Which event started a run of GitHub Actions: asked of GitHub, for results that another run reports.

A run's event never changes, so an answer is kept; that there is no such run, for seconds. No answer is a refusal that
may be tried again: what nobody could verify is not taken.
"""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hud_endpoint.errors import RefusedError
from hud_endpoint.relay.github_calls import GitHubCalls
from hud_endpoint.wire_types import cut

if TYPE_CHECKING:
    from collections.abc import Callable

TIMEOUT_SECONDS = 5
MAX_RUNS = 4096
RETRY_AFTER_SECONDS = 30
MISSING_SECONDS = 30.0
_RUN_ID = re.compile(r"[1-9][0-9]{0,18}")  # as GitHub writes it: one run has one id, and so one key in HUD


@dataclass(frozen=True)
class GitHubRun:
    """What GitHub says of a run: the event that started it, and the repo's id."""

    event: str
    repository_id: str


class GitHubRuns:
    """Runs by repo and id.

    `ask` returns None for a run that GitHub does not show, and raises LookupError when it can't say.
    """

    def __init__(self, ask: Callable[[str, str], GitHubRun | None], calls: GitHubCalls | None = None) -> None:
        self._ask = ask
        self._calls = calls or GitHubCalls()
        self._runs: OrderedDict[tuple[str, str], GitHubRun] = OrderedDict()
        self._missing: OrderedDict[tuple[str, str], float] = OrderedDict()  # until when it is not asked for again
        self._lock = threading.Lock()

    def find(self, repo: str, run_id: str) -> GitHubRun:
        """Return the run. Raises RefusedError `run_not_found`, `rate_limited` and `github_unavailable`."""
        if not _RUN_ID.fullmatch(run_id):
            raise _not_found(repo, run_id)
        key = (repo.lower(), run_id)
        with self._lock:
            if key in self._runs:
                self._runs.move_to_end(key)
                return self._runs[key]
            if self._missing.get(key, 0.0) > time.monotonic():
                raise _not_found(repo, run_id)
        if not self._calls.take(repo):
            raise RefusedError(
                "rate_limited",
                f"{repo} has named too many runs in a minute that GitHub had to be asked for: send it again later.",
                retry_after=RETRY_AFTER_SECONDS,
            )
        try:
            run = self._ask(repo, run_id)
        except LookupError as error:
            raise RefusedError(
                "github_unavailable",
                f"GitHub could not be asked which event started run {run_id} of {repo} ({error}): send it again.",
                retry_after=RETRY_AFTER_SECONDS,
            ) from None
        with self._lock:
            if run is None:
                self._missing[key] = time.monotonic() + MISSING_SECONDS
            else:
                self._runs[key] = run
            for known in (self._missing, self._runs):
                if len(known) > MAX_RUNS:
                    known.popitem(last=False)
        if run is None:
            raise _not_found(repo, run_id)
        return run


def _not_found(repo: str, run_id: str) -> RefusedError:
    return RefusedError(
        "run_not_found",
        f"GitHub shows this relay no run {cut(run_id, 100)} of {repo}, so its event can't be verified: check the run "
        "id; a private repo's jobs must report themselves.",
    )


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
