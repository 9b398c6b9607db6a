"""`RunTree`: which of LangChain's runs is under which, and to which task each belongs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter, time
from typing import Any

from langchain_core.runnables.config import var_child_runnable_config

from langroute.core.locks import new_rlock
from langroute.core.resolve_task import LABELS, label_of, resolve_task, task_id_of
from langroute.core.task_context import current_task
from langroute.ledger.facts import JUDGE_TAG, CallRecord
from langroute.providers.stream_usage import StreamedUsage
from langroute.tracking.evaluators import Evaluator
from langroute.tracking.run_owners import OWNERS

INTERRUPTS = ("GraphInterrupt", "NodeInterrupt")
CONTROL = (*INTERRUPTS, "GraphBubbleUp", "ParentCommand")
"""Names of LangGraph's control-flow exceptions, which pass through runs and are no errors."""

CANCELLED = ("CancelledError", "KeyboardInterrupt", "SystemExit")

MOST_ROOTS = 10_000
"""Most root runs that are open at a time; the oldest is given up for abandoned."""


@dataclass(slots=True)
class Root:
    """A run without a parent, and the runs under it."""

    id: Any
    task_id: str
    at: float
    kind: str | None
    tags: Mapping[str, str]
    runs: dict[Any, ObservedRun] = field(default_factory=dict)
    held: list[CallRecord] = field(default_factory=list)
    """Routed calls, which are dropped when their decision is in the ledger and recorded when the router writes elsewhere."""

    claimed: set[str] = field(default_factory=set)
    interrupted: bool = False
    is_call: bool = False
    """Whether the root is itself a model call, which ends before its decision is written."""

    is_ours: bool = True
    """Whether its end is recorded by this tree's tracker, and by no other that sees it too."""

    judged_by: tuple[Evaluator, ...] = ()
    inputs: Any = None
    output: Any = None
    last: ObservedRun | None = None
    answer: Any = None


@dataclass(slots=True)
class ObservedRun:
    """A run that has begun and not ended."""

    root: Root
    what: str = "chain"
    task_id: str = ""
    begun: float = 0.0
    at: float = 0.0
    first: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None
    retry: bool = False
    judge: bool = False
    is_ours: bool = True
    """Whether it is recorded by this tree's tracker, and by no other that sees it too."""

    messages: Sequence[Any] = ()
    prompts: Sequence[str] = ()
    tools: Sequence[Any] = ()
    told: StreamedUsage | None = None
    """Usage that the chunks of a streamed call told."""


