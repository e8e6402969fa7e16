"""What is counted, in one table of names, and where it goes: to CloudWatch in log lines, or to Prometheus.

`outbox_age` of the relay is CloudWatch's metric `outbox_age` in the namespace OotHudRelay, and Prometheus'
`oot_relay_outbox_age_seconds`: its part before the name, its unit behind it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Exporter = Literal["none", "prometheus", "emf"]
NAMESPACES = {"relay": "OotHudRelay", "replicator": "OotHudReplicator", "verify": "OotHudReplicator"}


class Metric(NamedTuple):
    """A number, and the labels that tell its kinds apart (CloudWatch's dimensions)."""

    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    unit: Literal["Count", "Seconds"] = "Count"


METRICS: Mapping[str, Mapping[str, Metric]] = {
    "relay": {
        "callbacks": Metric("counter", "Callbacks by outcome", ("outcome",)),
        "refusals": Metric("counter", "Refusals by code", ("code",)),
        "dropped_fields": Metric("counter", "Optional fields that could not be read"),
        "latency": Metric("histogram", "Time to an answer", unit="Seconds"),
        "outbox_depth": Metric("gauge", "Entries by queue", ("queue",)),
        "outbox_age": Metric("gauge", "Age of the oldest waiting entry", unit="Seconds"),
        "sweeper_age": Metric("gauge", "Time since the last sweep", unit="Seconds"),
    },
    "replicator": {
        "rows": Metric("counter", "Rows written to ClickHouse"),
        "records": Metric("counter", "Records read from the stream"),
        "dead_letters": Metric("counter", "Records that can't become rows"),
        "gaps": Metric("counter", "Times that the stream had forgotten records"),
        "shards": Metric("gauge", "Shards of the stream that can be read now"),
        "lag": Metric("gauge", "Age of the newest record when written", unit="Seconds"),
        "last_batch": Metric("gauge", "When the last batch was written, since 1970", unit="Seconds"),
    },
    "verify": {
        "compared": Metric("gauge", "Jobs compared"),
        "missing": Metric("gauge", "Jobs without a row"),
        "stale": Metric("gauge", "Jobs whose row says something else"),
        "extra": Metric("gauge", "Rows without a job"),
        "in_flight": Metric("gauge", "Jobs that changed while they were compared"),
        "poison": Metric("gauge", "Jobs that can't become rows"),
        "repaired": Metric("gauge", "Rows written, of those missing or stale"),
        "differences": Metric("gauge", "Missing, stale and extra ones together, repaired or not"),
        "seconds": Metric("gauge", "Time that the comparison took", unit="Seconds"),
        "timestamp": Metric("gauge", "When the comparison ended, since 1970", unit="Seconds"),
    },
}


class Metrics:
    """Where the numbers of a part go: nowhere, if it is this class itself."""

    def record(self, values: Mapping[str, float], **labels: str) -> None:
        """Add to counters, observe in histograms and set gauges; the labels are those of each of the names."""


class CloudWatchMetrics(Metrics):
    """Writes a line in CloudWatch's embedded metric format."""

    def __init__(self, part: str) -> None:
        self._namespace = NAMESPACES[part]
        self._metrics = METRICS[part]

    def record(self, values: Mapping[str, float], **labels: str) -> None:
        from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

        emf = AmazonCloudWatchEMFProvider(namespace=self._namespace, service="")  # "": no dimension of that name
        for name, value in values.items():
            emf.add_metric(name, self._metrics[name].unit, value)
        for name, label in labels.items():
            emf.add_dimension(name, label)
        print(json.dumps(emf.serialize_metric_set()), flush=True)


class PrometheusMetrics(Metrics):
    """Keeps the numbers in a registry, which is served or written to a file."""

    def __init__(self, part: str) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.registry = CollectorRegistry()
        self._record: dict[str, tuple[Any, str]] = {}
        ways = {"counter": (Counter, "inc"), "gauge": (Gauge, "set"), "histogram": (Histogram, "observe")}
        for name, metric in METRICS[part].items():
            make, method = ways[metric.kind]
            collector = make(prometheus_name(part, name), metric.help, metric.labels, registry=self.registry)
            self._record[name] = collector, method

    def record(self, values: Mapping[str, float], **labels: str) -> None:
        for name, value in values.items():
            collector, method = self._record[name]
            getattr(collector.labels(**labels) if labels else collector, method)(value)

    def serve(self, port: int, address: str) -> Any:  # noqa: ANN401 - prometheus_client's server
        """Serve `/metrics` in a thread of its own; return the server. Raises OSError where the port is taken."""
        from prometheus_client import start_http_server

        return start_http_server(port, address, registry=self.registry)[0]

    def write(self, path: Path) -> None:
        """Write a file for node_exporter's textfile collector, which never sees half of it."""
        from prometheus_client import write_to_textfile

        write_to_textfile(str(path), self.registry)


def prometheus_name(part: str, name: str) -> str:
    """Return Prometheus' name of a metric; its client adds `_total` to a counter's."""
    unit = "_seconds" if METRICS[part][name].unit == "Seconds" and name != "seconds" else ""
    return f"oot_{part}_{name}{unit}"


def make_metrics(part: str, exporter: Exporter, port: int = 0, address: str = "") -> Metrics:
    """Return what records a part's numbers, and serve them where that is asked for. Raises OSError, as `serve` does."""
    if exporter == "emf":
        return CloudWatchMetrics(part)
    if exporter == "prometheus":
        metrics = PrometheusMetrics(part)
        metrics.serve(port, address)
        return metrics
    return Metrics()
