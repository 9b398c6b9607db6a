"""What do the words of a request say about each route's success? A linear model of all routes at once.

Source: Ong et al., RouteLLM (2024), for routing by a classifier; the text model is TF-IDF with logistic regression.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from langroute.estimators.features import Batch, Floats

TOGETHER = 64
"""Requests that are summed at a time: what is gathered for them stays in the processor's cache."""


def sums(values: NDArray[Any], starts: NDArray[np.int64]) -> NDArray[Any]:
    """Sum rows of `values` between the starts; 0 where there is nothing between two.

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
    """Sum rows of a table, each times its value, between the starts: `sums` without a copy of all that is summed.

    Example:
        >>> weighted_sums(np.eye(2), np.array([0, 1, 1]), np.array([2.0, 3.0, 4.0]), np.array([0, 2, 3])).tolist()
        [[2.0, 3.0], [0.0, 4.0]]
    """
    count = len(starts) - 1
    out = np.empty((count, table.shape[1]), np.result_type(table, values))
    for begin in range(0, count, TOGETHER):
        end = min(begin + TOGETHER, count)
        # One row more than is summed gives the last sum its end; behind the last of all there is none.
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
    """How much each word counts: rare ones more, and a request's words together as much as another's.

    Source: Sparck Jones, A Statistical Interpretation of Term Specificity (1972).
    """

    rarity: NDArray[np.float32]
    """`(buckets,)`: inverse document frequency; 1 for labels."""

    words: int
    """Buckets below this number are words, the rest labels."""

    def weigh(self, batch: Batch) -> Floats:
        """The weight of each entry, `(entries,)`."""
        values = batch.counts * self.rarity.take(batch.buckets)
        if len(batch) == 1:
            # Labels stand behind the words.
            words = values[: int(np.searchsorted(batch.buckets, self.words))]
            words /= max(float(np.sqrt(words @ words)), 1e-12)
            return values
        is_word = batch.buckets < self.words
        length = np.sqrt(sums(np.where(is_word, values * values, 0.0), batch.starts))
        per_entry = np.repeat(np.maximum(length, 1e-12), np.diff(batch.starts))
        return np.where(is_word, values / per_entry, values)


@dataclass(frozen=True, slots=True)
class Linear:
    """Log-odds of success from weighted words.

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
        """`(requests, routes)`."""
        if len(batch) == 1:
            return np.asarray(values @ self.weights.take(batch.buckets, 0) + self.bias)[None]
        return weighted_sums(self.weights, batch.buckets, values, batch.starts) + self.bias

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """What is stored."""
        return {"weights": self.weights, "bias": self.bias}
