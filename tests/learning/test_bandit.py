"""Online learning: as good as the best fixed policy, quick to notice a change, and never careless."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from langchain_core.messages import HumanMessage

from langroute.core.errors import ConfigurationError
from langroute.core.records import Attempt, Decision, Outcome, Price, Request, RouteInfo, Step
from langroute.estimators.store import load_policy_file
from langroute.learning.grouping import table_of
from langroute.learning.prices import prices_for, read_prices
from langroute.learning.traffic import read_traffic
from langroute.policies.bandit import EVENLY, Bandit

ROUTES = (RouteInfo("small"), RouteInfo("large"))
REQUEST = Request((HumanMessage("Add 1 and 2."),), routes=ROUTES)
ALONE = Step()


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
    """Each route is picked as often as its propensities say, and none of them is so small that an estimate would miss it."""
    policy = Bandit(["small", "large"], cost_weight=0, explore=0.3)
    policy.on_decision(decided(policy, "1"))
    policy.on_outcome(Outcome(success=True, decision_id="1"))
    said = [policy.select(REQUEST, ()) for _ in range(4000)]

    for route in ("small", "large"):
        weights = [1 / one.propensity for one in said if one.route == route]
        # Inverse propensities of a route's picks count every decision once, or the route would be missing from an estimate.
        assert sum(weights) / 4000 == pytest.approx(1, abs=0.15)
    assert sum(one.reason == "explores" for one in said) / 4000 <= 0.3
    assert min(one.propensity for one in said) >= 0.3 * EVENLY / 2


def decided(policy: Bandit, number: str, step: Step = ALONE) -> Decision:
    selection = policy.select(REQUEST, ())
    return Decision(number, step, selection.route, (Attempt(selection, answer="3"),))


def test_a_run_that_shall_be_deterministic_is_not_explored_with() -> None:
    policy = Bandit(["small", "large"], cost_weight=0, explore=1.0)

    assert {policy.select(replace(REQUEST, deterministic=True), ()).propensity for _ in range(50)} == {1.0}


def test_an_outcome_of_a_task_counts_for_each_of_its_decisions() -> None:
    one, other = (Bandit(["small"], cost_weight=0, explore=0) for _ in range(2))
    for policy in (one, other):
        for number in "12":
            policy.on_decision(decided(policy, number, Step(task="t")))
    one.on_outcome(Outcome(success=True, task_id="t"))
    one.on_outcome(Outcome(success=True, task_id="t"))
    for number in "12":
        other.on_outcome(Outcome(success=True, decision_id=number))

    assert one.beliefs() == other.beliefs()


def test_a_metric_of_ones_own_is_no_reward() -> None:
    policy = Bandit(["small"], cost_weight=0)
    policy.on_decision(decided(policy, "1"))
    before = policy.beliefs()
    policy.on_outcome(Outcome("seconds", score=0.2, decision_id="1"))

    assert policy.beliefs() == before


def test_a_route_that_got_better_is_noticed_though_it_looked_bad() -> None:
    """Old evidence of all routes fades, and some of the exploring goes to all alike."""
    world = World({"small": 0.2, "large": 0.7}, {"small": 0.001, "large": 0.001})
    policy = Bandit(["small", "large"], cost_weight=0)
    world.run(policy, 1500)
    world.chances["small"] = 0.98
    world.run(policy, 2000)

    assert world.run(policy, 300)[1]["small"] > 200


def test_a_route_below_the_floor_is_not_chosen_however_cheap() -> None:
    world = World({"small": 0.4, "large": 0.9}, {"small": 0.001, "large": 0.09})
    policy = Bandit(["small", "large"], cost_weight=10, floor=0.7)
    world.run(policy, 500)

    assert world.run(policy, 300)[1]["large"] > 270


def test_where_all_are_below_the_floor_the_likeliest_to_succeed_is_chosen() -> None:
    world = World({"small": 0.2, "large": 0.5}, {"small": 0.0, "large": 0.02})
    policy = Bandit(["small", "large"], cost_weight=10, floor=0.95)
    world.run(policy, 500)

    assert world.run(policy, 300)[1]["large"] > 270


def test_a_price_that_rises_is_known_at_once_where_the_policy_was_fitted(fitted: Path) -> None:
    """The price of now counts; nobody must pay it first."""
    group = load_policy_file(fitted).groups[0]
    policy = Bandit(["small", "large"], group=group, cost_weight=100, explore=0)
    cheap = tuple(RouteInfo(name, price=Price(0.1, 0.1)) for name in ("large", "small"))
    dear = (cheap[0], RouteInfo("small", price=Price(1000, 1000)))

    text = (HumanMessage("Add 12 and 13, then tell me the sum."),)
    assert policy.select(Request(text, routes=dear), ()).route == "large"
    assert policy.select(Request(text, routes=(RouteInfo("large", price=Price(1000, 1000)), cheap[1])), ()).route == "small"


@pytest.mark.parametrize("change", ["none", "quality", "price"])
def test_it_reaches_the_best_route_of_recorded_outcomes_within_a_tenth(shared: Path, change: str) -> None:
    """Two thousand outcomes of real models, told late; then as many after the best route lost half its quality or got ten times dearer."""
    rows = list(read_traffic([shared / "outcomes" / "bfcl.jsonl.gz"]))
    names = tuple(sorted(rows[0].outcomes))
    prices = prices_for(names, read_prices(shared / "outcomes" / "prices.toml"))
    table = table_of(rows, names, prices)
    scores, costs = table.scores.copy(), table.costs.copy()
    weight = 1 / (3 * costs.mean(0).max())
    random = np.random.default_rng(3)
    policy = Bandit(names, cost_weight=weight)
    late: list[Outcome] = []

    def live(rounds: int) -> tuple[float, float]:
        utility = scores - weight * costs
        own = 0.0
        picked = random.integers(len(scores), size=rounds)
        for row in picked:
            selection = policy.select(request, ())
            place = names.index(selection.route)
            own += utility[row, place]
            number = str(random.integers(2**60))
            attempt = Attempt(selection, answer="", cost_usd=float(costs[row, place]))
            policy.on_decision(Decision(number, Step(), selection.route, (attempt,)))
            late.append(Outcome(score=float(scores[row, place]), decision_id=number))
            if len(late) > 20:
                policy.on_outcome(late.pop(0))
        return own / rounds, utility[picked, utility.mean(0).argmax()].mean()

    request = Request((HumanMessage("Hi."),), routes=tuple(map(RouteInfo, names)))
    live(2000)
    best = (scores - weight * costs).mean(0).argmax()
    if change == "quality":
        scores[:, best] *= random.random(len(scores)) < 0.5
        live(2000)
    elif change == "price":
        costs[:, best] *= 10
        live(2000)
    own, other = live(500)

    assert own >= 0.9 * other


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
