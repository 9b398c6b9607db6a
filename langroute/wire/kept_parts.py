"""Parts of requests that come again with each step of an agent: system prompts, tools, first messages."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b

from langroute.core.locks import new_lock

MOST_BYTES = 32 * 2**20
"""Most bytes of parts that are kept."""

LONGEST = 2 * 2**20
"""Longest part, in bytes, that is kept."""

SHORTEST = 1024
"""A shorter part is digested faster than it is found."""

_SHOWN = 64
"""Bytes at either end by which a part is looked for."""


class KeptParts:
    """Digests of parts. One that came before is known by comparing its bytes, which takes a tenth of the time of any digest.

    Args:
        max_bytes: Most bytes of parts that are kept.

    Example:
        >>> kept = KeptParts()
        >>> first, again = (kept.same(bytes([65]) * 2000) for _ in range(2))
        >>> first is again, kept.digest(first) == kept.digest(again)
        (True, True)
    """

    def __init__(self, max_bytes: int = MOST_BYTES) -> None:
        self.max_bytes = max_bytes
        self._known: OrderedDict[tuple[int, bytes, bytes], tuple[bytes, bytes]] = OrderedDict()
        self._bytes = 0
        self._lock = new_lock()

    @property
    def kept_bytes(self) -> int:
        """Bytes of the parts that are kept."""
        return self._bytes

    def same(self, part: bytes) -> bytes:
        """Return the part, as the same object each time while it is kept: its hash is then known."""
        return self._found(part)[0] if SHORTEST <= len(part) <= LONGEST else part

    def digest(self, part: bytes) -> bytes:
        """Return the digest of a part, 16 bytes."""
        return self._found(part)[1] if SHORTEST <= len(part) <= LONGEST else _digest(part)

    def _found(self, part: bytes) -> tuple[bytes, bytes]:
        key = (len(part), part[:_SHOWN], part[-_SHOWN:])
        with self._lock:
            found = self._known.get(key)
            if found is not None and found[0] == part:
                self._known.move_to_end(key)
                return found
        found = (part, _digest(part))
        with self._lock:
            if self._known.pop(key, None) is None:
                self._bytes += len(part)
            self._known[key] = found
            while self._bytes > self.max_bytes:
                gone, _ = self._known.popitem(last=False)
                self._bytes -= gone[0]
        return found


def _digest(part: bytes) -> bytes:
    return blake2b(part, digest_size=16).digest()


KEPT_PARTS = KeptParts()
"""Those of this process."""

__all__ = ["KEPT_PARTS", "KeptParts"]
