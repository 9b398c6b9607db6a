"""Online learning: as good as the best fixed policy, quick to notice a change, and never careless."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from langchain_core.messages import HumanMessage

from langroute.errors import ConfigurationError
from langroute.policies.bandit import Bandit
from langroute.records import Attempt, Decision, Outcome, Request, RouteInfo, Step

ROUTES = (RouteInfo("small"), RouteInfo("large"))
REQUEST = Request((HumanMessage("Add 1 and 2."),), routes=ROUTES)


class World:
    """Routes with a chance of success and a cost; outcomes come some decisions later."""

    def __init__(self, chances: dict[str, float], costs: dict[str, float], seed: int = 0) -> None:
        self.chances, self.costs = dict(chances), dict(costs)
        self.random, self.late, self.count = np.random.default_rng(seed), [], 0

    def run(self, policy: Bandit, rounds: int, delay: int = 20) -> tuple[float, Counter[str]]:
        worth, routes = 0.0, Counter()
        for _ in range(rounds):
            self.count += 1
            selection = policy.select(REQUEST, ())
            name = selection.route
            routes[name] += 1
            worth += self.chances[name] - policy.cost_weight * self.costs[name]
            attempt = Attempt(selection, answer="3", cost_usd=self.costs[name])
            policy.on_decision(Decision(str(self.count), Step(), name, (attempt,)))
            self.late.append(Outcome(success=bool(self.random.random() < self.chances[name]), decision_id=str(self.count)))
            if len(self.late) > delay:
                policy.on_outcome(self.late.pop(0))
        return worth / rounds, routes


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("small", "best"), [(0.85, 0.85 - 0.01), (0.4, 0.9 - 0.2)])
def test_it_reaches_the_best_fixed_policy_within_a_tenth(seed: int, small: float, best: float) -> None:
    world = World({"small": small, "large": 0.9}, {"small": 0.001, "large": 0.02}, seed)
    policy = Bandit(["small", "large"], cost_weight=10, seed=seed)
    world.run(policy, 2000)

    worth, _ = world.run(policy, 500)
    assert worth >= 0.9 * best


def test_it_recovers_after_a_drop_in_quality_and_after_a_rise_in_price() -> None:
    world = World({"small": 0.9, "large": 0.9}, {"small": 0.001, "large": 0.02})
    policy = Bandit(["small", "large"], cost_weight=10)
    world.run(policy, 1000)
    world.chances["small"] = 0.3
    world.run(policy, 1000)
    assert world.run(policy, 300)[0] >= 0.9 * (0.9 - 0.2)

    world.chances["small"], world.costs["large"] = 0.6, 0.08
    world.run(policy, 1500)
    assert world.run(policy, 300)[0] >= 0.9 * (0.6 - 0.01)


def test_cost_counts_in_the_reward() -> None:
    """A bandit that leaves cost out picks the dear route for a hair of quality."""
    world = World({"small": 0.88, "large": 0.9}, {"small": 0.001, "large": 0.1})
    policy = Bandit(["small", "large"], cost_weight=5)
    world.run(policy, 1000)

    _, routes = world.run(policy, 500)
    assert routes["small"] > 0.85 * 500


def test_propensities_are_what_happens() -> None:
    policy = Bandit(["small", "large"], cost_weight=0, explore=0.3)
    said = [policy.select(REQUEST, ()) for _ in range(2000)]
    looks_best = Counter(one.reason for one in said)

    assert all(0 < one.propensity <= 1 for one in said)
    explored = [one.propensity for one in said if one.reason == "explores"]
    assert looks_best["explores"] / 2000 == pytest.approx(np.mean(explored), abs=0.04)


def test_exploration_is_capped_and_never_below_the_floor() -> None:
    world = World({"small": 0.2, "large": 0.9}, {"small": 0.001, "large": 0.001})
    policy = Bandit(["small", "large"], cost_weight=0, explore=0.1, floor=0.5)
    world.run(policy, 800)

    _, routes = world.run(policy, 500)
    assert routes["small"] == 0


def test_an_outcome_counts_once_and_silence_teaches_nothing() -> None:
    policy = Bandit(["small", "large"], cost_weight=0, explore=0)
    selection = policy.select(REQUEST, ())
    policy.on_decision(Decision("1", Step(), selection.route, (Attempt(selection, answer="3"),)))
    before = policy.beliefs()
    policy.on_outcome(Outcome(success=True, decision_id="1"))
    once = policy.beliefs()
    policy.on_outcome(Outcome(success=True, decision_id="1"))
    policy.on_outcome(Outcome(success=True))

    assert before != once
    assert policy.beliefs() == once


def test_mistakes_are_said() -> None:
    with pytest.raises(ConfigurationError, match="explore"):
        Bandit(["small"], cost_weight=1, explore=2)
    with pytest.raises(ConfigurationError, match="names"):
        Bandit([], cost_weight=1)
