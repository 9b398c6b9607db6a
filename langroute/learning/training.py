"""Training of the estimators' component models; the only module that needs scikit-learn.

Training is deterministic: the same data and seed give the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from langroute.core.errors import MissingExtraError
from langroute.estimators.arrays import Floats, Ints
from langroute.estimators.char_ngrams import SLOTS, Letters, owned, pair_counts, weighed
from langroute.estimators.documents import Document
from langroute.estimators.embedding_features import Sense
from langroute.estimators.features import Batch, label_hash, word_hashes
from langroute.estimators.linear import Linear, Weighting
from langroute.estimators.trees import Forest
from langroute.estimators.vocabulary import HashedVocabulary
from langroute.learning.pieces import Engine, OneProcess


def need_sklearn() -> None:
    """Check that scikit-learn and SciPy are installed.

    Raises:
        MissingExtraError: One of them is not; the message says what to install.
    """
    try:
        import scipy  # noqa: F401
        import sklearn  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "learn", "Fitting a policy") from error


def one_thread() -> AbstractContextManager[Any]:
    """Return a context manager that limits BLAS to one thread.

    The result then does not depend on the number of cores. The matrices are small, so more threads would hardly be faster.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    limits: AbstractContextManager[Any] = threadpool_limits(1, user_api="blas")
    return limits


def vocabulary_of(documents: Sequence[Document], most: int = 120_000, least: int = 2) -> HashedVocabulary:
    """Return the vocabulary of words and word pairs that occur in at least `least` documents, the `most` frequent ones, and all labels."""
    hashes, owners = word_hashes(documents)
    order = np.lexsort((owners, hashes))
    hashes, owners = hashes[order], owners[order]
    first = np.ones(len(hashes), bool)
    first[1:] = (hashes[1:] != hashes[:-1]) | (owners[1:] != owners[:-1])
    known, frequency = np.unique(hashes[first], return_counts=True)
    known, frequency = known[frequency >= least], frequency[frequency >= least]
    labels = sorted({label_hash(label) for document in documents for label in document.labels})
    return HashedVocabulary(known[np.argsort(-frequency, kind="stable")][:most], labels)


def weighting_of(batch: Batch, vocabulary: HashedVocabulary) -> Weighting:
    """Return the inverse document frequencies of a batch."""
    seen = np.bincount(batch.buckets, minlength=vocabulary.width)
    rarity = np.log((1 + len(batch)) / (1 + seen)) + 1
    rarity[len(vocabulary) :] = 1
    return Weighting(rarity.astype(np.float32), len(vocabulary))


def matrix_of(batch: Batch, values: Floats, width: int) -> Any:
    """Return the batch as a SciPy sparse matrix, `(requests, buckets)`."""
    from scipy.sparse import csr_matrix

    return csr_matrix((values, batch.buckets, batch.starts), shape=(len(batch), width))


def fit_linear(matrix: Any, scores: Floats, strength: float = 1.0) -> Linear:
    """Fit a logistic regression of all routes at once, with a ridge penalty, by L-BFGS.

    Args:
        matrix: Weighted words, `(requests, buckets)`, sparse.
        scores: Scores from 0 to 1, `(requests, routes)`; NaN where a route has no outcome.
        strength: Weight of the data relative to the ridge penalty.
    """
    from scipy.optimize import minimize

    known = np.isfinite(scores)
    target = np.where(known, scores, 0.0)
    # Only buckets that occur get weights.
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

    # The exponential overflows for log-odds below -700, where the probability is 0 anyway.
    with np.errstate(over="ignore"):
        found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 60, "maxcor": 8, "ftol": 1e-6})
    weights = found.x.reshape(-1, routes)
    whole = np.zeros((matrix.shape[1], routes), np.float32)
    whole[used] = weights[:-1]
    return Linear(whole, weights[-1].copy())


SCALE = 3.0
"""Scale of the vectors in the regression, which sets the strength of the ridge penalty on their weights."""


def fit_sense(vectors: Floats, scores: Floats, probe: Floats) -> Sense:
    """Fit a logistic regression of all routes at once on embedding vectors.

    Args:
        vectors: Vectors of length 1, `(requests, dimensions)`.
        scores: Scores from 0 to 1, `(requests, routes)`; NaN where a route has no outcome.
        probe: Vector of the probe text, `(dimensions,)`; see `Sense.probe`.
    """
    from scipy.sparse import csr_matrix

    mean = vectors.mean(0)
    model = fit_linear(csr_matrix(SCALE * (vectors - mean)), scores)
    return Sense(mean, SCALE * model.weights.astype(float), model.bias, probe)


OWN = 150
"""Fewest requests with a label, and without it, for the label to get weights of its own."""

BIAS = 0.3
"""Value of the constant feature beside bigram vectors of length 1; it sets the ridge penalty on the bias."""

PULLS = (3.0, 10.0, 30.0, 100.0)
"""Ridge penalties that are tried for each label."""


