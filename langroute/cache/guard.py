"""Guard of the semantic cache: judges by their wording whether two questions ask the same.

Embeddings do not reliably tell a question from its opposite, or one year from another. So a stored answer is served only where the
wording agrees: the same words in the same order after politeness, articles and the usual frames are normalized (`wording`), with the same
capitals as far as both writers used any (`agree_in_case`). What these do not understand is a difference. Questions that come near to that are undecided, and are left to the calibration. All others are different.
"""

from __future__ import annotations

from collections import Counter

from langroute.cache.tokens import agree_in_case
from langroute.cache.wording import wording

SAME, CLOSE, DIFFERENT = "same", "close", "different"

NEGATIONS = frozenset(
    ["not", "never", "nobody", "none", "without", "nor", "neither", "against", "except", "unless", "hardly", "un", "non"]
)
SIDES = frozenset(
    [
        "more",
        "less",
        "most",
        "least",
        "min",
        "max",
        "minimum",
        "maximum",
        "before",
        "after",
        "above",
        "below",
        "over",
        "under",
        "up",
        "down",
        "in",
        "out",
        "on",
        "off",
        "first",
        "last",
        "left",
        "right",
        "increase",
        "decrease",
        "enable",
        "disable",
        "allow",
        "prohibit",
        "accept",
        "reject",
        "start",
        "stop",
        "open",
        "close",
        "add",
        "delete",
        "include",
        "exclude",
        "import",
        "export",
        "push",
        "pull",
    ]
)
"""Words that have an opposite, such as `before` and `after`: a difference in one of them changes the question."""

CLOSE_SHARE = 0.75
"""Lowest share of common words of two questions that are `close`."""


def judge(asked: str, stored: str) -> str:
    """Return whether two questions are `same`, `close` or `different`.

    Example:
        >>> judge("How can I reset my password?", "how do I reset my password")
        'same'
        >>> judge("Can dogs eat cheese every day?", "Can dogs eat some cheese daily?")
        'different'
        >>> judge("Convert 10 miles to km.", "Convert 10 km to miles.")
        'close'
        >>> judge("Convert 10 miles to km.", "Convert 12 miles to km.")
        'different'
        >>> judge("How do I polish wood?", "How do I Polish wood?")
        'different'
    """
    one, other = wording(asked), wording(stored)
    if not agree_in_case(asked, stored):
        return DIFFERENT
    if one == other:
        return SAME if one else DIFFERENT
    return CLOSE if _close(one, other) else DIFFERENT


def _close(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    left, right = Counter(one), Counter(other)
    apart = (left - right) + (right - left)
    if any(_decides(word) for word in apart):
        return False
    shared = sum((left & right).values())
    return shared >= CLOSE_SHARE * max(len(one), len(other))


def _decides(word: str) -> bool:
    """Return whether a word must be equal in both questions: numbers, names, units, negations, opposites."""
    return (
        word[0] == "\0"
        or not word.isalpha()
        or word in NEGATIONS
        or word in SIDES
        or word.startswith(("un", "dis", "non", "in", "im"))
    )
