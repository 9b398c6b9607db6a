"""Which stored questions come near a question?

`ExactIndex` looks at every one of them: right, quick to fill, and fast enough for some tens of thousands. `ApproximateIndex` looks at few
of very many; a question that it overlooks is a miss, never a wrong answer.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from langroute.errors import MissingExtraError


class VectorIndex(Protocol):
    """Vectors of length 1 under keys. Used by one thread at a time."""

    def add(self, key: str, vector: Any) -> None:
        """Keep a vector under a key that has none yet. One of another length than those before takes their place."""

    def remove(self, key: str) -> None:
        """Forget a vector, if there is one."""

    def near(self, vector: Any, count: int) -> list[tuple[str, float]]:
        """The keys whose vectors come nearest, the nearest first, each with its cosine."""

    def __len__(self) -> int:
        """How many vectors there are."""


class ExactIndex:
    """Compares with every vector (numpy).

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
        """Array (room, dimensions), of which the first `len(self)` rows are used."""

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: str, vector: Any) -> None:
        """Keep a vector."""
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
        """Forget a vector; the last one takes its row."""
        place = self._places.pop(key, None)
        if place is None:
            return
        last = self._keys.pop()
        if last != key:
            self._keys[place], self._places[last] = last, place
            self._vectors[place] = self._vectors[len(self._keys)]

    def near(self, vector: Any, count: int) -> list[tuple[str, float]]:
        """The nearest ones."""
        used = len(self._keys)
        if not used or self._vectors.shape[1] != len(vector):
            return []
        likeness = self._vectors[:used] @ np.asarray(vector, dtype=np.float32)
        best = np.argpartition(-likeness, count)[:count] if used > count else np.arange(used)
        return [(self._keys[place], float(likeness[place])) for place in best[np.argsort(-likeness[best])]]


class ApproximateIndex:
    """Follows a graph to the nearest ones (usearch, HNSW): for more than some tens of thousands of questions that differ in nothing else.

    Args:
        expansion: How far it looks around; more finds more and takes longer.

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
        """Keep a vector."""
        if self._index is None or self._index.ndim != len(vector):
            self._index = self._make(ndim=len(vector), metric="cos", dtype="f32", expansion_search=self.expansion)
            self._keys, self._numbers = {}, {}
        number, self._next = self._next, self._next + 1
        self._index.add(number, np.asarray(vector, dtype=np.float32))
        self._keys[number], self._numbers[key] = key, number

    def remove(self, key: str) -> None:
        """Forget a vector."""
        number = self._numbers.pop(key, None)
        if number is not None:
            del self._keys[number]
            self._index.remove(number)

    def near(self, vector: Any, count: int) -> list[tuple[str, float]]:
        """The nearest ones it finds."""
        if not self._keys or self._index.ndim != len(vector):
            return []
        found = self._index.search(np.asarray(vector, dtype=np.float32), count)
        near = zip(found.keys.tolist(), found.distances.tolist(), strict=True)
        return [(self._keys[number], 1.0 - distance) for number, distance in near if number in self._keys]


def unit(vector: Any) -> Any:
    """A vector of length 1 in the same direction.

    Example:
        >>> unit([3.0, 4.0]).tolist()
        [0.6000000238418579, 0.800000011920929]
    """
    made = np.asarray(vector, dtype=np.float32)
    length = float(np.linalg.norm(made))
    return made / length if length else made


__all__ = ["ApproximateIndex", "ExactIndex", "VectorIndex", "unit"]
