"""`RouteSubtask`: a node that runs a whole subgraph on one route, checks the result, and runs it again on the next route."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any, TypedDict

from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.runnables.base import coerce_to_runnable
from langchain_core.runnables.config import ensure_config, var_child_runnable_config
from langgraph.graph import END, START, StateGraph

from langroute.core.control_flow import is_interrupt
from langroute.core.decision_metadata import to_metadata
from langroute.core.errors import ConfigurationError, DataError, InputError, RouteFailedError, SubtaskUndoError
from langroute.core.locks import new_lock
from langroute.core.records import Selection
from langroute.core.subtask_pin import SubtaskPin, current_pin, pinned
from langroute.engine.events import aannounce, announce
from langroute.engine.release import may_be_rejected
from langroute.hosts.attempt_config import NOSTREAM
from langroute.hosts.subtask_attempts import SubtaskAttempts, acall, call, own_copy
from langroute.hosts.subtask_cascade import SUBTASK, SubtaskCascade
from langroute.hosts.sync_async import Calls, acarry_out, carry_out

_AROUND, _LIMIT = "langroute_subtask_node", "langroute_subtask_limit"
"""Keys of the config: the name of the node that the subtask is, and the caller's limit of super-steps."""

MOST_OPEN = 1024
"""Most subtasks whose open attempts this process remembers."""


class _SubtaskState(TypedDict, total=False):
    start: Any
    """What the subtask began with."""

    given: Any
    """What the next attempt begins with."""

    result: Any
    """Result of the latest attempt that ended with one."""

    best: Any
    """The result that would be kept now."""

    subtask: dict[str, Any]
    """The attempts, as plain values."""

    output: Any


