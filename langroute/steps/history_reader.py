"""`HistoryReader`: reads conversation histories and caches the latest ones, so that a grown history is read only where it grew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from langroute.steps.history import History
from langroute.steps.tools import Vocabulary


class Messages(list[Any]):
    """Snapshot of a request's messages, with the `History` they continue.

    Finding the `History` compares every message. The `HistoryReader` does it once; other code that caches by conversation uses `history`.
    """

    __slots__ = ("history", "problems")

    def __init__(self, messages: Iterable[Any]) -> None:
        list.__init__(self, messages)
        self.history: History | None = None
        self.problems: list[tuple[str, str]] | None = None
        """Failures during inspection, each with the key under which it is warned about once."""


class HistoryReader:
    """Reads histories and caches the latest ones, so that a grown history is read only where it grew.

    Args:
        vocabulary: Names of the tools that edit, run and read.
        remembered: Number of conversations that are cached; 0 for none.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> reader = HistoryReader()
        >>> with_one = [HumanMessage("Fix the failing test in parser.py.")]
        >>> reader.read(with_one).turn
        1
    """

    def __init__(self, vocabulary: Vocabulary | None = None, remembered: int = 256) -> None:
        self.vocabulary = vocabulary or Vocabulary()
        self.remembered = remembered
        self._known: dict[int, History] = {}

    def read(self, messages: Sequence[Any]) -> History:
        """Return the history of these messages. Return it with `keep` afterwards, so that it can grow."""
        key = self._key(messages)
        history = self._known.pop(key, None)
        if history is None or not history.grows_to(messages):
            history = History(self.vocabulary)
        history.read(messages)
        if type(messages) is Messages:
            messages.history = history
        return history

    @staticmethod
    def _key(messages: Sequence[Any]) -> int:
        # Agents share a system prompt, seldom the request after it.
        return id(messages[1] if len(messages) > 1 else messages[0])

    def keep(self, history: History, messages: Sequence[Any]) -> None:
        """Cache a history."""
        if len(messages) < 2 or not self.remembered:
            return
        history.remember(messages)
        while len(self._known) >= self.remembered:
            # The oldest goes; another thread may have taken it meanwhile.
            self._known.pop(next(iter(self._known), 0), None)
        self._known[self._key(messages)] = history

    def __getstate__(self) -> dict[str, Any]:
        return {"vocabulary": self.vocabulary, "remembered": self.remembered}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]