def fit_letters(documents: Sequence[Document], errors: Floats, engine: Engine | None = None) -> tuple[Letters | None, Floats]:
    """Fit a ridge regression of the residuals on byte bigrams, for each label that many requests carry.

    The ridge penalty of a label is the one with the smallest leave-one-out error. A label gets weights only where that error is smaller
    than without them.

    Source: Allen, The Relationship between Variable Selection and Data Augmentation (1974), for the leave-one-out error in closed form.

    Args:
        documents: The requests.
        errors: Score minus cross-fitted success, `(requests, routes)`; NaN where a route has no outcome.
        engine: What fits the labels; this process by default.

    Returns:
        The model, or `None` where no label gets weights; and its leave-one-out corrections, `(requests, routes)`.
    """
    errors = np.nan_to_num(errors)
    carried = Counter(label for document in documents for label in document.labels)
    # A label that nearly all requests carry distinguishes none.
    large = sorted(label_hash(label) for label, many in carried.items() if OWN <= many <= len(documents) - OWN)
    members = owned(documents, {label: place for place, label in enumerate(large)})
    kept: dict[int, _Own] = {}
    added = np.zeros(errors.shape)
    parts = (([documents[row].text for row in members[place]], errors[members[place]]) for place in range(len(large)))
    fitted = (OneProcess() if engine is None else engine).map(_fit_own, parts)
    for place, (label, own) in enumerate(zip(large, fitted, strict=True)):
        if own is not None:
            kept[label] = own
            added[members[place]] += own.left_out
    if not kept:
        return None, added
    weights = np.stack([own.weights for own in kept.values()])
    model = Letters(
        np.stack([own.rarity for own in kept.values()]),
        # Rounded as they are stored, so that the calibrated model is the one that is saved.
        weights[:, :SLOTS].astype(np.float16).astype(np.float32),
        weights[:, SLOTS],
        {label: place for place, label in enumerate(kept)},
    )
    return model, added


@dataclass(frozen=True, slots=True)
class _Own:
    """One label's weights."""

    rarity: NDArray[np.float32]
    weights: Floats
    left_out: Floats
    """Leave-one-out corrections, `(requests, routes)`."""


def _fit_own(part: tuple[Sequence[str], Floats]) -> _Own | None:
    """Return the weights of a label from the texts that carry it, and their errors."""
    with one_thread():
        return _own_weights(*part)


def _own_weights(texts: Sequence[str], errors: Floats) -> _Own | None:
    counts = np.concatenate(list(pair_counts(texts)))
    rarity = (np.log((1 + len(counts)) / (1 + (counts > 0).sum(0))) + 1).astype(np.float32)
    # The last column is the bias, with a weaker penalty than a weight.
    rows = np.column_stack([weighed(counts, rarity), np.full(len(counts), BIAS)]).astype(float)
    _, spread, directions = np.linalg.svd(rows, full_matrices=False)
    turned = rows @ directions.T
    best, most = None, 0.0
    for pull in PULLS:
        scale = 1 / (spread**2 + pull)
        found = scale[:, None] * (turned.T @ errors)
        leverage = (turned * turned) @ scale
        remains = (errors - turned @ found) / (1 - leverage)[:, None]
        saved = float((errors**2 - remains**2).sum())
        if saved > most:
            own = directions.T @ found
            own[-1] *= BIAS
            best, most = _Own(rarity, own, errors - remains), saved
    return best


def fit_projection(matrix: Any, words: int, size: int, seed: int) -> NDArray[np.float32]:
    """Return the leading right singular vectors of the weighted words, `(buckets, size)`; rows of labels are zero.

    Source: Deerwester et al., Indexing by Latent Semantic Analysis (1990).
    """
    from sklearn.utils.extmath import randomized_svd

    size = min(size, words, min(matrix.shape) - 1)
    whole = np.zeros((matrix.shape[1], max(size, 0)), np.float32)
    if size > 0:
        _, _, directions = randomized_svd(matrix[:, :words], size, n_iter=4, random_state=seed)
        whole[:words] = directions.T
    return whole


def fit_forest(features: Floats, scores: Floats, *, trees: int, leaf: int, depth: int, seed: int) -> Forest:
    """Fit a forest of extremely randomised trees.

    Args:
        features: Features, `(requests, features)`.
        scores: Scores without NaN, `(requests, routes)`.
        trees: Number of trees.
        leaf: Fewest requests in a leaf.
        depth: Largest depth of a tree.
        seed: Seed of the trees.
    """
    from sklearn.ensemble import ExtraTreesRegressor

    model = ExtraTreesRegressor(trees, min_samples_leaf=leaf, max_depth=depth, max_features=0.3, random_state=seed, n_jobs=2)
    model.fit(features.astype(np.float32), scores)
    return _flat(model, scores.shape[1])


def _flat(model: Any, routes: int) -> Forest:
    """Return all trees in one set of arrays, nodes renumbered so that a right child follows its left sibling."""
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
        # Rounded as it is stored, so that the calibrated model is the one that is saved.
        value.astype(np.float16).astype(np.float32),
        depth,
    )


def folds(count: int, parts: int, seed: int) -> Ints:
    """Return the fold of each request, balanced and shuffled, `(requests,)`."""
    return np.random.default_rng(seed).permutation(np.arange(count) % parts)
