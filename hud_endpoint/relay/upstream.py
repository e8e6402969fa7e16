"""Whether a commit that a nightly says it tested is one of the upstream's: GitHub is asked, and never waited for long.

GitHub also answers for commits that only a fork has, so that "known" means that the commit exists, not that it was
merged. An answer that does not come is no answer: the callback is accepted, and flagged.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor, TimeoutError  # noqa: A004 - the builtin's own alias
from contextvars import copy_context
from typing import TYPE_CHECKING

from hud_endpoint.relay.github_calls import GitHubCalls
from hud_endpoint.wire_types import is_sha

if TYPE_CHECKING:
    from collections.abc import Callable

    from hud_endpoint.contract import Callback

log = logging.getLogger(__name__)

WAIT_SECONDS = 2.0
UNKNOWN_SECONDS = 300.0  # a commit that is not there yet may be pushed; one that is there stays
COOL_DOWN_SECONDS = 60.0  # an outage costs one wait a minute, not one a callback
MAX_COMMITS = 4096
_WORKERS = 4


class Upstream:
    """Knows the commits of one repo; `ask` says whether it has a commit, and raises LookupError when it can't say."""

    def __init__(
        self,
        repo: str,
        ask: Callable[[str], bool],
        *,
        wait_seconds: float = WAIT_SECONDS,
        calls: GitHubCalls | None = None,
    ) -> None:
        self._repo = repo
        self._ask = ask
        self._calls = calls or GitHubCalls()
        self._wait_seconds = wait_seconds
        # Apart, so that made-up commits push no real ones out; the value is until when the answer holds.
        self._found: OrderedDict[str, float] = OrderedDict()
        self._missing: OrderedDict[str, float] = OrderedDict()
        self._asked: dict[str, Future[None]] = {}
        self._away_until = float("-inf")
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="upstream")

    def is_upstream_commit(self, callback: Callback, reporter: str) -> bool | None:
        """Return whether the commit that a repo's self-reported callback is about is the upstream's; None if unknown.

        Its pull request is left out of account: nightlies have none, and HUD is never shown it.
        """
        repository = callback.payload.repository
        if repository and repository.full_name.lower() != self._repo.lower():
            return False
        commit = callback.payload.head_sha or callback.payload.after or callback.delivery_id
        return self.commit_exists(commit, reporter)

    def commit_exists(self, commit: str, reporter: str) -> bool | None:
        """Say whether the upstream has a commit; None when GitHub does not say so in time. False for what is no SHA.

        `reporter` is the repo for whose sake it is asked; where it has had its calls of GitHub, None.
        """
        if not is_sha(commit):
            return False
        sha = commit.lower()
        with self._lock:
            known = self._known(sha)
            if known is not None or time.monotonic() < self._away_until:
                return known
            asked = self._asked.get(sha)
            if asked is None:
                # Where the others have not been answered yet, do not queue behind them.
                if len(self._asked) >= _WORKERS or not self._calls.take(reporter):
                    return None
                asked = self._asked[sha] = self._pool.submit(copy_context().run, self._learn, sha)
        try:
            asked.result(self._wait_seconds)
        except TimeoutError:
            self._stay_away("it did not answer in time")
        with self._lock:
            return self._known(sha)

    def _known(self, sha: str) -> bool | None:
        if sha in self._found:
            self._found.move_to_end(sha)
            return True
        return False if self._missing.get(sha, 0.0) > time.monotonic() else None

    def _learn(self, sha: str) -> None:
        try:
            has = self._ask(sha)
            with self._lock:
                answers = self._found if has else self._missing
                answers[sha] = float("inf") if has else time.monotonic() + UNKNOWN_SECONDS
                if len(answers) > MAX_COMMITS:
                    answers.popitem(last=False)
        except LookupError as error:
            self._stay_away(str(error))
        finally:
            with self._lock:
                self._asked.pop(sha, None)

    def _stay_away(self, why: str) -> None:
        with self._lock:
            self._away_until = time.monotonic() + COOL_DOWN_SECONDS
        log.warning("GitHub can't say which commits %s has, nightlies are marked as unverified: %s", self._repo, why)


def ask_github(api_url: str, repo: str, token: str | None) -> Callable[[str], bool]:
    """Return the function that asks GitHub's REST API for a commit of the repo; without a token, 60 times an hour."""

    def ask(sha: str) -> bool:
        import github  # here, for cold starts: only nightlies need it
        from requests import RequestException

        client = github.Github(
            base_url=api_url,
            auth=github.Auth.Token(token) if token else None,
            timeout=int(WAIT_SECONDS),
            retry=None,
            seconds_between_requests=None,
            lazy=True,  # the repo itself need not be fetched
        )
        try:
            commit = client.get_repo(repo).get_commit(sha, commit_files_per_page=1)
            commit.complete()  # only this asks; the SHA by itself is read off the URL
            commit_sha = commit.raw_data.get("sha")
        except github.RateLimitExceededException:
            raise LookupError("rate limited; a GITHUB_TOKEN has more calls") from None
        except github.GithubException as error:
            if error.status in (404, 422):  # 422 is GitHub's word for a well-formed SHA that it does not have
                return False
            raise LookupError(f"HTTP {error.status}") from None
        except (RequestException, ValueError, TypeError, AttributeError, AssertionError, RuntimeError) as error:
            raise LookupError(f"{type(error).__name__}: is {api_url} GitHub's API?") from None
        finally:
            client.close()
        if not commit_sha:
            raise LookupError(f"no commit in the answer: is {api_url} GitHub's API?")
        return bool(commit_sha == sha)

    return ask
