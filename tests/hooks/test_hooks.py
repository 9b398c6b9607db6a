"""Logs, OpenTelemetry, Prometheus and LangSmith receive correct values and nothing private."""

from __future__ import annotations

import json
import logging
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from langroute import ChatRouter
from langroute.core.errors import MissingExtraError
from langroute.core.records import Attempt, Decision, Failure, Outcome, Selection, Step, Usage
from langroute.core.task_context import task
from langroute.hooks import LangSmithHook, LogHook, OTelHook, PrometheusHook
from langroute.ledger import open_ledger
from langroute.policies.cascade import Cascade
from langroute.policies.fixed import Fixed
from langroute.testing import ScriptedModel
from langroute.tracking.callbacks import OutcomeTracker
from langroute.tracking.outcomes import record_outcome

PRICES = {"small-1": {"input": 1, "output": 2}, "large-1": {"input": 10, "output": 20}}


def cascade(*hooks: Any, ledger: Any = None) -> ChatRouter:
    return ChatRouter(
        {"small": ScriptedModel("Hm.", model="small-1"), "large": ScriptedModel("42", model="large-1")},
        policy=Cascade(["small", "large"]),
        verifier=lambda message: "42" in message.text,
        prices=PRICES,
        hooks=hooks,
        ledger=ledger,
    )


@pytest.fixture
def otel() -> tuple[Any, Any, OTelHook]:
    pytest.importorskip("opentelemetry.sdk", reason="needs the extra `otel`")
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter, reader, OTelHook(tracers, MeterProvider([reader]))


def points(reader: Any) -> dict[str, list[Any]]:
    data = reader.get_metrics_data()
    found: dict[str, list[Any]] = {}
    for resource in data.resource_metrics if data is not None else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                found[metric.name] = list(metric.data.data_points)
    return found


# OpenTelemetry -------------------------------------------------------------------------------------------------------


def test_each_attempt_is_a_client_span_under_its_decision(otel: Any) -> None:
    exporter, _, hook = otel
    answer = cascade(hook).invoke("What is 6 * 7?")
    small, large, decision = exporter.get_finished_spans()
    assert decision.name == "langroute decide"
    assert [small.name, large.name] == ["chat small-1", "chat large-1"]
    assert {span.kind.name for span in (small, large)} == {"CLIENT"}
    assert {span.parent.span_id for span in (small, large)} == {decision.context.span_id}
    carried = answer.response_metadata["langroute"]
    assert decision.attributes["langroute.decision_id"] == carried["decision_id"]
    assert decision.attributes["langroute.escalations"] == 1
    assert decision.attributes["langroute.cost_usd"] == pytest.approx(carried["cost_usd"])
    assert large.attributes["gen_ai.operation.name"] == "chat"
    assert large.attributes["gen_ai.usage.output_tokens"] == answer.usage_metadata["output_tokens"]
    assert large.attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert [span.attributes["langroute.result"] for span in (small, large)] == ["rejected", "kept"]
    assert decision.start_time <= small.start_time <= small.end_time <= large.end_time <= decision.end_time


def test_no_span_ends_after_the_one_around_it(otel: Any) -> None:
    exporter, _, hook = otel
    for index in range(500):
        failed = Attempt(Selection("small"), latency_s=index * 1.1e-7, error_type="Late", failure=Failure("timeout"))
        kept = Attempt(Selection("large"), latency_s=index * 3.7e-7)
        started_at = 1_795_577_875.873 + index * 1e-6
        hook.on_decision(Decision("d1", Step(), "large", (failed, kept), started_at=started_at, overhead_s=index * 1.3e-7))
        first, second, decision = exporter.get_finished_spans()
        assert decision.start_time <= first.start_time <= first.end_time == second.start_time
        assert second.start_time <= second.end_time == decision.end_time
        exporter.clear()


def test_a_decision_is_part_of_the_trace_around_it(otel: Any) -> None:
    from opentelemetry.sdk.trace import TracerProvider

    exporter, _, hook = otel
    with TracerProvider().get_tracer("app").start_as_current_span("request") as around:
        cascade(hook).invoke("What is 6 * 7?")
    assert exporter.get_finished_spans()[-1].parent.span_id == around.get_span_context().span_id


