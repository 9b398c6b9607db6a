"""Calls of a route's model that look to callbacks and tracers like direct calls of that model.

The model is called through its own public methods and under the caller's config: exactly one chat-model run for each attempt.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage

from langroute.adapt import Adapted, Target, adapt, adapt_kwargs, target_for, told
from langroute.engine.effects import Reply, RouteCall
from langroute.hosts.attempt_config import attempt_config
from langroute.hosts.binding import BoundTools
from langroute.hosts.prompt import prompt_for
from langroute.hosts.style import SystemStyle
from langroute.providers.wire import uses_responses
from langroute.routes.route import BuiltRoute


class Models:
    """The routes' models as a chat router calls them: with the router's cache, output version and streaming settings, if any."""

    def __init__(
        self, update: Mapping[str, Any], style: SystemStyle | None = None, routes: Mapping[str, BuiltRoute] | None = None
    ) -> None:
        self._update = dict(update)
        self._routes = {name: route.model for name, route in (routes or {}).items()}
        self.style = style
        """The `SystemStyle` of all routes, or `None`."""

        self._ready: dict[tuple[str, bool], Any] = {}
        self._targets: dict[str, Target] = {}

    def of(self, route: BuiltRoute, *, without_thinking: bool = False) -> Any:
        """Return the model to call for a route."""
        key = (route.info.name, without_thinking)
        model = self._ready.get(key)
        if model is None:
            model = route.model
            if isinstance(model, BaseChatModel):
                fields = type(model).model_fields
                update = {name: value for name, value in self._update.items() if name in fields}
                if without_thinking:
                    update.update(_without_thinking(model))
                if update:
                    model = copied(model, update)
            self._ready[key] = model
        return model

    def spoken(self, messages: Sequence[BaseMessage], call: RouteCall) -> Sequence[BaseMessage]:
        """Return the messages for a route, with its style prompt."""
        return messages if self.style is None else self.style.applied(messages, call.route.info, call.request.step)

    def adapted(self, call: RouteCall, target: Target) -> Adapted:
        """Return a call's history adapted to its target."""
        try:
            return adapt(call.request.messages, target)
        except Exception as error:  # noqa: BLE001 - without a router the model would have been sent the history as it is
            call.problem = f"the history could not be adapted: {type(error).__name__}: {error}"
            return Adapted(call.request.messages)

    def target(self, route: BuiltRoute) -> Target:
        """Return the `Target` of a route for `adapt`."""
        target = self._targets.get(route.info.name)
        if target is None:
            target = self._targets[route.name] = target_for(route.info, route.model, self._routes)
        return target

    def target_of_call(self, route: BuiltRoute, kwargs: Mapping[str, Any], bound: BoundTools | None) -> Target:
        """Return the `Target` of a call, whose arguments and tools may move it to OpenAI's other protocol."""
        target = self.target(route)
        if target.responses is None or target.rules is None or (bound is None and not kwargs):
            return target
        if bound is None:
            over = uses_responses(route.model, kwargs, target.rules, kwargs.get("tools") or ())
        else:
            kinds = bound.runs(target.rules)
            over = uses_responses(route.model, {**bound.kwargs, **kwargs}, target.rules, bound.functions, kinds)
        return target.responses if over else target


def _without_thinking(model: BaseChatModel) -> dict[str, Any]:
    """Return the changes to a model's fields that turn Claude's thinking off."""
    fields = type(model).model_fields
    found: dict[str, Any] = {"thinking": None} if "thinking" in fields else {}
    more = getattr(model, "additional_model_request_fields", None)
    if isinstance(more, Mapping) and "thinking" in more:
        # Bedrock's package keeps it among the fields that only some models know.
        found["additional_model_request_fields"] = {key: value for key, value in more.items() if key != "thinking"}
    return found


def copied(model: BaseChatModel, update: Mapping[str, Any]) -> BaseChatModel:
    """Return a copy of a model with other settings.

    LangChain's cache key uses a serialized form that `model_copy` alone would carry over from the original.
    """
    copy = model.model_copy(update=dict(update))
    copy.__dict__.pop("_serialized", None)
    return copy


