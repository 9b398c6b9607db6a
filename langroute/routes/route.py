"""Routes: chat models with a name, a price, capabilities, labels and a tier."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable
from langchain_core.runnables.base import RunnableBinding

from langroute.core.bounded import shown
from langroute.core.errors import ConfigurationError, ConfigurationWarning, DuplicateRouteError, MissingExtraError
from langroute.core.records import TIERS, Price, RouteInfo
from langroute.providers.billing import asked_terms
from langroute.providers.local_servers import COMPATIBLE
from langroute.providers.profile import WireRules
from langroute.providers.registry import UNKNOWN, profile_of
from langroute.providers.wire import host_of, rules_of, wire_format
from langroute.routes.model_profile import model_profile, token_limit
from langroute.routes.order import in_order
from langroute.routes.pricing import price_from, price_of

CAPABILITIES = {
    "tools": "tool_calling",
    "tool_choice": "tool_choice",
    "structured_output": "structured_output",
    "images": "image_inputs",
    "audio": "audio_inputs",
    "video": "video_inputs",
    "pdf": "pdf_inputs",
    "reasoning": "reasoning_output",
}
"""Capability → its key in LangChain's model profile."""


@dataclass(frozen=True)
class Route:
    """A chat model to choose from, with the facts that the model itself does not provide.

    Args:
        model: A chat model, or a name for `init_chat_model` such as `openai:gpt-5-mini`.
        name: Name of the route for policies; taken from the key if routes are given as a mapping.
        tier: `cheap`, `balanced`, `frontier` or a tier of your own; by default from the name, else from the order.
        price: USD per million tokens; by default looked up in the user's table and `genai-prices`.
        labels: Regions and sensitivities the route may serve: `"eu"`, `{"eu", "pii"}`.
        capabilities: What the model can do (`tools`, `images`, …); overrides its profile.
        context_window: Largest input in tokens.
        max_output_tokens: Longest answer in tokens.

    Example:
        >>> from langroute.testing import ScriptedModel
        >>> route = Route(ScriptedModel("Hello."), price={"input": 1, "output": 4}, labels={"eu"})
        >>> built = build_routes({"cheap": route})["cheap"]
        >>> built.info.tier, built.info.price.output
        ('cheap', 4.0)
    """

    model: Any
    name: str | None = None
    tier: str | None = None
    price: Price | Mapping[str, Any] | None = None
    labels: str | Iterable[str] = ()
    capabilities: Mapping[str, bool] = field(default_factory=dict)
    context_window: int | None = None
    max_output_tokens: int | None = None


@dataclass(frozen=True, eq=False)
class BuiltRoute:
    """A route with its model built and its facts resolved. Made by `build_routes`."""

    info: RouteInfo
    model: Any
    """A chat model, or another Runnable from messages to a message."""

    kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Call arguments that were bound to the model before it became a route."""

    config: Mapping[str, Any] = field(default_factory=dict)
    source: Route | None = None
    listed: bool = False
    """The price is the list's, so that it may change, and another model that serves a call has its own."""

    priced_as: str | None = None
    """The provider whose list price counts: the host's where another provider's client is pointed at it."""

    terms: tuple[str, ...] = ()
    """Terms of the bill, other than the standard ones, that the model asks for: `flex`, `priority`, `us`, …"""

    table: Mapping[str, Price] = field(default_factory=dict)
    """The user's own prices."""

    rules: WireRules | None = None
    """Rules of its wire format; `None` where it is unknown."""

    @property
    def name(self) -> str:
        """Name of the route."""
        return self.info.name


def build_routes(routes: Any, prices: Mapping[str, Any] | None = None, api_key: Any = None) -> dict[str, BuiltRoute]:
    """Build the routes that the user gave, cheapest first; see `in_order`.

    Args:
        routes: `{name: chat model, model name or Route}`, or a sequence of `Route`s that have names.
        prices: The user's own prices, by `provider:model`, model name or route name.
        api_key: API key for models that were given by name.

    Raises:
        ConfigurationError: There is no route, a price is below zero, or a model is not a chat model.
        DuplicateRouteError: Two routes share a name.
        MissingExtraError: A model was given by name and its package is not installed.
    """
    if isinstance(routes, Mapping):
        given = [(str(name), value) for name, value in routes.items()]
    elif isinstance(routes, Sequence) and not isinstance(routes, (str, bytes)):
        given = [(getattr(value, "name", None) or "", value) for value in routes]
    else:
        raise ConfigurationError(f"Give routes as a mapping of name to chat model, not {type(routes).__name__}.")
    if not given:
        raise ConfigurationError("A router needs at least one route.")
    if prices is not None and not isinstance(prices, Mapping):
        raise ConfigurationError(f"Give prices as a mapping of model or route to price, not as a {type(prices).__name__}.")
    table = {name: price for name, raw in (prices or {}).items() if (price := price_from(raw, f"prices[{name!r}]"))}
    built: dict[str, BuiltRoute] = {}
    for rank, (name, value) in enumerate(given):
        if not name:
            raise ConfigurationError(f"Route {rank + 1} has no name: give it as Route(model, name=...).")
        if name in built:
            raise DuplicateRouteError(name)
        built[name] = _build(name, rank, len(given), value, table, api_key)
    # Routes that were built before have been put in order.
    return built if all(isinstance(value, BuiltRoute) for _, value in given) else in_order(built)


