"""Features of requests: hashed words and word pairs, and a few dozen dense features of structure.

One vectorised pass over the bytes of many documents also serves a single request, so that fitting, replay and use share the code. It needs
numpy alone and gives the same numbers in every process and Python version.

Source: Weinberger et al., Feature Hashing for Large Scale Multitask Learning (2009).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from langroute.estimators.arrays import Floats, Ints
from langroute.estimators.dense_features import DENSE, dense_features, dense_features_of_one
from langroute.estimators.documents import Document
from langroute.estimators.vocabulary import HashedVocabulary
from langroute.estimators.word_hashes import codes_of, encoded, term_hashes, words_in_each, words_of

CHUNK_BYTES = 1 << 18
"""Number of bytes that are read in one pass; it keeps the tables of powers small."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Features of requests: known words as the rows of a CSR matrix, and dense features."""

    starts: Ints
    """Index in `buckets` at which each request's entries begin, `(requests + 1,)`."""

    buckets: Ints
    """Index of each entry in the vocabulary, labels after the words, `(entries,)`; sorted within a request."""

    counts: Floats
    """Weight of each entry by its count, `1 + log n`, and 1 for labels, `(entries,)`."""

    dense: Floats
    """Dense features, `(requests, len(DENSE))`; see `DENSE`."""

    def __len__(self) -> int:
        return len(self.starts) - 1


def label_hash(label: str) -> int:
    """Return the checksum (CRC-32) that identifies a label.

    Example:
        >>> label_hash("task=support")
        220948105
    """
    return crc32(label.encode("utf-8", "replace"))


def word_hashes(documents: Sequence[Document]) -> tuple[NDArray[np.uint64], Ints]:
    """Return the hashes of all words and word pairs, and the index of the document that each belongs to.

    Example:
        >>> [len(part) for part in word_hashes([Document("one two two"), Document("")])]
        [5, 5]
    """
    hashes, owners = [], []
    for begin, part in _chunks(documents):
        raw, _, closes = encoded(part)
        begins, _, found = words_of(codes_of(raw))
        found, owner = term_hashes(found, words_in_each(begins, closes))
        hashes.append(found)
        owners.append(owner + begin)
    return np.concatenate(hashes), np.concatenate(owners)


def featurize(documents: Sequence[Document], vocabulary: HashedVocabulary) -> Batch:
    """Return the features of documents.

    Example:
        >>> one, two = Document("one"), Document("one two two")
        >>> featurize([two, one], HashedVocabulary(word_hashes([one])[0])).starts.tolist()
        [0, 1, 2]
    """
    return join([_featurize(part, vocabulary) for _, part in _chunks(documents)])


def featurize_and_hash(documents: Sequence[Document], vocabulary: HashedVocabulary) -> tuple[Batch, NDArray[np.uint64], Ints]:
    """Return the results of `featurize` and `word_hashes`, in one pass over the text.

    Example:
        >>> batch, hashes, _ = featurize_and_hash([Document("one two")], HashedVocabulary(word_hashes([Document("one")])[0]))
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
    """Return the concatenation of several batches."""
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


def _counted(places: NDArray[Any]) -> tuple[NDArray[Any], Ints]:
    """Return the sorted unique values and their counts, as `np.unique` does but faster; sorts its argument in place."""
    if not len(places):
        return places, places
    # Values of many documents are nearly sorted already, which a stable (merge) sort uses.
    places.sort(kind="stable")
    changes = np.flatnonzero(places[1:] != places[:-1])
    bounds = np.zeros(len(changes) + 2, np.int64)
    np.add(changes, 1, out=bounds[1:-1])
    bounds[-1] = len(places)
    return places.take(bounds[:-1]), bounds[1:] - bounds[:-1]


def _featurize(documents: Sequence[Document], vocabulary: HashedVocabulary) -> Batch:
    if not documents:
        return Batch(np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros((0, len(DENSE))))
    if len(documents) == 1:
        return _featurize_one(documents[0], vocabulary)
    return _featurize_many(documents, vocabulary)[0]


def _featurize_many(documents: Sequence[Document], vocabulary: HashedVocabulary) -> tuple[Batch, NDArray[np.uint64], Ints]:
    """Return a batch, and the hashes that it was made of with their documents."""
    count = len(documents)
    raw, lengths, closes = encoded(documents)
    codes = codes_of(raw)
    begins, ends, hashes = words_of(codes)
    words = words_in_each(begins, closes)
    terms, owners = term_hashes(hashes, words)
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
    dense = dense_features(documents, raw, codes, lengths, begins, ends, hashes, closes, words, distinct)
    return Batch(starts, keys - rows * size, 1.0 + np.log(repeated), dense), terms, owners


def _labelled(labels: Sequence[str], vocabulary: HashedVocabulary) -> list[int]:
    """Return the sorted buckets of the known labels; they come after the words."""
    places = [vocabulary.labels.get(label_hash(label)) for label in labels]
    return sorted({len(vocabulary) + place for place in places if place is not None})


def _featurize_one(document: Document, vocabulary: HashedVocabulary) -> Batch:
    """Return the result of `_featurize` for one document, without the bookkeeping of many: a decision waits for it."""
    raw, lengths, closes = encoded([document])
    codes = codes_of(raw)
    begins, ends, hashes = words_of(codes)
    until = begins.searchsorted(closes)
    words, seen, every = until.tolist()
    places, repeated = _counted(vocabulary.known(term_hashes(hashes, np.array([words, seen - words, every - seen]))[0]))
    more = _labelled(document.labels, vocabulary)
    buckets = np.concatenate([places, np.array(more, np.int64)])
    weights = np.ones(len(buckets))
    weights[: len(places)] += np.log(repeated)

    dense = dense_features_of_one(document, raw, codes, int(lengths[0]), begins, ends, hashes, until.tolist(), len(places))
    return Batch(np.array([0, len(buckets)]), buckets, weights, dense)
