"""Server-sent events, read from chunks that may end anywhere and written for clients.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html (read 2026-11-30).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

MAX_EVENT = 16 * 2**20
"""Longest event, in bytes, that is read; a longer one is left out."""

_DATA, _NEXT = b"data: ", b"\n\ndata: "
"""How most servers begin an event, and what is between two of them."""


class Event(NamedTuple):
    """One event of a stream."""

    name: str
    """What stands behind `event:`; empty where it does not say it."""

    data: bytes


class Events(Sequence[Event]):
    r"""Events that came together; they are told apart when one of them is asked for.

    Args:
        raw: Their bytes, with lines that end in a line feed, without the end of the last event.
        known: The events, where not all that stands in the bytes is one.

    Example:
        >>> two = Events(b"data: {}\n\ndata: [DONE]")
        >>> two.joined(), list(two)
        ((b'{},[DONE]', 2), [Event(name='', data=b'{}'), Event(name='', data=b'[DONE]')])
    """

    __slots__ = ("_known", "_raw")

    def __init__(self, raw: bytes = b"", known: list[Event] | None = None) -> None:
        self._raw, self._known = raw, known

    def __bool__(self) -> bool:
        return bool(self._raw)

    def __len__(self) -> int:
        return len(self._all())

    def __getitem__(self, place: Any) -> Any:
        return self._all()[place]

    def joined(self) -> tuple[bytes, int] | None:
        """Return the data of all, with commas between them, and how many they are; `None` where one is not a line of data alone."""
        if self._known is not None or not self._raw.startswith(_DATA):
            return None
        data = self._raw[len(_DATA) :].replace(_NEXT, b",")
        return None if b"\n" in data else (data, 1 + self._raw.count(_NEXT))

    def _all(self) -> list[Event]:
        if self._known is None:
            blocks = self._raw.split(b"\n\n") if self._raw else ()
            self._known = [event for block in blocks if (event := _event(block)) is not None]
        return self._known


class EventReader:
    r"""Splits a stream of server-sent events, whatever the edges of its chunks cut.

    Args:
        max_event: Longest event in bytes; of a longer one nothing is kept.

    Example:
        >>> reader = EventReader()
        >>> [list(reader.feed(chunk)) for chunk in (b"event: ping\r", b"\ndata: {}\r\n", b"\r\nda")]
        [[], [], [Event(name='ping', data=b'{}')]]
        >>> reader.between_events
        False
    """

    def __init__(self, max_event: int = MAX_EVENT) -> None:
        self.max_event = max_event
        self.left_out = 0
        """Events that were too long to be read."""
        self._buffer = bytearray()
        self._seen = 0
        self._after_return = False
        self._skipping = False
        self._begun = False

    @property
    def between_events(self) -> bool:
        """Whether the stream stands between two events, so that another one can be put there."""
        return not self._skipping and not self._buffer.strip(b"\n")

    def feed(self, chunk: bytes) -> Events:
        """Return the events that end in these bytes."""
        if not chunk:
            return Events()
        if self._after_return and chunk[:1] == b"\n":
            chunk = chunk[1:]
            self._after_return = False
            if not chunk:
                return Events()
        self._after_return = chunk[-1:] == b"\r"
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if self._begun and not self._buffer and chunk.endswith(b"\n\n"):
            # Whole events, as nearly always.
            return self._events_of(chunk[:-2])
        self._buffer += chunk
        return self._split()

    def rest(self) -> bytes:
        """Return what of an event that did not end has been read."""
        return bytes(self._buffer)

    def _split(self) -> Events:
        buffer = self._buffer
        if not self._begun:
            if b"\xef\xbb\xbf".startswith(buffer):
                return Events()
            self._begun = True
            if buffer.startswith(b"\xef\xbb\xbf"):
                del buffer[:3]
        end = buffer.rfind(b"\n\n", self._seen)
        found = Events() if end < 0 else self._events_of(bytes(buffer[:end]))
        if end >= 0:
            del buffer[: end + 2]
        self._seen = max(0, len(buffer) - 1)
        if len(buffer) > self.max_event:
            if not self._skipping:
                self.left_out += 1
            self._skipping = True
            del buffer[:-1]
            self._seen = 0
        return found

    def _events_of(self, raw: bytes) -> Events:
        """Return the events that blocks of lines are; the rest of one that was too long is left out."""
        if not self._skipping and len(raw) <= self.max_event:
            return Events(raw)
        blocks = raw.split(b"\n\n")
        if self._skipping:
            self._skipping = False
            del blocks[0]
        short = [block for block in blocks if len(block) <= self.max_event]
        self.left_out += len(blocks) - len(short)
        return Events(raw, [event for block in short if (event := _event(block)) is not None])


def _event(block: bytes) -> Event | None:
    """Return the event that these lines are; `None` where they have no data."""
    if block.startswith(_DATA) and b"\n" not in block:
        # One line of data, as most servers write an event.
        return Event("", block[len(_DATA) :])
    name, data = "", []
    for line in block.split(b"\n"):
        if line.startswith(b"data:"):
            data.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line.startswith(b"event:"):
            name = line[6:].strip().decode("utf-8", "replace")
        elif line == b"data":
            data.append(b"")
    return Event(name, data[0] if len(data) == 1 else b"\n".join(data)) if data else None


def written(data: bytes, name: str = "") -> bytes:
    r"""Return an event as it is sent. The data must be on one line, as JSON is.

    Example:
        >>> written(b"{}", "ping")
        b'event: ping\ndata: {}\n\n'
    """
    return b"event: %s\ndata: %s\n\n" % (name.encode(), data) if name else b"data: %s\n\n" % data


COMMENT = b": ping\n\n"
"""A comment, which clients of OpenAI's protocols ignore: it keeps a connection alive."""

__all__ = ["COMMENT", "Event", "EventReader", "Events", "written"]
