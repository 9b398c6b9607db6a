"""Fitting of an estimator, with cross-fitted estimates of its training requests.

Every request is estimated by models that were not fitted on it. Operating points, calibration and the card use these estimates, so that
they do not overstate quality through overfitting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from langroute.estimators.arrays import Floats, Ints
from langroute.estimators.char_ngrams import LEAST
from langroute.estimators.documents import Document
from langroute.estimators.embedding_features import CachedEmbeddings
from langroute.estimators.estimator import Blend, Estimator, Tokens, logit, probability
from langroute.estimators.features import featurize
from langroute.learning.pieces import Engine, OneProcess
from langroute.learning.training import (
    fit_forest,
    fit_letters,
    fit_linear,
    fit_projection,
    fit_sense,
    folds,
    matrix_of,
    one_thread,
    vocabulary_of,
    weighting_of,
)

HIDDEN_LABELS = 0.1
"""Share of the requests that are added a second time without their labels, so that the estimator also learns unlabelled requests."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Sizes of the models: folds, projection, forest and vocabulary."""

    folds: int = 5
    directions: int = 32
    trees: int = 60
    leaf: int | None = None
    """Fewest requests in a leaf; by default a five-hundredth of all requests, from 8 to 20."""

    depth: int = 12
    most_words: int = 120_000
    least: int = 2
    """Fewest requests that a word must occur in to be in the vocabulary."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted estimator, and its predictions for the training requests."""

    estimator: Estimator
    success: Floats
    """Cross-fitted probability of success, `(requests, routes)`."""

    input_tokens: Floats
    """Expected input tokens, `(requests, routes)`; fitted on all requests."""

    output_tokens: Floats
    """Expected output tokens, `(requests, routes)`; fitted on all requests."""

    log_output: Floats
    """Mean `log(1 + output tokens)` of each route, `(requests, routes)`."""

    fold: Ints
    """Cross-fitting fold of each request, `(requests,)`."""


