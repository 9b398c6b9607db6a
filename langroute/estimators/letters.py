"""What holds in one kind of task but not in another? Pairs of letters and marks, with weights of their own for each large label.

A linear model of all requests weighs words alike whatever the task is, and words are too many to be weighed again for each. Pairs of
neighbouring bytes are few: a label that some hundred requests carry can have weights for them, which correct what the blend says.

Source: Cavnar and Trenkle, N-Gram-Based Text Categorization (1994), for letters; Daumé, Frustratingly Easy Domain Adaptation (2007), for
weights of one's own beside shared ones; Weinberger et al., Feature Hashing (2009).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from langroute.estimators.documents import Document
from langroute.estimators.features import Floats, label_hash

SLOTS = 1024
LEAST = 0.005
"""No probability is nearer to 0 or 1 than this after a correction."""

TOGETHER = 128
"""Documents whose pairs are counted in one pass."""

_OFTEN = np.concatenate([np.zeros(1), np.log(np.arange(1, 1 << 15)) + 1]).astype(np.float32)
"""What a count weighs; longer texts than this has room for are cut."""

_BYTE = np.uint16(8)
_MIX = np.uint16(40503)
_DOWN = np.uint16(6)


def pair_counts(texts: Sequence[str]) -> Iterator[NDArray[np.float32]]:
    """How often each hashed pair of bytes occurs, `(texts, SLOTS)` in parts; letters are lowered.

    Example:
        >>> [part.sum(1).tolist() for part in pair_counts(["abc", "", "a"])]
        [[3.0, 0.0, 1.0]]
    """
    for begin in range(0, len(texts), TOGETHER):
        # A zero byte closes each text, and is the last one's neighbour.
        pieces = [text.encode("utf-8", "replace").lower() for text in texts[begin : begin + TOGETHER]]
        slots = _slots(b"\0".join(pieces) + b"\0")
        lengths = np.array([len(piece) for piece in pieces])
        owner = np.repeat(np.arange(len(pieces)) * SLOTS, lengths + 1)
        inside = np.ones(len(slots), np.bool_)
        # The zero that closes a text is no neighbour of the next text.
        inside[(np.cumsum(lengths + 1) - 1)[:-1]] = False
        found = np.bincount((owner[:-1] + slots)[inside], minlength=len(pieces) * SLOTS)
        yield found.reshape(len(pieces), SLOTS).astype(np.float32)


def weighed(counts: NDArray[np.float32], rarity: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rare pairs count more, and a text's pairs together as much as another's, `(requests, SLOTS)`."""
    values = _OFTEN.take(counts.astype(np.int64), mode="clip") * rarity
    return np.asarray(values / np.maximum(np.sqrt((values * values).sum(1, keepdims=True)), 1e-12))


def _slots(text: bytes) -> NDArray[np.uint16]:
    """The slot of each pair of neighbours."""
    data = np.frombuffer(text, np.uint8).astype(np.uint16)
    pairs = data[:-1] << _BYTE
    pairs |= data[1:]
    pairs *= _MIX
    pairs >>= _DOWN
    return pairs


@dataclass(frozen=True, slots=True)
class Letters:
    """What is added to the probability of success of requests that carry an owner's label.

    Example:
        >>> letters = Letters(np.ones((1, SLOTS), np.float32), np.zeros((1, SLOTS, 1), np.float32), np.array([[0.1]]),
        ...     {label_hash("task=support"): 0})
        >>> letters.correct([Document("Hi.", labels=("task=support",)), Document("Hi.")], np.array([[0.5], [0.5]])).tolist()
        [[0.6], [0.5]]
    """

    rarity: NDArray[np.float32]
    """Inverse document frequency of each pair among an owner's requests, `(owners, SLOTS)`."""

    weights: NDArray[np.float32]
    """`(owners, SLOTS, routes)`."""

    bias: Floats
    """`(owners, routes)`."""

    owners: Mapping[int, int]
    """Which labels have weights, by `label_hash`, and where those stand."""

    def correct(self, documents: Sequence[Document], success: Floats) -> Floats:
        """Probabilities with what the letters add, `(requests, routes)`."""
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
        """What `correct` says of one document, in fewer steps: a decision waits for it."""
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
        """What is stored, as small as it goes without a change."""
        return {
            "rarity": self.rarity,
            "weights": self.weights.astype(np.float16),
            "bias": self.bias,
            "owners": np.array(list(self.owners), np.int64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Letters:
        """The letters that `arrays` was taken from."""
        owners = {int(label): place for place, label in enumerate(arrays["owners"])}
        return cls(arrays["rarity"], arrays["weights"].astype(np.float32), arrays["bias"], owners)


def owned(documents: Sequence[Document], owners: Mapping[int, int]) -> dict[int, list[int]]:
    """Which documents carry each owner's label."""
    known = {label: owners.get(label_hash(label)) for labels in {one.labels for one in documents} for label in labels}
    found: dict[int, list[int]] = {}
    for row, document in enumerate(documents):
        for label in document.labels:
            place = known[label]
            if place is not None:
                found.setdefault(place, []).append(row)
    return found
