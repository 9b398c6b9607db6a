"""Profile, type and provider of a chat router: what all of its routes' models can do, and whose they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from langroute.routes.model_profile import model_profile
from langroute.routes.route import RouterType


def shared_profile(models: Iterable[Any]) -> dict[str, Any] | None:
    """Return the capabilities that each model has, and the smallest of their limits; `None` where a model has no profile.

    Example:
        >>> from types import SimpleNamespace as Model
        >>> small = Model(profile={"tool_calling": True, "image_inputs": False, "max_input_tokens": 8_000})
        >>> large = Model(profile={"tool_calling": True, "image_inputs": True, "max_input_tokens": 200_000})
        >>> shared_profile([small, large]) == {"tool_calling": True, "image_inputs": False, "max_input_tokens": 8_000}
        True
    """
    profiles = [model_profile(model) for model in models]
    if not all(profiles):
        return None
    shared: dict[str, Any] = {}
    for key in set.intersection(*map(set, profiles)):
        values = [profile[key] for profile in profiles]
        if all(isinstance(value, bool) for value in values):
            shared[key] = all(values)
        elif all(isinstance(value, int) for value in values):
            shared[key] = min(values)
    return shared or None


def shared_type(models: Iterable[Any]) -> RouterType:
    """Return the `_llm_type` of a router: that of its models where they have the same one, else `"langroute"`.

    LangChain counts the tokens of Claude's models by it, and leaves their cache marks in a request.

    Example:
        >>> from types import SimpleNamespace as Model
        >>> claude, gpt = Model(_llm_type="anthropic-chat"), Model(_llm_type="openai-chat")
        >>> shared_type([claude, claude]), shared_type([claude, gpt])
        ('anthropic-chat', 'langroute')
    """
    types = [getattr(model, "_llm_type", None) for model in models]
    one = types[0] if types and all(other == types[0] for other in types) else None
    return RouterType(one if one and isinstance(one, str) else "langroute")


class ProviderOfAll(str):
    """The name of the default route's provider, which is also equal to the names of the other routes' providers.

    LangChain's `SummarizationMiddleware` trusts the tokens that an answer reports where its provider is the model's: a router's answers come
    from any of its routes.

    Example:
        >>> provider = ProviderOfAll.of("anthropic", ["openai", "anthropic"])
        >>> provider == "openai", "openai" == provider, provider == "mistral", str(provider)
        (True, True, False, 'anthropic')
    """

    __slots__ = ("_all",)
    _all: frozenset[str]

    @classmethod
    def of(cls, provider: str, providers: Iterable[str | None]) -> str:
        """Return the provider's name; a plain text where all routes have the same one."""
        found = cls(provider)
        found._all = frozenset([provider, *(one for one in providers if one)])
        return found if len(found._all) > 1 else provider

    def __eq__(self, other: object) -> bool:
        return str.__str__(other) in self._all if isinstance(other, str) else NotImplemented

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__
