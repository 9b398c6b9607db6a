"""Linear text model: log-odds of success of all routes from TF-IDF weighted words.

Source: Ong et al., RouteLLM (2024), for routing by a classifier; the text model is TF-IDF with logistic regression.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from langroute.estimators.arrays import Floats
from langroute.estimators.features import Batch

TOGETHER = 64
"""Number of requests that are summed at a time, so that the gathered rows stay in the processor's cache."""


def sums(values: NDArray[Any], starts: NDArray[np.int64]) -> NDArray[Any]:
    """Return the sums of the rows of `values` between consecutive starts; 0 for an empty segment.

    Example:
        >>> sums(np.array([1.0, 2.0, 3.0]), np.array([0, 2, 2, 3])).tolist()
        [3.0, 0.0, 3.0]
    """
    if len(starts) == 2:
        return np.asarray(values.sum(0, keepdims=True))
    padded = np.concatenate([values, np.zeros((1, *values.shape[1:]), values.dtype)])
    found = np.add.reduceat(padded, starts[:-1])
    found[starts[1:] == starts[:-1]] = 0
    return np.asarray(found)


def weighted_sums(table: NDArray[Any], places: NDArray[np.int64], values: NDArray[Any], starts: NDArray[np.int64]) -> NDArray[Any]:
    """Return the segment sums of table rows, each times its value: `sums` without a copy of all gathered rows.

    Example:
        >>> weighted_sums(np.eye(2), np.array([0, 1, 1]), np.array([2.0, 3.0, 4.0]), np.array([0, 2, 3])).tolist()
        [[2.0, 3.0], [0.0, 4.0]]
    """
    count = len(starts) - 1
    out = np.empty((count, table.shape[1]), np.result_type(table, values))
    for begin in range(0, count, TOGETHER):
        end = min(begin + TOGETHER, count)
        # One extra row ends the last segment; after the very last segment there is none.
        mine = slice(int(starts[begin]), int(starts[end]) + 1)
        rows = table.take(places[mine], 0) * values[mine, None]
        if end < count and len(rows) > starts[end] - starts[begin]:
            bounds = starts[begin : end + 1] - starts[begin]
            out[begin:end] = np.add.reduceat(rows, bounds)[:-1]
            out[begin:end][bounds[1:] == bounds[:-1]] = 0
        else:
            out[begin:end] = sums(rows, starts[begin : end + 1] - starts[begin])
    return out


@dataclass(frozen=True, slots=True)
class Weighting:
    """TF-IDF weighting of words, normalised to length 1 for each request.

    Source: Sparck Jones, A Statistical Interpretation of Term Specificity (1972).
    """

    rarity: NDArray[np.float32]
    """Inverse document frequency, 1 for labels, `(buckets,)`."""

    words: int
    """Number of words: buckets below it are words, the rest labels."""

    def weigh(self, batch: Batch) -> Floats:
        """Return the weight of each entry, `(entries,)`."""
        values = batch.counts * self.rarity.take(batch.buckets)
        if len(batch) == 1:
            # Labels come after the words.
            words = values[: int(np.searchsorted(batch.buckets, self.words))]
            words /= max(float(np.sqrt(words @ words)), 1e-12)
            return values
        is_word = batch.buckets < self.words
        length = np.sqrt(sums(np.where(is_word, values * values, 0.0), batch.starts))
        per_entry = np.repeat(np.maximum(length, 1e-12), np.diff(batch.starts))
        return np.where(is_word, values / per_entry, values)


@dataclass(frozen=True, slots=True)
class Linear:
    """Linear model of the log-odds of success on weighted words.

    Example:
        >>> weights = np.zeros((4, 2), np.float32); weights[1] = [1.0, -1.0]
        >>> batch = Batch(np.array([0, 1]), np.array([1]), np.ones(1), np.zeros((1, 0)))
        >>> Linear(weights, np.zeros(2)).logits(batch, np.ones(1)).tolist()
        [[1.0, -1.0]]
    """

    weights: NDArray[np.float32]
    """`(buckets, routes)`."""

    bias: Floats
    """`(routes,)`."""

    def logits(self, batch: Batch, values: Floats) -> Floats:
        """Return the log-odds of success, `(requests, routes)`; `values` are the weights of `Weighting.weigh`."""
        if len(batch) == 1:
            return np.asarray(values @ self.weights.take(batch.buckets, 0) + self.bias)[None]
        return weighted_sums(self.weights, batch.buckets, values, batch.starts) + self.bias

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Return the arrays to store."""
        return {"weights": self.weights, "bias": self.bias}
