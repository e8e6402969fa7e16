"""What the replicator's commands connect to: DynamoDB and its stream, ClickHouse, and a place for dead letters."""

from __future__ import annotations

import argparse
import math
import os
from typing import TYPE_CHECKING, Any, get_args

from botocore.exceptions import BotoCoreError, ClientError
from clickhouse_connect.driver.exceptions import ClickHouseError
from urllib3.exceptions import HTTPError

from hud_endpoint.clickhouse.connection import connect
from hud_endpoint.clickhouse.ddl import insert_columns
from hud_endpoint.contract import RESULTS_TABLE
from hud_endpoint.wire_types import Status
from oot_replicator.writing.letters import Queue, Table
from oot_replicator.writing.writer import TABLE, Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from clickhouse_connect.driver.client import Client

    from oot_replicator.writing.letters import DeadLetters

RECONNECT_SECONDS = 600  # so long at most until columns that a migration has added are written
_SETTINGS = ("clickhouse_url", "replicate_statuses", "dead_letter_queue_url", "async_insert")
AWAY = (ClickHouseError, BotoCoreError, ClientError, HTTPError, OSError)  # what a store that is away raises


class NoStreamError(Exception):
    """The table has no stream to read."""


def aws(service: str) -> Any:  # noqa: ANN401 - each service's own client
    """Give a client of an AWS service, which gives up in time for us to try again."""
    import boto3
    from botocore.config import Config

    patience = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})
    return boto3.client(service, config=patience)  # type: ignore[call-overload]


def read_secret() -> None:
    """Put what the secret that OOT_HUD_SECRETS_ARN names holds for us into the environment. Raises SecretError."""
    from hud_endpoint.secret_settings import secret_settings

    for name, value in secret_settings(_SETTINGS).items():
        os.environ[name.upper()] = str(value).lower() if isinstance(value, bool) else str(value)


def told(error: Exception) -> str:
    """Give what a store that is away said, in a line."""
    return " ".join(str(error).split())[:300]


def add_connection_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what all commands that bring jobs over have in common."""
    parser.add_argument("--table", default=os.environ.get("RESULTS_TABLE", RESULTS_TABLE), help="DynamoDB table")
    parser.add_argument(
        "--async-insert",
        action="store_true",
        default=os.environ.get("ASYNC_INSERT", "") == "true",
        help="let ClickHouse collect small inserts; it answers when they are durable all the same",
    )
    add_target_arguments(parser)


def add_target_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what says where rows and dead letters are, and of which jobs."""
    parser.add_argument("--clickhouse-url", default=os.environ.get("CLICKHOUSE_URL", "http://127.0.0.1:8123"))
    parser.add_argument(
        "--statuses",
        type=statuses,
        default=os.environ.get("REPLICATE_STATUSES", "completed"),
        help="comma-separated; `in_progress,completed` is what the merged RFC-0054 does (default: completed)",
    )
    parser.add_argument(
        "--dead-letter-queue",
        default=os.environ.get("DEAD_LETTER_QUEUE_URL", ""),
        metavar="URL",
        help="an SQS queue for dead letters (default: the table default.oot_replication_errors)",
    )


def statuses(text: str) -> list[str]:
    """Read a list of statuses. Raises ArgumentTypeError: with a wrong one, the stream would pass by unwritten."""
    found = [status.strip() for status in text.split(",") if status.strip()]
    wrong = [status for status in found if status not in get_args(Status)]
    if wrong or not found:
        told = f"{wrong[0]!r} is no status" if wrong else "no status is named"
        raise argparse.ArgumentTypeError(f"{told}: REPLICATE_STATUSES lists {' and '.join(get_args(Status))}")
    return found


def positive(text: str) -> float:
    """Read a number above zero. Raises ArgumentTypeError."""
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above zero")
    return number


def whole(least: int, most: int) -> Callable[[str], int]:
    """Give what reads a whole number within these bounds, or raises ArgumentTypeError."""

    def read(text: str) -> int:
        plain = text.isascii() and text.isdecimal() and len(text) <= len(str(most))
        if not (plain and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
        return int(text)

    return read


def make_dead_letters(client: Client, queue_url: str) -> DeadLetters:
    """Give the place for dead letters."""
    table = Table(client)
    return Queue(aws("sqs"), queue_url, table) if queue_url else table


def make_writer(client: Client, wanted: list[str], *, queue_url: str = "", asynchronous: bool = False) -> Writer:
    """Give a writer into the job table as the server has it. Raises ValueError for a column of an unknown type."""
    columns = insert_columns(client, TABLE)
    return Writer(client, columns, wanted, make_dead_letters(client, queue_url), asynchronous=asynchronous)


def connect_writer(options: argparse.Namespace) -> Writer:
    """Give the writer that the options of `add_connection_arguments` ask for. Raises AWAY, ValueError."""
    client = connect(options.clickhouse_url)
    return make_writer(client, options.statuses, queue_url=options.dead_letter_queue, asynchronous=options.async_insert)


def stream_arn(dynamodb: Any, table: str) -> str:  # noqa: ANN401 - a boto3 client
    """Give the stream of a table. Raises NoStreamError."""
    arn = dynamodb.describe_table(TableName=table)["Table"].get("LatestStreamArn")
    if not arn:
        raise NoStreamError(
            f"table {table} has no stream: enable it with the view type NEW_AND_OLD_IMAGES (update-table)"
        )
    return str(arn)