class RunTree:
    """The runs that have begun and not ended.

    Args:
        thread_task: Returns the task id of a thread.
        on_root: Called with each new root.
        kind: Task kind of the roots that name none.
        tags: Labels of every root, unless its metadata names another.
        ledger: Tells the ledger apart that the runs are recorded in; other trees may see the same runs for it.
        rank: Of two trees that see a run, the one with the higher rank records it.

    Example:
        >>> tree = RunTree("thread:{}".format)
        >>> tree.start(1, None, {"thread_id": "a"}, None, "chain").root.task_id
        'thread:a'
        >>> tree.start(2, 1, None, None, "model").task_id
        'thread:a'
    """

    def __init__(
        self,
        thread_task: Callable[[str], str],
        on_root: Callable[[Root], None] = lambda _: None,
        *,
        kind: str | None = None,
        tags: Mapping[str, str] | None = None,
        ledger: Hashable = None,
        rank: int = 1,
    ) -> None:
        self.ledger, self.rank, self._token = ledger, rank, object()
        self.thread_task, self.on_root = thread_task, on_root
        self.kind, self.tags = kind, dict(tags or {})
        self._roots: OrderedDict[Any, Root] = OrderedDict()
        self._runs: dict[Any, ObservedRun] = {}
        self._lock = new_rlock()

    def run(self, run_id: Any) -> ObservedRun | None:
        """Return an open run."""
        return self._runs.get(run_id)

    def root(self, run_id: Any) -> Root | None:
        """Return an open root."""
        return self._roots.get(run_id)

    def start(
        self, run_id: Any, parent: Any, metadata: Mapping[str, Any] | None, tags: Sequence[str] | None, what: str
    ) -> ObservedRun:
        """Add a run; one that was added already is returned as it is.

        Args:
            run_id: The run.
            parent: The run it says it is under.
            metadata: Its metadata.
            tags: Its tags.
            what: `chain`, `model`, `tool` or `retriever`.
        """
        known = metadata or {}
        judge = tags is not None and JUDGE_TAG in tags
        with self._lock:
            found = self._runs.get(run_id)
            if found is not None:
                return found
            above = self._above(parent)
            if above is not None:
                root = above.root
            elif judge and current_task() is None:
                # A check of an answer outside any run: its cost is in the decision, and it belongs to no task.
                return ObservedRun(Root(run_id, "", 0.0, None, {}))
            else:
                root = self._new_root(run_id, known, what)
            run = root.runs[run_id] = self._runs[run_id] = ObservedRun(root, what, metadata=known, judge=judge)
        OWNERS.enter(self.ledger, run_id, self._token, self.rank)
        if above is not None:
            run.retry = above.retry
        for tag in tags or ():
            if tag.startswith("retry:attempt:"):
                run.retry = tag != "retry:attempt:1"
        if what != "chain":
            run.begun, run.at = perf_counter(), time()
            run.task_id = resolve_task(known, current_task()).task or root.task_id
        return run

    def _above(self, parent: Any) -> ObservedRun | None:
        """Return the run above; for a call whose own config hides it (`model.invoke(x, {"callbacks": [...]})` in a node), the one around it."""
        above = self._runs.get(parent) if parent is not None else None
        if above is not None:
            return above
        config = var_child_runnable_config.get()
        around = getattr((config or {}).get("callbacks"), "parent_run_id", None)
        return self._runs.get(around)

    def _new_root(self, run_id: Any, metadata: Mapping[str, Any], what: str) -> Root:
        owner = resolve_task(metadata, current_task())
        # Without a surrounding run each attempt of a decision is a root run; together they are one task.
        own = str(metadata.get("langroute_decision_id") or run_id)
        task_id = task_id_of(owner.task, owner.thread, own, self.thread_task)
        labels = {name: label for name in LABELS if (label := label_of(name, metadata)) is not None}
        tags = {**self.tags, **labels} if labels else self.tags
        root = self._roots[run_id] = Root(run_id, task_id, time(), owner.kind or self.kind, tags, is_call=what == "model")
        self.on_root(root)
        return root

    def end(self, run_id: Any, error: BaseException | None = None) -> ObservedRun | None:
        """Remove a run and return it; `None` where it was not open."""
        with self._lock:
            run = self._runs.pop(run_id, None)
            if run is None:
                return None
            run.root.runs.pop(run_id, None)
        self._leave(run_id, run)
        if error is not None and type(error).__name__ in INTERRUPTS:
            run.root.interrupted = True
        return run

    def end_root(self, root: Root) -> list[tuple[Any, ObservedRun]]:
        """Remove a root, and remove and return the runs under it that did not end: a cancelled call gets no end event."""
        with self._lock:
            self._roots.pop(root.id, None)
            left = list(root.runs.items()) if root.runs else []
            for run_id, _ in left:
                self._runs.pop(run_id, None)
        for run_id, run in left:
            self._leave(run_id, run)
        return left

    def _leave(self, run_id: Any, run: ObservedRun) -> None:
        run.is_ours = OWNERS.leave(self.ledger, run_id, self._token)
        if run_id == run.root.id:
            run.root.is_ours = run.is_ours

    def records(self, run_id: Any) -> bool:
        """Return whether an open run is recorded by this tree's tracker."""
        return OWNERS.is_owner(self.ledger, run_id, self._token)

    def overdue(self) -> Root | None:
        """Return the oldest root where too many are open."""
        return next(iter(self._roots.values())) if len(self._roots) > MOST_ROOTS else None


def state_of(error: BaseException | None, interrupted: bool = False) -> str:
    """Return the state in which a root run ended."""
    if error is None:
        return "interrupted" if interrupted else "ok"
    name = type(error).__name__
    if name in INTERRUPTS:
        return "interrupted"
    if name == "GeneratorExit":
        return "abandoned"
    return "cancelled" if name in CANCELLED else "error"


def tried_before(metadata: Mapping[str, Any]) -> bool:
    """Return whether LangGraph runs this node again under its retry policy."""
    if "langgraph_node" not in metadata:
        return False
    config = var_child_runnable_config.get()
    runtime = ((config or {}).get("configurable") or {}).get("__pregel_runtime")
    return bool((getattr(getattr(runtime, "execution_info", None), "node_attempt", None) or 1) > 1)


__all__ = ["CANCELLED", "CONTROL", "ObservedRun", "Root", "RunTree", "state_of", "tried_before"]
