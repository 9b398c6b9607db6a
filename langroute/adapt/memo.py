"""What of this history was adapted before?

An agent's next step sends the same message objects and a few more. What was done for the others is remembered with weak references,
so that nothing is kept alive that its owner has let go.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter, is_
from typing import Any
from weakref import ref

from langchain_core.messages import AIMessage, BaseMessage

from langroute.history import History

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
        """Nothing had to change: `out` is what came in."""

        self.led = False
        """A message that is no system message was seen: what comes now stands in the middle."""

        self.tool_ids: set[str] = set()
        self.rewritten: list[int] = []
        """Places of messages that were changed."""

        self.words: list[Any] = []
        """What stood in them. A message that was edited in place since, down to a block's text, is read again: what was taken out
        of it must not be sent."""

        self.answers: list[int] = []
        """Those of them that are answers."""

        self.calls: list[Any] = []
        """The answers' tool calls, which are edited in place too."""

        self.contents: list[Any] = []
        """Contents of all messages, changed or not."""

        self.refs: list[ref[Any]] = []
        self.alive = True
        self.history: History | None = None
        """The conversation that these messages were read as part of."""

    def begins(self, messages: Sequence[Any]) -> bool:
        """What was adapted is the beginning of these messages: the very same objects."""
        count = len(self.ids)
        if not self.alive or count > len(messages):
            return False
        history = getattr(messages, "history", None)
        # What was read as one conversation was looked at already: it only ever grows.
        if (history is None or history is not self.history) and not self._are(messages[:count]):
            return False
        self.history = history
        if not self.rewritten:
            return True
        at = messages.__getitem__
        return list(map(_content, map(at, self.rewritten))) == self.words and list(map(_calls, map(at, self.answers))) == self.calls

    def _are(self, messages: Sequence[Any]) -> bool:
        """The very same objects, with the same contents."""
        contents = self.contents
        return (
            self.ids == list(map(id, messages))
            and len(contents) == len(messages)
            and all(map(is_, map(_content, messages), contents))
        )

    def changed(self, place: int, message: BaseMessage) -> None:
        """The message at this place cannot be sent as it is."""
        self.same = False
        self.rewritten.append(place)
        self.words.append(_copied(message.content))
        if isinstance(message, AIMessage):
            self.answers.append(place)
            self.calls.append(_copied(message.tool_calls))

    def remember(self, messages: Sequence[Any]) -> None:
        """These messages were adapted after the others."""
        self.ids.extend(map(id, messages))
        self.contents.extend(map(_content, messages))
        # An id may be given to another object as soon as its message is gone; then this part is worth nothing.
        self.refs.extend([ref(message, self._lost) for message in messages])

    def _lost(self, _: Any) -> None:
        self.alive = False
        self.refs, self.out, self.rewritten, self.words, self.answers, self.calls, self.contents = [], [], [], [], [], [], []


class Memo:
    """The latest histories of one target.

    Args:
        remembered: How many conversations are remembered.
    """

    __slots__ = ("_parts", "remembered")

    def __init__(self, remembered: int = 256) -> None:
        self.remembered = remembered
        self._parts: dict[int, Part] = {}

    def take(self, messages: Sequence[Any]) -> Part:
        """What is known of these messages. Lent to one caller at a time; give it back with `keep`."""
        part = self._parts.pop(_key(messages), None)
        if part is not None and part.begins(messages):
            return part
        part = Part()
        part.history = getattr(messages, "history", None)
        return part

    def keep(self, part: Part, messages: Sequence[Any]) -> None:
        """Remember a history."""
        if not part.ids:
            return
        while len(self._parts) >= self.remembered:
            # The oldest goes; another thread may have taken it meanwhile.
            self._parts.pop(next(iter(self._parts), 0), None)
        self._parts[_key(messages)] = part

    def __getstate__(self) -> dict[str, Any]:
        return {"remembered": self.remembered}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __deepcopy__(self, _: Any) -> Memo:
        return Memo(self.remembered)


def _copied(value: Any) -> Any:
    """A copy that does not change with the original. Texts are shared."""
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value


def _key(messages: Sequence[Any]) -> int:
    # Agents share a system prompt, seldom the request after it.
    return id(messages[1] if len(messages) > 1 else messages[0])
