"""Normalization of questions, so that the usual ways to ask the same give the same sequence of words.

A question becomes a sequence of words in which politeness is removed, articles stand for one another, the usual frames ("how can I",
"what is the way to") are unified, possessives and passives are turned round, and a few plain synonyms become one word. Everything
else stays, in its order: names, numbers, units, prepositions, negations. Two questions with the same sequence ask the same; about
any others this module says nothing.

What is not understood is a difference: a sign, a leading zero, a short word's capital, a word where the question is about words. The
tables are English (`english`). In other languages only case, punctuation and spacing are normalized, which makes hits rarer and no less
safe.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from langroute.cache import english
from langroute.cache.tokens import short_capitals, tokens
from langroute.steps.texts import facts_of

LONGEST = 2000
"""Longest text in characters that is normalized."""

PROTECTED = re.compile(
    # Names of mailboxes and files have a length limit: without it, matching a long word takes quadratic time.
    r"`[^`]*`|\"[^\"]*\"|“[^”]*”|https?://\S+|[^\s@]{1,64}@[^\s@]{1,255}\.\w+|(?:[\w.-]{0,255}[/\\][\w./\\-]+)|\b(?:\w+_\w+(?:\.\w+)*|\w+(?:\.\w+)+)\b"
)
"""Quoted text, code, URLs, paths and identifiers, which are kept literally."""

_SPACES = re.compile(r"\s+")
_PASSIVE = re.compile(
    r"^(?P<object>(?:[^\W_]+[ -]){1,7}?)(?P<be>is|are|was|were)(?P<not> not)?(?: being)? (?P<verb>[a-z]+(?:ed|en|wn|nk|ng|ld|de|ut|ot|ht|nt|lt|pt|id)) "
    r"by (?P<subject>(?:an?|the|some|one|two|three|four|my|our|his|her|their|several|many|another|[a-z]+'s) (?:[a-z]+ ){0,2}?[a-z]+)(?P<rest>$| (?:in|on|at|with|from|near|into|to|for|who|that|which|through|over|under|behind|and|by) .*$)"
)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]+")
_FRONTED = re.compile(r"^((?:in|on|for|with|using|at|from|under|within|during) [^,?!.;:]{1,40}), (.{6,})$")
_POSSESSIVE = re.compile(
    r"\b((?:the|an?|my|our|your|his|her|their) )?([^\W_]+[ -]?)['’]s ([^\W\d_]+(?: [^\W\d_]+)?)(?=$| (?:is|are|was|were|in|on|at|of|to|for|and|or|with)\b)"
)


def stem(word: str) -> str:
    """Return the verb of an `-ing` form; plurals, past tenses and all other words stay, because their endings change the meaning.

    Example:
        >>> stem("frying"), stem("running"), stem("making"), stem("files")
        ('fry', 'run', 'make', 'files')
    """
    if len(word) > 5 and word.endswith("ing") and _VOWEL.search(word, 0, len(word) - 3):
        return _verb(word[:-3])
    return word


_VOWEL = re.compile(r"[aeiouy]")
_SILENT = re.compile(r"[^aeiouy]*[aeiouy][^aeiouywx]|.*[cvz]")
"""Roots that lost a silent `e`: of one syllable with one vowel and one consonant after it (`mak`), or with an ending that has one."""


def _verb(root: str) -> str:
    """Return the verb of a root that an ending was taken from: with its silent `e`, and without a doubled consonant."""
    if len(root) > 3 and root[-1] == root[-2] and root[-1] not in "lsfz":
        return root[:-1]
    return f"{root}e" if root[-2:] != "zz" and _SILENT.fullmatch(root) else root


def participle(word: str) -> str:
    """Return the verb of a participle, in the form that `stem` gives.

    Example:
        >>> participle("fried"), participle("stopped"), participle("eaten")
        ('fry', 'stop', 'eat')
    """
    if word in english.IRREGULAR:
        return english.IRREGULAR[word]
    if word.endswith("ied"):
        return word[:-3] + "y"
    return _verb(word[:-2]) if word.endswith(("ed", "en")) else word


def wording(text: str) -> tuple[str, ...]:
    """Return a question as the sequence of words that decides what it asks; a text longer than `LONGEST` is returned as one word.

    Example:
        >>> wording("Hi, could you tell me how I can reset my password, please?")
        ('how', 'reset', 'my', 'password')
        >>> wording("How do I reset my password?")
        ('how', 'reset', 'my', 'password')
        >>> wording("Some food is being fried by a woman") == wording("A woman is frying some food")
        True
        >>> wording("flights from Oslo to Rome") == wording("flights from Rome to Oslo")
        False
    """
    return _wording(text) if len(text) <= LONGEST else (f"\0{text}",)


@lru_cache(maxsize=4096)
def _wording(text: str) -> tuple[str, ...]:
    text = _CONTROLS.sub(" ", unicodedata.normalize("NFC", text)).strip()
    kept: list[str] = []

    def protect(found: re.Match[str]) -> str:
        piece = found.group().rstrip(".,;:!?")
        if not piece or piece in english.UNIT_SYMBOLS:
            return found.group()
        kept.append(piece.strip('`"“”') if piece[0] in '`"“' else piece)
        return f" \x00{len(kept) - 1}\x00 " + found.group()[len(piece) :]

    text = _SPACES.sub(" ", PROTECTED.sub(protect, text)).strip()
    if text != text.upper():
        text = _short_kept(english.NAMES.sub(protect, text), kept)
    # Not `casefold`, which takes `ß` for `ss`.
    lowered = _SPACES.sub(" ", text.lower()).strip()
    if not _english(text):
        return tuple(_spelled(word, kept) for word in tokens(lowered))
    said = set(tokens(lowered))
    if "'" in said or not said.isdisjoint(english.ABOUT_WORDS) or not said.isdisjoint(english.HUMAN_LANGUAGES):
        return _exact(lowered, kept)
    found, merged = _content(_direct(lowered), kept)
    return _exact(lowered, kept) if merged else found


def _short_kept(text: str, kept: list[str]) -> str:
    """Protect short words with capitals, except months; symbols of units become the words for them."""
    parts, end = [], 0
    for begin, stop in short_capitals(text):
        word = text[begin:stop]
        if word.lower() in english.MONTHS:
            continue
        if word in english.UNIT_SYMBOLS:
            said = english.UNIT_SYMBOLS[word]
        else:
            kept.append(word)
            said = f" \x00{len(kept) - 1}\x00 "
        parts += [text[end:begin], said]
        end = stop
    return "".join([*parts, text[end:]])


def _exact(lowered: str, kept: list[str]) -> tuple[str, ...]:
    """Return the words of a question that is about words: only contractions, openings and the usual frames are normalized."""
    for pattern, replacement in english.CONTRACTIONS:
        lowered = pattern.sub(replacement, lowered)
    return tuple(_spelled(word, kept) for word in tokens(_framed(_reordered(english.OPENINGS.sub("", lowered)))))


def _direct(lowered: str) -> str:
    """Return an English question without frills, in the order of a direct and active one."""
    for pattern, replacement in english.CONTRACTIONS:
        lowered = pattern.sub(replacement, lowered)
    lowered = _closed(lowered)
    lowered = re.sub(r"^there (?:is|are) ", "", _FRONTED.sub(r"\2 \1", lowered))
    lowered = _reordered(english.OPENINGS.sub("", lowered))
    framed = _framed(lowered)
    if framed == lowered:
        framed = english.AUXILIARY.sub(r"\1", lowered)
    return _active(_POSSESSIVE.sub(r"the \3 of \1\2", framed))


_OPEN = frozenset(["for", "of", "with", "to", "is", "the", "a", "an", "and", "or", "as", "not", "about", "without"])
"""Words that a sentence does not end with: what follows them belongs to it, and is no thanks."""


def _closed(lowered: str) -> str:
    closing = english.CLOSINGS.search(lowered)
    if closing is not None and (closing.group()[0] in ",.!?;:-" or lowered[: closing.start()].rsplit(" ", 1)[-1] not in _OPEN):
        lowered = lowered[: closing.start()]
    lowered = lowered.rstrip(" .?;:,")
    return lowered.rstrip(" .!?;:,") if lowered[-3:-1].isalpha() else lowered


def _framed(lowered: str) -> str:
    for pattern, replacement in english.FRAMES:
        changed = pattern.sub(replacement, lowered, count=1)
        if changed != lowered:
            return changed
    return lowered


def _content(question: str, kept: list[str]) -> tuple[tuple[str, ...], bool]:
    """Return the words of a direct question that say what it asks, and whether two different ones became the same.

    `kept` are those that stand as they were written.
    """
    words: list[str] = []
    forms: dict[str, str] = {}
    merged = False
    said = tokens(question)
    for place, word in enumerate(said):
        if word[0] == "\x00":
            words.append("\x00" + kept[int(word[1:-1])])
        elif word[0] == "\x01":
            words.append(word[1:])
        elif word[-1].isdigit():
            words.append(word.replace(",", ""))
        elif word in english.GRAMMAR:
            words += [] if _helps(said, place) else [english.GRAMMAR[word]]
        else:
            words.append(stem(word) if _is_verb(said, place) else _plain(word, words))
            merged = merged or forms.setdefault(words[-1], word) != word
    return tuple(["a", *words[1:]] if _opens_with_article(words) else words), merged


def _english(text: str) -> bool:
    """Return whether the rules apply: the text is English, or too short to tell and without letters that English lacks."""
    if text.isascii() and not english.ENGLISH.isdisjoint(re.findall(r"[a-z]+", text.lower())):
        return True
    language = facts_of(text).language
    return language == "en" or (language is None and text.isascii())


def _spelled(word: str, kept: list[str]) -> str:
    return "\x00" + kept[int(word[1:-1])] if word[0] == "\x00" else word


def _reordered(text: str) -> str:
    """Return an embedded question ("how I can", "where the station is") in the order of a direct one."""
    text = re.sub(r"^how (i|you|we|one) (can|could|should|would|might|must)\b", r"how \2 \1", text)
    text = re.sub(r"^how to\b", "how do i", text)
    return re.sub(
        r"^(where|what|who|when) (?!is |are |was |were )((?:[^\W_]+(?:['’]s)? ){0,4}?[^\W_]+) (is|are)$", r"\1 \3 \2", text
    )


def _active(text: str) -> str:
    """Return a short passive sentence in active form."""
    found = _PASSIVE.match(text)
    if found is None:
        return text
    when = "" if found["be"] in ("is", "are") else "was "
    verb = participle(found["verb"])
    return f"{found['subject']} {when}{(found['not'] or '').strip()} \x01{verb} {found['object'].strip()}{found['rest']}"


def _plain(word: str, before: list[str]) -> str:
    word = word.replace("’", "'")
    if word in english.NUMBER_WORDS:
        return english.NUMBER_WORDS[word]
    if word in english.UNITS and before and (before[-1][-1].isdigit() or before[-1] in _BEFORE_UNITS):
        return english.UNITS[word]
    if word in english.MONTHS:
        return english.MONTHS[word]
    if word in ("no", "cannot"):
        return "not"
    return english.SYNONYMS.get(word, word)


def _helps(said: list[str], place: int) -> bool:
    """Return whether a word is an `is` that only helps another verb ("a woman is frying", "is not frying")."""
    verb = place + 2 if said[place + 1 : place + 2] == ["not"] else place + 1
    return said[place] in english.PRESENT and verb < len(said) and _is_verb(said, verb)


def _is_verb(said: list[str], place: int) -> bool:
    """Return whether an `-ing` form is what somebody does ("a woman is frying"), and no noun ("why is clothing dear?")."""
    if not said[place].endswith("ing"):
        return False
    before = place - 2 if place and said[place - 1] == "not" else place - 1
    return before > 0 and said[before] in _BE and said[before - 1] not in _ASKING


_BE = frozenset(["is", "are", "am", "was", "were", "be", "been"])
_ASKING = frozenset(["what", "which", "why", "when", "where", "how"])


_BEFORE_UNITS = frozenset(["in", "into", "per", "many", "much"])
"""Words besides numbers after which a plural is a unit, and means the same as the singular."""


def _opens_with_article(words: list[str]) -> bool:
    """Return whether `one` is an article that opens a sentence, as in `One man is singing`, and not a number."""
    return len(words) > 2 and words[0] == "1" and words[1].isalpha()
