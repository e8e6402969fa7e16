"""What the relay counts, and where it tells: Prometheus on a private port, or CloudWatch's embedded metric format.

EMF: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from hud_endpoint.settings import RelaySettings

NAMESPACE = "OotHudRelay"
Unit = Literal["Count", "Seconds"]


class Metrics(Protocol):
    """Where numbers go."""

    def count(self, name: str, **labels: str) -> None: ...
    def observe(self, name: str, seconds: float) -> None: ...
    def gauge(self, name: str, value: float, **labels: str) -> None: ...


class NoMetrics:
    """Tells nobody."""

    def count(self, name: str, **labels: str) -> None:
        """Forget it."""

    def observe(self, name: str, seconds: float) -> None:
        """Forget it."""

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Forget it."""


class EmfMetrics:
    """Writes a JSON line for each number, which CloudWatch turns into metrics."""

    def count(self, name: str, **labels: str) -> None:
        """Add one."""
        self._write(name, 1, "Count", labels)

    def observe(self, name: str, seconds: float) -> None:
        """Keep a duration."""
        self._write(name, seconds, "Seconds", {})

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Keep a level."""
        self._write(name, value, "Seconds" if name.endswith("_age") else "Count", labels)

    def _write(self, name: str, value: float, unit: Unit, labels: dict[str, str]) -> None:
        metric = {"Namespace": NAMESPACE, "Dimensions": [list(labels)], "Metrics": [{"Name": name, "Unit": unit}]}
        line = {"_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [metric]}, name: value, **labels}
        print(json.dumps(line), file=sys.stdout, flush=True)


class PrometheusMetrics:
    """Serves `/metrics` on a port of its own, which is not the public one."""

    def __init__(self, port: int, address: str = "127.0.0.1") -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

        registry = CollectorRegistry()
        self._counters = {
            "callbacks": Counter("oot_relay_callbacks", "Callbacks by outcome", ["outcome"], registry=registry),
            "refusals": Counter("oot_relay_refusals", "Refusals by code", ["code"], registry=registry),
        }
        self._latency = {"latency": Histogram("oot_relay_seconds", "Seconds to an answer", registry=registry)}
        self._gauges = {
            "outbox_depth": Gauge("oot_relay_outbox_entries", "Entries by queue", ["queue"], registry=registry),
            "outbox_age": Gauge("oot_relay_outbox_age_seconds", "Age of the oldest waiting entry", registry=registry),
            "sweeper_age": Gauge("oot_relay_sweeper_age_seconds", "Seconds since the last sweep", registry=registry),
        }
        self.server, self._thread = start_http_server(port, address, registry=registry)

    def count(self, name: str, **labels: str) -> None:
        """Add one."""
        self._counters[name].labels(**labels).inc()

    def observe(self, name: str, seconds: float) -> None:
        """Keep a duration."""
        self._latency[name].observe(seconds)

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Keep a level."""
        gauge = self._gauges[name]
        (gauge.labels(**labels) if labels else gauge).set(value)


def make_metrics(settings: RelaySettings) -> Metrics:
    """Give what the settings ask for."""
    if settings.metrics == "emf":
        return EmfMetrics()
    if settings.metrics == "prometheus":
        return PrometheusMetrics(settings.metrics_port, settings.metrics_address)
    return NoMetrics()
