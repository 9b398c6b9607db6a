"""`ChatRouter`: a router as a LangChain chat model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, LLMResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config
from pydantic import ConfigDict, Field, SecretStr, SkipValidation, ValidationError

from langroute.core.errors import ConfigurationError, InputError
from langroute.core.locks import new_rlock
from langroute.core.short_repr import short_form
from langroute.engine.call_config import read_config
from langroute.engine.drivers import adrive, astream, drive, marked, message_id, stream
from langroute.engine.events import aannounce, announce
from langroute.engine.router import Router
from langroute.hosts.binding import BOUND, BoundTools, asked_in
from langroute.hosts.calling import GenerateHost, ModelHost, Models
from langroute.hosts.from_config import FromConfig
from langroute.hosts.generated import combined, configs_of
from langroute.hosts.router_config import SETTINGS, BuiltRouter, field_values, invalid
from langroute.hosts.shared_profile import ProviderOfAll, shared_profile
from langroute.routes.route import build_routes

_setting = new_rlock()
"""Held while a field is set: the new core is built from all of them."""


class ChatRouter(FromConfig, BaseChatModel):
    """A chat model that sends each call to the cheapest of its models that will do.

    Drop it in wherever a chat model goes. Everything works through it as through the model it chose, and
    `message.response_metadata["langroute"]` says which one that was, why, and what it cost.

    Args:
        routes: `{name: chat model, model name or Route}`, cheapest first, or a sequence of named `Route`s.
        policy: Selects among the eligible routes: a policy, or the name of one (`quality`, `balanced`, `cost`); by default `balanced`.
        verifier: Check of an answer that the policy may still reject.
        default: The route that answers when the policy fails; the last one where none is given.
        baseline: The route that savings are calculated against.
        ledger: Stores the decisions: a ledger, or the path or URL of one. Where none is given, the one that the environment variable
            `LANGROUTE_LEDGER` names, else one in memory.
        hooks: Receive every decision and outcome.
        prices: USD per million tokens by `provider:model`, model name or route name, over the built-in list.
        route: The only route to use.
        exclude: Routes not to use.
        min_tier: Lowest tier to use.
        labels: Labels that every route must have.
        temperature, max_tokens, timeout, stop: Passed to the chosen model.
        max_retries: Retries of the same route after a transient error.
        fallback: Whether other routes are tried after an error, where the policy does not handle errors itself (`Fallback`).
        budget: A `Budget` or several: what may be spent, by whom. A store among them keeps the budgets that calls bring themselves.
        style: A `SystemStyle`: a system prompt for every route.
        deterministic: The same input makes the same decision; see `Router`.
        timeouts: A `Timeouts`: how long a route is waited for, and what happens then.
        response_cache: A `ResponseCache`, `True` for one in memory, or a path or URL for one that lasts. (`cache` is LangChain's own
            field: it goes to the routes' models.)
        api_key: For the models that are given by name; by default each provider's own environment variable.

    Raises:
        ConfigurationError: An argument is invalid.

    Example:
        >>> from langroute.policies.fixed import Fixed
        >>> from langroute.testing import ScriptedModel
        >>> model = ChatRouter({"cheap": ScriptedModel("Hello."), "frontier": ScriptedModel("Good day.")}, policy=Fixed("cheap"))
        >>> answer = model.invoke("Say hello.")
        >>> answer.content, answer.response_metadata["langroute"]["route"]
        ('Hello.', 'cheap')
    """

    routes: SkipValidation[Any]
    policy: SkipValidation[Any] = None
    verifier: SkipValidation[Any] = None
    default: str | None = None
    baseline: str | None = None
    ledger: SkipValidation[Any] = None
    hooks: SkipValidation[Any] = ()
    prices: SkipValidation[Any] = None
    route: str | None = None
    exclude: SkipValidation[Any] = ()
    min_tier: str | None = None
    labels: SkipValidation[Any] = ()
    max_attempts: int | None = None
    inspector: SkipValidation[Any] = None
    budget: SkipValidation[Any] = None
    style: SkipValidation[Any] = None
    deterministic: bool = False
    timeouts: SkipValidation[Any] = None
    response_cache: SkipValidation[Any] = None
    temperature: float | None = None
    max_tokens: int | None = None
    timeout: float | None = None
    stop: list[str] | None = Field(default=None, alias="stop_sequences")
    max_retries: int | None = None
    fallback: bool = True
    streaming: bool | None = None
    api_key: SecretStr | None = None

    model_config = ConfigDict(arbitrary_types_allowed=True, populate_by_name=True, extra="forbid")

    if TYPE_CHECKING:
        _core: BuiltRouter

    def __init__(self, routes: Any = None, /, **kwargs: Any) -> None:
        values = field_values(type(self).model_fields, routes, kwargs)
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise invalid(error) from error
        self._build()

    def _build(self) -> None:
        # Not a pydantic private attribute: each access of those costs a microsecond, and every call has several.
        self.__dict__["_core"] = BuiltRouter(self)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a field and rebuild the internal state, so that later changes take effect as with any chat model."""
        if name not in type(self).model_fields or "_core" not in self.__dict__:
            super().__setattr__(name, value)
            return
        with _setting:
            if self.__dict__.get("_building"):
                super().__setattr__(name, value)
                return
            # Calls of other threads use the old core until the new one is there.
            before = dict(self.__dict__)
            self.__dict__["_building"] = True
            try:
                super().__setattr__(name, build_routes(value, self.prices, self.api_key) if name == "routes" else value)
                self._build()
            except Exception:
                self.__dict__.update(before)
                raise
            finally:
                del self.__dict__["_building"]

    # What it is ------------------------------------------------------------------------------------------------------

    @property
    def router(self) -> Router:
        """The router behind the model."""
        return self._core.router

    @property
    def settings(self) -> Mapping[str, Any]:
        """The router's own call arguments, which are passed to the chosen model."""
        return self._core.settings

    @property
    def built(self) -> BuiltRouter:
        """What is built from the fields. For hosts, which read several parts of it at each call."""
        return self._core

    @property
    def models(self) -> Models:
        """The routes' models as this router calls them."""
        return self._core.models

    @property
    def caching(self) -> Any:
        """The response cache in use, or `None`. For hosts."""
        return self._core.caching

    @property
    def _llm_type(self) -> str:
        return self._core.llm_type

    @property
    def _identifying_params(self) -> dict[str, Any]:
        routes = {name: getattr(route.model, "_identifying_params", repr(route.model)) for name, route in self.routes.items()}
        return {"routes": routes, "policy": self._core.router.policy_name, "version": self._core.router.policy_version}

    def _strongest(self) -> Any:
        return self.routes[self._core.router.default].model

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        model = self._strongest()
        if not isinstance(model, BaseChatModel):
            model = super()
        params = dict(model._get_ls_params(stop=stop, **kwargs))
        params.setdefault("ls_model_name", "langroute")
        if isinstance(provider := params.get("ls_provider"), str):
            params["ls_provider"] = ProviderOfAll.of(provider, (route.info.provider for route in self.routes.values()))
        for name, key in (("temperature", "ls_temperature"), ("max_tokens", "ls_max_tokens"), ("stop", "ls_stop")):
            if getattr(self, name) is not None and name not in kwargs:
                params[key] = getattr(self, name)
        return params

    def _resolve_model_profile(self) -> Any:
        return shared_profile(route.model for route in self.routes.values())

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None, **kwargs: Any) -> int:
        """Count tokens as the default route's model does."""
        return self._strongest().get_num_tokens_from_messages(messages, tools=tools, **kwargs)  # type: ignore[no-any-return]

    def get_token_ids(self, text: str) -> list[int]:
        """Return token ids as the default route's model gives them."""
        return self._strongest().get_token_ids(text)  # type: ignore[no-any-return]

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> ChatRouter:
        """Return a copy with other settings; models, policy and ledger are shared."""
        if deep:
            raise ConfigurationError("A router's models hold connections and cannot be copied deeply; use model_copy(update=...).")
        copy = super().model_copy(update=update)
        for stale in ("_serialized", "_core", "_building"):
            copy.__dict__.pop(stale, None)
        copy.routes = build_routes(copy.routes, copy.prices)
        copy._build()
        return copy

    def __repr__(self) -> str:
        given = self.routes if isinstance(self.routes, Mapping) else ()
        pinned = f", route={self.route!r}" if self.route is not None else ""
        return f"{type(self).__name__}({short_form(list(given))}, policy={short_form(self.policy)}{pinned})"

    __str__ = __repr__

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        return {**state, "__dict__": {key: value for key, value in state["__dict__"].items() if key not in ("_core", "_building")}}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        self._build()

    # Calling ---------------------------------------------------------------------------------------------------------

    def open(
        self,
        input: Any,
        config: RunnableConfig,
        kwargs: Mapping[str, Any],
        *,
        host: type[ModelHost] = ModelHost,
        schema: Any = None,
    ) -> tuple[Generator[Any, Any, Any], Any]:
        """Return the plan of one call and the host that carries it out. For hosts; programs call `invoke` and the like."""
        core = self._core
        messages = input if isinstance(input, list) and input and _only_messages(input) else self._read(input)
        arguments = {**core.settings, **kwargs}
        configurable, router, problem = config.get("configurable"), core.router, None
        if configurable:
            arguments.update({name: configurable[name] for name in SETTINGS if name in configurable and name not in kwargs})
            router, problem = core.named.of_config(self, configurable)
        if isinstance(arguments.get("model"), str):
            router, problem = core.named.of_argument(self, arguments.pop("model")), None
        bound = None
        if arguments:
            bound = arguments.pop(BOUND, None)
            if bound is not None:
                arguments.pop("tools", None)
                arguments.pop("tool_choice", None)
            elif arguments.get("tools"):
                choice = {"tool_choice": arguments.pop("tool_choice")} if "tool_choice" in arguments else {}
                bound = BoundTools(arguments.pop("tools"), choice)
        run = read_config(config, router.limits)
        request = router.request(messages, asked_in(arguments, bound, schema), run)
        if problem is not None:
            request = replace(request, problems=(*request.problems, problem))
        plan, called = router.plan(request, run), host(core.models, config, arguments, bound, core.own, self.rate_limiter)
        if core.caching is not None:
            return core.caching.around(plan, called, request, router)  # type: ignore[no-any-return]
        return plan, called

    def _read(self, input: Any) -> list[BaseMessage]:
        if type(input) is str:
            return [HumanMessage(input)]
        try:
            return self._convert_input(input).to_messages()
        except (ValueError, NotImplementedError) as error:
            if input is None or input == []:
                raise InputError("There is no message to answer. Give at least one.") from error
            raise

    def invoke(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, *, stop: list[str] | None = None, **kwargs: Any
    ) -> Any:
        """Answer with the model that the policy chose."""
        config = ensure_config(config)
        result = drive(*self.open(input, config, _with(kwargs, stop)))
        announce(result.decision, config, message_id(result.message))
        return marked(result.message, result)

    async def ainvoke(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, *, stop: list[str] | None = None, **kwargs: Any
    ) -> Any:
        """Async version of `invoke`."""
        config = ensure_config(config)
        result = await adrive(*self.open(input, config, _with(kwargs, stop)))
        await aannounce(result.decision, config, message_id(result.message))
        return marked(result.message, result)

    def stream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, *, stop: list[str] | None = None, **kwargs: Any
    ) -> Iterator[Any]:
        """Stream the model that the policy chose; the last chunk carries the decision."""
        config = ensure_config(config)
        plan, host = self.open(input, config, _with(kwargs, stop))
        return stream(plan, host, lambda decision, shown: announce(decision, config, shown))

    def astream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, *, stop: list[str] | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """Async version of `stream`; the last chunk carries the decision."""
        config = ensure_config(config)
        plan, host = self.open(input, config, _with(kwargs, stop))
        return astream(plan, host, lambda decision, shown: aannounce(decision, config, shown))

    def stream_events(self, input: Any, config: RunnableConfig | None = None, *, version: Any = "v2", **kwargs: Any) -> Any:
        """Stream events of the model that the policy chose; with `version="v3"`, its content blocks."""
        if version != "v3":
            return super().stream_events(input, config, version=version, **kwargs)
        from langroute.hosts.content_events import EventsHost, events

        config = ensure_config(config)
        plan, host = self.open(input, config, kwargs, host=EventsHost)
        return events(plan, host, config)

    def astream_events(self, input: Any, config: RunnableConfig | None = None, *, version: Any = "v2", **kwargs: Any) -> Any:
        """Async version of `stream_events`."""
        if version != "v3":
            return super().astream_events(input, config, version=version, **kwargs)
        from langroute.hosts.content_events import EventsHost, aevents

        config = ensure_config(config)
        plan, host = self.open(input, config, kwargs, host=EventsHost)
        return aevents(plan, host, config)

    def generate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Any = None,
        *,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        run_name: str | None = None,
        run_id: Any = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Answer each list of messages with a decision of its own."""
        configs = configs_of(len(messages), callbacks, tags, metadata, run_name, run_id)
        results = []
        for one, config in zip(messages, configs, strict=True):
            results.append(drive(*self.open(one, config, _with(kwargs, stop), host=GenerateHost)))
            announce(results[-1].decision, config, message_id(results[-1].message))
        return combined(results)

    async def agenerate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Any = None,
        *,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        run_name: str | None = None,
        run_id: Any = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Async version of `generate`; the lists are answered concurrently."""
        configs = configs_of(len(messages), callbacks, tags, metadata, run_name, run_id)

        async def one(asked: list[BaseMessage], config: RunnableConfig) -> Any:
            result = await adrive(*self.open(asked, config, _with(kwargs, stop), host=GenerateHost))
            await aannounce(result.decision, config, message_id(result.message))
            return result

        return combined(await asyncio.gather(*(one(*pair) for pair in zip(messages, configs, strict=True))))

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        # Reached only by code that calls this private method itself: every public entry point goes to the chosen model.
        return ChatResult(generations=[ChatGeneration(message=self.invoke(messages, stop=stop, **kwargs))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        # Its presence tells LangChain that the model streams.
        for chunk in self.stream(messages, stop=stop, **kwargs):
            yield ChatGenerationChunk(message=chunk)

    # Declaring -------------------------------------------------------------------------------------------------------

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools to the model that will be chosen."""
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        bound = self._core.bindings.of(tools, kwargs)
        shown = {"tools": bound.shown, **({"tool_choice": tool_choice} if tool_choice is not None else {})}
        return self.bind(**shown, **{BOUND: bound})

    def with_structured_output(self, schema: Any, *, include_raw: bool = False, **kwargs: Any) -> Runnable[LanguageModelInput, Any]:
        """Return a runnable that answers in a schema, by the method of the model that will be chosen."""
        from langroute.hosts.structured import RoutedStructured

        # A model of one's own need not take `include_raw`: it is passed on where it says something.
        return RoutedStructured(router=self, schema_=schema, so_kwargs={"include_raw": True, **kwargs} if include_raw else kwargs)

    def configurable_fields(self, **kwargs: Any) -> Any:
        """Let a config change fields of the router at run time, also after tools were bound."""
        from langroute.hosts.configurable import ConfigurableRouter

        plain: Any = super().configurable_fields(**kwargs)
        return ConfigurableRouter(default=plain.default, fields=plain.fields)

    # Looking back ----------------------------------------------------------------------------------------------------

    def explain(self, what: Any = None) -> str:
        """Return a few lines about why a route was chosen and what was rejected.

        Args:
            what: A message that came from this router, a decision or its id; the latest decision where nothing is given.
        """
        from langroute.hosts.explain import explain

        return explain(what, self.ledger)


_MESSAGES = frozenset((HumanMessage, AIMessage, SystemMessage, ToolMessage))


def _only_messages(input: list[Any]) -> bool:
    """Return whether all items are messages and need no conversion. Each type is checked once; `issubclass` asks an abstract class."""
    kinds = set(map(type, input))
    return kinds <= _MESSAGES or all(issubclass(kind, BaseMessage) for kind in kinds)


def _with(kwargs: dict[str, Any], stop: list[str] | None) -> dict[str, Any]:
    return kwargs if stop is None else {**kwargs, "stop": stop}
