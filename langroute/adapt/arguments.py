"""Translation of call arguments to the target provider's names and values.

An argument that the target's package would refuse is translated where it has a counterpart and left out otherwise. Unknown names
are the user's own and are passed on unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from langchain_core.utils.function_calling import convert_to_json_schema

from langroute.adapt.target import Target
from langroute.providers.profile import WireRules
from langroute.providers.wire import ARGUMENTS

LENGTHS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_SAMPLING = ("temperature", "top_p", "top_k")
_FORCED = ("any", "required", True)


def adapt_kwargs(kwargs: Mapping[str, Any], target: Target) -> dict[str, Any]:
    """Return call arguments in the target's spelling, for a call or for `bind_tools`.

    Example:
        >>> adapt_kwargs({"tool_choice": "required", "max_completion_tokens": 9, "seed": 1}, Target("anthropic", "anthropic"))
        {'tool_choice': {'type': 'any'}, 'max_tokens': 9}
        >>> adapt_kwargs({"tool_choice": {"type": "tool", "name": "add"}, "top_k": 5}, Target("openai-chat", "openai"))
        {'tool_choice': {'type': 'function', 'function': {'name': 'add'}}}
    """
    rules = target.rules
    if rules is None:
        return dict(kwargs)
    found = _spelled(kwargs, target, rules)
    if not rules.temperature_with_top_p and found.get("temperature") is not None:
        found.pop("top_p", None)
    if _one_at_a_time(kwargs):
        _no_parallel_calls(found, rules)
    effort = _effort(kwargs, rules)
    if effort is not None:
        found["reasoning_effort"] = effort
    return found


def _spelled(kwargs: Mapping[str, Any], target: Target, rules: WireRules) -> dict[str, Any]:
    """Return the arguments that the target takes, by its names and with values that fit."""
    found: dict[str, Any] = {}
    for name, value in kwargs.items():
        # Models that reason at their own temperature refuse any other.
        if name in _SAMPLING and not target.sampling:
            continue
        spelled = _name(name, kwargs, rules)
        if spelled is None:
            continue
        fits = _VALUES.get(spelled)
        fit = value if fits is None or value is None else fits(value, rules)
        if fit is not None or (value is None and spelled != "tool_choice"):
            found[spelled] = fit
    return found


def _name(name: str, kwargs: Mapping[str, Any], rules: WireRules) -> str | None:
    """An argument's name at the target; `None` where it has none."""
    if name in LENGTHS:
        return rules.max_tokens_name
    if name == "stop_sequences":
        return "stop" if "stop" not in kwargs else None
    if name in ("seed", "random_seed"):
        name = _seed(name, kwargs, rules)
    return name if name in rules.arguments or name not in ARGUMENTS else None


def _seed(name: str, kwargs: Mapping[str, Any], rules: WireRules) -> str:
    if name == "seed":
        return "random_seed" if rules.name == "mistral" else name
    return "seed" if "seed" not in kwargs and "seed" in rules.arguments else name


def _choice(value: Any, rules: WireRules) -> Any:
    """Return a tool choice in the target's form; `None` where the argument can be left out."""
    words, of_tool = _CHOICES.get(rules.name, _OPENAI_CHOICES)
    name = _named(value)
    if name is not None:
        return of_tool(name or str(value))
    if isinstance(value, Mapping):
        # Bedrock's form has the type for its key.
        value = value.get("type") or next(iter(value), None)
    if value is False or value is None:
        return None
    if value in _FORCED:
        return _own(rules.forced_tool)
    word = str(value)
    return _own(words[word]) if word in words else of_tool(word)


def _own(value: Any) -> Any:
    """Return a value of a table; where it can be changed, a copy."""
    return dict(value) if isinstance(value, Mapping) else value


_Choices: TypeAlias = tuple[Mapping[str, Any], Callable[[str], Any]]

_OPENAI_CHOICES: _Choices = ({"auto": "auto", "none": "none"}, lambda name: {"type": "function", "function": {"name": name}})

_CHOICES: Mapping[str, _Choices] = {
    "anthropic": ({"auto": {"type": "auto"}, "none": {"type": "none"}}, lambda name: {"type": "tool", "name": name}),
    "bedrock": ({"auto": "auto", "none": None}, str),
    "gemini": ({"auto": "auto", "none": "none"}, str),
}
"""Wire format → how its package takes the words for any tool or none, `None` where it does not, and the name of the one that must be called."""


