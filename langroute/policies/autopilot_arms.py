"""What an autopilot believes of its arms, and which share of a family's tasks each of them gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import log, log2, sqrt
from typing import Any

import numpy as np

from langroute.estimators.arrays import Bools, Floats
from langroute.policies.anytime import Pairs, Tally

ALL = "all"
"""The family that every task belongs to."""

BEGIN = 2
"""Outcomes of the baseline before anything else is tried."""

GAP = 0.03
"""How much less a route of half the price is expected to solve, before anything is known of it."""

TRUST = 10.0
"""Outcomes that this expectation counts like."""

POOLING = 20.0
"""Outcomes that what is known of the wider family counts like in a finer one (partial pooling)."""

NO_SUMS = (0, 0.0, 0, 0.0, 0.0)
"""ArmSums of an arm without outcomes: outcomes, their sum, those with a known cost, the sum of the costs, that of their squares."""

DRAWS = 512
"""Posterior samples that shares are taken from; always the same ones, so that every worker has the same shares."""

RESHAPED = 0.5
"""Factor on the standard deviation of posterior samples: half of it loses less while there are hundreds of tasks and not millions."""

SPENT = 0.1
"""Part of `risk` that trials of arms which are expected to be worse may be expected to lose."""

LIKELY = 1.28
"""Standard deviations of luck that the tasks on trial must be able to bear: nine of ten cases."""


@dataclass(frozen=True, slots=True)
class PilotArm:
    """A route or chain on trial."""

    name: str
    routes: tuple[str, ...]
    """The routes it may call, in order."""

    ends_on_baseline: bool = False
    """Whether what it rejects goes to the baseline's route, so that it is not expected to solve less."""


@dataclass(frozen=True, slots=True)
class PilotSetup:
    """What an autopilot was asked for."""

    baseline: str
    arms: tuple[PilotArm, ...]
    value_usd: float | None = None
    margin: float | None = None
    share: float = 1.0
    hold_out: float = 0.05
    alpha: float = 0.05
    risk: float = 0.01

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the baseline and of the arms."""
        return (self.baseline, *(arm.name for arm in self.arms))

    @property
    def needed(self) -> float:
        """Logarithm that an arm's e-value must reach; the arms share the probability of a mistake."""
        return log(max(1, len(self.arms)) / self.alpha)

    @property
    def beyond(self) -> float:
        """Probability that a shown interval misses the difference: on each side, that of a mistake about one arm."""
        return min(2 * self.alpha / max(1, len(self.arms)), 0.999)

    def document(self) -> dict[str, Any]:
        """Return the set-up as JSON keeps it."""
        arms = [[arm.name, list(arm.routes), arm.ends_on_baseline] for arm in self.arms]
        kept = {name: getattr(self, name) for name in ("baseline", "value_usd", "margin", "share", "hold_out", "alpha", "risk")}
        return kept | {"arms": arms}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> PilotSetup:
        """Return the set-up that `document` returned."""
        arms = tuple(PilotArm(name, tuple(routes), ends) for name, routes, ends in document["arms"])
        return cls(**{**document, "arms": arms})


@dataclass(frozen=True, slots=True)
class ArmSums:
    """ArmSums over the tasks of an arm in a family."""

    tally: Tally
    costs: float
    """How many of the outcomes have a known cost."""

    cost: float
    squares: float
    pairs: tuple[Pairs, ...]
    """Tasks that the baseline did, too: by outcomes, and by judges."""

    @property
    def compared(self) -> float:
        """Number of tasks that the baseline did, too."""
        return sum(one.size for one in self.pairs)

    @property
    def mean_cost(self) -> float | None:
        """Mean USD of a task; `None` where no cost is known."""
        return self.cost / self.costs if self.costs else None


def sums_of(level: Mapping[str, Any], arm: str) -> ArmSums:
    """Return the sums of an arm in a family, from the family's part of the document."""
    count, total, costs, cost, squares = level.get("sums", {}).get(arm, NO_SUMS)
    pairs = tuple(Pairs(*level[where][arm]) for where in ("pairs", "judged") if arm in level.get(where, ()))
    return ArmSums(Tally(count, total), costs, cost, squares, pairs)


