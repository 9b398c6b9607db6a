"""How does a router look like any other chat model?"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import AsyncIterator, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, LLMResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.base import RunnableBinding
from langchain_core.runnables.config import ensure_config
from langchain_core.runnables.configurable import RunnableConfigurableFields
from pydantic import ConfigDict, Field, SecretStr, SkipValidation, ValidationError

from langroute.binding import BOUND, Bindings, BoundTools, asked_in
from langroute.calling import GenerateHost, ModelHost, Models
from langroute.drivers import adrive, astream, drive, marked, stream
from langroute.eligibility import Limits
from langroute.errors import ConfigurationError, InputError, MissingExtraError
from langroute.events import aannounce, announce
from langroute.explain import explain
from langroute.router import Router
from langroute.routes import build_routes, resolve
from langroute.runs import read_config
from langroute.structured import RoutedStructured

SETTINGS = ("temperature", "max_tokens", "timeout", "stop")
"""Call arguments that every provider takes; the router's own are handed to whichever model is chosen."""


MANY = 256
"""Most models named at run time that are kept ready."""


class _Core:
    """What a chat router works with; made anew whenever its fields change."""

    __slots__ = ("bindings", "models", "own", "passed_over", "recall", "router", "settings", "siblings")

    def __init__(self, router: Router, models: Models, settings: dict[str, Any], own: dict[str, Any]) -> None:
        self.router, self.models, self.settings, self.own = router, models, settings, own
        self.siblings: dict[str, Router] = {}
        self.bindings = Bindings()
        self.passed_over: dict[str, str] = {}
        """Models that a config named and nobody knows, and what was found out about each."""

        self.recall: Any = None
        """The response cache at work, where there is one."""


