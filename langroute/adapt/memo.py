"""Memory of the histories that were adapted before, so that a grown history is adapted only where it grew.

An agent's next step sends the same message objects and a few more. The result for the earlier ones is kept with weak references,
so that no message is kept alive that its owner has dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter, is_
from typing import Any
from weakref import ref

from langchain_core.messages import AIMessage, BaseMessage

from langroute.steps.history import History

_content, _calls = attrgetter("content"), attrgetter("tool_calls")


class Part:
    """The beginning of a history, adapted."""

    __slots__ = (
        "alive",
        "answers",
        "calls",
        "contents",
        "history",
        "ids",
        "led",
        "out",
        "refs",
        "rewritten",
        "same",
        "tool_ids",
        "words",
    )

    def __init__(self) -> None:
        self.ids: list[int] = []
        """Ids of the messages that were adapted."""

        self.out: list[Any] = []
        self.same = True
        """Whether nothing had to change, so that `out` equals the input."""

        self.led = False
        """Whether a message other than a system message was seen, so that later system messages stand in the middle."""

        self.tool_ids: set[str] = set()
        self.rewritten: list[int] = []
        """Indexes of the messages that were changed."""

        self.words: list[Any] = []
        """Copies of their contents. A message that was edited in place since, down to a block's text, is adapted again: what was
        removed from it must not be sent."""

        self.answers: list[int] = []
        """Indexes of the changed messages that are answers."""

        self.calls: list[Any] = []
        """Copies of those answers' tool calls, which may be edited in place too."""

        self.contents: list[Any] = []
        """Content objects of all messages, changed or not."""

        self.refs: list[ref[Any]] = []
        self.alive = True
        self.history: History | None = None
        """The conversation that these messages were read as part of."""

    def begins(self, messages: Sequence[Any]) -> bool:
        """Return whether this part is the beginning of these messages, compared by object identity."""
        count = len(self.ids)
        if not self.alive or count > len(messages):
            return False
        history = getattr(messages, "history", None)
        # This conversation was compared already, and it only grows.
        if (history is None or history is not self.history) and not self._are(messages[:count]):
            return False
        self.history = history
        if not self.rewritten:
            return True
        at = messages.__getitem__
        return list(map(_content, map(at, self.rewritten))) == self.words and list(map(_calls, map(at, self.answers))) == self.calls

    def _are(self, messages: Sequence[Any]) -> bool:
        """Return whether these are the same objects with the same contents."""
        contents = self.contents
        return (
            self.ids == list(map(id, messages))
            and len(contents) == len(messages)
            and all(map(is_, map(_content, messages), contents))
        )

    def changed(self, place: int, message: BaseMessage) -> None:
        """Note that the message at this index cannot be sent as it is."""
        self.same = False
        self.rewritten.append(place)
        self.words.append(_copied(message.content))
        if isinstance(message, AIMessage):
            self.answers.append(place)
            self.calls.append(_copied(message.tool_calls))

    def remember(self, messages: Sequence[Any]) -> None:
        """Note that these messages were adapted after the earlier ones."""
        self.ids.extend(map(id, messages))
        self.contents.extend(map(_content, messages))
        # An id may be reused as soon as its message is gone; then this part is useless.
        self.refs.extend([ref(message, self._lost) for message in messages])

    def _lost(self, _: Any) -> None:
        self.alive = False
        self.refs, self.out, self.rewritten, self.words, self.answers, self.calls, self.contents = [], [], [], [], [], [], []


class Memo:
    """The most recently adapted histories of one target.

    Args:
        remembered: How many conversations are remembered.
    """

    __slots__ = ("_parts", "remembered")

    def __init__(self, remembered: int = 256) -> None:
        self.remembered = remembered
        self._parts: dict[int, Part] = {}

    def take(self, messages: Sequence[Any]) -> Part:
        """Return the part that is known of these messages. It is lent to one caller at a time; give it back with `keep`."""
        part = self._parts.pop(_key(messages), None)
        if part is not None and part.begins(messages):
            return part
        part = Part()
        part.history = getattr(messages, "history", None)
        return part

    def keep(self, part: Part, messages: Sequence[Any]) -> None:
        """Remember the adapted part of a history."""
        if not part.ids:
            return
        while len(self._parts) >= self.remembered:
            # Drop the oldest; another thread may have taken it meanwhile.
            self._parts.pop(next(iter(self._parts), 0), None)
        self._parts[_key(messages)] = part

    def __getstate__(self) -> dict[str, Any]:
        return {"remembered": self.remembered}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __deepcopy__(self, _: Any) -> Memo:
        return Memo(self.remembered)


def _copied(value: Any) -> Any:
    """Return a copy that does not change with the original. Strings are shared."""
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value


def _key(messages: Sequence[Any]) -> int:
    # Agents often share a system prompt, but seldom the request after it.
    return id(messages[1] if len(messages) > 1 else messages[0])
