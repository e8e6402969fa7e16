"""The artifacts of a run: what their names tell, and which of them an attempt's stats are made of.

Names, as pytorch's CI and actions/upload-artifacts write them: `test-reports-runattempt2-<what>_<job id>` with or
without `.zip` on GitHub; on S3 the attempt is in the key, and pytorch leaves it out of the name.

The rule for attempts. An artifact belongs to the attempt that its name or key tells. The asked attempt's artifacts are
read; an earlier attempt's only where its job was not run again ("re-run failed jobs"), which GitHub's jobs API tells:
the asked attempt lists such a job with the attempt that it really ran in. Where a name tells no attempt, the job does,
and else the time. What was taken so is stated in the manifest's `fallbacks`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from oot_stats.sources.github_answers import WorkflowJob

REPORTS = "test-report"  # pytorch's scripts look for names that begin so
MOST_OF_JOB = 50
_ATTEMPT = re.compile(r"-runattempt([0-9]{1,6})(?=-|_|\.|$)")
_JOB_ID = re.compile(r"_([0-9]{1,19})$")
_LARGEST_ID = 2**63


class Artifact(NamedTuple):
    """One archive of one source. `place` is what its source finds it by: GitHub's id, a key, or a URL, never told."""

    source: str  # github or s3
    name: str
    place: str
    size: int
    attempt: int | None
    job_id: int | None
    created_at: str = ""  # ISO 8601
    digest: str = ""  # sha256:<hex>, where the source tells it
    key: str = ""  # in S3

    @property
    def identity(self) -> tuple[str, int | None]:
        """What an artifact and its copy in the other source have in common."""
        return _ATTEMPT.sub("", self.name.removesuffix(".zip")), self.attempt


class Choice(NamedTuple):
    """Which artifacts are read, in order; why others are not; and what was not taken at its word."""

    chosen: list[Artifact]
    copies: dict[Artifact, Artifact]  # the same artifact in the other source, for when the chosen one fails
    left: list[tuple[Artifact, str, str]]  # code and sentence
    fallbacks: list[dict[str, str | int]]


def is_repo(text: str) -> bool:
    """Say whether this is owner/name."""
    return re.fullmatch(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}", text) is not None and not (
        {".", ".."} & {*text.split("/")}
    )


def attempt_of(name: str) -> int | None:
    """Give the attempt that a name tells."""
    found = _ATTEMPT.search(name)
    return int(found[1]) if found else None


def job_id_of(name: str) -> int | None:
    """Give the job's id that a name ends in."""
    found = _JOB_ID.search(name.removesuffix(".zip"))
    return int(found[1]) if found and int(found[1]) < _LARGEST_ID else None


def choose(
    artifacts: Iterable[Artifact],
    attempt: int,
    jobs: Sequence[WorkflowJob] | None,
    earlier: Mapping[int, str],
    started_at: str,
    most: int,
) -> Choice:
    """Apply the rule.

    `jobs` are those of the asked attempt, None where GitHub did not tell; `earlier` the names of all attempts' jobs by
    id; `started_at` is when the attempt started (ISO 8601), empty where nobody knows.
    """
    choice = Choice([], {}, [], [])
    ids = {(job.id, job.run_attempt) for job in jobs or ()}
    names = {(job.name, job.run_attempt) for job in jobs or ()}
    known: dict[tuple[str, int | None], Artifact] = {}
    once = {
        (artifact.source, artifact.place): artifact for artifact in artifacts
    }  # pages may shift while they are read
    for artifact in sorted(once.values(), key=lambda one: (one.source != "s3", one.name, one.place)):
        if not artifact.name.startswith(REPORTS):
            choice.left.append((artifact, "not_reports", "Its name does not begin with test-report."))
            continue
        why = _why_not(artifact, attempt, jobs, ids, names, earlier, started_at, choice.fallbacks)
        if why:
            choice.left.append((artifact, *why))
        elif (first := known.get(artifact.identity)) and first.source != artifact.source:
            choice.copies[first] = artifact
        elif len(choice.chosen) >= most:
            choice.left.append((artifact, "too_many_artifacts", f"Only {most:,} artifacts of a run are read."))
        else:
            known.setdefault(artifact.identity, artifact)
            choice.chosen.append(artifact)
    return choice


def _why_not(  # noqa: PLR0911 - a rule a line
    artifact: Artifact,
    attempt: int,
    jobs: Sequence[WorkflowJob] | None,
    ids: set[tuple[int, int]],
    names: set[tuple[str, int]],
    earlier: Mapping[int, str],
    started_at: str,
    fallbacks: list[dict[str, str | int]],
) -> tuple[str, str] | None:
    its = artifact.attempt
    name = earlier.get(artifact.job_id or 0, "")
    if its == attempt:
        return None
    if its is None:
        if any(artifact.job_id == job.id for job in jobs or ()):
            return None
        if started_at and artifact.created_at >= started_at:
            fallbacks.append({"rule": "by_time", "artifact": artifact.name, "created_at": artifact.created_at})
            return None
        return "unknown_attempt", "Its name tells no attempt, and it is not of a job of this one."
    if its > attempt:
        return "other_attempt", f"It belongs to attempt {its}."
    if (artifact.job_id, its) in ids or (name and (name, its) in names):
        fallbacks.append({"rule": "carried_over", "artifact": artifact.name, "from_attempt": its})
        return None
    if name and (name, attempt) in names:
        return "superseded", f"Its job ran again in attempt {attempt}."
    if jobs is None:
        return "other_attempt", f"It belongs to attempt {its}, and GitHub did not tell whether its job ran again."
    return "other_attempt", f"It belongs to attempt {its}, and no job of it was taken over."


def by_job(artifacts: Sequence[Artifact]) -> list[list[Artifact]]:
    """Put the artifacts of each job together: their test cases are summed together.

    Beyond MOST_OF_JOB a job has another list, and its own sums there: all files of a list are open at once.
    """
    jobs: dict[int | None, list[Artifact]] = {}
    for artifact in artifacts:
        jobs.setdefault(artifact.job_id, []).append(artifact)
    return [job[at : at + MOST_OF_JOB] for job in jobs.values() for at in range(0, len(job), MOST_OF_JOB)]
