"""How do outcomes get to LangSmith? As feedback on the run of the answer they are about.

LangSmith's own tracer already shows the route, step kind and decision of each call in the run's metadata, and the whole decision in the
answer's; this hook adds what came of it.
"""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from langroute.errors import DegradedWarning, MissingExtraError
from langroute.outcomes import to_langsmith
from langroute.records import Decision, Outcome


class LangSmithHook:
    """Sends outcomes to LangSmith as feedback, in a thread of its own.

    An outcome of a run, or of a decision that was made here lately, is sent; one of a task alone has no run in LangSmith and is not.
    Comments are not sent unless asked for.

    Args:
        client: A `langsmith.Client`; one made from the environment where none is given.
        comments: Send what people wrote, too.
        most_runs: How many decisions are remembered with their runs.
        most_waiting: Most outcomes waiting to be sent; what finds no room is counted in `dropped`.

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
        """Outcomes that were not sent: their run is unknown, there was no room, or LangSmith did not take them."""

        self._runs: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()
        self._waiting: list[Future[None]] = []
        self._pool: ThreadPoolExecutor | None = None

    def on_decision(self, decision: Decision) -> None:
        """Remember which run a decision's answer came from."""
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
        # Somebody may have named a task after a person.
        told["source_info"].pop("task_id", None)
        with self._lock:
            self._waiting = [one for one in self._waiting if not one.done()]
            if told["run_id"] is None or len(self._waiting) >= self.most_waiting:
                self.dropped += 1
                return
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, "langroute-langsmith")
            self._waiting.append(self._pool.submit(self._send, told))

    def _send(self, told: dict[str, Any]) -> None:
        try:
            self.client.create_feedback(**told)
        except Exception as error:  # noqa: BLE001 - LangSmith being away must not harm the program
            self.dropped += 1
            if self.dropped == 1:
                warnings.warn(f"LangSmith did not take an outcome: {type(error).__name__}", DegradedWarning, stacklevel=2)

    def flush(self, timeout_s: float = 30.0) -> None:
        """Return when what waits is sent."""
        with self._lock:
            waiting = list(self._waiting)
        wait(waiting, timeout=timeout_s)


__all__ = ["LangSmithHook"]