class RouteSubtask(Runnable[Any, Any]):
    """Node that runs a subgraph with one route for all its steps, checks the result, and where it is rejected runs it again on the next route.

    The result of the attempt that was accepted is the node's update, as if the subgraph were the node itself. Where none is accepted, the one
    with the best score is kept, and `record_key` says so. Every attempt is a step of a graph of its own, so that a resumed interrupt repeats
    none that ended.

    Args:
        subtask: A compiled graph, an agent, or any runnable or function from a state to its result.
        router: The router that its steps go through: a `ChatRouter`, `Router`, `RouterNode` or `RouterMiddleware`.
        verify: Check of the result, or several: callables on the result (or on the state before and the result), sync or async, that return
            a boolean, a score from 0 to 1 or a `Verdict`, or raise `AssertionError`; or verifiers, which judge its last message. A result
            is accepted from a score of 0.5; one whose check fails is not.
        routes: Names of routes or tiers, cheapest first; all of the router's where none are given.
        policy: Selects the route of each attempt, instead of a cascade over `routes`.
        restart: Whether each attempt begins with the state that the subtask began with; otherwise it goes on from the rejected result, which
            a message says is rejected and why.
        handover: Called with the rejected result (`None` after an error) and the verdicts on it; returns an update of what the next attempt
            begins with.
        undo: Called with the state that the subtask began with and the rejected result (`None` after an error) before another attempt.
            Without it an attempt that called tools is not made again from the start: the result is kept as it is.
        repeatable: True where the subtask may be repeated without `undo`, or the names of its tools that have no side effects.
        messages_key: Key of the messages in the state, if it has any.
        record_key: Key under which the decision is added to the update: attempts, verdicts, costs, and `decision_id` for outcomes.
        name: Its name in records and events.

    Raises:
        ConfigurationError: An argument is invalid.

    Example:
        >>> from langroute.hosts.chat_model import ChatRouter
        >>> from langroute.testing import ScriptedModel
        >>> model = ChatRouter({"cheap": ScriptedModel("41"), "frontier": ScriptedModel("42")})
        >>> multiply = lambda state: {"answer": model.invoke("What is 6 * 7?").content}
        >>> node = RouteSubtask(multiply, model, verify=lambda result: result["answer"] == "42", record_key="routing")
        >>> result = node.invoke({})
        >>> result["answer"], [attempt["route"] for attempt in result["routing"]["attempts"]]
        ('42', ['cheap', 'frontier'])
    """

    name: str | None = "RouteSubtask"

    def __init__(
        self,
        subtask: Any,
        router: Any,
        *,
        verify: Any,
        routes: Sequence[str] | None = None,
        policy: Any = None,
        restart: bool = True,
        handover: Callable[..., Any] | None = None,
        undo: Callable[..., Any] | None = None,
        repeatable: bool | Collection[str] = (),
        messages_key: str = "messages",
        record_key: str | None = None,
        name: str | None = None,
    ) -> None:
        self.name = name or "RouteSubtask"
        if getattr(subtask, "checkpointer", None) is True and restart:
            raise ConfigurationError(
                "A graph compiled with checkpointer=True remembers rejected attempts, so none can begin anew. Compile it without, or use restart=False."
            )
        self.subtask: Runnable[Any, Any] = coerce_to_runnable(subtask)
        self.record_key = record_key
        self.cascade = SubtaskCascade(
            router,
            verify=verify,
            routes=routes,
            policy=policy,
            restart=restart,
            handover=handover,
            undo=undo,
            repeatable=repeatable,
            messages_key=messages_key,
            name=self.name,
        )
        self.router = self.cascade.router
        self._pins: dict[tuple[str, int], SubtaskPin] = {}
        self._errors: dict[str, list[tuple[str, BaseException]]] = {}
        self._lock = new_lock()
        self.graph = self._compiled()

    def _compiled(self) -> Any:
        graph = StateGraph(_SubtaskState)
        for name, step in (("begin", self._begin), ("attempt", self._attempt), ("check", self._check), ("undo", self._undo)):
            graph.add_node(name, _both(step))
        graph.add_edge(START, "begin")
        graph.add_edge("begin", "attempt")
        graph.add_edge("attempt", "check")
        graph.add_conditional_edges("check", self._next, ["undo", "attempt", END])
        graph.add_edge("undo", "attempt")
        return graph.compile(name=self.name)

    def _next(self, state: _SubtaskState) -> str:
        if state["subtask"]["selection"] is None:
            return END
        return "undo" if self.cascade.undo is not None else "attempt"

    # Running ---------------------------------------------------------------------------------------------------------

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Run the subtask on a state; return the result that is kept."""
        return self.graph.invoke({"start": input}, self._config(config), **kwargs)["output"]

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Async version of `invoke`."""
        return (await self.graph.ainvoke({"start": input}, self._config(config), **kwargs))["output"]

    def _config(self, given: RunnableConfig | None) -> RunnableConfig:
        limit = (given or {}).get("recursion_limit") or (var_child_runnable_config.get() or {}).get("recursion_limit")
        config = ensure_config(given)
        node = (config.get("metadata") or {}).get("langgraph_node")
        config["configurable"] = {**(config.get("configurable") or {}), _AROUND: node or self.name, _LIMIT: limit}
        # The caller's limit of super-steps is the subtask's, not that of the attempts; LangChain's default is neither's.
        config.pop("recursion_limit", None)
        return config

    def _open(self, state: _SubtaskState, config: RunnableConfig) -> Any:
        node = (config.get("configurable") or {}).get(_AROUND)
        return self.cascade.open(state["start"], config, node)

    def _begin(self, state: _SubtaskState, config: RunnableConfig) -> Calls[_SubtaskState]:
        subtask = SubtaskAttempts()
        request, run = self._open(state, config)
        yield from self.cascade.choose(subtask, request, run)
        return {"given": state["start"], "result": None, "best": None, "subtask": subtask.plain()}

    def _attempt(self, state: _SubtaskState, config: RunnableConfig) -> Calls[_SubtaskState]:
        """Run the subtask on the route that was selected."""
        subtask = SubtaskAttempts.of(state["subtask"])
        yield from self.cascade.announce(subtask, "started", config)
        pin = self._pin(subtask)
        begun = perf_counter()
        try:
            result = yield self._run, self._arun, (pin, own_copy(state["given"]), _under(config, subtask))
        except BaseException as error:
            if is_interrupt(error):
                raise
            self._forget(subtask)
            ends = self.cascade.ends_after(subtask, error)
            self.cascade.take(subtask, pin, perf_counter() - begun, error=error)
            if not ends and not self.cascade.goes_on_after(error, pin):
                self._left(subtask, error, state, config)
                raise
            self._failed(subtask, pin.route, error)
            subtask.selection = None if ends else subtask.selection
            yield from self.cascade.announce(subtask, "failed", config, type(error).__name__)
            return {"subtask": subtask.plain()}
        self._forget(subtask)
        self.cascade.take(subtask, pin, perf_counter() - begun, given=state["given"], result=result)
        return {"subtask": subtask.plain(), "result": result}

    def _run(self, pin: SubtaskPin, given: Any, config: RunnableConfig) -> Any:
        with pinned(pin), _within(config):
            return self.subtask.invoke(given, config)

    async def _arun(self, pin: SubtaskPin, given: Any, config: RunnableConfig) -> Any:
        with pinned(pin), _within(config):
            return await self.subtask.ainvoke(given, config)

    def _check(self, state: _SubtaskState, config: RunnableConfig) -> Calls[_SubtaskState]:
        """Check the result, and select the next attempt or end."""
        subtask, cascade = SubtaskAttempts.of(state["subtask"]), self.cascade
        request, run = self._open(state, config)
        made: _SubtaskState = {}
        if subtask.attempts[-1].ok:
            yield from cascade.judge(subtask, request, state["start"], state["result"])
            if subtask.best == len(subtask.attempts) - 1:
                made["best"] = state["result"]
        if subtask.selection is not None:
            yield from cascade.choose(subtask, request, run)
        if subtask.selection is not None:
            yield from cascade.announce(subtask, "rejected", config, subtask.selection.reason)
            before = state["result"] if subtask.attempts[-1].ok or not cascade.restart else None
            made["given"] = yield from cascade.handed_over(subtask, state["start"], before)
            return {**made, "subtask": subtask.plain()}
        decision = cascade.finish(subtask, request, run)
        yield announce, aannounce, (decision, config)
        if subtask.best is None:
            raise self._failure(subtask)
        yield from cascade.announce(subtask, "accepted" if subtask.accepted else "kept", config)
        output = made.get("best", state["best"])
        if self.record_key is not None:
            if not isinstance(output, Mapping):
                raise InputError(
                    f"The result of the subtask is a {type(output).__name__}, so record_key has nowhere to go: return a dictionary."
                )
            output = {**output, self.record_key: to_metadata(decision)}
        return {**made, "subtask": subtask.plain(), "output": output}

    def _undo(self, state: _SubtaskState, config: RunnableConfig) -> Calls[_SubtaskState]:
        """Undo what the rejected attempt did. What was undone cannot be kept."""
        subtask = SubtaskAttempts.of(state["subtask"])
        before = state["result"] if subtask.attempts[-1].ok else None
        try:
            yield call, acall, (self.cascade.undo, state["start"], before)
        except Exception as error:
            if is_interrupt(error):
                raise
            self._left(subtask, error, state, config)
            raise SubtaskUndoError(self.name or "", subtask.attempts[-1].route) from error
        subtask.undone = len(subtask.attempts)
        return {"subtask": subtask.plain(), "best": None}

    # Memory of this process ------------------------------------------------------------------------------------------

    def _pin(self, subtask: SubtaskAttempts) -> SubtaskPin:
        """Return the pin of the attempt, with what was heard of it before an interrupt."""
        selection = _selected(subtask)
        key = (subtask.decision_id, len(subtask.attempts))
        with self._lock:
            found = self._pins.get(key)
            if found is None:
                while len(self._pins) >= MOST_OPEN:
                    self._pins.pop(next(iter(self._pins)))
                found = self._pins[key] = SubtaskPin(selection.route, current_pin(), provisional=may_be_rejected(selection))
            found.outer = current_pin()
            return found

    def _forget(self, subtask: SubtaskAttempts) -> None:
        with self._lock:
            self._pins.pop((subtask.decision_id, len(subtask.attempts)), None)

    def _failed(self, subtask: SubtaskAttempts, route: str, error: BaseException) -> None:
        """Keep an error itself, which no checkpoint can hold, for a caller in this process."""
        with self._lock:
            while len(self._errors) >= MOST_OPEN:
                self._errors.pop(next(iter(self._errors)))
            self._errors.setdefault(subtask.decision_id, []).append((route, error))

    def _failure(self, subtask: SubtaskAttempts) -> BaseException:
        """Return the error of a subtask without a result: the only route's own, else that of all routes."""
        with self._lock:
            errors = self._errors.pop(subtask.decision_id, [])
        if len(subtask.attempts) == 1 and errors:
            return errors[0][1]
        known = dict(errors)
        failures = [(one.route, known.get(one.route) or RuntimeError(one.error_type or "undone")) for one in subtask.attempts]
        error = RouteFailedError(failures)
        error.__cause__ = failures[-1][1]
        return error

    def _left(self, subtask: SubtaskAttempts, error: BaseException, state: _SubtaskState, config: RunnableConfig) -> None:
        """Record a subtask that an error ends. An interrupt does not end it."""
        if not is_interrupt(error):
            self.cascade.abort(subtask, *self._open(state, config))


