"""Difficulty of a request, by the estimator that ships with langroute.

The estimator predicts how likely a cheap and a frontier model are to answer a question correctly. It was fitted on English questions with
a correct answer; it is not asked about other requests, and those are never sent to a cheaper route because of it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from langroute.core.locks import new_lock
from langroute.core.records import Request
from langroute.estimators.arrays import Floats
from langroute.estimators.documents import document_of
from langroute.estimators.estimator import Estimator
from langroute.estimators.features import featurize
from langroute.estimators.store import load_policy_file

FOLDER = Path(__file__).resolve().parent.parent / "data" / "estimator"

LEAST_WORDS = 8
"""Fewest words of a request that is judged: "fix it" and "continue" say nothing about what is asked."""

LEAST_KNOWN = 8
"""Fewest words and word pairs of a judged request that have to be in the estimator's vocabulary."""

KINDS = ("answer", "chat", "classify", "extract")
"""Step kinds that may be judged; the steps of agents are unlike anything the estimator has seen."""

MOST_LOSS = 0.15
"""Largest expected loss with a cheap route at which a request counts as easy; see `looks_easy`."""

FAILURE = 0.3
"""Weight of the cheap route's failure probability in the expected loss, beside the gap. For requests that the estimator knows little about
it predicts the same failures for all routes, so that the gap alone says nothing."""


@dataclass(frozen=True, slots=True)
class Difficulty:
    """Prediction of the shipped estimator for one request."""

    cheap: float
    """Probability that a cheap model succeeds."""

    near: float
    """Probability that a cheap model succeeds that is nearly as good as a frontier one."""

    frontier: float
    """Probability that a frontier model succeeds."""

    input_tokens: float
    """Expected tokens of the request."""

    output_tokens: tuple[float, float, float]
    """Expected tokens of the answers of a cheap, a near and a frontier model."""

    @property
    def gap(self) -> float:
        """Probability of success that a frontier model adds."""
        return self.frontier - self.cheap


_reading = new_lock()


def default_estimator() -> Estimator:
    """Return the estimator that ships with langroute, loaded at the first call; its routes are kinds of models.

    Example:
        >>> default_estimator().routes
        ('cheap', 'near', 'frontier')
    """
    # Without the lock, every thread that is waiting at the first question would load it.
    with _reading:
        return _read()


@lru_cache(maxsize=1)
def _read() -> Estimator:
    return load_policy_file(FOLDER).groups[0].estimator


_last = threading.local()


def difficulty_of(request: Request) -> Difficulty | None:
    """Return the predicted difficulty, or `None` where the estimator does not apply: agent steps, histories, media, few known words.

    Example:
        >>> difficulty_of(Request("Fix it.")) is None
        True
    """
    known = getattr(_last, "known", None)
    if known is not None and known[0] is request:
        return known[1]  # type: ignore[no-any-return]
    found = _judge(request)
    _last.known = (request, found)
    return found


def _judge(request: Request) -> Difficulty | None:
    step = request.step
    signals = step.signals
    if step.kind not in KINDS or signals.tool_results or signals.turn > 1 or signals.language not in (None, "en"):
        return None
    if signals.images or signals.audio or signals.video or signals.files:
        return None
    document = document_of(request.messages, request.tools)
    if len(document.text.split(None, LEAST_WORDS - 1)) < LEAST_WORDS:
        return None
    estimator = default_estimator()
    batch = featurize([document], estimator.vocabulary)
    if len(batch.buckets) < LEAST_KNOWN:
        return None
    found = estimator.of(batch, [document])
    cheap, near, frontier = found.success[0].tolist()
    return Difficulty(cheap, near, frontier, float(found.input_tokens[0, -1]), tuple(found.output_tokens[0].tolist()))


def looks_easy(cheap: Floats, frontier: Floats) -> NDArray[np.bool_]:
    """Return which of many requests count as easy, `(requests,)`; the rule that `is_easy` applies to one.

    Args:
        cheap: Probability that a cheap model succeeds, `(requests,)`.
        frontier: Probability that a frontier model succeeds, `(requests,)`.

    Example:
        >>> looks_easy(np.array([0.9, 0.5, 0.6]), np.array([0.95, 0.5, 0.9])).tolist()
        [True, True, False]
    """
    return np.asarray(frontier - cheap + FAILURE * (1 - cheap) <= MOST_LOSS)


def is_easy(request: Request) -> bool:
    """Return whether a cheap route is expected to do about as well as a frontier one; false where the estimator does not apply.

    Example:
        >>> is_easy(Request("Prove P != NP"))
        False
    """
    found = difficulty_of(request)
    return found is not None and bool(looks_easy(np.array(found.cheap), np.array(found.frontier)))
