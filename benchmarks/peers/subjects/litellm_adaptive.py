"""The bandit of LiteLLM's adaptive router, told outcomes of tasks in place of the signals that it reads from conversations."""

from __future__ import annotations

import random
from typing import Any


def lived(world: dict[str, Any], value: float) -> dict[str, list[tuple[float, float]]]:
    """Return solved tasks and their cost for each order, with its default weights, and with those that say what a task is worth."""
    from litellm.router_strategy.adaptive_router.config import DEFAULT_COST_WEIGHT, DEFAULT_QUALITY_WEIGHT

    costs = world["costs"]
    means = {name: sum(row[at] for row in costs) / len(costs) for at, name in enumerate(world["names"])}
    # Its costs go from 0 to 1, so a task's worth is told in units of the widest difference between them.
    unit = max(means.values()) - min(means.values())
    weights = {"": (DEFAULT_QUALITY_WEIGHT, DEFAULT_COST_WEIGHT), "weights of 5 USD a task": (value, unit)}
    return {words: [life(world, means, *both, seed) for seed in range(len(world["orders"]))] for words, both in weights.items()}


def life(world: dict[str, Any], means: dict[str, float], quality: float, cost: float, seed: int) -> tuple[float, float]:
    """Return solved tasks and their cost in one order."""
    from litellm.router_strategy.adaptive_router.bandit import apply_delta, initial_cell, pick_best
    from litellm.types.router import AdaptiveRouterPreferences, RequestType

    dice, names = random.Random(seed), world["names"]
    tiers = {name: AdaptiveRouterPreferences(quality_tier=3 if name == names[-1] else 2, strengths=[]) for name in names}
    cells = {name: initial_cell(told, RequestType.CODE_GENERATION) for name, told in tiers.items()}
    solved = paid = 0.0
    for row in world["orders"][seed]:
        name = pick_best(cells, means, quality, cost, dice)
        score = world["scores"][row][names.index(name)]
        solved, paid = solved + score, paid + world["costs"][row][names.index(name)]
        cells[name] = apply_delta(cells[name], score, 1 - score)
    return solved, paid
