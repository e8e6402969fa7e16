"""Replicates finished jobs from DynamoDB's stream into ClickHouse, until SIGTERM or Ctrl-C.

    oot-hud replicate
    oot-hud replicate --metrics-port 9465
    oot-hud replicate --once     # until the stream is read up, as cron may run it

Run as many as you like: they share the stream's shards, and when one dies the others take over its shards after
--lease-seconds. How far each shard has come is kept in the table torchci-oot-replicator. Reads AWS's usual environment
(AWS_ENDPOINT_URL and so on) and the variables of docs/settings.md. A stream keeps its records for 24 hours: what was
missed for longer is brought by `oot-hud backfill`.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from hud_endpoint.logs import set_up
from hud_endpoint.metrics import Metrics, make_metrics
from oot_replicator.backoff import Backoff
from oot_replicator.connections import (
    AWAY,
    RECONNECT_SECONDS,
    NoStreamError,
    add_connection_arguments,
    aws,
    connect_writer,
    positive,
    stream_arn,
    told,
    whole,
)
from oot_replicator.reading.leases import Leases, new_owner
from oot_replicator.reading.poller import BATCH_SECONDS, LEASE_SECONDS, Poller

if TYPE_CHECKING:
    import argparse

log = logging.getLogger("replicator")


def make_poller(options: argparse.Namespace, owner: str, metrics: Metrics) -> Poller:
    """Connect to both stores. Raises NoStreamError, and what boto3 and ClickHouse raise."""
    dynamodb = aws("dynamodb")
    arn = stream_arn(dynamodb, options.table)
    return Poller(
        aws("dynamodbstreams"),
        arn,
        Leases(dynamodb, arn, owner),
        connect_writer(options),
        metrics=metrics,
        lease_seconds=options.lease_seconds,
        batch_seconds=options.batch_seconds,
    )


def run(options: argparse.Namespace, stop: threading.Event, metrics: Metrics) -> None:
    """Poll until `stop` is set; with `once`, until all is read. Waits for stores that are away."""
    owner = new_owner()  # the same over reconnections, so that this worker's own leases stay its own
    poller: Poller | None = None
    backoff = Backoff()
    fresh_until = 0.0
    while not stop.is_set():
        try:
            if poller and time.monotonic() > fresh_until:
                poller.flush()
                poller = None
            if poller is None:
                poller = make_poller(options, owner, metrics)
                fresh_until = time.monotonic() + RECONNECT_SECONDS
            poller.poll()
            if options.once and poller.caught_up:
                break
        except AWAY as error:
            pause = backoff.seconds()
            log.warning("waiting %.1f s for a store that is away: %s", pause, told(error))
            poller = None
            stop.wait(pause)
        else:
            backoff.reset()
            stop.wait(poller.idle_seconds)
    if poller:
        try:
            poller.flush()
            poller.close()
        except AWAY as error:
            log.warning("the last batch is left to the next worker: %s", told(error))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add_connection_arguments(parser)
    parser.add_argument("--once", action="store_true", help="stop when the stream is read up")
    parser.add_argument("--lease-seconds", type=positive, default=LEASE_SECONDS, help="default: %(default)s")
    parser.add_argument(
        "--batch-seconds",
        type=positive,
        default=BATCH_SECONDS,
        help="a busy stream is written this often, in larger batches (default: %(default)s)",
    )
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
