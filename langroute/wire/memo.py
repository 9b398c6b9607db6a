"""Memory of conversations that were read, so that a request is read only where its history has grown."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple

from langroute.core.locks import new_lock
from langroute.wire import histories
from langroute.wire.request import MAX_ENTRIES, WireRequest
from langroute.wire.spans import value_of

MAX_BYTES = 64 * 2**20
"""Most bytes of histories that are kept."""


class Known(NamedTuple):
    """A conversation that was read."""

    raw: bytes = b""
    """Bytes of its entries."""

    messages: tuple[Any, ...] = ()
    head_raw: bytes = b""
    """Bytes of what stands before them, such as the system prompt."""

    head: tuple[Any, ...] = ()


class HistoryMemo:
    """Reads histories, and keeps the latest, so that a grown history is read only where it grew.

    The messages of what was read before are the same objects, by which the inspector of steps knows them again.

    Args:
        remembered: Most conversations that are kept.
        max_bytes: Most bytes of their histories.

    Example:
        >>> from langroute.wire.protocols import PROTOCOLS
        >>> memo = HistoryMemo()
        >>> bodies = (b'{"model":"m","messages":[{"role":"user","content":"a"}%s]}' % more for more in (b"", b',{"role":"assistant","content":"b"}'))
        >>> first, grown = (memo.messages(PROTOCOLS["chat"].read_request(body, {"x-session-id": "s"})) for body in bodies)
        >>> len(grown), grown[0] is first[0]
        (2, True)
    """

    def __init__(self, remembered: int = 1024, max_bytes: int = MAX_BYTES) -> None:
        self.remembered, self.max_bytes = remembered, max_bytes
        self._known: OrderedDict[tuple[str, str, bool], Known] = OrderedDict()
        self._bytes = 0
        self._lock = new_lock()

    def __len__(self) -> int:
        """Conversations that are kept."""
        return len(self._known)

    @property
    def kept_bytes(self) -> int:
        """Bytes of the histories that are kept."""
        return self._bytes

    def messages(self, request: WireRequest) -> list[Any]:
        """Return a request's history as LangChain messages. The list is a new one, its messages are not: do not change them."""
        protocol = request.protocol
        raw = request.unmarked(request.raw(protocol.entries_field))
        if raw[:1] != b"[":
            return list(protocol.messages_of(request))
        # Calls beside a conversation have its id and another history.
        key = (protocol.name, request.thread, request.has_tools)
        with self._lock:
            known = self._known.get(key, Known())
        grown = _grown(known.raw, raw)
        told = raw if grown is None else grown
        entries = value_of(told, 0, len(told))
        if not isinstance(entries, list) or len(entries) > MAX_ENTRIES or len(known.messages) > MAX_ENTRIES:
            return list(protocol.messages_of(request))
        read = [one for entry in entries for one in protocol.entry(entry)]
        messages = histories.in_rounds([] if grown is None else known.messages, read)
        head_raw = b"\0".join(request.unmarked(request.raw(name)) for name in protocol.head_fields)
        head = known.head if known.raw and known.head_raw == head_raw else tuple(protocol.head_of(request))
        self._keep(key, Known(raw, tuple(messages), head_raw, head))
        return histories.with_a_user([*head, *messages])

    def _keep(self, key: tuple[str, str, bool], known: Known) -> None:
        with self._lock:
            old = self._known.pop(key, Known())
            self._bytes += len(known.raw) + len(known.head_raw) - len(old.raw) - len(old.head_raw)
            self._known[key] = known
            while self._known and (len(self._known) > self.remembered or self._bytes > self.max_bytes):
                _, gone = self._known.popitem(last=False)
                self._bytes -= len(gone.raw) + len(gone.head_raw)


def _grown(before: bytes, now: bytes) -> bytes | None:
    """Return the array of what an array has behind what it had before; `None` where it does not begin with that."""
    head = before[:-1].rstrip()
    if len(head) < 2 or not now.startswith(head):
        return None
    rest = now[len(head) :].lstrip()
    if rest[:1] == b"]":
        return b"[]"
    return b"[" + rest[1:] if rest[:1] == b"," else None


__all__ = ["HistoryMemo"]
