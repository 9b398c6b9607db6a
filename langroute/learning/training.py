"""How are the estimators' numbers found? The only part that needs scikit-learn.

Everything here is deterministic: the same data and seed give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from langroute.errors import MissingExtraError
from langroute.estimators.documents import Document
from langroute.estimators.features import Batch, Floats, Ints, Vocabulary, label_hash, word_hashes
from langroute.estimators.linear import Linear, Weighting
from langroute.estimators.trees import Forest


def need_sklearn() -> None:
    """Say what to install where scikit-learn is missing.

    Raises:
        MissingExtraError: It is.
    """
    try:
        import scipy  # noqa: F401
        import sklearn  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "learn", "Fitting a policy") from error


def vocabulary_of(documents: Sequence[Document], most: int = 120_000, least: int = 2) -> Vocabulary:
    """The words and pairs that occur in enough documents, the most frequent where there are too many."""
    hashes, owners = word_hashes(documents)
    order = np.lexsort((owners, hashes))
    hashes, owners = hashes[order], owners[order]
    first = np.ones(len(hashes), bool)
    first[1:] = (hashes[1:] != hashes[:-1]) | (owners[1:] != owners[:-1])
    known, frequency = np.unique(hashes[first], return_counts=True)
    known, frequency = known[frequency >= least], frequency[frequency >= least]
    labels = sorted({label_hash(label) for document in documents for label in document.labels})
    return Vocabulary(known[np.argsort(-frequency, kind="stable")][:most], labels)


def weighting_of(batch: Batch, vocabulary: Vocabulary) -> Weighting:
    """How rare each word is in these requests."""
    seen = np.bincount(batch.buckets, minlength=vocabulary.width)
    rarity = np.log((1 + len(batch)) / (1 + seen)) + 1
    rarity[len(vocabulary) :] = 1
    return Weighting(rarity.astype(np.float32), len(vocabulary))


def matrix_of(batch: Batch, values: Floats, width: int) -> Any:
    """The batch as a SciPy sparse matrix, `(requests, buckets)`."""
    from scipy.sparse import csr_matrix

    return csr_matrix((values, batch.buckets, batch.starts), shape=(len(batch), width))


def fit_linear(matrix: Any, scores: Floats, strength: float = 1.0) -> Linear:
    """Logistic regression of all routes at once.

    Args:
        matrix: Weighted words, `(requests, buckets)`, sparse.
        scores: 0 to 1, `(requests, routes)`; NaN where a route has no outcome.
        strength: Weight of the data against the pull towards zero.
    """
    from scipy.optimize import minimize

    known = np.isfinite(scores)
    target = np.where(known, scores, 0.0)
    # Only buckets that occur get a weight.
    used = np.flatnonzero(np.diff(matrix.tocsc().indptr))
    small = matrix[:, used].tocsr()
    across = small.T.tocsr()
    routes = scores.shape[1]
    mean = np.clip((target.sum(0) + 1) / (known.sum(0) + 2), 1e-3, 1 - 1e-3)
    start = np.zeros((len(used) + 1, routes))
    start[-1] = np.log(mean / (1 - mean))

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = flat.reshape(-1, routes)
        logits = small @ weights[:-1] + weights[-1]
        probability = 1 / (1 + np.exp(-logits))
        errors = np.where(known, probability - target, 0.0)
        nats = np.where(known, np.logaddexp(0, logits) - target * logits, 0.0)
        total = strength * nats.sum() + 0.5 * float((weights[:-1] ** 2).sum())
        slope = np.vstack([strength * (across @ errors) + weights[:-1], strength * errors.sum(0)])
        return total, slope.ravel()

    found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 60, "maxcor": 8, "ftol": 1e-6})
    weights = found.x.reshape(-1, routes)
    whole = np.zeros((matrix.shape[1], routes), np.float32)
    whole[used] = weights[:-1]
    return Linear(whole, weights[-1].copy())


def fit_projection(matrix: Any, words: int, size: int, seed: int) -> NDArray[np.float32]:
    """The directions in which requests differ most, `(buckets, size)`; labels have none.

    Source: Deerwester et al., Indexing by Latent Semantic Analysis (1990).
    """
    from sklearn.utils.extmath import randomized_svd

    size = min(size, min(matrix.shape) - 1)
    whole = np.zeros((matrix.shape[1], max(size, 0)), np.float32)
    if size > 0:
        _, _, directions = randomized_svd(matrix[:, :words], size, n_iter=4, random_state=seed)
        whole[:words] = directions.T
    return whole


def fit_forest(features: Floats, scores: Floats, *, trees: int, leaf: int, depth: int, seed: int) -> Forest:
    """Extremely randomised trees; `scores` have no gaps."""
    from sklearn.ensemble import ExtraTreesRegressor

    model = ExtraTreesRegressor(trees, min_samples_leaf=leaf, max_depth=depth, max_features=0.3, random_state=seed, n_jobs=2)
    model.fit(features.astype(np.float32), scores)
    return _flat(model, scores.shape[1])


def _flat(model: Any, routes: int) -> Forest:
    """All trees in one set of arrays, renumbered so that the right child stands next to the left."""
    roots, parts, offset, depth = [], [], 0, 0
    for tree in (one.tree_ for one in model.estimators_):
        order, place = [0], 0
        while place < len(order):
            left = tree.children_left[order[place]]
            if left >= 0:
                order += [left, tree.children_right[order[place]]]
            place += 1
        old = np.array(order)
        new = np.empty(len(old), np.int64)
        new[old] = np.arange(len(old))
        leaf = tree.children_left[old] < 0
        parts.append(
            (
                np.where(leaf, 0, tree.feature[old]),
                np.where(leaf, np.inf, tree.threshold[old]),
                np.where(leaf, np.arange(len(old)), new[tree.children_left[old]]) + offset,
                tree.value.reshape(-1, routes)[old],
            )
        )
        roots.append(offset)
        offset += len(old)
        depth = max(depth, tree.max_depth)
    feature, threshold, left_child, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Forest(
        np.array(roots, np.int32),
        feature.astype(np.int32),
        threshold.astype(np.float32),
        left_child.astype(np.int32),
        # As it is stored, so that what is calibrated is what ships.
        value.astype(np.float16).astype(np.float32),
        depth,
    )


def folds(count: int, parts: int, seed: int) -> Ints:
    """Which fold each request belongs to, `(requests,)`."""
    return np.random.default_rng(seed).permutation(np.arange(count) % parts)
