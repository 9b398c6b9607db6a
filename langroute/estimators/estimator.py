"""The estimator: probability of success and expected tokens of each route, from a calibrated blend of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from langroute.estimators.arrays import Floats
from langroute.estimators.char_ngrams import Letters
from langroute.estimators.documents import Document
from langroute.estimators.embedding_features import Sense
from langroute.estimators.features import Batch, featurize
from langroute.estimators.linear import Linear, Weighting, weighted_sums
from langroute.estimators.trees import Forest
from langroute.estimators.vocabulary import HashedVocabulary


def logit(probability: Floats) -> Floats:
    """Return the log-odds of probabilities, which are clipped to 0.005 to 0.995 first.

    Example:
        >>> float(logit(np.array(0.5)))
        0.0
    """
    held = np.minimum(np.maximum(probability, 0.005), 0.995)
    return np.asarray(np.log(held / (1 - held)))


def probability(logits: Floats) -> Floats:
    """Return the probabilities of log-odds: the logistic function, inverse of `logit`."""
    return np.asarray(1 / (1 + np.exp(-logits)))


@dataclass(frozen=True, slots=True)
class Blend:
    """Calibrated combination of the log-odds of several models: weights shared by all routes, and a shift for each route.

    Source: Platt, Probabilistic Outputs for Support Vector Machines (1999); Wolpert, Stacked Generalization (1992).
    """

    weights: Floats
    """`(models,)`."""

    shift: Floats
    """`(routes,)`."""

    def __call__(self, logits: Sequence[Floats]) -> Floats:
        """Return the probabilities of success, `(requests, routes)`, from the log-odds of each model, `(requests, routes)` each."""
        total = self.shift
        for weight, part in zip(self.weights, logits, strict=True):
            total = total + weight * part
        return probability(total)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Linear model of `log(1 + tokens)`, for the expected input and output tokens of each route."""

    weights: Floats
    """`(features, 2 * routes)`: input of each route, then output."""

    bias: Floats
    """`(2 * routes,)`."""

    factor: Floats
    """Correction of the bias of the retransformation, `(2 * routes,)`. Source: Duan, Smearing Estimate (1983)."""

    ceiling: Floats
    """Largest `log(1 + tokens)` of the training data, `(2 * routes,)`; predictions are clipped to it."""

    usual: Floats
    """Mean `log(1 + tokens)` of the training data, `(2 * routes,)`."""

    def logs(self, features: Floats) -> Floats:
        """Return the expected `log(1 + tokens)`, `(requests, 2 * routes)`, for features `(requests, features)`."""
        return np.minimum(np.maximum(features @ self.weights + self.bias, 0.0), self.ceiling)


@dataclass(frozen=True, slots=True)
class Kin:
    """Routes added after the fit: their log-odds are weighted sums of the fitted routes' log-odds."""

    weights: Floats
    """`(fitted routes, newcomers)`."""

    shift: Floats
    """`(newcomers,)`."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Predictions for each request and route; arrays are `(requests, routes)` unless said otherwise."""

    success: Floats
    """Probability of success."""

    input_tokens: Floats
    """Expected number of input tokens."""

    output_tokens: Floats
    """Expected number of output tokens."""

    log_output: Floats
    """Mean `log(1 + output tokens)` of each route, `(routes,)`, which an attempt's length is compared with."""

    @property
    def logits(self) -> Floats:
        """Log-odds of success, `(requests, routes)`."""
        return logit(self.success)


