r"""Turn the test reports that a run's jobs left as artifacts into rows, in a folder for publish to store.

    oot-hud stats collect --repo org/name --workflow-run-id 240 \
        --workflow-run-attempt 1 --head-branch main --head-repository org/name

Reads GitHub's artifacts (GITHUB_TOKEN with `actions: read`, GITHUB_API_URL) and, with --s3 or --presigned, those in S3;
the same artifact in both counts once. Everything in them is hostile: it is opened by processes without credentials,
never unpacked to disk, and what can't be read is one rejected entry in the manifest.

Writes test_run_summary, failed_test_runs and, for the repo's own default branch and trunk/<sha>, test_run as
<out>/<table>.jsonl.gz, then <out>/manifest.json.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from oot_stats import limits, which_run
from oot_stats.collect import summary as collect_summary
from oot_stats.collect.folder import Collected, artifact_entry
from oot_stats.exit_codes import FAILED, HELP, NOTHING, PARTLY, STORED, USAGE
from oot_stats.reading.pool import ReadingPool, Whose
from oot_stats.reasons import RejectedError
from oot_stats.sources.artifacts import Artifact, Choice, by_job, choose
from oot_stats.sources.downloads import Downloads, bare
from oot_stats.sources.github_api import GitHub, GitHubError
from oot_stats.sources.s3 import Bucket, Presigned, S3Error, client
from oot_stats.tables import whole_run_is_kept

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable

    from oot_stats.collect.summary import Progress
    from oot_stats.limits import Limits
    from oot_stats.sources.github_answers import WorkflowJob

    Read = Callable[[Artifact], Iterable[bytes]]

_MOST_WORKERS = 16
_SLOWEST = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags; those that pytorch's script has are called the same."""
    parser.epilog = HELP
    which_run.add_arguments(parser)
    parser.add_argument("--head-branch", required=True, help="the run's branch, as the event tells it")
    parser.add_argument("--head-repository", required=True, help="the repo of that branch: a fork's `main` is no main")
    parser.add_argument("--default-branch", default="main", help="the repo's default branch (default: main)")
    parser.add_argument("--out", type=Path, default=Path("collected"), help="the folder to write (default: collected)")
    parser.add_argument(
        "--s3", metavar="s3://BUCKET[/PREFIX]", help="read artifacts there too, with the usual AWS rights"
    )
    parser.add_argument("--presigned", type=Path, metavar="FILE", help="read artifacts behind these presigned URLs too")
    parser.add_argument("--no-github", action="store_true", help="do not ask GitHub for anything")
    parser.add_argument(
        "--workers",
        type=which_run.number,
        default=min(os.cpu_count() or 1, _MOST_WORKERS),
        help="processes (default: one a core)",
    )
    limits.add_arguments(parser)


def main(options: argparse.Namespace) -> int:
    """Collect; gives the exit code."""
    progress = collect_summary.Progress()
    try:
        wrong = _wrong(options)
        quotas = limits.of(options)
    except ValueError as error:
        wrong = str(error)
    if wrong:
        print(f"collect: {wrong}", file=sys.stderr)
        return USAGE
    try:
        return _collect(options, quotas, progress)
    except (GitHubError, S3Error) as error:
        print(f"collect: {error}", file=sys.stderr)
    except OSError as error:
        print(f"collect: {options.out} can't be written, or the disk is full: {error}", file=sys.stderr)
    return FAILED


def _wrong(options: argparse.Namespace) -> str:
    if options.no_github and not (options.s3 or options.presigned):
        return "--no-github needs --s3 or --presigned."
    return ""


def _collect(options: argparse.Namespace, quotas: Limits, progress: Progress) -> int:
    repo = options.repo
    collected = Collected(options.out)
    with GitHub.of(repo, progress.say, quotas.seconds) as github:
        s3 = _s3(options)
        choice, expired = _choose(options, None if options.no_github else github, s3, quotas, progress)
        downloads = Downloads(quotas)

        def read(artifact: Artifact) -> Iterable[bytes]:
            if artifact in expired:
                raise RejectedError("gone", "GitHub has deleted it: it expired.")
            if artifact.source == "s3" and s3 is not None:
                return s3.read(artifact)
            return bare(github.address(artifact))

        manifest = {
            "repo": repo,
            "workflow_run_id": options.workflow_run_id,
            "workflow_run_attempt": options.workflow_run_attempt,
            "artifacts": [artifact_entry(artifact, "skipped", *why) for artifact, *why in choice.left],
            "fallbacks": choice.fallbacks,
        }
        whose = Whose(
            str(options.workflow_run_id),
            options.workflow_run_attempt,
            whole_run_is_kept(repo, options.head_repository, options.head_branch, options.default_branch),
        )
        slowest = _read(choice, collected, manifest, downloads, read, whose, quotas, options.workers, progress)
    collected.finish(manifest)
    collect_summary.tell(manifest, collected.tables, slowest, os.environ.get("GITHUB_STEP_SUMMARY", ""))
    totals = manifest["totals"]
    if totals["artifacts"]["rejected"] or totals["files"]["rejected"]:
        return PARTLY
    return STORED if collected.tables else NOTHING


