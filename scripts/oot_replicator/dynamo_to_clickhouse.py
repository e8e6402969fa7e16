"""Replicates finished jobs from DynamoDB's stream into ClickHouse, until SIGTERM or Ctrl-C.

    oot-hud replicate
    oot-hud replicate --metrics-port 9465
    oot-hud replicate --once     # until the stream is read up, as cron may run it

Run one. Its checkpoint is in the table torchci-oot-replicator: killed, it goes on from there. At scale, let Lambda's
event source mapping read the stream (oot_replicator.aws_lambda). Reads AWS's usual environment (AWS_ENDPOINT_URL and
so on) and the variables of docs/settings.md. A stream keeps its records for 24 hours: what was missed for longer is
brought by `oot-hud backfill`.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from tenacity import sleep_using_event, stop_when_event_set

from hud_endpoint.logs import set_up
from hud_endpoint.metrics import Metrics, make_metrics
from oot_replicator.connections import (
    AWAY,
    RECONNECT_SECONDS,
    NoStreamError,
    add_connection_arguments,
    aws,
    connect_writer,
    one_line,
    retrying,
    stream_arn,
    whole,
)
from oot_replicator.reading.stream import BATCH, BATCH_SECONDS, IDLE_SECONDS, StreamWorker

if TYPE_CHECKING:
    import argparse

log = logging.getLogger("replicator")


def make_worker(options: argparse.Namespace, metrics: Metrics) -> StreamWorker:
    """Connect to both stores. Raises NoStreamError, AWAY, and ValueError for a column of an unknown type."""
    dynamodb = aws("dynamodb")
    return StreamWorker(
        aws("dynamodbstreams"), stream_arn(dynamodb, options.table), dynamodb, connect_writer(options), metrics
    )


def run(options: argparse.Namespace, stop: threading.Event, metrics: Metrics) -> None:
    """Poll until `stop` is set; with `once`, until all is read. Waits for stores that are away."""
    worker: StreamWorker | None = None
    fresh_until = 0.0

    def poll() -> tuple[int, bool]:
        nonlocal worker, fresh_until
        if worker is None or time.monotonic() > fresh_until:
            worker = make_worker(options, metrics)
            fresh_until = time.monotonic() + RECONNECT_SECONDS
        current, worker = worker, None  # after an error it is made anew, from the checkpoint
        count = current.poll()
        worker = current
        return count, current.caught_up

    retry = retrying(stop_when_event_set(stop), sleep_using_event(stop))
    while not stop.is_set():
        began = time.monotonic()
        try:
            count, caught_up = retry(poll)
        except AWAY as error:  # only when it was to stop meanwhile
            log.warning("the last batch is left to the next start: %s", one_line(error))
            return
        if options.once and caught_up:
            return
        if count < BATCH:
            stop.wait(max(began + BATCH_SECONDS - time.monotonic(), 0) if count else IDLE_SECONDS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add_connection_arguments(parser)
    parser.add_argument("--once", action="store_true", help="stop when the stream is read up")
    parser.add_argument(
        "--metrics-port",
        type=whole(0, 65535),
        default=os.environ.get("REPLICATOR_METRICS_PORT", "0"),
        metavar="PORT",
        help="serve Prometheus metrics on this port (default: not at all)",
    )


def main(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    set_up()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        run(options, stop, _metrics(options.metrics_port, os.environ.get("METRICS_ADDRESS", "127.0.0.1")))
    except (NoStreamError, ValueError, OSError) as error:  # also a column of an unknown type, a URL or port of no use
        print(f"replicate: {error}", file=sys.stderr)
        return 1
    return 0


def _metrics(port: int, address: str) -> Metrics:
    try:
        return make_metrics("replicator", "prometheus" if port else "none", port, address)
    except OSError as error:
        raise OSError(f"metrics can't be served on {address} port {port} ({error}): choose another port") from None
