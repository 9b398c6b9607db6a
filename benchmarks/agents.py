"""Benchmark of autopilots and cascades on recorded agent tasks: what is earned, beside each route, a random mix and the bandit.

Each order is one life: the recorded tasks come one by one in random order, the policy that ships selects a route for each (and the next
one of a chain, where a simulated verifier rejects the first result), the recorded cost is paid and the recorded outcome told. A verifier
of accuracy 0.9 is right about nine of ten results. Worth is solved tasks times their value less what was paid.

Parts: `earn` (the table of worths), `plant` (a route that is worse, and equal ones), `chains` (a chain chosen on one half of the tasks,
measured on the other). Sources are folders of recorded tasks, one JSON object a line (see `--data`).

Run: python benchmarks/agents.py --data DIRECTORY [--only earn,plant,chains] [--orders 200] [--values 1,5,20] [--late 0] [--risk 0.01] [--half first]
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from langroute.core.records import Attempt, Decision, Outcome, Price, Request, RouteInfo, Step
from langroute.core.records.attempt import best_attempt
from langroute.policies import Autopilot, Bandit, Cascade, Fixed

LIST_PRICES = {
    "claude-opus-4-5": Price(5, 25),
    "gemini-3-pro": Price(2, 12),
    "claude-sonnet-4-5": Price(3, 15),
    "claude-sonnet-4-6": Price(3, 15),
    "gpt-5": Price(1.25, 10),
    "gpt-5-mini": Price(0.25, 2),
    "deepseek-v3.2-reasoner": Price(0.28, 0.42),
    "claude-haiku-4-5": Price(1, 5),
}
"""USD per million tokens, from the providers' price lists; what an autopilot expects before it has seen a bill."""


@dataclass(frozen=True)
class Source:
    """Recorded tasks and the routes that are compared on them, the baseline last."""

    name: str
    routes: tuple[str, ...]
    chains: tuple[tuple[str, ...], ...] = ()


MINI, DEEP, GPT, GEMINI, OPUS = "gpt-5-mini", "deepseek-v3.2-reasoner", "gpt-5", "gemini-3-pro", "claude-opus-4-5"
SOURCES = (
    Source("swebench_verified", (MINI, DEEP, GPT, GEMINI, OPUS), ((MINI, OPUS), (DEEP, OPUS))),
    Source("swebench_pro", (GPT, "claude-sonnet-4-5"), ((GPT, "claude-sonnet-4-5"),)),
    Source(
        "tau2_retail_solo", ("claude-haiku-4-5/run", "claude-sonnet-4-6/run"), (("claude-haiku-4-5/run", "claude-sonnet-4-6/run"),)
    ),
)


class World:
    """Outcomes and costs of a source, `(tasks, routes)` each."""

    def __init__(self, names: Sequence[str], scores: Any, costs: Any) -> None:
        self.names, self.scores, self.costs = list(names), np.asarray(scores, float), np.asarray(costs, float)
        self.routes = tuple(
            RouteInfo(name, rank=rank, price=LIST_PRICES.get(name.partition("/")[0])) for rank, name in enumerate(names)
        )

    @classmethod
    def read(cls, data: Path, source: Source) -> World:
        """Read the tasks for which every route has an outcome and a cost."""
        scores, costs = [], []
        with gzip.open(data / f"{source.name}.jsonl.gz", "rt") as lines:
            for line in lines:
                found = [json.loads(line)["outcomes"].get(name, {}) for name in source.routes]
                if all(one.get("success") is not None and one.get("cost_usd") is not None for one in found):
                    scores.append([one["success"] for one in found])
                    costs.append([one["cost_usd"] for one in found])
        return cls(source.routes, scores, costs)

    @cached_property
    def place(self) -> dict[str, int]:
        """Column of each route."""
        return {name: column for column, name in enumerate(self.names)}

    def of(self, rows: Any) -> World:
        """Return the world with some of the tasks."""
        return World(self.names, self.scores[rows], self.costs[rows])

    def half(self, which: str) -> World:
        """Return one half of the tasks, each of them twice: to choose on one half and judge on the other."""
        order = np.random.default_rng(7).permutation(len(self.scores))
        middle = len(order) // 2
        rows = np.sort(order[:middle] if which == "first" else order[middle:])
        return self.of(np.concatenate([rows, rows]))

    def live(self, policy: Any, seed: int, *, accuracy: float = 1.0, late: int = 0, rows: Any = None) -> Life:
        """Let a policy do the tasks in random order."""
        random = np.random.default_rng(seed)
        order = random.permutation(len(self.scores)) if rows is None else rows
        right = random.random(self.scores.shape) < accuracy
        accepted = np.where(right, self.scores, 1 - self.scores)
        life, waiting = Life(), []
        for number, row in enumerate(order):
            step = Step(task=f"{seed}/{number}")
            request, attempts = Request("Fix it.", step, self.routes), []
            while (selection := policy.select(request, attempts)) is not None:
                column = self.place[selection.route]
                score = float(accepted[row, column]) if selection.provisional else None
                attempts.append(Attempt(selection, answer="done", score=score, cost_usd=float(self.costs[row, column])))
            kept = best_attempt(attempts)
            cost = sum(attempt.cost_usd for attempt in attempts)
            solved = float(self.scores[row, self.place[kept.route]])
            life.add(solved, cost, " > ".join(dict.fromkeys(attempt.route for attempt in attempts)))
            waiting.append(Outcome(success=bool(solved), task_id=step.task))
            if callable(hear := getattr(policy, "on_decision", None)):
                hear(Decision(step.task, step, kept.route, tuple(attempts), cost_usd=cost))
                if len(waiting) > late:
                    policy.on_outcome(waiting.pop(0))
        return life


