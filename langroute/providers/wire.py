"""Wire formats: which one a chat model uses, and the rules of each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from langroute.providers import anthropic, bedrock, google, mistral, openai_protocol
from langroute.providers.profile import ProtocolWords, WireRules
from langroute.providers.registry import ON_CHANGE, profile_of, profiles

RULES: Mapping[str, WireRules] = {
    rules.name: rules
    for rules in (
        anthropic.MESSAGES,
        openai_protocol.CHAT,
        openai_protocol.RESPONSES,
        google.GEMINI,
        mistral.CHAT,
        openai_protocol.COMPATIBLE,
        bedrock.CONVERSE,
    )
}
"""Name of a wire format → its rules."""

WORDS: Mapping[str, ProtocolWords] = {
    anthropic.MESSAGES.name: anthropic.WORDS,
    openai_protocol.CHAT.name: openai_protocol.CHAT_WORDS,
    openai_protocol.RESPONSES.name: openai_protocol.RESPONSES_WORDS,
    google.GEMINI.name: google.WORDS,
}
"""Name of a wire format → the words of its protocol."""

ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    argument: tuple(name for name, rules in RULES.items() if argument in rules.arguments)
    for argument in sorted(frozenset[str]().union(*(rules.arguments for rules in RULES.values())))
}
"""Call argument → wire formats whose package accepts it. Arguments not listed are accepted by all, or are the user's own."""

_VERSION = re.compile(r"(?:-\d{8}|-\d{4}-\d{2}-\d{2}|-\d{3}|-latest|@.+)$")

_RESPONSES_FIELDS = ("include", "reasoning", "truncation", "context_management")
"""Fields of `ChatOpenAI` that make it use the Responses API."""


def wire_format(model: Any, provider: str | None) -> str | None:
    """Return the request format that a model uses; `None` where it is unknown.

    The format is derived from the names of LangChain's classes, without importing a provider's package. `mistral` is never returned:
    it is what Mistral's profile makes of `openai-compatible`; see `rules_of`.

    Args:
        model: A chat model.
        provider: LangChain's `ls_provider`.
    """
    kind = getattr(model, "_llm_type", "")
    kind = kind if isinstance(kind, str) else ""
    bases = {base.__name__ for base in type(model).__mro__}
    if "ChatAnthropic" in bases or kind.startswith("anthropic-chat"):
        return anthropic.MESSAGES.name
    if "BaseChatOpenAI" in bases:
        return _openai_format(model, bases, provider)
    if "ChatBedrockConverse" in bases or getattr(model, "beta_use_converse_api", None) is True:
        return bedrock.CONVERSE.name
    return profile_of(provider).wire if provider else None


def _openai_format(model: Any, bases: set[str], provider: str | None) -> str:
    """Return the format `ChatOpenAI` uses for a call without arguments, by its own test."""
    responses = getattr(model, "use_responses_api", None)
    if responses or (
        responses is None
        and (
            getattr(model, "output_version", None) == "responses/v1"
            or any(getattr(model, name, None) is not None for name in _RESPONSES_FIELDS)
            or getattr(model, "use_previous_response_id", False)
            or not openai_protocol.RESPONSES_ARGUMENTS.isdisjoint(getattr(model, "model_kwargs", None) or ())
        )
    ):
        return openai_protocol.RESPONSES.name
    base = str(getattr(model, "openai_api_base", None) or "")
    official = not base or "api.openai.com" in base or provider == "azure"
    own = official and "ChatOpenAI" in bases
    return openai_protocol.CHAT.name if own else openai_protocol.COMPATIBLE.name


@lru_cache(maxsize=1024)
def rules_of(api: str | None, provider: str | None = None, model: str | None = None, host: str | None = None) -> WireRules | None:
    """Return the rules of a route's wire format; `None` where it is unknown.

    The format's rules are changed by those of the model's maker, of the provider and of the model, in this order.

    Args:
        api: `RouteInfo.api`.
        provider: LangChain's `ls_provider`.
        model: The model's name.
        host: Host name of the base URL, where the client was given one.

    Example:
        >>> rules_of("openai-compatible", "openai", "mistralai/devstral-small").name
        'mistral'
        >>> rules_of("openai-compatible", "openai", "kimi-k2.6", "api.moonshot.ai").temperature
        (0, 1)
    """
    if api is None or (rules := RULES.get(api)) is None:
        return None
    server = profile_of(provider, model, host)
    makers = [one for one in profiles() if api in one.model_wire_changes and (one is server or one.makes(model))]
    for changes in (*(one.model_wire_changes[api] for one in makers[:1]), server.wire_changes.get(api, {})):
        rules = replace(rules, **changes)
    name = plain_model(model)
    for pattern, changes in rules.by_model:
        if re.search(pattern, name):
            rules = replace(rules, **changes)
    return rules


ON_CHANGE.append(rules_of.cache_clear)


def plain_model(name: str | None) -> str:
    """Return a model's name without path, date and other marks of a version of the same model.

    Example:
        >>> plain_model("models/gemini-2.5-pro-001"), plain_model("claude-opus-4-6-20260205")
        ('gemini-2.5-pro', 'claude-opus-4-6')
    """
    return _VERSION.sub("", (name or "").lower().rsplit("/", 1)[-1])


def host_of(model: Any, field: str = "openai_api_base") -> str | None:
    """Return the host that a chat model was pointed at; `None` where it was not.

    Args:
        model: A chat model.
        field: Its field with the address; the default is that of OpenAI's package.

    Example:
        >>> from types import SimpleNamespace
        >>> host_of(SimpleNamespace(openai_api_base="https://api.x.ai/v1"))
        'api.x.ai'
    """
    base = getattr(model, field, None)
    if not isinstance(base, str) or not base:
        return None
    try:
        return urlsplit(base).hostname
    except ValueError:
        return None


def uses_responses(
    model: Any,
    arguments: Mapping[str, Any],
    rules: WireRules,
    tools: Sequence[Mapping[str, Any]] = (),
    kinds: frozenset[str] = frozenset(),
) -> bool:
    """Return whether a call with these arguments makes the package go over from Chat Completions to the Responses API.

    Args:
        model: The chat model.
        arguments: The call's arguments.
        rules: The rules of the route's format.
        tools: The functions that are bound; some models are called by the Responses API because of them.
        kinds: The provider's own tools among the bound ones.

    Example:
        >>> uses_responses(None, {"previous_response_id": "resp_1"}, RULES["openai-chat"])
        True
    """
    if not rules.responses_arguments or getattr(model, "use_responses_api", None) is False:
        return False
    if kinds or not rules.responses_arguments.isdisjoint(arguments):
        return True
    prefers = getattr(model, "_use_responses_api", None)
    try:
        return callable(prefers) and bool(prefers({"tools": [*tools]} if tools else {}))
    except Exception:  # noqa: BLE001 - a private method of another package
        return False