def _selected(subtask: SubtaskAttempts) -> Selection:
    if subtask.selection is None:
        raise DataError("The checkpoint of the subtask names no route for the next attempt.")
    return subtask.selection


def _both(step: Callable[..., Any]) -> RunnableLambda[Any, Any]:
    """Return a step of the graph, written once as a generator of calls, for sync and async graphs."""

    def run(state: Any, config: RunnableConfig) -> Any:
        return carry_out(step(state, config))

    async def arun(state: Any, config: RunnableConfig) -> Any:
        return await acarry_out(step(state, config))

    return RunnableLambda(run, arun, name=step.__name__.strip("_"))


@contextmanager
def _within(config: RunnableConfig) -> Iterator[None]:
    """Make a config the surrounding one, as it is: LangChain's own would bring a limit of super-steps that nobody gave."""
    token = var_child_runnable_config.set(config)
    try:
        yield
    finally:
        var_child_runnable_config.reset(token)


def _under(config: RunnableConfig, subtask: SubtaskAttempts) -> RunnableConfig:
    """Return the config of an attempt: its steps say to which subtask they belong, and hold tokens back that may be rejected."""
    made: RunnableConfig = {**config}
    limit = (config.get("configurable") or {}).get(_LIMIT)
    made.pop("recursion_limit", None)
    if limit is not None:
        made["recursion_limit"] = limit
    made["metadata"] = {**(config.get("metadata") or {}), "langroute_subtask": f"{subtask.decision_id}/{len(subtask.attempts)}"}
    if subtask.selection is not None and may_be_rejected(subtask.selection):
        made["tags"] = [*(config.get("tags") or ()), NOSTREAM]
    return made


__all__ = ["SUBTASK", "RouteSubtask"]
