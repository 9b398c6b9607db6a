"""`OutcomeTracker`: a LangChain callback handler that records every model call, tool call and error with its task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from time import perf_counter, time
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler

from langroute.core.errors import LedgerError
from langroute.core.process_end import at_end, is_pausing
from langroute.core.records import Outcome
from langroute.ledger.facts import TaskRecord, TaskTotals
from langroute.ledger.memory import MemoryLedger
from langroute.ledger.resolve import resolve_ledger
from langroute.providers.stream_usage import StreamedUsage
from langroute.steps.inspector import Inspector
from langroute.tracking.call_recorder import CallRecorder
from langroute.tracking.evaluators import Evaluator, Finished, Jury
from langroute.tracking.implicit_feedback import ImplicitFeedback
from langroute.tracking.observed_calls import generation_of
from langroute.tracking.run_tree import CONTROL, ObservedRun, Root, RunTree, state_of, tried_before


class OutcomeTracker(BaseCallbackHandler):
    """Callback handler that records every model call, tool call, retry, cache hit and error, each with its task.

    Works in sync and async code, threads, `batch`, sub-graphs and sub-agents: wherever LangChain's callbacks reach. A call that a
    `ChatRouter` made is in its decision already, and is not counted twice. The task is the one of `langroute.core.task_context.task` around
    the call; else `langroute_task` in its metadata; else the conversation (`thread_id`); else the root run.

    Args:
        ledger: Where the records are written: a ledger, or the path or URL of one; in memory where none is given.
        prices: USD per million tokens by `provider:model` or model name, over the list prices.
        kind: Task kind of the runs that name none.
        tags: Team, project, user, environment and other labels that reports group by.
        inspector: Determines what kind of step a call is.
        evaluators: `Evaluator`s that judge finished runs, in a separate thread.
        implicit: Reads feedback from a person's next message; off where nothing is given.

    Example:
        >>> from langroute.testing import ScriptedModel
        >>> tracker = OutcomeTracker(prices={"scripted": {"input": 1, "output": 2}})
        >>> answer = ScriptedModel("Hm.").invoke("Hi.", {"callbacks": [tracker], "metadata": {"langroute_task": "t1"}})
        >>> tracker.task("t1").calls, tracker.task("t1").unknown_costs
        (1, 0)
    """

    # Async callback managers then call the handler inline and in order; it takes microseconds.
    run_inline = True
    rank = 1
    """Of two trackers of one ledger that see a run, the one with the higher rank records it; of equals, the first."""

    def __init__(
        self,
        ledger: Any = None,
        *,
        prices: Mapping[str, Any] | None = None,
        kind: str | None = None,
        tags: Mapping[str, str] | None = None,
        inspector: Inspector | None = None,
        evaluators: Iterable[Evaluator] = (),
        implicit: ImplicitFeedback | None = None,
    ) -> None:
        self.ledger = MemoryLedger() if ledger is None else resolve_ledger(ledger)
        self.implicit = implicit
        self.jury = Jury(evaluators, self.ledger)
        self._calls = CallRecorder(self.ledger, inspector or Inspector(), prices or {})
        where = getattr(self.ledger, "identity", None) or id(self.ledger)
        self._tree = RunTree(self.ledger.thread_task, self._begin_root, kind=kind, tags=tags, ledger=where, rank=self.rank)
        at_end(self, _finish)

    # Reading ---------------------------------------------------------------------------------------------------------

    def task(self, task_id: str) -> TaskTotals | None:
        """Return the totals of a task so far, or `None` where it is unknown."""
        self.flush()
        found: TaskTotals | None = self.ledger.task(task_id)
        return found

    def flush(self, *, final: bool = False) -> None:
        """Wait until everything that was seen is in the ledger.

        A routed call whose stream was left a moment ago is not counted before its decision is written, or 5 s have passed.

        Args:
            final: Nothing more will be seen: such calls are counted now.
        """
        self.jury.wait()
        self._calls.flush(final=final)
        self.ledger.flush()

    # Tasks -----------------------------------------------------------------------------------------------------------

    def _begin_root(self, root: Root) -> None:
        root.judged_by = self.jury.for_task(root.task_id)
        if not root.is_call:
            self.ledger.record_task(TaskRecord(root.task_id, None, root.at, None, str(root.id), root.kind, root.tags))
        oldest = self._tree.overdue()
        if oldest is not None:
            self._end_root(oldest, "abandoned", "GeneratorExit")

    def _end_run(self, run: ObservedRun, run_id: Any, error: BaseException | None = None) -> None:
        """End the root that a run is, if it is one."""
        root = run.root
        if root.id == run_id:
            self._end_root(root, state_of(error, root.interrupted), type(error).__name__ if error is not None else "CancelledError")

    def _end_root(self, root: Root, state: str, error_type: str) -> None:
        for run_id, run in self._tree.end_root(root):
            self._calls.record_left(run, run_id, error_type)
        self._calls.settle(root, state)
        if not root.is_ours:
            return
        self.ledger.record_task(TaskRecord(root.task_id, state, root.at, time(), str(root.id), root.kind, root.tags))
        if state == "abandoned":
            found = Outcome("abandoned", success=False, task_id=root.task_id, source="implicit:abandoned", at=time())
            self.ledger.record_outcome(found)
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
        """Record that a chain, graph or node began."""
        root = self._tree.start(run_id, parent_run_id, metadata, tags, "chain").root
        if root.id == run_id and root.judged_by:
            root.inputs = inputs

    def on_chain_end(self, outputs: Any, *, run_id: Any, **kwargs: Any) -> None:
        """Record that a chain, graph or node ended."""
        root = self._tree.root(run_id)
        if root is not None and root.judged_by:
            root.output = outputs
        self._end_chain(run_id)

    def on_chain_error(self, error: BaseException, *, run_id: Any, **kwargs: Any) -> None:
        """Record that a chain failed, was interrupted, cancelled or abandoned."""
        self._end_chain(run_id, error)

    def _end_chain(self, run_id: Any, error: BaseException | None = None) -> None:
        run = self._tree.end(run_id, error)
        if run is not None:
            self._end_run(run, run_id, error)

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
        """Record that a chat model was called."""
        run = self._tree.start(run_id, parent_run_id, metadata, tags, "model")
        decision_id = run.metadata.get("langroute_decision_id")
        said = messages[0] if messages else ()
        if decision_id is not None:
            self._calls.claim(run.root, decision_id, run.task_id)
        else:
            run.tools = (kwargs.get("invocation_params") or {}).get("tools") or ()
            run.retry = run.retry or tried_before(run.metadata)
        if decision_id is None or self._calls.keeps_text or run.root.judged_by:
            # Inspected later, off the caller's path.
            run.messages = tuple(said)
        if self.implicit is not None:
            self._hear(said, run.task_id)

    def _hear(self, said: Any, task_id: str) -> None:
        """Record the feedback in what a person said, if any; feedback that cannot be read is ignored."""
        found = None
        with suppress(Exception):
            found = self.implicit.heard(said, task_id, time())  # type: ignore[union-attr]
        if found is not None:
            self.ledger.record_outcome(found)

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
        """Record that a text model was called."""
        run = self._tree.start(run_id, parent_run_id, metadata, tags, "model")
        run.retry = run.retry or tried_before(run.metadata)
        if self._calls.keeps_text:
            run.prompts = tuple(prompts)

    def on_llm_new_token(self, token: Any, *, run_id: Any, chunk: Any = None, **kwargs: Any) -> None:
        """Note the time of the first token, and the usage that chunks tell."""
        run = self._tree.run(run_id)
        if run is None:
            return
        if run.first is None:
            run.first = perf_counter() - run.begun
        if chunk is not None:
            if run.told is None:
                run.told = StreamedUsage()
            run.told.hear(chunk)

    def on_stream_event(self, event: Any, *, run_id: Any, **kwargs: Any) -> None:
        """Note the time of a stream's first part."""
        self.on_llm_new_token(None, run_id=run_id)

    def on_retry(self, retry_state: Any, *, run_id: Any, **kwargs: Any) -> None:
        """Record the failed call of an integration that retries inside one run."""
        run = self._tree.run(run_id)
        if run is not None and run.what == "model" and self._tree.records(run_id):
            outcome = getattr(retry_state, "outcome", None)
            self._calls.record_retry(run, outcome.exception() if outcome is not None else None)

    def on_llm_end(self, response: Any, *, run_id: Any, **kwargs: Any) -> None:
        """Record that the model answered."""
        run = self._tree.end(run_id)
        if run is None:
            return
        self._calls.record(run, run_id, response=response)
        if run.root.judged_by and not run.judge:
            _note_answer(run, run_id, response)
        self._end_run(run, run_id)

    def on_llm_error(self, error: BaseException, *, run_id: Any, **kwargs: Any) -> None:
        """Record that the model failed."""
        run = self._tree.end(run_id, error)
        if run is not None:
            self._calls.record_failed(run, run_id, error, kwargs.get("response"))
            self._end_run(run, run_id, error)

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
        """Record that a tool was called."""
        run = self._tree.start(run_id, parent_run_id, metadata, tags, "tool")
        run.name = kwargs.get("name") or (serialized or {}).get("name")

    def on_tool_end(self, output: Any, *, run_id: Any, **kwargs: Any) -> None:
        """Record that a tool returned; a result with status `error` counts as an error."""
        self._end_other(run_id, "ToolError" if getattr(output, "status", None) == "error" else None)

    def on_tool_error(self, error: BaseException, *, run_id: Any, **kwargs: Any) -> None:
        """Record that a tool failed."""
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
        """Record that a retriever was called."""
        self._tree.start(run_id, parent_run_id, metadata, tags, "retriever").name = kwargs.get("name")

    def on_retriever_end(self, documents: Any, *, run_id: Any, **kwargs: Any) -> None:
        """Record that a retriever returned."""
        self._end_other(run_id, None)

    def on_retriever_error(self, error: BaseException, *, run_id: Any, **kwargs: Any) -> None:
        """Record that a retriever failed."""
        self._end_other(run_id, type(error).__name__, error)

    def _end_other(self, run_id: Any, error_type: str | None, error: BaseException | None = None) -> None:
        run = self._tree.end(run_id, error)
        if run is not None:
            self._calls.record(run, run_id, error_type=None if error_type in CONTROL else error_type, cost_usd=0.0)
            self._end_run(run, run_id, error)

    def on_custom_event(self, name: str, data: Any, *, run_id: Any, **kwargs: Any) -> None:
        """Receive a router's decision event; a decision that was answered from the cache is seen only here."""
        run = self._tree.run(run_id) if name == "langroute_decision" else None
        if run is not None and data.get("task_id") is None and data.get("decision_id") is not None:
            self._calls.claim(run.root, data["decision_id"], run.root.task_id)


def _note_answer(run: ObservedRun, run_id: Any, response: Any) -> None:
    """Keep the latest answer of a run that is judged."""
    root = run.root
    root.last, root.answer = run, getattr(generation_of(response), "message", None)
    if root.id == run_id:
        root.inputs, root.output = run.messages, root.answer


def _finish(tracker: OutcomeTracker) -> None:
    if is_pausing():
        # After a SIGTERM a web server finishes its requests, and their decisions; the ledger is flushed by itself.
        return
    # A ledger that cannot be written reports that itself when it is closed.
    with suppress(LedgerError):
        tracker.flush(final=True)


__all__ = ["OutcomeTracker"]