def test_a_failed_attempt_says_which_error_it_was(otel: Any) -> None:
    exporter, reader, hook = otel
    failed = Attempt(Selection("small"), error_type="RateLimitError", failure=Failure("rate_limited"), cost_usd=0.0, latency_s=0.5)
    hook.on_decision(Decision("d1", Step(), None, (failed,), started_at=1.0))
    attempt, decision = exporter.get_finished_spans()
    assert attempt.attributes["error.type"] == "RateLimitError"
    assert {attempt.status.status_code.name, decision.status.status_code.name} == {"ERROR"}
    assert points(reader)["gen_ai.client.operation.duration"][0].attributes["error.type"] == "RateLimitError"


def test_the_model_that_was_asked_and_the_one_that_served_are_told_apart(otel: Any) -> None:
    exporter, reader, hook = otel
    served = AIMessage("42", response_metadata={"model_name": "small-1-2026-08-07", "finish_reason": "stop"})
    ChatRouter({"small": ScriptedModel(served, model="small-1")}, prices=PRICES, hooks=[hook]).invoke("What is 6 * 7?")
    attempt = exporter.get_finished_spans()[0]
    assert attempt.attributes["gen_ai.request.model"] == "small-1"
    assert attempt.attributes["gen_ai.response.model"] == "small-1-2026-08-07"
    (duration,) = points(reader)["gen_ai.client.operation.duration"]
    assert duration.attributes["gen_ai.request.model"] == "small-1"


def test_metrics_follow_the_conventions(otel: Any) -> None:
    _, reader, hook = otel
    model = cascade(hook)
    for _ in range(3):
        model.invoke("What is 6 * 7?")
    found = points(reader)
    duration = {point.attributes["gen_ai.request.model"]: point.count for point in found["gen_ai.client.operation.duration"]}
    assert duration == {"small-1": 3, "large-1": 3}
    kinds = {point.attributes["gen_ai.token.type"] for point in found["gen_ai.client.token.usage"]}
    assert kinds == {"input", "output"}
    assert sum(point.value for point in found["langroute.decisions"]) == 3
    spent = sum(decision.cost_usd for decision in model.ledger.decisions)
    assert sum(point.value for point in found["langroute.cost"]) == pytest.approx(spent)
    assert "langroute.cost.unknown" not in found or not found["langroute.cost.unknown"]


def test_an_outcome_is_an_evaluation_event_of_the_span_around_it(otel: Any) -> None:
    exporter, reader, hook = otel
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    with tracers.get_tracer("app").start_as_current_span("request"):
        hook.on_outcome(Outcome("resolved", success=True, score=1.0, source="tests"))
    event = exporter.get_finished_spans()[0].events[0]
    assert event.name == "gen_ai.evaluation.result"
    assert event.attributes["gen_ai.evaluation.score.label"] == "pass"
    assert sum(point.value for point in points(reader)["langroute.outcomes"]) == 1


# Prometheus ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def scraped() -> Iterator[tuple[PrometheusHook, Any]]:
    client = pytest.importorskip("prometheus_client", reason="needs the extra `prometheus`")
    registry = client.CollectorRegistry()
    hook = PrometheusHook(registry, most_values=5)
    server, thread = client.start_http_server(0, addr="127.0.0.1", registry=registry)

    def scrape() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=10) as response:
            return str(response.read().decode())

    yield hook, scrape
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.server
def test_prometheus_scrapes_what_happened(scraped: Any) -> None:
    hook, scrape = scraped
    model = cascade(hook)
    for _ in range(2):
        model.invoke("What is 6 * 7?")
    record_outcome(model, True, task_id="t1", key="resolved", source="tests")
    text = scrape()
    assert 'langroute_calls_total{error_type="",model="small-1",result="rejected",route="small"} 2.0' in text
    assert 'langroute_calls_total{error_type="",model="large-1",result="kept",route="large"} 2.0' in text
    assert 'langroute_escalations_total{route="large",step_kind="answer",task_kind=""} 2.0' in text
    assert 'langroute_outcomes_total{key="resolved",source="tests",success="true"} 1.0' in text
    assert 'langroute_call_seconds_count{route="large"} 2.0' in text
    spent = sum(decision.cost_usd for decision in model.ledger.decisions)
    line = next(line for line in text.splitlines() if line.startswith("langroute_cost_usd_total"))
    assert float(line.split()[-1]) == pytest.approx(spent)


