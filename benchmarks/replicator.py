"""Replicator: rows/s from DynamoDB's stream records into a real ClickHouse, batches of 10k, one process.

The replicator's `Writer.write` is given records as boto3 gives them; what it does (transform, insert, and the
materialized view of failed tests on the server) is timed whole, by the clock. Its parts follow: the transform alone,
in this process's CPU time, and the insert alone, by the clock, of columns made before: what the driver and the server
take is the floor that no transform can get below. Reading the stream is not in it. Medians over the batches, after one
that warms up.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks import callbacks
from benchmarks.result import BenchmarkError, Budget, Row
from benchmarks.servers import clickhouse
from benchmarks.timing import cpu_seconds, median, seconds
from hud_endpoint.clickhouse.ddl import insert_columns
from oot_replicator.rows.transform import Transform
from oot_replicator.writing.writer import TABLE, Writer

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from benchmarks.result import Say
    from hud_endpoint.clickhouse.ddl import Column

NAME = "replicator"
BUDGET = Budget("at least", 100_000)


class Size(NamedTuple):
    """Rows in a batch, and how many batches."""

    batch: int
    batches: int


FULL = Size(batch=10_000, batches=5)
QUICK = Size(batch=10_000, batches=2)


def measure(size: Size, say: Say) -> list[Row]:
    """Give the rows of this budget. Raises BenchmarkError when not every record became a row."""
    with clickhouse() as client:
        columns = insert_columns(client, TABLE)
        writer, transform = Writer(client, columns, ["completed"]), Transform(columns)
        whole, transform_alone, insert_alone = [], [], []
        for number in range(size.batches + 1):
            say(f"batch {number} of {size.batches}: {size.batch:,} records")
            records = callbacks.stream_records(size.batch, number * size.batch)
            taken = seconds(partial(_write, writer, records))
            alone = cpu_seconds(partial(transform.rows, records))
            made = transform.rows(records)
            floor = seconds(partial(_insert, client, columns, made.columns))
            if number:
                whole.append(taken)
                transform_alone.append(alone)
                insert_alone.append(floor)
        landed = int(str(client.command(f"SELECT uniqExact(dynamoKey) FROM {TABLE}")))  # noqa: S608 - a constant
    if landed != size.batch * (size.batches + 1):
        raise BenchmarkError(f"{landed:,} rows landed of {size.batch * (size.batches + 1):,} written")
    each = 1e6 / size.batch
    return [
        Row(
            NAME,
            f"replicator, batches of {size.batch:,}",
            "rows/s",
            size.batch / median(whole),
            budget=BUDGET,
            note=f"{each * median(whole):.1f} us a row by the clock, server and all",
        ),
        Row(
            NAME,
            "replicator, transform alone",
            "rows/s",
            size.batch / median(transform_alone),
            note=f"{each * median(transform_alone):.1f} us a row of CPU",
        ),
        Row(
            NAME,
            "replicator, insert alone",
            "rows/s",
            size.batch / median(insert_alone),
            note=f"{each * median(insert_alone):.1f} us a row by the clock: the driver and the server",
        ),
    ]


def _write(writer: Writer, records: list[dict[str, Any]]) -> None:
    written = writer.write(records)
    if written.rows != len(records) or written.dead:
        raise BenchmarkError(f"of {len(records):,} records {written.dead:,} became dead letters")


def _insert(client: Client, columns: list[Column], values: list[list[Any]]) -> None:
    client.insert(
        TABLE,
        values,
        column_names=[column.name for column in columns],
        column_type_names=[column.type for column in columns],
        column_oriented=True,
        settings={"insert_deduplicate": 0},
    )
