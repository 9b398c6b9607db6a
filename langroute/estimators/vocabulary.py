"""Hash table of the words and word pairs that an estimator knows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from langroute.estimators.arrays import Ints


class HashedVocabulary:
    """Hash table of the known words and word pairs; only hashes are kept, so that no user's text is stored.

    Args:
        hashes: Hashes of the known words and pairs; those that share a slot with an earlier one are left out.
        labels: Checksums of the known labels; see `label_hash`.
        bits: Base-2 logarithm of the number of slots; has to be given when a vocabulary is rebuilt from its hashes.

    Example:
        >>> from langroute.estimators.documents import Document
        >>> from langroute.estimators.features import word_hashes
        >>> known = HashedVocabulary(word_hashes([Document("one two")])[0])
        >>> len(known), known.find(word_hashes([Document("two three")])[0]).tolist()
        (3, [1, -1, -1])
    """

    def __init__(self, hashes: NDArray[np.uint64], labels: Sequence[int] | NDArray[np.int64] = (), bits: int = 0) -> None:
        self.labels = {int(label): place for place, label in enumerate(labels)}
        self.bits = bits or max(10, (4 * len(hashes)).bit_length())
        self._shift = np.uint64(64 - self.bits)
        slots = (hashes >> self._shift).astype(np.int64)
        table = np.zeros(1 << self.bits, np.int32)
        # Written backwards, so that the first hash of a slot remains.
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
        """Number of buckets: words and labels together."""
        return len(self.hashes) + len(self.labels)

    def find(self, hashes: NDArray[np.uint64]) -> Ints:
        """Return the index of each hash, -1 where it is unknown, `(hashes,)`."""
        place = self._table.take((hashes >> self._shift).view(np.int64))
        return np.where(self._prints.take(place) == hashes, place, -1)

    def known(self, hashes: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Return the indices of the known hashes, repeated as often as they occur."""
        place = self._table.take((hashes >> self._shift).view(np.int64))
        return place.compress(self._prints.take(place) == hashes)
