"""Which task does every model call, tool call and error of a program belong to, and what did the task come to?

`OutcomeTracker` is a LangChain callback handler. It works with `ChatRouter` and without, so that a program can be measured before
anything is routed. Pass it in `config={"callbacks": [tracker]}`, or put the calls into `with track(...)`, or set
`LANGROUTE_LEDGER` to a path or URL before the program starts and import this module: then every run is tracked.
"""

from __future__ import annotations

import atexit
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from threading import RLock
from time import perf_counter, time
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers.context import register_configure_hook

from langroute.context import current_task, task
from langroute.errors import DegradedWarning, LangrouteError
from langroute.evaluators import Evaluator, Finished, Jury
from langroute.holding import Holding
from langroute.implicit import Implicit
from langroute.ledger.facts import JUDGE_TAG, TaskRecord, TaskTotals
from langroute.ledger.memory import MemoryLedger
from langroute.pricing import usage_of
from langroute.records import Outcome
from langroute.sightings import (
    CANCELLED,
    CONTROL,
    INTERRUPTS,
    LABELS,
    Root,
    Seen,
    Teller,
    generation_of,
    refused_cost,
    state_of,
    tried_before,
)
from langroute.steps import Inspector

ENV_VAR = "LANGROUTE_LEDGER"
"""A path or URL of a ledger: LangChain then tracks every run of the process, once this module is imported."""


