"""`RouterMiddleware(verify_result=...)`: an agent whose result is checked, and which goes back to its model on the next route."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import time
from typing import Annotated, Any

from langchain.agents.middleware import AgentState, hook_config
from langchain.agents.middleware.types import PrivateStateAttr
from langchain_core.messages import BaseMessage, HumanMessage, RemoveMessage
from langchain_core.runnables.config import ensure_config, var_child_runnable_config
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from typing_extensions import NotRequired

from langroute.core.control_flow import is_interrupt
from langroute.core.decision_metadata import to_metadata
from langroute.core.errors import SubtaskUndoError
from langroute.core.locks import new_lock
from langroute.core.records import Selection
from langroute.core.subtask_pin import SubtaskPin, current_pin, pinned
from langroute.engine.events import aannounce, announce
from langroute.engine.release import may_be_rejected
from langroute.hosts.attempt_config import NOSTREAM
from langroute.hosts.middleware import RouterMiddleware
from langroute.hosts.subtask_attempts import SubtaskAttempts, acall, call
from langroute.hosts.subtask_cascade import SubtaskCascade, what_was_wrong
from langroute.hosts.sync_async import Calls, acarry_out, carry_out

KEY = "messages"
RESULT_KEY = "langroute_result"
"""Key of the agent's result with the decision: attempts, verdicts, costs, and `decision_id` for outcomes."""

MOST_OPEN = 1024
"""Most agents whose open attempts this process remembers."""


class VerifiedAgentState(AgentState[Any]):
    """State of an agent whose result is checked."""

    langroute_subtask: NotRequired[Annotated[dict[str, Any] | None, PrivateStateAttr]]
    """The attempts so far, as plain values."""

    langroute_result: NotRequired[dict[str, Any]]