def _build(name: str, rank: int, count: int, value: Any, table: Mapping[str, Price], api_key: Any) -> BuiltRoute:
    if isinstance(value, BuiltRoute):
        return replace(value, info=replace(value.info, name=name, rank=rank))
    route = value if isinstance(value, Route) else Route(value)
    model, kwargs, config = _unwrap(resolve(route.model, name, api_key))
    if isinstance(model, type):
        raise ConfigurationError(f"Route {name!r} is the class {model.__name__}; give a model, as in {model.__name__}(...).")
    if not isinstance(model, Runnable):
        raise ConfigurationError(f"Route {name!r} is a {type(model).__name__}; give a chat model, a model name or a Route.")
    provider, asked = identity(model, kwargs)
    profile = model_profile(model)
    capabilities = {ours: profile[theirs] for ours, theirs in CAPABILITIES.items() if isinstance(profile.get(theirs), bool)}
    if not hasattr(model, "bind_tools") or (
        isinstance(model, BaseChatModel) and type(model).bind_tools is BaseChatModel.bind_tools
    ):
        capabilities["tools"] = False
        if not hasattr(model, "with_structured_output"):
            capabilities["structured_output"] = False
    capabilities.update(checked_capabilities(route.capabilities, f"Route {name!r}: "))
    own = price_from(route.price, f"Route {name!r}: price") or table.get(name) or _in_table(table, asked, provider)
    priced_as = _priced_as(model, provider)
    info = RouteInfo(
        name=name,
        tier=_known_tier(route.tier, name) or _tier(name, rank, count),
        rank=rank,
        model=asked,
        provider=provider,
        api=wire_format(model, provider),
        price=own or price_of(asked, priced_as),
        context_window=_positive(route.context_window, name) or token_limit(profile, "max_input_tokens"),
        max_output_tokens=_positive(route.max_output_tokens, name) or token_limit(profile, "max_output_tokens"),
        capabilities=capabilities,
        labels=_words(route.labels, name),
    )
    return BuiltRoute(
        info,
        model,
        kwargs,
        config,
        route,
        listed=own is None and not is_router(model),
        priced_as=priced_as,
        terms=asked_terms(model, kwargs),
        table=table,
        rules=rules_of(info.api, provider, asked, host_of(model)),
    )


def _in_table(table: Mapping[str, Price], model: str | None, provider: str | None) -> Price | None:
    return (table.get(f"{provider}:{model}") or table.get(model)) if model else None


def _priced_as(model: Any, provider: str | None) -> str | None:
    """Return the provider whose list price counts for a model: by the host that its client calls, if that is known."""
    for address in ("openai_api_base", "anthropic_api_url", "base_url"):
        host = host_of(model, address)
        found = profile_of(provider, None, host) if host else None
        if found is not None and found not in (COMPATIBLE, UNKNOWN, profile_of(provider)):
            return found.name
    return provider


def checked_capabilities(capabilities: Any, where: str = "") -> Mapping[str, bool]:
    """Return the capabilities, refusing unknown ones, which would have no effect, and words such as `"no"`, which would mean yes.

    Args:
        capabilities: What a user said of a route.
        where: What the error begins with.

    Raises:
        ConfigurationError: They are not right.
    """
    if not isinstance(capabilities, Mapping) or not all(isinstance(value, bool) for value in capabilities.values()):
        raise ConfigurationError(f"{where}capabilities say yes or no to each, as in {{'tools': True}}, not {shown(capabilities)}.")
    for capability in capabilities:
        if capability not in CAPABILITIES:
            raise ConfigurationError(f"{where}unknown capability {capability!r}. Capabilities: {', '.join(CAPABILITIES)}.")
    return capabilities


