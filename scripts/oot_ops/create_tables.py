"""Creates every table in DynamoDB, and brings ClickHouse to the code's schema; run it as often as you like.

ClickHouse's schema is a row of numbered files (hud_endpoint/clickhouse/schema); each is applied once, in order, and
recorded in default.oot_schema_version. Tables of an earlier release, which recorded nothing, are taken over.

oot-hud tables                       # AWS_ENDPOINT_URL and CLICKHOUSE_URL say where
oot-hud tables --dry-run             # prints what it would create, on all three targets
oot-hud tables --dry-run --target cloud
oot-hud tables --only clickhouse --target cloud     # deploy/template.yaml makes the others
oot-hud tables --check               # says what ClickHouse lacks; exits 1 if it lacks something
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, get_args

from hud_endpoint.clickhouse.ddl import Target, migrations, statements
from hud_endpoint.clickhouse.migrations import MigrationError, apply, pending
from hud_endpoint.contract import RELAY_TABLE, RESULTS_TABLE

if TYPE_CHECKING:
    import argparse

    from types_boto3_dynamodb.client import DynamoDBClient

REPLICATOR_TABLE = "torchci-oot-replicator"
_NOTHING = "nothing, all there"


def dynamodb_tables() -> list[dict[str, Any]]:
    """Give the CreateTable request of each table; `ttl` beside it names the attribute that expires items."""
    index = {"Projection": {"ProjectionType": "ALL"}}
    key = {"AttributeType": "S"}
    return [
        {
            "TableName": os.environ.get("RESULTS_TABLE", RESULTS_TABLE),
            "KeySchema": [{"AttributeName": "dynamoKey", "KeyType": "HASH"}],
            "AttributeDefinitions": [
                {"AttributeName": name, **key} for name in ("dynamoKey", "running_repo", "running_pr")
            ],
            # Sparse: only running jobs carry these attributes, so the indexes hold what runs now and nothing else.
            "GlobalSecondaryIndexes": [
                {"IndexName": name, "KeySchema": [{"AttributeName": name, "KeyType": "HASH"}], **index}
                for name in ("running_repo", "running_pr")
            ],
            "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
            "BillingMode": "PAY_PER_REQUEST",
        },
        {
            "TableName": os.environ.get("RELAY_TABLE", RELAY_TABLE),
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
            "AttributeDefinitions": [
                {"AttributeName": "pk", **key},
                {"AttributeName": "queue", **key},
                {"AttributeName": "due_at", "AttributeType": "N"},
            ],
            # Sparse: what waits (outbox, dead letters, running jobs), by the moment when somebody must look at it.
            "GlobalSecondaryIndexes": [
                {
                    "IndexName": "due",
                    "KeySchema": [
                        {"AttributeName": "queue", "KeyType": "HASH"},
                        {"AttributeName": "due_at", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "KEYS_ONLY"},  # bodies are stored and paid for once
                }
            ],
            "BillingMode": "PAY_PER_REQUEST",
        },
        {
            "TableName": REPLICATOR_TABLE,
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "pk", **key}],
            "BillingMode": "PAY_PER_REQUEST",
        },
    ]


def create_dynamodb(client: DynamoDBClient) -> list[str]:
    """Create the DynamoDB tables that are missing, with TTL on `expires_at`; gives their names."""
    created = []
    for table in dynamodb_tables():
        name = table["TableName"]
        with suppress(client.exceptions.ResourceInUseException):
            client.create_table(**table)
            created.append(name)
        client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        # Asked for each time: a run that was cut off may have created the table and no more.
        if client.describe_time_to_live(TableName=name)["TimeToLiveDescription"].get("TimeToLiveStatus") == "DISABLED":
            client.update_time_to_live(
                TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires_at"}
            )
    return created


def create_clickhouse(url: str, target: Target, retention_days: int, cluster: str) -> list[str]:
    """Apply the migrations that ClickHouse lacks; gives their names. Raises MigrationError."""
    from hud_endpoint.clickhouse.connection import connect

    client = connect(url)
    try:
        applied = apply(client, migrations(target, retention_days=retention_days, cluster=cluster))
    finally:
        client.close()
    return [migration.name for migration in applied]


def check_clickhouse(url: str) -> int:
    """Say what ClickHouse lacks and change nothing; gives the exit code. Raises MigrationError."""
    from hud_endpoint.clickhouse.connection import connect

    client = connect(url)
    try:
        lacking = [migration.name for migration in pending(client, migrations())]
    finally:
        client.close()
    print(f"ClickHouse lacks {', '.join(lacking)}: run `oot-hud tables`" if lacking else "ClickHouse is up to date")
    return 1 if lacking else 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--dry-run", action="store_true", help="print the DDL, change nothing")
    parser.add_argument("--check", action="store_true", help="compare ClickHouse with the code, change nothing")
    parser.add_argument("--only", choices=("dynamodb", "clickhouse"), help="leave the other store alone")
    parser.add_argument(
        "--target", choices=get_args(Target), help="ClickHouse: one server (default), Cloud, own cluster"
    )
    parser.add_argument("--cluster", default="default", help="the cluster's name, for --target cluster")
    parser.add_argument("--retention-days", type=int, default=int(os.environ.get("RETENTION_DAYS", "100")))


def main(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    if options.dry_run:
        print(json.dumps({"dynamodb": dynamodb_tables()}, indent=2))
        for target in [options.target] if options.target else get_args(Target):
            print(f"\n-- ClickHouse, {target}\n")
            ddl = statements(target, retention_days=options.retention_days, cluster=options.cluster)
            print(";\n\n".join(ddl) + ";")
        return 0

    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
    from clickhouse_connect.driver.exceptions import ClickHouseError

    url = os.environ.get("CLICKHOUSE_URL", "http://127.0.0.1:8123")
    try:
        if options.check:
            return check_clickhouse(url)
        patience = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})
        done = []
        if options.only != "clickhouse":
            created = create_dynamodb(boto3.client("dynamodb", config=patience))
            done.append(f"DynamoDB: created {', '.join(created) or _NOTHING}")
        if options.only != "dynamodb":
            applied = create_clickhouse(url, options.target or "local", options.retention_days, options.cluster)
            done.append(f"ClickHouse: applied {', '.join(applied) or _NOTHING}")
    except MigrationError as error:
        print(f"tables: {error}", file=sys.stderr)
        return 1
    except (BotoCoreError, ClientError, ClickHouseError, ValueError) as error:
        told = " ".join(str(error).split())[:500]
        print(f"tables: {told} (Are AWS_ENDPOINT_URL and CLICKHOUSE_URL right?)", file=sys.stderr)
        return 1
    print("; ".join(done))
    return 0
