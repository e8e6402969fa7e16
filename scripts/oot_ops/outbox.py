"""The relay's outbox, for operators: what HUD has not taken yet, and what it never will.

    oot-hud outbox list [--dead] [--repo ORG/NAME] [--older-than 1h]
    oot-hud outbox retry            # what waits is tried at once, not when its time has come
    oot-hud outbox replay --repo ORG/NAME   # dead letters get three more days
    oot-hud outbox drop --id ID     # dead letters are forgotten
    ... --dry-run                                 # says what it would touch

Reads AWS's usual environment, RELAY_TABLE and OUTBOX_BUCKET. The relay's worker does the sending.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from hud_endpoint.contract import RELAY_TABLE
from hud_endpoint.relay.bodies import S3Bodies
from hud_endpoint.relay.outbox import DEAD, QUEUE, Entry, Outbox

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _age(text: str) -> float:
    told = re.fullmatch(r"([0-9]+)([smhd])", text)
    if not told:
        raise argparse.ArgumentTypeError(f"{text!r} is not an age such as 90s, 15m, 6h or 2d")
    return float(told[1]) * _SECONDS[told[2]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("command", choices=("list", "retry", "replay", "drop"))
    parser.add_argument("--dead", action="store_true", help="list the dead letters instead of what waits")
    parser.add_argument("--repo", help="only this repo's")
    parser.add_argument("--delivery-id", help="only this delivery's")
    parser.add_argument("--id", help="only this entry")
    parser.add_argument("--older-than", type=_age, default=0.0, metavar="AGE", help="such as 90s, 15m, 6h or 2d")
    parser.add_argument("--all", action="store_true", help="with drop: every dead letter")
    parser.add_argument("--history", action="store_true", help="show what happened at each try")
    parser.add_argument("--dry-run", action="store_true", help="change nothing, say what would be touched")


def main(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    if options.command == "drop" and not (options.repo or options.delivery_id or options.id or options.all):
        raise argparse.ArgumentError(None, "drop needs --repo, --delivery-id or --id; --all drops every dead letter")
    bucket = os.environ.get("OUTBOX_BUCKET", "")
    try:
        bodies = S3Bodies(boto3.client("s3"), bucket) if bucket else None
        outbox = Outbox(boto3.client("dynamodb"), os.environ.get("RELAY_TABLE", RELAY_TABLE), bodies)
        count = sum(_handle(outbox, entry, options) for entry in _chosen(outbox, options))
    except (BotoCoreError, ClientError) as error:
        print(f"outbox: the relay's table can't be used: {error}", file=sys.stderr)
        return 1
    print(f"{count} entries" if options.command == "list" else f"{count} entries: {_done(options)}")
    return 0


def _chosen(outbox: Outbox, options: argparse.Namespace) -> Iterator[Entry]:
    dead = options.dead or options.command in ("replay", "drop")  # what still waits is not for people to drop
    latest = time.time() - options.older_than
    for entry in outbox.entries(DEAD if dead else QUEUE):
        wanted = ((entry.repo, options.repo), (entry.delivery_id, options.delivery_id), (entry.entry_id, options.id))
        if entry.created_at <= latest and all(want in (None, value) for value, want in wanted):
            yield entry


def _handle(outbox: Outbox, entry: Entry, options: argparse.Namespace) -> int:
    created_at = datetime.fromtimestamp(entry.created_at, UTC).isoformat(timespec="seconds")
    last = entry.history[-1] if entry.history else "never tried"
    print(f"{entry.entry_id}  {created_at}  {entry.status:<11}  {entry.key!r}  tries {entry.attempts}  {last}")
    if options.history:
        print("".join(f"    {line}\n" for line in entry.history), end="")
    if options.command == "list" or options.dry_run:
        return 1
    return int(outbox.drop_dead(entry) if options.command == "drop" else outbox.replay(entry, time.time()))


def _done(options: argparse.Namespace) -> str:
    if options.dry_run:
        return f"would be touched by {options.command}"
    return "dropped" if options.command == "drop" else "due now; the relay's worker sends them"
