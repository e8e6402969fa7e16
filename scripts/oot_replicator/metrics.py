"""What the replicator counts, and where it tells: its log, Prometheus on a private port, or CloudWatch's log lines.

EMF: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAMESPACE = "OotHudReplicator"


class Batch(NamedTuple):
    """One batch: records read, rows written, dead letters, and how old its newest record was when it was durable."""

    records: int
    rows: int
    dead: int
    lag_seconds: float

    def to_json(self) -> str:
        """The batch as one line."""
        return json.dumps(self._asdict())


class Metrics(Protocol):
    """Where the numbers of batches go."""

    def batch(self, batch: Batch) -> None: ...
    def gap(self) -> None: ...
    def shards(self, held: int) -> None: ...


class NoMetrics:
    """Tells nobody."""

    def batch(self, batch: Batch) -> None:
        """Forget it."""

    def gap(self) -> None:
        """Forget it."""

    def shards(self, held: int) -> None:
        """Forget it."""


class EmfMetrics:
    """Writes a JSON line for each batch, which CloudWatch turns into metrics."""

    def batch(self, batch: Batch) -> None:
        """Keep a batch's numbers."""
        self._write({"rows": batch.rows, "dead_letters": batch.dead, "records": batch.records}, batch.lag_seconds)

    def gap(self) -> None:
        """Count what the stream had forgotten."""
        self._write({"gaps": 1})

    def shards(self, held: int) -> None:
        """Keep how many shards this worker reads."""
        self._write({"shards": held})

    def _write(self, counts: dict[str, int], lag_seconds: float | None = None) -> None:
        metrics = [{"Name": name, "Unit": "Count"} for name in counts]
        values: dict[str, Any] = dict(counts)
        if lag_seconds is not None:
            metrics.append({"Name": "lag", "Unit": "Seconds"})
            values["lag"] = lag_seconds
        told = {"Namespace": NAMESPACE, "Dimensions": [[]], "Metrics": metrics}
        print(json.dumps({"_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [told]}, **values}))


class PrometheusMetrics:
    """Serves `/metrics` on a port of its own."""

    def __init__(self, port: int, address: str = "127.0.0.1") -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

        registry = CollectorRegistry()
        self._rows = Counter("oot_replicator_rows", "Rows written to ClickHouse", registry=registry)
        self._records = Counter("oot_replicator_records", "Records read from the stream", registry=registry)
        self._dead = Counter("oot_replicator_dead_letters", "Records that can't become rows", registry=registry)
        self._gaps = Counter("oot_replicator_gaps", "Times that the stream had forgotten records", registry=registry)
        self._lag = Gauge("oot_replicator_lag_seconds", "Age of the newest record when written", registry=registry)
        self._at = Gauge("oot_replicator_last_batch_seconds", "When the last batch was written", registry=registry)
        self._shards = Gauge("oot_replicator_shards", "Shards that this worker reads", registry=registry)
        self.server, self._thread = start_http_server(port, address, registry=registry)

    def batch(self, batch: Batch) -> None:
        """Keep a batch's numbers."""
        self._rows.inc(batch.rows)
        self._records.inc(batch.records)
        self._dead.inc(batch.dead)
        self._lag.set(batch.lag_seconds)
        self._at.set_to_current_time()

    def gap(self) -> None:
        """Count what the stream had forgotten."""
        self._gaps.inc()

    def shards(self, held: int) -> None:
        """Keep how many shards this worker reads."""
        self._shards.set(held)


def lag_seconds(records: Sequence[Mapping[str, Any]], now: datetime) -> float:
    """Give the age of the newest of these records, 0 where they don't tell theirs."""
    times = [record.get("dynamodb", {}).get("ApproximateCreationDateTime") for record in records[-1:]]
    return max((now - told).total_seconds(), 0.0) if times and isinstance(told := times[0], datetime) else 0.0