class ResultVerifyingMiddleware(RouterMiddleware):
    """The `RouterMiddleware` of an agent whose result is checked; made by `RouterMiddleware(verify_result=...)`.

    Args:
        routes: Routes as `ChatRouter` takes them, or a `ChatRouter`.
        verify_result: Check of the agent's final state, or several; see `RouteSubtask`.
        attempt_routes: Names of routes or tiers, cheapest first; all of them where none are given.
        restart: Whether each attempt begins with the messages that the agent began with; otherwise it goes on from the rejected result.
        handover: Called with the rejected state and the verdicts on it; returns `{"messages": [...]}` for the next attempt.
        undo: Called with the messages that the agent began with and the rejected state, before another attempt.
        repeatable: True where an attempt may be made anew without `undo`, or the names of the tools that may.
        router: Other arguments of `ChatRouter`.
    """

    state_schema = VerifiedAgentState
    name = "RouterMiddleware"

    def __init__(
        self,
        routes: Any,
        *,
        verify_result: Any,
        attempt_routes: Sequence[str] | None = None,
        restart: bool = False,
        handover: Callable[..., Any] | None = None,
        undo: Callable[..., Any] | None = None,
        repeatable: bool | Collection[str] = (),
        **router: Any,
    ) -> None:
        super().__init__(routes, **router)
        self.cascade = SubtaskCascade(
            self.model,
            verify=verify_result,
            routes=attempt_routes,
            policy=None,
            restart=restart,
            handover=handover,
            undo=undo,
            repeatable=repeatable,
            messages_key=KEY,
            name="agent",
        )
        self._pins: dict[tuple[str, int], SubtaskPin] = {}
        self._lock = new_lock()

    # One route for all steps -----------------------------------------------------------------------------------------

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        """Answer the request on the attempt's route; by the router's own policy where that route fails."""
        attempts = _attempts_in(request.state)
        if attempts is None:
            return super().wrap_model_call(request, handler)
        with self._on_route(attempts) as pin:
            try:
                return super().wrap_model_call(request, handler)
            except Exception as error:
                if not self.cascade.goes_on_after(error, pin):
                    raise
        with self._on_any_route(pin):
            return super().wrap_model_call(request, handler)

    async def awrap_model_call(self, request: Any, handler: Any) -> Any:
        """Async version of `wrap_model_call`."""
        attempts = _attempts_in(request.state)
        if attempts is None:
            return await super().awrap_model_call(request, handler)
        with self._on_route(attempts) as pin:
            try:
                return await super().awrap_model_call(request, handler)
            except Exception as error:
                if not self.cascade.goes_on_after(error, pin):
                    raise
        with self._on_any_route(pin):
            return await super().awrap_model_call(request, handler)

    def wrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        """Run a tool; the agents in it stay on the attempt's route."""
        attempts = _attempts_in(request.state)
        if attempts is None:
            return handler(request)
        with self._on_route(attempts):
            return handler(request)

    async def awrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        """Async version of `wrap_tool_call`."""
        attempts = _attempts_in(request.state)
        if attempts is None:
            return await handler(request)
        with self._on_route(attempts):
            return await handler(request)

    @contextmanager
    def _on_route(self, attempts: SubtaskAttempts) -> Iterator[SubtaskPin]:
        """Pin the calls inside to the attempt's route, and hold tokens back that may be rejected."""
        if attempts.selection is not None and may_be_rejected(attempts.selection):
            around = var_child_runnable_config.get() or {}
            token = var_child_runnable_config.set({**around, "tags": [*(around.get("tags") or ()), NOSTREAM]})
            try:
                with pinned(self._pin(attempts)) as pin:
                    yield pin
            finally:
                var_child_runnable_config.reset(token)
        else:
            with pinned(self._pin(attempts)) as pin:
                yield pin

    @contextmanager
    def _on_any_route(self, pin: SubtaskPin) -> Iterator[None]:
        """Go on without the attempt's route, which failed; what is spent is still the attempt's."""
        with pinned(SubtaskPin("", pin)):
            yield

    def _pin(self, attempts: SubtaskAttempts) -> SubtaskPin:
        key = (attempts.decision_id, len(attempts.attempts))
        with self._lock:
            found = self._pins.get(key)
            if found is None:
                while len(self._pins) >= MOST_OPEN:
                    self._pins.pop(next(iter(self._pins)))
                selection = attempts.selection or Selection("")
                found = self._pins[key] = SubtaskPin(selection.route, provisional=may_be_rejected(selection))
            found.outer = outer if (outer := current_pin()) is not found else found.outer
            return found

    # Around the agent ------------------------------------------------------------------------------------------------

    def before_agent(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """Select the route of the first attempt."""
        return carry_out(self._before(state))

    async def abefore_agent(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """Async version of `before_agent`."""
        return await acarry_out(self._before(state))

    @hook_config(can_jump_to=["model"])
    def after_agent(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """Check the result; where it is rejected, go back to the model on the next route."""
        return carry_out(self._after(state))

    @hook_config(can_jump_to=["model"])
    async def aafter_agent(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """Async version of `after_agent`."""
        return await acarry_out(self._after(state))

    def _before(self, state: Any) -> Calls[dict[str, Any]]:
        attempts, messages = SubtaskAttempts(), list(state.get(KEY) or ())
        request, run = self.cascade.open(state, ensure_config(), self.cascade.name)
        yield from self.cascade.choose(attempts, request, run)
        return {"langroute_subtask": {**attempts.plain(), "start": messages, "given": _ids(messages), "begun": time()}}

    def _after(self, state: Any) -> Calls[dict[str, Any] | None]:
        attempts, kept, cascade = _attempts_in(state), state.get("langroute_subtask"), self.cascade
        if attempts is None or not isinstance(kept, Mapping):
            return None
        config, start = ensure_config(), {**state, KEY: list(kept["start"])}
        given = {KEY: [message for message in state[KEY] if message.id in set(kept["given"])]}
        request, run = cascade.open(start, config, cascade.name)
        cascade.take(attempts, self._pin(attempts), max(0.0, time() - kept["begun"]), given=given, result=state)
        yield from cascade.judge(attempts, request, start, state)
        # An earlier result is no longer there.
        attempts.undone = len(attempts.attempts) - 1
        yield from cascade.choose(attempts, request, run)
        with self._lock:
            self._pins.pop((attempts.decision_id, len(attempts.attempts) - 1), None)
        if attempts.selection is None:
            decision = cascade.finish(attempts, request, run)
            yield announce, aannounce, (decision, config)
            yield from cascade.announce(attempts, "accepted" if attempts.accepted else "kept", config)
            return {"langroute_subtask": None, RESULT_KEY: to_metadata(decision)}
        yield from cascade.announce(attempts, "rejected", config, attempts.selection.reason)
        update = yield from self._again(attempts, start, state)
        begins = (
            [one for one in update[KEY] if not isinstance(one, RemoveMessage)] if cascade.restart else [*state[KEY], *update[KEY]]
        )
        return {
            **update,
            "langroute_subtask": {**attempts.plain(), "start": kept["start"], "given": _ids(begins), "begun": time()},
            "jump_to": "model",
        }

    def _again(self, attempts: SubtaskAttempts, start: Any, state: Any) -> Calls[dict[str, Any]]:
        """Return what changes in the state before the next attempt."""
        cascade, verdicts = self.cascade, attempts.attempts[-1].verdicts
        update: dict[str, Any] = {}
        if cascade.undo is not None:
            try:
                undone = yield call, acall, (cascade.undo, start[KEY], state)
            except Exception as error:
                if is_interrupt(error):
                    raise
                raise SubtaskUndoError(cascade.name, attempts.attempts[-1].route) from error
            update.update(undone if isinstance(undone, Mapping) else {})
        if cascade.handover is not None:
            told = yield call, acall, (cascade.handover, state, verdicts)
        else:
            told = None if cascade.restart else {KEY: [HumanMessage(what_was_wrong(verdicts))]}
        said = _with_ids((told or {}).get(KEY) or ())
        update.update({name: value for name, value in (told or {}).items() if name != KEY})
        update[KEY] = [RemoveMessage(REMOVE_ALL_MESSAGES), *start[KEY], *said] if cascade.restart else said
        return update


def _attempts_in(state: Any) -> SubtaskAttempts | None:
    """Return the attempts of the agent that runs; `None` outside of one."""
    kept = state.get("langroute_subtask") if isinstance(state, Mapping) else None
    return None if kept is None else SubtaskAttempts.of(kept)


def _ids(messages: Sequence[BaseMessage]) -> list[str]:
    return [message.id for message in messages if message.id is not None]


def _with_ids(messages: Any) -> list[BaseMessage]:
    """Return messages that have ids before the agent's state gives them one, so that they are known again."""
    from langchain_core.messages import convert_to_messages

    several = messages if isinstance(messages, (list, tuple)) else [messages]
    return [
        one if one.id is not None else one.model_copy(update={"id": SubtaskAttempts().decision_id})
        for one in convert_to_messages(several)
    ]


__all__ = ["RESULT_KEY", "ResultVerifyingMiddleware"]
