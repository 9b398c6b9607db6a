"""`RouterNode` and `route_edge`: routing in a LangGraph graph, of a step in a node or of a subtask to one of several branches."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage, convert_to_messages
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config

from langroute.core.decision_metadata import METADATA_KEY
from langroute.core.errors import ConfigurationError, InputError
from langroute.core.records import Request
from langroute.engine.call_config import Run, read_config
from langroute.engine.eligibility import RouteLimits
from langroute.engine.router import Router
from langroute.engine.step_execution import StepResult
from langroute.hosts.chat_model import ChatRouter
from langroute.routes.route import Route


class RouterNode(Runnable[Any, Any]):
    """Node that answers the messages of a state with the model that the policy chose.

    Args:
        model: A `ChatRouter`, or routes to create one from.
        messages_key: Key of the messages in the state.
        output_key: Key for the answer; by default it is added to the messages.
        route_key: Key for the name of the chosen route, for edges and for people; by default it is not written.
        tools: Tools to bind to the chosen model.
        schema: Answer in this schema; needs `output_key`.
        goto: `{route: node}`: the next node, by the route that answered.
        router: Other arguments of `ChatRouter`, where routes were given.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> from langroute.testing import ScriptedModel
        >>> node = RouterNode({"cheap": ScriptedModel("Hi.")}, route_key="route")
        >>> update = node.invoke({"messages": [HumanMessage("Hello?")]})
        >>> update["messages"][0].content, update["route"]
        ('Hi.', 'cheap')
    """

    name: str | None = "RouterNode"

    def __init__(
        self,
        model: Any,
        *,
        messages_key: str = "messages",
        output_key: str | None = None,
        route_key: str | None = None,
        tools: Sequence[Any] = (),
        schema: Any = None,
        goto: Mapping[str, str] | None = None,
        **router: Any,
    ) -> None:
        if isinstance(model, Runnable) and router:
            raise ConfigurationError(f"{next(iter(router))!r} belongs to the model that was given; set it there.")
        self.model = model if isinstance(model, Runnable) else ChatRouter(model, **router)
        self.messages_key, self.output_key, self.route_key, self.goto = messages_key, output_key, route_key, goto
        if schema is not None and output_key is None:
            raise ConfigurationError("An answer in a schema is no message: say with output_key where it goes.")
        if schema is not None and tools:
            raise ConfigurationError(
                "A node answers in a schema or calls tools, not both. Use two nodes: one with tools=, and one with schema= after it."
            )
        if isinstance(self.model, ChatRouter):
            for name in goto or ():
                self.model.router._known(name, "goto")
        self.called: Runnable[Any, Any] = self.model
        if schema is not None:
            self.called = self._method("with_structured_output")(schema, include_raw=True)
        elif tools:
            self.called = self._method("bind_tools")(tools)
        self.structured = schema is not None

    def _method(self, name: str) -> Callable[..., Any]:
        method = getattr(self.model, name, None)
        if method is None:
            raise ConfigurationError(f"A {type(self.model).__name__} has no {name}; give the chat model itself.")
        return method  # type: ignore[no-any-return]

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Answer a state. Return its update, or a `Command` where `goto` names the next node."""
        return self._update(self.called.invoke(messages_of(input, self.messages_key), config, **kwargs))

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Async version of `invoke`."""
        return self._update(await self.called.ainvoke(messages_of(input, self.messages_key), config, **kwargs))

    def _update(self, answer: Any) -> Any:
        message, value = answer, answer
        if self.structured:
            message, value = answer["raw"], answer["parsed"]
            if answer["parsing_error"] is not None:
                raise answer["parsing_error"]
        route = message.response_metadata.get(METADATA_KEY, {}).get("route")
        update: dict[str, Any] = {self.output_key: value} if self.output_key else {self.messages_key: [message]}
        if self.route_key:
            update[self.route_key] = route
        if self.goto is None:
            return update
        from langgraph.types import Command

        return Command(update=update, goto=self.goto[route]) if route in self.goto else update


class _Branch(Runnable[Any, Any]):
    """Placeholder model of a branch, so that a policy can choose among branches."""

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        raise NotImplementedError("a branch is run by its graph")


class RouteEdge(Runnable[Any, Any]):
    """Conditional edge that is made by `route_edge`."""

    name: str | None = "route_edge"

    def __init__(self, branches: Mapping[str, Any], messages_key: str, router: Router) -> None:
        self.branches, self.messages_key, self.router = dict(branches), messages_key, router

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Return the chosen branch: a node's name, or the result of the branch's function."""
        request, run = self._request(input, config)
        return self._branch(input, self.router.choose(request, run))

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Async version of `invoke`."""
        request, run = self._request(input, config)
        return self._branch(input, await self.router.achoose(request, run))

    __call__ = invoke

    def _request(self, state: Any, config: RunnableConfig | None) -> tuple[Request, Run]:
        run = read_config(ensure_config(config), self.router.limits)
        messages = messages_of(state, self.messages_key)
        messages = convert_to_messages([messages] if isinstance(messages, str) else messages)
        return self.router.request(messages, run=run), run

    def _branch(self, state: Any, result: StepResult) -> Any:
        branch = self.branches[result.decision.route or self.router.default]
        return branch(state) if callable(branch) else branch


def route_edge(branches: Mapping[str, str | Callable[[Any], Any]], *, messages_key: str = "messages", **router: Any) -> RouteEdge:
    """Return a conditional edge that sends a subtask to one of several branches, chosen by a policy like a model call's.

    Args:
        branches: `{route: node}`, weakest first; instead of a node, a function of the state that may return a `Send`.
        messages_key: Key of the messages, or of a text, in the state.
        router: Other arguments of `Router`: `policy`, `default`, `ledger`, …; and `route`, `exclude`, `min_tier` and `labels`, as for the
            other hosts. What concerns a model's call (`temperature`, `response_cache`) is refused.

    Raises:
        ConfigurationError: An argument is unknown.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> from langroute.policies.fixed import Fixed
        >>> edge = route_edge({"cheap": "quick_answer", "frontier": "research"}, policy=Fixed("cheap"))
        >>> edge({"messages": [HumanMessage("Hello?")]}, {})
        'quick_answer'
    """
    routes = {name: Route(_Branch()) for name in branches}
    limits: dict[str, Any] = {name: router.pop(name) for name in ("route", "exclude", "min_tier", "labels") if name in router}
    if limits:
        router["limits"] = RouteLimits.of(limits)
    known = list(inspect.signature(Router).parameters)
    for name in router:
        if name not in known:
            close = difflib.get_close_matches(name, [*known, "route", "exclude", "min_tier", "labels"], n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ConfigurationError(f"route_edge has no argument {name!r}: it calls no model, it chooses a branch.{hint}")
    return RouteEdge(branches, messages_key, Router(routes, **router))


def messages_of(state: Any, key: str) -> Any:
    """Return the messages (or text) of a state, which is a dictionary, an object, or the messages themselves.

    Raises:
        InputError: The state has nothing under that key.
    """
    if isinstance(state, Mapping):
        if key not in state:
            raise InputError(f"The state has no {key!r}, only {', '.join(map(repr, state)) or 'nothing'}. Set messages_key.")
        return state[key]
    if isinstance(state, list) or (isinstance(state, Sequence) and state and isinstance(state[0], BaseMessage)):
        return state
    if not hasattr(state, key):
        raise InputError(f"The state ({type(state).__name__}) has no {key!r}. Set messages_key.")
    return getattr(state, key)