class ChatRouter(BaseChatModel):
    """A chat model that sends each call to the cheapest of its models that will do.

    Drop it in wherever a chat model goes. Everything works through it as through the model it chose, and
    `message.response_metadata["langroute"]` says which one that was, why, and what it cost.

    Args:
        routes: `{name: chat model, model name or Route}`, cheapest first, or a sequence of named `Route`s.
        policy: Chooses among the eligible routes.
        verifier: What an answer must pass that the policy may still reject.
        default: The route that answers when the policy fails; the last one where none is given.
        baseline: The route that savings are stated against.
        ledger: Keeps the decisions; in memory where none is given.
        hooks: Hear of every decision and outcome.
        prices: USD per million tokens by `provider:model`, model name or route name, over the built-in list.
        pin: The only route to use.
        exclude: Routes not to use.
        min_tier: Lowest tier to use.
        labels: Labels every route must have.
        temperature, max_tokens, timeout, stop: Handed to whichever model is chosen.
        max_retries: Tries of the same route after an error that may pass; for the default policy.
        budget: A `Budget` or several: what may be spent, by whom.
        style: A `Style`: one voice for every route.
        deterministic: The same input makes the same decision; see `Router`.
        patience: A `Patience`: how long a route is waited for, and what then.
        response_cache: A `ResponseCache`, `True` for one in memory, or a path or URL for one that lasts. (`cache` is LangChain's own
            field: it goes to the routes' models.)
        api_key: For the models that are given by name; by default each provider's own environment variable.

    Raises:
        ConfigurationError: Something of this is wrong.

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
    pin: str | None = None
    exclude: SkipValidation[Any] = ()
    min_tier: str | None = None
    labels: SkipValidation[Any] = ()
    max_attempts: int | None = None
    inspector: SkipValidation[Any] = None
    budget: SkipValidation[Any] = None
    style: SkipValidation[Any] = None
    deterministic: bool = False
    patience: SkipValidation[Any] = None
    response_cache: SkipValidation[Any] = None
    temperature: float | None = None
    max_tokens: int | None = None
    timeout: float | None = None
    stop: list[str] | None = Field(default=None, alias="stop_sequences")
    max_retries: int | None = None
    streaming: bool | None = None
    api_key: SecretStr | None = None

    model_config = ConfigDict(arbitrary_types_allowed=True, populate_by_name=True, extra="forbid")

    if TYPE_CHECKING:
        _core: _Core

    def __init__(self, routes: Any = None, /, **kwargs: Any) -> None:
        if routes is not None:
            if "routes" in kwargs:
                raise ConfigurationError("Give the routes once: as the first argument or as `routes=`.")
            kwargs["routes"] = routes
        if callable(getattr(kwargs.get("cache"), "recall", None)):
            # A response cache under the name of LangChain's own field: what is meant is plain.
            kwargs["response_cache"] = kwargs.pop("cache")
        known = {*type(self).model_fields, *(field.alias for field in type(self).model_fields.values() if field.alias)}
        for name in kwargs:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f" Did you mean {close[0]!r}?" if close else ""
                raise ConfigurationError(f"ChatRouter has no argument {name!r}.{hint}")
        kwargs["routes"] = build_routes(kwargs.get("routes", {}), kwargs.get("prices"), kwargs.get("api_key"))
        try:
            super().__init__(**kwargs)
        except ValidationError as error:
            first = error.errors()[0]
            raise ConfigurationError(f"ChatRouter's {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        self._build()

    def _build(self) -> None:
        limits = Limits.of(
            {"route": self.pin, "exclude": self.exclude or None, "min_tier": self.min_tier, "labels": self.labels or None}
        )
        cache = self.response_cache = _opened_cache(self.response_cache)
        # The default policy keeps what it learned as long as it is the one that these fields ask for.
        asked_by = (tuple(self.routes) if len(self.routes) == 1 else (), bool(self.verifier), self.max_retries, self.style)
        default, made_for = self.__dict__.get("_default_policy", (None, None))
        policy = None if self.policy is default and made_for != asked_by else self.policy
        router = Router(
            self.routes,
            policy=policy,
            style=self.style,
            deterministic=self.deterministic,
            verifier=self.verifier,
            default=self.default,
            baseline=self.baseline,
            ledger=self.ledger,
            hooks=self.hooks if cache is None else (*self.hooks, cache),
            prices=self.prices,
            limits=limits,
            max_attempts=self.max_attempts,
            inspector=self.inspector,
            budget=self.budget,
            patience=self.patience,
            max_retries=self.max_retries,
        )
        # A copy made at run time by `configurable_fields` shares what was learned and recorded.
        self.policy, self.ledger, self.inspector = router.policy, router.ledger, router.inspector
        if policy is None:
            self.__dict__["_default_policy"] = (router.policy, asked_by)
        update = {"cache": self.cache, "output_version": self.output_version, "streaming": self.streaming}
        given = {name: value for name, value in update.items() if value is not None}
        if self.disable_streaming:
            given["disable_streaming"] = self.disable_streaming
        settings = {name: value for name in SETTINGS if (value := getattr(self, name)) is not None}
        own: dict[str, Any] = {"callbacks": self.callbacks, "tags": self.tags}
        own["metadata"] = {key: value for key, value in (self.metadata or {}).items() if key != "lc_versions"}
        # Not a pydantic private attribute: those cost a microsecond for each look, and there are several in every call.
        self.__dict__["_core"] = _Core(
            router, Models(given, self.style), settings, {key: value for key, value in own.items() if value}
        )
        if cache is not None:
            from langroute.recall import Recall

            self._core.recall = Recall(cache, self._core.models)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a field. What the router works with is made anew, as every chat model heeds a setting that is changed later."""
        core = self.__dict__.pop("_core", None) if name in type(self).model_fields else None
        if core is None:
            super().__setattr__(name, value)
            return
        before = dict(self.__dict__)
        try:
            super().__setattr__(name, build_routes(value, self.prices, self.api_key) if name == "routes" else value)
            self._build()
        except Exception:
            self.__dict__.update(before, _core=core)
            raise

    # What it is ------------------------------------------------------------------------------------------------------

    @property
    def router(self) -> Router:
        """The router behind the model."""
        return self._core.router

    @property
    def settings(self) -> Mapping[str, Any]:
        """The router's own call arguments, for whichever model is chosen."""
        return self._core.settings

    @property
    def own_config(self) -> Mapping[str, Any]:
        """The router's own callbacks, tags and metadata."""
        return self._core.own

    @property
    def models(self) -> Models:
        """The routes' models as this router calls them."""
        return self._core.models

    @property
    def recall(self) -> Any:
        """The response cache at work, or `None`. For hosts."""
        return self._core.recall

    @property
    def _llm_type(self) -> str:
        return "langroute"

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
        for name, key in (("temperature", "ls_temperature"), ("max_tokens", "ls_max_tokens"), ("stop", "ls_stop")):
            if getattr(self, name) is not None and name not in kwargs:
                params[key] = getattr(self, name)
        return params

    def _resolve_model_profile(self) -> Any:
        """What all routes share: every one can do it, and the smallest limit holds."""
        profiles = [getattr(route.model, "profile", None) for route in self.routes.values()]
        if not all(profiles):
            return None
        shared: dict[str, Any] = {}
        for key in set.intersection(*(set(profile) for profile in profiles if profile)):
            values = [profile[key] for profile in profiles if profile]
            if all(isinstance(value, bool) for value in values):
                shared[key] = all(values)
            elif all(isinstance(value, int) for value in values):
                shared[key] = min(values)
        return shared or None

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None, **kwargs: Any) -> int:
        """Count tokens as the default route's model does."""
        return self._strongest().get_num_tokens_from_messages(messages, tools=tools, **kwargs)  # type: ignore[no-any-return]

    def get_token_ids(self, text: str) -> list[int]:
        """Tokens as the default route's model has them."""
        return self._strongest().get_token_ids(text)  # type: ignore[no-any-return]

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> ChatRouter:
        """A copy with other settings; models, policy and ledger are shared."""
        if deep:
            raise ConfigurationError("A router's models hold connections and cannot be copied deeply; use model_copy(update=...).")
        copy = super().model_copy(update=update)
        for stale in ("_serialized", "_core"):
            copy.__dict__.pop(stale, None)
        copy.routes = build_routes(copy.routes, copy.prices)
        copy._build()
        return copy

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        return {**state, "__dict__": {key: value for key, value in state["__dict__"].items() if key != "_core"}}

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
        """A plan for one call, and the host that carries it out. For hosts; others call `invoke` and the like."""
        core = self._core
        messages = input if isinstance(input, list) and input and _only_messages(input) else self._read(input)
        arguments = {**core.settings, **kwargs}
        configurable, router = config.get("configurable"), core.router
        if configurable:
            arguments.update({name: configurable[name] for name in SETTINGS if name in configurable and name not in kwargs})
            if isinstance(named := configurable.get("model"), str):
                router = self._named(named)
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
        if configurable and configurable.get("model") in core.passed_over:
            request = replace(request, problems=(*request.problems, core.passed_over[configurable["model"]]))
        plan, called = router.plan(request, run), host(core.models, config, arguments, bound, core.own, self.rate_limiter)
        if core.recall is not None:
            return core.recall.around(plan, called, request, run, router)  # type: ignore[no-any-return]
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

    def _named(self, model: str) -> Router:
        """The router for a call that names its model, in the way of `init_chat_model`."""
        if model in self.routes:
            return self._pinned(model)
        for name, route in self.routes.items():
            if model in (route.info.model, f"{route.info.provider}:{route.info.model}"):
                return self._pinned(name)
        if model not in self._core.siblings:
            if len(self._core.siblings) >= MANY:
                # Names come from whoever calls; what they name must not pile up.
                self._core.siblings.clear()
                self._core.passed_over.clear()
            try:
                resolved = resolve(model, model, self.api_key)
            except (ConfigurationError, MissingExtraError) as error:
                # An application may have a `model` in its config that means something else.
                self._core.passed_over[model] = f"the config names the model {model!r}: {error}"
                self._core.siblings[model] = self._core.router
                self._core.router.notices.degraded(self._core.passed_over[model], [], f"model:{model}")
                return self._core.router
            # Which routes the router had says nothing of a model that is none of them; what every model has to be still holds.
            limits = replace(self._core.router.limits, route=None, exclude=frozenset())
            self._core.siblings[model] = Router(
                {model: resolved},
                ledger=self.ledger,
                hooks=self.hooks,
                prices=self.prices,
                limits=limits,
            )
        return self._core.siblings[model]

    def _pinned(self, route: str) -> Router:
        if route not in self._core.siblings:
            self._core.siblings[route] = self.model_copy(update={"pin": route}).router
        return self._core.siblings[route]

    def invoke(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, *, stop: list[str] | None = None, **kwargs: Any
    ) -> Any:
        """Answer with the model that the policy chose."""
        config = ensure_config(config)
        result = drive(*self.open(input, config, _with(kwargs, stop)))
        announce(result.decision, config)
        return marked(result.message, result)

    async def ainvoke(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, *, stop: list[str] | None = None, **kwargs: Any
    ) -> Any:
        """Answer with the model that the policy chose, awaited."""
        config = ensure_config(config)
        result = await adrive(*self.open(input, config, _with(kwargs, stop)))
        await aannounce(result.decision, config)
        return marked(result.message, result)

    def stream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, *, stop: list[str] | None = None, **kwargs: Any
    ) -> Iterator[Any]:
        """Stream the model that the policy chose; the last chunk carries the decision."""
        config = ensure_config(config)
        plan, host = self.open(input, config, _with(kwargs, stop))
        return stream(plan, host, lambda decision: announce(decision, config))

    def astream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, *, stop: list[str] | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """Stream the model that the policy chose, awaited; the last chunk carries the decision."""
        config = ensure_config(config)
        plan, host = self.open(input, config, _with(kwargs, stop))
        return astream(plan, host, lambda decision: aannounce(decision, config))

    def stream_events(self, input: Any, config: RunnableConfig | None = None, *, version: Any = "v2", **kwargs: Any) -> Any:
        """Stream events of the model that the policy chose; with `version="v3"`, its content blocks."""
        if version != "v3":
            return super().stream_events(input, config, version=version, **kwargs)
        from langroute.content_events import EventsHost, events

        config = ensure_config(config)
        plan, host = self.open(input, config, kwargs, host=EventsHost)
        return events(plan, host, config)

    def astream_events(self, input: Any, config: RunnableConfig | None = None, *, version: Any = "v2", **kwargs: Any) -> Any:
        """The same, awaited."""
        if version != "v3":
            return super().astream_events(input, config, version=version, **kwargs)
        from langroute.content_events import EventsHost, aevents

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
        configs = _configs(len(messages), callbacks, tags, metadata, run_name, run_id)
        results = []
        for one, config in zip(messages, configs, strict=True):
            results.append(drive(*self.open(one, config, _with(kwargs, stop), host=GenerateHost)))
            announce(results[-1].decision, config)
        return _combined(results)

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
        """Answer each list of messages with a decision of its own, at once."""
        configs = _configs(len(messages), callbacks, tags, metadata, run_name, run_id)

        async def one(asked: list[BaseMessage], config: RunnableConfig) -> Any:
            result = await adrive(*self.open(asked, config, _with(kwargs, stop), host=GenerateHost))
            await aannounce(result.decision, config)
            return result

        return _combined(await asyncio.gather(*(one(*pair) for pair in zip(messages, configs, strict=True))))

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
        """Bind tools to whichever model will be chosen."""
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        bound = self._core.bindings.of(tools, kwargs)
        shown = {"tools": bound.shown, **({"tool_choice": tool_choice} if tool_choice is not None else {})}
        return self.bind(**shown, **{BOUND: bound})

    def with_structured_output(self, schema: Any, *, include_raw: bool = False, **kwargs: Any) -> Runnable[LanguageModelInput, Any]:
        """Answer in a schema, in the way of whichever model will be chosen."""
        return RoutedStructured(router=self, schema_=schema, so_kwargs={"include_raw": include_raw, **kwargs})

    def configurable_fields(self, **kwargs: Any) -> Any:
        """Let a config change fields of the router at run time; tools bound afterwards keep seeing the change."""
        plain: Any = super().configurable_fields(**kwargs)
        return ConfigurableRouter(default=plain.default, fields=plain.fields)

    # Looking back ----------------------------------------------------------------------------------------------------

    def explain(self, what: Any = None) -> str:
        """Say in a few lines why a route was chosen and what was rejected.

        Args:
            what: A message that came from this router, a decision or its id; the latest decision where nothing is given.
        """
        return explain(what, self.ledger)