class Life:
    """What came of the tasks that a policy did."""

    def __init__(self) -> None:
        self.solved = self.cost = 0.0
        self.count = 0
        self.used: dict[str, int] = {}

    def add(self, solved: float, cost: float, route: str) -> None:
        """Count a task."""
        self.solved, self.cost, self.count = self.solved + solved, self.cost + cost, self.count + 1
        self.used[route] = self.used.get(route, 0) + 1

    def worth(self, value: float) -> float:
        """Return solved tasks times their value less the cost."""
        return self.solved * value - self.cost


def lives(world: World, make: Callable[[int], Any], orders: int, **how: Any) -> list[Life]:
    """Return a life of a policy for each order."""
    return [world.live(make(seed), seed, **how) for seed in range(orders)]


# Earning -------------------------------------------------------------------------------------------------------------


def say(name: str, value: float, found: Sequence[Life], base: float, best: float) -> None:
    """Print a line of the table."""
    worth = np.array([life.worth(value) for life in found])
    against = (worth - base) / abs(base)
    print(
        f"| {name} | {np.mean([life.solved for life in found]):.1f} | {np.mean([life.cost for life in found]):.1f} | "
        f"{worth.mean():.1f} | {worth.mean() / best if best > 0 else float('nan'):.3f} | "
        f"{np.quantile(worth, 0.05) / best if best > 0 else float('nan'):.3f} | "
        f"{against.mean():+.2%} | {np.quantile(against, 0.05):+.2%} | {(against < -0.02).mean():.1%} |",
        flush=True,
    )


def mixed(world: World, value: float, cost: float) -> Life | None:
    """Return the best random mix of the baseline and one cheaper route that costs this much, as it comes out in the mean."""
    solved, paid = world.scores.sum(0), world.costs.sum(0)
    best = None
    for column in range(len(world.names) - 1):
        share = (paid[-1] - cost) / (paid[-1] - paid[column]) if paid[-1] != paid[column] else -1.0
        if 0 <= share <= 1:
            life = Life()
            life.add(share * solved[column] + (1 - share) * solved[-1], cost, world.names[column])
            if best is None or life.worth(value) > best.worth(value):
                best = life
    return best


