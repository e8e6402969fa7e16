"""Times out the jobs that have been silent for too long, and names the dispatches that nobody answered.

    oot-hud sweep                 # once, as cron or a schedule runs it
    oot-hud sweep --dry-run       # says what it would do
    oot-hud sweep --every 60      # stays, and sweeps each minute
    oot-hud sweep --orphans       # lists the orphaned dispatches that are known

Reads AWS's usual environment and RELAY_TABLE. Two sweeps at once do no harm.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from hud_endpoint.contract import RELAY_TABLE
from hud_endpoint.errors import RefusedError
from hud_endpoint.logs import set_up
from hud_endpoint.relay.stores import RelayStores

if TYPE_CHECKING:
    import argparse

    from hud_endpoint.relay.dispatch import Recorded
    from hud_endpoint.relay.sweeper import Sweeper


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--dry-run", action="store_true", help="change nothing, say what would be done")
    parser.add_argument("--every", type=float, metavar="SECONDS", help="stay, and sweep in this interval")
    parser.add_argument("--orphans", action="store_true", help="list the orphaned dispatches and do nothing else")


def main(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    set_up("WARNING")  # what it did is printed
    try:
        client, table = boto3.client("dynamodb"), os.environ.get("RELAY_TABLE", RELAY_TABLE)
    except BotoCoreError as error:
        print(f"sweep: {error}", file=sys.stderr)
        return 1
    stores = RelayStores.of(client, table)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while True:
        try:
            if options.orphans:
                for orphan in stores.dispatches.orphans(time.time()):
                    print(_told(orphan))
                return 0
            _sweep(stores.sweeper, dry_run=options.dry_run)
        except (BotoCoreError, ClientError, RefusedError) as error:
            print(f"sweep: the relay's table can't be used: {error}", file=sys.stderr, flush=True)
            if not options.every:
                return 1
        if not options.every or stop.wait(options.every):
            return 0


def _sweep(sweeper: Sweeper, *, dry_run: bool) -> None:
    swept = sweeper.sweep(time.time(), dry_run=dry_run)
    for key in swept.timed_out:
        print(f"{'would time out' if dry_run else 'timed out'} {key}")
    for orphan in swept.orphans:
        print(f"never answered: {_told(orphan)}")
    print(f"{len(swept.timed_out)} timed out, {len(swept.orphans)} orphaned dispatches", flush=True)


def _told(orphan: Recorded) -> str:
    dispatch, at = orphan.dispatch, datetime.fromtimestamp(orphan.at, UTC).isoformat(timespec="seconds")
    return f"{at} {dispatch.repo} {dispatch.event_type} #{dispatch.pr_number} {dispatch.sha} {dispatch.delivery_id}"
