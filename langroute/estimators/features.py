"""What numbers describe a request?

Hashed words and word pairs, and a few dozen counts of structure. One vectorised pass over the bytes of many documents does for a
single request too, so that what is fitted, replayed and used is the same code; it needs numpy alone and gives the same numbers in
every process and Python.

Source: Weinberger et al., Feature Hashing for Large Scale Multitask Learning (2009).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from langroute.estimators.documents import SHAPES, Document

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CHUNK_BYTES = 1 << 18
"""Bytes that are read in one pass; keeps the tables of powers small."""

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
"""Kinds of word: 4 begins with a digit, 2 has more than eight bytes, 1 more than three."""

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


class Vocabulary:
    """Which words and word pairs are known: by hash alone, so that nothing that anybody wrote is kept.

    Args:
        hashes: Of the known ones; those that share a slot with an earlier one are left out.
        labels: Checksums of the known labels; see `label_hash`.
        bits: Two to this power is the number of slots; must be given again when one is made from another's hashes.

    Example:
        >>> known = Vocabulary(word_hashes([Document("one two")])[0])
        >>> len(known), known.find(word_hashes([Document("two three")])[0]).tolist()
        (3, [1, -1, -1])
    """

    def __init__(self, hashes: NDArray[np.uint64], labels: Sequence[int] | NDArray[np.int64] = (), bits: int = 0) -> None:
        self.labels = {int(label): place for place, label in enumerate(labels)}
        self.bits = bits or max(10, (4 * len(hashes)).bit_length())
        self._shift = np.uint64(64 - self.bits)
        slots = (hashes >> self._shift).astype(np.int64)
        table = np.zeros(1 << self.bits, np.int32)
        # Backwards, so that the first of a slot is what stays.
        table[slots[::-1]] = np.arange(len(slots), dtype=np.int32)[::-1]
        first = np.flatnonzero(table.take(slots) == np.arange(len(slots)))
        self.hashes = hashes[first]
        self._prints = np.concatenate([self.hashes, np.zeros(1, np.uint64)])
        self._table = np.full(1 << self.bits, len(first), np.int32)
        self._table[slots[first]] = np.arange(len(first))

    def __len__(self) -> int:
        return len(self.hashes)

    @property
    def width(self) -> int:
        """Words and labels together."""
        return len(self.hashes) + len(self.labels)

    def find(self, hashes: NDArray[np.uint64]) -> Ints:
        """The place of each hash, -1 where it is unknown."""
        place = self._table.take((hashes >> self._shift).view(np.int64))
        return np.where(self._prints.take(place) == hashes, place, -1)

    def known(self, hashes: NDArray[np.uint64]) -> NDArray[np.int32]:
        """The places of those that are known, as often as they occur."""
        place = self._table.take((hashes >> self._shift).view(np.int64))
        return place.compress(self._prints.take(place) == hashes)


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


_WORD = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_") | frozenset(range(128, 255))
_CODES = bytes([bytes([byte]).lower()[0] + 1 if byte in _WORD else 0 for byte in range(256)])
"""What each byte of a word counts as in its hash, letters lowered; 0 between words. UTF-8 has no byte 255."""

_UNSPACED = (0xE3 + 1, 0xE9 + 1)
"""Codes of the first bytes of kana and Han characters, three bytes each."""

_DIGIT = np.zeros(256, np.bool_)
_DIGIT[[_CODES[byte] for byte in b"0123456789"]] = True
_NUMBER = _DIGIT * np.int64(4)
_LONG = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 3])
"""What the first byte of a word, and its length, add to its kind; see `_FLAGS`."""

_OPTION = re.compile(r"\n[A-J][.):]([^\n]*)")
_CLASSES = np.zeros((256, len(_CHARS)))
for _place, _members in enumerate(_CHARS.values()):
    _CLASSES[list(_members), _place] = 1.0
_KINDS, _kind = np.unique(_CLASSES, axis=0, return_inverse=True)
"""Bytes that are of the same classes are of one kind, `(kinds, classes)`."""

_KIND = bytes(_kind.ravel().tolist())

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


def _hashes(codes: NDArray[np.uint8], starts: Ints, ends: Ints) -> NDArray[np.uint64]:
    """A hash of each word `codes[start:end]`; a polynomial whose prefixes are summed once for all words."""
    global _UP, _DOWN
    if len(codes) > len(_UP):
        _UP, _DOWN = _powers(max(len(codes), 2 * len(_UP)))
    sums = np.zeros(len(codes) + 1, np.uint64)
    np.cumsum(codes * _UP[: len(codes)], out=sums[1:])
    found = (sums.take(ends) - sums.take(starts)) * _DOWN.take(starts)
    found ^= found >> np.uint64(29)
    found *= _MIX
    found ^= found >> np.uint64(32)
    return found


def _hash_words(words: Sequence[str]) -> NDArray[np.uint64]:
    codes = np.frombuffer(" ".join(words).encode().translate(_CODES), np.uint8)
    ends = np.cumsum([len(word.encode()) + 1 for word in words]) - 1
    starts = np.concatenate([[0], ends[:-1] + 1])
    return _hashes(codes, starts, ends)


_KNOWN_KEYWORDS = Vocabulary(_hash_words(KEYWORDS))
_ENDS = list(_CHARS).index("ends")
_COLUMNS = [list(_CHARS).index(name) for name in _LOGGED]


def label_hash(label: str) -> int:
    """What a label is known by.

    Example:
        >>> label_hash("task=support")
        220948105
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
        begins, _, found = _words(_codes(raw))
        found, owner = _terms(found, _in_each(begins, closes))
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


