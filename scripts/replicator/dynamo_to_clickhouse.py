"""Replicates finished jobs from DynamoDB's stream into ClickHouse: `python -m scripts.replicator.dynamo_to_clickhouse`.

Reads AWS's usual environment (AWS_ENDPOINT_URL and so on) and CLICKHOUSE_URL. Runs until SIGTERM or Ctrl-C.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from clickhouse_connect.driver.exceptions import ClickHouseError
from urllib3.exceptions import HTTPError

from hud_endpoint.clickhouse.connection import connect
from hud_endpoint.clickhouse.ddl import insert_columns
from hud_endpoint.contract import RESULTS_TABLE
from scripts.replicator.poller import Poller
from scripts.replicator.writer import TABLE, Writer

log = logging.getLogger("replicator")

IDLE_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 30.0
PASSING = (ClickHouseError, BotoCoreError, ClientError, HTTPError, OSError)  # what a store that is away raises


class NoStreamError(Exception):
    """The table has no stream to read."""


def make_poller(table: str, clickhouse_url: str, statuses: list[str]) -> Poller:
    """Connect to both stores. Raises NoStreamError, and what boto3 and ClickHouse raise."""
    dynamodb = boto3.client("dynamodb")
    stream_arn = dynamodb.describe_table(TableName=table)["Table"].get("LatestStreamArn")
    if not stream_arn:
        raise NoStreamError(
            f"table {table} has no stream: enable it with the view type NEW_AND_OLD_IMAGES (update-table)"
        )
    client = connect(clickhouse_url)
    writer = Writer(client, insert_columns(client, TABLE), statuses)
    return Poller(dynamodb, boto3.client("dynamodbstreams"), writer, stream_arn)


def run(table: str, clickhouse_url: str, statuses: list[str], stop: threading.Event, *, once: bool) -> None:
    """Poll until `stop` is set; with `once`, until a round reads nothing. Waits for stores that are away."""
    poller: Poller | None = None
    wait = IDLE_SECONDS
    while not stop.is_set():
        try:
            poller = poller or make_poller(table, clickhouse_url, statuses)
            read = poller.poll()
        except PASSING as error:
            log.warning("waiting %.1f s for a store that is away: %s", wait, str(error)[:300])
            poller = None
            stop.wait(wait)
            wait = min(wait * 2, LONGEST_WAIT_SECONDS)
            continue
        wait = IDLE_SECONDS
        if not read:
            if once:
                return
            stop.wait(IDLE_SECONDS)


def main() -> int:
    """Run from the command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", default=os.environ.get("RESULTS_TABLE", RESULTS_TABLE), help="DynamoDB table")
    parser.add_argument("--clickhouse-url", default=os.environ.get("CLICKHOUSE_URL", "http://127.0.0.1:8123"))
    parser.add_argument(
        "--statuses",
        default=os.environ.get("REPLICATE_STATUSES", "completed"),
        help="comma-separated; `in_progress,completed` is what the merged RFC-0054 does (default: completed)",
    )
    parser.add_argument("--once", action="store_true", help="stop after a round that reads nothing")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    statuses = [status.strip() for status in options.statuses.split(",")]
    try:
        run(options.table, options.clickhouse_url, statuses, stop, once=options.once)
    except (NoStreamError, ValueError) as error:  # a column that nothing is known of, an unusable URL
        print(f"replicator: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
