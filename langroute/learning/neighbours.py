"""Nearest-neighbour baseline: the best route on the most similar other requests.

Source: Hu et al., RouterBench (2024), section 4.1, for the nearest neighbours as a baseline.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from langroute.estimators.arrays import Floats, Ints

NEIGHBOURS = 20
AMONG = 1000
"""Number of requests among which neighbours are searched, spread evenly over the traffic."""

KEPT = 20_000
"""Most requests that are kept and evaluated; of more traffic, every second request is kept, then every fourth, and so on."""

SIZE = 128
CHUNK = 256
BLOCKS = 100

Vectors = NDArray[np.float32]


def vectors_of(hashes: NDArray[np.uint64], owners: Ints, count: int) -> Vectors:
    """Return the words of requests as signed hashed vectors of length 1, `(requests, SIZE)`.

    Source: Weinberger et al., Feature Hashing (2009).

    Args:
        hashes: Hashes of words and pairs, as `word_hashes` returns them.
        owners: Index of the request of each hash.
        count: Number of requests.
    """
    signs = np.where(hashes >> np.uint64(63), 1.0, -1.0)
    places = owners * SIZE + (hashes % np.uint64(SIZE)).astype(np.int64)
    vectors = np.bincount(places, signs, count * SIZE).reshape(count, SIZE)
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return np.asarray((vectors / lengths).astype(np.float32))


class Neighbours:
    """Accumulates streamed traffic, and evaluates the best route of the most similar other requests in hindsight.

    Args:
        routes: Number of routes.
    """

    __slots__ = ("_costs", "_held", "_scores", "_spent", "_step", "_vectors", "seen")

    def __init__(self, routes: int) -> None:
        self.seen, self._step = 0, 1
        self._vectors: list[NDArray[Any]] = []
        self._scores: list[NDArray[Any]] = []
        self._costs: list[NDArray[Any]] = []
        self._held, self._spent = 0, np.zeros(routes)

    def add(self, vectors: Vectors, scores: Floats, costs: Floats) -> None:
        """Add requests: vectors `(requests, SIZE)`, scores and costs `(requests, routes)`."""
        mine = slice(-self.seen % self._step, None, self._step)
        for kept, new in ((self._vectors, vectors), (self._scores, scores), (self._costs, costs)):
            kept.append(new[mine])
        self._held += len(vectors[mine])
        self.seen += len(vectors)
        self._spent += costs.sum(0)
        if self._held > KEPT:
            self._thin()

    def merge(self, more: Neighbours) -> None:
        """Add what another one kept of the requests after these; every second request of each is let go where there are too many."""
        while more._step < self._step:
            more._thin()
        while self._step < more._step:
            self._thin_each()
        for kept, new in ((self._vectors, more._vectors), (self._scores, more._scores), (self._costs, more._costs)):
            kept.append(np.concatenate(new))
        self._held += more._held
        self.seen += more.seen
        self._spent += more._spent
        while self._held > KEPT:
            self._thin_each()

    def _thin(self) -> None:
        self._step *= 2
        for kept in (self._vectors, self._scores, self._costs):
            kept[:] = [np.concatenate(kept)[::2]]
        self._held = len(self._vectors[0])

    def _thin_each(self) -> None:
        """Let go of every second request of what was merged: of each piece from its first request on, whenever it came."""
        self._step *= 2
        for kept in (self._vectors, self._scores, self._costs):
            kept[:] = [one[::2].copy() for one in kept]
        self._held = sum(map(len, self._vectors))

    def totals(self) -> tuple[float, float]:
        """Return the sum of scores and the sum of costs over all requests, extrapolated from those that were kept."""
        vectors, scores, costs = np.concatenate(self._vectors), np.concatenate(self._scores), np.concatenate(self._costs)
        among = np.linspace(0, len(vectors) - 1, min(len(vectors), AMONG)).astype(int)
        pool, known = vectors[among].T.copy(), scores[among]
        tie = 1e-9 * self._spent / self.seen
        near = min(NEIGHBOURS, max(len(among) - 1, 1))
        score = spent = 0.0
        for begin in range(0, len(vectors), CHUNK):
            part = np.arange(begin, min(begin + CHUNK, len(vectors)))
            likeness = vectors[part] @ pool
            # A request is not its own neighbour.
            own = np.arange(*np.searchsorted(among, [begin, part[-1] + 1]))
            likeness[among[own] - begin, own] = -np.inf
            best = (known[most_alike(likeness, near)].mean(1) - tie).argmax(1)
            score += float(scores[part, best].sum())
            spent += float(costs[part, best].sum())
        return score * self.seen / len(vectors), spent * self.seen / len(vectors)


def most_alike(likeness: Vectors, near: int) -> Ints:
    """Return the indices of the `near` largest values in each row, in any order, `(rows, near)`.

    Only blocks whose maximum is among the `near` largest block maxima can contain one of them, so most blocks are skipped.

    Example:
        >>> most_alike(np.array([[0.1, 0.9, 0.5]], np.float32), 1).tolist()
        [[1]]
    """
    rows, width = likeness.shape
    deep, rest = divmod(width, BLOCKS)
    if deep < 3 or near > BLOCKS // 2:
        return np.argpartition(-likeness, near - 1, axis=1)[:, :near]
    even = likeness[:, : deep * BLOCKS].reshape(rows, deep, BLOCKS)
    largest = even.max(1)
    blocks = np.argpartition(-largest, near - 1, axis=1)[:, :near]
    places = (blocks[:, None, :] + np.arange(0, deep * BLOCKS, BLOCKS)[None, :, None]).reshape(rows, deep * near)
    if rest:
        places = np.concatenate([places, np.broadcast_to(np.arange(deep * BLOCKS, width), (rows, rest))], 1)
    found = np.argpartition(-np.take_along_axis(likeness, places, 1), near - 1, axis=1)[:, :near]
    return np.asarray(np.take_along_axis(places, found, 1))
