"""`RouterMiddleware`: routing of every model call of an agent made by `create_agent`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from langchain_core.messages import AIMessage, SystemMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, var_child_runnable_config

from langroute.adapt import adapt_kwargs, named_choice, split_tools, told
from langroute.core.errors import ConfigurationWarning, MissingExtraError
from langroute.engine.call_config import read_config
from langroute.engine.drivers import adrive, drive, marked, message_id
from langroute.engine.effects import Reply, RouteCall
from langroute.engine.events import aannounce, announce
from langroute.engine.router import CallOptions, call_options
from langroute.engine.step_execution import StepResult
from langroute.hosts.attempt_config import attempt_config
from langroute.hosts.binding import BoundTools, tools_key
from langroute.hosts.chat_model import ChatRouter
from langroute.hosts.error_origin import is_of_model
from langroute.hosts.router_config import BuiltRouter

try:
    from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
except ImportError as error:  # pragma: no cover - needs an environment without langchain
    raise MissingExtraError("langchain", "agents", "RouterMiddleware") from error


class _AgentHost:
    """Host that calls the agent's inner middleware and model, with the chosen model in the request."""

    __slots__ = ("bound", "built", "config", "foreign", "handler", "limiter", "models", "request")

    def __init__(
        self,
        built: BuiltRouter,
        limiter: Any,
        request: Any,
        handler: Callable[[Any], Any],
        config: Mapping[str, Any],
        bound: BoundTools,
    ) -> None:
        self.built, self.models, self.limiter = built, built.models, limiter
        self.request, self.handler, self.config, self.bound = request, handler, config, bound
        self.foreign: BaseException | None = None
        """The last error that came from other middleware or the agent, and not from the model."""

    def _ready(self, call: RouteCall) -> tuple[Any, Any]:
        """Return the request for the chosen model, and the config of its run."""
        request, route, models = self.request, call.route, self.models
        settings = {**self.built.settings, **route.kwargs, **request.model_settings}
        target = models.target_of_call(route, settings, self.bound)
        adapted = models.adapted(call, target)
        messages = adapted.messages if models.style is None else models.spoken(adapted.messages, call)
        system, messages = self._prompt(messages, call)
        changes = {
            "model": models.of(route, without_thinking=adapted.disable_thinking),
            "messages": messages,
            "system_message": system,
            "model_settings": adapt_kwargs(settings, target) if settings else settings,
        }
        choice = request.tool_choice
        if self.bound.asked.own_tools:
            tools, choice = self._tools(call, target)
            if tools is not None:
                changes["tools"] = tools
        if choice is not None:
            choice = adapt_kwargs({"tool_choice": choice}, target).get("tool_choice")
        changes["tool_choice"] = choice
        return _overridden(request, changes), attempt_config(self.config, call, self.built.own)

    def _prompt(self, messages: Sequence[Any], call: RouteCall) -> tuple[Any, list[Any]]:
        """Return the system message and the messages after it, as they are sent to the chosen model.

        Where nothing had to be adapted it is the agent's own list: what inner middleware adds to that is in the agent's state, as it is
        without a router. A second attempt gets a list of its own where the first one added something.
        """
        own, system = self.request.messages, self.request.system_message
        if messages is call.request.messages and len(messages) == len(own) + (system is not None):
            return system, own
        if isinstance(messages[0], SystemMessage) and (system is not None or self.models.style is not None):
            return messages[0], list(messages[1:])
        return None, list(messages)

    def _tools(self, call: RouteCall, target: Any) -> tuple[list[Any] | None, Any]:
        """Return the tools that the route can run, `None` where all of them are, and the tool choice that is left."""
        choice = self.request.tool_choice
        kept, left = split_tools(self.request.tools, target.rules)
        if not left:
            return None, choice
        call.left_out = told(call.route.name, left)
        return kept, None if choice is None else named_choice(choice, kept, left)

    def call(self, call: RouteCall) -> Reply:
        request, config = self._ready(call)
        if self.limiter is not None:
            self.limiter.acquire(blocking=True)
        token = var_child_runnable_config.set(config)
        try:
            return _reply(self.handler(request))
        except Exception as error:
            self.foreign = None if is_of_model(error, request.model) else error
            raise
        finally:
            var_child_runnable_config.reset(token)

    async def acall(self, call: RouteCall) -> Reply:
        request, config = self._ready(call)
        if self.limiter is not None:
            await self.limiter.aacquire(blocking=True)
        token = var_child_runnable_config.set(config)
        try:
            return _reply(await self.handler(request))
        except Exception as error:
            self.foreign = None if is_of_model(error, request.model) else error
            raise
        finally:
            var_child_runnable_config.reset(token)


_FIELDS = len(fields(ModelRequest))


def _overridden(request: Any, changes: dict[str, Any]) -> Any:
    """Return what `request.override(**changes)` does, in a tenth of its time: it takes all fields apart at each call of a model.

    A request that is more than LangChain's fields is left to its own `override`.
    """
    known = vars(request)
    if type(request) is not ModelRequest or len(known) != _FIELDS:
        return request.override(**changes)
    made = object.__new__(ModelRequest)
    written = vars(made)
    written.update(known)
    written.update(changes)
    return made


def _reply(response: Any) -> Reply:
    inner = response if type(response) is ModelResponse else getattr(response, "model_response", response)
    if type(inner) is not ModelResponse and isinstance(inner, AIMessage):
        return Reply(inner, output=response)
    message = inner.result[0] if inner.result else None
    if type(message) is not AIMessage:
        # An answer in a schema has the tool's result behind it; other middleware may put anything before it.
        message = next((found for found in inner.result if isinstance(found, AIMessage)), None)
    return Reply(message, parsed=inner.structured_response, output=response)


