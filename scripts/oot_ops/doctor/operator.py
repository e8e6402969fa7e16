"""Say what is wrong with a deployment, and what to do: tables, stream, schema, queues and heartbeats.

    oot-hud doctor operator          # reads the settings of relay, HUD and replicator
    oot-hud doctor operator --json

Nothing is changed. Exits 0 when all is well or only warned about, 1 when something failed.
"""

from __future__ import annotations

import logging
import os
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import requests
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from clickhouse_connect.driver.exceptions import ClickHouseError

from hud_endpoint.clickhouse.connection import connect
from hud_endpoint.clickhouse.ddl import migrations, rollups
from hud_endpoint.clickhouse.migrations import MigrationError, pending
from hud_endpoint.contract import RELAY_TABLE
from hud_endpoint.errors import RefusedError
from hud_endpoint.relay.outbox import DEAD, QUEUE
from hud_endpoint.relay.stores import RelayStores
from oot_ops.create_tables import REPLICATOR_TABLE, dynamodb_tables
from oot_ops.doctor.check import Check, tell
from oot_replicator.reading.stream import Position, describe, load_checkpoint, shard_iterator

if TYPE_CHECKING:
    import argparse
    from collections.abc import Generator, Iterator

    from clickhouse_connect.driver.client import Client
    from types_boto3_dynamodb.client import DynamoDBClient

CREATE = "Run `oot-hud tables`."
GRANTS = "Run deploy/clickhouse/users.sql again: it adds what a newer release needs."
LATE_SECONDS = 60.0
OUTBOX_SECONDS = 900.0
SWEEP_SECONDS = 600.0
ROLLUP_SECONDS = 300  # the slowest is refreshed every minute
_PATIENCE = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 2})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--json", action="store_true", help="all checks as JSON, for a program")