def _words(labels: Any, name: str) -> frozenset[str]:
    """Return the labels; one may be given as a text, as everywhere."""
    given = {labels} if isinstance(labels, str) else labels
    if isinstance(given, Iterable) and not isinstance(given, Mapping):
        words = frozenset(given)
        if all(isinstance(word, str) for word in words):
            return words
    raise ConfigurationError(f"Route {name!r}: labels are words, such as {{'eu', 'pii'}}, not {shown(labels)}.")


def _positive(value: int | None, name: str) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value <= 0):
        raise ConfigurationError(f"Route {name!r}: token limits are whole numbers above zero, not {value!r}.")
    return value


def _known_tier(tier: str | None, name: str) -> str | None:
    """Return the tier. User-defined tiers are accepted; a misspelled built-in one is refused."""
    if tier is not None and tier not in TIERS and (close := difflib.get_close_matches(tier, TIERS, n=1, cutoff=0.75)):
        text = f"Route {name!r}: {tier!r} becomes a tier of your own. Did you mean {close[0]!r}?"
        warnings.warn(text, ConfigurationWarning, stacklevel=2)
    return tier


def _tier(name: str, rank: int, count: int) -> str:
    """Return the tier of a route: by its name if that is a tier, else by its position, cheapest first."""
    if name in TIERS:
        return name
    if count == 1 or rank == count - 1:
        return "frontier"
    return "cheap" if rank == 0 else "balanced"


def _unwrap(model: Any) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Remove bound arguments from a model, so that tools can still be bound to it."""
    kwargs: dict[str, Any] = {}
    config: dict[str, Any] = {}
    while isinstance(model, RunnableBinding) and not model.config_factories:
        kwargs = {**model.kwargs, **kwargs}
        config = {**model.config, **config}
        model = model.bound
    return model, kwargs, config


def resolve(model: Any, route: str, api_key: Any = None, base_url: str | None = None) -> Any:
    """Return the chat model for a name such as `openai:gpt-5-mini`; return anything else unchanged.

    Raises:
        MissingExtraError: The package for that provider is not installed.
        ConfigurationError: The name is invalid, or the model cannot be built.
    """
    if not isinstance(model, str):
        return model
    provider, _, bare = model.partition(":")
    given: dict[str, Any] = {} if api_key is None else {"api_key": api_key}
    if base_url is not None:
        given["base_url"] = base_url
    try:
        try:
            from langchain.chat_models import init_chat_model
        except ImportError:
            if provider == "openai" and bare:
                from langchain_openai import ChatOpenAI

                return ChatOpenAI(model=bare, **given)
            if provider == "anthropic" and bare:
                from langchain_anthropic import ChatAnthropic

                return ChatAnthropic(model_name=bare, timeout=None, stop=None, **given)
            raise MissingExtraError("langchain", "agents", f"Route {route!r}, given by the name {model!r},") from None
        return init_chat_model(model, **given)
    except MissingExtraError:
        raise
    except ImportError as error:
        if provider in ("openai", "anthropic"):
            raise MissingExtraError(str(error.name or provider), provider, f"Route {route!r} ({model})") from error
        package = str(error.name or f"langchain-{provider}").replace("_", "-")
        raise ConfigurationError(f"Route {route!r} ({model}) needs the package {package!r}: pip install {package}") from error
    except Exception as error:
        raise ConfigurationError(f"Route {route!r}: {model!r} could not be made into a chat model: {error}") from error


class RouterType(str):
    """The `_llm_type` of a router, by which it is known as one."""

    __slots__ = ()


def is_router(model: Any) -> bool:
    """Return whether a model is itself a router, which calculates its own costs.

    Example:
        >>> from langroute.testing import ScriptedModel
        >>> is_router(ScriptedModel("Hi."))
        False
    """
    return isinstance(getattr(model, "_llm_type", None), RouterType)


def identity(model: Any, kwargs: Mapping[str, Any] | None = None) -> tuple[str | None, str | None]:
    """Return provider and name of a model, as LangChain reports them to LangSmith."""
    params: Mapping[str, Any] = {}
    if isinstance(model, BaseChatModel):
        params = model._get_ls_params(**dict(kwargs or {}))
    name = (
        (kwargs or {}).get("model")
        or params.get("ls_model_name")
        or getattr(model, "model_name", None)
        or getattr(model, "model", None)
    )
    return params.get("ls_provider"), name if isinstance(name, str) else None
