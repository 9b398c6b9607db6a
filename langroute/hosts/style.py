"""`SystemStyle`: a system prompt for all routes, with additions for single routes or tiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import BaseMessage, SystemMessage

from langroute.core.errors import ConfigurationError
from langroute.core.records import RouteInfo, Step
from langroute.policies.sticky import SIDE_KINDS


@dataclass(frozen=True)
class SystemStyle:
    r"""A text that is added to the system prompt of every route.

    It goes into the copy of the history that a route is sent, after the program's own system prompt; the stored history is not
    changed. Steps beside the conversation (titles, summaries, classifications, extractions) do not get it.

    Args:
        prompt: Text for every route.
        per_route: Additional text for a route, or for every route of a tier.
        pin: `thread` keeps the user-facing steps of a thread with the route that answered the first of them; see `PinThread`.

    Raises:
        ConfigurationError: An argument is invalid.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> style = SystemStyle("Answer in two sentences, without exclamation marks.", per_route={"cheap": "Do not repeat the question."})
        >>> style.applied([HumanMessage("Hi.")], RouteInfo("small", "cheap"), Step("chat"))[0].content
        'Answer in two sentences, without exclamation marks.\nDo not repeat the question.'
    """

    prompt: str
    per_route: Mapping[str, str] = field(default_factory=dict)
    pin: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.prompt, str) or not self.prompt.strip():
            raise ConfigurationError("A style's prompt is a text that every route is told.")
        if self.pin not in (None, "thread"):
            raise ConfigurationError(f"A style's pin is 'thread' or nothing, not {self.pin!r}.")

    def told(self, route: RouteInfo) -> str:
        """Return the text for a route."""
        more = self.per_route.get(route.name) or self.per_route.get(route.tier)
        return f"{self.prompt}\n{more}" if more else self.prompt

    def applied(self, messages: Sequence[BaseMessage], route: RouteInfo, step: Step) -> Sequence[BaseMessage]:
        """Return the messages with the text in the system prompt; a copy where anything changes."""
        if step.kind in SIDE_KINDS:
            return messages
        text = self.told(route)
        if not messages or not isinstance(messages[0], SystemMessage):
            return [SystemMessage(text), *messages]
        first = messages[0]
        content: Any = first.content
        # Appended after the program's own prompt, so that a cache marker on it keeps its place and its effect.
        content = f"{content}\n\n{text}" if isinstance(content, str) else [*content, {"type": "text", "text": text}]
        return [first.model_copy(update={"content": content}), *messages[1:]]

    def pinned(self, policy: Any) -> Any:
        """Return the policy, wrapped in `PinThread` where `pin` is set."""
        from langroute.policies.pin_thread import PinThread

        return policy if self.pin is None or isinstance(policy, PinThread) else PinThread(policy)