class ModelHost:
    """Calls the chosen route's model as the caller called the router."""

    __slots__ = ("bound", "config", "kwargs", "limiter", "models", "own")

    races = True
    """Whether several of its calls may run at once."""

    streams = "messages"

    def __init__(
        self,
        models: Models,
        config: Mapping[str, Any],
        kwargs: Mapping[str, Any],
        bound: BoundTools | None,
        own: Mapping[str, Any],
        limiter: Any,
    ) -> None:
        self.models = models
        self.config = config
        self.kwargs = kwargs
        self.bound = bound
        self.own = own
        """The router's own callbacks, tags and metadata."""

        self.limiter = limiter

    def ready(self, call: RouteCall) -> tuple[Any, Sequence[BaseMessage], Any, dict[str, Any]]:
        """Return what to call, and its messages, config and arguments."""
        route = call.route
        kwargs: dict[str, Any] = {**route.kwargs, **self.kwargs} if route.kwargs else dict(self.kwargs)
        plain = self.bound is None and not kwargs
        target = self.models.target(route) if plain else self.models.target_of_call(route, kwargs, self.bound)
        adapted = self.models.adapted(call, target)
        model = self.models.of(route, without_thinking=adapted.disable_thinking)
        if kwargs:
            kwargs = adapt_kwargs(kwargs, target)
        if self.bound is not None:
            model, kwargs = self._bind(self.bound, call, model, target, kwargs, adapted.disable_thinking)
        messages = adapted.messages if self.models.style is None else self.models.spoken(adapted.messages, call)
        return model, messages, attempt_config(self.config, call, self.own), kwargs

    @staticmethod
    def _bind(
        bound: BoundTools, call: RouteCall, model: Any, target: Target, kwargs: dict[str, Any], plain: bool
    ) -> tuple[Any, dict[str, Any]]:
        key = f"{call.route.name}\0{target.form}\0plain" if plain else f"{call.route.name}\0{target.form}"
        called, binding = bound.for_model(key, model, adapt_kwargs(bound.kwargs, target), target.rules)
        if left := bound.left_out(target.rules):
            call.left_out = told(call.route.name, left)
        return called, {**binding, **kwargs} if binding else kwargs

    def call(self, call: RouteCall) -> Reply:
        """Invoke the model."""
        model, messages, config, kwargs = self.ready(call)
        if self.limiter is not None:
            self.limiter.acquire(blocking=True)
        return Reply(model.invoke(prompt_for(model, messages, "invoke"), config, **kwargs))

    async def acall(self, call: RouteCall) -> Reply:
        """Async version of `call`."""
        model, messages, config, kwargs = self.ready(call)
        if self.limiter is not None:
            await self.limiter.aacquire(blocking=True)
        return Reply(await model.ainvoke(prompt_for(model, messages, "ainvoke"), config, **kwargs))

    def stream(self, call: RouteCall) -> Iterator[Any]:
        """Stream the model."""
        model, messages, config, kwargs = self.ready(call)
        if self.limiter is not None:
            self.limiter.acquire(blocking=True)
        return model.stream(prompt_for(model, messages, "stream", "invoke"), config, **kwargs)  # type: ignore[no-any-return]

    async def astream(self, call: RouteCall) -> AsyncIterator[Any]:
        """Async version of `stream`."""
        model, messages, config, kwargs = self.ready(call)
        if self.limiter is not None:
            await self.limiter.aacquire(blocking=True)
        chunks = model.astream(prompt_for(model, messages, "astream", "ainvoke"), config, **kwargs)
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            if (close := getattr(chunks, "aclose", None)) is not None:
                await close()


class GenerateHost(ModelHost):
    """Calls the chosen route's model through `generate`, whose result holds more than a message."""

    __slots__ = ()

    def _arguments(self, call: RouteCall) -> tuple[Any, list[list[BaseMessage]], dict[str, Any]]:
        model, messages, config, kwargs = self.ready(call)
        named = {key: config[key] for key in ("callbacks", "tags", "metadata", "run_name", "run_id") if config.get(key)}
        return model, [list(messages)], {**named, **kwargs}

    def call(self, call: RouteCall) -> Reply:
        """Generate with the model."""
        model, batch, kwargs = self._arguments(call)
        result = model.generate(batch, **kwargs)
        return Reply(result.generations[0][0].message, output=result)

    async def acall(self, call: RouteCall) -> Reply:
        """Async version of `call`."""
        model, batch, kwargs = self._arguments(call)
        result = await model.agenerate(batch, **kwargs)
        return Reply(result.generations[0][0].message, output=result)