def main(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    logging.disable(logging.CRITICAL)  # the checks say what is wrong
    return tell(examine(dict(os.environ)), as_json=options.json)


def examine(environ: dict[str, str]) -> Iterator[Check]:
    """Give the checks in the order in which a result meets these things."""
    stream_arns: list[str] = []
    relay_table = environ.get("RELAY_TABLE", RELAY_TABLE)
    try:
        dynamodb = boto3.client("dynamodb", config=_PATIENCE)
        stream_arns = yield from _tables(dynamodb)
        yield from _queues(dynamodb, relay_table)
    except (BotoCoreError, ClientError, RefusedError) as error:
        remedy = "Check AWS_ENDPOINT_URL, region and credentials, and that this role may read the tables."
        yield Check("DynamoDB", "fail", str(error), remedy)
    yield from _hud(environ)
    url = environ.get("CLICKHOUSE_URL", "http://127.0.0.1:8123")
    try:
        client = connect(url, connect_timeout=3, read_timeout=15)
    except (ClickHouseError, OSError, ValueError) as error:
        remedy = "Check CLICKHOUSE_URL: http(s)://user:password@host:port, and that this address may connect."
        cause = re.sub(r".*(DB::Exception: |Caused by )", "", " ".join(str(error).split()))
        password = urlsplit(url).password
        yield Check("ClickHouse", "fail", cause.replace(password, "***") if password else cause, remedy)
    else:
        yield Check("ClickHouse", "ok", f"{urlsplit(url).hostname} runs {client.server_version}")
        yield from _schema(client)
        yield from _rollups(client)
    for arn in stream_arns:
        yield from _lag(dynamodb, arn)


def _tables(client: DynamoDBClient) -> Generator[Check, None, list[str]]:
    """Give a check for each table; the generator's value is the streams' ARNs."""
    arns = []
    for wanted in dynamodb_tables():
        name = wanted["TableName"]
        try:
            table = client.describe_table(TableName=name)["Table"]
        except client.exceptions.ResourceNotFoundException:
            if name == REPLICATOR_TABLE:
                yield Check(f"table {name}", "skip", "it does not exist: only a replicator outside of Lambda needs it")
            else:
                yield Check(f"table {name}", "fail", "it does not exist", CREATE)
            continue
        yield _table(name, wanted, dict(table))
        told = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
        if told.get("TimeToLiveStatus") not in ("ENABLED", "ENABLING"):
            yield Check(f"expiry of {name}", "warn", "items are kept for ever", CREATE)
        if wanted.get("StreamSpecification") and table.get("LatestStreamArn"):
            arns.append(table["LatestStreamArn"])
    return arns


def _table(name: str, wanted: dict[str, Any], table: dict[str, Any]) -> Check:
    if table["TableStatus"] not in ("ACTIVE", "UPDATING"):
        return Check(f"table {name}", "fail", f"it is {table['TableStatus']}", "Wait, or look at it in the console.")
    if table["KeySchema"] != wanted["KeySchema"]:
        remedy = "This is another program's table: name another one, and create it."
        return Check(f"table {name}", "fail", f"its key is {table['KeySchema']}", remedy)
    indexes = {index["IndexName"] for index in table.get("GlobalSecondaryIndexes", [])}
    lacking = {index["IndexName"] for index in wanted.get("GlobalSecondaryIndexes", [])} - indexes
    if lacking:
        remedy = "Add it as deploy/template.yaml has it: without it nobody sees what runs or what is due."
        return Check(f"table {name}", "fail", f"it lacks the index {', '.join(sorted(lacking))}", remedy)
    if wanted.get("StreamSpecification"):
        view = table.get("StreamSpecification", {}).get("StreamViewType", "none")
        if view != "NEW_AND_OLD_IMAGES":
            remedy = f"aws dynamodb update-table --table-name {name} --stream-specification "
            remedy += "StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES"
            return Check(f"stream of {name}", "fail", f"its view type is {view}", remedy)
    return Check(f"table {name}", "ok", "key, indexes and stream are as they should be")


def _queues(client: DynamoDBClient, table: str) -> Iterator[Check]:
    stores, now = RelayStores.of(client, table), time.time()
    outbox = stores.outbox
    try:
        waiting, oldest = outbox.depth(QUEUE)
        dead, _ = outbox.depth(DEAD)
    except client.exceptions.ResourceNotFoundException:
        return  # told above
    age = now - oldest if oldest else 0.0
    remedy = "`oot-hud outbox list` shows what HUD answers."
    yield Check(
        "outbox",
        "fail" if age > OUTBOX_SECONDS else "ok",
        f"{waiting} results wait for HUD" + (f", the oldest for {age:,.0f} s" if waiting else ""),
        remedy if age > OUTBOX_SECONDS else "",
    )
    remedy = "`oot-hud outbox list --dead`, mend the cause, then `oot-hud outbox replay`."
    yield Check("dead letters of the relay", "warn" if dead else "ok", str(dead), remedy if dead else "")
    last = stores.sweeper.last_sweep()
    remedy = "Run `oot-hud sweep --every 60`, or look at the schedule of the sweep function."
    if last is None:
        yield Check("sweeper", "fail", "it has never run: jobs that fell silent run for ever", remedy)
    elif now - last > SWEEP_SECONDS:
        yield Check("sweeper", "fail", f"it last ended {now - last:,.0f} s ago", remedy)
    else:
        yield Check("sweeper", "ok", f"it last ended {now - last:.0f} s ago")


def _hud(environ: dict[str, str]) -> Iterator[Check]:
    """Post nothing with the relay's own token: an endpoint that believes it complains about the body, with 400."""
    url, token = environ.get("HUD_API_URL", ""), environ.get("HUD_API_TOKEN", "")
    if not url or not token:
        yield Check("HUD endpoint", "skip", "HUD_API_URL and HUD_API_TOKEN, the relay's settings, are not set here")
        return
    try:
        answer = requests.post(
            url, data=b"{}", headers={"x-hud-internal-bot": token}, timeout=10, allow_redirects=False
        )
    except requests.RequestException as error:
        remedy = "Check HUD_API_URL, and whether the relay may reach it."
        yield Check("HUD endpoint", "fail", f"{urlsplit(url).netloc} did not answer ({type(error).__name__})", remedy)
        return
    if answer.status_code == 400:
        yield Check("HUD endpoint", "ok", f"{urlsplit(url).netloc} accepts the relay's token")
    elif answer.status_code == 401:
        remedy = "HUD_API_TOKEN of the relay must be INTERNAL_API_TOKEN (or its previous one) of HUD."
        yield Check("HUD endpoint", "fail", "it refuses the relay's token", remedy)
    else:
        remedy = "HUD_API_URL must end in /api/oot/results, and nothing may redirect or answer before it."
        yield Check("HUD endpoint", "fail", f"it answers {answer.status_code}", remedy)


def _schema(client: Client) -> Iterator[Check]:
    try:
        lacking = pending(client, migrations())
    except (MigrationError, ClickHouseError) as error:
        yield Check("schema", "fail", str(error), "See docs/operating.md, Upgrades.")
        return
    if lacking:
        names = ", ".join(migration.name for migration in lacking)
        yield Check("schema", "fail", f"not applied: {names}", CREATE)
        return
    yield Check("schema", "ok", f"all {len(migrations())} migrations are applied")
    (count,) = client.query("SELECT count() FROM default.oot_replication_errors FINAL").result_rows[0]
    remedy = "`oot-hud dead-letters list`, mend the cause, then `oot-hud dead-letters replay`."
    yield Check("dead letters of the replicators", "warn" if count else "ok", str(count), remedy if count else "")


def _rollups(client: Client) -> Iterator[Check]:
    """Look whether the views behind the pages are refreshed, whoever looks at the pages."""
    try:
        rows = client.query(
            "SELECT view, status, exception, dateDiff('second', last_success_time, now()) FROM system.view_refreshes "
            "WHERE database = 'oot'"
        ).result_rows
    except ClickHouseError as error:
        yield Check("rollups", "fail", str(error), GRANTS)
        return
    if not rows:
        yield Check("rollups", "warn", "this user sees none of the views", GRANTS)
        return
    found = {str(view): told for view, *told in rows}
    if lacking := sorted({f"{name}_mv" for name in rollups()} - found.keys()):
        yield Check("rollups", "fail", f"not there: {', '.join(lacking)}", CREATE)
    late = 0
    for view, (status, exception, age) in sorted(found.items()):
        if not exception and age is not None and age <= ROLLUP_SECONDS:
            continue
        late += 1
        seen = exception or ("not refreshed yet" if age is None else f"last refreshed {age:,} s ago")
        remedy = f"SYSTEM START VIEW oot.{view}, SYSTEM REFRESH VIEW oot.{view}; the server's log tells more."
        if status == "WaitingForDependencies":
            remedy = "It waits for the views it is computed from: mend those that are late as well."
        yield Check(f"rollup {view}", "warn" if age is None and not exception else "fail", seen, remedy)
    if not late:
        yield Check(
            "rollups",
            "ok",
            f"{len(found)} views, the oldest refreshed {max(told[2] for told in found.values()):,} s ago",
        )


def _lag(client: DynamoDBClient, stream_arn: str) -> Iterator[Check]:
    """Ask the stream for the records behind the replicator's checkpoint: the age of the next one is the lag."""
    streams = boto3.client("dynamodbstreams", config=_PATIENCE)
    try:
        positions = load_checkpoint(client, stream_arn)
        if not positions:
            remedy = "On Lambda, see the function's IteratorAge; else start `oot-hud replicate`."
            yield Check("replication", "warn", "no replicator has a checkpoint in this stream", remedy)
            return
        ages = []
        for shard_id in describe(streams, stream_arn):
            position = positions.get(shard_id, Position())
            if not position.finished:
                iterator = shard_iterator(streams, stream_arn, shard_id, position)
                records = streams.get_records(ShardIterator=iterator, Limit=1)["Records"]
                ages += [
                    time.time() - record["dynamodb"]["ApproximateCreationDateTime"].timestamp() for record in records
                ]
    except client.exceptions.ResourceNotFoundException:
        yield Check("replication", "skip", "no checkpoint is kept here: on Lambda, see the function's IteratorAge")
        return
    except (BotoCoreError, ClientError) as error:
        yield Check("replication", "fail", str(error), "This role needs to read the stream and the replicator's table.")
        return
    age = max(ages, default=0.0)
    remedy = "Is the replicator running, and does ClickHouse take its rows? Its log says what it waits for."
    yield Check(
        "replication",
        "fail" if age > LATE_SECONDS else "ok",
        f"{age:,.0f} s behind" if ages else "caught up",
        remedy if age > LATE_SECONDS else "",
    )
