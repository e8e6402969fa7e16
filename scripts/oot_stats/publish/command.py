r"""Store what collect found: re-validated, under keys that the event gives and the data cannot touch.

    oot-hud stats publish --repo org/name --workflow-run-id 240 \
        --workflow-run-attempt 1 --head-repository org/name --head-branch main --bucket test-stats --clickhouse

Objects: <table>/<run>/<attempt> for test_run_summary, failed_test_runs and test_run (gzip JSON lines), then
manifest/<run>/<attempt>. A line that does not pass is left out and counted; the others are stored. Repeating it, after
whatever cut it off, ends in the same objects and the same rows.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson
from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError
from clickhouse_connect.driver.exceptions import ClickHouseError
from isal import igzip

from oot_stats import which_run
from oot_stats.exit_codes import FAILED, HELP, NOTHING, PARTLY, STORED
from oot_stats.publish import summary as publish_summary
from oot_stats.publish.manifest import ManifestError, manifest_of, read_manifest
from oot_stats.publish.normalised import (
    FileError,
    Limits,
    Run,
    Tally,
    normalise,
)
from oot_stats.publish.objects import DIGEST, Objects
from oot_stats.publish.outcome import Loads, Table
from oot_stats.sources.github_api import GitHub, GitHubError
from oot_stats.sources.s3 import S3Error, client
from oot_stats.tables import TABLES, WHOLE_RUN, whole_run_is_kept

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

_OF_S3 = (ClientError, BotoCoreError, Boto3Error)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags; the run's identity comes from the event and GitHub, never from what collect found."""
    parser.epilog = HELP
    which_run.add_arguments(parser)
    parser.add_argument("--head-repository", required=True, metavar="ORG/NAME", help="the repository of its commit")
    parser.add_argument("--head-branch", required=True, help="the branch, or trunk/<sha> tag, of its commit")
    parser.add_argument("--default-branch", default="main", help="whose runs keep every test (default: main)")
    parser.add_argument("--out", type=Path, default=Path("collected"), metavar="DIR", help="what collect wrote")
    add_storing_arguments(parser)


