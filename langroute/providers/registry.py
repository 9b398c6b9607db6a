"""Lookup of provider profiles, and registration of user-defined ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from langroute.core.errors import ConfigurationError
from langroute.providers.anthropic import ANTHROPIC
from langroute.providers.azure import AZURE, AZURE_AI
from langroute.providers.bedrock import BEDROCK
from langroute.providers.deepseek import DEEPSEEK
from langroute.providers.google import GOOGLE, VERTEX
from langroute.providers.groq import GROQ
from langroute.providers.hosted_services import SERVICES
from langroute.providers.local_servers import COMPATIBLE, OLLAMA
from langroute.providers.mistral import MISTRAL
from langroute.providers.moonshot import MOONSHOT
from langroute.providers.openai import OPENAI
from langroute.providers.openrouter import OPENROUTER
from langroute.providers.profile import END_KINDS, CacheRules, ProviderProfile
from langroute.providers.xai import XAI
from langroute.providers.zai import ZAI

BUILT_IN = (
    OPENAI, AZURE, AZURE_AI, ANTHROPIC, GOOGLE, VERTEX, BEDROCK, MISTRAL, DEEPSEEK, XAI, GROQ, MOONSHOT, ZAI, OPENROUTER, *SERVICES,
    OLLAMA, COMPATIBLE,
)  # fmt: skip

UNKNOWN = ProviderProfile("unknown")
"""Profile of an unknown provider: it may give no finish reasons, and its cached tokens are known only from its answers."""

_own: dict[str, ProviderProfile] = {}

ON_CHANGE: list[Callable[[], None]] = []
"""Callbacks after a profile was registered, to rebuild tables compiled from all profiles."""


def profiles() -> tuple[ProviderProfile, ...]:
    """Return all known profiles, user-defined ones first."""
    return (*_own.values(), *BUILT_IN)


def register_provider(profile: ProviderProfile) -> None:
    """Register a provider's profile, replacing a built-in one of the same name.

    Register before routers are made, because a route's profile is looked up when the route is built.

    Raises:
        ConfigurationError: The argument is not a profile, or one of its tables uses an unknown kind.

    Example:
        >>> register_provider(ProviderProfile("acme", aliases=("acme_gateway",), finish_reasons={"done": "stop"}))
        >>> profile_of("acme_gateway").finish_kind("done")
        'stop'
        >>> unregister_provider("acme")
    """
    if not isinstance(profile, ProviderProfile):
        raise ConfigurationError(f"A provider is described by a ProviderProfile(...), not by a {type(profile).__name__}.")
    for word, kind in profile.finish_reasons.items():
        if kind not in END_KINDS or word != word.lower():
            raise ConfigurationError(
                f"Provider {profile.name!r}: finish reason {word!r} → {kind!r}; words are in lower case and mean one of {', '.join(END_KINDS)}."
            )
    _own[profile.name] = profile
    _forget()


def unregister_provider(name: str) -> None:
    """Undo `register_provider`."""
    _own.pop(name, None)
    _forget()


def _forget() -> None:
    profile_of.cache_clear()
    shared_finish_reasons.cache_clear()
    for forget in ON_CHANGE:
        forget()


@lru_cache(maxsize=4096)
def profile_of(provider: str | None, model: str | None = None, host: str | None = None) -> ProviderProfile:
    """Return the profile of the provider that answers a call.

    The host comes first, because many services are called through OpenAI's client, which reports OpenAI. Then comes the provider that
    LangChain reports, and the model's name only without one.

    Args:
        provider: LangChain's `ls_provider`.
        model: The model's name.
        host: Host name of the base URL, where the client was given one.

    Example:
        >>> profile_of("openai", "grok-4", "api.x.ai").name, profile_of("openai", "gpt-5").name, profile_of(None).name
        ('xai', 'openai', 'unknown')
    """
    known = profiles()
    if host:
        for profile in known:
            if any(host == end or host.endswith(f".{end}") for end in profile.hosts):
                return profile
        if provider in OPENAI.aliases:
            # OpenAI's client was pointed at a server that nobody described.
            return COMPATIBLE
    if provider:
        return next((profile for profile in known if provider == profile.name or provider in profile.aliases), UNKNOWN)
    return next((profile for profile in known if profile.makes(model)), UNKNOWN)


def price_id(provider: str | None) -> str | None:
    """Return the id under which `genai-prices` lists a provider.

    Example:
        >>> price_id("xai"), price_id("cerebras"), price_id("nobody_knows"), price_id(None)
        ('x-ai', 'cerebras', 'nobody_knows', None)
    """
    profile = profile_of(provider)
    return profile.price_id or (provider if profile is UNKNOWN else profile.name)


def cache_rules(provider: str | None, api: str | None = None, model: str | None = None) -> CacheRules:
    """Return the prompt-cache rules of a route.

    Claude's cache markers are set by the program, so its rules apply wherever it is served.

    Args:
        provider: LangChain's `ls_provider`.
        api: The wire format.
        model: The model's name.

    Example:
        >>> cache_rules("openai", model="gpt-5").block, cache_rules("openrouter", model="anthropic/claude-opus-4-6").min_tokens
        (128, 4096)
    """
    if api == ANTHROPIC.wire or ANTHROPIC.makes(model):
        return ANTHROPIC.cache_rules(model)
    profile = profile_of(provider)
    if profile is UNKNOWN and api == GOOGLE.wire:
        profile = GOOGLE
    return profile.cache_rules(model)


def writes_as(provider: str | None) -> str | None:
    """Return the provider name that a provider's package writes into answers.

    Example:
        >>> writes_as("azure"), writes_as("mistral"), writes_as("nobody_knows")
        ('openai', 'mistralai', 'nobody_knows')
    """
    profile = profile_of(provider)
    return profile.writes_as or (provider if profile is UNKNOWN else profile.name)


def telemetry_name(provider: str | None) -> str:
    """Return a provider's name in OpenTelemetry's semantic conventions.

    Example:
        >>> telemetry_name("google_genai"), telemetry_name("nobody_knows"), telemetry_name(None)
        ('gcp.gemini', 'nobody_knows', 'unknown')
    """
    profile = profile_of(provider)
    return profile.telemetry_name or ((provider or "unknown") if profile is UNKNOWN else profile.name)


@lru_cache(maxsize=1)
def shared_finish_reasons() -> Mapping[str, str]:
    """Return the finish reasons of all providers, for answers whose provider is unknown."""
    merged: dict[str, str] = {}
    for profile in reversed(profiles()):
        merged.update(profile.finish_reasons)
    return merged
