"""Where the pages' links lead: our own paths and github.com, every part quoted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

if TYPE_CHECKING:
    from hud_endpoint.views.models.filters import Filters

UPSTREAM = "pytorch/pytorch"


def backend_path(repo: str, filters: Filters | None = None, **changes: object) -> str:
    """`/oot/{org}/{repo}`, in the window and event of the page that one comes from."""
    kept = {"level": "", "text": ""} | changes
    return f"/oot/{_quoted(repo)}{filters.query(**kept) if filters else ''}"


def pull_request_path(number: int, upstream_repo: str = UPSTREAM) -> str:
    """`/pr/{number}`; the upstream is told where it is not pytorch/pytorch."""
    told = (
        "" if upstream_repo in ("", UPSTREAM) else f"?{urlencode({'upstream_repo': upstream_repo}, errors='replace')}"
    )
    return f"/pr/{number}{told}"


def failed_test_path(name: str, classname: str = "", file: str = "", filters: Filters | None = None) -> str:
    """`/oot/test?name=…`: the window and event of the page that one comes from are kept."""
    told = {"name": name, "classname": classname, "file": file}
    query = urlencode({key: value for key, value in told.items() if value}, errors="replace")
    kept = filters.query(level="", text="") if filters else ""
    return f"/oot/test?{query}{kept.replace('?', '&')}"


def saved_query_path(query: str, **parameters: object) -> str:
    """The rows of a saved query as JSON."""
    told = json.dumps(parameters, separators=(",", ":"))
    return f"/api/clickhouse/{query}?{urlencode({'parameters': told})}"


def commit_url(upstream_repo: str, sha: str) -> str:
    """The commit on github.com."""
    return github(upstream_repo or UPSTREAM, "commit", sha)


def pull_request_url(upstream_repo: str, number: int) -> str:
    """The pull request on github.com."""
    return github(upstream_repo or UPSTREAM, "pull", number)


def github(*path: object) -> str:
    """An address on github.com; each part is one or more whole path segments."""
    return "https://github.com/" + "/".join(map(_quoted, path))


def _quoted(path: object) -> str:
    # Half a character, which JSON can spell, has no UTF-8.
    return quote(str(path), safe="/", errors="replace")


def web_link(url: str | None) -> str | None:
    """The URL where it is a web address, else None: stored rows may be older than the checks at the door."""
    if not url:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in ("http", "https") and parts.netloc and url.isprintable() else None