def featurize_and_hash(documents: Sequence[Document], vocabulary: Vocabulary) -> tuple[Batch, NDArray[np.uint64], Ints]:
    """What `featurize` and `word_hashes` say, in one pass over the text.

    Example:
        >>> batch, hashes, _ = featurize_and_hash([Document("one two")], Vocabulary(word_hashes([Document("one")])[0]))
        >>> batch.buckets.tolist(), len(hashes)
        ([0], 3)
    """
    batches, hashes, owners = [], [], []
    for begin, part in _chunks(documents):
        batch, found, owner = _featurize_many(part, vocabulary)
        batches.append(batch)
        hashes.append(found)
        owners.append(owner + begin)
    return join(batches), np.concatenate(hashes), np.concatenate(owners)


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


def _bytes(documents: Sequence[Document]) -> tuple[bytes, Ints, Ints]:
    """Three texts a document, each closed by a zero byte that no word contains; their lengths, and where each is closed."""
    pieces = [
        piece.encode("utf-8", "replace") if piece else b""
        for document in documents
        for piece in (document.text, document.seen, document.tools)
    ]
    lengths = np.array([len(piece) for piece in pieces], np.int64)
    return b"\0".join(pieces) + b"\0\0\0", lengths, np.cumsum(lengths + 1)


