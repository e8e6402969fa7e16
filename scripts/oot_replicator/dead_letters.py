"""The replicator's dead letters, for operators: records that could not become rows, and why.

    oot-hud dead-letters list
    oot-hud dead-letters replay             # after the fix; what is still wrong stays
    oot-hud dead-letters drop --id KEY      # --all drops every one
    ... --dry-run                                                # says what it would touch

They are in ClickHouse's default.oot_replication_errors and, where one is used, in the queue (--dead-letter-queue): both
are looked at. Replaying twice does no harm: an old record never sets a row back. Letters of the S3 replicator are
listed; `oot-hud load --replay` replays them.
"""

from __future__ import annotations

import argparse
import logging
import sys
from typing import TYPE_CHECKING, Any

from hud_endpoint.clickhouse.connection import connect
from hud_endpoint.clickhouse.ddl import insert_columns
from hud_endpoint.logs import set_up
from oot_replicator.connections import AWAY, add_target_arguments, aws, one_line
from oot_replicator.writing.letters import SOURCE, DeadLetter, QueueReader, Table
from oot_replicator.writing.writer import TABLE, Writer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clickhouse_connect.driver.client import Client

log = logging.getLogger(__name__)


class _Kept:
    """Takes the letters of a replay: whoever is in here is still dead."""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Remember them."""
        self.letters += letters


def replay(client: Client, statuses: Sequence[str], letters: Sequence[DeadLetter]) -> list[DeadLetter]:
    """Write the letters' records again; gives those that are still dead, with what is wrong by now. Raises AWAY."""
    kept = _Kept()
    writer = Writer(client, insert_columns(client, TABLE), statuses, kept)
    records = []
    for one in letters:
        try:
            records.append(one.replayed())
        except ValueError as error:
            kept.letters.append(one._replace(reason=f"the letter can't be read: {error}"))
    writer.write(records)
    return kept.letters


def run(options: argparse.Namespace) -> int:
    """Do what is asked; gives how many letters it was done to. Raises AWAY."""
    client = connect(options.clickhouse_url)
    count = 0
    for store in _stores(client, options.dead_letter_queue):
        for letters in store.pages():
            wanted = [one for one in letters if options.id in (None, one.record_id)]
            for one in wanted:
                print(f"{one.source}  {one.record_id!a}  {one.sequence_number or '-'}  {one.reason[:300]!a}")
            if options.command == "list" or options.dry_run:
                count += len(wanted)
            elif options.command == "drop":
                store.remove(wanted)
                count += len(wanted)
            else:
                ours = [one for one in wanted if one.source == SOURCE]
                still = {one[:3]: one for one in replay(client, options.statuses, ours)}
                store.remove([one for one in ours if one[:3] not in still])
                for one in still.values():
                    print(f"  still dead: {one.record_id!a}: {one.reason[:300]!a}")
                count += len(ours) - len(still)
    return count


def _stores(client: Client, queue_url: str) -> Iterator[Any]:
    yield Table(client)
    if queue_url:
        yield QueueReader(aws("sqs"), queue_url)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("command", choices=("list", "replay", "drop"))
    add_target_arguments(parser)
    parser.add_argument("--id", metavar="KEY", help="only the letters of this dynamoKey")
    parser.add_argument("--all", action="store_true", help="with drop: every letter")
    parser.add_argument("--dry-run", action="store_true", help="change nothing, say what would be touched")


def main(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    if options.command == "drop" and not (options.id or options.all):
        raise argparse.ArgumentError(None, "drop needs --id; --all drops every dead letter")
    set_up("WARNING")
    try:
        count = run(options)
    except (*AWAY, ValueError) as error:
        print(f"dead-letters: {one_line(error)}", file=sys.stderr)
        return 1
    done = {"list": "", "replay": " replayed", "drop": " dropped"}[options.command]
    print(f"{count} dead letters{f' would be{done}' if options.dry_run and done else done}")
    return 0
