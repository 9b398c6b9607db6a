"""Dense features of texts: counts and shares of kinds of words and characters, keywords, answer options, and the history's shape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from langroute.estimators.answer_options import options_of, options_of_many
from langroute.estimators.arrays import Floats, Ints
from langroute.estimators.documents import SHAPES, Document
from langroute.estimators.vocabulary import HashedVocabulary
from langroute.estimators.word_hashes import CODES, hash_words

KEYWORDS = tuple(
    "if than each every per more less times total left not except half twice percent average who which what why how the a "  # noqa: SIM905
    "following statement true prove explain write function return sum because".split()
)

_CHARS = {
    "letters": b"abcdefghijklmnopqrstuvwxyz",
    "upper": b"ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "spaces": b" \t",
    "beyond": bytes(range(128, 256)),
    "brackets": b"()[]{}",
    "quotes": b"\"'`",
    "digits": b"0123456789",
    "ends": b".!?",
    "colons": b":;",
    "comma": b",",
    "percent": b"%",
    "dollar": b"$",
    "question": b"?",
    "lines": b"\n",
    "operators": b"+-*/=<>^\\_|&",
}
_LOGGED = ("digits", "ends", "comma", "percent", "dollar", "question", "lines", "operators")
_FLAGS = 8
"""Number of word kinds, a bit mask: 4 for a leading digit, 2 for more than eight bytes, 1 for more than three."""

DENSE = (
    *("log_chars", "log_words", "log_numbers", "log_long_numbers", "log_option_length", "log_first_line"),
    *("log_seen_words", "log_tool_words"),
    *(f"log_{name}" for name in _LOGGED),
    *(f"log_{word}" for word in KEYWORDS),
    *("numbers_a_word", "bytes_a_word", "long_words_a_word", "known_a_word", "words_a_sentence", "options", "option_spread"),
    *(f"{name}_share" for name in _CHARS),
    *SHAPES,
)
"""Names of the dense features, in order."""

_DIGIT = np.zeros(256, np.bool_)
_DIGIT[[CODES[byte] for byte in b"0123456789"]] = True
_NUMBER = _DIGIT * np.int64(4)
_LONG = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 3])
"""Bits that a word's length adds to its kind, as `_NUMBER` has those of its first byte; see `_FLAGS`."""

_CLASSES = np.zeros((256, len(_CHARS)))
for _place, _members in enumerate(_CHARS.values()):
    _CLASSES[list(_members), _place] = 1.0
_KINDS, _kind = np.unique(_CLASSES, axis=0, return_inverse=True)
"""Distinct combinations of character classes, `(kinds, classes)`; `_KIND` maps each byte to its combination."""

_KIND = bytes(_kind.ravel().tolist())

_KNOWN_KEYWORDS = HashedVocabulary(hash_words(KEYWORDS))
_ENDS = list(_CHARS).index("ends")
_COLUMNS = [list(_CHARS).index(name) for name in _LOGGED]


def dense_features_of_one(
    document: Document,
    raw: bytes,
    codes: NDArray[np.uint8],
    chars: int,
    begins: Ints,
    ends: Ints,
    hashes: NDArray[np.uint64],
    until: Sequence[int],
    distinct: int,
) -> Floats:
    """Return the result of `dense_features` for one document, without the bookkeeping of many: a decision waits for it.

    Args:
        document: The document.
        raw: Its texts as bytes; see `encoded`.
        codes: Codes of the bytes.
        chars: Number of bytes of its text.
        begins: Begins of the words.
        ends: Ends of the words.
        hashes: Hashes of the words.
        until: Number of words up to the end of its text, of what was seen, and of the tools.
        distinct: Number of distinct known words and pairs.
    """
    words, seen, every = until
    # The words of the text come before those of `seen` and of the tools.
    size = ends[:words] - begins[:words]
    number = _DIGIT.take(codes.take(begins[:words]))
    classes = (np.bincount(np.frombuffer(raw, np.uint8, chars), minlength=256) @ _CLASSES).tolist()
    many, spread, mean, first = options_of(document.text)
    some, numbers = words + 1.0, np.count_nonzero(number)
    counts = [chars, words, numbers, np.count_nonzero(number & (size > 3)), mean, first, seen - words, every - seen]
    counts += [classes[column] for column in _COLUMNS]
    counts += np.bincount(_KNOWN_KEYWORDS.known(hashes[:words]), minlength=len(KEYWORDS)).tolist()
    shares = [numbers / some, chars / some, np.count_nonzero(size > 8) / some, distinct / (every + 1.0)]
    shares += [some / (classes[_ENDS] + 1.0), many, spread]
    shares += [count / (chars + 1.0) for count in classes]
    features = np.array([[*counts, *shares, *document.shape]], np.float64)
    np.log1p(features[:, : len(counts)], out=features[:, : len(counts)])
    return features


