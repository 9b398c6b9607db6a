"""What numbers describe a request?

Hashed words and word pairs, and a few dozen counts of structure. One vectorised pass over the bytes of many documents does for a
single request too, so that what is fitted, replayed and used is the same code; it needs numpy alone and gives the same numbers in
every process and Python.

Source: Weinberger et al., Feature Hashing for Large Scale Multitask Learning (2009).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from langroute.estimators.documents import SHAPES, Document

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CHUNK_BYTES = 1 << 18
"""Bytes that are read in one pass; keeps the tables of powers small."""

KEYWORDS = (
    "if than each every per more less times total left not except half twice percent average who which what why how the a "
    "following statement true prove explain write function return sum because"
).split()

_CHARS = {
    "digits": b"0123456789",
    "upper": b"ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "percent": b"%",
    "dollar": b"$",
    "question": b"?",
    "comma": b",",
    "stop": b".;:",
    "lines": b"\n",
    "brackets": b"()[]{}",
    "operators": b"+-*/=<>^\\_|&",
    "quotes": b"\"'`",
    "spaces": b" \t",
    "beyond": bytes(range(128, 256)),
}
DENSE = (
    *("log_chars", "log_words", "log_numbers", "number_share", "log_sentences", "words_a_sentence", "word_length", "distinct"),
    *("long_words", "long_numbers", "options", "option_length", "option_spread", "first_line", "seen_words", "tool_words"),
    *(f"{name}_share" for name in _CHARS),
    *(f"log_{name}" for name in ("digits", "percent", "dollar", "question", "comma", "lines", "operators")),
    *(f"word_{word}" for word in KEYWORDS),
    *SHAPES,
)
"""Names of the dense features, in order."""


class Vocabulary:
    """Which words and word pairs are known: by hash alone, so that nothing that anybody wrote is kept.

    Args:
        hashes: Of the known ones; those that share a slot with an earlier one are left out.
        labels: Checksums of the known labels; see `label_hash`.

    Example:
        >>> known = Vocabulary(word_hashes([Document("one two")])[0])
        >>> len(known), known.find(word_hashes([Document("two three")])[0]).tolist()
        (3, [1, -1, -1])
    """

    def __init__(self, hashes: NDArray[np.uint64], labels: Sequence[int] | NDArray[np.int64] = ()) -> None:
        self.labels = {int(label): place for place, label in enumerate(labels)}
        self._shift = np.uint64(64 - max(10, int(4 * len(hashes)).bit_length()))
        slots = (hashes >> self._shift).astype(np.int64)
        _, first = np.unique(slots, return_index=True)
        first.sort()
        self.hashes = hashes[first]
        self._prints = np.concatenate([self.hashes, np.zeros(1, np.uint64)])
        self._table = np.full(1 << (64 - int(self._shift)), len(first), np.int32)
        self._table[slots[first]] = np.arange(len(first))

    def __len__(self) -> int:
        return len(self.hashes)

    @property
    def width(self) -> int:
        """Words and labels together."""
        return len(self.hashes) + len(self.labels)

    def find(self, hashes: NDArray[np.uint64]) -> Ints:
        """The place of each hash, -1 where it is unknown."""
        place = self._table[(hashes >> self._shift).astype(np.int64)]
        return np.where(self._prints[place] == hashes, place, -1)


@dataclass(frozen=True, slots=True)
class Batch:
    """Requests as numbers: known words in rows (as in a CSR matrix), and dense structure."""

    starts: Ints
    """Where each request's words begin in `buckets`, `(requests + 1,)`."""

    buckets: Ints
    """`(entries,)`, sorted within a request: a place in the vocabulary, or behind it for labels."""

    counts: Floats
    """`(entries,)`: how often, as `1 + log n`; labels count 1."""

    dense: Floats
    """`(requests, len(DENSE))`."""

    def __len__(self) -> int:
        return len(self.starts) - 1


