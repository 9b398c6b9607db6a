"""What is a route? A chat model with a name, a price, abilities, labels and a tier."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable
from langchain_core.runnables.base import RunnableBinding

from langroute.errors import ConfigurationError, ConfigurationWarning, DuplicateRouteError, MissingExtraError
from langroute.pricing import price_from, price_of
from langroute.records import TIERS, Price, RouteInfo

ABILITIES = {
    "tools": "tool_calling",
    "tool_choice": "tool_choice",
    "structured_output": "structured_output",
    "images": "image_inputs",
    "audio": "audio_inputs",
    "video": "video_inputs",
    "pdf": "pdf_inputs",
    "reasoning": "reasoning_output",
}
"""Our name of an ability → its key in LangChain's model profile."""


@dataclass(frozen=True)
class Route:
    """A chat model to choose from, with whatever the model itself does not say.

    Args:
        model: A chat model, or a name for `init_chat_model` such as `openai:gpt-5-mini`.
        name: How policies call the route; taken from the mapping's key where routes are given as one.
        tier: `cheap`, `balanced`, `frontier` or a tier of your own; by default from the name, else from the order.
        price: USD per million tokens; by default looked up in the user's table and `genai-prices`.
        labels: Regions and sensitivities the route may serve: `{"eu", "pii"}`.
        abilities: What the model can do (`tools`, `images`, …), over what its profile says.
        context_window: Most input tokens.
        max_output_tokens: Longest answer.

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
    labels: Iterable[str] = ()
    abilities: Mapping[str, bool] = field(default_factory=dict)
    context_window: int | None = None
    max_output_tokens: int | None = None


@dataclass(frozen=True, eq=False)
class BuiltRoute:
    """A route whose model exists and whose facts are known. Made by `build_routes`."""

    info: RouteInfo
    model: Any
    """A chat model, or another Runnable from messages to a message."""

    kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Call arguments that were bound to the model before it became a route."""

    config: Mapping[str, Any] = field(default_factory=dict)
    source: Route | None = None

    @property
    def name(self) -> str:
        """Name of the route."""
        return self.info.name


def build_routes(routes: Any, prices: Mapping[str, Any] | None = None, api_key: Any = None) -> dict[str, BuiltRoute]:
    """Resolve what the user gave to routes, cheapest first as given.

    Args:
        routes: `{name: chat model, model name or Route}`, or a sequence of `Route`s that have names.
        prices: The user's own prices, by `provider:model`, model name or route name.
        api_key: For the models that were given by name.

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
    return built


def _build(name: str, rank: int, count: int, value: Any, table: Mapping[str, Price], api_key: Any) -> BuiltRoute:
    if isinstance(value, BuiltRoute):
        return replace(value, info=replace(value.info, name=name, rank=rank))
    route = value if isinstance(value, Route) else Route(value)
    model, kwargs, config = _unwrap(resolve(route.model, name, api_key))
    if isinstance(model, type):
        raise ConfigurationError(f"Route {name!r} is the class {model.__name__}; give a model, as in {model.__name__}(...).")
    if not isinstance(model, Runnable):
        raise ConfigurationError(f"Route {name!r} is a {type(model).__name__}; give a chat model, a model name or a Route.")
    if isinstance(route.labels, str):
        raise ConfigurationError(f"Route {name!r}: labels are a set of words, such as {{{route.labels!r}}}.")
    provider, asked = identity(model, kwargs)
    profile = getattr(model, "profile", None) or {}
    abilities = {ours: profile[theirs] for ours, theirs in ABILITIES.items() if isinstance(profile.get(theirs), bool)}
    if not hasattr(model, "bind_tools") or (
        isinstance(model, BaseChatModel) and type(model).bind_tools is BaseChatModel.bind_tools
    ):
        abilities["tools"] = False
        if not hasattr(model, "with_structured_output"):
            abilities["structured_output"] = False
    abilities.update(_checked_abilities(route.abilities, name))
    own = price_from(route.price, f"Route {name!r}: price")
    info = RouteInfo(
        name=name,
        tier=_known_tier(route.tier, name) or _tier(name, rank, count),
        rank=rank,
        model=asked,
        provider=provider,
        api=wire_format(model, provider),
        price=own or table.get(name) or price_of(asked, provider, table),
        context_window=_positive(route.context_window, name) or profile.get("max_input_tokens"),
        max_output_tokens=_positive(route.max_output_tokens, name) or profile.get("max_output_tokens"),
        abilities=abilities,
        labels=frozenset(route.labels),
    )
    return BuiltRoute(info, model, kwargs, config, route)


def _checked_abilities(abilities: Any, name: str) -> Mapping[str, bool]:
    """An ability that nobody asks for would be heeded by nobody."""
    if not isinstance(abilities, Mapping):
        raise ConfigurationError(f"Route {name!r}: abilities say yes or no to each, such as {{'tools': True}}.")
    for ability in abilities:
        if ability not in ABILITIES:
            raise ConfigurationError(f"Route {name!r}: unknown ability {ability!r}. Abilities: {', '.join(ABILITIES)}.")
    return abilities


def _positive(value: int | None, name: str) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value <= 0):
        raise ConfigurationError(f"Route {name!r}: token limits are whole numbers above zero, not {value!r}.")
    return value


def _known_tier(tier: str | None, name: str) -> str | None:
    """A tier of the user's own is fine; one that is nearly ours is more likely a slip."""
    if tier is not None and tier not in TIERS and (close := difflib.get_close_matches(tier, TIERS, n=1, cutoff=0.75)):
        text = f"Route {name!r}: {tier!r} becomes a tier of your own. Did you mean {close[0]!r}?"
        warnings.warn(text, ConfigurationWarning, stacklevel=2)
    return tier