def solved_by(level: Mapping[str, Any], setup: PilotSetup, arm: str) -> Tally:
    """Return an arm's outcomes in a family, those of tasks that the baseline did, too, included."""
    tally = sums_of(level, arm).tally
    both = level.get("both", {})
    if arm != setup.baseline:
        count, new, _ = both.get(arm, (0, 0.0, 0.0))
        return Tally(tally.size + count, tally.total + new)
    # The same task may have been compared with several arms.
    count, _, old = max(both.values(), key=lambda one: float(one[0]), default=(0, 0.0, 0.0))
    return Tally(tally.size + count, tally.total + old)


def tolerated(setup: PilotSetup, level: Mapping[str, Any], arm: str) -> float:
    """Return by how much less an arm may solve: the margin, or what it saves in solved tasks (less the luck in its mean cost).

    Example:
        >>> setup = PilotSetup("large", (PilotArm("small", ("small",)),), value_usd=2.0)
        >>> tolerated(setup, {"sums": {"large": [4, 3, 4, 4.0, 4.0], "small": [4, 3, 4, 2.0, 1.0]}}, "small")
        0.25
    """
    if setup.margin is not None or setup.value_usd is None:
        return setup.margin or 0.0
    old, new = sums_of(level, setup.baseline), sums_of(level, arm)
    if old.mean_cost is None or new.mean_cost is None:
        return 0.0
    luck = sum(max(one.squares / one.costs - (one.mean_cost or 0.0) ** 2, 0.0) / one.costs for one in (old, new))
    return float(min(max((old.mean_cost - new.mean_cost - sqrt(luck)) / setup.value_usd, -1.0), 1.0))


@dataclass(slots=True)
class Beliefs:
    """Posterior of each arm, the baseline first: means and variances, `(arms,)` each."""

    success: Floats
    success_variance: Floats
    cost: Floats
    cost_variance: Floats

    def worth(self, value_usd: float) -> Floats:
        """Return the expected worth of a task in USD, `(arms,)`."""
        return np.asarray(value_usd * self.success - self.cost)


def beliefs_of(setup: PilotSetup, levels: Sequence[Mapping[str, Any]], ratios: Mapping[str, float]) -> Beliefs:
    """Return what is believed of each arm in a family, drawn towards what is known of the wider ones.

    Args:
        setup: The autopilot's.
        levels: The document's parts of the families a task belongs to, the widest first.
        ratios: Price of each arm by the baseline's, where prices are known.
    """
    scale = np.array([1.0, *(min(max(ratios.get(arm.name, 1.0), 1e-3), 10.0) for arm in setup.arms)])
    steps = [0.0 if arm.ends_on_baseline else max(0.0, -log2(scale[place + 1])) for place, arm in enumerate(setup.arms)]
    mean: Floats | None = None
    cost, known = np.zeros(len(scale)), 0.0
    trust = np.array([2.0, *[TRUST] * len(setup.arms)])
    for level in levels:
        known_sums = level.get("sums", {})
        rows = np.array([known_sums.get(name, NO_SUMS) for name in setup.names], float)
        if level.get("both"):
            rows[:, :2] = [solved_by(level, setup, name) for name in setup.names]
        count, total, costs, paid, squares = rows.T
        if mean is None:
            solved = (total[0] + 1) / (count[0] + 2)
            mean = np.clip([0.5, *(solved - GAP * step for step in steps)], 0.05, 0.95)
            # Without a known cost, prices at least say which is cheaper; they are no USD to weigh against a value.
            usual = paid[0] / costs[0] if costs[0] else float(setup.value_usd is None)
            cost, known = usual * scale, 1.0
        success = (total + mean * trust) / (count + trust)
        variance = success * (1 - success) / (count + trust + 1)
        middle = (paid + known * cost) / (costs + known)
        seen = np.maximum(squares / np.maximum(costs, 1) - (paid / np.maximum(costs, 1)) ** 2, (middle / 2) ** 2)
        found = Beliefs(success, variance, middle, seen / (costs + known))
        mean, cost, known = np.clip(success, 0.01, 0.99), middle, POOLING / 4
        trust = np.full(len(scale), POOLING)
    return found


@dataclass(slots=True)
class ArmStanding:
    """Which arms count as proven and as harmful in a family, those of the wider families included."""

    proven: set[str] = field(default_factory=set)
    out: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, levels: Sequence[Mapping[str, Any]]) -> ArmStanding:
        """Return the standing by the families a task belongs to."""
        found = cls()
        for level in levels:
            found.out |= set(level.get("out", ()))
            found.proven |= set(level.get("proven", ()))
        found.proven -= found.out
        return found


