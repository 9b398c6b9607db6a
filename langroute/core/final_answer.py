r"""Final answer of a text, in a form in which two texts are equal only where what differs carries no meaning.

No meaning have: white space around it, a full stop at its end, markup around the whole, the capital that begins a sentence, commas
between the thousands of a number, and the text before a final answer that is marked as such. Everything else is a difference, because
a sign, a capital, a zero or a word can be the whole answer: `x > 5` and `x < 5`, `C` and `C++`, `Mb` and `MB`, `007` and `7`,
"approved" and "denied".
"""

from __future__ import annotations

import re
import unicodedata

_BOXED = "\\boxed{"
"""Mark of a final answer in mathematics: LaTeX."""

_HASHES = "####"
"""Mark of a final answer in GSM8K's solutions; elsewhere than in the last line it is a heading."""

_CLOSING = re.compile(r"\\\]|\\\)|\$\$|(?:that|this) is (?:my|the) (?:final )?answer\.?", re.IGNORECASE)
"""Last lines that add nothing: the end of a LaTeX formula, a word that this was the answer."""

_WORDED = re.compile(
    r"(?:^|(?<=[.!?:;]))[ \t*_#>]{0,8}(?:(?:so|thus|therefore|hence|then|and|finally|in short|in conclusion)\b,?[ ]{1,3}){0,3}"
    r"(?:(?:the|my|our)[ ]{1,3})?(?:(?:final|correct|right|short)[ ]{1,3}){0,2}answer(?:[ ]{1,3}is\b|(?=[*_ ]{0,3}[:=]))[*_ ]{0,3}[:=]?[*_]{0,2}",
    re.IGNORECASE | re.MULTILINE,
)
"""A sentence that begins by saying that the answer follows. Other words before it ("I doubt that the answer is") are no mark."""

_SIGNS = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2212": "-", "’": "'", "‘": "'", "“": '"', "”": '"'})
_WRAPPED = re.compile(
    r"\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*|`([^`]+)`|\"(?=[^\"]*[^\W\d_])([^\"]*)\"|\$([^$]+)\$|\\\(((?:[^\\]|\\(?!\)))+)\\\)|\(([^\W\d_])\)"
)
"""A text in markup: bold, emphasis, code, quotation marks around words, LaTeX, and a single letter in brackets."""

_STARTS_WITH_NUMBER = re.compile(r"([+-]?[€$£¥]?[ ]?)([0-9][0-9.,]*)")
_NUMBER = re.compile(r"([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(\.[0-9]+)?")
_FIRST = re.compile(r"[^\W\d_]+")


def final_answer(text: str) -> str:
    r"""Return the final answer of a text, normalized; the whole text where none is marked.

    Example:
        >>> final_answer("So the final answer is: 1,200.0"), final_answer("Paris."), final_answer("x > 5")
        ('1200', 'paris', 'x > 5')
        >>> final_answer("I doubt that the answer is 42.")
        'I doubt that the answer is 42'
    """
    text = _cleaned(text)
    return _plain(_marked(text) or text)


def marked_answer(text: str) -> str | None:
    """Return the final answer of a text as `final_answer` does, or `None` where none is marked.

    Example:
        >>> marked_answer("It is 42."), marked_answer("Answer: 42")
        (None, '42')
    """
    found = _marked(_cleaned(text))
    return None if found is None else _plain(found)


def _cleaned(text: str) -> str:
    text = unicodedata.normalize("NFC", text).translate(_SIGNS)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def _marked(text: str) -> str | None:
    """Return what the last line marks as the answer. An answer with text after it may have been taken back there."""
    lines = [line for line in text.splitlines() if line]
    while len(lines) > 1 and _CLOSING.fullmatch(lines[-1].strip()):
        del lines[-1]
    last = lines[-1].strip() if lines else ""
    if len(lines) > 1 and (heading := _WORDED.match(lines[-2])) is not None and not lines[-2][heading.end() :].strip():
        return last
    if _BOXED in last:
        # Several may be one answer in parts, or a correction: all of them matter.
        found = " ; ".join(_plain(_unboxed(part)) for part in last.split(_BOXED)[1:])
    elif last.startswith(_HASHES):
        found = last.removeprefix(_HASHES)
    else:
        marks = list(_WORDED.finditer(last))
        found = last[marks[0].end() :] if len(marks) == 1 else ""
    return found.strip() if found.strip("`*_\"' .!$") else None


def _unboxed(line: str) -> str:
    """Return the content of a LaTeX group that ends with its closing bracket, and what follows it but signs of markup."""
    depth = 1
    for place, sign in enumerate(line):
        depth += (sign == "{") - (sign == "}")
        if depth == 0:
            rest = line[place + 1 :].replace("\\)", "").replace("\\]", "").strip(" $.*")
            return f"{line[:place]} {rest}" if rest else line[:place]
    return line


def _plain(text: str) -> str:
    text = text.strip()
    for _ in range(4):
        stripped = _stopped(text)
        inner = _WRAPPED.fullmatch(stripped)
        unwrapped = stripped if inner is None else next(part for part in inner.groups() if part is not None).strip()
        if unwrapped == text:
            break
        text = unwrapped
    begin = _STARTS_WITH_NUMBER.match(text)
    return _lowered(text) if begin is None else _counted(begin.group(1), begin.group(2).rstrip(".,"), text)


def _stopped(text: str) -> str:
    """Return a text without the full stop that ends it, or the exclamation mark after a word; `4!` is another number than 4."""
    if text.endswith(".") and not text.endswith(".."):
        return text[:-1].rstrip()
    return text[:-1] if text.endswith("!") and text[-3:-1].isalpha() else text


def _counted(sign: str, digits: str, text: str) -> str:
    number = _NUMBER.fullmatch(digits)
    if number is None:
        return text
    fraction, rest = number.group(2) or "", text[len(sign) + len(digits) :]
    if not rest and not fraction.strip(".0"):
        # `3.10` and `3.1` may be versions: only a fraction of nothing but zeros is dropped, from a number that stands alone.
        fraction = ""
    return f"{sign}{number.group(1).replace(',', '')}{fraction}{rest}"


def _lowered(text: str) -> str:
    """Return a text without the capital that begins a sentence; words of one or two letters may be symbols or units."""
    first = _FIRST.match(text)
    if first is None:
        return text
    word = first.group()
    if (len(word) > 2 or word in ("No", "It", "In")) and word[1:].islower():
        return word[0].lower() + text[1:]
    return text
