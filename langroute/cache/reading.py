"""Memory of parsed entries, so that a popular answer is not parsed at every look-up.

Parsing the JSON of a message takes longer than the rest of a look-up. The latest entries
are kept in parsed form, beside the bytes that they were read from, which must equal what the store has now.
"""

from __future__ import annotations

from langroute.cache.entries import CacheEntry, decode
from langroute.core.locks import new_lock

MOST_BYTES = 4 * 1024 * 1024
"""Most stored bytes of the entries that are kept."""

LARGEST = 64 * 1024
"""Largest stored value that is kept; a larger one is parsed each time."""


class Readings:
    """The entries that were read last. They must not be changed: callers get copies of their messages.

    Example:
        >>> from langchain_core.messages import AIMessage
        >>> from langroute.cache.entries import encode
        >>> stored = encode(CacheEntry(AIMessage("Paris."), namespace="n", key="k", route="cheap"))
        >>> readings = Readings()
        >>> readings.read("k", stored) is readings.read("k", stored)
        True
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self._kept: dict[str, tuple[bytes, CacheEntry]] = {}
        self._bytes = 0
        self._lock = new_lock()

    def read(self, key: str, data: bytes) -> CacheEntry:
        """Return the entry that is stored as these bytes.

        Raises:
            DataError: It is truncated, was tampered with, or is not an entry.
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
        """Drop some entries, or all."""
        with self._lock:
            if keys is None:
                self._kept, self._bytes = {}, 0
                return
            for key in keys:  # type: ignore[attr-defined]
                self._drop(key)