def _named(choice: Any) -> str | None:
    """Return the name of the tool that must be called, in any provider's form; `None` where none is named."""
    if not isinstance(choice, Mapping):
        return None
    inner = choice.get("function") or choice.get("tool")
    name = inner.get("name") if isinstance(inner, Mapping) else choice.get("name")
    return name if isinstance(name, str) else None


def _one_at_a_time(kwargs: Mapping[str, Any]) -> bool:
    """Return whether parallel tool calls are forbidden, in any provider's form."""
    choice = kwargs.get("tool_choice")
    return kwargs.get("parallel_tool_calls") is False or bool(
        isinstance(choice, Mapping) and choice.get("disable_parallel_tool_use")
    )


def _no_parallel_calls(found: dict[str, Any], rules: WireRules) -> None:
    if "parallel_tool_calls" in rules.arguments:
        found["parallel_tool_calls"] = False
    elif rules.name == "anthropic":
        # Anthropic's form is a field of `tool_choice`.
        choice = found.get("tool_choice") or {"type": "auto"}
        if choice["type"] != "none":
            found["tool_choice"] = {**choice, "disable_parallel_tool_use": True}


def _effort(kwargs: Mapping[str, Any], rules: WireRules) -> str | None:
    """Return the reasoning effort that is asked for in another provider's form."""
    if "reasoning_effort" in kwargs or "reasoning_effort" not in rules.arguments:
        return None
    takes_its_own = _OWN_EFFORTS.get(rules.name)
    if takes_its_own is not None and takes_its_own(kwargs):
        return None
    reasoning = kwargs.get("reasoning")
    stated = reasoning.get("effort") if isinstance(reasoning, Mapping) else None
    value = kwargs.get("effort") or kwargs.get("thinking_level") or stated
    return None if value is None else str(rules.efforts.get(value, value))


_OWN_EFFORTS: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "anthropic": lambda kwargs: "effort" in kwargs,
    "gemini": lambda kwargs: "thinking_level" in kwargs,
    "openai-responses": lambda kwargs: bool(kwargs.get("reasoning")),
}
"""Wire format → whether the effort is among the arguments as its own package takes it."""


def _temperature(value: Any, rules: WireRules) -> Any:
    """Return a temperature within the target's range."""
    if rules.temperature is None or isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    lowest, highest = rules.temperature
    return lowest if value < lowest else min(value, highest)


def _stops(value: Any, rules: WireRules) -> Any:
    """Return the stop sequences that the target accepts; `None` where none is left."""
    if rules.max_stops is None and rules.blank_stops:
        return value
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, (list, tuple)):
        return value
    kept = _accepted(stops, rules)
    if len(kept) == len(stops) and not isinstance(value, str):
        return value
    return kept or None


def _accepted(stops: Sequence[Any], rules: WireRules) -> list[Any]:
    spoken = [stop for stop in stops if rules.blank_stops or not isinstance(stop, str) or stop.strip()]
    return spoken[: rules.max_stops]


def _response_format(value: Any, rules: WireRules) -> Any:
    """Return a demand for structured output as the target's package knows it; `None` where it knows none of the kind."""
    if isinstance(value, type):
        return value if rules.schema_classes else _as_json_schema(convert_to_json_schema(value))
    if not isinstance(value, Mapping):
        return value
    if value.get("type") not in _RESPONSE_FORMATS:
        # A bare JSON schema.
        return _as_json_schema(value) if "properties" in value else value
    return value if rules.response_formats is None or value["type"] in rules.response_formats else None


_RESPONSE_FORMATS = ("json_schema", "json_object", "text")


def _as_json_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", str(schema.get("title") or "answer"))[:64]
    return {"type": "json_schema", "json_schema": {"name": name, "schema": dict(schema)}}


_VALUES: Mapping[str, Callable[[Any, WireRules], Any]] = {
    "tool_choice": _choice,
    "temperature": _temperature,
    "stop": _stops,
    "response_format": _response_format,
}
"""Argument → the function that makes its value fit; `None` leaves the argument out."""
