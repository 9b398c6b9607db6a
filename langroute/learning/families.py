"""Families of tasks that are worth a trial of a cheaper route: what it would save, what is known, and how many tasks a trial takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np

from langroute.core.errors import DataError
from langroute.core.fast_dataclass import fast_dataclass
from langroute.core.records import Price
from langroute.estimators.arrays import Floats, Ints
from langroute.learning.offpolicy import estimate_value
from langroute.learning.outcome_table import NO_ROUTE, OutcomeSample
from langroute.learning.sample_size import tasks_for_arms, tasks_for_pairs
from langroute.routes.price_arrays import costs as costs_of_calls

LEAST = 20
"""Fewest tasks that a comparison, or a ratio of costs, is taken from."""

PROVEN, WORSE, OPEN = "proven", "worse", "open"
"""What is known of a candidate: its loss is within the margin, beyond it, or one cannot tell yet."""

RANKS = (WORSE, OPEN, PROVEN)
"""The states of candidates, the most welcome last."""

LEAST_SHARE = 0.01
"""Smallest share of all spend that a trial is worth it for, the saving times the chance that the trial succeeds."""

MOST_MARGIN = 0.5

MOST_ASKED, MOST_CELLS = 40, 8_000_000
"""Most routes that are compared within families, those with most runs; and most requests times routes."""


@fast_dataclass
class TrialTerms:
    """What a trial has to show.

    With `value_usd`, the worth of a solved task, the margin of a candidate is the loss that its saving pays for.
    """

    margin: float = 0.03
    value_usd: float | None = None
    power: float = 0.8
    alpha: float = 0.05

    def margin_for(self, saving_usd: float) -> float:
        """Return the largest loss that is accepted, as a share of the tasks, where a task costs this much less."""
        return self.margin if self.value_usd is None else min(saving_usd / self.value_usd, MOST_MARGIN)


@dataclass(slots=True)
class FamilyTasks:
    """Tasks with the route that did them, `(tasks,)` each."""

    family: Ints
    route: Ints
    """`NO_ROUTE` where several routes did a task."""

    score: Floats
    cost: Floats


def tasks_of(sample: OutcomeSample, used: Ints) -> FamilyTasks:
    """Return the whole tasks of a sample: what they cost on the routes that served, and what came of them.

    Args:
        sample: The outcomes.
        used: Index of the route in use of each line, `(lines,)`; `NO_ROUTE` for none.
    """
    _, first, task = np.unique(sample.task, return_index=True, return_inverse=True)
    count = len(first)
    mine = used[sample.line] == sample.route
    line = sample.line[mine]
    # Several runs of one line are one line's mean.
    runs = np.maximum(np.bincount(line, minlength=len(used)), 1)[line]
    of = task[line]
    cost = np.bincount(of, np.nan_to_num(sample.cost[mine]) / runs, count).astype(np.float64)
    cost[(np.bincount(of, np.isnan(sample.cost[mine]), count) > 0) | (np.bincount(of, minlength=count) == 0)] = np.nan
    score, told = sample.score[mine], np.isfinite(sample.score[mine])
    sums, many = np.bincount(of[told], score[told], count), np.bincount(of[told], minlength=count)
    low, high = np.full(count, 1 << 30), np.full(count, NO_ROUTE)
    np.minimum.at(low, task, used)
    np.maximum.at(high, task, used)
    return FamilyTasks(
        sample.family[first],
        np.where(low == high, low, NO_ROUTE),
        np.where(many > 0, sums / np.maximum(many, 1), np.nan),
        cost,
    )


@fast_dataclass
class Evidence:
    """What is known of the change in success if a family moved from one route to another."""

    change: float
    low: float
    high: float
    error: float
    """Standard error of the change."""

    tasks: int
    differ: float
    """Share of the tasks on which one route succeeds and the other fails."""

    source: str


@dataclass(slots=True)
class _Known:
    """All that the families are judged by."""

    names: Sequence[str]
    sample: OutcomeSample
    tasks: FamilyTasks
    column: Mapping[int, int]
    """Index of a route → its column in `scores` and `costs`; routes that are not there were never asked, or rarely."""

    scores: Floats
    costs: Floats
    served: Floats
    """Score of the route that served, `(lines,)`; NaN where that is not known."""

    prices: Mapping[str, Price]
    terms: TrialTerms
    overall: dict[tuple[int, int, int], Evidence | None] = field(default_factory=dict)
    """What all families together say of a change of routes, by the routes and the number of tests."""


def families_of(
    sample: OutcomeSample,
    names: Sequence[str],
    families: Mapping[str, int],
    used: Ints,
    prices: Mapping[str, Price],
    terms: TrialTerms,
) -> list[dict[str, Any]]:
    """Return the families with their best candidate, those with the largest saving first, and last those whose every candidate is worse.

    Args:
        sample: The outcomes.
        names: Names of the routes by index; those behind the sample's own were never asked, and are candidates by their price
            where no cheaper route was asked.
        families: Index by name.
        used: Index of the route in use of each line, `(lines,)`.
        prices: Prices of the routes that have one.
        terms: What a trial has to show.
    """
    most = np.argsort(-np.bincount(sample.route), kind="stable").tolist()
    asked = most[: max(2, min(MOST_ASKED, MOST_CELLS // max(len(sample.request), 1)))]
    known = _Known(
        names,
        sample,
        tasks_of(sample, used),
        {route: column for column, route in enumerate(asked)},
        sample.means(sample.score, asked),
        sample.means(sample.cost, asked),
        _served(sample),
        prices,
        terms,
    )
    total = float(np.nansum(known.tasks.cost))
    found = [_family(known, name, place, total) for name, place in families.items() if (known.tasks.family == place).any()]
    return sorted(
        found, key=lambda one: (one.get("state") == WORSE, -(one["saving_usd"] or 0.0), -(one["cost_usd"] or 0.0), one["name"])
    )


def _served(sample: OutcomeSample) -> Floats:
    """Return the score of the route that served each line, `(lines,)`."""
    mine = (sample.served[sample.line] == sample.route) & np.isfinite(sample.score)
    found = np.full(len(sample.request), np.nan)
    found[sample.line[mine]] = sample.score[mine]
    return found


def _family(known: _Known, name: str, place: int, total: float) -> dict[str, Any]:
    tasks, share = known.tasks, known.sample.share
    mine = tasks.family == place
    routes = tasks.route[mine]
    served = np.bincount(routes[routes != NO_ROUTE], minlength=len(known.names))
    route = int(served.argmax()) if served.any() else NO_ROUTE
    own = mine & (tasks.route == route)
    scores, costs = tasks.score[own], tasks.cost[own]
    told, priced = scores[np.isfinite(scores)], costs[np.isfinite(costs)]
    each = float(priced.mean()) if len(priced) else None
    priced_all = np.isfinite(tasks.cost[mine])
    spent = float(tasks.cost[mine][priced_all].sum()) / share if priced_all.any() else None
    line: dict[str, Any] = {
        "name": name,
        "tasks": round(int(mine.sum()) / share),
        "cost_usd": spent,
        "cost_share": spent * share / total if spent is not None and total else 0.0,
        "route": known.names[route] if route != NO_ROUTE else None,
        "route_tasks": round(int(own.sum()) / share),
        "success": float(told.mean()) if len(told) else None,
        "told": len(told),
        "task_usd": each,
        "candidate": None,
        "saving_usd": None,
        "worth_a_trial": False,
    }
    if route == NO_ROUTE or each is None or not each:
        return line
    rate = line["success"] if len(told) >= LEAST else 0.5
    rows = np.flatnonzero(known.sample.family == place)
    ratios = _cheaper(known, rows, route)
    judged = [_candidate(known, rows, (one, route), ratio, (each, rate), len(ratios)) for one, ratio in ratios.items()]
    best = max(judged, key=lambda one: (RANKS.index(one["state"]), one["task_saving_usd"] * one["chance"]), default=None)
    if best is not None:
        line |= best
        line["saving_usd"] = best["task_saving_usd"] * line["route_tasks"]
        line["saving_share"] = line["saving_usd"] * share / total if total else 0.0
        line["worth_a_trial"] = best["state"] == OPEN and line["saving_share"] * best["chance"] >= LEAST_SHARE
    return line


def _cheaper(known: _Known, rows: Ints, base: int) -> dict[int, tuple[float, str]]:
    """Return the routes that cost less than the one in use: what they cost as a share of it, and what that is taken from.

    Args:
        known: What the families are judged by.
        rows: Lines of the family.
        base: The route in use.
    """
    found = {}
    for route in known.column:
        ratio = _paid_ratio(known, rows, route, base) if route != base else None
        if ratio is not None and ratio[0] < 1:
            found[route] = ratio
    # A price list names many routes; one that was tried says more.
    return found or _listed(known, rows, base)


def _paid_ratio(known: _Known, rows: Ints, route: int, base: int) -> tuple[float, str] | None:
    if base not in known.column:
        return None
    costs = known.costs[:, [known.column[route], known.column[base]]]
    for paid, said in ((costs[rows], "the same requests"), (costs, "the same requests of all families")):
        both = np.isfinite(paid).all(1)
        if both.sum() >= LEAST and (whole := float(paid[both, 1].sum())) > 0:
            return float(paid[both, 0].sum()) / whole, said
    return None


def _listed(known: _Known, rows: Ints, base: int) -> dict[int, tuple[float, str]]:
    """Return what routes with a price would cost at the tokens of the route in use."""
    here = np.zeros(len(known.sample.request), bool)
    here[rows] = True
    runs = (known.sample.route == base) & np.isfinite(known.sample.cost) & here[known.sample.line]
    paid = float(known.sample.cost[runs].sum())
    given, written = known.sample.given[runs], known.sample.written[runs]
    if paid <= 0 or not (given.any() or written.any()):
        return {}
    found = {}
    for place, name in enumerate(known.names):
        price = known.prices.get(name)
        if place != base and price is not None and not price.per_second:
            ratio = float(costs_of_calls(price, given, written).sum()) / paid
            if ratio < 1:
                found[place] = (ratio, "list prices at the same tokens")
    return found


def _candidate(
    known: _Known, rows: Ints, routes: tuple[int, int], ratio: tuple[float, str], base: tuple[float, float], tests: int
) -> dict[str, Any]:
    """Return what is known of a candidate in a family, and what a trial of it takes.

    Args:
        known: What the families are judged by.
        rows: Lines of the family.
        routes: The candidate, and the route in use.
        ratio: What the candidate costs as a share of the route in use, and what that is taken from.
        base: Cost and success of a task on the route in use.
        tests: How many candidates are tested.
    """
    each, rate = base
    saving = each * (1 - ratio[0])
    margin = known.terms.margin_for(saving)
    seen = _evidence(known, rows, routes, tests)
    # What holds over all families says how likely it is here, and proves nothing.
    likely = seen or _overall(known, routes, tests)
    chance = 0.5 if likely is None else 1 - NormalDist(likely.change, likely.error).cdf(-margin)
    state = OPEN if seen is None else PROVEN if seen.low >= -margin else WORSE if seen.high < -margin else OPEN
    # Planned for a candidate that is as good, or for the best that the record still allows where that is less.
    effect = min(0.0, seen.high) if seen is not None else 0.0
    # Independent routes differ most often: a plan for that many is on the safe side.
    differ = seen.differ if seen is not None else 2 * rate * (1 - rate)
    terms = {"effect": effect, "power": known.terms.power, "alpha": known.terms.alpha}
    return {
        "candidate": known.names[routes[0]],
        "cost_ratio": ratio[0],
        "cost_ratio_from": ratio[1],
        "task_saving_usd": saving,
        "margin": margin,
        "state": state,
        "chance": chance,
        "change": None if seen is None else seen.change,
        "change_low": None if seen is None else seen.low,
        "change_high": None if seen is None else seen.high,
        "compared": 0 if seen is None else seen.tasks,
        "evidence": None if seen is None else seen.source,
        "tasks_to_assign": tasks_for_arms(rate, margin, **terms),
        "tasks_to_shadow": tasks_for_pairs(differ, margin, **terms),
    }


def _overall(known: _Known, routes: tuple[int, int], tests: int) -> Evidence | None:
    """Return what all families together say of a change of routes."""
    key = (*routes, tests)
    if key not in known.overall:
        known.overall[key] = _evidence(known, np.arange(len(known.sample.request)), routes, tests)
    return known.overall[key]


def _evidence(known: _Known, rows: Ints, routes: tuple[int, int], tests: int) -> Evidence | None:
    """Return what some lines say of a change of routes: first those that both routes were scored on, else those whose route was drawn.

    Args:
        known: What the families are judged by.
        rows: The lines that count.
        routes: The candidate, and the route in use.
        tests: How many candidates are tested; each is held to a stricter level (Bonferroni).
    """
    if not all(route in known.column for route in routes):
        return None
    sure = NormalDist().inv_cdf(1 - 0.025 / max(tests, 1))
    first, second = (known.scores[rows, known.column[route]] for route in routes)
    both = np.isfinite(first) & np.isfinite(second)
    count = int(both.sum())
    if count >= LEAST:
        first, second = first[both], second[both]
        # One pseudo-loss keeps few requests without losses from looking certain.
        error = float(np.sqrt(((first - second).var() + 1 / count) / count))
        change = float((first - second).mean())
        differ = float((first * (1 - second) + second * (1 - first)).mean())
        return Evidence(change, change - sure * error, change + sure * error, error, count, differ, "the same requests")
    drawn = rows[(known.sample.propensity[rows] < 1) & np.isfinite(known.served[rows])]
    return _drawn(known, drawn, routes) if len(drawn) >= LEAST else None


def _drawn(known: _Known, rows: Ints, routes: tuple[int, int]) -> Evidence | None:
    """Return the evidence of lines whose route was drawn with a known probability; `None` where too few are of these routes."""
    served, propensities, scores = known.sample.served[rows], known.sample.propensity[rows], known.served[rows]
    try:
        new, old = (estimate_value(scores, propensities, (served == place).astype(float), estimator="snips") for place in routes)
    except DataError:
        return None
    change = new.value - old.value
    low = change - float(np.hypot(new.value - new.low, old.high - old.value))
    high = change + float(np.hypot(new.high - new.value, old.value - old.low))
    differ = new.value * (1 - old.value) + old.value * (1 - new.value)
    error = max((high - low) / (2 * 1.96), 1e-9)
    return Evidence(change, low, high, error, len(rows), differ, "routes drawn with known probabilities")
