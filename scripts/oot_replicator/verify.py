"""Compares the jobs in DynamoDB with their rows in ClickHouse: by key, by version and by everything that they say.

    oot-hud verify                          # jobs first seen in the last 24 hours
    oot-hud verify --since 7d --json        # for programs; --since all: as far as rows are kept
    oot-hud verify --repair                 # writes what is missing or stale as well
    oot-hud verify --repair --dry-run       # says what it would write
    oot-hud verify --repair --delete-extra  # deletes rows too that have no job in DynamoDB
    oot-hud verify --metrics-file /var/lib/node_exporter/oot_verify.prom

missing: no row in ClickHouse; stale: its row says something else; extra: a row without a job, though DynamoDB would not
have expired it yet. A difference counts only if it still stands after --lag: what is under way is not called missing.
Reads the whole DynamoDB table, consistently (--units-per-second bounds that), CLICKHOUSE_URL, RESULTS_TABLE,
REPLICATE_STATUSES and RETENTION_DAYS. Exits 0 when the two agree, 1 when they don't, 3 when they can't be compared.
On Lambda, oot_replicator.aws_lambda does the same each hour.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import os
import re
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hud_endpoint.clickhouse.connection import connect
from hud_endpoint.contract import RESULTS_TABLE
from hud_endpoint.logs import set_up
from hud_endpoint.metrics import PrometheusMetrics
from oot_replicator.comparing.repairer import Repairer, items_of
from oot_replicator.comparing.report import Report
from oot_replicator.comparing.staging import Difference, Staging
from oot_replicator.connections import AWAY, aws
from oot_replicator.progress import Progress
from oot_replicator.reading.scan import SEGMENTS, pages
from oot_replicator.rows.transform import Transform, scanned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clickhouse_connect.driver.client import Client
    from types_boto3_dynamodb.client import DynamoDBClient

log = logging.getLogger("verify")

PAGES_TOGETHER = 4  # of a megabyte each at most: one insert
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Verifier:
    """Compares one DynamoDB table with ClickHouse; may be used once."""

    def __init__(
        self,
        dynamodb: DynamoDBClient,
        table: str,
        client: Client,
        statuses: Sequence[str] = ("completed",),
        *,
        since: datetime,
        lag_seconds: float = 60,
        segments: int = SEGMENTS,
        units_per_second: float = 0,
    ) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._client = client
        self._statuses = statuses
        self._since = since
        self._lag_seconds = lag_seconds
        self._segments = segments
        self._units_per_second = units_per_second
        self.report = Report(since)

    def differences(self) -> Iterator[list[Difference]]:
        """Give what differs, in pages, and count it in `report`. Raises what boto3 and ClickHouse raise."""
        began = time.monotonic()
        with Staging(self._client, self._since) as staging:
            transform = Transform(staging.columns, self._statuses)
            self._scan(staging, transform)
            scanned_at = time.monotonic()
            staging.compare()
            self.report.compared = staging.count()
            for number, page in enumerate(staging.pages(), start=1):
                # Whatever was under way when it was read has arrived by then.
                time.sleep(max(0.0, scanned_at + self._lag_seconds - time.monotonic()))
                found = self._look_again(staging, transform, page, number)
                for one in found:
                    self.report.add(one)
                self.report.seconds = time.monotonic() - began
                if found:
                    yield found
        self.report.seconds = time.monotonic() - began

    def _scan(self, staging: Staging, transform: Transform) -> None:
        about = self._dynamodb.describe_table(TableName=self._table)["Table"].get("ItemCount", 0)
        progress = Progress("jobs read", about)
        read = pages(
            self._dynamodb,
            self._table,
            segments=self._segments,
            since=self._since,
            units_per_second=self._units_per_second,
        )
        try:
            while together := list(itertools.islice(read, PAGES_TOGETHER)):
                items = [item for page in together for item in page.items]
                self._stage(staging, transform, items, min(page.read_at for page in together))
                progress.add(sum(page.scanned for page in together))
        finally:
            progress.end()

    def _stage(
        self,
        staging: Staging,
        transform: Transform,
        items: Sequence[dict[str, Any]],
        read_at: datetime,
        number: int = 0,
    ) -> set[str]:
        """Put the items' rows into the comparison; gives the keys that have one."""
        made = transform.rows([scanned(item, read_at) for item in items])
        if not number:
            self.report.poison += len(made.dead)
        images = [record["dynamodb"]["NewImage"] for record in made.records]
        staging.add(made.columns, ["N" in image.get("revision", {}) for image in images], number)
        return {image["dynamoKey"]["S"] for image in images}

    def _look_again(
        self, staging: Staging, transform: Transform, page: Sequence[Difference], number: int
    ) -> list[Difference]:
        """Give those of the page that differ in the same way as before; what has changed since is in flight."""
        read_at = datetime.now(UTC)
        items = items_of(self._dynamodb, self._table, [one.dynamo_key for one in page])
        rows = self._stage(staging, transform, list(items.values()), read_at, number)
        still = staging.compare_again(page, number)
        confirmed = []
        for one in page:
            now = still.get((one.dynamo_key, one.first_seen_ms))
            if now is None or (one.dynamo_key in items and one.dynamo_key not in rows):
                continue  # it has arrived; or it is poison, which the scan has counted
            if now.kind == one.kind and (one.kind == "extra" or self._is_at_rest(one, now, items)):
                confirmed.append(now)
            else:
                self.report.in_flight += 1
        return confirmed

    @staticmethod
    def _is_at_rest(one: Difference, now: Difference, items: dict[str, dict[str, Any]]) -> bool:
        """Tell whether the item is what it was; without a revision, its version is only when it was read."""
        return now.version == one.version or "revision" not in items[one.dynamo_key]


