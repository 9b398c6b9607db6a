"""How does a LangGraph graph route: a step inside a node, or a subtask to one of several branches?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage, convert_to_messages
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config

from langroute.chat_model import ChatRouter
from langroute.errors import ConfigurationError, InputError
from langroute.marks import KEY
from langroute.records import Request
from langroute.router import Result, Router
from langroute.routes import Route
from langroute.runs import Run, read_config


class RouterNode(Runnable[Any, Any]):
    """A node that answers the messages of a state with the model that the policy chose.

    Args:
        model: A `ChatRouter`, or routes to make one of.
        messages_key: Where the state has its messages.
        output_key: Where the answer goes; added to the messages where nothing is given.
        route_key: Where the name of the chosen route goes, for edges and for people; nowhere where nothing is given.
        tools: Tools to bind to whichever model is chosen.
        schema: Answer in this schema; needs `output_key`.
        goto: `{route: node}`: where to go on, by the route that answered.
        router: What else a `ChatRouter` takes, where routes were given.

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
        """Answer a state; return its update, or a `Command` where the node knows where to go on."""
        return self._update(self.called.invoke(messages_of(input, self.messages_key), config, **kwargs))

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """The same, awaited."""
        return self._update(await self.called.ainvoke(messages_of(input, self.messages_key), config, **kwargs))

    def _update(self, answer: Any) -> Any:
        message, value = answer, answer
        if self.structured:
            message, value = answer["raw"], answer["parsed"]
            if answer["parsing_error"] is not None:
                raise answer["parsing_error"]
        route = message.response_metadata.get(KEY, {}).get("route")
        update: dict[str, Any] = {self.output_key: value} if self.output_key else {self.messages_key: [message]}
        if self.route_key:
            update[self.route_key] = route
        if self.goto is None:
            return update
        from langgraph.types import Command

        return Command(update=update, goto=self.goto[route]) if route in self.goto else update


class _Branch(Runnable[Any, Any]):
    """Stands for a part of a graph where a policy chooses among parts of graphs."""

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        raise NotImplementedError("a branch is run by its graph")


class RouteEdge(Runnable[Any, Any]):
    """Made by `route_edge`."""

    name: str | None = "route_edge"

    def __init__(self, branches: Mapping[str, Any], messages_key: str, router: Router) -> None:
        self.branches, self.messages_key, self.router = dict(branches), messages_key, router

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """The branch to go on with: a node's name, or what the branch's function makes of the state."""
        request, run = self._request(input, config)
        return self._branch(input, self.router.choose(request, run))

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """The same, awaited."""
        request, run = self._request(input, config)
        return self._branch(input, await self.router.achoose(request, run))

    __call__ = invoke

    def _request(self, state: Any, config: RunnableConfig | None) -> tuple[Request, Run]:
        run = read_config(ensure_config(config), self.router.limits)
        messages = messages_of(state, self.messages_key)
        messages = convert_to_messages([messages] if isinstance(messages, str) else messages)
        return self.router.request(messages, run=run), run

    def _branch(self, state: Any, result: Result) -> Any:
        branch = self.branches[result.decision.route or self.router.default]
        return branch(state) if callable(branch) else branch


def route_edge(branches: Mapping[str, str | Callable[[Any], Any]], *, messages_key: str = "messages", **router: Any) -> RouteEdge:
    """A conditional edge that sends a subtask to one of several branches, by the same policies as a model call.

    Args:
        branches: `{route: node}`, weakest first; a function of the state may make a `Send` of it.
        messages_key: Where the state has its messages, or a text.
        router: What else a `Router` takes: `policy`, `default`, `ledger`, …

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> from langroute.policies.fixed import Fixed
        >>> edge = route_edge({"cheap": "quick_answer", "frontier": "research"}, policy=Fixed("cheap"))
        >>> edge({"messages": [HumanMessage("Hello?")]}, {})
        'quick_answer'
    """
    routes = {name: Route(_Branch()) for name in branches}
    return RouteEdge(branches, messages_key, Router(routes, **router))


def messages_of(state: Any, key: str) -> Any:
    """The messages (or text) of a state: a dictionary, an object, or the messages themselves.

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
