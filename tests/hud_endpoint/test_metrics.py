"""What is counted: one name in CloudWatch, in Prometheus, in the alarms and in docs/operating.md."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from hud_endpoint.metrics import METRICS, NAMESPACES, CloudWatchMetrics, Metrics, PrometheusMetrics, make_metrics
from oot_local.processes import reserve_port
from oot_replicator.comparing.report import Report
from oot_replicator.writing.writer import Written, batch_numbers

ROOT = Path(__file__).resolve().parents[2]
EVERY = [(part, name) for part, metrics in METRICS.items() for name in metrics]


def emf(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the metadata and the values of a line in CloudWatch's embedded metric format."""
    (line,) = text.splitlines()
    values = json.loads(line)
    about = values.pop("_aws")
    (metrics,) = about["CloudWatchMetrics"]
    return metrics, values


@pytest.mark.parametrize(("part", "name"), EVERY)
def test_a_number_has_one_name_everywhere(
    part: str, name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "another dimension, which alarms don't ask for")
    metric = METRICS[part][name]
    labels = dict.fromkeys(metric.labels, "x")
    CloudWatchMetrics(part).record({name: 2.5}, **labels)
    assert emf(capsys.readouterr().out) == (
        {
            "Namespace": NAMESPACES[part],
            "Dimensions": [list(metric.labels)],
            "Metrics": [{"Name": name, "Unit": metric.unit}],
        },
        {name: [2.5], **labels},
    )
    prometheus = PrometheusMetrics(part)
    prometheus.record({name: 2.5}, **labels)
    prometheus.write(tmp_path / "x.prom")
    families = {family.name: family for family in text_string_to_metric_families((tmp_path / "x.prom").read_text())}
    unit = "_seconds" if metric.unit == "Seconds" else ""
    family = families[f"oot_{part}_{name}{unit}".replace("_seconds_seconds", "_seconds")]
    assert (family.type, family.documentation) == (metric.kind, metric.help)
    assert 2.5 in [sample.value for sample in family.samples if labels.items() <= sample.labels.items()]
    assert [path.name for path in tmp_path.iterdir()] == ["x.prom"]


def test_names_are_one_in_each_namespace() -> None:
    names = [(NAMESPACES[part], name) for part, name in EVERY]
    assert len(set(names)) == len(names)
    assert METRICS.keys() == NAMESPACES.keys()


def test_numbers_of_a_kind_travel_together(capsys: pytest.CaptureFixture[str]) -> None:
    records: list[dict[str, Any]] = [
        {"dynamodb": {}},
        {"dynamodb": {"ApproximateCreationDateTime": datetime(2026, 5, 4, tzinfo=UTC)}},
    ]
    CloudWatchMetrics("replicator").record(batch_numbers(records, Written(rows=1, dead=1)))
    about, values = emf(capsys.readouterr().out)
    assert [metric["Name"] for metric in about["Metrics"]] == ["records", "rows", "dead_letters", "lag", "last_batch"]
    assert (values["records"], values["rows"], values["dead_letters"]) == ([2], [1], [1])
    assert values["lag"][0] > 0
    assert batch_numbers(records[:1], Written(0, 0))["lag"] == 0


def test_a_comparison_counts_everything_that_is_known_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    Report(datetime.now(UTC)).record(CloudWatchMetrics("verify"))
    about, _ = emf(capsys.readouterr().out)
    assert {metric["Name"] for metric in about["Metrics"]} == set(METRICS["verify"])


@pytest.mark.parametrize("metrics", [CloudWatchMetrics("relay"), PrometheusMetrics("relay")], ids=["emf", "prometheus"])
def test_a_name_that_is_in_no_table_is_refused(metrics: Metrics) -> None:
    with pytest.raises(KeyError, match="callback"):
        metrics.record({"callback": 1}, outcome="delivered")


def test_prometheus_is_served_on_a_port_of_its_own() -> None:
    metrics = PrometheusMetrics("relay")
    server = metrics.serve(0, "127.0.0.1")
    try:
        metrics.record({"refusals": 1}, code="expired_token")
        metrics.record({"refusals": 1}, code="expired_token")
        metrics.record({"latency": 0.2})
        metrics.record({"outbox_depth": 3}, queue="dead")
        text = requests.get(f"http://127.0.0.1:{server.server_port}/metrics", timeout=60).text
    finally:
        server.shutdown()
        server.server_close()
    for line in (
        'oot_relay_refusals_total{code="expired_token"} 2.0',
        "oot_relay_latency_seconds_count 1.0",
        'oot_relay_outbox_depth{queue="dead"} 3.0',
    ):
        assert line in text


def test_the_setting_chooses(capsys: pytest.CaptureFixture[str]) -> None:
    make_metrics("relay", "none").record({"latency": 1})
    assert capsys.readouterr().out == ""
    make_metrics("relay", "emf").record({"latency": 1})
    assert '"latency"' in capsys.readouterr().out
    port = reserve_port(0, "metrics")
    make_metrics("relay", "prometheus", port, "127.0.0.1").record({"latency": 1})
    text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=60).text
    assert "oot_relay_latency_seconds_count 1.0" in text
    with pytest.raises(OSError, match="in use"):
        make_metrics("relay", "prometheus", port, "127.0.0.1")


def test_the_operators_table_is_this_one() -> None:
    text = (ROOT / "docs/operating.md").read_text()
    rows = re.findall(r"^\| (\w+) \| `(\w+)` \| (\w+) \| ([^|]*) \| (\w+) \| ([^|]+) \|$", text, re.MULTILINE)
    assert rows == [
        (part, name, metric.kind, ", ".join(f"`{label}`" for label in metric.labels), metric.unit, metric.help)
        for part, metrics in METRICS.items()
        for name, metric in metrics.items()
    ]
