"""What the replicator's commands connect to: DynamoDB and its stream, ClickHouse, and a place for dead letters."""

from __future__ import annotations

import argparse
import logging
import math
import os
from typing import TYPE_CHECKING, Any, get_args

from botocore.exceptions import BotoCoreError, ClientError
from clickhouse_connect.driver.exceptions import ClickHouseError
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential
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
    from tenacity.stop import StopBaseT

    from oot_replicator.writing.letters import DeadLetters

log = logging.getLogger(__name__)

RECONNECT_SECONDS = 600  # so long at most until columns that a migration has added are written
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 10.0
_SETTINGS = ("clickhouse_url", "replicate_statuses", "dead_letter_queue_url", "async_insert")
AWAY = (ClickHouseError, BotoCoreError, ClientError, HTTPError, OSError)  # what a store that is away raises


class NoStreamError(Exception):
    """The table has no stream to read."""


def aws(service: str) -> Any:  # noqa: ANN401 - each service's own client
    """Return a client of an AWS service; it gives up in time for its caller to try again."""
    import boto3
    from botocore.config import Config

    patience = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})
    return boto3.client(service, config=patience)  # type: ignore[call-overload]


def read_secret() -> None:
    """Copy the replicator's settings from the secret of OOT_HUD_SECRETS_ARN to the environment. Raises SecretError."""
    from hud_endpoint.secret_settings import secret_settings

    for name, value in secret_settings(_SETTINGS).items():
        os.environ[name.upper()] = str(value).lower() if isinstance(value, bool) else str(value)


def one_line(error: BaseException) -> str:
    """Return an error's message as one line of at most 300 characters."""
    return " ".join(str(error).split())[:300]


def retrying(stop: StopBaseT, sleep: Callable[[float], None]) -> Retrying:
    """Return what calls a function again while it raises AWAY, with backoff and full jitter; at `stop` it raises it."""
    return Retrying(
        retry=retry_if_exception_type(AWAY),
        wait=wait_random_exponential(multiplier=FIRST_PAUSE_SECONDS, max=LONGEST_PAUSE_SECONDS),
        stop=stop,
        sleep=sleep,
        before_sleep=_log_wait,
        reraise=True,
    )


def _log_wait(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning("waiting %.1f s for a store that is away: %s", state.upcoming_sleep, one_line(error or Exception()))


def add_connection_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that every command which copies jobs has."""
    parser.add_argument("--table", default=os.environ.get("RESULTS_TABLE", RESULTS_TABLE), help="DynamoDB table")
    parser.add_argument(
        "--async-insert",
        action="store_true",
        default=os.environ.get("ASYNC_INSERT", "") == "true",
        help="let ClickHouse collect small inserts; it answers when they are durable all the same",
    )
    add_target_arguments(parser)


def add_target_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that name ClickHouse, the dead letters and the statuses to copy."""
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
    """Parse a list of statuses. Raises ArgumentTypeError: with a wrong one, the stream would pass by unwritten."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    wrong = [name for name in names if name not in get_args(Status)]
    if wrong or not names:
        problem = f"{wrong[0]!r} is no status" if wrong else "no status is named"
        raise argparse.ArgumentTypeError(f"{problem}: REPLICATE_STATUSES lists {' and '.join(get_args(Status))}")
    return names


def positive(text: str) -> float:
    """Parse a number above zero. Raises ArgumentTypeError."""
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above zero")
    return number


def whole(least: int, most: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from `least` to `most`; it raises ArgumentTypeError."""

    def read(text: str) -> int:
        plain = text.isascii() and text.isdecimal() and len(text) <= len(str(most))
        if not (plain and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
        return int(text)

    return read


def make_dead_letters(client: Client, queue_url: str) -> DeadLetters:
    """Return the place for dead letters: the SQS queue of this URL, or the table where there is none."""
    table = Table(client)
    return Queue(aws("sqs"), queue_url, table) if queue_url else table


def make_writer(client: Client, wanted: list[str], *, queue_url: str = "", asynchronous: bool = False) -> Writer:
    """Return a writer of the job table's columns on this server. Raises ValueError for a column of an unknown type."""
    columns = insert_columns(client, TABLE)
    return Writer(client, columns, wanted, make_dead_letters(client, queue_url), asynchronous=asynchronous)


def connect_writer(options: argparse.Namespace) -> Writer:
    """Return the writer that the options of `add_connection_arguments` ask for. Raises AWAY, ValueError."""
    client = connect(options.clickhouse_url)
    return make_writer(client, options.statuses, queue_url=options.dead_letter_queue, asynchronous=options.async_insert)


def stream_arn(dynamodb: Any, table: str) -> str:  # noqa: ANN401 - a boto3 client
    """Return the ARN of a table's stream. Raises NoStreamError."""
    arn = dynamodb.describe_table(TableName=table)["Table"].get("LatestStreamArn")
    if not arn:
        raise NoStreamError(
            f"table {table} has no stream: enable it with the view type NEW_AND_OLD_IMAGES (update-table)"
        )
    return str(arn)
