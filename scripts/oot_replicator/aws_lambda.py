"""AWS Lambda's entry point for DynamoDB's stream, with partial batch responses.

The event source mapping must have `FunctionResponseTypes: [ReportBatchItemFailures]`: while a store is away, the answer
names the first record of the batch, and Lambda sends the batch again from there. A record that can never become a row
goes to the dead letters and does not fail, so it holds nobody up. What the function reads is in docs/settings.md; the
secret that OOT_HUD_SECRETS_ARN names may hold CLICKHOUSE_URL.
https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
"""

from __future__ import annotations

import functools
import logging
import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from oot_replicator.connections import AWAY, RECONNECT_SECONDS, make_writer, read_secret, statuses, told
from oot_replicator.metrics import Batch, EmfMetrics, lag_seconds
from oot_replicator.rows.records import from_event, sequence_number

if TYPE_CHECKING:
    from oot_replicator.writing.writer import Writer

log = logging.getLogger(__name__)
log.setLevel(logging.INFO)


def stream_handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Replicate the records of one event; gives the first one that is to be sent again, if any."""
    records = [from_event(one) for one in event.get("Records", [])]
    if not records:
        return {"batchItemFailures": []}
    try:
        written = _writer(int(time.time() // RECONNECT_SECONDS)).write(records)
    except AWAY as error:
        _writer.cache_clear()
        log.warning("%d records wait for a store that is away: %s", len(records), told(error))
        return {"batchItemFailures": [{"itemIdentifier": sequence_number(records[0])}]}
    lag = lag_seconds(records, datetime.now(UTC))
    EmfMetrics().batch(Batch(len(records), written.rows, written.dead, lag))
    return {"batchItemFailures": []}


@functools.lru_cache(maxsize=1)
def _writer(_period: int) -> Writer:
    """Connect once for all invocations of this process in a period, to see new columns in the next. Raises AWAY."""
    from hud_endpoint.clickhouse.connection import connect

    read_secret()
    client = connect(os.environ.get("CLICKHOUSE_URL", "http://127.0.0.1:8123"), connect_timeout=5, read_timeout=30)
    return make_writer(
        client,
        statuses(os.environ.get("REPLICATE_STATUSES", "completed")),
        queue_url=os.environ.get("DEAD_LETTER_QUEUE_URL", ""),
        asynchronous=os.environ.get("ASYNC_INSERT", "") == "true",
    )