class RouterMiddleware(AgentMiddleware):
    """Middleware that routes every model call of an agent. Put it first, so that later middleware sees the chosen model.

    Sub-agents of a deep agent call the agent's own model: give it a router, `create_deep_agent(model=ChatRouter(...))`, or put this
    middleware into each of them. A warning says so.

    Args:
        routes: Routes as `ChatRouter` takes them, or a `ChatRouter`.
        verify_result: Check of the agent's final state, or several, as `RouteSubtask` takes them: the agent runs on one route, and where its result
            is rejected it goes back to its model on the next one. Then `attempt_routes`, `restart`, `handover`, `undo` and `repeatable`
            may be given as well, and the result has the attempts under `langroute_result`.
        router: Other arguments of `ChatRouter`: `policy`, `verifier`, `ledger`, …

    Example:
        >>> from langchain.agents import create_agent
        >>> from langroute.testing import ScriptedModel
        >>> cheap, frontier = ScriptedModel("Hi."), ScriptedModel("Good day.")
        >>> agent = create_agent(frontier, middleware=[RouterMiddleware({"cheap": cheap, "frontier": frontier}, route="cheap")])
        >>> agent.invoke({"messages": "Hello?"})["messages"][-1].content
        'Hi.'
    """

    def __new__(cls, *_: Any, **given: Any) -> RouterMiddleware:
        """Return the middleware; one with `verify_result` has hooks around the agent, which cost the agents without it nothing."""
        if cls is RouterMiddleware and given.get("verify_result") is not None:
            from langroute.hosts.result_middleware import ResultVerifyingMiddleware

            return super().__new__(ResultVerifyingMiddleware)
        return super().__new__(cls)

    def __init__(self, routes: Any, **router: Any) -> None:
        super().__init__()
        if router.get("verify_result", 0) is None:
            del router["verify_result"]
        self.model = routes if isinstance(routes, ChatRouter) and not router else ChatRouter(routes, **router)
        self.tools = []
        self._asked: dict[tuple[Any, ...], tuple[Any, BoundTools, CallOptions]] = {}

    def wrap_model_call(self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]) -> Any:
        """Answer the request with the model that the policy chose."""
        plan, host, config = self._open(request, handler)
        result = drive(plan, host)
        announce(result.decision, config, message_id(result.message))
        return _response(result)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> Any:
        """Async version of `wrap_model_call`."""
        plan, host, config = self._open(request, handler)
        result = await adrive(plan, host)
        await aannounce(result.decision, config, message_id(result.message))
        return _response(result)

    def _open(self, request: Any, handler: Any) -> tuple[Any, _AgentHost, Mapping[str, Any]]:
        config = _config(request)
        messages = request.messages
        if request.system_message is not None:
            messages = [request.system_message, *messages]
        model = self.model
        built = model.built
        router = built.router
        run = read_config(config, router.limits)
        bound, asked = self._asked_for(request)
        step = router.request(messages, asked, run)
        plan, host = router.plan(step, run), _AgentHost(built, model.rate_limiter, request, handler, config, bound)
        if built.caching is not None:
            plan, host = built.caching.around(plan, host, step, router)
        return plan, host, config

    def _asked_for(self, request: Any) -> tuple[BoundTools, CallOptions]:
        """Return the tools and the options of the request. They are kept, since an agent's tools rarely change."""
        form = request.response_format
        key = (tools_key(request.tools), id(form), str(request.tool_choice), request.model_settings.get("max_tokens"))
        found = self._asked.get(key)
        if found is None:
            self._tell_of_subagents(request)
            bound = BoundTools(request.tools, {})
            schema = getattr(form, "schema", form)
            limit = request.model_settings.get("max_tokens")
            asked = call_options(bound.asked.tools, request.tool_choice, schema, limit, bound.asked.own_tools, changes_inside=True)
            if len(self._asked) > 256:
                self._asked.clear()
            # The tools are kept with the value, because their ids are the key.
            found = self._asked[key] = ((list(request.tools), form), bound, asked)
        return found[1], found[2]

    def _tell_of_subagents(self, request: Any) -> None:
        """Warn once where the agent has sub-agents (deepagents' `task` tool) and a model of its own, which they call."""
        if isinstance(request.model, ChatRouter) or not any(map(_delegates, request.tools)):
            return
        self.model.router.notices.warn(
            "subagents",
            ConfigurationWarning,
            "RouterMiddleware routes the calls of the agent it is given to, not those of its sub-agents: they call the agent's own model, "
            "outside of the ledger and the budget. Give the deep agent a router as its model, create_deep_agent(model=ChatRouter(...)), or put "
            "this middleware into each sub-agent.",
        )


def _delegates(tool: Any) -> bool:
    """Return whether a tool hands work to sub-agents: deepagents' `task`, which takes a `subagent_type`."""
    return getattr(tool, "name", None) == "task" and "subagent_type" in (getattr(tool, "args", None) or {})


def _config(request: Any) -> RunnableConfig:
    """Return the config of the agent's step; before Python 3.11, where async nodes have none, from the request's execution info."""
    config = ensure_config()
    info = getattr(request.runtime, "execution_info", None)
    if info is not None and "langgraph_node" not in (config.get("metadata") or {}):
        told = {"langgraph_node": "model", "thread_id": info.thread_id, "langgraph_checkpoint_ns": info.checkpoint_ns}
        config["metadata"] = {**{name: value for name, value in told.items() if value}, **(config.get("metadata") or {})}
    return config


def _response(result: StepResult) -> Any:
    message, output = marked(result.message, result), result.output
    if message is result.message:
        return output
    if output is result.message:
        return message
    inner = getattr(output, "model_response", output)
    inner.result = [message if one is result.message else one for one in inner.result]
    return output


__all__ = ["RouterMiddleware"]
