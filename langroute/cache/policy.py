"""What may be answered from the cache, and for how long?

Everything here is about one step and its answer; whose answer it is and whether it is the same question are settled elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from langroute.errors import ConfigurationError
from langroute.tooling import Vocabulary

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
"""Step kind → seconds an answer stays good. What depends on a document alone stays long; what depends on the world does not."""

BAD_ENDS = frozenset(
    {
        "length", "max_tokens", "max_output_tokens", "model_length", "content_filter", "refusal", "safety", "recitation", "error",
        "incomplete", "failed", "cancelled", "pause_turn", "insufficient_system_resource", "malformed_function_call", "unexpected_tool_call",
    }
)  # fmt: skip
"""Why a model stopped, in the words of the providers, when its answer is cut off or refused."""


@dataclass(frozen=True)
class CachePolicy:
    """What may be cached.

    Args:
        ttl: Seconds an answer stays good, by step kind, over the built-in ones; 0 keeps a kind out of the cache.
        default_ttl: For kinds that have none.
        max_temperature: A call that asks for a higher temperature asks for variety and gets it.
        replay_tools: Tools whose calls may be answered from the cache beside those that only read. A tool that books, pays, writes or
            runs is called again only because a model chose to.
        max_bytes: A larger answer is not kept.
        min_score: A verified answer with a lower score is not kept.

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
        """Seconds an answer to this kind of step stays good."""
        found = self.ttl.get(kind)
        return float(TTL.get(kind, self.default_ttl) if found is None else found)

    def refuses(self, kind: str, settings: Mapping[str, Any], model: Any) -> str | None:
        """Why a step is not answered from the cache at all; `None` if it is.

        Args:
            kind: Kind of step.
            settings: The call's arguments.
            model: The route's model: its own temperature counts where the call names none.
        """
        if self.ttl_of(kind) <= 0:
            return f"{kind} steps are not cached"
        temperature = settings.get("temperature")
        if temperature is None:
            # A chat model's fields stand in its dictionary; asking it for one that it lacks takes pydantic longer than all the rest here.
            temperature = getattr(model, "__dict__", {}).get("temperature")
        if isinstance(temperature, (int, float)) and temperature > self.max_temperature:
            return f"temperature {temperature:g} asks for variety"
        if (settings.get("n") or 1) != 1:
            return "several answers were asked for"
        return None

    def shares_streams(self, tools: Iterable[str]) -> bool:
        """Others may listen to a stream that is under way: whatever tool it will call, that tool only reads.

        Args:
            tools: Names of the tools that the model is given.

        Example:
            >>> CachePolicy().shares_streams(["read_file"]), CachePolicy().shares_streams(["pay"])
            (True, False)
        """
        return all(self._vocabulary.family(name) == "read" for name in tools)  # type: ignore[attr-defined]

    def rejects(
        self, message: Any, finish_reason: str | None, *, may_be_silent: bool, tools: frozenset[str] | None = None
    ) -> str | None:
        """Why an answer is not kept; `None` if it is.

        Args:
            message: The answer.
            finish_reason: Why the model stopped.
            may_be_silent: The provider is not known to always say why; of one that is, silence means that the answer broke off.
            tools: Names of the tools the model was given, where an answer in a schema was asked for: a call of anything else is the form
                of that answer.
        """
        if finish_reason is None:
            if not may_be_silent:
                return "it has no finish reason: it broke off"
        elif finish_reason.lower() in BAD_ENDS:
            return f"it ended with {finish_reason}"
        if getattr(message, "invalid_tool_calls", None):
            return "it has an invalid tool call"
        calls = getattr(message, "tool_calls", None) or ()
        if not calls and not message.content:
            return "it is empty"
        if message.additional_kwargs.get("refusal"):
            return "it is a refusal"
        for call in calls:
            if tools is not None and call["name"] not in tools:
                continue
            if self._vocabulary.family(call["name"], call["args"]) != "read":  # type: ignore[attr-defined]
                return f"it calls {call['name']}, which may do more than read"
        if isinstance(message.content, list) and any(_server_tool(block) for block in message.content):
            return "the provider ran a tool of its own"
        return None


def _server_tool(block: Any) -> bool:
    """A tool that the provider ran (a web search): what it found ages in its own way."""
    kind = block.get("type", "") if isinstance(block, Mapping) else ""
    return kind.startswith("server_tool") or kind.endswith(("_search_call", "_interpreter_call", "_tool_result"))
