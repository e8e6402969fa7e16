"""AWS Lambda's entry points: DynamoDB's stream, the queue of S3's announcements, and the hourly comparison.

`stream_handler` and `stats_handler` answer with the first record, or the messages, to send again, so their event source
mappings must have `FunctionResponseTypes: [ReportBatchItemFailures]`. What can never become a row goes to the dead
letters and does not fail, so it holds nobody up. What the functions read is in docs/settings.md; the secret that
OOT_HUD_SECRETS_ARN names may hold CLICKHOUSE_URL.
https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
"""

from __future__ import annotations

import functools
import logging
import os
import time
from typing import TYPE_CHECKING, Any

from hud_endpoint.aws_lambda import handlers
from hud_endpoint.metrics import CloudWatchMetrics
from oot_replicator.connections import AWAY, RECONNECT_SECONDS, make_writer, one_line, read_secret, statuses

if TYPE_CHECKING:
    from hud_endpoint.aws_lambda import Handler
    from oot_replicator.s3.loader import S3Loader
    from oot_replicator.writing.writer import Writer

log = logging.getLogger(__name__)


def _stream() -> Handler:
    from oot_replicator.rows.records import from_event, sequence_number
    from oot_replicator.writing.writer import batch_numbers

    metrics = CloudWatchMetrics("replicator")

    def replicate(event: dict[str, Any], _context: object) -> dict[str, Any]:
        records = [from_event(record) for record in event.get("Records", [])]
        if not records:
            return {"batchItemFailures": []}
        try:
            written = _writer(int(time.time() // RECONNECT_SECONDS)).write(records)
        except AWAY as error:
            _writer.cache_clear()
            log.warning("%d records wait for a store that is away: %s", len(records), one_line(error))
            return {"batchItemFailures": [{"itemIdentifier": sequence_number(records[0])}]}
        metrics.record(batch_numbers(records, written))
        return {"batchItemFailures": []}

    return replicate


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


def _stats() -> Handler:
    from oot_replicator.s3_to_clickhouse import handle

    return lambda event, _context: handle(_loader(), event)


@functools.cache
def _loader() -> S3Loader:
    from oot_replicator.s3.loader import S3Loader

    read_secret()
    return S3Loader.from_environment()


def _verify() -> Handler:
    from oot_replicator.verify import verify_event

    metrics = CloudWatchMetrics("verify")

    def verify(event: Any, _context: object) -> dict[str, Any]:  # noqa: ANN401 - any JSON
        read_secret()
        report = verify_event(event)
        report.record(metrics)
        return report.counts()

    return verify


_BUILDERS = {"stream_handler": _stream, "stats_handler": _stats, "verify_handler": _verify}
__getattr__ = handlers(_BUILDERS)
