"""Prometheus hook: exports decisions as metrics with a fixed set of labels, each with a bounded number of values."""

from __future__ import annotations

import weakref
from typing import Any

from langroute.core.errors import MissingExtraError
from langroute.core.locks import new_lock
from langroute.core.records import Attempt, Decision, Outcome
from langroute.hooks.facts import HITS, Bounded, escalations, result_of

CALL_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
OVERHEAD_SECONDS = (2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 5e-3, 0.05, 0.5)


class PrometheusHook:
    """Export counters and histograms of decisions for Prometheus to scrape.

    Labels are routes, models, kinds and sources: names given by programmers. Tasks, threads, users and nodes are not labels.

    Args:
        registry: By default the library's default registry.
        most_values: Most values of each label; further ones become `other`.

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
        # The library's own locks would stay locked in a child that is forked while a thread counts: this lock prevents that.
        self._lock = new_lock()
        self._series: dict[tuple[Any, ...], Any] = {}
        """A metric and values of its labels → what counts them: the library takes longer to find it than to count."""

        who = ["route", "step_kind", "task_kind"]
        self._decisions = Counter("langroute_decisions", "Decisions.", [*who, "cache", "result"], **into)
        self._calls = Counter("langroute_calls", "Calls of routes.", ["route", "model", "result", "error_type"], **into)
        self._seconds = Histogram("langroute_call_seconds", "Time a call took.", ["route"], buckets=CALL_SECONDS, **into)
        self._overhead = Histogram("langroute_overhead_seconds", "Time spent deciding.", buckets=OVERHEAD_SECONDS, **into)
        self._cost = Counter("langroute_cost_usd", "Known cost of decisions.", who, **into)
        self._unknown = Counter("langroute_unknown_costs", "Decisions of unknown cost.", who, **into)
        self._tokens = Counter("langroute_tokens", "Tokens of calls.", ["route", "type"], **into)
        self._escalations = Counter("langroute_escalations", "Rejected answers that another route was tried after.", who, **into)
        # A gauge, not a counter: routing can cost more than the baseline, so the savings can decrease.
        # In the library's multi-process mode the workers' gauges are summed, those of ended workers too where they count from the start.
        self._saved = Gauge(
            "langroute_saved_usd",
            "Baseline minus cost, where both are known, since the start.",
            who,
            multiprocess_mode="sum",
            **into,
        )
        self._problems = Counter("langroute_problems", "What failed inside langroute and was worked around.", **into)
        self._outcomes = Counter("langroute_outcomes", "Outcomes.", ["key", "source", "success"], **into)
        self._waiting = Gauge(
            "langroute_ledger_waiting", "Records that wait to be written to the ledger.", multiprocess_mode="livesum", **into
        )
        self._failing = Gauge(
            "langroute_ledger_failing", "1 while the ledger cannot be written.", multiprocess_mode="livemax", **into
        )
        self._dropped = Counter("langroute_ledger_dropped", "Records that the ledger has lost.", **into)
        self._ledgers: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        """The watched ledgers, each with its number of lost records so far."""

    def watch_ledger(self, ledger: Any) -> None:
        """Export what a ledger holds and loses; routers call this with theirs."""
        if callable(watch := getattr(ledger, "watch", None)):
            with self._lock:
                self._ledgers.setdefault(ledger, 0)
            watch(self.on_ledger)
            self.on_ledger()

    def on_ledger(self) -> None:
        """Bring the metrics of the ledgers up to date; their threads call this after each writing."""
        with self._lock:
            ledgers = list(self._ledgers.items())
            self._waiting.set(sum(ledger.waiting for ledger, _ in ledgers))
            self._failing.set(any(ledger.trouble is not None for ledger, _ in ledgers))
            for ledger, known in ledgers:
                if (dropped := ledger.dropped) > known:
                    self._ledgers[ledger] = dropped
                    self._dropped.inc(dropped - known)

    def on_decision(self, decision: Decision) -> None:
        """Count a decision and its calls."""
        with self._lock:
            self._count(decision)

    def _count(self, decision: Decision) -> None:
        shown = self._bounded
        who = (
            shown("route", decision.route),
            shown("step_kind", decision.step.kind),
            shown("task_kind", decision.step.task_kind),
        )
        result = "answered" if decision.route is not None else "failed"
        self._of(self._decisions, *who, decision.cache.partition(":")[0], result).inc()
        if decision.cost_usd is None:
            self._of(self._unknown, *who).inc()
        else:
            self._of(self._cost, *who).inc(max(0.0, decision.cost_usd))
        if decision.saved_usd is not None:
            self._of(self._saved, *who).inc(decision.saved_usd)
        if up := escalations(decision):
            self._of(self._escalations, *who).inc(up)
        if decision.problems:
            self._problems.inc(len(decision.problems))
        self._overhead.observe(decision.overhead_s)
        for attempt in decision.attempts:
            # The calls of a subtask are those of the steps inside, which have been counted.
            if not (attempt.is_closing or decision.subtask):
                self._count_call(decision, attempt)

    def _of(self, metric: Any, *values: str | None) -> Any:
        """Return what counts these values of a metric's labels."""
        key = (metric, *values)
        found = self._series.get(key)
        if found is None:
            found = self._series[key] = metric.labels(*values)
        return found

    def _count_call(self, decision: Decision, attempt: Attempt) -> None:
        shown = self._bounded
        route, error = shown("route", attempt.route), shown("error", attempt.error_type)
        model = shown("model", attempt.model or attempt.asked_model)
        self._of(self._calls, route, model, result_of(attempt, decision), error).inc()
        if attempt.cache in HITS:
            return
        self._of(self._seconds, route).observe(attempt.latency_s)
        usage = attempt.usage
        if usage is not None:
            for name in type(usage).__dataclass_fields__:
                if amount := getattr(usage, name):
                    self._of(self._tokens, route, name.removesuffix("_tokens")).inc(amount)

    def on_outcome(self, outcome: Outcome) -> None:
        """Count an outcome."""
        succeeded = "" if outcome.success is None else str(outcome.success).lower()
        with self._lock:
            self._of(self._outcomes, self._bounded("key", outcome.key), self._bounded("source", outcome.source), succeeded).inc()


__all__ = ["PrometheusHook"]