def _s3(options: argparse.Namespace) -> Bucket | Presigned | None:
    if options.presigned:
        return Presigned(options.presigned, options.repo, options.workflow_run_id)
    if options.s3:
        return Bucket(client(), options.s3, options.repo, options.workflow_run_id)
    return None


def _choose(
    options: argparse.Namespace,
    github: GitHub | None,
    s3: Bucket | Presigned | None,
    quotas: Limits,
    progress: Progress,
) -> tuple[Choice, set[Artifact]]:
    """List both sources and apply the rule for attempts; gives also those that GitHub lists and no longer has."""
    run_id, attempt = options.workflow_run_id, options.workflow_run_attempt
    found = list(s3.artifacts()) if s3 else []
    expired: set[Artifact] = set()
    jobs: list[WorkflowJob] | None = None
    earlier: dict[int, str] = {}
    started_at = ""
    notes: list[dict[str, str | int]] = []
    if github:
        for artifact, is_expired in github.artifacts(run_id):
            found.append(artifact)
            if is_expired:
                expired.add(artifact)
        if any(artifact.attempt != attempt for artifact in found):
            try:
                jobs = github.jobs(run_id, attempt)
                earlier = {job.id: job.name for job in github.jobs(run_id)}
                started_at = github.run(run_id, attempt).run_started_at or ""
            except GitHubError as error:
                progress.say(f"collect: {error}")
                notes.append({"rule": "jobs_unknown", "detail": str(error)})
    choice = choose(found, attempt, jobs, earlier, started_at, quotas.artifacts)
    choice.fallbacks.extend(notes)
    return choice, expired


def _read(
    choice: Choice,
    collected: Collected,
    manifest: dict[str, Any],
    downloads: Downloads,
    read: Read,
    whose: Whose,
    quotas: Limits,
    workers: int,
    progress: Progress,
) -> list[tuple[str, float]]:
    """Read the chosen artifacts and complete the manifest; gives the slowest test files."""
    copies: dict[Artifact, tuple[str, str]] = {}

    def fetch(artifact: Artifact) -> IO[bytes]:
        try:
            return downloads.fetch(artifact, lambda: read(artifact))
        except RejectedError as reason:
            copy = choice.copies.get(artifact)
            if copy is None:
                raise
            file = downloads.fetch(copy, lambda: read(copy))
            copies[artifact] = reason.code, reason.detail
            return file

    tasks = by_job(choice.chosen)
    artifacts: dict[Artifact, dict[str, Any]] = {}
    slowest: list[tuple[str, float]] = []
    cases = 0
    with ReadingPool(min(workers, max(len(tasks), 1)), quotas) as pool:
        for outcome in pool.read(tasks, fetch, whose):
            collected.add(outcome)
            for artifact, answer in zip(tasks[outcome.task], outcome.answers, strict=True):
                for name, seconds in answer.pop("slowest", []):
                    slowest.append((f"{name}, job {artifact.job_id}", seconds))
                answer.pop("rows", None)
                artifacts[artifact] = answer
                cases += answer.get("cases", 0)
            slowest = sorted(slowest, key=lambda item: -item[1])[:_SLOWEST]
            progress.tell(len(artifacts), len(choice.chosen), cases, downloads.total_bytes / 1e6)
        peak = pool.peak_bytes
    entries = manifest["artifacts"]
    for artifact in choice.chosen:
        told, copy = artifacts[artifact], choice.copies.get(artifact)
        same = "same_in_both", "The same artifact was read from the other source."
        if copy and artifact in copies:
            entries.append(artifact_entry(artifact, "skipped", *copies[artifact]))
            entries.append({**artifact_entry(copy, told["fate"]), **told})
            continue
        entries.append({**artifact_entry(artifact, told["fate"]), **told})
        if copy:
            entries.append(artifact_entry(copy, "skipped", *same))
    manifest["totals"] = _totals(entries) | {"fetched_bytes": downloads.total_bytes, "peak_bytes": peak}
    return slowest


def _totals(entries: list[dict[str, Any]]) -> dict[str, Any]:
    fates = ("parsed", "rejected", "skipped")
    return {
        "artifacts": {fate: sum(entry["fate"] == fate for entry in entries) for fate in fates},
        "files": {fate: sum(entry.get("counts", {}).get(fate, 0) for entry in entries) for fate in fates},
        "cases": sum(entry.get("cases", 0) for entry in entries),
        "failed_cases": sum(entry.get("failed_cases", 0) for entry in entries),
        "cut_cases": sum(entry.get("cut_cases", 0) for entry in entries),
        "lost_files": sum(entry.get("lost_count", 0) for entry in entries),
    }