_WORD = np.zeros(256, np.bool_)
_WORD[list(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")] = True
_WORD[128:] = True
_LOWER = np.arange(256, dtype=np.uint64)
_LOWER[65:91] += 32
_LOWER += 1
_DIGIT = np.zeros(256, np.bool_)
_DIGIT[48:58] = True
_SPACE = np.zeros(256, np.bool_)
_SPACE[[0, 9, 10, 32]] = True
_ENDS = np.zeros(256, np.bool_)
_ENDS[list(b".!?")] = True
_OPTION = np.zeros(256, np.bool_)
_OPTION[list(b"ABCDEFGHIJ")] = True
_AFTER = np.zeros(256, np.bool_)
_AFTER[list(b".):")] = True
_CLASSES = np.zeros((256, len(_CHARS)))
for _place, _members in enumerate(_CHARS.values()):
    _CLASSES[list(_members), _place] = 1.0

_BASE = 0x9E3779B97F4A7C15 | 1
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_PAIR = np.uint64(0x94D049BB133111EB)
_SALTS = np.array([0, 0x5851F42D4C957F2D, 0x2545F4914F6CDD1D], np.uint64)


def _powers(size: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    inverse = pow(_BASE, -1, 1 << 64)
    up, down = np.full(size, _BASE, np.uint64), np.full(size, inverse, np.uint64)
    up[0] = down[0] = 1
    return np.cumprod(up, dtype=np.uint64), np.cumprod(down, dtype=np.uint64)


_UP, _DOWN = _powers(1 << 13)


def _hashes(raw: NDArray[np.uint8], starts: Ints, ends: Ints) -> NDArray[np.uint64]:
    """A hash of each word `raw[start:end]`, letters lowered; a polynomial whose prefixes are summed once for all words."""
    global _UP, _DOWN
    if len(raw) > len(_UP):
        _UP, _DOWN = _powers(max(len(raw), 2 * len(_UP)))
    sums = np.zeros(len(raw) + 1, np.uint64)
    np.cumsum(_LOWER[raw] * _UP[: len(raw)], out=sums[1:])
    found = (sums[ends] - sums[starts]) * _DOWN[starts]
    found ^= found >> np.uint64(29)
    found *= _MIX
    found ^= found >> np.uint64(32)
    return found


def _hash_words(words: Sequence[str]) -> NDArray[np.uint64]:
    raw = np.frombuffer(" ".join(words).encode(), np.uint8)
    ends = np.cumsum([len(word.encode()) + 1 for word in words]) - 1
    starts = np.concatenate([[0], ends[:-1] + 1])
    return _hashes(raw, starts, ends)


_KEYWORD_HASHES = _hash_words(KEYWORDS)
_KEYWORD_ORDER = np.argsort(_KEYWORD_HASHES)
_KEYWORD_SORTED = _KEYWORD_HASHES[_KEYWORD_ORDER]


def label_hash(label: str) -> int:
    """What a label is known by.

    Example:
        >>> label_hash("task=support")
        1374088903
    """
    return crc32(label.encode())


def word_hashes(documents: Sequence[Document]) -> tuple[NDArray[np.uint64], Ints]:
    """Hashes of all words and pairs, and the document each belongs to: what a vocabulary is made of.

    Example:
        >>> [len(part) for part in word_hashes([Document("one two two"), Document("")])]
        [5, 5]
    """
    hashes, owners = [], []
    for begin, part in _chunks(documents):
        raw, _, closes = _bytes(part)
        found, owner = _terms(*_words(raw, closes)[2:])
        hashes.append(found)
        owners.append(owner + begin)
    return np.concatenate(hashes), np.concatenate(owners)


def featurize(documents: Sequence[Document], vocabulary: Vocabulary) -> Batch:
    """Turn documents into numbers.

    Example:
        >>> one, two = Document("one"), Document("one two two")
        >>> featurize([two, one], Vocabulary(word_hashes([one])[0])).starts.tolist()
        [0, 1, 2]
    """
    return join([_featurize(part, vocabulary) for _, part in _chunks(documents)])


def _chunks(documents: Sequence[Document]) -> Iterator[tuple[int, Sequence[Document]]]:
    if len(documents) == 1:
        yield 0, documents
        return
    begun = size = 0
    for place, document in enumerate(documents):
        size += len(document.text) + len(document.seen) + len(document.tools)
        if size > CHUNK_BYTES:
            yield begun, documents[begun : place + 1]
            begun, size = place + 1, 0
    if begun < len(documents) or not begun:
        yield begun, documents[begun:]


def join(parts: Sequence[Batch]) -> Batch:
    """One batch of several."""
    if len(parts) == 1:
        return parts[0]
    starts, offset = [np.zeros(1, np.int64)], 0
    for part in parts:
        starts.append(part.starts[1:] + offset)
        offset += len(part.buckets)
    return Batch(
        np.concatenate(starts),
        np.concatenate([part.buckets for part in parts]),
        np.concatenate([part.counts for part in parts]),
        np.concatenate([part.dense for part in parts]),
    )


def _bytes(documents: Sequence[Document]) -> tuple[NDArray[np.uint8], Ints, Ints]:
    """Three texts a document, each closed by a zero byte that no word contains; their lengths, and where each is closed."""
    pieces = [
        piece.encode("utf-8", "replace") for document in documents for piece in (document.text, document.seen, document.tools)
    ]
    raw = np.frombuffer(b"\0".join(pieces) + b"\0\0\0", np.uint8)
    lengths = np.array([len(piece) for piece in pieces], np.int64)
    return raw, lengths, np.cumsum(lengths + 1)


def _words(raw: NDArray[np.uint8], closes: Ints) -> tuple[Ints, Ints, NDArray[np.uint64], Ints]:
    """Where words begin and end, their hashes, and the text each stands in."""
    inside = _WORD[raw]
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    if inside[0]:
        edges = np.concatenate([[0], edges])
    begins, ends = edges[::2], edges[1::2]
    return begins, ends, _hashes(raw, begins, ends), np.searchsorted(closes, begins, "right")


def _terms(hashes: NDArray[np.uint64], segment: Ints) -> tuple[NDArray[np.uint64], Ints]:
    """Hashes of words and of pairs of neighbours, and the document each belongs to."""
    salted = (hashes ^ _SALTS[segment % 3]) * _MIX
    neighbours = segment[:-1] == segment[1:]
    pairs = (salted[:-1] * _PAIR + salted[1:])[neighbours]
    pairs ^= pairs >> np.uint64(31)
    pairs *= _MIX
    owners = segment // 3
    return np.concatenate([salted, pairs]), np.concatenate([owners, owners[:-1][neighbours]])


def _featurize(documents: Sequence[Document], vocabulary: Vocabulary) -> Batch:
    count, known = len(documents), len(vocabulary)
    if not count:
        return Batch(np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros((0, len(DENSE))))
    raw, lengths, closes = _bytes(documents)
    begins, ends, hashes, segment = _words(raw, closes)
    terms, owners = _terms(hashes, segment)
    places = vocabulary.find(terms)
    found = places >= 0
    size = max(vocabulary.width, 1)
    keys, repeated = np.unique(owners[found] * size + places[found], return_counts=True)
    weights = 1.0 + np.log(repeated)
    dense = _dense(documents, raw, lengths, begins, ends, hashes, segment, np.bincount(keys // size, minlength=count))
    labelled = [
        row * size + known + place
        for row, document in enumerate(documents)
        for label in document.labels
        if (place := vocabulary.labels.get(label_hash(label))) is not None
    ]
    if labelled:
        keys = np.concatenate([keys, np.array(labelled, np.int64)])
        weights = np.concatenate([weights, np.ones(len(labelled))])
        order = np.argsort(keys, kind="stable")
        keys, weights = keys[order], weights[order]
    rows = keys // size
    return Batch(np.searchsorted(rows, np.arange(count + 1)), keys - rows * size, weights, dense)


def _dense(
    documents: Sequence[Document],
    raw: NDArray[np.uint8],
    lengths: Ints,
    begins: Ints,
    ends: Ints,
    hashes: NDArray[np.uint64],
    segment: Ints,
    distinct: Ints,
) -> Floats:
    count = len(documents)
    places = np.repeat(np.arange(3 * count), lengths + 1)
    text = slice(None, None, 3)
    body = raw[: len(places)]
    histogram = np.bincount(places * 256 + body, minlength=3 * count * 256).reshape(3 * count, 256)[text]
    classes = histogram @ _CLASSES
    chars = lengths[text] + 1.0

    def per_text(at: Ints) -> Floats:
        return np.bincount(places[at], minlength=3 * count)[text].astype(float)

    of_text = segment % 3 == 0
    owner = segment[of_text] // 3
    spans = (ends - begins)[of_text]
    numeric = _DIGIT[raw[begins[of_text]]]
    words = np.bincount(owner, minlength=count).astype(float)
    all_words = np.bincount(segment, minlength=3 * count).astype(float)
    letters = np.bincount(owner, spans, count)
    numbers = np.bincount(owner[numeric], minlength=count).astype(float)
    long_words = np.bincount(owner[spans > 8], minlength=count).astype(float)
    long_numbers = np.bincount(owner[numeric & (spans > 3)], minlength=count).astype(float)
    sentences = per_text(np.flatnonzero(_ENDS[body] & _SPACE[raw[1 : len(body) + 1]])) + 1.0

    breaks = np.flatnonzero((body == 10) | (body == 0))
    line_ends = np.concatenate([breaks[1:], [len(body)]])
    is_option = (body[breaks] == 10) & _OPTION[raw[breaks + 1]] & _AFTER[raw[breaks + 2]]
    at, widths = places[breaks[is_option]], (line_ends - breaks)[is_option].astype(float)
    options = np.bincount(at, minlength=3 * count)[text].astype(float)
    width = np.bincount(at, widths, 3 * count)[text] / np.maximum(options, 1)
    square = np.bincount(at, widths**2, 3 * count)[text] / np.maximum(options, 1)
    closes = np.cumsum(lengths + 1)
    text_start = (closes - lengths - 1)[text]
    first_line = breaks[np.searchsorted(breaks, text_start)] - text_start

    known = np.minimum(np.searchsorted(_KEYWORD_SORTED, hashes), len(KEYWORDS) - 1)
    is_keyword = (_KEYWORD_SORTED[known] == hashes) & of_text
    keywords = np.bincount(
        (segment[is_keyword] // 3) * len(KEYWORDS) + _KEYWORD_ORDER[known[is_keyword]], minlength=count * len(KEYWORDS)
    ).reshape(count, -1)

    some = np.maximum(words, 1)
    names = list(_CHARS)
    logs = [names.index(name) for name in ("digits", "percent", "dollar", "question", "comma", "lines", "operators")]
    columns = np.column_stack(
        [
            np.log(chars),
            np.log1p(words),
            np.log1p(numbers),
            numbers / some,
            np.log(sentences),
            words / sentences,
            letters / some,
            distinct / np.maximum(2 * all_words.reshape(count, 3).sum(1), 1),
            long_words / some,
            np.log1p(long_numbers),
            options,
            np.log1p(width),
            np.sqrt(np.maximum(square - width**2, 0)) / np.maximum(width, 1),
            np.log1p(first_line),
            np.log1p(all_words[1::3]),
            np.log1p(all_words[2::3]),
        ]
    )
    shapes = np.array([document.shape for document in documents], float)
    return np.hstack([columns, classes / chars[:, None], np.log1p(classes[:, logs]), np.log1p(keywords), shapes])
