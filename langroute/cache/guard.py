"""Do two questions ask the same? A judge that needs more than a likeness.

Vectors cannot tell a question from its opposite, nor one year from another. So a stored answer is given only where the wording itself
agrees: the same words in the same order after politeness, articles, inflection and the usual frames are evened out (`wording`).
Questions that come near to that are undecided: what they are worth has to be learned. All others are different.
"""

from __future__ import annotations

from collections import Counter

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
        "increas",
        "decreas",
        "enabl",
        "disabl",
        "allow",
        "prohibit",
        "accept",
        "reject",
        "start",
        "stop",
        "open",
        "clos",
        "add",
        "delet",
        "include",
        "exclud",
        "import",
        "export",
        "push",
        "pull",
    ]
)
"""Words whose opposite stands in the same place of an otherwise equal question."""

CLOSE_SHARE = 0.75
"""Share of words two questions have in common at least, to be close."""


def judge(asked: str, stored: str) -> str:
    """`same`, `close` or `different`.

    Example:
        >>> judge("How can I reset my password?", "how do I reset my password")
        'same'
        >>> judge("Can dogs eat cheese every day?", "Can dogs eat some cheese daily?")
        'different'
        >>> judge("Convert 10 miles to km.", "Convert 10 km to miles.")
        'close'
        >>> judge("Convert 10 miles to km.", "Convert 12 miles to km.")
        'different'
    """
    one, other = wording(asked), wording(stored)
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
    """A word that cannot differ between two questions that ask the same: numbers, names as they are written, units, negations, sides."""
    return (
        word[0] == "\0"
        or not word.isalpha()
        or word in NEGATIONS
        or word in SIDES
        or word.startswith(("un", "dis", "non", "in", "im"))
    )