def run(options: argparse.Namespace, *, repair: bool, delete_extra: bool = False, dry_run: bool = False) -> Report:
    """Compare, and repair what was found where that is asked for. Raises what boto3 and ClickHouse raise."""
    dynamodb = aws("dynamodb")
    client = connect(options.clickhouse_url, read_timeout=3600)
    statuses = [status.strip() for status in options.statuses.split(",")]
    verifier = Verifier(
        dynamodb,
        options.table,
        client,
        statuses,
        since=window_start(options.since, options.retention_days),
        lag_seconds=options.lag,
        segments=options.segments,
        units_per_second=options.units_per_second,
    )
    try:
        repairer = Repairer(dynamodb, options.table, client, statuses)
        for page in verifier.differences():
            for one in page:
                if not options.json:
                    print(f"{one.kind:<8} {ascii(one.dynamo_key)[1:-1]}")
            if repair and not dry_run:
                verifier.report.repaired += repairer.mend(page, delete_extra=delete_extra)
    finally:
        client.close()
        dynamodb.close()
    return verifier.report


def window_start(since: timedelta | None, retention_days: int) -> datetime:
    """Give the first moment that is compared: what is older may have expired on one side already."""
    kept = timedelta(days=retention_days) - timedelta(hours=1)
    return datetime.now(UTC) - min(since or kept, kept)


def verify_event(event: Any) -> Report:  # noqa: ANN401 - any JSON
    """Compare as a schedule's event asks for; `{"since": "24h", "repair": true}` says the same as the flags.

    Raises what boto3 and ClickHouse raise: a comparison that could not be made shows as an error of the function.
    """
    told = event if isinstance(event, dict) else {}
    parser = argparse.ArgumentParser()
    add_comparison_arguments(parser)
    options = parser.parse_args(["--json"])
    if "since" in told:
        options.since = age(str(told["since"]))
    if "lag" in told:
        options.lag = _lag(str(told["lag"]))
    return run(options, repair=told.get("repair") is True)


def age(text: str) -> timedelta | None:
    """Read an age such as 90s, 15m, 6h or 2d; `all` is None. Raises argparse's error."""
    if text == "all":
        return None
    told = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if not told:
        raise argparse.ArgumentTypeError(f"{text!r} is not an age such as 90s, 15m, 6h or 2d")
    return timedelta(seconds=int(told[1]) * _UNITS[told[2]])


def _lag(text: str) -> float:
    told = age(text)
    if told is None:
        raise argparse.ArgumentTypeError("the lag must end")
    return told.total_seconds()


def add_comparison_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that an event of the Lambda function has the defaults of."""
    parser.add_argument("--since", type=age, default="24h", metavar="AGE", help="such as 90s, 15m, 6h, 2d, or all")
    parser.add_argument("--lag", type=_lag, default="60s", metavar="AGE", help="time that replication may take (60s)")
    parser.add_argument("--table", default=os.environ.get("RESULTS_TABLE", RESULTS_TABLE), help="DynamoDB table")
    parser.add_argument("--clickhouse-url", default=os.environ.get("CLICKHOUSE_URL", "http://127.0.0.1:8123"))
    parser.add_argument("--statuses", default=os.environ.get("REPLICATE_STATUSES", "completed"), help="comma-separated")
    parser.add_argument("--retention-days", type=int, default=int(os.environ.get("RETENTION_DAYS", "100")))
    parser.add_argument("--segments", type=int, default=SEGMENTS, help="of the parallel scan (default: %(default)s)")
    parser.add_argument("--units-per-second", type=float, default=0, help="bound of the read capacity to use (0: none)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    parser.add_argument("--metrics-file", type=Path, help="write Prometheus metrics for a textfile collector")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add_comparison_arguments(parser)
    parser.add_argument("--repair", action="store_true", help="write what is missing or stale")
    parser.add_argument(
        "--delete-extra", action="store_true", help="with --repair: delete rows that have no job in DynamoDB"
    )
    parser.add_argument("--dry-run", action="store_true", help="with --repair: change nothing, say what differs")


def main(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    if (options.delete_extra or options.dry_run) and not options.repair:
        raise argparse.ArgumentError(None, "--delete-extra and --dry-run go with --repair")
    set_up("WARNING")
    try:
        report = run(options, repair=options.repair, delete_extra=options.delete_extra, dry_run=options.dry_run)
        if options.metrics_file:
            metrics = PrometheusMetrics("verify")
            report.record(metrics)
            metrics.write(options.metrics_file)
    except (*AWAY, ValueError) as error:
        told = " ".join(str(error).split())[:500]
        print(f"verify: could not compare: {told} (Are AWS_ENDPOINT_URL and CLICKHOUSE_URL right?)", file=sys.stderr)
        return 3
    print(report.to_json() if options.json else report.text())
    return 1 if report.different else 0
