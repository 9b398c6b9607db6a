"""Numbers of texts: the same in every process, and as if drawn by lot."""

from __future__ import annotations

import hashlib


def number_of(text: str) -> int:
    """Return a number from 0 to 2**64 - 1 that the text alone says.

    Example:
        >>> number_of("a") == number_of("a"), number_of("a") == number_of("b")
        (True, False)
    """
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")


__all__ = ["number_of"]
