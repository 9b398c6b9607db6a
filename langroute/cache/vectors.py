"""Vector indexes for finding stored questions that are similar to a question.

`ExactIndex` compares with every vector: exact, quick to fill, and fast enough for some tens of thousands. `ApproximateIndex` looks
at few of very many; a question that it misses is a cache miss, never a wrong answer.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Protocol

import numpy as np

from langroute.core.errors import MissingExtraError


class VectorIndex(Protocol):
    """Index of unit vectors under keys. It is used by one thread at a time."""

    def add(self, key: str, vector: Any) -> None:
        """Add a vector under a new key. A vector of another length replaces all earlier ones."""

    def remove(self, key: str) -> None:
        """Remove a vector, if there is one."""

    def near(self, vector: Any, count: int) -> list[tuple[str, float]]:
        """Return the keys of the nearest vectors, nearest first, each with its cosine similarity."""

    def __len__(self) -> int:
        """Return the number of vectors."""


class ExactIndex:
    """Index that compares with every vector (numpy).

    Example:
        >>> index = ExactIndex()
        >>> index.add("east", [1.0, 0.0])
        >>> index.add("north", [0.0, 1.0])
        >>> index.near([0.8, 0.6], 1)[0][0]
        'east'
    """

    def __init__(self) -> None:
        self._keys: list[str] = []
        self._places: dict[str, int] = {}
        self._vectors: Any = None
        """Array of shape (capacity, dimensions), of which the first `len(self)` rows are used."""

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: str, vector: Any) -> None:
        """Add a vector."""
        used = len(self._keys)
        if self._vectors is not None and self._vectors.shape[1] != len(vector):
            self._keys, self._places, self._vectors, used = [], {}, None, 0
        if self._vectors is None or used >= len(self._vectors):
            room = np.zeros((max(8, 2 * used), len(vector)), dtype=np.float32)
            if used:
                room[:used] = self._vectors[:used]
            self._vectors = room
        self._vectors[used] = vector
        self._places[key] = used
        self._keys.append(key)

    def remove(self, key: str) -> None:
        """Remove a vector; the last one takes its row."""
        place = self._places.pop(key, None)
        if place is None:
            return
        last = self._keys.pop()
        if last != key:
            self._keys[place], self._places[last] = last, place
            self._vectors[place] = self._vectors[len(self._keys)]

    def near(self, vector: Any, count: int) -> list[tuple[str, float]]:
        """Return the nearest vectors."""
        used = len(self._keys)
        if not used or self._vectors.shape[1] != len(vector):
            return []
        likeness = self._vectors[:used] @ np.asarray(vector, dtype=np.float32)
        best = np.argpartition(-likeness, count)[:count] if used > count else np.arange(used)
        return [(self._keys[place], float(likeness[place])) for place in best[np.argsort(-likeness[best])]]


class ApproximateIndex:
    """Approximate index (usearch, HNSW) for more than some tens of thousands of questions in one scope.

    Args:
        expansion: Size of the search; a larger one finds more and takes longer.

    Raises:
        MissingExtraError: usearch is not installed.
    """

    def __init__(self, *, expansion: int = 64) -> None:
        try:
            from usearch.index import Index
        except ImportError as error:
            raise MissingExtraError("usearch", "vectors", "An approximate index of questions") from error
        self._make, self.expansion = Index, expansion
        self._index: Any = None
        self._keys: dict[int, str] = {}
        self._numbers: dict[str, int] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: str, vector: Any) -> None:
        """Add a vector."""
        if self._index is None or self._index.ndim != len(vector):
            self._index = self._make(ndim=len(vector), metric="cos", dtype="f32", expansion_search=self.expansion)
            self._keys, self._numbers = {}, {}
        number, self._next = self._next, self._next + 1
        self._index.add(number, np.asarray(vector, dtype=np.float32))
        self._keys[number], self._numbers[key] = key, number

    def remove(self, key: str) -> None:
        """Remove a vector."""
        number = self._numbers.pop(key, None)
        if number is not None:
            del self._keys[number]
            self._index.remove(number)

    def near(self, vector: Any, count: int) -> list[tuple[str, float]]:
        """Return the nearest vectors that are found."""
        if not self._keys or self._index.ndim != len(vector):
            return []
        found = self._index.search(np.asarray(vector, dtype=np.float32), count)
        near = zip(found.keys.tolist(), found.distances.tolist(), strict=True)
        return [(self._keys[number], 1.0 - distance) for number, distance in near if number in self._keys]


def alike(vectors: list[Any]) -> list[Any]:
    """Return the vectors with `None` in place of those of an unusual length, which would replace all others in an index.

    Example:
        >>> alike([[1, 0], [1], None, [0, 1]])
        [[1, 0], None, None, [0, 1]]
    """
    lengths = Counter([len(vector) for vector in vectors if vector is not None])
    usual = lengths.most_common(1)[0][0] if lengths else 0
    return [vector if vector is not None and len(vector) == usual else None for vector in vectors]


def unit(vector: Any) -> Any:
    """Return a unit vector in the same direction.

    Example:
        >>> unit([3.0, 4.0]).tolist()
        [0.6000000238418579, 0.800000011920929]
    """
    made = np.asarray(vector, dtype=np.float32)
    length = float(np.linalg.norm(made))
    return made / length if length else made


__all__ = ["ApproximateIndex", "ExactIndex", "VectorIndex", "alike", "unit"]