@pytest.mark.server
def test_labels_stay_few_whatever_comes(scraped: Any) -> None:
    """A model name with a date in it, an error class per user: the series stay bounded."""
    hook, scrape = scraped
    for number in range(500):
        attempt = Attempt(Selection(f"route-{number}"), model=f"m-{number}", usage=Usage(1, 1), cost_usd=0.1, latency_s=0.1)
        step = Step(f"kind-{number}", task_kind=f"task-{number}", node=f"node-{number}")
        hook.on_decision(Decision(f"d{number}", step, f"route-{number}", (attempt,), cost_usd=0.1, started_at=1.0))
        hook.on_outcome(Outcome(f"key-{number}", success=True, source=f"source-{number}"))
    text = scrape()
    assert 'route="other"' in text
    assert sum(line.startswith("langroute_decisions_total") for line in text.splitlines()) <= 6
    assert len(text.splitlines()) < 250


# Logs ----------------------------------------------------------------------------------------------------------------


def test_a_decision_is_one_line_with_its_facts(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "langroute"):
        model = cascade(LogHook())
        model.invoke("What is 6 * 7?")
        record_outcome(model, True, task_id="t1", source="tests")
    decision, outcome = [json.loads(record.getMessage()) for record in caplog.records]
    assert (decision["event"], decision["route"], decision["escalations"], decision["attempts"]) == ("decision", "large", 1, 2)
    assert caplog.records[0].langroute["cost_usd"] == decision["cost_usd"]
    assert (outcome["event"], outcome["success"]) == ("outcome", True)


def test_what_failed_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    failed = Attempt(Selection("small"), error_type="RateLimitError")
    with caplog.at_level(logging.INFO, "langroute"):
        LogHook().on_decision(Decision("d1", Step(), None, (failed,)))
    assert caplog.records[0].levelno == logging.WARNING


