"""`Target`: the facts about a route that decide how a history is written for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any

from langroute.adapt.memo import Memo
from langroute.core.fast_dataclass import fast_dataclass
from langroute.core.records import RouteInfo
from langroute.providers.profile import WireRules
from langroute.providers.registry import writes_as
from langroute.providers.wire import RULES, host_of, plain_model, rules_of
from langroute.routes.model_profile import model_profile


@fast_dataclass
class Target:
    """The facts about a route that decide how a history is written for it.

    Example:
        >>> Target("openai-compatible", "openai", "mistralai/devstral-small").form
        'mistral'
    """

    api: str | None
    """The wire format, from `RouteInfo.api`; `None` where it is unknown."""

    provider: str | None
    model: str | None = None
    thinking: bool = False
    """Whether thinking is on in the mode that requires every open tool loop to begin with a thinking block."""

    systems_anywhere: bool = False
    """Whether a system message may stand in the middle, after a user's turn."""

    prefill: bool = True
    """Whether the history may end with the beginning of the answer (prefill)."""

    sampling: bool = True
    """Whether `temperature`, `top_p` and `top_k` are accepted."""

    host: str | None = None
    """Host name of the base URL, where the client was given one."""

    strangers: frozenset[str] = frozenset()
    """Names of the router's other routes whose reasoning this one cannot read, as endpoint or account differ."""

    memo: Memo = field(default_factory=Memo, compare=False, repr=False)
    """Histories that were adapted before, so that a grown one is adapted only where it grew."""

    responses: Target | None = field(default=None, compare=False, repr=False)
    """The same route when its package goes over to the Responses API for a call."""

    rules: WireRules | None = field(init=False, repr=False, compare=False)
    """Rules of the wire format; `None` where it is unknown."""

    form: str | None = field(init=False, repr=False, compare=False)
    """Name of the wire format; `None` where it is unknown."""

    def __post_init__(self) -> None:
        rules = rules_of(self.api, self.provider, self.model, self.host)
        object.__setattr__(self, "rules", rules)
        object.__setattr__(self, "form", None if rules is None else rules.name)
        if rules is not None:
            object.__setattr__(self, "prefill", self.prefill and rules.prefill)
            object.__setattr__(self, "sampling", self.sampling and rules.sampling)

    def wrote(self, provider: str | None) -> bool:
        """Return whether an answer of that provider is in this target's own format."""
        if provider is None:
            return False
        own = None if self.rules is None else self.rules.written_as
        return writes_as(provider) == (own or writes_as(self.provider))

    def thought(self, provider: str | None, model: str | None, route: str | None = None) -> bool:
        """Return whether this target can read the thinking in an answer.

        Thinking belongs to the model, not to its provider; with some providers to the endpoint and the account as well.

        Args:
            provider: The provider that the answer names.
            model: The model that the answer names.
            route: The route that wrote it, where the answer says so.
        """
        return (
            route not in self.strangers
            and self.wrote(provider)
            and bool(model)
            and bool(self.model)
            and plain_model(model) == plain_model(self.model)
        )


def target_for(info: RouteInfo, model: Any, others: Mapping[str, Any] | None = None) -> Target:
    """Return the `Target` of a route.

    Args:
        info: The route's facts.
        model: Its chat model, of which only the settings are read.
        others: The chat models of the router's other routes, by name.

    Example:
        >>> target_for(RouteInfo("large", api="anthropic", provider="anthropic", model="claude-opus-4-6"), None).prefill
        False
    """
    found = _target(info.api, info, model, others or {})
    if found.rules is not None and found.rules.responses_arguments and getattr(model, "use_responses_api", False) is None:
        twin = _target("openai-responses", info, model, others or {})
        object.__setattr__(found, "responses", twin)
    return found


def _target(api: str | None, info: RouteInfo, model: Any, others: Mapping[str, Any]) -> Target:
    profile = model_profile(model)
    thinking = thinking_of(model)
    thinks = thinking.get("type") in ("enabled", "adaptive")
    return Target(
        api,
        info.provider,
        info.model,
        # Adaptive thinking accepts a tool loop that another model began; the older mode refuses it.
        thinking=thinking.get("type") == "enabled",
        systems_anywhere=bool(profile.get("mid_conversation_system_messages")),
        prefill=not thinks,
        sampling=not thinks and profile.get("temperature") is not False,
        host=host_of(model),
        strangers=frozenset(_strangers(RULES.get(api or ""), info.name, model, others)),
    )


def thinking_of(model: Any) -> Mapping[str, Any]:
    """Return a model's setting of Claude's thinking, which Bedrock's package keeps among other fields.

    Example:
        >>> from types import SimpleNamespace
        >>> thinking_of(SimpleNamespace(additional_model_request_fields={"thinking": {"type": "enabled"}}))
        {'type': 'enabled'}
    """
    more = getattr(model, "additional_model_request_fields", None)
    for found in (getattr(model, "thinking", None), more.get("thinking") if isinstance(more, Mapping) else None):
        if isinstance(found, Mapping):
            return found
    return {}


def _strangers(rules: WireRules | None, name: str, model: Any, others: Mapping[str, Any]) -> Iterable[str]:
    """Return the names of the routes whose reasoning is bound to another endpoint or account than this model's."""
    if rules is None or not rules.reasoning_bound_by:
        return ()
    own = _account(rules, model)
    return [other for other, its in others.items() if other != name and _account(rules, its) != own]


def _account(rules: WireRules, model: Any) -> list[Any]:
    """Return what tells a model's endpoint and account; keys are compared and not kept."""
    return [
        secret() if callable(secret := getattr(value, "get_secret_value", None)) else value
        for value in (getattr(model, name, None) for name in rules.reasoning_bound_by)
    ]
