"""Detection of refusals: answers whose first sentence says that the assistant cannot or will not help."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from langroute.verifiers.refusal_words import LANGUAGES, RefusalWords

LONGEST = 400
"""Longest text, in characters, that is taken for a refusal; what is longer says something besides."""

CLAUSE = 200
"""Most characters of a sentence that are read."""

_OPENINGS = 4
"""Most sentences before the one that refuses: apologies and greetings."""

_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|„[^“”]*[“”]|«[^»]*»|「[^」]*」|『[^』]*』")
_ENDS = re.compile(r"([.!?;:\n。！？；：।؟…]+|[—–]|\s-\s)\s*")
_GIVES = re.compile(r"`|^\s{0,8}(?:[-*•]|[0-9]{1,3}[.)])\s", re.MULTILINE)
"""Code or a list: the text hands something over, whatever it says that it cannot do."""

_CONTRACTIONS = (
    (re.compile(r"\bcan(?:no|')t\b"), "can not"),
    (re.compile(r"\bwon't\b"), "will not"),
    (re.compile(r"n't\b"), " not"),
    (re.compile(r"\bi'm\b"), "i am"),
    (re.compile(r"\bwe're\b"), "we are"),
    (re.compile(r"\b(i|we)'d\b"), r"\1 would"),
    (re.compile(r"\b(i|we)'ll\b"), r"\1 will"),
)


class _Patterns(NamedTuple):
    opening: re.Pattern[str]
    unable: re.Pattern[str]
    help: re.Pattern[str]
    deed: re.Pattern[str]
    request: re.Pattern[str]
    persona: re.Pattern[str]
    declines: re.Pattern[str]
    words: RefusalWords


@lru_cache(maxsize=1)
def _languages() -> tuple[_Patterns, ...]:
    return tuple(map(_compiled, LANGUAGES.values()))


def _compiled(words: RefusalWords) -> _Patterns:
    return _Patterns(
        opening=re.compile(words.opening),
        unable=re.compile(words.unable),
        help=re.compile(words.help),
        deed=re.compile(words.deed),
        request=re.compile(words.request),
        persona=re.compile(words.persona),
        declines=re.compile(words.declines),
        words=words,
    )


def is_refusal(text: str) -> bool:
    """Return whether a short text refuses what was asked, in any of `LANGUAGES`.

    An apology with an answer in it is an answer; so is a report of what was not found, a question, a quotation, and a text that hands
    over code or a list.

    Example:
        >>> is_refusal("I won't be able to assist with that request."), is_refusal("Das kann ich leider nicht tun.")
        (True, True)
        >>> is_refusal("Sorry, I can't find order 7 in your account; is it 71?")
        False
    """
    if len(text) >= LONGEST:
        return False
    low = text.lower()
    languages = [one for one in _languages() if any(mark in low for mark in one.words.marks)]
    return bool(languages) and _GIVES.search(text) is None and _says_no(_plain(low), languages)


def _says_no(text: str, languages: Sequence[_Patterns]) -> bool:
    for clause, goes_on in _clauses(text)[: _OPENINGS + 1]:
        if any(_refuses(clause, language) for language in languages):
            return not goes_on
        if not any(language.opening.match(clause) for language in languages):
            return False
    return False


def _plain(text: str) -> str:
    text = _QUOTED.sub(" ", text.replace("’", "'").replace("‘", "'"))
    for pattern, replacement in _CONTRACTIONS:
        text = pattern.sub(replacement, text)
    return text.strip(" \t\n*_#>")


def _clauses(text: str) -> list[tuple[str, bool]]:
    """Return the sentences of a text, and whether each asks a question or announces what follows."""
    parts = _ENDS.split(text)
    found = [
        (" ".join(part[:CLAUSE].split()), any(sign in end for sign in "?？؟:："))
        for part, end in zip(parts[::2], [*parts[1::2], ""], strict=True)
    ]
    return [(clause, goes_on) for clause, goes_on in found if clause.strip(" ,*_\"'")]


def _refuses(clause: str, language: _Patterns) -> bool:
    if language.declines.search(clause) is not None:
        return True
    unable = language.unable.search(clause)
    if unable is None:
        return False
    if language.persona.search(clause) is not None:
        return True
    before = clause[: unable.start()].strip(" ,，、")
    opened = language.opening.match(before) is not None
    if not opened and len(before) > language.words.before:
        return False
    verb_follows = language.words.reach < CLAUSE
    said = clause[unable.end() :][: language.words.reach] if verb_follows else clause
    # "Sorry, I can't." needs no verb.
    if language.help.search(said) is not None or (opened and verb_follows and not said.strip(" ,")):
        return True
    return (opened or language.words.before < _ANYWHERE) and _is_of_the_request(said, clause, language)


def _is_of_the_request(said: str, clause: str, language: _Patterns) -> bool:
    """Return whether what cannot be done is the request itself. Whoever names a number speaks of something in particular."""
    if any(sign.isdigit() for sign in clause):
        return False
    return language.deed.search(said) is not None and language.request.search(said) is not None


_ANYWHERE = 100
"""Languages whose sentences end with the verb, often without a subject: a deed alone does not say whose it is."""
