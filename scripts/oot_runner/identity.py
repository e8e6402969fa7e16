"""The OIDC token that tells the relay who reports: from GitHub's token endpoint, or from a file or variable elsewhere.

GitHub: https://docs.github.com/actions/reference/security/oidc (ACTIONS_ID_TOKEN_REQUEST_URL and _TOKEN).
"""

from __future__ import annotations

import binascii
import json
import re
import time
from typing import TYPE_CHECKING, Any, Callable

from oot_runner import delivery
from oot_runner.messages import ReportError
from oot_runner.settings import Settings, read_text

if TYPE_CHECKING:
    from oot_runner.ci import Run

ENDPOINT = "ACTIONS_ID_TOKEN_REQUEST_URL"
_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


def obtain(environ: dict[str, str], settings: Settings, run: Run, say: Callable[[str], None]) -> str:
    """Give a token that has not expired; `run` tells which message fits where there is none.

    Raises ReportError.
    """
    if settings.token_file:
        return _checked(read_text("token-file", settings.token_file).strip(), "--token-file")
    if settings.token:
        return _checked(settings.token, "OOT_TOKEN")
    url, bearer = environ.get(ENDPOINT, ""), environ.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "")
    if url and bearer:
        return mint(url, bearer, settings.audience, settings.max_time, settings.retries, say)
    if run.provider != "github":
        raise ReportError("no_token", audience=settings.audience)
    called, caller = environ.get("OOT_JOB_WORKFLOW_REF", ""), environ.get("GITHUB_WORKFLOW_REF", "")
    if called and caller and called != caller:
        raise ReportError("reusable_workflow", called=called, caller=caller)
    raise ReportError("no_id_token_permission")


def refuse_fork(environ: dict[str, str], run: Run) -> None:
    """Raise ReportError `fork_pull_request` where GitHub withholds the token for that reason."""
    fork: object = run.event
    for key in ("pull_request", "head", "repo", "full_name"):
        fork = fork.get(key) if isinstance(fork, dict) else None
    if isinstance(fork, str) and fork.lower() != run.repository.lower() and not environ.get(ENDPOINT):
        raise ReportError("fork_pull_request", fork=fork)


def claims(token: str) -> dict[str, Any]:
    """Read a token's claims without trusting them: for the expiry and for words to the user."""
    body = token.split(".")[1]
    try:
        text = binascii.a2b_base64(body.replace("-", "+").replace("_", "/") + "=" * (-len(body) % 4))
        read = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def mint(url: str, bearer: str, audience: str, max_time: float, retries: int, say: Callable[[str], None]) -> str:
    """Have GitHub's token endpoint make a token for an audience; raises ReportError."""
    from urllib.parse import quote

    endpoint = f"{url}{'&' if '?' in url else '?'}audience={quote(audience, safe='')}"
    request = delivery.Request("GET", endpoint, {"Authorization": f"Bearer {bearer}", "Accept": "application/json"})
    outcome = delivery.send(request, max_time, retries, say=say, told="The token endpoint", name=ENDPOINT)
    answer = outcome.answer
    if answer is None:
        raise ReportError("token_endpoint", why=outcome.why)
    try:
        value = json.loads(answer.body)["value"]
    except (ValueError, KeyError, TypeError, RecursionError):
        value = None
    if answer.status != 200 or not isinstance(value, str) or not _JWT.fullmatch(value):
        raise ReportError("token_endpoint", why=f"it answered {answer.status} without a token")
    return value


def _checked(token: str, source: str) -> str:
    if not _JWT.fullmatch(token):
        raise ReportError("bad_token", source=source, why="it is empty" if not token else "it has not three parts")
    expires = claims(token).get("exp")
    if isinstance(expires, (int, float)) and expires < time.time():
        ago = int(time.time() - expires)
        raise ReportError("expired_token", why=f"The token in {source} expired {ago} s ago.")
    return token
