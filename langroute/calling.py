"""How is a route's model called, so that the call looks to everybody as if the model had been called directly?

Through its own public methods and under the caller's config: one chat-model run for each attempt, and no other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.runnables.config import merge_configs

from langroute.adapt import Adapted, Target, adapt, adapt_kwargs, target_for
from langroute.binding import BoundTools
from langroute.effects import Call, Reply
from langroute.gate import Gate, shows_tokens
from langroute.routes import BuiltRoute
from langroute.style import Style

NOSTREAM = "nostream"
"""LangGraph's tag for runs whose tokens are not shown."""


class Models:
    """The routes' models as a chat router calls them: with its cache, output version and streaming settings where it has any."""

    def __init__(self, update: Mapping[str, Any], style: Style | None = None) -> None:
        self._update = dict(update)
        self.style = style
        """One voice for every route, where the user gave one."""

        self._ready: dict[tuple[str, bool], Any] = {}
        self._targets: dict[str, Target] = {}

    def of(self, route: BuiltRoute, *, without_thinking: bool = False) -> Any:
        """The model to call for a route."""
        key = (route.name, without_thinking)
        model = self._ready.get(key)
        if model is None:
            model = route.model
            if isinstance(model, BaseChatModel):
                fields = type(model).model_fields
                update = {name: value for name, value in self._update.items() if name in fields}
                if without_thinking and "thinking" in fields:
                    update["thinking"] = None
                if update:
                    model = copied(model, update)
            self._ready[key] = model
        return model

    def spoken(self, messages: Sequence[BaseMessage], call: Call) -> Sequence[BaseMessage]:
        """The messages for a route, with the voice that it is to speak in."""
        return messages if self.style is None else self.style.applied(messages, call.route.info, call.request.step)

    def adapted(self, call: Call) -> tuple[Target, Adapted]:
        """The history of a call as its route can read it."""
        target = self.target(call.route)
        try:
            return target, adapt(call.request.messages, target)
        except Exception as error:  # noqa: BLE001 - without a router the model would have been sent the history as it is
            call.problem = f"the history could not be adapted: {type(error).__name__}: {error}"
            return target, Adapted(call.request.messages)

    def target(self, route: BuiltRoute) -> Target:
        """What `adapt` has to know of a route."""
        target = self._targets.get(route.name)
        if target is None:
            target = self._targets[route.name] = target_for(route.info, route.model)
        return target


def copied(model: BaseChatModel, update: Mapping[str, Any]) -> BaseChatModel:
    """A copy of a model with other settings.

    LangChain keys its cache by a serialized form that `model_copy` would carry over from the original.
    """
    copy = model.model_copy(update=dict(update))
    copy.__dict__.pop("_serialized", None)
    return copy


class ModelHost:
    """Calls the chosen route's model as the caller called the router."""

    __slots__ = ("bound", "config", "kwargs", "limiter", "models", "own")

    races = True
    """Several of its calls may be out at once."""

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

    def ready(self, call: Call) -> tuple[Any, Sequence[BaseMessage], Any, dict[str, Any]]:
        """What to call with which messages, config and arguments."""
        route = call.route
        target, adapted = self.models.adapted(call)
        model = self.models.of(route, without_thinking=adapted.disable_thinking)
        kwargs: dict[str, Any] = {**route.kwargs, **self.kwargs} if route.kwargs else dict(self.kwargs)
        if kwargs:
            kwargs = adapt_kwargs(kwargs, target)
        model, kwargs = self._bind(call, model, target, kwargs, adapted.disable_thinking)
        return model, self.models.spoken(adapted.messages, call), self.child_config(call), kwargs

    def _bind(self, call: Call, model: Any, target: Target, kwargs: dict[str, Any], plain: bool) -> tuple[Any, dict[str, Any]]:
        if self.bound is None:
            return model, kwargs
        key = f"{call.route.name}\0plain" if plain else call.route.name
        called, binding = self.bound.for_model(key, model, adapt_kwargs(self.bound.kwargs, target))
        return called, {**binding, **kwargs} if binding else kwargs

    def child_config(self, call: Call) -> Any:
        """The caller's config, marked with the decision."""
        config = dict(self.config)
        if self.own or call.route.config:
            config = dict(merge_configs(config, call.route.config, self.own))  # type: ignore[arg-type]
        if call.index and "run_id" in config:
            # One run id names one run: the first attempt has it.
            del config["run_id"]
        if call.gate is None and not call.selection.tentative and shows_tokens(config):
            call.gate = Gate(call.route.name)
        if call.gate is not None:
            config = call.gate.under(config)
        name = call.route.info.name
        config["metadata"] = {
            **(config.get("metadata") or {}),
            "langroute_route": name,
            "langroute_decision_id": call.decision_id,
            "langroute_attempt": call.index,
            "langroute_step_kind": call.request.step.kind,
        }
        tags = [*(config.get("tags") or ()), f"langroute:{name}"]
        if call.selection.tentative:
            tags.append(NOSTREAM)
        config["tags"] = tags
        return config

    def call(self, call: Call) -> Reply:
        """Invoke the model."""
        model, messages, config, kwargs = self.ready(call)
        if self.limiter is not None:
            self.limiter.acquire(blocking=True)
        return Reply(model.invoke(messages, config, **kwargs))

    async def acall(self, call: Call) -> Reply:
        """Invoke the model, awaited."""
        model, messages, config, kwargs = self.ready(call)
        if self.limiter is not None:
            await self.limiter.aacquire(blocking=True)
        return Reply(await model.ainvoke(messages, config, **kwargs))

    def stream(self, call: Call) -> Iterator[Any]:
        """Stream the model."""
        model, messages, config, kwargs = self.ready(call)
        if self.limiter is not None:
            self.limiter.acquire(blocking=True)
        return model.stream(messages, config, **kwargs)  # type: ignore[no-any-return]

    async def astream(self, call: Call) -> AsyncIterator[Any]:
        """Stream the model, awaited."""
        model, messages, config, kwargs = self.ready(call)
        if self.limiter is not None:
            await self.limiter.aacquire(blocking=True)
        chunks = model.astream(messages, config, **kwargs)
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            if (close := getattr(chunks, "aclose", None)) is not None:
                await close()


class GenerateHost(ModelHost):
    """The same through `generate`, whose result says more than a message."""

    __slots__ = ()

    def _arguments(self, call: Call) -> tuple[Any, list[list[BaseMessage]], dict[str, Any]]:
        model, messages, config, kwargs = self.ready(call)
        named = {key: config[key] for key in ("callbacks", "tags", "metadata", "run_name", "run_id") if config.get(key)}
        return model, [list(messages)], {**named, **kwargs}

    def call(self, call: Call) -> Reply:
        """Generate with the model."""
        model, batch, kwargs = self._arguments(call)
        result = model.generate(batch, **kwargs)
        return Reply(result.generations[0][0].message, output=result)

    async def acall(self, call: Call) -> Reply:
        """Generate with the model, awaited."""
        model, batch, kwargs = self._arguments(call)
        result = await model.agenerate(batch, **kwargs)
        return Reply(result.generations[0][0].message, output=result)
