"""`CachePolicy`: what may be answered from the cache, and for how long.

It is about one step and its answer; namespaces and keys are handled elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from langroute.core.errors import ConfigurationError
from langroute.providers.ends import GOOD_ENDS, end_of
from langroute.steps.tools import Vocabulary

HOUR, DAY = 3600.0, 86400.0

TTL: Mapping[str, float] = {
    "title": 30 * DAY,
    "classify": 7 * DAY,
    "extract": 7 * DAY,
    "summarize": 7 * DAY,
    "review": DAY,
    "answer": DAY,
    "plan": HOUR,
    "edit": HOUR,
    "act": HOUR,
    "observe": HOUR,
    "chat": HOUR,
}
"""Step kind → seconds that an answer stays valid: long where it depends on a document only, short where it depends on the world."""


LONGEST_ARGUMENTS = 100_000
"""Longest unparsed call arguments, in characters, that are read."""


@dataclass(frozen=True)
class CachePolicy:
    """Rules for what may be cached, and for how long.

    Args:
        ttl: Seconds that an answer stays valid, by step kind, over the built-in values; 0 keeps a kind out of the cache.
        default_ttl: Seconds for kinds without a value.
        max_temperature: Calls with a higher temperature want variety and are not answered from the cache.
        replay_tools: Tools whose calls may be answered from the cache beside those that only read. A tool that books, pays, writes or
            runs is called again only because a model chose to.
        max_bytes: Largest answer that is stored.
        min_score: Lowest score of a verified answer that is stored.

    Raises:
        ConfigurationError: A time is negative.

    Example:
        >>> policy = CachePolicy(ttl={"chat": 0})
        >>> policy.ttl_of("chat"), policy.ttl_of("classify") / DAY
        (0.0, 7.0)
    """

    ttl: Mapping[str, float] = field(default_factory=dict)
    default_ttl: float = HOUR
    max_temperature: float = 0.3
    replay_tools: Iterable[str] = ()
    max_bytes: int = 1_000_000
    min_score: float = 0.5

    def __post_init__(self) -> None:
        for kind, seconds in {**self.ttl, "": self.default_ttl}.items():
            if seconds < 0:
                raise ConfigurationError(f"An answer cannot stay good for {seconds} seconds (ttl of {kind or 'other'} steps).")
        object.__setattr__(self, "_vocabulary", Vocabulary(read=tuple(self.replay_tools)))

    def ttl_of(self, kind: str) -> float:
        """Return the seconds that an answer to this kind of step stays valid."""
        found = self.ttl.get(kind)
        return float(TTL.get(kind, self.default_ttl) if found is None else found)

    def refuses(self, kind: str, settings: Mapping[str, Any], model: Any) -> str | None:
        """Return why a step is not answered from the cache at all; `None` if it may be.

        Args:
            kind: Kind of step.
            settings: The call's arguments.
            model: The route's model, whose own temperature counts where the call gives none.
        """
        if self.ttl_of(kind) <= 0:
            return f"{kind} steps are not cached"
        temperature = settings.get("temperature")
        if temperature is None:
            # A chat model's fields are in `__dict__`; asking pydantic for a missing one takes longer than the rest of this method.
            temperature = getattr(model, "__dict__", {}).get("temperature")
        if isinstance(temperature, (int, float)) and temperature > self.max_temperature:
            return f"temperature {temperature:g} asks for variety"
        if (settings.get("n") or 1) != 1:
            return "several answers were asked for"
        return None

    def shares_streams(self, tools: Iterable[str]) -> bool:
        """Return whether others may listen to a running stream, because every tool it may call only reads.

        Args:
            tools: Names of the tools that the model is given.

        Example:
            >>> CachePolicy().shares_streams(["read_file"]), CachePolicy().shares_streams(["pay"])
            (True, False)
        """
        return all(self._vocabulary.family(name) == "read" for name in tools)  # type: ignore[attr-defined]

    def acts(self, message: Any, tools: frozenset[str] | None = None) -> str | None:
        """Return why giving an answer again would repeat an action; `None` if it would not. All places of tool calls are checked.

        Args:
            message: The answer.
            tools: Names of the tools the model was given, where an answer in a schema was asked for: a call of anything else is the form
                of that answer.

        Example:
            >>> from langchain_core.messages import AIMessage
            >>> CachePolicy().acts(AIMessage("", tool_calls=[{"name": "pay", "args": {}, "id": "1"}]))
            'it calls pay, which may do more than read'
        """
        if type(message.content) is str and not (message.additional_kwargs or message.tool_calls or message.invalid_tool_calls):
            # Most answers are plain text.
            return None
        for name, args in calls_of(message):
            if tools is not None and name is not None and name not in tools:
                continue
            if self._vocabulary.family(name, args) != "read":  # type: ignore[attr-defined]
                return f"it calls {name or 'a tool without a name'}, which may do more than read"
        if isinstance(message.content, list) and any(_server_tool(block) for block in message.content):
            return "the provider ran a tool of its own"
        return None

    def rejects(
        self, message: Any, finish_reason: str | None, *, may_be_silent: bool, tools: frozenset[str] | None = None
    ) -> str | None:
        """Return why an answer is not stored; `None` if it may be.

        Args:
            message: The answer.
            finish_reason: The provider's finish reason.
            may_be_silent: The provider may give no finish reason. Of any other provider a missing one means that the answer broke
                off.
            tools: Names of the tools the model was given, where an answer in a schema was asked for: a call of anything else is the form
                of that answer.
        """
        if finish_reason is None:
            if not may_be_silent:
                return "it has no finish reason: it broke off"
        elif end_of(finish_reason) not in GOOD_ENDS:
            return f"it ended with {finish_reason}"
        if getattr(message, "invalid_tool_calls", None):
            return "it has an invalid tool call"
        if not getattr(message, "tool_calls", None) and not message.content:
            return "it is empty"
        if message.additional_kwargs.get("refusal"):
            return "it is a refusal"
        return self.acts(message, tools)


CALLS = frozenset({"tool_use", "tool_call", "tool_call_chunk", "function_call", "custom_tool_call", "invalid_tool_call"})
"""Types of content blocks that ask the caller to call a tool."""

RAW_CALLS = ("tool_calls", "function_call", "tool_outputs")
"""Keys of `additional_kwargs` with tool calls in the provider's format."""

