"""A new model with fifty scored answers is placed between the routes it resembles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_traffic import made_traffic

from langroute.core.errors import ConfigurationError, DataError
from langroute.core.records import Attempt, Price, Request, RouteInfo, Usage
from langroute.estimators.documents import document_of
from langroute.estimators.estimator import Estimator
from langroute.estimators.store import Group, load_policy_file, save_policy
from langroute.learning.newcomer import place_route
from langroute.learning.traffic import Exchange, parse_exchange
from langroute.policies.learned import Learned, LearnedCascade, load_policy

PRICE = Price(1.0, 3.0)


def answered(count: int, seed: int, like: str) -> list[Exchange]:
    """Made requests that a newcomer answers just as another route would."""
    rows = made_traffic(count, seed)
    for row in rows:
        row["outcomes"] = {"new": row["outcomes"][like]}
    return [parse_exchange(row) for row in rows]


def loss(guess: np.ndarray, scores: np.ndarray) -> float:
    held = np.clip(guess, 0.01, 0.99)
    return float(-(scores * np.log(held) + (1 - scores) * np.log(1 - held)).mean())


@pytest.fixture
def group(fitted: Path) -> Group:
    return load_policy_file(fitted).groups[0]


@pytest.mark.parametrize("like", ["small", "other"])
def test_fifty_answers_beat_what_they_say_on_average(group: Group, like: str) -> None:
    few, fresh = answered(50, 21, like), answered(800, 22, like)
    placed = place_route(group, few, "new", PRICE).estimator
    scores = np.array([one.outcomes["new"].score for one in fresh])

    guess = placed.estimate([document_of(one.messages, labels=one.labels) for one in fresh]).success[:, -1]

    average = np.mean([one.outcomes["new"].score for one in few])
    assert loss(guess, scores) < loss(np.full(len(scores), average), scores)
    assert abs(guess.mean() - scores.mean()) < 0.1


def test_its_cost_is_expected_too_and_policies_may_choose_it(group: Group) -> None:
    placed = place_route(group, answered(50, 23, "large"), "new", Price(0.001, 0.001))
    request = Request(
        [{"role": "user", "content": "Add 1 and 2, then tell me the sum."}], routes=(RouteInfo("new"), RouteInfo("large"))
    )
    policy = Learned(placed, tolerance=0.3)

    assert 10 < policy.estimate(request).input_tokens[0, -1] < 40
    assert policy.select(request, ()).route == "new"


def test_cascades_go_on_as_they_were_fitted(fitted: Path, tmp_path: Path) -> None:
    stored = load_policy_file(fitted)
    placed = place_route(stored.groups[0], answered(50, 23, "small"), "new", PRICE)
    save_policy(replace(stored, groups=(placed,)), tmp_path / "placed", "card")
    request = Request([{"role": "user", "content": "Add 1 and 2."}], routes=tuple(map(RouteInfo, placed.routes)))
    before, after = load_policy(fitted, target=1.0), load_policy(tmp_path / "placed", target=1.0)
    assert isinstance(after, LearnedCascade)

    first = after.select(request, ())
    attempts = [Attempt(first, answer="3", usage=Usage(20, 30))]

    assert first == before.select(request, ())
    assert after.select(request, attempts) == before.select(request, attempts)


def test_it_is_stored_like_any_other(group: Group) -> None:
    placed = place_route(group, answered(50, 24, "small"), "new", PRICE).estimator
    documents = [document_of(one.messages) for one in answered(20, 25, "small")]
    read = Estimator.from_arrays(placed.routes, placed.arrays())

    np.testing.assert_array_equal(read.estimate(documents).success, placed.estimate(documents).success)


def test_too_few_answers_and_known_names_are_said(group: Group) -> None:
    with pytest.raises(DataError, match="5 scored answers"):
        place_route(group, answered(5, 26, "small"), "new", PRICE)
    with pytest.raises(DataError, match="is no name for a route"):
        place_route(group, answered(50, 26, "small"), "", PRICE)
    with pytest.raises(ConfigurationError, match=r"the price of 'new'\.input is nan"):
        place_route(group, answered(50, 26, "small"), "new", Price(float("nan"), 1.0))
    with pytest.raises(DataError, match="fitted route already"):
        place_route(group, answered(50, 26, "small"), "small", PRICE)