def dense_features(
    documents: Sequence[Document],
    raw: bytes,
    codes: NDArray[np.uint8],
    lengths: Ints,
    begins: Ints,
    ends: Ints,
    hashes: NDArray[np.uint64],
    closes: Ints,
    in_each: Ints,
    distinct: Ints,
) -> Floats:
    """Return the dense features of documents, `(documents, len(DENSE))`.

    Args:
        documents: The documents.
        raw: Their texts as bytes; see `encoded`.
        codes: Codes of the bytes.
        lengths: Lengths of the texts in bytes.
        begins: Begins of the words.
        ends: Ends of the words.
        hashes: Hashes of the words.
        closes: Ends of the texts.
        in_each: Number of words of each text.
        distinct: Number of distinct known words and pairs of each document.
    """
    count = len(documents)
    text = np.repeat(np.arange(3 * count), in_each)
    flag = text * _FLAGS
    flag += _LONG.take(ends - begins, mode="clip")
    flag += _NUMBER.take(codes.take(begins))
    flags = np.bincount(flag, minlength=3 * count * _FLAGS).reshape(count, 3, _FLAGS)[:, 0]
    per_text = in_each.reshape(count, 3)
    kinds = len(_KINDS)
    kind = np.repeat(np.arange(3 * count) * kinds, lengths + 1)
    # The zero that ends a text is of no class.
    kind += np.frombuffer(raw.translate(_KIND), np.uint8, len(kind))
    classes = np.bincount(kind, minlength=3 * count * kinds).reshape(count, 3, kinds)[:, 0] @ _KINDS
    keyword = _KNOWN_KEYWORDS.find(hashes)
    hit = np.flatnonzero(keyword >= 0)
    width = len(KEYWORDS)
    keywords = np.bincount(text.take(hit) * width + keyword.take(hit), minlength=3 * count * width).reshape(count, 3, width)[:, 0]

    out = np.empty((count, len(DENSE)))
    options = options_of_many(raw, lengths, closes)
    chars, words = lengths[::3], per_text[:, 0]
    logged = 8 + len(_LOGGED) + width
    out[:, 0] = chars
    out[:, 1] = words
    out[:, 2] = flags[:, 4:].sum(1)
    out[:, 3] = flags[:, 5] + flags[:, 7]
    out[:, 4:6] = options[:, 2:]
    out[:, 6:8] = per_text[:, 1:]
    out[:, 8 : 8 + len(_LOGGED)] = classes[:, _COLUMNS]
    out[:, 8 + len(_LOGGED) : logged] = keywords
    some = words + 1.0
    out[:, logged] = out[:, 2] / some
    out[:, logged + 1] = chars / some
    out[:, logged + 2] = (flags[:, 2:4].sum(1) + flags[:, 6:].sum(1)) / some
    out[:, logged + 3] = distinct / (per_text.sum(1) + 1.0)
    out[:, logged + 4] = some / (classes[:, _ENDS] + 1.0)
    out[:, logged + 5 : logged + 7] = options[:, :2]
    out[:, logged + 7 : logged + 7 + len(_CHARS)] = classes / (chars[:, None] + 1.0)
    out[:, logged + 7 + len(_CHARS) :] = [document.shape for document in documents]
    np.log1p(out[:, :logged], out=out[:, :logged])
    return out