def _tier(name: str, rank: int, count: int) -> str:
    """A route named like a tier has it; otherwise the order tells, cheapest first."""
    if name in TIERS:
        return name
    if count == 1 or rank == count - 1:
        return "frontier"
    return "cheap" if rank == 0 else "balanced"


def _unwrap(model: Any) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Take bound arguments off a model, so that tools can still be bound to it."""
    kwargs: dict[str, Any] = {}
    config: dict[str, Any] = {}
    while isinstance(model, RunnableBinding) and not model.config_factories:
        kwargs = {**model.kwargs, **kwargs}
        config = {**model.config, **config}
        model = model.bound
    return model, kwargs, config


def resolve(model: Any, route: str, api_key: Any = None) -> Any:
    """A chat model from a name such as `openai:gpt-5-mini`; anything else is returned as it is.

    Raises:
        MissingExtraError: The package for that provider is not installed.
        ConfigurationError: The name cannot be understood, or the model refuses to be built.
    """
    if not isinstance(model, str):
        return model
    provider, _, bare = model.partition(":")
    given = {} if api_key is None else {"api_key": api_key}
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


def is_router(model: Any) -> bool:
    """The model is a router itself, which works out what its models cost.

    Example:
        >>> from langroute.testing import ScriptedModel
        >>> is_router(ScriptedModel("Hi."))
        False
    """
    return getattr(model, "_llm_type", None) == "langroute"


def identity(model: Any, kwargs: Mapping[str, Any] | None = None) -> tuple[str | None, str | None]:
    """Provider and name of a model, as LangChain reports them to LangSmith."""
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


def wire_format(model: Any, provider: str | None) -> str | None:
    """Which request format the model's provider is sent: told by LangChain's own names, without importing a provider."""
    kind = getattr(model, "_llm_type", "") or ""
    bases = {base.__name__ for base in type(model).__mro__}
    if "ChatAnthropic" in bases or kind == "anthropic-chat":
        return "anthropic"
    if "BaseChatOpenAI" in bases:
        # The same test that ChatOpenAI makes, for a call without arguments.
        if getattr(model, "use_responses_api", None) or (
            getattr(model, "use_responses_api", None) is None
            and (
                getattr(model, "output_version", None) == "responses/v1"
                or any(getattr(model, name, None) is not None for name in ("include", "reasoning", "truncation"))
            )
        ):
            return "openai-responses"
        base = str(getattr(model, "openai_api_base", None) or "")
        official = not base or "api.openai.com" in base or provider == "azure"
        return "openai-chat" if official and "ChatOpenAI" in bases | {type(model).__name__} else "openai-compatible"
    if provider in ("google_genai", "google_vertexai"):
        return "gemini"
    if provider in (
        "mistral",
        "mistralai",
        "groq",
        "together",
        "fireworks",
        "deepseek",
        "xai",
        "ollama",
        "openrouter",
        "perplexity",
    ):
        return "openai-compatible"
    return None
