r"""Write presigned URLs of a run's artifacts in a private bucket, for a collect that has no rights of its own.

    oot-hud stats presign --bucket gha-artifacts --repo org/name --workflow-run-id 240 \
        --workflow-run-attempt 2 --out urls.txt

A line for each object of the asked attempt, and of earlier ones: they hold the artifacts of jobs that were not run
again. Whoever has a URL may read that one object until it expires: hand the file to the next job, never print it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from oot_stats import which_run
from oot_stats.exit_codes import FAILED, STORED
from oot_stats.sources.s3 import Bucket, S3Error, client

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--bucket", required=True, help="where the artifacts are: BUCKET, or BUCKET/PREFIX")
    which_run.add_arguments(parser)
    parser.add_argument(
        "--seconds", type=which_run.number, default=3600, help="how long the URLs are good (default: 3600)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file to write")


def main(options: argparse.Namespace) -> int:
    """Write the file; gives the exit code."""
    try:
        bucket = Bucket(client(), f"s3://{options.bucket}", options.repo, options.workflow_run_id)
        urls = bucket.presigned(options.seconds, options.workflow_run_attempt)
        descriptor = os.open(options.out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.writelines(f"{url}\n" for url in urls)
    except (S3Error, OSError) as error:
        print(f"presign: {error}", file=sys.stderr)
        return FAILED
    print(f"{len(urls):,} artifacts")
    return STORED