# LangSmith -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def langsmith() -> Iterator[tuple[Any, list[tuple[str, Any]]]]:
    """LangSmith's own client, talking to a server that writes down what it is sent."""
    from langsmith import Client

    heard: list[tuple[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.command != "GET":
                heard.append((self.path, json.loads(body) if body.startswith((b"{", b"[")) else body))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b"{}")

        do_GET = do_POST = do_PATCH = _answer

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    client = Client(api_url=f"http://127.0.0.1:{server.server_port}", api_key="test", auto_batch_tracing=False)
    yield client, heard
    client.close()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.server
def test_an_outcome_becomes_feedback_on_the_run_of_its_answer(langsmith: Any) -> None:
    client, heard = langsmith
    hook = LangSmithHook(client)
    model = cascade(hook)
    answer = model.invoke("What is 6 * 7?")
    run_id = answer.id.removeprefix("lc_run--")[:36]
    record_outcome(model, False, message=answer, key="thumbs", comment="canary-comment", source="user")
    record_outcome(model, True, task_id="somebody's ticket", source="tests")
    hook.flush()
    sent = [body for path, body in heard if path.startswith("/feedback")]
    assert len(sent) == 1
    assert (sent[0]["run_id"], sent[0]["key"], sent[0]["score"]) == (run_id, "thumbs", 0.0)
    assert "canary" not in json.dumps(sent)
    assert hook.dropped == 1


def test_feedback_from_langsmith_becomes_outcomes() -> None:
    from datetime import datetime, timezone
    from uuid import uuid4

    from langsmith.schemas import APIFeedbackSource, Feedback, ModelFeedbackSource

    from langroute.ledger.facts import TaskRecord
    from langroute.ledger.memory import MemoryLedger
    from langroute.tracking.outcomes import pull_langsmith

    run = uuid4()
    ledger = MemoryLedger()
    ledger.record_task(TaskRecord("t1", "ok", 1.0, 2.0, str(run)))

    def feedback(key: str, score: float, source: Any) -> Feedback:
        now = datetime.now(timezone.utc)
        return Feedback(
            id=uuid4(), created_at=now, modified_at=now, run_id=run, trace_id=run, key=key, score=score, feedback_source=source
        )

    class Listing:
        def list_feedback(self, run_ids: Any) -> Iterator[Feedback]:
            yield feedback("thumbs", 1, APIFeedbackSource())
            yield feedback("tone", 0, ModelFeedbackSource())
            yield feedback("length", 0.4, APIFeedbackSource())

    assert pull_langsmith(Listing(), [run], ledger) == 3
    told = {outcome.key: (outcome.success, outcome.source) for outcome in ledger.outcomes_of("t1")}
    assert told == {
        "thumbs": (True, "langsmith:api"),
        "tone": (False, "evaluator:langsmith:tone"),
        "length": (None, "langsmith:api"),
    }
    assert ledger.task("t1").success is True


# What is not installed, and what is not told -------------------------------------------------------------------------


@pytest.mark.parametrize(("hook", "package"), [("OTelHook", "opentelemetry"), ("PrometheusHook", "prometheus_client")])
def test_a_missing_package_is_named(hook: str, package: str) -> None:
    """In an interpreter in which it is not installed; importing the hooks is fine there."""
    import subprocess
    import sys

    program = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "{package}":
            raise ModuleNotFoundError(name)
for name in [name for name in sys.modules if name.split(".")[0] == "{package}"]:
    del sys.modules[name]
sys.meta_path.insert(0, Missing())
from langroute.core.errors import MissingExtraError
from langroute.hooks import {hook}
try:
    {hook}()
except MissingExtraError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert "pip install 'langroute[" in done.stdout
    assert issubclass(MissingExtraError, ImportError)


@pytest.mark.filterwarnings("ignore::langroute.core.errors.LangrouteWarning")
def test_nothing_private_leaves_through_any_door(otel: Any, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """A prompt, an answer, an error's text, a key, a name, a thread: planted everywhere, searched for in every byte."""
    client = pytest.importorskip("prometheus_client", reason="needs the extra `prometheus`")
    exporter, reader, otel_hook = otel
    registry = client.CollectorRegistry()

    def check(message: Any) -> bool:
        raise ValueError(f"canary-verifier {message.text}")

    class Leaky:
        name = "leaky"

        def select(self, request: Any, attempts: Any) -> Selection | None:
            if not attempts:
                return Selection("small", "tried first", provisional=True)
            if len(attempts) == 1:
                raise RuntimeError(f"canary-policy {request.messages[-1].content}")
            return None

    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger, caplog.at_level(logging.DEBUG, "langroute"):
        model = ChatRouter(
            {
                "small": ScriptedModel(RuntimeError("canary-error"), "canary-answer", model="small-1"),
                "large": ScriptedModel("canary-answer", model="large-1"),
            },
            policy=Leaky(),
            verifier=check,
            ledger=ledger,
            hooks=[otel_hook, PrometheusHook(registry), LogHook()],
            prices=PRICES,
        )
        tracker = OutcomeTracker(ledger)
        config = {
            "callbacks": [tracker],
            "tags": ["canary-tag"],
            "metadata": {"email": "canary-name", "api_key": "canary-key"},
            "configurable": {"thread_id": "canary-thread"},
        }
        plain = ScriptedModel("canary-answer", model="other")
        with task("ticket-17", user="canary-name", team="search"):
            answer = [model.invoke("canary-prompt", config) for _ in range(3)][-1]
            plain.invoke("canary-prompt", config)
        model.invoke("canary-prompt", config)
        record_outcome(model, False, message=answer, comment="canary-comment")
        record_outcome(model, True, task_id="canary-thread")
        ledger.rollup()
        open_bytes = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    told = {
        "database": open_bytes + b"".join(file.read_bytes() for file in tmp_path.iterdir()),
        "logs": "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records).encode(),
        "traces": "\n".join(span.to_json() for span in exporter.get_finished_spans()).encode(),
        "metrics": str(reader.get_metrics_data().to_json()).encode(),
        "prometheus": client.generate_latest(registry),
    }
    for door, found in told.items():
        assert b"small-1" in found, door
        assert b"canary" not in found, f"{door}: {found[found.index(b'canary') - 200 :][:400]!r}"
    with open_ledger(path) as ledger:
        assert ledger.task("ticket-17").decisions == 3
        assert ledger.task("canary-thread").success is True


def test_a_hook_works_with_a_pinned_route(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "langroute"):
        model = ChatRouter(
            {"small": ScriptedModel("Hi.")},
            policy=Fixed("small"),
            hooks=[LogHook()],
            prices={"scripted": {"input": 1, "output": 1}},
        )
        model.invoke("Hello?")
    assert json.loads(caplog.records[0].getMessage())["route"] == "small"
