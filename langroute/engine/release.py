"""When the tokens of an attempt may be shown: the one place that decides it."""

from __future__ import annotations

from typing import Any

from langroute.core.records import Selection
from langroute.core.stream_content import has_content


def may_be_rejected(selection: Selection) -> bool:
    """Return whether a verifier may still reject the answer to a selection, so that its tokens are held back.

    Example:
        >>> may_be_rejected(Selection("small", provisional=True)), may_be_rejected(Selection("small"))
        (True, False)
    """
    return selection.provisional


class ReleaseRule:
    """Holds back the chunks of one attempt until they may be shown.

    An answer that may be rejected is held back whole. Any other is held back until there is readable content: a route that fails
    before it can be replaced unseen. After that everything passes through (`shown`).

    Args:
        selection: The selection of the attempt.

    Example:
        >>> from langchain_core.messages import AIMessageChunk
        >>> rule = ReleaseRule(Selection("small"))
        >>> [len(rule.release(AIMessageChunk(text))) for text in ("", "Hello", ",")]
        [0, 2, 1]
    """

    __slots__ = ("held", "shown", "until_verified")

    def __init__(self, selection: Selection) -> None:
        self.until_verified = may_be_rejected(selection)
        """Whether everything is held back until the answer was accepted."""

        self.held: list[Any] = []
        """Chunks that were not released."""

        self.shown = False
        """Whether readable content was released."""

    def release(self, chunk: Any) -> list[Any]:
        """Return the chunks that may be shown now that this one has come."""
        if self.shown:
            return [chunk]
        self.held.append(chunk)
        if self.until_verified or not has_content(chunk):
            return []
        self.shown, ready, self.held = True, self.held, []
        return ready

    def seen_by(self, gate: Any) -> None:
        """Note what a `TokenGate` let through to listeners; of an answer that may be rejected they are told to show nothing."""
        if gate is not None and gate.shown and not self.until_verified:
            self.shown = True
