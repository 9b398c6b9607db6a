"""Forest of extremely randomised trees; prediction only.

Source: Geurts et al., Extremely Randomized Trees (2006).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from langroute.estimators.arrays import Floats


@dataclass(frozen=True, slots=True)
class Forest:
    """A forest in flat arrays: the right child follows the left one, and a leaf's child is itself, so that all trees descend in lockstep.

    Example:
        >>> forest = Forest(
        ...     roots=np.array([0]), feature=np.array([0, 0, 0]), threshold=np.array([0.5, np.inf, np.inf], np.float32),
        ...     left=np.array([1, 1, 2]), value=np.array([[0.5], [0.1], [0.9]]), depth=1)
        >>> forest.predict(np.array([[0.2], [0.7]])).tolist()
        [[0.1], [0.9]]
    """

    roots: NDArray[np.integer[Any]]
    feature: NDArray[np.integer[Any]]
    threshold: NDArray[np.float32]
    left: NDArray[np.integer[Any]]
    value: NDArray[np.float32]
    """Mean success of each node, `(nodes, routes)`."""

    depth: int
    """Depth of the deepest tree."""

    def predict(self, features: Floats) -> Floats:
        """Return the mean prediction of the trees, `(requests, routes)`, for features `(requests, features)`."""
        rows = features.astype(np.float32)
        if len(rows) == 1:
            # Few nodes are visited, but comparing all of them at once is faster than going level by level.
            # Indices are in range; "wrap" skips the check.
            right = rows[0].take(self.feature, mode="wrap") > self.threshold
            at = self.roots
            for _ in range(self.depth):
                at = self.left[at] + right[at]
            return np.asarray(self.value.take(at, 0).mean(0, dtype=np.float64)[None])
        out = np.empty((len(rows), self.value.shape[1]))
        for begin in range(0, len(rows), 256):
            part = rows[begin : begin + 256]
            offset = (np.arange(len(part), dtype=np.int32) * part.shape[1])[:, None]
            flat = part.ravel()
            at = np.broadcast_to(self.roots, (len(part), len(self.roots)))
            for _ in range(self.depth):
                at = self.left.take(at) + (flat.take(self.feature.take(at) + offset) > self.threshold.take(at))
            out[begin : begin + 256] = self.value.take(at, 0).mean(1, dtype=np.float64)
        return out

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Return the arrays to store, in the smallest types that keep their values."""
        return {
            "roots": self.roots.astype(np.int32),
            "feature": self.feature.astype(np.int16),
            "threshold": self.threshold,
            "left": self.left.astype(np.int32),
            "value": self.value.astype(np.float16),
            "depth": np.array(self.depth),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Forest:
        """Return the forest from the arrays that `arrays` returned; indices become `intp`, or numpy would convert them at each use."""
        return cls(
            arrays["roots"].astype(np.intp),
            arrays["feature"].astype(np.intp),
            arrays["threshold"],
            arrays["left"].astype(np.intp),
            arrays["value"].astype(np.float32),
            int(arrays["depth"]),
        )
