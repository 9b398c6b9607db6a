"""How do decisions become Prometheus metrics? With a fixed set of labels, each with a bounded number of values."""

from __future__ import annotations

from typing import Any

from langroute.errors import MissingExtraError
from langroute.hooks.facts import HITS, Bounded, escalations, result_of
from langroute.records import Decision, Outcome

CALL_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
OVERHEAD_SECONDS = (2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 5e-3, 0.05, 0.5)


class PrometheusHook:
    """Counts and measures decisions for Prometheus to scrape.

    Labels are routes, models, kinds and sources: names that programmers give. Tasks, threads, users and nodes are none.

    Args:
        registry: The library's default registry where none is given.
        most_values: Most values of each label; the rest is `other`.

    Raises:
        MissingExtraError: `prometheus-client` is not installed.
    """

    def __init__(self, registry: Any = None, *, most_values: int = 100) -> None:
        try:
            from prometheus_client import REGISTRY, Counter, Gauge, Histogram
        except ImportError as error:
            raise MissingExtraError("prometheus-client", "prometheus", "PrometheusHook") from error
        into: dict[str, Any] = {"registry": REGISTRY if registry is None else registry}
        self._bounded = Bounded(most_values)
        who = ["route", "step_kind", "task_kind"]
        self._decisions = Counter("langroute_decisions", "Decisions.", [*who, "cache", "result"], **into)
        self._calls = Counter("langroute_calls", "Calls of routes.", ["route", "model", "result", "error_type"], **into)
        self._seconds = Histogram("langroute_call_seconds", "Time a call took.", ["route"], buckets=CALL_SECONDS, **into)
        self._overhead = Histogram("langroute_overhead_seconds", "Time spent deciding.", buckets=OVERHEAD_SECONDS, **into)
        self._cost = Counter("langroute_cost_usd", "Known cost of decisions.", who, **into)
        self._unknown = Counter("langroute_unknown_costs", "Decisions of unknown cost.", who, **into)
        self._tokens = Counter("langroute_tokens", "Tokens of calls.", ["route", "type"], **into)
        self._escalations = Counter("langroute_escalations", "Rejected answers that another route was tried after.", who, **into)
        # Routing can cost more than the baseline: what is saved goes down as well as up.
        self._saved = Gauge("langroute_saved_usd", "Baseline minus cost, where both are known, since the start.", who, **into)
        self._problems = Counter("langroute_problems", "What failed inside langroute and was worked around.", **into)
        self._outcomes = Counter("langroute_outcomes", "Outcomes.", ["key", "source", "success"], **into)

    def on_decision(self, decision: Decision) -> None:
        """Count a decision and its calls."""
        shown = self._bounded
        who = (
            shown("route", decision.route),
            shown("step_kind", decision.step.kind),
            shown("task_kind", decision.step.task_kind),
        )
        result = "answered" if decision.route is not None else "failed"
        self._decisions.labels(*who, decision.cache.partition(":")[0], result).inc()
        if decision.cost_usd is None:
            self._unknown.labels(*who).inc()
        else:
            self._cost.labels(*who).inc(max(0.0, decision.cost_usd))
        if decision.saved_usd is not None:
            self._saved.labels(*who).inc(decision.saved_usd)
        if up := escalations(decision):
            self._escalations.labels(*who).inc(up)
        if decision.problems:
            self._problems.inc(len(decision.problems))
        self._overhead.observe(decision.overhead_s)
        for attempt in decision.attempts:
            route = shown("route", attempt.route)
            error = shown("error", attempt.error_type)
            self._calls.labels(route, shown("model", attempt.model), result_of(attempt, decision), error).inc()
            if attempt.cache in HITS:
                continue
            self._seconds.labels(route).observe(attempt.latency_s)
            if attempt.usage is not None:
                usage = attempt.usage
                for name in ("input_tokens", "output_tokens", "cache_read", "cache_write", "cache_write_1h", "reasoning"):
                    if amount := getattr(usage, name):
                        self._tokens.labels(route, name.removesuffix("_tokens")).inc(amount)

    def on_outcome(self, outcome: Outcome) -> None:
        """Count an outcome."""
        succeeded = "" if outcome.success is None else str(outcome.success).lower()
        self._outcomes.labels(self._bounded("key", outcome.key), self._bounded("source", outcome.source), succeeded).inc()


__all__ = ["PrometheusHook"]
