"""Correction of the estimated success for each frequent label, by a linear model on hashed byte bigrams.

The shared linear model weighs words alike in all tasks, and there are too many words for weights of their own in each task. Byte bigrams
are few: a label with some hundred requests can have its own weights for them, which correct the blended estimate.

Source: Cavnar and Trenkle, N-Gram-Based Text Categorization (1994), for character n-grams; Daumé, Frustratingly Easy Domain Adaptation
(2007), for separate weights beside shared ones; Weinberger et al., Feature Hashing (2009).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from langroute.estimators.arrays import Floats
from langroute.estimators.documents import Document
from langroute.estimators.features import label_hash

SLOTS = 1024
LEAST = 0.005
"""Corrected probabilities are clipped to this distance from 0 and 1."""

TOGETHER = 128
"""Number of documents whose bigrams are counted in one pass."""

_OFTEN = np.concatenate([np.zeros(1), np.log(np.arange(1, 1 << 15)) + 1]).astype(np.float32)
"""Weight of a bigram by its count, `1 + log n` and 0 for none; higher counts get the last weight."""

_BYTE = np.uint16(8)
_MIX = np.uint16(40503)
_DOWN = np.uint16(6)


def pair_counts(texts: Sequence[str]) -> Iterator[NDArray[np.float32]]:
    """Yield the counts of each hashed byte bigram, `(texts, SLOTS)` in parts of `TOGETHER` texts; letters are lowercased.

    Example:
        >>> [part.sum(1).tolist() for part in pair_counts(["abc", "", "a"])]
        [[3.0, 0.0, 1.0]]
    """
    for begin in range(0, len(texts), TOGETHER):
        # A zero byte ends each text, and forms a bigram with its last byte.
        pieces = [text.encode("utf-8", "replace").lower() for text in texts[begin : begin + TOGETHER]]
        slots = _slots(b"\0".join(pieces) + b"\0")
        lengths = np.array([len(piece) for piece in pieces])
        owner = np.repeat(np.arange(len(pieces)) * SLOTS, lengths + 1)
        inside = np.ones(len(slots), np.bool_)
        # The zero that ends a text forms no bigram with the next text.
        inside[(np.cumsum(lengths + 1) - 1)[:-1]] = False
        found = np.bincount((owner[:-1] + slots)[inside], minlength=len(pieces) * SLOTS)
        yield found.reshape(len(pieces), SLOTS).astype(np.float32)


def weighed(counts: NDArray[np.float32], rarity: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return TF-IDF weights of the bigrams, normalised to length 1 for each text, `(requests, SLOTS)`."""
    values = _OFTEN.take(counts.astype(np.int64), mode="clip") * rarity
    return np.asarray(values / np.maximum(np.sqrt((values * values).sum(1, keepdims=True)), 1e-12))


def _slots(text: bytes) -> NDArray[np.uint16]:
    """Return the slot (hash) of each byte bigram, `(len(text) - 1,)`."""
    data = np.frombuffer(text, np.uint8).astype(np.uint16)
    pairs = data[:-1] << _BYTE
    pairs |= data[1:]
    pairs *= _MIX
    pairs >>= _DOWN
    return pairs


@dataclass(frozen=True, slots=True)
class Letters:
    """Linear models on byte bigrams, one for each label that has weights of its own (an owner); they correct the estimated success.

    Example:
        >>> letters = Letters(np.ones((1, SLOTS), np.float32), np.zeros((1, SLOTS, 1), np.float32), np.array([[0.1]]),
        ...     {label_hash("task=support"): 0})
        >>> letters.correct([Document("Hi.", labels=("task=support",)), Document("Hi.")], np.array([[0.5], [0.5]])).tolist()
        [[0.6], [0.5]]
    """

    rarity: NDArray[np.float32]
    """Inverse document frequency of each bigram among an owner's requests, `(owners, SLOTS)`."""

    weights: NDArray[np.float32]
    """`(owners, SLOTS, routes)`."""

    bias: Floats
    """`(owners, routes)`."""

    owners: Mapping[int, int]
    """`label_hash` of each label with weights → its index in the arrays."""

    def correct(self, documents: Sequence[Document], success: Floats) -> Floats:
        """Return the corrected probabilities of success, `(requests, routes)`.

        Args:
            documents: The requests.
            success: Estimated probabilities, `(requests, routes)`.
        """
        if len(documents) == 1:
            return self._correct_one(documents[0], success)
        members = owned(documents, self.owners)
        if not members:
            return success
        added = np.zeros(success.shape)
        for place, rows in members.items():
            at = 0
            for counts in pair_counts([documents[row].text for row in rows]):
                part = rows[at : at + len(counts)]
                added[part] += weighed(counts, self.rarity[place]) @ self.weights[place] + self.bias[place]
                at += len(counts)
        return np.minimum(np.maximum(success + added, LEAST), 1 - LEAST)

    def _correct_one(self, document: Document, success: Floats) -> Floats:
        """Return the result of `correct` for one document, in fewer steps: a decision waits for it."""
        places = [place for label in document.labels if (place := self.owners.get(label_hash(label))) is not None]
        if not places:
            return success
        counts = np.bincount(_slots(document.text.encode("utf-8", "replace").lower() + b"\0"), minlength=SLOTS)
        often = _OFTEN.take(counts, mode="clip")
        for place in places:
            values = often * self.rarity[place]
            values /= max(float(values @ values) ** 0.5, 1e-12)
            success = success + (values @ self.weights[place] + self.bias[place])
        return np.minimum(np.maximum(success, LEAST), 1 - LEAST)

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Return the arrays to store, in the smallest types that keep their values."""
        return {
            "rarity": self.rarity,
            "weights": self.weights.astype(np.float16),
            "bias": self.bias,
            "owners": np.array(list(self.owners), np.int64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Letters:
        """Return the model from the arrays that `arrays` returned."""
        owners = {int(label): place for place, label in enumerate(arrays["owners"])}
        return cls(arrays["rarity"], arrays["weights"].astype(np.float32), arrays["bias"], owners)


def owned(documents: Sequence[Document], owners: Mapping[int, int]) -> dict[int, list[int]]:
    """Return the indices of the documents that carry each owner's label, by the owner's index."""
    known = {label: owners.get(label_hash(label)) for labels in {one.labels for one in documents} for label in labels}
    found: dict[int, list[int]] = {}
    for row, document in enumerate(documents):
        for label in document.labels:
            place = known[label]
            if place is not None:
                found.setdefault(place, []).append(row)
    return found
