"""How does an agent made by `create_agent` route every one of its model calls?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from langchain_core.messages import AIMessage, SystemMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, merge_configs, var_child_runnable_config

from langroute.adapt import adapt_kwargs
from langroute.binding import BoundTools, tools_key
from langroute.calling import NOSTREAM
from langroute.chat_model import ChatRouter
from langroute.drivers import adrive, drive, marked
from langroute.effects import Call, Reply
from langroute.errors import MissingExtraError
from langroute.events import aannounce, announce
from langroute.gate import Gate, shows_tokens
from langroute.router import Asked, Result, asked_for
from langroute.runs import read_config

try:
    from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
except ImportError as error:  # pragma: no cover - needs an environment without langchain
    raise MissingExtraError("langchain", "agents", "RouterMiddleware") from error


class _AgentHost:
    """Calls the rest of the agent's middleware, and its model, with the chosen model in the request."""

    __slots__ = ("config", "handler", "models", "request", "router")

    def __init__(self, router: ChatRouter, request: Any, handler: Callable[[Any], Any], config: Mapping[str, Any]) -> None:
        self.router, self.request, self.handler, self.config = router, request, handler, config
        self.models = router.models

    def _ready(self, call: Call) -> tuple[Any, Any]:
        """The request for the chosen model, and the config that its run is made under."""
        request, route = self.request, call.route
        target, adapted = self.models.adapted(call)
        messages, system = self.models.spoken(adapted.messages, call), request.system_message
        leads = isinstance(messages[0], SystemMessage)
        if leads and (system is not None or self.models.style is not None):
            system, messages = messages[0], list(messages[1:])
        else:
            system, messages = None, list(messages)
        model = self.models.of(route, without_thinking=adapted.disable_thinking)
        settings = adapt_kwargs({**self.router.settings, **route.kwargs, **request.model_settings}, target)
        changed = {"tool_choice": request.tool_choice}
        if request.tool_choice is not None:
            changed = adapt_kwargs(changed, target)
        request = request.override(
            model=model, messages=messages, system_message=system, model_settings=settings, tool_choice=changed.get("tool_choice")
        )
        own = self.router.own_config
        config: dict[str, Any] = dict(self.config)
        if own or route.config:
            config = dict(merge_configs(config, route.config, own))  # type: ignore[arg-type]
        tags = [*(config.get("tags") or ()), f"langroute:{route.name}"]
        if call.selection.tentative:
            tags.append(NOSTREAM)
        config = {
            **config,
            "tags": tags,
            "metadata": {
                **(config.get("metadata") or {}),
                "langroute_route": route.name,
                "langroute_decision_id": call.decision_id,
                "langroute_attempt": call.index,
                "langroute_step_kind": call.request.step.kind,
            },
        }
        if call.gate is None and not call.selection.tentative and shows_tokens(config):
            call.gate = Gate(call.route.name)
        return request, config if call.gate is None else call.gate.under(config)

    def call(self, call: Call) -> Reply:
        request, config = self._ready(call)
        if self.router.rate_limiter is not None:
            self.router.rate_limiter.acquire(blocking=True)
        token = var_child_runnable_config.set(config)
        try:
            return _reply(self.handler(request))
        finally:
            var_child_runnable_config.reset(token)

    async def acall(self, call: Call) -> Reply:
        request, config = self._ready(call)
        if self.router.rate_limiter is not None:
            await self.router.rate_limiter.aacquire(blocking=True)
        token = var_child_runnable_config.set(config)
        try:
            return _reply(await self.handler(request))
        finally:
            var_child_runnable_config.reset(token)


def _reply(response: Any) -> Reply:
    inner = getattr(response, "model_response", response)
    if isinstance(inner, AIMessage):
        return Reply(inner, output=response)
    message = next((found for found in inner.result if isinstance(found, AIMessage)), None)
    return Reply(message, parsed=inner.structured_response, output=response)


class RouterMiddleware(AgentMiddleware):
    """Routes every model call of an agent. Put it first in the list, so that what follows works for the model that was chosen.

    Args:
        routes: Routes as `ChatRouter` takes them, or a `ChatRouter`.
        router: What else a `ChatRouter` takes: `policy`, `verifier`, `ledger`, …

    Example:
        >>> from langchain.agents import create_agent
        >>> from langroute.testing import ScriptedModel
        >>> cheap, frontier = ScriptedModel("Hi."), ScriptedModel("Good day.")
        >>> agent = create_agent(frontier, middleware=[RouterMiddleware({"cheap": cheap, "frontier": frontier}, pin="cheap")])
        >>> agent.invoke({"messages": "Hello?"})["messages"][-1].content
        'Hi.'
    """

    def __init__(self, routes: Any, **router: Any) -> None:
        super().__init__()
        self.model = routes if isinstance(routes, ChatRouter) and not router else ChatRouter(routes, **router)
        self.tools = []
        self._asked: dict[tuple[Any, ...], tuple[Any, Asked]] = {}

    def wrap_model_call(self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]) -> Any:
        """Answer the request with the model that the policy chose."""
        plan, host, config = self._open(request, handler)
        result = drive(plan, host)
        announce(result.decision, config)
        return _response(result)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> Any:
        """The same, awaited."""
        plan, host, config = self._open(request, handler)
        result = await adrive(plan, host)
        await aannounce(result.decision, config)
        return _response(result)

    def _open(self, request: Any, handler: Any) -> tuple[Any, _AgentHost, Mapping[str, Any]]:
        config = _config(request)
        messages = request.messages
        if request.system_message is not None:
            messages = [request.system_message, *messages]
        router = self.model.router
        run = read_config(config, router.limits)
        step = router.request(messages, self._asked_for(request), run)
        plan, host = router.plan(step, run), _AgentHost(self.model, request, handler, config)
        if (recall := self.model.recall) is not None:
            plan, host = recall.around(plan, host, step, run, router)
        return plan, host, config

    def _asked_for(self, request: Any) -> Asked:
        """What the request asks for beside its messages; an agent's tools are the same at every step."""
        form = request.response_format
        key = (tools_key(request.tools), id(form), str(request.tool_choice), request.model_settings.get("max_tokens"))
        found = self._asked.get(key)
        if found is None:
            bound = BoundTools(request.tools, {})
            schema = getattr(form, "schema", form)
            asked = asked_for(bound.asked.tools, request.tool_choice, schema, request.model_settings.get("max_tokens"))
            if len(self._asked) > 256:
                self._asked.clear()
            # The tools are kept with it: their ids are the key.
            found = self._asked[key] = ((list(request.tools), form), asked)
        return found[1]


def _config(request: Any) -> RunnableConfig:
    """The config of the agent's step. Before Python 3.11 LangGraph has none for awaited nodes; where it runs, it tells all the same."""
    config = ensure_config()
    info = getattr(request.runtime, "execution_info", None)
    if info is not None and "langgraph_node" not in (config.get("metadata") or {}):
        told = {"langgraph_node": "model", "thread_id": info.thread_id, "langgraph_checkpoint_ns": info.checkpoint_ns}
        config["metadata"] = {**{name: value for name, value in told.items() if value}, **(config.get("metadata") or {})}
    return config


def _response(result: Result) -> Any:
    message, output = marked(result.message, result), result.output
    if message is result.message:
        return output
    if output is result.message:
        return message
    inner = getattr(output, "model_response", output)
    inner.result = [message if one is result.message else one for one in inner.result]
    return output


__all__ = ["RouterMiddleware"]
