"""Runs on the local GitHub: what a test puts there, and a token for it."""

from __future__ import annotations

import io
import itertools
import os
import zipfile
from typing import Any

import requests

_IDS = itertools.count(10**9 + os.getpid() * 10**4)


def new_id() -> int:
    """An id that no other run, job or test of this session has."""
    return next(_IDS)


def archive(*files: tuple[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Make a zip archive."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", compression) as out:
        for name, data in files:
            out.writestr(name, data)
    return whole.getvalue()


class LocalRuns:
    """The local GitHub's own way in."""

    def __init__(self, url: str) -> None:
        self.url = url

    def add(self, repo: str, **told: Any) -> int:
        """Add a run and give its id; `attempts` holds the jobs of each."""
        run = told.pop("id", None) or new_id()
        self._post("/_local/runs", json={"repo": repo, "id": run, "event": "push", **told})
        return int(run)

    def upload(self, run: int, name: str, data: bytes, **told: str) -> dict[str, Any]:
        """Add an artifact's archive."""
        return dict(self._post(f"/_local/runs/{run}/artifacts", params={"name": name, **told}, data=data))

    def fault(self, path: str, status: int, **told: Any) -> None:
        """Order the next answer at a path."""
        self._post("/_local/faults", json={"path": path, "status": status, **told})

    def _post(self, path: str, **given: Any) -> Any:
        answer = requests.post(self.url + path, timeout=60, **given)
        answer.raise_for_status()
        return answer.json()
