"""`CallRecorder`: what a ledger is told of a call that a tracker observed, and when."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from time import perf_counter
from typing import Any

from langroute.providers.usage import usage_of
from langroute.steps.inspector import Inspector
from langroute.tracking.observed_calls import CallReader, generation_of, refused_cost
from langroute.tracking.pending_calls import PendingCalls
from langroute.tracking.run_tree import CANCELLED, ObservedRun, Root


class CallRecorder:
    """Record observed calls in a ledger. A call that a router made is held until it is known whether a decision contains it.

    Args:
        ledger: Where the calls are recorded.
        inspector: Determines what kind of step a call is.
        prices: USD per million tokens by `provider:model` or model name, over the list prices.

    Raises:
        ConfigurationError: A price is invalid.
    """

    def __init__(self, ledger: Any, inspector: Inspector, prices: Mapping[str, Any]) -> None:
        self.ledger = ledger
        self.keeps_text = bool(getattr(ledger, "keeps_text", False))
        self._reader = CallReader(inspector, prices, keeps_text=self.keeps_text)
        self._pending = PendingCalls(ledger)

    def record(
        self,
        run: ObservedRun,
        run_id: Any,
        *,
        response: Any = None,
        error_type: str | None = None,
        cost_usd: float | None = None,
        basis: str | None = None,
    ) -> None:
        """Record a call; its kind and cost are determined off the caller's path.

        Args:
            run: What was seen when it began.
            run_id: Its run.
            response: What came back, if anything.
            error_type: Class of the error, if it failed.
            cost_usd: Its cost, where that is known without a price.
            basis: Where that cost comes from.
        """
        if not run.is_ours:
            return
        latency = perf_counter() - run.begun
        make = partial(self._reader.read, run, run_id, latency, run.retry, response, error_type, cost_usd, basis)
        if run.judge or "langroute_decision_id" in run.metadata:
            run.root.held.append(make())
        else:
            self.ledger.record_call(make)

    def record_failed(self, run: ObservedRun, run_id: Any, error: BaseException, response: Any = None) -> None:
        """Record a model call that raised; it costs nothing where the provider refused it before it answered."""
        name = type(error).__name__
        answered = usage_of(getattr(generation_of(response), "message", None)) is not None or run.first is not None
        if answered or name in CANCELLED:
            self.record(run, run_id, response=response, error_type=name)
        else:
            self.record(run, run_id, error_type=name, cost_usd=_refused_cost(run, error), basis="refused")

    def record_retry(self, run: ObservedRun, error: BaseException | None) -> None:
        """Record the failed call of an integration that retries inside one run."""
        name = type(error).__name__ if error is not None else "Retry"
        self.record(run, None, error_type=name, cost_usd=_refused_cost(run, error), basis="refused")
        run.retry = True

    def record_left(self, run: ObservedRun, run_id: Any, error_type: str) -> None:
        """Record a call of which no end was seen: it was made all the same, and its cost is unknown."""
        if run.what != "chain":
            self.record(run, run_id, error_type=error_type, cost_usd=None if run.what == "model" else 0.0)

    def claim(self, root: Root, decision_id: str, task_id: str) -> None:
        """Assign a decision to the task of the run in which it was made."""
        if decision_id not in root.claimed:
            root.claimed.add(decision_id)
            if task_id != decision_id:
                self.ledger.claim(decision_id, task_id)

    def settle(self, root: Root, state: str) -> None:
        """Record the routed calls of a root run that ended, unless their decisions contain them."""
        if not root.held:
            return
        if state in ("cancelled", "abandoned"):
            self._pending.hold_left(root.held)
        else:
            # A root that is itself a call ends before its decision is written.
            (self._pending.hold if root.is_call else self._pending.settle)(root.held)

    def flush(self, *, final: bool = False) -> None:
        """Record the calls that are held, unless their decisions contain them.

        Args:
            final: Also those of runs that were left a moment ago.
        """
        self._pending.flush(final=final)


def _refused_cost(run: ObservedRun, error: BaseException | None) -> float | None:
    """Return the cost of a failed call; a retry that does not say what failed is taken for one after a refusal."""
    return 0.0 if error is None else refused_cost(error, run.metadata.get("ls_provider"))


__all__ = ["CallRecorder"]