def earn(
    world: World, source: Source, value: float, orders: int, late: int, accuracies: Sequence[float], risk: float = 0.01
) -> None:
    """Print what each policy earns."""
    baseline = world.names[-1]
    fixed = {name: world.live(Fixed(name), 0) for name in world.names}
    base, best = fixed[baseline].worth(value), max(life.worth(value) for life in fixed.values())
    print(f"\n{source.name}, {len(world.scores)} tasks, {value:g} USD a solved task, {orders} orders, outcomes {late} tasks late\n")
    print("| policy | solved | USD | worth | of best route | 5 % of orders | vs baseline | 5 % of orders | below -2 % |")
    print("|---|---|---|---|---|---|---|---|---|")

    def pilot(arms: Sequence[Any], **how: Any) -> list[Life]:
        return lives(world, lambda _: Autopilot(arms, baseline=baseline, value_usd=value, risk=risk), orders, late=late, **how)

    for name, life in fixed.items():
        say(name + (" (baseline)" if name == baseline else ""), value, [life], base, best)
    for chain in map(list, source.chains):
        for accuracy in accuracies:
            found = lives(world, lambda _, chain=chain: Cascade(chain), min(orders, 50), accuracy=accuracy)
            say(f"{' > '.join(chain)}, verifier {accuracy:.0%}", value, found, base, best)
    found = lives(world, lambda seed: Bandit(world.names, cost_weight=1 / value, seed=seed), orders, late=late)
    say("bandit", value, found, base, best)
    found = pilot(world.names[:-1])
    say("**autopilot**", value, found, base, best)
    if (mix := mixed(world, value, float(np.mean([life.cost for life in found])))) is not None:
        say("random mix of the same cost", value, [mix], base, best)
    for accuracy in accuracies:
        found = pilot([*world.names[:-1], *map(list, source.chains)], accuracy=accuracy)
        say(f"**autopilot with chains**, verifier {accuracy:.0%}", value, found, base, best)


# Planted routes ------------------------------------------------------------------------------------------------------


def planted(world: World, less: float, seed: int, tasks: int) -> World:
    """Return a world of two routes: the baseline's recorded outcomes, and a cheaper route that solves so many points less of them."""
    random = np.random.default_rng(seed)
    rows = random.integers(len(world.scores), size=tasks)
    base, cost = world.scores[rows, -1], world.costs[rows, -1]
    rate = world.scores[:, -1].mean()
    # Two runs of one model differ in about a tenth of the tasks: those are drawn anew, at a rate that makes the difference.
    again = random.random(tasks) < 0.2
    fresh = random.random(tasks) < rate - less / 0.2
    other = np.where(again, fresh, base)
    return World(["planted", "baseline"], np.column_stack([other, base]), np.column_stack([cost * 0.2, cost]))


def plant(world: World, orders: int, tasks: int) -> None:
    """Print how often a worse route is adopted, and what equal ones cost."""
    print(f"\nPlanted routes at a fifth of the cost, {tasks} tasks in each of {orders} orders, margin=0.02, share=0.3\n")
    print("| planted route solves | ever adopted | dropped | solved vs baseline | USD vs baseline | on trial |")
    print("|---|---|---|---|---|---|")
    for less in (0.0, 0.02, 0.05, 0.2):
        adopted = dropped = 0
        solved, saved, share = [], [], []
        for seed in range(orders):
            one = planted(world, less, seed, tasks)
            pilot = Autopilot(["planted"], baseline="baseline", margin=0.02)
            life = one.live(pilot, seed, rows=np.arange(tasks))
            kinds = {change["change"] for change in pilot.changes()}
            adopted, dropped = adopted + ("adopted" in kinds), dropped + ("dropped" in kinds)
            solved.append(life.solved / one.scores[:, 1].sum() - 1)
            saved.append(life.cost / one.costs[:, 1].sum() - 1)
            share.append(life.used.get("planted", 0) / tasks)
        print(
            f"| {less:.0%} less | {adopted / orders:.1%} | {dropped / orders:.1%} | {np.mean(solved):+.2%} | {np.mean(saved):+.1%} | "
            f"{np.mean(share):.1%} |",
            flush=True,
        )


# Chains --------------------------------------------------------------------------------------------------------------


