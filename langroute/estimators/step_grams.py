"""Hashed character n-grams of a step's texts: what is left of a word that no labelled step has, in any script."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

GRAMMED = (1, 0)
"""Places in `FIELDS` of the texts whose n-grams are read: asked, system."""

SLOTS = 1 << 15
"""Number of hash values."""

MOST_GRAMMED = 400
"""Most characters of a text whose n-grams are read."""

_MIX = 0x9E3779B1
_ONE, _TWO, _THREE, _FOUR = (pow(_MIX, power, 1 << 32) for power in (1, 2, 3, 4))
_HASHES = np.array([[_FOUR, 0, 0], [_THREE, _THREE, 0], [_TWO, _TWO, _TWO], [_ONE, _ONE, _ONE]], np.uint32)
"""What each of four neighbouring characters counts in the hash of all of them, of the last three, of the last two, `(4, 3)`."""

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
    codes = _codes_of(f" {text[:MOST_GRAMMED].lower()} ")
    # Two zeros before the first character, so that each pair ends four places: these windows overlap and copy nothing.
    padded = np.zeros(len(codes) + 2, np.uint32)
    padded[2:] = codes
    windows: NDArray[np.uint32] = np.ndarray((len(codes) - 1, 4), np.uint32, padded, 0, (4, 4))
    found = (windows @ _HASHES).ravel()
    # The first pair has neither three characters nor four, the second pair no four: numbers 0, 1 and 3 are no n-grams.
    found[3] = found[2]
    return found[3:] >> _DOWN


def _codes_of(text: str) -> NDArray[np.integer[Any]]:
    """Return the code of each character, that of 0 for each digit."""
    if text.isascii():
        return np.frombuffer(text.encode().translate(_ALIKE), np.uint8)
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).copy()
    codes[codes - _DIGIT < _NINE] = _ZERO
    return codes
