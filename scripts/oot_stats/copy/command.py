r"""Keep a run's artifacts: streamed from GitHub to S3 as opaque bytes, never opened.

    oot-hud stats copy --repo org/name --workflow-run-id 240 \
        --workflow-run-attempt 1 --bucket gha-artifacts

Keys are pytorch's: <repo>/<run>/<attempt>/artifact/<name>.zip, where the name goes without its -runattemptN. What is
there already is not fetched again, so that a copy that was cut off goes on where it stopped. GITHUB_TOKEN
(`actions: read`) and GITHUB_API_URL are read.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from oot_stats import which_run
from oot_stats.exit_codes import FAILED, HELP, NOTHING, PARTLY, STORED
from oot_stats.publish.objects import Objects
from oot_stats.reasons import REASONS, RejectedError
from oot_stats.sources.artifacts import Artifact, attempt_of
from oot_stats.sources.github_api import GitHub, GitHubError
from oot_stats.sources.s3 import S3Error, client
from oot_stats.sources.stream import streamed

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence


PREFIXES = ("logs", "sccache-stats", "test-jsons", "test-reports", "torchci-reports", "usage-log")
MAX_ARTIFACTS = 5000

_SKIPPED = frozenset({"other_attempt", "unknown_attempt"})  # not this attempt's: nothing is lost
_WHY = {**REASONS, "same_name": "another artifact of the attempt has its name"}


class Copied(NamedTuple):
    """What became of one artifact: `fate` is stored, unchanged, or one of the REASONS why it was not."""

    artifact: Artifact
    key: str
    fate: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.epilog = HELP
    which_run.add_arguments(parser)
    parser.add_argument("--bucket", required=True, help="the S3 bucket to store in")
    parser.add_argument("--prefix", default="", help="in front of every key (default: none)")
    parser.add_argument(
        "--artifacts",
        nargs="+",
        default=PREFIXES,
        metavar="PREFIX",
        help=f"beginnings of the names to keep (default: {' '.join(PREFIXES)})",
    )
    parser.add_argument(
        "--max-copied-bytes",
        type=int,
        default=64 * 1024**3,
        metavar="N",
        help="size of all artifacts together (default: %(default)s)",
    )


def main(options: argparse.Namespace) -> int:
    """Copy and tell; gives the exit code: 0 stored, 1 failed, 3 partly stored, 4 nothing to store."""
    place = (options.repo, options.workflow_run_id, options.workflow_run_attempt)
    try:
        objects = Objects(client(), options.bucket, options.prefix)
        with GitHub.of(options.repo) as github:
            found = islice(github.artifacts(options.workflow_run_id), MAX_ARTIFACTS)
            wanted = (each for each in found if each[0].name.startswith(tuple(options.artifacts)))
            copied = copy(github, wanted, objects, place, options.max_copied_bytes)
    except (GitHubError, S3Error, ClientError, BotoCoreError, Boto3Error) as error:
        print(f"copy: {error}", file=sys.stderr)
        return FAILED
    _tell(copied, os.environ.get("GITHUB_STEP_SUMMARY", ""))
    return exit_code(copied)


def copy(
    github: GitHub,
    artifacts: Iterable[tuple[Artifact, bool]],
    objects: Objects,
    place: tuple[str, int, int],
    most_bytes: int,
) -> list[Copied]:
    """Copy what is not there yet; one artifact that can't be had keeps no other back.

    `artifacts` says of each whether it has expired. Raises GitHubError, ClientError, Boto3Error or BotoCoreError: then
    do it again.
    """
    copied: list[Copied] = []
    left, taken = most_bytes, set[str]()
    for artifact, expired in artifacts:
        key = objects.key(*place, "artifact", f"{_name(artifact.identity[0])}.zip")
        if artifact.attempt != place[2]:
            fate = "unknown_attempt" if attempt_of(artifact.name) is None else "other_attempt"
        elif key in taken:
            fate = "same_name"
        elif expired:
            fate = "gone"
        else:
            taken.add(key)
            fate = _copy_one(github, artifact, objects, key, left)
            left -= artifact.size
        copied.append(Copied(artifact, key, fate))
    return copied


def exit_code(copied: Sequence[Copied]) -> int:
    """Give the exit code for how it went."""
    wanted = [each for each in copied if each.fate not in _SKIPPED]
    if not wanted:
        return NOTHING
    good = [each for each in wanted if each.fate in ("stored", "unchanged")]
    return STORED if len(good) == len(wanted) else PARTLY if good else FAILED


def _copy_one(github: GitHub, artifact: Artifact, objects: Objects, key: str, limit: int) -> str:
    metadata = {"artifact-id": artifact.place}
    if artifact.digest:
        metadata["sha256"] = artifact.digest.removeprefix("sha256:")
    if objects.has(key, metadata, None if artifact.digest else artifact.size):
        return "unchanged"
    try:
        streamed(github, artifact, limit, lambda it: objects.put(key, it, metadata, ContentType="application/zip"))
    except RejectedError as reason:
        return reason.code
    return "stored"


def _name(bare: str) -> str:
    """Give the name of the object, harmless; without the attempt, as pytorch has it."""
    plain = re.sub(r"[^A-Za-z0-9 ._+=@,()-]", "-", bare)[:200]
    if plain != bare:  # two names never become one
        plain += f"~{hashlib.sha256(bare.encode(errors='surrogatepass')).hexdigest()[:12]}"
    return plain


def _tell(copied: Sequence[Copied], summary_file: str) -> None:
    good = [each for each in copied if each.fate in ("stored", "unchanged")]
    new = sum(each.fate == "stored" for each in good)
    size = sum(each.artifact.size for each in good)
    told = f"{len(good):,} artifacts are kept ({new:,} of them new), {size:,} bytes."
    lost = [each for each in copied if each.fate not in ("stored", "unchanged") and each.fate not in _SKIPPED]
    # By number and reason: an artifact's name is its job's own text, and a log obeys some texts.
    problems = [f"Artifact {each.artifact.place} was not kept ({each.fate}): {_WHY[each.fate]}." for each in lost]
    print(told)
    for problem in problems:
        print(f"::warning title=An artifact was not kept::{problem}" if summary_file else f"copy: {problem}")
    if summary_file:
        lines = ["### Raw artifacts", "", told, "", *(f"- {problem}" for problem in problems[:100]), ""]
        with Path(summary_file).open("a", encoding="utf-8") as file:
            file.write("\n".join(lines))