ARGUMENTS = ("input", "args", "arguments", "partial_json")

SERVER_TOOLS = ("_call", "_call_output", "_tool_result", "_tool_use", "_execution_result", "_approval_request")
"""Endings of the types of content blocks about tools that the provider ran."""


def calls_of(message: Any) -> Iterator[tuple[str | None, Mapping[str, Any] | None]]:
    """Yield names and arguments of all tool calls in a message, in every place where a program may read them.

    Example:
        >>> from langchain_core.messages import AIMessage
        >>> list(calls_of(AIMessage("Done.", additional_kwargs={"function_call": {"name": "pay", "arguments": '{"amount": 5}'}})))
        [('pay', {'amount': 5})]
    """
    for call in (*(getattr(message, "tool_calls", None) or ()), *(getattr(message, "invalid_tool_calls", None) or ())):
        yield _called(call.get("name"), call.get("args"))
    extra = message.additional_kwargs
    if extra:
        for raw in [one for name in RAW_CALLS for one in _listed(extra.get(name))]:
            inner = raw.get("function", raw) if isinstance(raw, Mapping) else raw
            yield _called(inner.get("name"), inner.get("arguments")) if isinstance(inner, Mapping) else _called(None, None)
    if isinstance(message.content, list):
        for block in message.content:
            found = _plain_block(block)
            kind = found.get("type")
            if not isinstance(kind, (str, type(None))):
                yield None, None
            elif kind in CALLS:
                yield _called(found.get("name"), next((found[name] for name in ARGUMENTS if found.get(name)), None))


def _listed(value: Any) -> Iterable[Any]:
    if isinstance(value, list):
        return value
    return (value,) if value else ()


def _called(name: Any, args: Any) -> tuple[str | None, Mapping[str, Any] | None]:
    if isinstance(args, str) and len(args) <= LONGEST_ARGUMENTS:
        try:
            args = json.loads(args)
        except (ValueError, RecursionError):
            args = None
    return name if isinstance(name, str) else None, args if isinstance(args, Mapping) else None


def _plain_block(block: Any) -> Mapping[str, Any]:
    """Return a content block without LangChain's wrapper around unknown blocks."""
    for _ in range(3):
        if not isinstance(block, Mapping) or block.get("type") != "non_standard":
            break
        block = block.get("value")
    return block if isinstance(block, Mapping) else {}


def _server_tool(block: Any) -> bool:
    """Return whether a block is about a tool that the provider ran, such as a web search, whose results age."""
    kind = _plain_block(block).get("type")
    return (
        isinstance(kind, str)
        and kind not in CALLS
        and (kind.startswith(("server_tool", "mcp_", "executable_code")) or kind.endswith(SERVER_TOOLS))
    )