@dataclass(frozen=True, slots=True)
class Estimator:
    """Fitted models of a group of routes, as `langroute.learning` makes them."""

    routes: tuple[str, ...]
    vocabulary: HashedVocabulary
    weighting: Weighting
    linear: Linear
    projection: NDArray[np.float32]
    """Projection of the weighted words to dense directions (latent semantic indexing), `(buckets, directions)`."""

    forest: Forest | None
    blend: Blend
    letters: Letters | None
    tokens: Tokens
    kin: Kin | None = None
    """Model of the routes that were added after the fit, which are the last ones."""

    sense: Sense | None = None
    """Model on embeddings, where it was fitted with embeddings."""

    def estimate(self, documents: Sequence[Document]) -> Estimate:
        """Return the estimate of several requests."""
        return self.of(featurize(documents, self.vocabulary), documents)

    def of(self, batch: Batch, documents: Sequence[Document]) -> Estimate:
        """Return the estimate of requests that were featurized already; `documents` are those that `batch` was made of."""
        values = self.weighting.weigh(batch)
        linear = self.linear.logits(batch, values)
        features = self.features(batch, values)
        parts = [linear]
        if self.forest is not None:
            parts.append(logit(self.forest.predict(np.concatenate([features, linear], 1))))
        if self.sense is not None:
            parts.append(self.sense.logits(documents))
        success = self.blend(parts)
        if self.letters is not None:
            success = self.letters.correct(documents, success)
        if self.kin is not None:
            success = np.concatenate([success, probability(logit(success) @ self.kin.weights + self.kin.shift)], 1)
        logs = self.tokens.logs(features)
        counts = np.expm1(logs) * self.tokens.factor
        half = len(self.routes)
        return Estimate(success, counts[:, :half], counts[:, half:], self.tokens.usual[half:])

    def features(self, batch: Batch, values: Floats) -> Floats:
        """Return the dense features and the projected words, `(requests, features)`."""
        if not self.projection.shape[1]:
            return batch.dense
        short = values.astype(np.float32)
        if len(batch) == 1:
            return np.concatenate([batch.dense[0], short @ self.projection.take(batch.buckets, 0)])[None]
        return np.concatenate([batch.dense, weighted_sums(self.projection, batch.buckets, short, batch.starts)], 1)

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Return all arrays to store, by name."""
        found: dict[str, NDArray[Any]] = {
            "vocabulary": self.vocabulary.hashes,
            "bits": np.array(self.vocabulary.bits),
            "labels": np.array(list(self.vocabulary.labels), np.int64),
            "rarity": self.weighting.rarity,
            "projection": self.projection.astype(np.float16),
            "blend.weights": self.blend.weights,
            "blend.shift": self.blend.shift,
            **{f"linear.{name}": array for name, array in self.linear.arrays().items()},
            **{f"tokens.{name}": getattr(self.tokens, name) for name in ("weights", "bias", "factor", "ceiling", "usual")},
        }
        if self.kin is not None:
            found |= {"kin.weights": self.kin.weights, "kin.shift": self.kin.shift}
        if self.forest is not None:
            found |= {f"forest.{name}": array for name, array in self.forest.arrays().items()}
        if self.sense is not None:
            found |= {f"sense.{name}": array for name, array in self.sense.arrays().items()}
        if self.letters is not None:
            found |= {f"letters.{name}": array for name, array in self.letters.arrays().items()}
        return found

    @classmethod
    def from_arrays(cls, routes: Sequence[str], arrays: Mapping[str, NDArray[Any]]) -> Estimator:
        """Return the estimator from the arrays that `arrays` returned.

        Raises:
            KeyError: An array is missing.
        """
        vocabulary = HashedVocabulary(arrays["vocabulary"], arrays["labels"], int(arrays["bits"]))
        shapes, pairs = _under("forest.", arrays), _under("letters.", arrays)
        return cls(
            tuple(routes),
            vocabulary,
            Weighting(arrays["rarity"], len(vocabulary)),
            Linear(arrays["linear.weights"].astype(np.float32), arrays["linear.bias"]),
            arrays["projection"].astype(np.float32),
            Forest.from_arrays(shapes) if shapes else None,
            Blend(arrays["blend.weights"], arrays["blend.shift"]),
            Letters.from_arrays(pairs) if pairs else None,
            Tokens(*(arrays[f"tokens.{name}"] for name in ("weights", "bias", "factor", "ceiling", "usual"))),
            Kin(arrays["kin.weights"], arrays["kin.shift"]) if "kin.weights" in arrays else None,
            Sense.from_arrays(_under("sense.", arrays)) if "sense.mean" in arrays else None,
        )


def _under(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
