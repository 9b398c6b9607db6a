"""Tokens of a question, and which of its signs and capitals carry meaning.

Every sign is a token of its own, unless it ends a sentence or a clause of words: `x > 5`, `4!`, `-v` and `C++` lose nothing, and so do
the vowel signs of Indic scripts. Of capitals, those that begin a sentence carry none; short words (`Mb`, `-V`, `US`) keep theirs, and of
longer words they are compared by `agree_in_case`, because many people write without any.
"""

from __future__ import annotations

import re
from functools import lru_cache

TOKEN = re.compile(r"\x00\d+\x00|\x01\S+|\d{1,3}(?:,\d{3})+(?![\d,])|\d+|[^\W\d_]+(?:['’][^\W\d_]+)*|\S")

SHORT = 3
"""Most letters of a word that may be a symbol, a unit, an option or an abbreviation, whose capitals decide."""

_WORD = re.compile(r"[^\W\d_]+")
_BEGINS = re.compile(r"[.!?:…。！？।]")
_AFTER_WORDS = re.compile(
    r"(?<=[^\W\d_][^\W\d_])[.,;:!?…]+(?=\s|$)|(?<=[\d)\]%\x00])[.?…]+(?=\s|$)|(?<=[\x00)\]])[,;:](?=\s)|(?<=\x00 )[.,;:?]+(?=\s|$)"
)
"""Punctuation that ends a sentence or a clause: after a word of two letters any, after a number or a bracket a full stop or a question mark."""

_ENDS = " .?…。？।؟"
"""Signs that end a text and carry no meaning there."""


def tokens(text: str) -> list[str]:
    """Return the tokens of a text, without the punctuation that ends sentences.

    Example:
        >>> tokens("what is 4!?"), tokens("well, grep -v.")
        (['what', 'is', '4', '!'], ['well', 'grep', '-', 'v'])
    """
    text = text.rstrip(_ENDS)
    said = text.rstrip(" !")
    if said != text and said[-1:].isalpha() and text[len(said)] == " ":
        # French sets a space before it.
        text = said
    return TOKEN.findall(_AFTER_WORDS.sub(" ", text))


def without_case(text: str) -> bool:
    """Return whether a text is written in small letters or in capitals only, so that its case says nothing."""
    return text == text.lower() or text == text.upper()


def short_capitals(text: str) -> list[tuple[int, int]]:
    """Return the places of short words with a capital that does not begin a sentence; the English "I" is none.

    Example:
        >>> short_capitals("How many Mb are in 5 Gb?")
        [(9, 11), (21, 23)]
    """
    return [
        place
        for word, place, begins in _words(text)
        if len(word) <= SHORT
        and word != word.lower()
        and word != "I"
        and not (begins and (word == "A" or (len(word) > 1 and word[1:] == word[1:].lower())))
    ]


def agree_in_case(one: str, other: str) -> bool:
    """Return whether the longer words that two texts share have the same capitals, as far as their writers used any.

    Example:
        >>> agree_in_case("How do I polish wood?", "How do I Polish wood?"), agree_in_case("flights to rome", "Flights to Rome")
        (False, True)
    """
    mine, others = _cased(one), _cased(other)
    return all(others.get(word, forms) == forms for word, forms in mine.items())


@lru_cache(maxsize=4096)
def _cased(text: str) -> dict[str, frozenset[str]]:
    """Return the longer words within sentences, in small letters → as they are written."""
    if without_case(text):
        return {}
    found: dict[str, frozenset[str]] = {}
    for word, _, begins in _words(text):
        if len(word) > SHORT and not begins:
            low = word.lower()
            found[low] = found.get(low, frozenset()) | {word}
    return found


def _words(text: str) -> list[tuple[str, tuple[int, int], bool]]:
    """Return the words of a text, their places, and whether each begins a sentence."""
    found = []
    end = 0
    for match in _WORD.finditer(text):
        begins = end == 0 or _BEGINS.search(text, end, match.start()) is not None
        found.append((match.group(), match.span(), begins))
        end = match.end()
    return found
