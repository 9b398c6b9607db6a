"""How do several models speak with one voice? One text for all of them, and what each needs in addition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import BaseMessage, SystemMessage

from langroute.errors import ConfigurationError
from langroute.policies.sticky import SIDE_KINDS
from langroute.records import RouteInfo, Step


@dataclass(frozen=True)
class Style:
    r"""A voice that every route is given, in its system prompt.

    It goes into the copy of the history that a route is sent, behind the program's own system prompt; what is stored stays as it is. Steps
    beside the conversation (titles, summaries, classifications, extractions) are not spoken to anybody and get none.

    Args:
        voice: What every route is told.
        per_route: What a route, or every route of a tier, is told in addition.
        pin: `thread` keeps the user-facing steps of a thread with the route that answered the first of them; see `OneVoice`.

    Raises:
        ConfigurationError: Something of this is wrong.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> style = Style("Answer in two sentences, without exclamation marks.", per_route={"cheap": "Do not repeat the question."})
        >>> style.applied([HumanMessage("Hi.")], RouteInfo("small", "cheap"), Step("chat"))[0].content
        'Answer in two sentences, without exclamation marks.\nDo not repeat the question.'
    """

    voice: str
    per_route: Mapping[str, str] = field(default_factory=dict)
    pin: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.voice, str) or not self.voice.strip():
            raise ConfigurationError("A style's voice is a text that every route is told.")
        if self.pin not in (None, "thread"):
            raise ConfigurationError(f"A style's pin is 'thread' or nothing, not {self.pin!r}.")

    def told(self, route: RouteInfo) -> str:
        """What a route is told."""
        more = self.per_route.get(route.name) or self.per_route.get(route.tier)
        return f"{self.voice}\n{more}" if more else self.voice

    def applied(self, messages: Sequence[BaseMessage], route: RouteInfo, step: Step) -> Sequence[BaseMessage]:
        """The messages with the voice in the system prompt; a copy, where anything changes."""
        if step.kind in SIDE_KINDS:
            return messages
        text = self.told(route)
        if not messages or not isinstance(messages[0], SystemMessage):
            return [SystemMessage(text), *messages]
        first = messages[0]
        content: Any = first.content
        # Behind what is there: a cache mark on the program's own prompt keeps its place and its effect.
        content = f"{content}\n\n{text}" if isinstance(content, str) else [*content, {"type": "text", "text": text}]
        return [first.model_copy(update={"content": content}), *messages[1:]]

    def pinned(self, policy: Any) -> Any:
        """The policy, keeping a thread's voice where that was asked for."""
        from langroute.policies.one_voice import OneVoice

        return policy if self.pin is None or isinstance(policy, OneVoice) else OneVoice(policy)
