"""Is this request easy enough for a cheap route, as far as a stranger can tell?

The estimator that ships with langroute says how likely a cheap and a frontier model are to answer a question rightly. It knows questions
with a right answer, in English; what looks otherwise it is not asked about, and then nobody is sent to a cheaper route because of it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from langroute.estimators.documents import document_of
from langroute.estimators.estimator import Estimator
from langroute.estimators.features import Floats, featurize
from langroute.estimators.store import load_policy_file
from langroute.records import Request

FOLDER = Path(__file__).resolve().parent.parent / "data" / "estimator"

LEAST_WORDS = 8
"""A request of fewer words is not judged: "fix it" and "continue" say nothing about what is asked."""

LEAST_KNOWN = 8
"""Nor is one of which fewer words and pairs are known."""

KINDS = ("answer", "chat", "classify", "extract")
"""Step kinds that may be judged; the steps of agents are unlike anything the estimator has seen."""

MOST_LOSS = 0.15
"""What may be lost with a cheap route where a request looks easy; see `looks_easy`."""

FAILURE = 0.3
"""How much of a cheap route's own failures counts as lost, beside the gap: of requests that the estimator knows little about it
believes that all routes fail alike, and there the gap alone says nothing."""


@dataclass(frozen=True, slots=True)
class Difficulty:
    """What the shipped estimator thinks of a request."""

    cheap: float
    """Probability that a cheap model succeeds."""

    frontier: float
    """Probability that a frontier model succeeds."""

    @property
    def gap(self) -> float:
        """What a frontier model would add."""
        return self.frontier - self.cheap


_reading = threading.Lock()


def default_estimator() -> Estimator:
    """The estimator that ships with langroute, read when it is first asked; its routes are `cheap` and `frontier`.

    Example:
        >>> default_estimator().routes
        ('cheap', 'frontier')
    """
    # Without the lock all threads that are there at the first question would read it.
    with _reading:
        return _read()


@lru_cache(maxsize=1)
def _read() -> Estimator:
    return load_policy_file(FOLDER).groups[0].estimator


_last = threading.local()


def difficulty_of(request: Request) -> Difficulty | None:
    """Judge a request; `None` where the estimator has no say: agent steps, histories, media, few known words.

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
    if signals.images or signals.audio or signals.files:
        return None
    document = document_of(request.messages, request.tools)
    if len(document.text.split(None, LEAST_WORDS - 1)) < LEAST_WORDS:
        return None
    estimator = default_estimator()
    batch = featurize([document], estimator.vocabulary)
    if len(batch.buckets) < LEAST_KNOWN:
        return None
    success = estimator.of(batch, [document]).success[0]
    return Difficulty(float(success[0]), float(success[1]))


def looks_easy(cheap: Floats, frontier: Floats) -> NDArray[np.bool_]:
    """The rule of `is_easy`, for many requests at once.

    Args:
        cheap: Probability that a cheap model succeeds.
        frontier: That a frontier model does.

    Example:
        >>> looks_easy(np.array([0.9, 0.5, 0.6]), np.array([0.95, 0.5, 0.9])).tolist()
        [True, True, False]
    """
    return np.asarray(frontier - cheap + FAILURE * (1 - cheap) <= MOST_LOSS)


def is_easy(request: Request) -> bool:
    """A cheap route is expected to do about as well as a frontier one. Never true where the estimator has no say.

    Example:
        >>> is_easy(Request("Prove P != NP"))
        False
    """
    found = difficulty_of(request)
    return found is not None and bool(looks_easy(np.array(found.cheap), np.array(found.frontier)))