class ConfigurableRouter(RunnableConfigurableFields):  # type: ignore[type-arg]
    """A router whose fields a config may change at run time.

    LangChain's own class binds tools to the default model and forgets the config afterwards; here they are bound to this
    runnable, which picks the model when it is called.
    """

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, Any]:
        """Bind tools to whichever model will be configured and chosen."""
        bound: Any = self.default.bind_tools(tools, **kwargs)  # type: ignore[attr-defined]
        return RunnableBinding(bound=self, kwargs=bound.kwargs)

    def with_structured_output(self, schema: Any, *, include_raw: bool = False, **kwargs: Any) -> Runnable[Any, Any]:
        """Answer in a schema, in the way of whichever model will be configured and chosen."""
        return RoutedStructured(router=self, schema_=schema, so_kwargs={"include_raw": include_raw, **kwargs})


def _only_messages(input: list[Any]) -> bool:
    """Nothing needs converting. An agent's history has many messages of few types, so each type is looked at once."""
    return all(issubclass(kind, BaseMessage) for kind in set(map(type, input)))


def _opened_cache(given: Any) -> Any:
    """The response cache that was asked for; nothing of it is imported where none was."""
    if given is None or given is False:
        return None
    if callable(getattr(given, "recall", None)):
        return given
    from langroute.cache.response import ResponseCache

    return ResponseCache(None if given is True else given)