def add_storing_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say where rows are stored, and within which limits."""
    parser.add_argument("--bucket", required=True, help="the S3 bucket to store in")
    parser.add_argument("--prefix", default="", help="in front of every key (default: none)")
    parser.add_argument("--clickhouse", action="store_true", help="load the objects into ClickHouse (CLICKHOUSE_URL)")
    parser.add_argument(
        "--check-jobs", action="store_true", help="leave out rows of jobs that GitHub does not list for this run"
    )
    parser.add_argument(
        "--max-table-bytes",
        type=int,
        default=Limits().file_bytes,
        metavar="N",
        help="size of one table's rows (default: %(default)s)",
    )
    parser.add_argument(
        "--max-table-rows",
        type=int,
        default=Limits().rows,
        metavar="N",
        help="rows of one table (default: %(default)s)",
    )


def main(options: argparse.Namespace) -> int:
    """Publish and tell; gives the exit code: 0 stored, 1 failed, 3 partly stored, 4 nothing to store."""
    if options.clickhouse and options.prefix:
        print("publish: ClickHouse loads keys that begin with a table's name: leave --prefix out.", file=sys.stderr)
        return FAILED
    whose = Run(options.repo, options.workflow_run_id, options.workflow_run_attempt)
    limits = Limits(options.max_table_bytes, options.max_table_rows)
    kept = whole_run_is_kept(options.repo, options.head_repository, options.head_branch, options.default_branch)
    try:
        objects = Objects(client(), options.bucket, options.prefix)
        if options.check_jobs:
            with GitHub.of(options.repo) as github:
                whose = whose._replace(jobs=frozenset(job.id for job in github.jobs(options.workflow_run_id)))
        told = read_manifest(options.out / "manifest.json")
        tables = publish(options.out, told, whose, objects, limits, keeps_whole_run=kept)
        loads = _load(options.bucket, tables) if options.clickhouse else []
    except (ManifestError, GitHubError, S3Error, ClickHouseError, *_OF_S3, OSError, ValueError) as error:
        print(f"publish: {error}", file=sys.stderr)
        return FAILED
    publish_summary.tell(whose, tables, loads, os.environ.get("GITHUB_STEP_SUMMARY", ""))
    return exit_code(tables, loads)


def publish(
    folder: Path, told: Mapping[str, Any], whose: Run, objects: Objects, limits: Limits, *, keeps_whole_run: bool
) -> list[Table]:
    """Check every table, then store those that passed, and the manifest last.

    Raises ClientError, Boto3Error, BotoCoreError or OSError: then do it again.
    """
    with ExitStack() as stack:
        checked: list[tuple[Table, BinaryIO | None]] = []
        for name in TABLES:
            path = folder / f"{name}.jsonl.gz"
            table = Table(name, Tally(), told["tables"].get(name, {}).get("rows", 0))
            if not path.is_file():
                if table.collected:
                    checked.append((table._replace(error=("missing", "The manifest names it.")), None))
                continue
            if name == WHOLE_RUN and not keeps_whole_run:
                why = "Only runs of the repository's own default branch, or of trunk/<sha>, keep every test."
                checked.append((table._replace(error=("not_default_branch", why)), None))
                continue
            # Unlinked at once: a kill leaves nothing behind. All is checked before anything is stored.
            file = stack.enter_context(tempfile.TemporaryFile())
            checked.append((_check(path, table, whose, limits, file), file))
        tables = [
            _store(table, file, whose, objects) if file and table.tally.rows and not table.error else table
            for table, file in checked
        ]
        manifest = orjson.dumps(manifest_of(told, whose, tables), option=orjson.OPT_APPEND_NEWLINE)
        _store_manifest(manifest, whose, objects)
    return tables


def exit_code(tables: Sequence[Table], loads: Sequence[Loads]) -> int:
    """Give the exit code for how it went."""
    if not all(load.adds_up for load in loads):
        return FAILED
    lost = any(table.lost for table in tables) or any(load.error for load in loads)
    if any(table.fate for table in tables):
        return PARTLY if lost else STORED
    return FAILED if lost else NOTHING


def _check(path: Path, table: Table, whose: Run, limits: Limits, file: BinaryIO) -> Table:
    tally, digest = Tally(), hashlib.sha256()
    try:
        # mtime 0 and one level: the same rows are the same bytes.
        with path.open("rb") as source, igzip.IGzipFile(fileobj=file, mode="wb", compresslevel=2, mtime=0) as packed:  # type: ignore[no-untyped-call]
            for rows in normalise(source, table.name, whose, tally, limits):
                digest.update(rows)
                packed.write(rows)  # type: ignore[no-untyped-call]
    except FileError as error:
        return table._replace(error=(error.code, str(error)))
    return table._replace(tally=tally, digest=digest.hexdigest())


def _store(table: Table, file: BinaryIO, whose: Run, objects: Objects) -> Table:
    key = objects.key(table.name, whose.run_id, whose.attempt)
    metadata = {DIGEST: table.digest, "rows": str(table.tally.rows), "repo": whose.repo}
    if objects.has(key, metadata):
        return table._replace(key=key, fate="unchanged")
    file.seek(0)
    objects.put(key, file, metadata, ContentType="application/json", ContentEncoding="gzip")
    return table._replace(key=key, fate="stored")


def _store_manifest(manifest: bytes, whose: Run, objects: Objects) -> None:
    import io

    key = objects.key("manifest", whose.run_id, whose.attempt)
    metadata = {DIGEST: hashlib.sha256(manifest).hexdigest(), "repo": whose.repo}
    if not objects.has(key, metadata):
        objects.put(key, io.BytesIO(manifest), metadata, ContentType="application/json")


def _load(bucket: str, tables: Sequence[Table]) -> list[Loads]:
    from oot_replicator.s3_to_clickhouse import S3Loader

    expected = {table.key: table.tally.rows for table in tables if table.fate}
    if not expected:
        return []
    loaded = S3Loader.from_environment().load(bucket, list(expected))
    return [Loads(each.key, each.rows, expected[each.key], each.error, each.bad_lines) for each in loaded]
