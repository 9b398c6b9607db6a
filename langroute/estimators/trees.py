"""What does the shape of a request say about each route's success? Many shallow looks at it, averaged.

Source: Geurts et al., Extremely Randomized Trees (2006).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from langroute.estimators.features import Floats


@dataclass(frozen=True, slots=True)
class Forest:
    """Trees laid out in flat arrays; a leaf points at itself, so that all trees can be walked in step.

    Example:
        >>> forest = Forest(
        ...     roots=np.array([0]), feature=np.array([0, 0, 0]), threshold=np.array([0.5, np.inf, np.inf], np.float32),
        ...     left=np.array([1, 1, 2]), right=np.array([2, 1, 2]), value=np.array([[0.5], [0.1], [0.9]]), depth=1)
        >>> forest.predict(np.array([[0.2], [0.7]])).tolist()
        [[0.1], [0.9]]
    """

    roots: NDArray[np.int32]
    feature: NDArray[np.int16]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float16]
    """`(nodes, routes)`."""

    depth: int

    def predict(self, features: Floats) -> Floats:
        """`(requests, features)` → `(requests, routes)`."""
        rows = features.astype(np.float32)
        if len(rows) == 1:
            row, at = rows[0], self.roots
            for _ in range(self.depth):
                at = np.where(row[self.feature[at]] <= self.threshold[at], self.left[at], self.right[at])
            return np.asarray(self.value[at].mean(0, dtype=np.float64)[None])
        out = np.empty((len(rows), self.value.shape[1]))
        for begin in range(0, len(rows), 512):
            part = rows[begin : begin + 512]
            index = np.arange(len(part))[:, None]
            at = np.broadcast_to(self.roots, (len(part), len(self.roots)))
            for _ in range(self.depth):
                at = np.where(part[index, self.feature[at]] <= self.threshold[at], self.left[at], self.right[at])
            out[begin : begin + 512] = self.value[at].mean(1, dtype=np.float64)
        return out

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """What is stored."""
        return {
            "roots": self.roots,
            "feature": self.feature,
            "threshold": self.threshold,
            "left": self.left,
            "right": self.right,
            "value": self.value,
            "depth": np.array(self.depth),
        }
