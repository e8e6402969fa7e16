"""Loads test stats from S3 into ClickHouse, which pulls them itself; objects that were loaded before add nothing.

    oot-hud load --bucket B test_run_summary/240/1 ...   # `-` reads keys from stdin
    oot-hud load --bucket B --prefix test_run/           # everything under a prefix
    oot-hud load --event event.json                      # what an event of S3 names
    oot-hud load --replay                                # what failed, once more
    ... --dry-run                                                                         # says what it would load

test_run_summary/ goes to default.test_run_summary, failed_test_runs/ to default.failed_test_runs, test_run/ to
default.test_run_s3; a key is <prefix>/<workflow_run_id>/<run_attempt>. Reads CLICKHOUSE_URL, S3_CREDENTIALS,
AWS_REGION and AWS_ENDPOINT_URL. On Lambda, oot_replicator.aws_lambda
does the same for what S3 announces.
Exits 0 when every line of every object is in its table, else 1: default.oot_replication_errors then says why.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clickhouse_connect.driver.exceptions import ClickHouseError
from urllib3.exceptions import HTTPError

from hud_endpoint.logs import set_up
from oot_replicator.s3.events import Message, Place, messages
from oot_replicator.s3.loader import Loaded, S3Loader
from oot_replicator.s3.tables import PREFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Loaded", "S3Loader", "add_arguments", "handle", "main"]

log = logging.getLogger("s3_to_clickhouse")


class UnavailableError(Exception):
    """Not all of an event could be done now; it is to be delivered again."""


def handle(loader: S3Loader, event: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """Load what an event names, of S3 itself, through SQS, SNS and SQS, or EventBridge.

    Gives SQS's partial batch response, with the messages to deliver again.

    Those are the ones with an object that could not be loaded now, and those that are no event at all: their queue
    gives them to its own dead letter queue in the end. Raises UnavailableError where there is no queue to say so to.
    """
    again: list[str] = []
    for message in messages(event):
        away = [one for one in _load(loader, _ours(message)) if one.state == "unavailable"]
        problem = message.error or (f"{away[0].key}: {away[0].error}" if away else "")
        if problem and not message.message_id:
            raise UnavailableError(problem)
        if problem:
            log.error("message %s goes back to its queue: %s", message.message_id, problem)
            again.append(message.message_id)
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in again]}


def _ours(message: Message) -> list[Place]:
    """A bucket may hold other things beside test stats (the manifests, for one)."""
    return [place for place in message.places if place.key.partition("/")[0] in PREFIXES]


def _load(loader: S3Loader, places: Iterable[Place], *, force: bool = False) -> list[Loaded]:
    keys: dict[str, list[str]] = defaultdict(list)
    for bucket, key in places:
        keys[bucket].append(key)
    return [one for bucket, own in keys.items() for one in loader.load(bucket, own, force=force)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("keys", nargs="*", metavar="KEY", help="such as test_run/240/1; `-` reads them from stdin")
    parser.add_argument("--bucket", default="", help="the bucket of the keys or the prefix")
    parser.add_argument("--prefix", help="load everything under test_run/, test_run/240/, ...")
    parser.add_argument("--event", type=Path, metavar="FILE", help="an event as Lambda gets it")
    parser.add_argument("--replay", action="store_true", help="load again what default.oot_replication_errors names")
    parser.add_argument("--force", action="store_true", help="load again what has been loaded before")
    parser.add_argument("--dry-run", action="store_true", help="load nothing, say what would be")


def main(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    if sum(map(bool, (options.keys, options.prefix, options.event, options.replay))) != 1:
        raise argparse.ArgumentError(None, "give keys, --prefix, --event or --replay, and one of them")
    if (options.keys or options.prefix) and not options.bucket:
        raise argparse.ArgumentError(None, "--bucket is missing")
    set_up("CRITICAL")  # what fails is told below
    try:
        loader = S3Loader.from_environment()
        places = _chosen(loader, options)
        if options.dry_run:
            print("".join(f"s3://{bucket}/{key}\n" for bucket, key in places), end="")
            print(f"{len(places)} objects would be loaded")
            return 0
        force = options.force or options.replay
        return _report(one for place in places for one in _load(loader, [place], force=force))
    except (ValueError, OSError, ClickHouseError, HTTPError) as error:
        told = " ".join(str(error).split())[:500]
        print(f"load: {told} (Are CLICKHOUSE_URL and AWS_ENDPOINT_URL right?)", file=sys.stderr)
        return 1


def _chosen(loader: S3Loader, options: argparse.Namespace) -> list[Place]:
    if options.replay:
        return [Place(*place) for place in loader.to_replay()]
    if options.prefix:
        return [Place(options.bucket, key) for key in loader.keys(options.bucket, options.prefix)]
    if options.event:
        told = messages(json.loads(options.event.read_text(encoding="utf-8")))
        if errors := [message.error for message in told if message.error]:
            raise ValueError(f"{options.event}: {errors[0]}")
        return list(dict.fromkeys(place for message in told for place in _ours(message)))
    keys = [line.strip() for line in sys.stdin] if options.keys == ["-"] else options.keys
    return [Place(options.bucket, key) for key in dict.fromkeys(keys) if key]


def _report(outcomes: Iterable[Loaded]) -> int:
    states: dict[str, int] = defaultdict(int)
    rows = wrong = 0
    for one in outcomes:
        states[one.state] += 1
        rows += one.rows if one.state == "loaded" else 0
        wrong += one.error is not None
        print(f"{one.state:<11}  {one.rows:>9,} rows  {ascii(one.key)[1:-1]}  {one.error or ''}".rstrip(), flush=True)
    told = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    print(f"{sum(states.values())} objects: {told or 'nothing to do'}; {rows:,} rows loaded")
    return 1 if wrong else 0
