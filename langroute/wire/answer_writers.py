"""Answers written in a client's protocol from what a reader heard in the provider's, as a stream or as one body.

A writer is given parts as they come (`AnswerSink`) and returns bytes from `take`. Blocks are written one after the other: what belongs to a
later tool call waits until the one before is whole.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from langroute.core.records import Usage
from langroute.providers.wire import WORDS

MAX_WAITING = 64 * 2**20
"""Most characters of an answer that are kept, for a plain body or for the last event of a stream."""


@dataclass(slots=True)
class Segment:
    """A text, or a tool call, of an answer."""

    kind: str
    """`text` or `call`."""

    key: Any = None
    id: str = ""
    name: str = ""
    parts: list[str] = field(default_factory=list)
    written: int = 0
    """Parts that were written."""

    opened: bool = False
    done: bool = False

    @property
    def whole(self) -> str:
        """All of its text."""
        return "".join(self.parts)


class AnswerWriter(ABC):
    """Writes an answer in one protocol.

    Args:
        model: Name of the model that the client is told.
        number: Id of the answer.
        free_tools: Names of tools that take free text; see `PlainRequest`.
        include_usage: The client asked for the usage.
    """

    api: ClassVar[str]
    """Wire format of the protocol."""

    def __init__(self, *, model: str, number: str, free_tools: frozenset[str] = frozenset(), include_usage: bool = True) -> None:
        self.words = WORDS[self.api]
        self.model, self.number, self.free_tools, self.include_usage = model, number, free_tools, include_usage
        self.segments: list[Segment] = []
        self.too_long = False
        """The answer is longer than what is kept, so it cannot be ended."""
        self._at = 0
        self._begun = False
        self._size = 0
        self._out: list[bytes] = []

    # What is heard -----------------------------------------------------------------------------------------------------

    def text(self, text: str) -> None:
        """Take a part of the text."""
        if not self.segments or self.segments[-1].kind != "text":
            self.segments.append(Segment("text"))
        self._add(self.segments[-1], text)

    def call(self, key: Any, id: str, name: str, arguments: str) -> None:
        """Take a part of a tool call."""
        found = next((one for one in reversed(self.segments) if one.kind == "call" and one.key == key), None)
        if found is None:
            found = Segment("call", key)
            self.segments.append(found)
        found.id, found.name = found.id or id, found.name or name
        if arguments:
            self._add(found, arguments)

    def call_done(self, key: Any) -> None:
        """Take that a tool call is whole."""
        for one in self.segments:
            if one.kind == "call" and one.key == key:
                one.done = True

    def _add(self, segment: Segment, text: str) -> None:
        self._size += len(text)
        if self._size > MAX_WAITING:
            self.too_long = True
        else:
            segment.parts.append(text)

    # What is written ---------------------------------------------------------------------------------------------------

    def take(self) -> bytes:
        """Return the events of a stream for what was heard since the last time."""
        self._write(ended=False)
        return self._taken()

    def _taken(self) -> bytes:
        out = b"".join(self._out)
        self._out.clear()
        return out

    def _write(self, *, ended: bool) -> None:
        while self._at < len(self.segments):
            segment = self.segments[self._at]
            last = self._at == len(self.segments) - 1
            over = ended or segment.done or (segment.kind == "text" and not last)
            if segment.kind == "call" and not segment.name and not over:
                return
            self._begin()
            if not segment.opened:
                segment.opened = True
                self.open(self._at, segment)
            fresh, segment.written = "".join(segment.parts[segment.written :]), len(segment.parts)
            if fresh:
                self.part(self._at, segment, fresh)
            if not over:
                return
            self.close(self._at, segment)
            self._at += 1

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self.begin()

    def finished(self, end: str | None, usage: Usage | None) -> bytes:
        """Return the events that end a stream as the protocol ends one.

        Args:
            end: langroute's kind of the end.
            usage: Tokens that were billed; `None` where it is unknown.
        """
        self._begin()
        self._write(ended=True)
        self.end(end_with_calls(end, self.segments), usage)
        return self._taken()

    def is_free(self, segment: Segment) -> bool:
        """Return whether a call is one of a tool that takes free text."""
        return segment.name in self.free_tools

    @abstractmethod
    def begin(self) -> None:
        """Write the events before the first block."""

    @abstractmethod
    def open(self, at: int, segment: Segment) -> None:
        """Write the beginning of a block."""

    @abstractmethod
    def part(self, at: int, segment: Segment, text: str) -> None:
        """Write a part of a block."""

    @abstractmethod
    def close(self, at: int, segment: Segment) -> None:
        """Write the end of a block."""

    @abstractmethod
    def end(self, end: str, usage: Usage | None) -> None:
        """Write the end of the stream."""

    @abstractmethod
    def plain(self, end: str, usage: Usage | None) -> Mapping[str, Any]:
        """Return the whole answer as the body of a plain one."""


def end_with_calls(end: str | None, segments: list[Segment]) -> str:
    """Return the kind of an end; one with tool calls is `tool_calls`, whatever word the provider has for a good end.

    Example:
        >>> end_with_calls("stop", [Segment("call")]), end_with_calls(None, []), end_with_calls("length", [Segment("call")])
        ('tool_calls', 'stop', 'length')
    """
    if end in (None, "stop", "unknown", "tool_calls"):
        return "tool_calls" if any(one.kind == "call" for one in segments) else "stop"
    return str(end)


__all__ = ["AnswerWriter", "Segment", "end_with_calls"]
