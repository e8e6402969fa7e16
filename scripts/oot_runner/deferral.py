"""The report of a job that has no OIDC token, or no way out: left behind as a file, which becomes an artifact.

The run that follows posts it (`.github/workflows/report-deferred.yml`), with who and how it ended from GitHub itself.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from oot_runner.messages import ReportError

if TYPE_CHECKING:
    from oot_runner.ci import Run
    from oot_runner.settings import Settings

FILE_NAME = "callback.json"
PREFIX = "oot-hud-deferred"


class Left(NamedTuple):
    """What to make an artifact of: its name, and the file; both empty where there is nothing to leave."""

    name: str = ""
    path: str = ""


def artifact_name(run: Run) -> str:
    """Name the artifact after the attempt and the job: what is left in one step is replaced by a later one's."""
    return f"{PREFIX}-runattempt{run.run_attempt}-{re.sub('[^0-9A-Za-z-]', '-', run.check_run_id)[:100]}"


def leave(data: bytes, settings: Settings, run: Run, folder: str) -> Left:
    """Write the callback into a folder of its own.

    Raises ReportError where nobody could say later whose it is, or where it can't be written.
    """
    if run.provider != "github":
        raise ReportError("bad_input", name="mode", why="`defer` leaves an artifact, which only GitHub Actions has")
    if settings.scope == "job" and run.check_run_id == f"{run.run_id}-{run.run_attempt}":
        raise ReportError("defer_needs_job")
    own = Path(folder) / f"{PREFIX}-{os.urandom(8).hex()}"
    try:
        own.mkdir()
        (own / FILE_NAME).write_bytes(data)
    except OSError as error:
        raise ReportError("bad_input", name="mode", why=f"nothing can be left in RUNNER_TEMP: {error}") from None
    return Left(artifact_name(run), str(own / FILE_NAME))