def shares_of(
    setup: PilotSetup, levels: Sequence[Mapping[str, Any]], ratios: Mapping[str, float], held: bool = False
) -> dict[str, float]:
    """Return the share of a family's tasks that each arm gets.

    Args:
        setup: The autopilot's.
        levels: See `beliefs_of`.
        ratios: See `beliefs_of`.
        held: Whether nothing may be tried: the best arm that is proven gets all.
    """
    standing, names = ArmStanding.of(levels), setup.names
    told = bool(levels) and solved_by(levels[0], setup, setup.baseline).size >= BEGIN
    if not told and not standing.proven:
        return {setup.baseline: 1.0}
    beliefs = beliefs_of(setup, levels, ratios)
    proven = np.array([name == setup.baseline or name in standing.proven for name in names])
    out = np.array([name in standing.out for name in names])
    worth = beliefs.worth(setup.value_usd) if setup.value_usd is not None else -beliefs.cost
    if setup.value_usd is None and not ratios and sums_of(levels[0], setup.baseline).mean_cost is None:
        # Nothing is known of costs, so the order of the arms says which is cheaper.
        worth = -np.array([len(names), *range(len(setup.arms))], float)
    now = int(np.where(proven & ~out, worth, -np.inf).argmax())
    if held:
        return {names[now]: 1.0}
    if setup.value_usd is not None:
        found = _by_worth(setup, levels[0], beliefs, proven, out, beliefs_of(setup, levels[:1], ratios) if levels[1:] else beliefs)
        behind = worth[now] - worth[0]
        least = setup.hold_out if behind <= 0 else min(setup.hold_out, setup.risk * setup.value_usd * beliefs.success[0] / behind)
    else:
        found = _by_margin(setup, worth, proven, out, now)
        least = setup.hold_out
    found[now] += max(0.0, 1 - found.sum())
    if found[0] < least:
        found *= (1 - least) / (1 - found[0])
        found[0] = least
    return {name: float(share) for name, share in zip(names, found / found.sum(), strict=True) if share > 0}


def _by_margin(setup: PilotSetup, worth: Floats, proven: Bools, out: Bools, now: int) -> Floats:
    """Return shares of the arms on trial: alike for all that may be cheaper than the one that has the family's tasks."""
    trial = ~proven & ~out
    if proven[1:].any():
        trial &= worth > worth[now]
    found = np.zeros(len(proven))
    if trial.any():
        found[trial] = setup.share / trial.sum()
    return found


def _by_worth(setup: PilotSetup, whole: Mapping[str, Any], beliefs: Beliefs, proven: Bools, out: Bools, wide: Beliefs) -> Floats:
    """Return shares by Thompson sampling of each arm's worth, within what trials may cost.

    Two limits hold for arms that are not proven. What their tasks have lost by present belief, and might lose by bad luck, stays within
    a share of what all tasks so far are worth (`risk`). And what they are expected to lose from here on stays below a tenth of that
    share. Arms that are expected to be worth more than the baseline meet both limits by themselves.

    Sources: Thompson (1933); Chapelle and Li, An Empirical Evaluation of Thompson Sampling (2011), for samples of reduced spread; Wu et
    al., Conservative Bandits (2016), for the first limit.
    """
    value = setup.value_usd or 0.0
    worth, spread = beliefs.worth(value), np.sqrt(value**2 * beliefs.success_variance + beliefs.cost_variance)
    drawn = np.where(out, -np.inf, worth + RESHAPED * spread * _draws(len(worth)))
    found = np.bincount(drawn.argmax(1), minlength=len(worth)) / DRAWS
    better, gross = worth - worth[0], value * beliefs.success[0]
    given = np.array([whole.get("given", {}).get(name, 0) for name in setup.names], float)
    trial = ~proven & ~out
    sofar = (given * (wide.worth(value) - wide.worth(value)[0]))[trial].sum()
    luck = LIKELY * value * sqrt(beliefs.success[0] * (1 - beliefs.success[0]) * (given[trial].sum() + 1))
    found[trial & (sofar + better - luck < -setup.risk * (given.sum() + 1) * gross)] = 0.0
    on_trial = found[trial].sum()
    if on_trial > setup.share:
        found[trial] *= setup.share / on_trial
    loss = (found * np.maximum(0, -better))[trial].sum()
    if loss > SPENT * setup.risk * gross:
        found[trial & (better < 0)] *= SPENT * setup.risk * gross / loss
    return np.asarray(found)


@lru_cache(maxsize=32)
def _draws(arms: int) -> Floats:
    return np.random.default_rng(20161).standard_normal((DRAWS, arms))
