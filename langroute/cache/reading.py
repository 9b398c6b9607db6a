"""Which stored values were read before, and need not be read again?

A popular answer is looked up again and again, and making a message of its JSON takes longer than all else of a lookup. The latest ones
are kept as they were read, beside the bytes that they were read from: what the store has now must still be the same.
"""

from __future__ import annotations

from threading import Lock

from langroute.cache.entries import Entry, decode

MOST_BYTES = 4 * 1024 * 1024
"""Stored bytes of all that is kept as it was read."""

LARGEST = 64 * 1024
"""A larger value is read each time."""


class Readings:
    """The entries that were read last. Nobody may change one: whoever hands out its message hands out a copy.

    Example:
        >>> from langchain_core.messages import AIMessage
        >>> from langroute.cache.entries import encode
        >>> stored = encode(Entry(AIMessage("Paris."), namespace="n", key="k", route="cheap"))
        >>> readings = Readings()
        >>> readings.read("k", stored) is readings.read("k", stored)
        True
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self._kept: dict[str, tuple[bytes, Entry]] = {}
        self._bytes = 0
        self._lock = Lock()

    def read(self, key: str, data: bytes) -> Entry:
        """The entry that is stored as these bytes.

        Raises:
            DataError: It is truncated, was tampered with, or is none of ours.
        """
        known = self._kept.get(key)
        if known is not None and known[0] == data:
            return known[1]
        entry = decode(data)
        if len(data) <= min(LARGEST, self.most_bytes):
            with self._lock:
                self._drop(key)
                self._kept[key] = (data, entry)
                self._bytes += len(data)
                while self._bytes > self.most_bytes:
                    self._drop(next(iter(self._kept)))
        return entry

    def _drop(self, key: str) -> None:
        gone = self._kept.pop(key, None)
        if gone is not None:
            self._bytes -= len(gone[0])

    def forget(self, keys: object = None) -> None:
        """Let go of some entries, or of all."""
        with self._lock:
            if keys is None:
                self._kept, self._bytes = {}, 0
                return
            for key in keys:  # type: ignore[attr-defined]
                self._drop(key)
