"""Tracking without passing a handler along: `with track(...)`, and the tracker that `LANGROUTE_LEDGER` asks for.

Calls are tracked with `ChatRouter` and without, so that a program can be measured before anything is routed. Pass an `OutcomeTracker` in
`config={"callbacks": [tracker]}`, or put the calls into `with track(...)`, or set `LANGROUTE_LEDGER` to a path or URL before the program
starts and import this module: then every run is tracked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from time import time
from typing import Any

from langchain_core.tracers.context import register_configure_hook

from langroute.core.locks import new_rlock
from langroute.core.records import Outcome
from langroute.core.task_context import task
from langroute.ledger.facts import TaskRecord, TaskTotals
from langroute.ledger.resolve import ENV_VAR, ledger_of_environment, resolve_ledger
from langroute.tracking.run_tree import state_of
from langroute.tracking.tracker import OutcomeTracker


class _FromEnvironment(OutcomeTracker):
    """The process-wide tracker that LangChain creates when `LANGROUTE_LEDGER` is set; it is a singleton."""

    rank = 0
    _made: _FromEnvironment | None = None
    _making = new_rlock()

    def __new__(cls) -> _FromEnvironment:
        with cls._making:
            if cls._made is None:
                cls._made = super().__new__(cls)
            return cls._made

    def __init__(self) -> None:
        if hasattr(self, "ledger"):
            return
        # The first runs of a program may begin at once, in many threads: they share one ledger.
        with self._making:
            if not hasattr(self, "ledger"):
                super().__init__(_ledger_of_environment())


def _ledger_of_environment() -> Any:
    """Return the ledger that the environment names. Where it cannot be opened, warn and go on without measuring."""
    # LangChain asks only where the variable is set.
    return ledger_of_environment()


_tracker: ContextVar[OutcomeTracker | None] = ContextVar("langroute_tracker", default=None)
# Register only once: each registration is checked in every run that begins in this process.
register_configure_hook(_tracker, inheritable=True, handle_class=_FromEnvironment, env_var=ENV_VAR)


@dataclass(frozen=True)
class Tracked:
    """The task of a `with track(...)` block."""

    id: str
    tracker: OutcomeTracker

    @property
    def totals(self) -> TaskTotals | None:
        """Return the totals of the task so far; `None` where nothing ran."""
        return self.tracker.task(self.id)

    def outcome(self, success: bool | None = None, **fields: Any) -> Outcome:
        """Record an outcome of the task; see `langroute.tracking.outcomes.record_outcome`."""
        from langroute.tracking.outcomes import record_outcome

        return record_outcome(self.tracker.ledger, task_id=self.id, success=success, **fields)


@contextmanager
def track(
    id: str | None = None,
    *,
    ledger: Any = None,
    tracker: OutcomeTracker | None = None,
    kind: str | None = None,
    **tags: str,
) -> Iterator[Tracked]:
    """Track every model call inside as part of one task, without passing a handler along.

    The task is visible in threads that copy the context (`asyncio.to_thread`, LangChain's own executors), not in a bare
    `threading.Thread`.

    Args:
        id: The task's id; a new one is made where none is given.
        ledger: Where the records are written: a ledger, or the path or URL of one; by default the ledger of the surrounding tracker, else
            memory.
        tracker: The tracker to use.
        kind: The user's own label for a family of tasks.
        tags: Team, project, user, environment and other labels that reports group by.

    Example:
        >>> from langroute.testing import ScriptedModel
        >>> with track("ticket-17", kind="support", team="search") as tracked:
        ...     answer = ScriptedModel("Hm.").invoke("What is 6 * 7?")
        >>> tracked.totals.calls, tracked.totals.kind
        (1, 'support')
    """
    around = _tracker.get()
    if ledger is not None:
        ledger = resolve_ledger(ledger)
    if tracker is None:
        tracker = around if around is not None and ledger in (None, around.ledger) else OutcomeTracker(ledger)
    begun = time()
    token = _tracker.set(tracker)
    try:
        with task(id, kind=kind, **tags) as entered:
            tracked = Tracked(entered.id, tracker)
            tracker.ledger.record_task(TaskRecord(entered.id, None, begun, None, None, entered.kind, tags))
            try:
                yield tracked
            except BaseException as error:
                state = state_of(error)
                tracker.ledger.record_task(TaskRecord(entered.id, state, begun, time(), None, entered.kind, tags))
                raise
    finally:
        _tracker.reset(token)


__all__ = ["ENV_VAR", "OutcomeTracker", "Tracked", "track"]