def _with(kwargs: dict[str, Any], stop: list[str] | None) -> dict[str, Any]:
    return kwargs if stop is None else {**kwargs, "stop": stop}


def _configs(count: int, callbacks: Any, tags: Any, metadata: Any, run_name: Any, run_id: Any) -> list[RunnableConfig]:
    """A config for each list of messages; the run id belongs to the first, as in LangChain."""
    given = {"callbacks": callbacks, "tags": tags, "metadata": metadata, "run_name": run_name, "run_id": run_id}
    first = ensure_config({key: value for key, value in given.items() if value})  # type: ignore[arg-type]
    rest: Any = {key: value for key, value in first.items() if key != "run_id"}
    return [first, *(rest.copy() for _ in range(count - 1))][:count]


def _combined(results: Sequence[Any]) -> LLMResult:
    """One result for several lists of messages, with the models' own words about tokens where they all come from one."""
    outputs: list[LLMResult] = [result.output for result in results]
    for result, output in zip(results, outputs, strict=True):
        message, (first, *others) = marked(result.message, result), output.generations[0]
        if message is not result.message:
            output.generations[0] = [first.model_copy(update={"message": message}), *others]
    if len(outputs) == 1:
        return outputs[0]
    return LLMResult(
        generations=[generation for output in outputs for generation in output.generations],
        llm_output={"langroute": [output.llm_output or {} for output in outputs]},
        run=[run for output in outputs for run in output.run or ()] or None,
    )
