"""What a ledger holds and loses, as metrics; gauges in Prometheus' multi-process mode."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from waiting import wait_until

from langroute import ChatRouter, Route
from langroute.hooks import OTelHook, PrometheusHook
from langroute.ledger import open_ledger
from langroute.testing import ScriptedModel

PRICE = {"input": 1, "output": 2}


def test_prometheus_shows_what_waits_and_what_is_lost(tmp_path: Path) -> None:
    client = pytest.importorskip("prometheus_client")
    registry = client.CollectorRegistry()
    ledger = open_ledger(tmp_path / "l.db", flush_interval_s=0.01)
    model = ChatRouter({"only": Route(ScriptedModel("Hm."), price=PRICE)}, ledger=ledger, hooks=[PrometheusHook(registry)])

    def value(name: str) -> Any:
        return registry.get_sample_value(name)

    assert [value(f"langroute_ledger_{name}") for name in ("waiting", "failing", "dropped_total")] == [0, 0, 0]
    with ledger.engine.connect() as blocker:
        # Another program writes for a long time.
        blocker.exec_driver_sql("ROLLBACK")
        blocker.exec_driver_sql("BEGIN IMMEDIATE")
        model.invoke("Hello?")
        assert ledger.waiting >= 0
        blocker.exec_driver_sql("ROLLBACK")
        blocker.exec_driver_sql("BEGIN")
    ledger.flush()
    wait_until(lambda: value("langroute_ledger_waiting") == 0)
    ledger.close()
    with pytest.warns(UserWarning, match="The ledger is closed"):
        model.invoke("Hello?")
    assert value("langroute_ledger_dropped_total") == ledger.dropped == 1


def test_trouble_is_shown_until_it_is_over(tmp_path: Path) -> None:
    client = pytest.importorskip("prometheus_client")
    registry = client.CollectorRegistry()
    ledger = open_ledger(tmp_path / "l.db", flush_interval_s=0.01)
    model = ChatRouter({"only": Route(ScriptedModel("Hm."), price=PRICE)}, ledger=ledger, hooks=[PrometheusHook(registry)])
    with ledger.reading() as connection:
        connection.exec_driver_sql("ALTER TABLE calls RENAME TO elsewhere")
        connection.commit()
    model.invoke("Hello?")
    wait_until(lambda: registry.get_sample_value("langroute_ledger_failing") == 1)
    assert ledger.trouble is not None
    assert registry.get_sample_value("langroute_ledger_waiting") == 1
    with ledger.reading(flush=False) as connection:
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO calls")
        connection.commit()
    wait_until(lambda: registry.get_sample_value("langroute_ledger_failing") == 0)
    assert registry.get_sample_value("langroute_ledger_waiting") == 0
    ledger.close()


def test_opentelemetry_shows_them_when_it_collects(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    hook = OTelHook(meter_provider=MeterProvider([reader]))
    ledger = open_ledger(tmp_path / "l.db")
    model = ChatRouter({"only": Route(ScriptedModel("Hm."), price=PRICE)}, ledger=ledger, hooks=[hook])
    ledger.close()
    with pytest.warns(UserWarning, match="The ledger is closed"):
        model.invoke("Hello?")
    found: dict[str, float] = {}
    for scope in reader.get_metrics_data().resource_metrics[0].scope_metrics:
        for metric in scope.metrics:
            if metric.name.startswith("langroute.ledger"):
                found[metric.name] = metric.data.data_points[0].value
    assert found == {"langroute.ledger.waiting": 0, "langroute.ledger.dropped": 1}


WORKER = """
import sys
from langroute import ChatRouter, Route
from langroute.hooks import PrometheusHook
from langroute.ledger import open_ledger
from langroute.testing import ScriptedModel
ledger = open_ledger(sys.argv[1])
routes = {name: Route(ScriptedModel(*["Hm."] * 9), price={"input": cost, "output": cost}) for name, cost in (("small", 1), ("large", 3))}
model = ChatRouter(routes, route="small", ledger=ledger, hooks=[PrometheusHook()])
for _ in range(int(sys.argv[2])):
    model.invoke("Hello?")
ledger.close()
"""


def test_gauges_of_several_processes_are_one_sum(tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client")
    from prometheus_client import CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    (tmp_path / "metrics").mkdir()
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics")}
    for calls in (1, 3):
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", WORKER, str(tmp_path / "l.db"), str(calls)], env=environment, check=True
        )
    samples = [
        sample
        for metric in MultiProcessCollector(CollectorRegistry(), path=str(tmp_path / "metrics")).collect()
        for sample in metric.samples
    ]
    saved = [sample for sample in samples if sample.name == "langroute_saved_usd"]
    assert len(saved) == 1
    assert "pid" not in saved[0].labels
    spent = sum(sample.value for sample in samples if sample.name == "langroute_cost_usd_total")
    assert saved[0].value == pytest.approx(2 * spent)
    assert not [sample for sample in samples if "pid" in sample.labels]