def fit_estimator(
    documents: Sequence[Document],
    routes: Sequence[str],
    scores: Floats,
    input_tokens: Floats,
    output_tokens: Floats,
    *,
    seed: int,
    settings: Settings | None = None,
    reader: CachedEmbeddings | None = None,
    engine: Engine | None = None,
) -> Fitted:
    """Fit all models of one group of routes.

    Args:
        documents: The requests.
        routes: Names of the columns.
        scores: Scores from 0 to 1, NaN where unknown, `(requests, routes)`.
        input_tokens: Input tokens, NaN where unknown, `(requests, routes)`.
        output_tokens: Output tokens, NaN where unknown, `(requests, routes)`.
        seed: Seed of the folds, trees and directions.
        settings: Sizes of the models.
        reader: Embeddings, where a model on them is part of the estimator.
        engine: What fits the models; this process by default. Every engine gives the same result.

    Returns:
        The estimator, and its cross-fitted predictions.
    """
    settings, engine = settings or Settings(), OneProcess() if engine is None else engine
    leaf = settings.leaf or min(max(len(documents) // 500, 8), 20)
    count = len(documents)
    vocabulary = vocabulary_of(documents, settings.most_words, settings.least)
    again = _once_more(documents, seed)
    batch = featurize([*documents, *(replace(documents[row], labels=()) for row in again)], vocabulary)
    weighting = weighting_of(batch, vocabulary)
    values = weighting.weigh(batch)
    matrix = matrix_of(batch, values, len(weighting.rarity))
    rows = np.concatenate([np.arange(count), again])
    scores, input_tokens, output_tokens = scores[rows], input_tokens[rows], output_tokens[rows]
    # A request and its unlabelled copy are in the same fold.
    fold = folds(count, settings.folds, seed)[rows]

    linear, words = _cross(engine, _Words(matrix, scores), fold)
    projection = fit_projection(matrix[:count], len(vocabulary), settings.directions, seed).astype(np.float16).astype(np.float32)
    features = np.hstack([batch.dense, matrix @ projection])
    whole = np.hstack([features, words])
    filled = np.where(np.isfinite(scores), scores, probability(words))

    forest, shapes = _cross(engine, _Shapes(whole, filled, settings, leaf, seed), fold)
    logits = [words, logit(shapes)]
    sense = None
    if reader is not None:
        vectors = reader.read([document.text for document in documents])[rows]
        sense, meant = _cross(engine, _Meanings(vectors, scores, reader.probe()), fold)
        logits.append(meant)
        sense = replace(sense, reader=reader)
    blend = fit_blend(logits, scores)
    success = np.zeros(scores.shape)
    for part in range(settings.folds):
        seen = fold != part
        own = fit_blend([one[seen] for one in logits], scores[seen])
        success[~seen] = own([one[~seen] for one in logits])
    success = success[:count]
    letters, added = fit_letters(documents, scores[:count] - success, engine)
    if letters is not None:
        success = np.clip(success + added, LEAST, 1 - LEAST)

    tokens = fit_tokens(features, np.hstack([input_tokens, output_tokens]))
    counts = np.expm1(tokens.logs(features[:count])) * tokens.factor
    estimator = Estimator(tuple(routes), vocabulary, weighting, linear, projection, forest, blend, letters, tokens, sense=sense)
    half = len(routes)
    return Fitted(
        estimator, success, counts[:, :half], counts[:, half:], np.broadcast_to(tokens.usual[half:], success.shape), fold[:count]
    )


def _once_more(documents: Sequence[Document], seed: int) -> Ints:
    """Return the indices of the requests that are added a second time, without their labels."""
    chosen = np.random.default_rng(seed + 1).random(len(documents)) < HIDDEN_LABELS
    return np.flatnonzero(chosen & np.array([bool(one.labels) for one in documents]))


class _Kind(Protocol):
    """A kind of model, and the requests that it is fitted on; rows are truth values, `(requests,)`."""

    def fit(self, rows: NDArray[np.bool_]) -> Any:
        """Return the model fitted on some requests."""

    def of(self, model: Any) -> Floats:
        """Return what a model says of all requests, `(requests, routes)`."""


@dataclass(frozen=True, slots=True)
class _Words:
    matrix: Any
    scores: Floats

    def fit(self, rows: NDArray[np.bool_]) -> Any:
        return fit_linear(self.matrix[rows], self.scores[rows])

    def of(self, model: Any) -> Floats:
        return np.asarray(self.matrix @ model.weights + model.bias)


@dataclass(frozen=True, slots=True)
class _Shapes:
    features: Floats
    scores: Floats
    settings: Settings
    leaf: int
    seed: int

    def fit(self, rows: NDArray[np.bool_]) -> Any:
        sizes = {"trees": self.settings.trees, "leaf": self.leaf, "depth": self.settings.depth}
        return fit_forest(self.features[rows], self.scores[rows], **sizes, seed=self.seed)

    def of(self, model: Any) -> Floats:
        return np.asarray(model.predict(self.features))


@dataclass(frozen=True, slots=True)
class _Meanings:
    vectors: Floats
    scores: Floats
    probe: Floats

    def fit(self, rows: NDArray[np.bool_]) -> Any:
        return fit_sense(self.vectors[rows], self.scores[rows], self.probe)

    def of(self, model: Any) -> Floats:
        return np.asarray(model.of(self.vectors))


EVERYTHING = -1
"""Stands for no fold: a model is fitted on all requests."""


@dataclass(frozen=True, slots=True)
class _CrossWork:
    """Fits a model on all requests but those of a fold, and says what it makes of these; or returns the model fitted on all."""

    kind: _Kind
    fold: Ints

    def __call__(self, part: int) -> Any:
        # A worker has threads of its own.
        with one_thread():
            seen = self.fold != part
            model = self.kind.fit(seen)
            return model if part == EVERYTHING else self.kind.of(model)[~seen]


def _cross(engine: Engine, kind: _Kind, fold: Ints) -> tuple[Any, Floats]:
    """Return the model fitted on all requests, and what models that had not seen them say of them, `(requests, routes)`."""
    parts = range(int(fold.max()) + 1)
    model, *found = engine.map(_CrossWork(kind, fold), [EVERYTHING, *parts])
    out = np.zeros((len(fold), found[0].shape[1]))
    for part, said in zip(parts, found, strict=True):
        out[fold == part] = said
    return model, out


def fit_blend(logits: Sequence[Floats], scores: Floats, pull: float = 1.0) -> Blend:
    """Fit a blend of models by logistic regression, with Newton's method.

    Args:
        logits: Log-odds of each model, `(requests, routes)` each.
        scores: Scores from 0 to 1, NaN where unknown, `(requests, routes)`.
        pull: Ridge penalty, towards equal weights and no shift.
    """
    known = np.isfinite(scores)
    rows, columns = np.nonzero(known)
    models, routes = len(logits), scores.shape[1]
    given = np.stack([part[rows, columns] for part in logits], 1)
    target = scores[rows, columns]
    weights, shift = np.full(models, 1.0 / models), np.zeros(routes)
    for _ in range(30):
        guess = probability(given @ weights + shift[columns])
        error, spread = guess - target, np.maximum(guess * (1 - guess), 1e-6)
        slope = np.concatenate(
            [given.T @ error + pull * (weights - 1.0 / models), np.bincount(columns, error, routes) + pull * shift]
        )
        curve = np.zeros((models + routes, models + routes))
        curve[:models, :models] = given.T @ (given * spread[:, None]) + pull * np.eye(models)
        cross = np.stack([np.bincount(columns, given[:, one] * spread, routes) for one in range(models)])
        curve[:models, models:], curve[models:, :models] = cross, cross.T
        curve[models:, models:] = np.diag(np.bincount(columns, spread, routes) + pull)
        step = np.linalg.solve(curve, slope)
        weights, shift = weights - step[:models], shift - step[models:]
        if np.abs(step).max() < 1e-8:
            break
    return Blend(weights, shift)


def fit_tokens(features: Floats, tokens: Floats, pull: float = 10.0) -> Tokens:
    """Fit the expected tokens by ridge regression of `log(1 + tokens)`, each column on the requests with a value.

    Source: Duan, Smearing Estimate: A Nonparametric Retransformation Method (1983), for the correction of the mean.

    Args:
        features: Features, `(requests, features)`.
        tokens: Input tokens of each route, then output tokens, NaN where unknown, `(requests, 2 * routes)`.
        pull: Ridge penalty, on standardised features.
    """
    logs = np.log1p(tokens)
    width, targets = features.shape[1], tokens.shape[1]
    mean, scale = features.mean(0), features.std(0) + 1e-6
    shifted = (features - mean) / scale
    weights, bias, factor, ceiling = np.zeros((width, targets)), np.zeros(targets), np.ones(targets), np.zeros(targets)
    usual = np.zeros(targets)
    for column in range(targets):
        rows = np.isfinite(logs[:, column])
        if not rows.any():
            continue
        middle, goal = shifted[rows].mean(0), logs[rows, column]
        own = shifted[rows] - middle
        found = np.linalg.solve(own.T @ own + pull * np.eye(width), own.T @ (goal - goal.mean())) / scale
        weights[:, column] = found
        bias[column] = goal.mean() - (middle * scale + mean) @ found
        ceiling[column], usual[column] = goal.max(), goal.mean()
        guess = np.expm1(np.clip(features[rows] @ found + bias[column], 0, ceiling[column]))
        factor[column] = tokens[rows, column].sum() / max(guess.sum(), 1e-9)
    return Tokens(weights, bias, factor, ceiling, usual)
