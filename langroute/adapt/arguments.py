"""How are a call's arguments spelled for the target?

An argument that the target's package would refuse is translated where it has a counterpart and left out otherwise. Names that nobody
knows are the user's own and pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langroute.adapt.target import Target

_OPENAI = ("openai-chat", "openai-responses")
_CHAT = ("openai-chat", "openai-compatible")
_LIKE_OPENAI = (*_OPENAI, "openai-compatible")

ONLY: Mapping[str, tuple[str, ...]] = {
    "parallel_tool_calls": (*_LIKE_OPENAI, "mistral"),
    "user": _LIKE_OPENAI,
    "verbosity": _OPENAI,
    "seed": (*_CHAT, "gemini"),
    "logprobs": _CHAT,
    "top_logprobs": _LIKE_OPENAI,
    "logit_bias": _CHAT,
    "n": _CHAT,
    "frequency_penalty": (*_CHAT, "mistral", "gemini"),
    "presence_penalty": (*_CHAT, "mistral", "gemini"),
    "modalities": ("openai-chat",),
    "audio": ("openai-chat",),
    "prediction": ("openai-chat",),
    "web_search_options": ("openai-chat",),
    "stream_options": _CHAT,
    "reasoning": ("openai-responses",),
    "include": ("openai-responses",),
    "truncation": ("openai-responses",),
    "previous_response_id": ("openai-responses",),
    "text": ("openai-responses",),
    "store": _OPENAI,
    "safety_identifier": _OPENAI,
    "prompt_cache_key": _OPENAI,
    "prompt_cache_options": _OPENAI,
    "prompt_cache_retention": _OPENAI,
    "service_tier": (*_OPENAI, "anthropic"),
    "reasoning_effort": (*_LIKE_OPENAI, "anthropic", "gemini"),
    "effort": ("anthropic",),
    "thinking": ("anthropic",),
    "output_config": ("anthropic",),
    "top_k": ("anthropic", "gemini"),
    "betas": ("anthropic",),
    "cache_control": ("anthropic",),
    "container": ("anthropic",),
    "context_management": ("anthropic", "openai-responses"),
    "mcp_servers": ("anthropic",),
    "inference_geo": ("anthropic",),
    "safety_settings": ("gemini",),
    "generation_config": ("gemini",),
    "cached_content": ("gemini",),
    "tool_config": ("gemini",),
    "thinking_budget": ("gemini",),
    "thinking_level": ("gemini",),
    "thinking_config": ("gemini",),
    "include_thoughts": ("gemini",),
    "response_mime_type": ("gemini",),
    "response_modalities": ("gemini",),
    "safe_mode": ("mistral",),
    "safe_prompt": ("mistral",),
    "random_seed": ("mistral",),
    "prompt_mode": ("mistral",),
    "extra_body": _LIKE_OPENAI,
    "extra_query": (*_LIKE_OPENAI, "anthropic"),
    "extra_headers": (*_LIKE_OPENAI, "anthropic"),
}
"""Argument → the forms whose package takes it. One that is not here is taken by all, or is the user's own."""

LENGTHS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_LENGTH = {"gemini": "max_output_tokens"}
_SAMPLING = ("temperature", "top_p", "top_k")
_FORCED = ("any", "required", True)
_EFFORTS = {"minimal": "low", "none": "low", "xhigh": "high", "max": "high"}


def adapt_kwargs(kwargs: Mapping[str, Any], target: Target) -> dict[str, Any]:
    """Call arguments in the target's spelling, for a call as for `bind_tools`.

    Example:
        >>> adapt_kwargs({"tool_choice": "required", "max_completion_tokens": 9, "seed": 1}, Target("anthropic", "anthropic"))
        {'tool_choice': {'type': 'any'}, 'max_tokens': 9}
        >>> adapt_kwargs({"tool_choice": {"type": "tool", "name": "add"}, "top_k": 5}, Target("openai-chat", "openai"))
        {'tool_choice': {'type': 'function', 'function': {'name': 'add'}}}
    """
    form = target.form
    if form is None:
        return dict(kwargs)
    found: dict[str, Any] = {}
    for name, value in kwargs.items():
        if name == "tool_choice":
            if (choice := _choice(value, form)) is not None:
                found[name] = choice
        elif name in LENGTHS:
            found[_LENGTH.get(form, "max_tokens")] = value
        elif name in _SAMPLING and not target.sampling:
            # Models that reason at their own temperature refuse any other.
            continue
        elif name == "seed" and form == "mistral":
            found["random_seed"] = value
        elif name == "random_seed" and "seed" not in kwargs and "seed" in ONLY and form in ONLY["seed"]:
            found["seed"] = value
        elif form in ONLY.get(name, (form,)):
            found[name] = value
    if _one_at_a_time(kwargs):
        _no_parallel_calls(found, form)
    effort = _effort(kwargs, form)
    if effort is not None:
        found["reasoning_effort"] = effort
    return found


def _choice(value: Any, form: str) -> Any:
    """A tool choice; `None` where nothing has to be said."""
    name = _named(value)
    if name is None and isinstance(value, Mapping):
        value = value.get("type")
    if value is False or value is None:
        return None
    if name is None and value in _FORCED:
        return {"anthropic": {"type": "any"}, "gemini": "any", "mistral": "any"}.get(form, "required")
    if name is None and value in ("auto", "none"):
        return {"type": value} if form == "anthropic" else value
    name = name or str(value)
    if form == "anthropic":
        return {"type": "tool", "name": name}
    return name if form == "gemini" else {"type": "function", "function": {"name": name}}


def _named(choice: Any) -> str | None:
    """The tool that is demanded by name, in whatever spelling."""
    if not isinstance(choice, Mapping):
        return None
    inner = choice.get("function")
    name = inner.get("name") if isinstance(inner, Mapping) else choice.get("name")
    return name if isinstance(name, str) else None


def _one_at_a_time(kwargs: Mapping[str, Any]) -> bool:
    """Parallel tool calls are forbidden, in whatever spelling."""
    choice = kwargs.get("tool_choice")
    return kwargs.get("parallel_tool_calls") is False or bool(
        isinstance(choice, Mapping) and choice.get("disable_parallel_tool_use")
    )


def _no_parallel_calls(found: dict[str, Any], form: str) -> None:
    if form in ONLY["parallel_tool_calls"]:
        found["parallel_tool_calls"] = False
    elif form == "anthropic":
        # Anthropic says it in `tool_choice`.
        choice = found.get("tool_choice") or {"type": "auto"}
        if choice["type"] != "none":
            found["tool_choice"] = {**choice, "disable_parallel_tool_use": True}


def _effort(kwargs: Mapping[str, Any], form: str) -> str | None:
    """How hard to think, said in another provider's way."""
    if "reasoning_effort" in kwargs or form not in ("anthropic", "gemini", *_LIKE_OPENAI):
        return None
    if form == "anthropic" and "effort" in kwargs:
        return None
    reasoning = kwargs.get("reasoning")
    value = (
        kwargs.get("effort")
        or kwargs.get("thinking_level")
        or (reasoning.get("effort") if isinstance(reasoning, Mapping) else None)
    )
    if value is None or (form == "openai-responses" and reasoning) or (form == "gemini" and "thinking_level" in kwargs):
        return None
    return _EFFORTS.get(value, value) if form in ("anthropic", "gemini") else str(value)
