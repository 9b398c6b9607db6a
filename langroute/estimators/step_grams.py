"""Hashed character n-grams of a step's texts: what is left of a word that no labelled step has, in any script."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GRAMMED = (1, 0)
"""Places in `FIELDS` of the texts whose n-grams are read: asked, system."""

SLOTS = 1 << 15
"""Number of hash values."""

MOST_GRAMMED = 400
"""Most characters of a text whose n-grams are read."""

_MIX = np.uint32(0x9E3779B1)
_DOWN = np.uint32(17)
_DIGIT, _NINE, _ZERO = np.uint32(48), np.uint32(10), np.uint32(48)
_ALIKE = bytes.maketrans(b"123456789", b"000000000")


def grams_of(text: str) -> NDArray[np.uint32]:
    """Return the slots of the n-grams of two, three and four characters; all digits are alike.

    Example:
        >>> len(grams_of("abc")), bool((grams_of("Nr. 4") == grams_of("nr. 7")).all())
        (9, True)
    """
    if not text:
        return np.zeros(0, np.uint32)
    one = _codes_of(f" {text[:MOST_GRAMMED].lower()} ")
    two = one[:-1] * _MIX + one[1:]
    three = two[:-1] * _MIX + one[2:]
    four = three[:-1] * _MIX + one[3:]
    found: NDArray[np.uint32] = (np.concatenate([two, three, four]) * _MIX) >> _DOWN
    return found


def _codes_of(text: str) -> NDArray[np.uint32]:
    """Return the code of each character, that of 0 for each digit."""
    if text.isascii():
        return np.frombuffer(text.encode().translate(_ALIKE), np.uint8).astype(np.uint32)
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).copy()
    codes[codes - _DIGIT < _NINE] = _ZERO
    return codes
