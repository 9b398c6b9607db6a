"""Benchmark of the bandit policy on recorded outcomes: utility against the best fixed route, and recovery after a change.

For each source a policy is fitted on one part; requests are drawn from the other. The bandit receives the outcome of the route it chose
twenty decisions later, and its utility is the score minus the cost: a success is worth three mean calls of the most expensive route.
It is compared with the best single route on the same requests: over 500 requests after 2,000 outcomes, then after another 2,000
since a simulated change. `quality`: the best route fails at half of what it used to solve. `price`: its price rises tenfold.

Then its guarantees: observed frequencies of routes against their propensities, and the share of a degraded route under a floor.

Run: python benchmarks/bandit.py [--seeds 20] [--only zeroeval,bfcl,mmlu_pro,routellm] [--cold]
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
from offpolicy import held_back

from langroute.core.records import Attempt, Decision, Outcome, Request, RouteInfo, Step
from langroute.estimators.estimator import Estimate
from langroute.learning.replay import request_of
from langroute.policies.bandit import Bandit

OUTCOMES, JUDGED, LATE = 2000, 500, 20


class World:
    """Recorded requests of one source, with the outcome of each route."""

    def __init__(self, source: str, folder: Path) -> None:
        stored, parts = held_back(source, folder)
        self.group = stored.groups[0]
        columns = [parts[0].names.index(name) for name in self.group.routes]
        self.scores = np.concatenate([part.scores for part in parts])[:, columns]
        self.costs = np.concatenate([part.costs for part in parts])[:, columns]
        self.routes = tuple(RouteInfo(name, price=self.group.prices[name]) for name in self.group.routes)
        self.requests = [request_of(one, self.routes) for part in parts for one in part.exchanges]
        guesses = [self.group.estimator.estimate(part.documents()) for part in parts]
        self.estimates = [
            Estimate(one.success[[row]], one.input_tokens[[row]], one.output_tokens[[row]], one.log_output)
            for one in guesses
            for row in range(len(one.success))
        ]
        self.cost_weight = 1 / (3 * self.costs.mean(0).max())


class Life:
    """A bandit that receives the world's requests in random order."""

    def __init__(self, world: World, seed: int, *, cold: bool, **options: float) -> None:
        self.world, self.random = world, np.random.default_rng(seed)
        group = None if cold else world.group
        self.bandit = Bandit(world.group.routes, group=group, cost_weight=world.cost_weight, seed=seed, **options)
        self.scores, self.costs, self.routes = world.scores.copy(), world.costs.copy(), world.routes
        self.late: list[Outcome] = []
        self.count = 0
        self.chosen = np.zeros(len(self.routes))

    def live(self, rounds: int) -> tuple[float, float]:
        """Return the mean utility over these requests, and that of the best single route on them."""
        utility = self.scores - self.world.cost_weight * self.costs
        best = utility.mean(0).argmax()
        own = other = 0.0
        for row in self.random.integers(len(self.scores), size=rounds):
            self.count += 1
            request: Request = replace(self.world.requests[row], routes=self.routes)
            if self.bandit._learned is not None:
                self.bandit._learned.remember(request, self.world.estimates[row])
            selection = self.bandit.select(request, ())
            place = self.world.group.routes.index(selection.route)
            self.chosen[place] += 1
            own += utility[row, place]
            other += utility[row, best]
            attempt = Attempt(selection, answer="", cost_usd=float(self.costs[row, place]))
            self.bandit.on_decision(Decision(str(self.count), Step(), selection.route, (attempt,)))
            self.late.append(Outcome(score=float(self.scores[row, place]), decision_id=str(self.count)))
            if len(self.late) > LATE:
                self.bandit.on_outcome(self.late.pop(0))
        return own / rounds, other / rounds

    def change(self, kind: str) -> None:
        """Change the world so that the best single route gets worse."""
        best = int((self.scores - self.world.cost_weight * self.costs).mean(0).argmax())
        if kind == "quality":
            self.scores[:, best] *= self.random.random(len(self.scores)) < 0.5
        else:
            self.costs[:, best] *= 10
            price = self.routes[best].price
            dear = replace(self.routes[best], price=replace(price, input=price.input * 10, output=price.output * 10))
            self.routes = tuple(dear if place == best else one for place, one in enumerate(self.routes))


def reach(world: World, seeds: int, *, cold: bool) -> None:
    """Print utilities relative to the best single route's."""
    for kind in ("quality", "price"):
        before, after = [], []
        for seed in range(seeds):
            life = Life(world, seed, cold=cold)
            life.live(OUTCOMES)
            before.append(np.divide(*life.live(JUDGED)))
            life.change(kind)
            life.live(OUTCOMES)
            after.append(np.divide(*life.live(JUDGED)))
        if kind == "quality":
            print(f"  after {OUTCOMES} outcomes:          {said(before)}", flush=True)
        print(f"  after a change of {kind:7}:       {said(after)}", flush=True)


def said(ratios: list[float]) -> str:
    """Format ratios."""
    near = sum(ratio >= 0.9 for ratio in ratios)
    return f"{np.mean(ratios):.3f} of the best route's utility, least {min(ratios):.3f}; within a tenth in {near} of {len(ratios)} runs"


def promises(world: World) -> None:
    """Print whether observed frequencies match the propensities, and whether the floor holds."""
    life = Life(world, 1, cold=False, explore=0.2)
    life.live(500)
    request, count = world.requests[0], 4000
    picked, expected, estimated, explores = np.zeros(len(world.routes)), np.zeros(len(world.routes)), [], 0
    for _ in range(count):
        selection = life.bandit.select(request, ())
        place = world.group.routes.index(selection.route)
        picked[place] += 1
        estimated.append(1 / selection.propensity)
        explores += selection.reason == "explores"
        contexts = life.bandit._contexts(request, world.group.routes)
        expected += life.bandit._chances(np.arange(len(world.routes)), contexts)[1]
    spread = np.sqrt(expected * (1 - expected / count))
    worst = np.max(np.abs(picked - expected) / np.maximum(spread, 1))
    print(
        f"  propensities: worst route {worst:.1f} standard errors from what was picked; explored {explores / count:.3f} (at most 0.2)"
    )
    print(f"  mean of 1 / propensity over the routes: {np.mean(estimated) / len(world.routes):.3f} (1 where all can be judged)")
    # One route goes bad for everything; the floor is what the median route solves.
    floor = float(np.median(world.scores.mean(0)))
    life = Life(world, 2, cold=False, explore=0.2, floor=floor)
    bad = int((world.scores - world.cost_weight * world.costs).mean(0).argmax())
    life.scores[:, bad] *= life.random.random(len(life.scores)) < 0.1
    life.live(1000)
    life.chosen[:] = 0
    life.live(2000)
    print(f"  floor {floor:.2f}, best route gone bad: it gets {life.chosen[bad] / 2000:.3f} of the requests")
    request = world.requests[0]
    begun = perf_counter()
    for number in range(1000):
        life.bandit.select(replace(request, default=str(number)), ())
    print(f"  a decision with its estimate: {(perf_counter() - begun) * 1e3:.0f} µs")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", default="zeroeval,bfcl,mmlu_pro,routellm")
    parser.add_argument("--cold", action="store_true", help="start without a fitted estimator")
    given = parser.parse_args()
    for one in given.only.split(","):
        with tempfile.TemporaryDirectory() as name:
            there = World(one, Path(name))
        print(f"{one}: {len(there.scores)} requests, {len(there.routes)} routes, {'cold' if given.cold else 'warm'}")
        reach(there, given.seeds, cold=given.cold)
        if not given.cold:
            promises(there)