def halves(world: World, source: Source, values: Sequence[float], splits: int, accuracies: Sequence[float]) -> None:
    """Print what a chain that was chosen on one half promised, and what it did on the other."""
    last = world.names[-1]
    order = sorted(world.names[:-1], key=lambda name: world.costs[:, world.place[name]].mean())
    chains = [[*front, last] for size in (1, 2) for front in _fronts(order, size)]
    chains += [front for size in (2, 3) for front in _fronts(order, size)]
    print(f"\n{source.name}: the best of {len(chains)} chains by one half of the tasks, measured on the other, {splits} splits\n")
    print(
        "| value USD | verifier | promised: solved vs baseline | with the luck of choosing | interval | kept: solved vs baseline | "
        "below the interval | cost vs baseline: promised | kept |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for value in values:
        for accuracy in accuracies:
            rows = [_half(world, chains, value, accuracy, seed) for seed in range(splits)]
            said, lucky, low, high, kept, cost, paid = np.array(rows).T
            print(
                f"| {value:g} | {accuracy:.0%} | {said.mean():+.1%} | {lucky.mean():+.1%} | {low.mean():+.1%} to {high.mean():+.1%} | {kept.mean():+.1%} | "
                f"{(kept < low).mean():.1%} | {cost.mean():+.0%} | {paid.mean():+.0%} |",
                flush=True,
            )


def _fronts(order: Sequence[str], size: int) -> list[list[str]]:
    if size == 1:
        return [[name] for name in order]
    return [[first, *rest] for place, first in enumerate(order) for rest in _fronts(order[place + 1 :], size - 1)]


FOLDS = 10
"""Parts of the first half: what is promised was measured on tasks that the choice did not see."""


def _half(world: World, chains: Sequence[Sequence[str]], value: float, accuracy: float, seed: int) -> tuple[float, ...]:
    random = np.random.default_rng(seed)
    order = random.permutation(len(world.scores))
    first, second = world.of(order[: len(order) // 2]), world.of(order[len(order) // 2 :])
    pilot = Autopilot([list(chain) for chain in chains], baseline=world.names[-1], value_usd=value)
    solved, costs = np.zeros((len(first.scores), len(chains))), np.zeros((len(first.scores), len(chains)))
    for row in range(len(first.scores)):
        for place, (arm, chain) in enumerate(zip(pilot.setup.arms, chains, strict=True)):
            life = first.of([row]).live(Cascade(chain), seed * 1000 + row, accuracy=accuracy)
            solved[row, place], costs[row, place] = life.solved, life.cost
            pilot.add_pair(
                arm.name, life.solved, first.scores[row, -1], new_cost_usd=life.cost, old_cost_usd=float(first.costs[row, -1])
            )
    family = pilot.status()[0]
    base = family.arms[0]
    best = max(family.arms[1:], key=lambda arm: value * arm.success - arm.cost_usd)
    chain = chains[[arm.name for arm in pilot.setup.arms].index(best.name)]
    life = second.live(Cascade(chain), seed, accuracy=accuracy)
    usual, cost = second.scores[:, -1].mean(), second.costs[:, -1].mean()
    kept, paid = life.solved / life.count - usual, life.cost / life.count / cost - 1
    said, saved = _without_luck(solved, costs, value)
    return said - base.success, best.success - base.success, best.low, best.high, kept, saved / base.cost_usd - 1, paid


def _without_luck(solved: Any, costs: Any, value: float) -> tuple[float, float]:
    """Return what the chosen chain solves and costs on tasks that the choice did not see: each tenth by the best of the other nine."""
    part = np.arange(len(solved)) % FOLDS
    rows = []
    for fold in range(FOLDS):
        seen = part != fold
        best = int((value * solved[seen] - costs[seen]).mean(0).argmax())
        rows += list(zip(solved[~seen, best], costs[~seen, best], strict=True))
    found = np.array(rows).mean(0)
    return float(found[0]), float(found[1])


def main() -> None:
    """Read the arguments, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", default="earn,plant,chains")
    parser.add_argument("--sources", default=",".join(source.name for source in SOURCES))
    parser.add_argument("--orders", type=int, default=200)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--splits", type=int, default=50)
    parser.add_argument("--late", type=int, default=0)
    parser.add_argument("--values", default="1,5,20")
    parser.add_argument("--risk", type=float, default=0.01, help="of the autopilots that earn")
    parser.add_argument("--half", choices=("first", "second"), help="only one half of the tasks, each twice")
    parser.add_argument("--accuracies", default="0.8,0.9,1.0")
    given = parser.parse_args()
    values, accuracies = ([float(one) for one in text.split(",")] for text in (given.values, given.accuracies))
    for source in SOURCES:
        if source.name not in given.sources.split(","):
            continue
        world = World.read(given.data, source)
        if given.half is not None:
            world = world.half(given.half)
        if "earn" in given.only:
            for value in values:
                earn(world, source, value, given.orders, given.late, accuracies, given.risk)
        if source is SOURCES[0] and "plant" in given.only:
            plant(world, given.orders, given.tasks)
        if len(world.names) > 2 and "chains" in given.only:
            halves(world, source, values, given.splits, accuracies)


if __name__ == "__main__":
    main()
