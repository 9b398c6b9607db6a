"""LangSmith hook: sends outcomes as feedback on the run of the answer they are about.

LangSmith's own tracer already shows the route, step kind and decision of each call in the run's metadata, and the whole decision in the
answer's; this hook adds the outcomes.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from typing import Any

from langroute.core.errors import DegradedWarning, MissingExtraError
from langroute.core.locks import new_lock
from langroute.core.process_end import at_end
from langroute.core.records import Decision, Outcome
from langroute.core.worker_pool import Workers
from langroute.tracking.outcomes import to_langsmith


class LangSmithHook:
    """Send outcomes to LangSmith as feedback from a background thread.

    Outcomes of a run, or of a decision made recently in this process, are sent; an outcome of a task alone has no run in LangSmith.
    Comments are sent only if `comments` is set.

    Args:
        client: A `langsmith.Client`; by default one configured from the environment.
        comments: Also send comments.
        most_runs: Most decisions that are remembered with their runs.
        most_waiting: Most outcomes waiting to be sent; further ones are dropped and counted in `dropped`.

    Raises:
        MissingExtraError: `langsmith` is not installed.
    """

    def __init__(self, client: Any = None, *, comments: bool = False, most_runs: int = 10_000, most_waiting: int = 1000) -> None:
        if client is None:
            try:
                from langsmith import Client
            except ImportError as error:
                raise MissingExtraError("langsmith", "agents", "LangSmithHook") from error
            client = Client()
        self.client, self.comments, self.most_runs, self.most_waiting = client, comments, most_runs, most_waiting
        self.dropped = 0
        """Number of outcomes that were not sent: their run is unknown, the queue was full, or LangSmith rejected them."""

        self._runs: OrderedDict[str, str] = OrderedDict()
        self._lock = new_lock()
        self._workers = Workers("langroute-langsmith")
        at_end(self, LangSmithHook.flush)

    def on_decision(self, decision: Decision) -> None:
        """Remember the run of a decision's answer."""
        if decision.run_id is not None:
            with self._lock:
                self._runs[decision.id] = decision.run_id
                if len(self._runs) > self.most_runs:
                    self._runs.popitem(last=False)

    def on_outcome(self, outcome: Outcome) -> None:
        """Send an outcome."""
        told = to_langsmith(outcome)
        if told["run_id"] is None:
            told["run_id"] = self._runs.get(outcome.decision_id or "")
        if not self.comments:
            told["comment"] = None
        # Task ids may contain people's names.
        told["source_info"].pop("task_id", None)
        if told["run_id"] is None or self._workers.submit(self._send, told, most=self.most_waiting) is None:
            self.dropped += 1

    def _send(self, told: dict[str, Any]) -> None:
        try:
            self.client.create_feedback(**told)
        except Exception as error:  # noqa: BLE001 - LangSmith being away must not harm the program
            self.dropped += 1
            if self.dropped == 1:
                warnings.warn(f"LangSmith did not take an outcome: {type(error).__name__}", DegradedWarning, stacklevel=2)

    def flush(self, timeout_s: float = 30.0) -> None:
        """Block until everything queued is sent."""
        self._workers.wait(timeout_s)


__all__ = ["LangSmithHook"]
