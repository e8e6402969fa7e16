"""The tables of test stats, and whose runs fill them: what collect and publish have to agree on."""

from __future__ import annotations

import re

TABLES = ("test_run_summary", "failed_test_runs", "test_run")
WHOLE_RUN = "test_run"
_TRUNK = re.compile(r"trunk/[0-9a-f]{40}")


def whole_run_is_kept(repo: str, head_repository: str, head_branch: str, default_branch: str) -> bool:
    """Say whether every test of a run is kept: runs of the repo's own default branch, or of a `trunk/<sha>` tag.

    A fork's branch of the same name is somebody else's.
    """
    own = head_repository.lower() == repo.lower()
    return own and (head_branch == default_branch or _TRUNK.fullmatch(head_branch) is not None)
