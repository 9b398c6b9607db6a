"""Forests of small trees that are asked one row at a time: the results of a tree's few comparisons are the place of its answer in a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from langroute.core.errors import DataError
from langroute.estimators.arrays import Floats
from langroute.estimators.trees import Forest

MOST_COMPARISONS = 8
"""Most comparisons of a tree, one less than its leaves: their results fit in a byte."""


@dataclass(frozen=True, slots=True)
class SmallTrees:
    """Forests that read the same values, each with the same number of trees.

    All comparisons of all trees are made, whether a path comes by them or not: that is one step for all trees where a descent is one a level.

    Example:
        >>> forest = Forest(
        ...     roots=np.array([0]), feature=np.array([0, 0, 0]), threshold=np.array([0.5, np.inf, np.inf], np.float32),
        ...     left=np.array([1, 1, 2]), value=np.array([[0.5], [0.1], [0.9]]), depth=1)
        >>> small = SmallTrees.of([forest])
        >>> small.means(np.array([0.2], np.float32)), small.means(np.array([0.7], np.float32))
        ([0.1], [0.9])
    """

    feature: NDArray[np.intp]
    """Place of the value of each comparison, `MOST_COMPARISONS` for a tree."""

    threshold: NDArray[np.float32]
    """What a value is compared with; infinite where a tree has no further comparison."""

    begins: NDArray[np.intp]
    """Where the answers of each tree begin in `answers`."""

    answers: Floats
    """Answer of each tree for each combination of its comparisons."""

    forests: int
    """Number of forests."""

    @classmethod
    def of(cls, forests: Sequence[Forest], places: Sequence[int] | NDArray[np.integer] | None = None) -> SmallTrees:
        """Return forests of one output in this form.

        Args:
            forests: The forests.
            places: Where each feature stands in the values that are given later; in order where none are given.

        Raises:
            DataError: A tree makes too many comparisons, or the forests differ in their number of trees.
        """
        trees = [len(forest.roots) for forest in forests]
        parts = [_tabled(forest) for forest in forests]
        if len(set(trees)) != 1:
            raise DataError(f"The forests differ in their number of trees: {trees}.")
        feature = np.concatenate([part[0] for part in parts]).ravel()
        threshold = np.concatenate([part[1] for part in parts]).ravel()
        width = max(part[2].shape[1] for part in parts)
        # Bits of comparisons that a forest has not are never set.
        answers = np.concatenate([np.pad(part[2], ((0, 0), (0, width - part[2].shape[1]))) for part in parts])
        begins = np.arange(len(answers)) * answers.shape[1]
        return cls(feature if places is None else np.asarray(places)[feature], threshold, begins, answers.ravel(), len(forests))

    def means(self, values: NDArray[np.float32]) -> list[float]:
        """Return the mean answer of each forest's trees.

        Args:
            values: What the trees read, `(values,)`.
        """
        # Indices are in range; "wrap" skips the check.
        greater = values.take(self.feature, mode="wrap") > self.threshold
        found = self.answers.take(np.packbits(greater, bitorder="little") + self.begins)
        trees = len(found) // self.forests
        return [total / trees for total in np.add.reduce(found.reshape(self.forests, trees), 1).tolist()]


def _tabled(forest: Forest) -> tuple[NDArray[np.intp], NDArray[np.float32], Floats]:
    """Return the features and thresholds of each tree's comparisons, `(trees, MOST_COMPARISONS)`, and its answers, `(trees, combinations)`."""
    trees, nodes = len(forest.roots), np.arange(len(forest.left))
    compares = forest.left != nodes
    tree = forest.roots.searchsorted(nodes, "right") - 1
    # The number of each comparison in its tree; a leaf's is one that no combination has.
    before = np.concatenate([[0], compares.cumsum()])
    number = np.where(compares, before[:-1] - before[forest.roots][tree], MOST_COMPARISONS)
    most = int(number[compares].max(initial=0)) + 1
    if most > MOST_COMPARISONS:
        raise DataError(
            f"A tree makes {most} comparisons; {MOST_COMPARISONS} are the most that a table of its answers is made for."
        )
    feature = np.zeros((trees, MOST_COMPARISONS), np.intp)
    threshold = np.full((trees, MOST_COMPARISONS), np.inf, np.float32)
    feature[tree[compares], number[compares]] = forest.feature[compares]
    threshold[tree[compares], number[compares]] = forest.threshold[compares]
    combinations = np.arange(1 << most)
    at = np.repeat(forest.roots[:, None], len(combinations), 1)
    for _ in range(forest.depth):
        at = forest.left.take(at) + (combinations >> number.take(at) & 1)
    return feature, threshold, forest.value[:, 0].astype(np.float64).take(at)
