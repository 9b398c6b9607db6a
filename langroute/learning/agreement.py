"""Agreement chains: two or three cheap routes that must agree, and a stronger one that is asked where they do not.

Nothing is fitted in a chain, so its quality on other requests is known better than that of a fitted cascade. It is stored as a plan of
`LearnedCascade` whose models are constants.

Source: Yue et al., Large Language Model Cascades with Mixture of Thoughts Representations (2024), for agreement of answers as the verifier.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from langroute.estimators.arrays import Floats, Ints
from langroute.estimators.plan import Plan, Stage, agreement_code, state_features
from langroute.learning.cascades import Ground

MOST_CHEAP, MOST_LAST = 9, 6
"""Most routes that chains begin with, and most routes that are asked where those differ."""

SIZES = (2, 3)
"""Numbers of routes that must agree."""

NO_PRICE = 1e-9
"""Price of quality of a chain, which decides by agreement alone; above 0, so that a route that is not eligible is worth least."""


class Chain(NamedTuple):
    """Routes that are asked in turn as long as they agree, and the one that is asked where they do not, as indices."""

    cheap: tuple[int, ...]
    last: int


def chains(quality: Floats, costs: Floats, frontier: int) -> list[Chain]:
    """Return the chains worth trying, the cheaper routes of each first.

    Args:
        quality: Mean score of each route, `(routes,)`.
        costs: Mean cost of each route, `(routes,)`.
        frontier: Index of the best single route.

    Example:
        >>> chains(np.array([0.7, 0.75, 0.9]), np.array([0.1, 0.05, 1.0]), 2)
        [Chain(cheap=(1, 0), last=2)]
    """
    relative = costs / max(costs[frontier], 1e-12)
    below = [place for place in range(len(quality)) if relative[place] < 1 and place != frontier]
    cheap = sorted(below, key=lambda place: (-quality[place] + 0.3 * relative[place], place))[:MOST_CHEAP]
    strong = sorted(range(len(quality)), key=lambda place: (-quality[place], place))
    last = [place for place in strong if relative[place] <= 1.3][:MOST_LAST]
    cheap.sort(key=lambda place: (costs[place], place))
    return [Chain(some, one) for size in SIZES for some in combinations(cheap, size) for one in last if one not in some]


def outcomes(ground: Ground, tried: Sequence[Chain]) -> Iterator[tuple[Floats, Floats]]:
    """Yield the recorded scores and costs of each chain, `(requests,)` each; costs in units of the frontier's mean cost."""
    for chain in tried:
        asked, agreed = _walked(ground, chain)
        score = np.where(agreed, ground.scores[:, chain.cheap[-1]], ground.scores[:, chain.last])
        yield score, asked + np.where(agreed, 0.0, ground.costs[:, chain.last])


def _walked(ground: Ground, chain: Chain) -> tuple[Floats, NDArray[np.bool_]]:
    """Return what the cheap routes of a chain cost, and whether all of them agree, `(requests,)` each."""
    first, *others = chain.cheap
    spent, agreed = ground.costs[:, first].copy(), np.ones(len(ground.costs), np.bool_)
    for place in others:
        spent += np.where(agreed, ground.costs[:, place], 0.0)
        agreed &= ground.same[:, first, place]
    return spent, agreed


def chain_plan(ground: Ground, chain: Chain, unit_usd: float) -> Plan:
    """Return a chain as a plan of `LearnedCascade`.

    The worth of an action that the chain takes is the mean score it led to, which the policy records as its confidence; that of any other is
    lower. Where a cheap route is not eligible, the last one is asked instead.

    Args:
        ground: Recorded requests.
        chain: The chain.
        unit_usd: The frontier's mean cost of a call, in USD.
    """
    _, agreed = _walked(ground, chain)
    scores, cheap, last = ground.scores, chain.cheap, chain.last
    good, rest = _mean(scores[agreed, cheap[-1]]), _mean(scores[~agreed, last])
    stages = [_constant(ground, (), (last, cheap[0]), np.array([good / 2, good]))]
    for size in range(1, len(cheap)):
        # Until they differ the next one is asked.
        on = _constant(ground, cheap[:size], (-1, last, cheap[size]), np.array([0.0, rest, rest / 2]))
        _where_agreed(on, ground, size, np.array([0.0, good / 2 - rest, good - rest / 2]))
        stages.append(on)
    end = _constant(ground, cheap, (-1, last), np.array([rest / 2, rest]), goes_on=False)
    _where_agreed(end, ground, len(cheap), np.array([good - rest / 2, good / 2 - rest]))
    return Plan(cheap, NO_PRICE, unit_usd, (*stages, end))


def _mean(scores: Floats) -> float:
    """Return the mean score, which is above 0 so that the action it belongs to is worth more than half of it."""
    return max(float(scores.mean()), 1e-3) if len(scores) else 1e-3


def _all_agree(size: int) -> int:
    return agreement_code([[True] * row for row in range(size)])


def _constant(ground: Ground, tried: tuple[int, ...], actions: tuple[int, ...], worth: Floats, goes_on: bool = True) -> Stage:
    """Return a stage whose actions are worth the same for every request."""
    patterns: Ints = np.array([_all_agree(len(tried))] if tried else [], np.int64)
    none = np.zeros((1, len(tried)))
    width = state_features(ground.logits[:1], tried, ground.frontier, np.zeros(1, np.int64), patterns, none, none).shape[1]
    return Stage(patterns, np.zeros((width, len(actions))), worth, actions, goes_on)


def _where_agreed(stage: Stage, ground: Ground, size: int, added: Floats) -> None:
    """Add to the worth of a stage's actions where all answers so far agree."""
    # After the log-odds, and whether each answer is known and how long it is, comes whether they agree.
    stage.weights[ground.logits.shape[1] + 2 * size] = added