class OutcomeTracker(BaseCallbackHandler):
    """Writes down every model call, tool call, retry, cache hit and error, each with its task.

    Works in sync and async code, threads, `batch`, sub-graphs and sub-agents: wherever LangChain's callbacks reach. A call that a
    `ChatRouter` made is in its decision already, and is not counted twice. The task is the one of `langroute.context.task` around
    the call; else `langroute_task` in its metadata; else the conversation (`thread_id`); else the root run.

    Args:
        ledger: Where it is written; in memory where none is given.
        prices: USD per million tokens by `provider:model` or model name, over the list prices.
        kind: What kind of task the runs are, where nobody says otherwise.
        tags: Team, project, user, environment and what else reports should group by.
        inspector: Tells what kind of step a call is.
        evaluators: Judge finished runs, in a thread of their own.
        implicit: Reads signals out of a person's next message; nothing is read where nothing is given.

    Example:
        >>> from langroute.testing import ScriptedModel
        >>> tracker = OutcomeTracker(prices={"scripted": {"input": 1, "output": 2}})
        >>> with track("t1", tracker=tracker):
        ...     answer = ScriptedModel("Hm.").invoke("What is 6 * 7?")
        >>> tracker.task("t1").calls, tracker.task("t1").unknown_costs
        (1, 0)
    """

    # Async managers then call it in place and in order; what it does takes microseconds.
    run_inline = True

    def __init__(
        self,
        ledger: Any = None,
        *,
        prices: Mapping[str, Any] | None = None,
        kind: str | None = None,
        tags: Mapping[str, str] | None = None,
        inspector: Inspector | None = None,
        evaluators: Iterable[Evaluator] = (),
        implicit: Implicit | None = None,
    ) -> None:
        self.ledger = MemoryLedger() if ledger is None else ledger
        self.kind, self.tags = kind, dict(tags or {})
        self.implicit = implicit
        self.jury = Jury(evaluators, self.ledger)
        self._keeps_text = bool(getattr(self.ledger, "keeps_text", False))
        self._teller = Teller(inspector or Inspector(), prices or {}, keeps_text=self._keeps_text)
        self._roots: OrderedDict[Any, Root] = OrderedDict()
        self._runs: dict[Any, Seen] = {}
        self._holding = Holding(self.ledger)
        self._lock = RLock()
        atexit.register(_finish, weakref.ref(self))

    # Reading ---------------------------------------------------------------------------------------------------------

    def task(self, task_id: str) -> TaskTotals | None:
        """What a task came to so far, or `None`."""
        self.flush()
        found: TaskTotals | None = self.ledger.task(task_id)
        return found

    def flush(self) -> None:
        """Return when all that was seen is in the ledger."""
        self.jury.wait()
        self._holding.flush()
        self.ledger.flush()

    # Runs ------------------------------------------------------------------------------------------------------------

    def _start(self, run_id: Any, parent: Any, metadata: Mapping[str, Any] | None, tags: Sequence[str] | None, what: str) -> Seen:
        known = metadata or {}
        judge = tags is not None and JUDGE_TAG in tags
        with self._lock:
            found = self._runs.get(run_id)
            if found is not None:
                return found
            above = self._runs.get(parent) if parent is not None else None
            if above is None:
                above = self._surrounding(parent)
            if above is not None:
                root = above.root
            elif judge and current_task() is None:
                # A check of an answer that belongs to no run: its cost is in the decision, and it is nobody's task.
                return Seen(Root(run_id, "", 0.0, None, {}))
            else:
                root = self._new_root(run_id, known, what)
            seen = root.runs[run_id] = self._runs[run_id] = Seen(root, what, metadata=known, judge=judge)
        if above is not None:
            seen.retry = above.retry
        for tag in tags or ():
            if tag.startswith("retry:attempt:"):
                seen.retry = tag != "retry:attempt:1"
        if what != "chain":
            seen.begun, seen.at = perf_counter(), time()
            around = current_task()
            told = around.id if around is not None else known.get("langroute_task")
            seen.task_id = str(told) if told else root.task_id
        return seen

    def _surrounding(self, parent: Any) -> Seen | None:
        """The run around a call whose own config hides it: `model.invoke(x, {"callbacks": [...]})` inside a node."""
        config = var_child_runnable_config.get()
        above = getattr((config or {}).get("callbacks"), "parent_run_id", None)
        return self._runs.get(above) if above is not None and above != parent else None

    def _new_root(self, run_id: Any, metadata: Mapping[str, Any], what: str) -> Root:
        around = current_task()
        thread = metadata.get("thread_id")
        if around is not None:
            task_id = around.id
        elif told := metadata.get("langroute_task"):
            task_id = str(told)
        elif thread:
            task_id = self.ledger.thread_task(str(thread))
        else:
            # Attempts of a decision that nothing surrounds are roots each; they are one task.
            task_id = str(metadata.get("langroute_decision_id") or run_id)
        tags = self.tags
        if not LABELS.keys().isdisjoint(metadata):
            tags = {**tags, **{key: str(metadata[name]) for name, key in LABELS.items() if name in metadata}}
        kind = (around.kind if around is not None else None) or metadata.get("langroute_task_kind") or self.kind
        root = Root(run_id, task_id, time(), kind, tags, is_call=what == "model")
        root.judged_by = self.jury.for_task(task_id)
        self._roots[run_id] = root
        if not root.is_call:
            self.ledger.record_task(TaskRecord(task_id, None, root.at, None, str(run_id), kind, tags))
        if len(self._roots) > 10_000:
            _, oldest = next(iter(self._roots.items()))
            self._end_root(oldest, "abandoned", "GeneratorExit")
        return root

    def _end(self, run_id: Any, error: BaseException | None = None) -> Seen | None:
        with self._lock:
            seen = self._runs.pop(run_id, None)
            if seen is None:
                return None
            root = seen.root
            root.runs.pop(run_id, None)
        if error is not None and type(error).__name__ in INTERRUPTS:
            root.interrupted = True
        return seen

    def _end_run(self, run_id: Any, error: BaseException | None = None) -> None:
        """A chain's end; a root's end ends the task's part."""
        seen = self._end(run_id, error)
        if seen is not None and seen.root.id == run_id:
            self._end_root(seen.root, state_of(seen.root, error), type(error).__name__ if error is not None else "CancelledError")

    def _end_root(self, root: Root, state: str, error_type: str) -> None:
        with self._lock:
            self._roots.pop(root.id, None)
            open_runs = list(root.runs.items()) if root.runs else ()
            for run_id, _ in open_runs:
                self._runs.pop(run_id, None)
        for run_id, seen in open_runs:
            # A call that is cancelled hears nothing more; it was made all the same, and what it cost nobody knows.
            if seen.what != "chain":
                self._record(seen, run_id, error_type=error_type, cost_usd=None if seen.what == "model" else 0.0)
        if root.held:
            # A root that is itself a call ends before its decision is written.
            (self._holding.hold if root.is_call else self._holding.settle)(root.held)
        self.ledger.record_task(TaskRecord(root.task_id, state, root.at, time(), str(root.id), root.kind, root.tags))
        if state == "abandoned":
            told = Outcome("abandoned", success=False, task_id=root.task_id, source="implicit:abandoned", at=time())
            self.ledger.record_outcome(told)
        elif state == "ok" and root.judged_by:
            messages = root.last.messages if root.last is not None else ()
            self.jury.judge(root.judged_by, Finished(root.task_id, str(root.id), root.inputs, root.output, messages, root.answer))

    # Chains ----------------------------------------------------------------------------------------------------------

    def on_chain_start(
        self,
        serialized: Any,
        inputs: Any,
        *,
        run_id: Any,
        parent_run_id: Any = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A chain, graph or node began."""
        seen = self._start(run_id, parent_run_id, metadata, tags, "chain")
        if seen.root.id == run_id and seen.root.judged_by:
            seen.root.inputs = inputs

    def on_chain_end(self, outputs: Any, *, run_id: Any, **kwargs: Any) -> None:
        """It ended."""
        root = self._roots.get(run_id)
        if root is not None and root.judged_by:
            root.output = outputs
        self._end_run(run_id)

    def on_chain_error(self, error: BaseException, *, run_id: Any, **kwargs: Any) -> None:
        """It failed, was interrupted, cancelled or left."""
        self._end_run(run_id, error)

    # Models ----------------------------------------------------------------------------------------------------------

    def on_chat_model_start(
        self,
        serialized: Any,
        messages: list[list[Any]],
        *,
        run_id: Any,
        parent_run_id: Any = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A chat model was called."""
        seen = self._start(run_id, parent_run_id, metadata, tags, "model")
        known = seen.metadata
        decision_id = known.get("langroute_decision_id")
        said = messages[0] if messages else ()
        if decision_id is not None:
            self._claim(seen.root, decision_id, seen.task_id)
            if self._keeps_text or seen.root.judged_by:
                seen.messages = tuple(said)
        else:
            # Looked at later, off the caller's path.
            seen.messages = tuple(said)
            seen.tools = (kwargs.get("invocation_params") or {}).get("tools") or ()
            seen.retry = seen.retry or tried_before(known)
        if self.implicit is not None:
            told = self.implicit.heard(said, seen.task_id, time())
            if told is not None:
                self.ledger.record_outcome(told)

    def on_llm_start(
        self,
        serialized: Any,
        prompts: list[str],
        *,
        run_id: Any,
        parent_run_id: Any = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A text model was called."""
        seen = self._start(run_id, parent_run_id, metadata, tags, "model")
        seen.retry = seen.retry or tried_before(seen.metadata)
        if self._keeps_text:
            seen.prompts = tuple(prompts)

    def on_llm_new_token(self, token: Any, *, run_id: Any, **kwargs: Any) -> None:
        """A token came."""
        seen = self._runs.get(run_id)
        if seen is not None and seen.first is None:
            seen.first = perf_counter() - seen.begun

    def on_stream_event(self, event: Any, *, run_id: Any, **kwargs: Any) -> None:
        """A part of a stream came."""
        self.on_llm_new_token(None, run_id=run_id)

    def on_retry(self, retry_state: Any, *, run_id: Any, **kwargs: Any) -> None:
        """An integration tries again inside one run: what failed was a call too."""
        seen = self._runs.get(run_id)
        if seen is None or seen.what != "model":
            return
        failed = retry_state.outcome.exception() if getattr(retry_state, "outcome", None) is not None else None
        name = type(failed).__name__ if failed is not None else "Retry"
        self._record(seen, None, error_type=name, cost_usd=refused_cost(name), basis="refused")
        seen.retry = True

    def on_llm_end(self, response: Any, *, run_id: Any, **kwargs: Any) -> None:
        """The model answered."""
        seen = self._end(run_id)
        if seen is None:
            return
        self._record(seen, run_id, response=response)
        root = seen.root
        if root.judged_by and not seen.judge:
            root.last, root.answer = seen, getattr(generation_of(response), "message", None)
            if root.id == run_id:
                root.inputs, root.output = seen.messages, root.answer
        if root.id == run_id:
            self._end_root(root, state_of(root, None), "CancelledError")

    def on_llm_error(self, error: BaseException, *, run_id: Any, **kwargs: Any) -> None:
        """The model failed."""
        seen = self._end(run_id, error)
        if seen is None:
            return
        name = type(error).__name__
        response = kwargs.get("response")
        if usage_of(getattr(generation_of(response), "message", None)) is None and seen.first is None and name not in CANCELLED:
            self._record(seen, run_id, error_type=name, cost_usd=refused_cost(name), basis="refused")
        else:
            self._record(seen, run_id, response=response, error_type=name)
        if seen.root.id == run_id:
            self._end_root(seen.root, state_of(seen.root, error), name)

    # Tools and retrievers --------------------------------------------------------------------------------------------

    def on_tool_start(
        self,
        serialized: Any,
        input_str: str,
        *,
        run_id: Any,
        parent_run_id: Any = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A tool was called."""
        seen = self._start(run_id, parent_run_id, metadata, tags, "tool")
        seen.name = kwargs.get("name") or (serialized or {}).get("name")

    def on_tool_end(self, output: Any, *, run_id: Any, **kwargs: Any) -> None:
        """It answered; a result that says it is an error is one."""
        self._end_other(run_id, "ToolError" if getattr(output, "status", None) == "error" else None)

    def on_tool_error(self, error: BaseException, *, run_id: Any, **kwargs: Any) -> None:
        """It failed."""
        self._end_other(run_id, type(error).__name__, error)

    def on_retriever_start(
        self,
        serialized: Any,
        query: str,
        *,
        run_id: Any,
        parent_run_id: Any = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A retriever was asked."""
        seen = self._start(run_id, parent_run_id, metadata, tags, "retriever")
        seen.name = kwargs.get("name")

    def on_retriever_end(self, documents: Any, *, run_id: Any, **kwargs: Any) -> None:
        """It answered."""
        self._end_other(run_id, None)

    def on_retriever_error(self, error: BaseException, *, run_id: Any, **kwargs: Any) -> None:
        """It failed."""
        self._end_other(run_id, type(error).__name__, error)

    def _end_other(self, run_id: Any, error_type: str | None, error: BaseException | None = None) -> None:
        seen = self._end(run_id, error)
        if seen is None:
            return
        self._record(seen, run_id, error_type=None if error_type in CONTROL else error_type, cost_usd=0.0)
        if seen.root.id == run_id:
            self._end_root(seen.root, state_of(seen.root, error), error_type or "CancelledError")

    def on_custom_event(self, name: str, data: Any, *, run_id: Any, **kwargs: Any) -> None:
        """A router says what it decided; a decision answered from a cache is heard of only here."""
        if name != "langroute_decision":
            return
        seen = self._runs.get(run_id)
        decision_id = data.get("decision_id")
        if seen is not None and decision_id is not None and data.get("task_id") is None:
            self._claim(seen.root, decision_id, seen.root.task_id)

    # Writing ---------------------------------------------------------------------------------------------------------

    def _claim(self, root: Root, decision_id: str, task_id: str) -> None:
        if decision_id not in root.claimed:
            root.claimed.add(decision_id)
            if task_id != decision_id:
                self.ledger.claim(decision_id, task_id)

    def _record(
        self,
        seen: Seen,
        run_id: Any,
        *,
        response: Any = None,
        error_type: str | None = None,
        cost_usd: float | None = None,
        basis: str | None = None,
    ) -> None:
        """Have a call written down. What it was and what it cost is worked out off the caller's path."""
        latency = perf_counter() - seen.begun
        make = partial(self._teller.tell, seen, run_id, latency, seen.retry, response, error_type, cost_usd, basis)
        if seen.judge or "langroute_decision_id" in seen.metadata:
            seen.root.held.append(make())
        else:
            self.ledger.record_call(make)


def _finish(reference: weakref.ref[OutcomeTracker]) -> None:
    tracker = reference()
    if tracker is not None:
        tracker.flush()


# Tracking without passing a handler along ----------------------------------------------------------------------------


class _FromEnvironment(OutcomeTracker):
    """The one tracker that LangChain makes when the environment says so; made again and again, it stays the same."""

    _made: _FromEnvironment | None = None
    _making = RLock()

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
    """The ledger that the environment names. Where it cannot be opened, the program runs on and is told that it is not measured."""
    import os

    from langroute.ledger import open_ledger

    try:
        # LangChain asks only where the variable is set.
        return open_ledger(os.environ[ENV_VAR])
    except LangrouteError as error:
        warnings.warn(f"{ENV_VAR}: {error} Nothing is recorded in this process.", DegradedWarning, stacklevel=2)
        return MemoryLedger(100)


_tracker: ContextVar[OutcomeTracker | None] = ContextVar("langroute_tracker", default=None)
# Once: each registration is looked at in every run that ever begins in this process.
register_configure_hook(_tracker, inheritable=True, handle_class=_FromEnvironment, env_var=ENV_VAR)


@dataclass(frozen=True)
class Tracked:
    """The task inside a `with track(...)`."""

    id: str
    tracker: OutcomeTracker

    @property
    def totals(self) -> TaskTotals | None:
        """What the task came to so far; `None` where nothing ran."""
        return self.tracker.task(self.id)

    def outcome(self, success: bool | None = None, **fields: Any) -> Outcome:
        """Tell how the task went; see `langroute.outcomes.record_outcome`."""
        from langroute.outcomes import record_outcome

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

    Threads see it where the context is copied (`asyncio.to_thread`, LangChain's own executors), not in a bare `threading.Thread`.

    Args:
        id: The task's id; a new one is made where none is given.
        ledger: Where it is written; that of the tracker around it, else in memory, where neither is given.
        tracker: The tracker to use.
        kind: The user's own label for a family of tasks.
        tags: Team, project, user, environment and what else reports should group by.

    Example:
        >>> from langroute.testing import ScriptedModel
        >>> with track("ticket-17", kind="support", team="search") as tracked:
        ...     answer = ScriptedModel("Hm.").invoke("What is 6 * 7?")
        >>> tracked.totals.calls, tracked.totals.kind
        (1, 'support')
    """
    around = _tracker.get()
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
                state = state_of(Root(None, entered.id, begun, entered.kind, tags), error)
                tracker.ledger.record_task(TaskRecord(entered.id, state, begun, time(), None, entered.kind, tags))
                raise
    finally:
        _tracker.reset(token)


__all__ = ["ENV_VAR", "OutcomeTracker", "Tracked", "track"]
