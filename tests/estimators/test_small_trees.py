"""Small trees answered from a table: the same as those that descend."""

from __future__ import annotations

import numpy as np
import pytest

from langroute.core.errors import DataError
from langroute.estimators.small_trees import MOST_COMPARISONS, SmallTrees
from langroute.estimators.trees import Forest


def forest_of(comparisons: list[int], seed: int = 0, features: int = 5) -> Forest:
    """Return a forest of random trees, one for each number of comparisons."""
    random = np.random.default_rng(seed)
    feature, threshold, left, roots = [], [], [], []
    for count in comparisons:
        roots.append(len(left))
        nodes = {0: [0, np.inf, 0]}
        for _ in range(count):
            leaf = int(random.choice([node for node, (_, _, child) in nodes.items() if child == node]))
            new = len(nodes)
            nodes[leaf] = [int(random.integers(features)), float(random.normal()), new]
            nodes.update({new: [0, np.inf, new], new + 1: [0, np.inf, new + 1]})
        for node in range(len(nodes)):
            feature.append(nodes[node][0])
            threshold.append(nodes[node][1])
            left.append(roots[-1] + nodes[node][2])
    values = random.normal(size=(len(left), 1)).astype(np.float32)
    depth = max(comparisons)
    return Forest(np.array(roots), np.array(feature), np.array(threshold, np.float32), np.array(left), values, depth)


def test_they_answer_what_a_descent_answers() -> None:
    forests = [forest_of([0, 1, 2, 7, 8, 3], 1), forest_of([0, 1, 2, 0, 1, 1], 2)]
    small = SmallTrees.of(forests)

    for row in np.random.default_rng(3).normal(size=(300, 5)).astype(np.float32):
        assert small.means(row) == pytest.approx([forest.predict(row[None])[0, 0] for forest in forests], abs=1e-12)


def test_a_value_at_a_threshold_and_one_that_is_no_number_go_left_as_in_a_descent() -> None:
    forest = forest_of([8] * 20)
    small = SmallTrees.of([forest])
    rows = np.full((2, 5), np.nan, np.float32)
    rows[1] = forest.threshold[forest.left != np.arange(len(forest.left))][:5]

    for row in rows:
        assert small.means(row) == pytest.approx([forest.predict(row[None])[0, 0]], abs=1e-12)


def test_values_may_stand_elsewhere() -> None:
    forest = forest_of([8] * 20)
    row = np.random.default_rng(4).normal(size=5).astype(np.float32)
    elsewhere = np.concatenate([np.zeros(3, np.float32), row[::-1]])

    assert SmallTrees.of([forest], [7, 6, 5, 4, 3]).means(elsewhere) == SmallTrees.of([forest]).means(row)


def test_trees_that_are_not_small_are_told() -> None:
    with pytest.raises(DataError, match=f"makes 9 comparisons; {MOST_COMPARISONS} are"):
        SmallTrees.of([forest_of([2, 9])])
    with pytest.raises(DataError, match=r"number of trees: \[1, 2\]"):
        SmallTrees.of([forest_of([2]), forest_of([2, 2])])
