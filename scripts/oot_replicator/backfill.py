"""Brings the jobs of the DynamoDB table itself into ClickHouse: for a new deployment, and for what the stream forgot.

    oot-hud backfill --dry-run              # how many rows it would write
    oot-hud backfill                        # the whole table
    oot-hud backfill --since 2d --units-per-second 500

It may run at any time, beside the replicator, and again after it was cut off: rows carry the version of their item, so
it never sets a row back. It reads the whole table consistently, a unit of capacity for each 4 KB; --since leaves out
jobs that were first seen before, which saves only the writing. Reads AWS's usual environment and the variables of
docs/settings.md.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tenacity import stop_after_attempt

from hud_endpoint.clickhouse.connection import connect
from hud_endpoint.clickhouse.ddl import insert_columns
from hud_endpoint.logs import set_up
from oot_replicator.connections import (
    AWAY,
    add_connection_arguments,
    aws,
    connect_writer,
    one_line,
    positive,
    retrying,
    whole,
)
from oot_replicator.progress import Progress
from oot_replicator.reading.scan import MOST_SEGMENTS, SEGMENTS, pages
from oot_replicator.reading.stream import BATCH
from oot_replicator.rows.transform import Transform, scanned
from oot_replicator.writing.writer import TABLE, Written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from types_boto3_dynamodb.client import DynamoDBClient

    from oot_replicator.writing.writer import Writer

_TRIES = 30  # of one batch, some minutes: a scan that was given up starts again from its beginning
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def records(
    client: DynamoDBClient,
    table: str,
    *,
    segments: int = SEGMENTS,
    since: datetime | None = None,
    units_per_second: float = 0,
    batch: int = BATCH,
    progress: Progress | None = None,
) -> Iterator[list[dict[str, Any]]]:
    """Give the table's items as records, in batches of about `batch`. Raises what boto3 raises."""
    waiting: list[dict[str, Any]] = []
    for page in pages(client, table, segments=segments, since=since, units_per_second=units_per_second):
        waiting += [scanned(item, page.read_at) for item in page.items]
        if progress:
            progress.add(page.scanned)
        if len(waiting) >= batch:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def write(writer: Writer, batch: list[dict[str, Any]], sleep: Callable[[float], None] = time.sleep) -> Written:
    """Write a batch, waiting some minutes for ClickHouse where it is away. Raises AWAY."""
    return retrying(stop_after_attempt(_TRIES), sleep)(writer.write, batch)


def run(options: argparse.Namespace) -> Written:
    """Bring the items over, or only count them; gives how many. Raises AWAY, ValueError."""
    dynamodb = aws("dynamodb")
    about = dynamodb.describe_table(TableName=options.table)["Table"].get("ItemCount", 0)
    take = _counter(options) if options.dry_run else _taker(options)
    progress = Progress("jobs read", about)
    batches = records(
        dynamodb,
        options.table,
        segments=options.segments,
        since=datetime.now(UTC) - options.since if options.since else None,
        units_per_second=options.units_per_second,
        progress=progress,
    )
    rows = dead = 0
    try:
        for batch in batches:
            written = take(batch)
            rows, dead = rows + written.rows, dead + written.dead
    finally:
        progress.end()
    print(
        f"{progress.done:,} jobs read, {rows:,} rows {'would be ' if options.dry_run else ''}written, "
        f"{dead:,} {'would become ' if options.dry_run else ''}dead letters"
    )
    return Written(rows, dead)


def _taker(options: argparse.Namespace) -> Callable[[list[dict[str, Any]]], Written]:
    writer = connect_writer(options)
    return lambda batch: write(writer, batch)


def _counter(options: argparse.Namespace) -> Callable[[list[dict[str, Any]]], Written]:
    columns = insert_columns(connect(options.clickhouse_url), TABLE)
    transform = Transform(columns, options.statuses)

    def count(batch: list[dict[str, Any]]) -> Written:
        made = transform.rows(batch)
        for record, reason in made.dead[:10]:
            print(f"no row: {record['dynamodb']['Keys']['dynamoKey'].get('S')!a}: {reason}")
        return Written(len(made.records), len(made.dead))

    return count


def _age(text: str) -> timedelta:
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not an age such as 90s, 15m, 6h or 2d")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add_connection_arguments(parser)
    parser.add_argument(
        "--since", type=_age, metavar="AGE", help="jobs first seen within 90s, 15m, 6h, 2d (default: all)"
    )
    parser.add_argument(
        "--segments",
        type=whole(1, MOST_SEGMENTS),
        default=SEGMENTS,
        metavar="N",
        help="readers at once (default: %(default)s)",
    )
    parser.add_argument(
        "--units-per-second",
        type=positive,
        default=0,
        metavar="N",
        help="bound the read capacity used (default: no bound)",
    )
    parser.add_argument("--dry-run", action="store_true", help="write nothing, say what would be written")


def main(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    set_up("WARNING")
    try:
        run(options)
    except (*AWAY, ValueError) as error:
        print(f"backfill: {one_line(error).rstrip('.')}. What was written stays; run it again.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("backfill: stopped. What was written stays; run it again.", file=sys.stderr)
        return 130
    return 0