def _codes(raw: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(raw.translate(_CODES), np.uint8)


def _words(codes: NDArray[np.uint8]) -> tuple[Ints, Ints, NDArray[np.uint64]]:
    """Where words begin and end, and their hashes."""
    inside = codes != 0
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    if inside[0]:
        edges = np.concatenate([[0], edges])
    begins, ends = edges[::2].copy(), edges[1::2].copy()
    if codes.max() >= _UNSPACED[0]:
        between = _between(codes, inside)
        begins, ends = np.sort(np.concatenate([begins, between])), np.sort(np.concatenate([ends, between]))
    return begins, ends, _hashes(codes, begins, ends)


def _between(codes: NDArray[np.uint8], inside: NDArray[np.bool_]) -> Ints:
    """Where one word ends and the next begins with nothing between: Chinese and Japanese have no spaces.

    Each of their characters is a word; pairs of them are what a word is elsewhere.
    """
    lone = (codes >= _UNSPACED[0]) & (codes <= _UNSPACED[1])
    begins = lone.copy()
    begins[3:] |= lone[:-3]
    return np.flatnonzero(begins[1:] & inside[1:] & inside[:-1]) + 1


def _in_each(begins: Ints, closes: Ints) -> Ints:
    """How many words each text has."""
    until = begins.searchsorted(closes)
    until[1:] -= until[:-1].copy()
    return until


def _terms(hashes: NDArray[np.uint64], words: Ints) -> tuple[NDArray[np.uint64], Ints]:
    """Hashes of words and of pairs of neighbours, and the document each belongs to; `words` says how many each text has."""
    if len(words) == 3 and words[0] == len(hashes):
        # One text, whose salt is 0.
        salted = hashes * _MIX
        return np.concatenate([salted, _mixed(salted[:-1] * _PAIR + salted[1:])]), np.zeros(max(2 * len(salted) - 1, 0), np.int64)
    salted = (hashes ^ np.repeat(np.resize(_SALTS, len(words)), words)) * _MIX
    pairs = _mixed(salted[:-1] * _PAIR + salted[1:])
    neighbours = np.ones(len(pairs), np.bool_)
    # The last word of a text is no neighbour of the next text's first.
    neighbours[(np.cumsum(words) - 1)[(words > 0) & (np.cumsum(words) < len(hashes))]] = False
    owners = np.arange(len(words) // 3)
    by_document = words.reshape(-1, 3)
    return (
        np.concatenate([salted, pairs.compress(neighbours)]),
        np.concatenate([np.repeat(owners, by_document.sum(1)), np.repeat(owners, np.maximum(by_document - 1, 0).sum(1))]),
    )


def _mixed(pairs: NDArray[np.uint64]) -> NDArray[np.uint64]:
    pairs ^= pairs >> np.uint64(31)
    pairs *= _MIX
    return pairs


def _counted(places: NDArray[Any]) -> tuple[NDArray[Any], Ints]:
    """What `np.unique` says with counts, without its detours."""
    if not len(places):
        return places, places
    # Those of many documents are in order already but for each document's own: merging takes least time.
    places.sort(kind="stable")
    changes = np.flatnonzero(places[1:] != places[:-1])
    bounds = np.zeros(len(changes) + 2, np.int64)
    np.add(changes, 1, out=bounds[1:-1])
    bounds[-1] = len(places)
    return places.take(bounds[:-1]), bounds[1:] - bounds[:-1]


def _featurize(documents: Sequence[Document], vocabulary: Vocabulary) -> Batch:
    if not documents:
        return Batch(np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros((0, len(DENSE))))
    if len(documents) == 1:
        return _featurize_one(documents[0], vocabulary)
    return _featurize_many(documents, vocabulary)[0]


def _featurize_many(documents: Sequence[Document], vocabulary: Vocabulary) -> tuple[Batch, NDArray[np.uint64], Ints]:
    """A batch, and the hashes that it was made of with their documents."""
    count = len(documents)
    raw, lengths, closes = _bytes(documents)
    codes = _codes(raw)
    begins, ends, hashes = _words(codes)
    words = _in_each(begins, closes)
    terms, owners = _terms(hashes, words)
    places = vocabulary.find(terms)
    found = places >= 0
    size = max(vocabulary.width, 1)
    places_of = {labels: _labelled(labels, vocabulary) for labels in {document.labels for document in documents}}
    more = [row * size + place for row, document in enumerate(documents) for place in places_of[document.labels]]
    keys, repeated = _counted(np.concatenate([owners.compress(found) * size + places.compress(found), np.array(more, np.int64)]))
    rows = keys // size
    starts = rows.searchsorted(np.arange(count + 1))
    labelled = np.array([len(places_of[document.labels]) for document in documents], np.int64)
    distinct = starts[1:] - starts[:-1] - labelled
    dense = _dense(documents, raw, codes, lengths, begins, ends, hashes, closes, words, distinct)
    return Batch(starts, keys - rows * size, 1.0 + np.log(repeated), dense), terms, owners


def _labelled(labels: Sequence[str], vocabulary: Vocabulary) -> list[int]:
    """Places of the known labels, in order; they stand behind the words."""
    places = [vocabulary.labels.get(label_hash(label)) for label in labels]
    return sorted({len(vocabulary) + place for place in places if place is not None})


def _featurize_one(document: Document, vocabulary: Vocabulary) -> Batch:
    """What `_featurize` says of one document, without the bookkeeping of many: a decision waits for it."""
    raw, lengths, closes = _bytes([document])
    codes = _codes(raw)
    begins, ends, hashes = _words(codes)
    until = begins.searchsorted(closes)
    words, seen, every = until.tolist()
    places, repeated = _counted(vocabulary.known(_terms(hashes, np.array([words, seen - words, every - seen]))[0]))
    more = _labelled(document.labels, vocabulary)
    buckets = np.concatenate([places, np.array(more, np.int64)])
    weights = np.ones(len(buckets))
    weights[: len(places)] += np.log(repeated)

    # The words of the text stand before those of what was seen and of the tools.
    size, chars = ends[:words] - begins[:words], int(lengths[0])
    number = _DIGIT.take(codes.take(begins[:words]))
    classes = (np.bincount(np.frombuffer(raw, np.uint8, chars), minlength=256) @ _CLASSES).tolist()
    many, spread, mean, first = _options(document.text)
    some, numbers = words + 1.0, np.count_nonzero(number)
    counts = [chars, words, numbers, np.count_nonzero(number & (size > 3)), mean, first, seen - words, every - seen]
    counts += [classes[column] for column in _COLUMNS]
    counts += np.bincount(_KNOWN_KEYWORDS.known(hashes[:words]), minlength=len(KEYWORDS)).tolist()
    shares = [numbers / some, chars / some, np.count_nonzero(size > 8) / some, len(places) / (every + 1.0)]
    shares += [some / (classes[_ENDS] + 1.0), many, spread]
    shares += [count / (chars + 1.0) for count in classes]
    dense = np.array([[*counts, *shares, *document.shape]], np.float64)
    np.log1p(dense[:, : len(counts)], out=dense[:, : len(counts)])
    return Batch(np.array([0, len(buckets)]), buckets, weights, dense)


def _dense(
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
    count = len(documents)
    text = np.repeat(np.arange(3 * count), in_each)
    flag = text * _FLAGS
    flag += _LONG.take(ends - begins, mode="clip")
    flag += _NUMBER.take(codes.take(begins))
    flags = np.bincount(flag, minlength=3 * count * _FLAGS).reshape(count, 3, _FLAGS)[:, 0]
    per_text = in_each.reshape(count, 3)
    kinds = len(_KINDS)
    kind = np.repeat(np.arange(3 * count) * kinds, lengths + 1)
    # The zero that closes a text is of no class.
    kind += np.frombuffer(raw.translate(_KIND), np.uint8, len(kind))
    classes = np.bincount(kind, minlength=3 * count * kinds).reshape(count, 3, kinds)[:, 0] @ _KINDS
    keyword = _KNOWN_KEYWORDS.find(hashes)
    hit = np.flatnonzero(keyword >= 0)
    width = len(KEYWORDS)
    keywords = np.bincount(text.take(hit) * width + keyword.take(hit), minlength=3 * count * width).reshape(count, 3, width)[:, 0]

    out = np.empty((count, len(DENSE)))
    options = _options_of_many(raw, lengths, closes)
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


def _options(text: str) -> tuple[float, float, float, float]:
    """Lines that are lettered choices: how many, how unlike in length, how long; and how long the first line is."""
    first = text.find("\n")
    if first < 0:
        return 0.0, 0.0, 0.0, float(len(text))
    lengths = list(map(len, _OPTION.findall(text, first)))
    if not lengths:
        return 0.0, 0.0, 0.0, float(first)
    mean = sum(lengths) / len(lengths)
    spread = (sum([(length - mean) ** 2 for length in lengths]) / len(lengths)) ** 0.5
    return float(len(lengths)), spread / (mean + 1.0), mean, float(first)


_LETTER, _MARK = np.zeros((2, 256), np.bool_)
_LETTER[list(b"ABCDEFGHIJ")] = _MARK[list(b".):")] = True


def _options_of_many(raw: bytes, lengths: Ints, closes: Ints) -> Floats:
    """What `_options` says of each document's text, `(documents, 4)`."""
    data = np.frombuffer(raw, np.uint8)
    count = len(closes) // 3
    chars = np.arange(len(data) + 1)
    if (data > 127).any():
        # Lengths are in characters: what continues one is not counted.
        np.cumsum((data & 0xC0) != 0x80, out=chars[1:])
    lines = np.flatnonzero(data == 10)
    text = closes.searchsorted(lines, "right")
    mine = text % 3 == 0
    lines, owner = lines[mine], text[mine] // 3
    ends = closes[::3] - 1
    until = np.minimum(np.append(lines[1:], len(data))[: len(lines)], ends.take(owner))
    length = chars.take(until) - chars.take(lines) - 3
    chosen = _LETTER.take(data.take(lines + 1)) & _MARK.take(data.take(lines + 2))
    asked, length = owner[chosen], length[chosen].astype(float)
    out = np.zeros((count, 4))
    out[:, 0] = np.bincount(asked, minlength=count)
    some = np.maximum(out[:, 0], 1.0)
    out[:, 2] = np.bincount(asked, length, count) / some
    variance = np.bincount(asked, (length - out[asked, 2]) ** 2, count) / some
    # Numpy's power would round otherwise than Python's.
    out[:, 1] = np.array([one**0.5 for one in variance.tolist()]) / (out[:, 2] + 1.0)
    first = ends.copy()
    # Backwards, so that the first line's end is what stays.
    first[owner[::-1]] = lines[::-1]
    out[:, 3] = chars.take(first) - chars.take(ends - lengths[::3])
    return out
