"""OpenTelemetry hook: exports decisions as traces and metrics.

Follows the semantic conventions for generative AI: a client span `chat <model>` for each attempt, `gen_ai.client.operation.duration` and
`gen_ai.client.token.usage`; attributes that they do not define are under `langroute.*`. No message is ever part of a span.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from langroute.core.errors import MissingExtraError
from langroute.core.records import Attempt, Decision, Outcome
from langroute.hooks.facts import HITS, Bounded, decision_facts, outcome_facts, result_of
from langroute.providers.registry import telemetry_name

TOKEN_BUCKETS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
DURATION_BUCKETS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Histogram borders recommended by the semantic conventions."""


class OTelHook:
    """Export decisions as OpenTelemetry traces and metrics.

    The span of a decision is a child of the current span where the router is called, and is written when the decision is
    made, with the real times of its attempts.

    Args:
        tracer_provider: By default the global one.
        meter_provider: By default the global one.
        most_values: Most values of each attribute of a metric; further ones become `other`.

    Raises:
        MissingExtraError: OpenTelemetry is not installed.
    """

    def __init__(self, tracer_provider: Any = None, meter_provider: Any = None, *, most_values: int = 100) -> None:
        try:
            from opentelemetry import metrics, trace
        except ImportError as error:
            raise MissingExtraError("opentelemetry-api", "otel", "OTelHook") from error
        self._trace = trace
        self._tracer = trace.get_tracer("langroute", tracer_provider=tracer_provider)
        meter = metrics.get_meter("langroute", meter_provider=meter_provider)
        self._bounded = Bounded(most_values)
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="GenAI operation duration.",
            explicit_bucket_boundaries_advisory=DURATION_BUCKETS,
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=TOKEN_BUCKETS,
        )
        self._decisions = meter.create_counter("langroute.decisions", unit="{decision}", description="Decisions.")
        self._cost = meter.create_counter("langroute.cost", unit="USD", description="Known cost of decisions.")
        self._unknown = meter.create_counter("langroute.cost.unknown", unit="{decision}", description="Decisions of unknown cost.")
        self._saved = meter.create_up_down_counter(
            "langroute.saved", unit="USD", description="Baseline minus cost, where both are known."
        )
        self._overhead = meter.create_histogram(
            "langroute.overhead", unit="s", description="Time spent deciding.", explicit_bucket_boundaries_advisory=_SMALL
        )
        self._outcomes = meter.create_counter("langroute.outcomes", unit="{outcome}", description="Outcomes.")
        self._ledgers: weakref.WeakSet[Any] = weakref.WeakSet()
        self._observe(meter, metrics.Observation)

    def _observe(self, meter: Any, observation: Callable[[int], Any]) -> None:
        """Create the instruments of ledgers, which are read when metrics are collected."""
        ledgers, record = self._ledgers, "{record}"

        def reading(amount: Callable[[Any], int]) -> list[Callable[[Any], Any]]:
            return [lambda _: [observation(sum(map(amount, list(ledgers))))]]

        waiting = "Records that wait to be written to the ledger."
        meter.create_observable_up_down_counter(
            "langroute.ledger.waiting", reading(lambda ledger: ledger.waiting), unit=record, description=waiting
        )
        lost = "Records that the ledger has lost."
        meter.create_observable_counter(
            "langroute.ledger.dropped", reading(lambda ledger: ledger.dropped), unit=record, description=lost
        )

    def watch_ledger(self, ledger: Any) -> None:
        """Export what a ledger holds and loses; routers call this with theirs."""
        if hasattr(ledger, "waiting"):
            self._ledgers.add(ledger)

    # Decisions -------------------------------------------------------------------------------------------------------

    def on_decision(self, decision: Decision) -> None:
        """Record a span for the decision and one for each attempt, and the metrics of both."""
        start = _ns(decision.started_at)
        facts = {f"langroute.{name}": value for name, value in decision_facts(decision).items() if name not in ("run_id", "model")}
        span = self._tracer.start_span("langroute decide", start_time=start, attributes=facts)
        inside = self._trace.set_span_in_context(span)
        # Whole nanoseconds from here on: a float of seconds since 1970 has a resolution of about 256 ns, too coarse to order spans.
        ended = start + _ns(decision.overhead_s)
        for index, attempt in enumerate(decision.attempts):
            if attempt.is_closing:
                # No model was called.
                continue
            begun, ended = ended, ended + _ns(attempt.latency_s)
            if decision.subtask:
                self._subtask(decision, attempt, index, begun, ended, inside)
            else:
                self._attempt(decision, attempt, index, begun, ended, inside)
        if decision.route is None:
            span.set_status(self._trace.StatusCode.ERROR)
        span.end(end_time=ended)
        self._measure(decision)

    def _subtask(self, decision: Decision, attempt: Attempt, index: int, begun: int, ended: int, context: Any) -> None:
        """Record a span for an attempt at a whole subtask, which is no call of a model: those inside have spans and metrics of their own."""
        attributes: dict[str, Any] = {
            "langroute.route": attempt.route,
            "langroute.attempt": index,
            "langroute.result": result_of(attempt, decision),
        }
        optional = {"error.type": attempt.error_type, "langroute.score": attempt.score}
        attributes.update((name, value) for name, value in optional.items() if value is not None)
        span = self._tracer.start_span("langroute attempt", context=context, start_time=begun, attributes=attributes)
        if not attempt.ok:
            span.set_status(self._trace.StatusCode.ERROR)
        span.end(end_time=ended)

    def _attempt(self, decision: Decision, attempt: Attempt, index: int, begun: int, ended: int, context: Any) -> None:
        model, provider = attempt.asked_model or attempt.model or attempt.route, telemetry_name(attempt.provider)
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": model,
            "langroute.route": attempt.route,
            "langroute.attempt": index,
            "langroute.result": result_of(attempt, decision),
        }
        optional: dict[str, Any] = {
            "gen_ai.response.model": attempt.model,
            "gen_ai.agent.name": decision.step.agent,
            "gen_ai.response.time_to_first_chunk": attempt.first_token_s,
            "error.type": attempt.error_type,
            "langroute.cost_usd": attempt.cost_usd,
            "langroute.score": attempt.score,
            "langroute.propensity": attempt.selection.propensity,
        }
        if attempt.finish_reason is not None:
            optional["gen_ai.response.finish_reasons"] = (attempt.finish_reason,)
        usage = attempt.usage
        if usage is not None:
            optional["gen_ai.usage.input_tokens"] = usage.input_tokens
            optional["gen_ai.usage.output_tokens"] = usage.output_tokens
            optional["gen_ai.usage.cache_read.input_tokens"] = usage.cache_read or None
            optional["gen_ai.usage.cache_creation.input_tokens"] = (usage.cache_write + usage.cache_write_1h) or None
            optional["gen_ai.usage.reasoning.output_tokens"] = usage.reasoning or None
        attributes.update((name, value) for name, value in optional.items() if value is not None)
        span = self._tracer.start_span(
            f"chat {model}", context=context, kind=self._trace.SpanKind.CLIENT, start_time=begun, attributes=attributes
        )
        if not attempt.ok:
            span.set_status(self._trace.StatusCode.ERROR)
        span.end(end_time=ended)
        if attempt.cache in HITS:
            # No model was called.
            return
        measured = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": self._bounded("provider", provider),
            "gen_ai.request.model": self._bounded("model", model),
            "langroute.route": self._bounded("route", attempt.route),
        }
        failed = {"error.type": self._bounded("error", attempt.error_type)} if attempt.error_type else {}
        self._duration.record(attempt.latency_s, {**measured, **failed})
        if usage is not None:
            self._tokens.record(usage.input_tokens, {**measured, "gen_ai.token.type": "input"})
            self._tokens.record(usage.output_tokens, {**measured, "gen_ai.token.type": "output"})

    def _measure(self, decision: Decision) -> None:
        labels = {
            "langroute.route": self._bounded("route", decision.route),
            "langroute.step_kind": self._bounded("step_kind", decision.step.kind),
            "langroute.task_kind": self._bounded("task_kind", decision.step.task_kind),
            "langroute.cache": decision.cache.partition(":")[0],
        }
        self._decisions.add(1, labels)
        if decision.cost_usd is None:
            self._unknown.add(1, labels)
        else:
            self._cost.add(decision.cost_usd, labels)
        if decision.saved_usd is not None:
            self._saved.add(decision.saved_usd, labels)
        self._overhead.record(decision.overhead_s, {"langroute.route": labels["langroute.route"]})

    # Outcomes --------------------------------------------------------------------------------------------------------

    def on_outcome(self, outcome: Outcome) -> None:
        """Count an outcome, and add it to the current span."""
        facts = outcome_facts(outcome)
        succeeded = "" if outcome.success is None else str(outcome.success).lower()
        self._outcomes.add(
            1,
            {
                "langroute.key": self._bounded("key", outcome.key),
                "langroute.source": self._bounded("source", outcome.source),
                "langroute.success": succeeded,
            },
        )
        event: dict[str, Any] = {"gen_ai.evaluation.name": outcome.key}
        if outcome.score is not None:
            event["gen_ai.evaluation.score.value"] = outcome.score
        if outcome.success is not None:
            event["gen_ai.evaluation.score.label"] = "pass" if outcome.success else "fail"
        event.update({f"langroute.{name}": value for name, value in facts.items() if name not in ("key", "score", "success")})
        self._trace.get_current_span().add_event("gen_ai.evaluation.result", event)


_SMALL = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 0.1, 1.0)


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)


__all__ = ["OTelHook"]
