"""Words of a step's texts, as features of its judgement: words, pairs of neighbours and word beginnings, a block for each text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from langroute.estimators.step_fields import FIELDS

BLOCKS = (*FIELDS, "anywhere")
"""Names of the blocks of features: one for each text, and one for what is said anywhere in the conversation."""

_PAIRED = frozenset(("system", "asked"))
_STEMMED = frozenset(("system", "asked", "before", "said"))
_ANYWHERE = ("asked", "before", "said", "called")

STEM = 5
"""Length of a word's beginning, which stands for its inflected forms."""

_WORD = re.compile(r"[^\W_]+")
_WIDE = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
"""Scripts that are written without spaces, or whose words are short: read as pairs of characters."""


def words_of(text: str) -> list[str]:
    """Return the words of a text, lower-case; numbers by their number of digits, wide scripts as pairs of characters.

    Example:
        >>> words_of("Order 66 now!"), words_of("東京都")
        (['order', '00', 'now'], ['東京', '京都'])
    """
    low = text.lower()
    if low.isascii():
        return ["00000"[: len(word)] if word.isdigit() else word[:20] for word in _WORD.findall(low)]
    found: list[str] = []
    for word in _WORD.findall(low):
        if word.isdigit():
            found.append("00000"[: len(word)])
        elif not word.isascii() and _WIDE.search(word) is not None:
            found.extend([word[place : place + 2] for place in range(min(len(word), 400) - 1)] or [word])
        else:
            found.append(word[:20])
    return found


def stems_of(words: Iterable[str]) -> list[str]:
    """Return the beginnings of the longer words.

    Example:
        >>> stems_of(["kidneys", "hurt"])
        ['kidne~']
    """
    return [f"{word[:STEM]}~" for word in words if len(word) > STEM and word[0] != "0"]


def block_of(field: str, own: Sequence[str]) -> set[str]:
    """Return the features of one text of a step, from its words."""
    block = set(own)
    if field in _STEMMED:
        block.update(stems_of(tuple(block)))
    if field in _PAIRED:
        block.update([f"{one} {two}" for one, two in pairwise(own)])
    return block


def anywhere_of(words: Sequence[Sequence[str]]) -> set[str]:
    """Return the features of what is said anywhere in the conversation, from the words of each text in `FIELDS`."""
    said: set[str] = set()
    for field, own in zip(FIELDS, words, strict=True):
        if own and field in _ANYWHERE:
            block = set(own)
            said |= block
            if field in _STEMMED:
                said.update(stems_of(block))
    return said


def blocks_of(words: Sequence[Sequence[str]]) -> list[set[str]]:
    """Return the features of each block in `BLOCKS`, from the words of each text in `FIELDS`."""
    return [*(block_of(field, own) for field, own in zip(FIELDS, words, strict=True)), anywhere_of(words)]
