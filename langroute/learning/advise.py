"""Advice from recorded traffic: which routes to leave, what a cascade needs of its verifier, and which families are worth a trial.

Three things save without losing tasks, and each is measured here: leaving dominated routes, cheap first with a verifier that is good
enough, and history by family of tasks. What nobody can tell from the record is said in `notes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from langroute.core.errors import DataError, UnknownRouteError
from langroute.core.records import Price
from langroute.estimators.arrays import Floats, Ints
from langroute.learning.break_even import LEAST_PAIRED, RoutePair, pair_of
from langroute.learning.families import TrialTerms, families_of
from langroute.learning.luck import luck_of, oracle_of
from langroute.learning.mix_line import MixLine, mix_line
from langroute.learning.offpolicy import estimate_value
from langroute.learning.outcome_reader import OutcomeWork, known_price
from langroute.learning.outcome_table import NO_ROUTE, OutcomeSample, OutcomeTable
from langroute.learning.pieces import Engine, OneProcess, in_pieces
from langroute.learning.traffic import Exchange
from langroute.policies.shadow import wilson

MOSTLY = 0.8
"""Share of the compared requests that a route must have been scored on to be compared with all others."""

MOST_COMPARED = 40
"""Most routes that are compared with one another: those with most scores."""

MOST_CELLS = 8_000_000
"""Most requests times routes of the table of comparisons; above, requests are drawn."""

ACCURACIES = (1.0, 0.9, 0.8, 0.7)
"""Accuracies of a verifier that the advice gives the chain's quality and cost for."""

DIMENSIONS = ("task", "kind", "node", "team")


def advise(
    exchanges: Iterable[Exchange],
    *,
    prices: Mapping[str, Price] | None = None,
    frontier: str | None = None,
    by: Sequence[str] = ("task",),
    terms: TrialTerms | None = None,
) -> dict[str, Any]:
    """Advise on recorded traffic; it is read once, in bounded memory.

    Args:
        exchanges: Recorded requests, as `read_traffic` yields them.
        prices: Prices by route name; a route that is only in here was never asked, and is a candidate by its price where no cheaper route was.
        frontier: The route in use; by default the one that served most, where the traffic says so, else the best single route.
        by: What makes a family of tasks: some of `task`, `kind`, `node`, `team`.
        terms: What a trial has to show.

    Returns:
        `requests`, `cost_usd`, `frontier`, `sampled` (the share of the requests that comparisons are from), `routes`, `line` (the corners
        of the line of random mixes), `pairs`, `families`, `luck` and `notes`. Costs are USD of one request, but for `cost_usd`, `spend_usd` and
        the sums of families.

    Raises:
        DataError: There are no requests, or `by` has an unknown dimension.
        UnknownRouteError: The frontier is not a route of this traffic.
    """
    tables = in_pieces(_work(prices, by), enumerate(exchanges, 1))
    return _advice(tables, prices or {}, frontier, terms or TrialTerms())


def advise_files(
    paths: Sequence[str | Path],
    *,
    prices: Mapping[str, Price] | None = None,
    frontier: str | None = None,
    by: Sequence[str] = ("task",),
    terms: TrialTerms | None = None,
    engine: Engine | None = None,
) -> dict[str, Any]:
    """Advise on traffic files as `advise` does; `engine` reads them, this process by default.

    Every engine gives the same result, but that an id which is repeated in different pieces of a file is an error in this process alone.
    """
    tables = (OneProcess() if engine is None else engine).run(_work(prices, by), paths)
    return _advice(tables, prices or {}, frontier, terms or TrialTerms())


def _work(prices: Mapping[str, Price] | None, by: Sequence[str]) -> OutcomeWork:
    unknown = [name for name in by if name not in DIMENSIONS]
    if unknown or not by:
        raise DataError(f"Cannot make families by {', '.join(unknown) or 'nothing'}; there are: {', '.join(DIMENSIONS)}.")
    return OutcomeWork(prices or {}, tuple(by))


def _advice(tables: Iterable[OutcomeTable], prices: Mapping[str, Price], frontier: str | None, terms: TrialTerms) -> dict[str, Any]:
    """Return the advice on what the pieces of some traffic came to."""
    table = OutcomeTable()
    for more in tables:
        table.merge(more)
    if not table.requests:
        raise DataError("There are no requests to advise on.")
    names = list(table.routes)
    if frontier is not None and frontier not in names:
        raise UnknownRouteError(frontier, sorted(names), "this traffic")
    sample = table.sample()
    compared = _Comparison(sample, names)
    base = frontier or _in_use(sample, names) or compared.best()
    used = _used(sample, names, base, given=frontier is not None)
    everyone = [*names, *(name for name in prices if name not in table.routes)]
    known = {name: price for name in everyone if (price := known_price(prices, name)) is not None}
    families = families_of(sample, everyone, table.families, used, known, terms)
    pairs = compared.pairs(base)
    luck = luck_of(sample, names)
    return {
        "requests": table.requests,
        "cost_usd": sum(paid) if (paid := [one["cost_usd"] for one in families if one["cost_usd"] is not None]) else None,
        "frontier": base,
        "sampled": sample.share,
        "routes": _routes(table, sample, compared),
        "line": [corner._asdict() for corner in compared.line.corners],
        "compared": compared.requests,
        "pairs": [_pair(pair, compared) | {"verifier": table.routes[pair.cheap].verdicts.against(pair)} for pair in pairs],
        "families": families,
        "luck": {"routes": [asdict(one) for one in luck], "oracle": _oracle(sample, names, [one.route for one in luck])},
        "notes": _notes(table, compared, luck, families),
    }


class _Comparison:
    """Routes on the requests that two of them or more were scored on."""

    def __init__(self, sample: OutcomeSample, names: Sequence[str]) -> None:
        scored = np.isfinite(sample.score)
        most = np.bincount(sample.route[scored], minlength=len(names))
        order = [place for place in np.argsort(-most, kind="stable").tolist() if most[place]][:MOST_COMPARED]
        part = _rows_of(sample, len(order))
        scores, costs = part.means(part.score, order), part.means(part.cost, order)
        several = np.isfinite(scores).sum(1) > 1 if order else np.zeros(0, bool)
        self.names: list[str] = [names[place] for place in order]
        self.scores, self.costs = scores[several], costs[several]
        self.requests = int(several.sum())
        self.common = self._common()
        """Columns of the routes that were scored, and priced, on nearly all of these requests."""

        rows = np.isfinite(self.scores[:, self.common]).all(1) & np.isfinite(self.costs[:, self.common]).all(1)
        self.common_scores, self.common_costs = self.scores[np.ix_(rows, self.common)], self.costs[np.ix_(rows, self.common)]
        self.line = self._line()

    def _common(self) -> list[int]:
        """Return the columns of the routes that can be compared with all others."""
        if not self.requests:
            return []
        there = np.isfinite(self.scores) & np.isfinite(self.costs)
        order = np.argsort(-there.mean(0), kind="stable").tolist()
        found = [at for at in order if there[:, at].mean() >= MOSTLY]
        # Routes that miss different requests have few in common.
        while len(found) > 1 and there[:, found].all(1).sum() < LEAST_PAIRED:
            found.pop()
        return sorted(found) if len(found) > 1 else []

    def _line(self) -> MixLine:
        if not len(self.common_scores):
            return MixLine(())
        quality, cost = self.common_scores.mean(0).tolist(), self.common_costs.mean(0).tolist()
        return mix_line({self.names[at]: (cost[n], quality[n]) for n, at in enumerate(self.common)})

    def best(self) -> str | None:
        """Return the route with the highest mean score; `None` where nothing is compared."""
        if self.common:
            return self.names[self.common[int(self.common_scores.mean(0).argmax())]]
        means = [float(np.nanmean(column)) if np.isfinite(column).any() else -1.0 for column in self.scores.T]
        return self.names[int(np.argmax(means))] if means and self.requests else None

    def pairs(self, base: str | None) -> list[RoutePair]:
        """Return the pairs of a cheaper and a better route, those before the route in use first, then by what they save at the break-even."""
        found = []
        for first, cheap in enumerate(self.names):
            for second, strong in enumerate(self.names):
                pair = None if first == second else pair_of(cheap, strong, *self._two(first, second))
                if pair is not None and pair.cheap_usd is not None and _is_chain(pair):
                    found.append(pair)
        return sorted(found, key=lambda one: (one.strong != base, _chain_saving(one), one.cheap))

    def _two(self, first: int, second: int) -> tuple[Floats, Floats]:
        return self.scores[:, [first, second]], self.costs[:, [first, second]]

    def against_line(self, route: str) -> dict[str, Any] | None:
        """Return how a route stands to the line of random mixes; `None` where it was not compared with all others."""
        names = [self.names[at] for at in self.common]
        if route not in names or not self.line.corners:
            return None
        own = names.index(route)
        cost, quality = float(self.common_costs[:, own].mean()), float(self.common_scores[:, own].mean())
        if any(corner.route == route for corner in self.line.corners):
            return {"on_line": True}
        mix, cheapest = self.line.at_cost(cost), self.line.reaching(quality)
        if mix is None or cheapest is None:
            return {"on_line": True}
        shares = np.array([mix.shares.get(name, 0.0) for name in names])
        gain = self.common_scores @ shares - self.common_scores[:, own]
        # Every route is tested against the line, so each is held to a stricter level (Bonferroni).
        sure = NormalDist().inv_cdf(1 - 0.025 / len(names))
        error = float(gain.std() / np.sqrt(len(gain)))
        return {
            "on_line": False,
            "instead": dict(mix.shares),
            "gain": float(gain.mean()),
            "gain_low": float(gain.mean()) - sure * error,
            "gain_high": float(gain.mean()) + sure * error,
            "same_quality": dict(cheapest.shares),
            "same_quality_usd": cheapest.cost_usd,
            "saved_share": 1 - cheapest.cost_usd / cost if cost else 0.0,
        }


def _is_chain(pair: RoutePair) -> bool:
    """Whether the first route is cheaper and solves less; one that solves as much needs no second."""
    return (
        pair.cheap_usd is not None
        and pair.strong_usd is not None
        and pair.cheap_usd < pair.strong_usd
        and pair.only_strong > pair.only_cheap
    )


def _chain_saving(pair: RoutePair) -> float:
    """Return the cost of the chain at its break-even accuracy as a share of the strong route's."""
    cost = pair.at(pair.break_even or 1.0).cost_usd
    return 1.0 if cost is None or not pair.strong_usd else cost / pair.strong_usd


def _rows_of(sample: OutcomeSample, routes: int) -> OutcomeSample:
    """Return the sample, or as many of its lines as a table of these routes may have."""
    most = MOST_CELLS // max(routes, 1)
    if len(sample.request) <= most:
        return sample
    kept = np.zeros(len(sample.request), bool)
    kept[np.random.default_rng(0).permutation(len(kept))[:most]] = True
    return sample.only(kept)


def _in_use(sample: OutcomeSample, names: Sequence[str]) -> str | None:
    """Return the route that served most requests."""
    served = sample.served[sample.served != NO_ROUTE]
    return names[int(np.bincount(served).argmax())] if len(served) else None


def _used(sample: OutcomeSample, names: Sequence[str], base: str | None, *, given: bool) -> Ints:
    """Return the index of the route in use of each line, `(lines,)`.

    It is the one that served, else `base` where that was asked; the other way round where the user gave `base`.
    """
    if base is None:
        return sample.served
    place = names.index(base)
    asked = np.zeros(len(sample.request), bool)
    asked[sample.line[sample.route == place]] = True
    if given:
        return np.where(asked, place, sample.served)
    return np.where(sample.served != NO_ROUTE, sample.served, np.where(asked, place, NO_ROUTE))


def _routes(table: OutcomeTable, sample: OutcomeSample, compared: _Comparison) -> list[dict[str, Any]]:
    found = []
    for place, (name, counts) in enumerate(table.routes.items()):
        scores = sample.score[(sample.route == place) & np.isfinite(sample.score)]
        low, high = _interval(scores)
        quality = float(scores.mean()) if len(scores) else None
        each = counts.usd / counts.priced if counts.priced else None
        line = {
            "route": name,
            "asked": counts.asked,
            "scored": counts.scored,
            "failed": counts.failed,
            "unpriced": counts.asked - counts.priced,
            "spend_usd": counts.usd if counts.priced else None,
            "cost_usd": each,
            "quality": quality,
            "quality_low": low if len(scores) else None,
            "quality_high": high if len(scores) else None,
            "success_usd": each / quality if each is not None and quality else None,
            "drawn": _if_always(sample, place),
        }
        found.append(line | {"against_line": compared.against_line(name)})
    return sorted(found, key=lambda one: (-(one["quality"] or 0.0), one["cost_usd"] or 0.0, one["route"]))


def _interval(scores: Floats) -> tuple[float, float]:
    """Return the 95 % Wilson interval of a mean score; scores that scatter less than right and wrong count for more."""
    if not len(scores):
        return 0.0, 1.0
    mean, variance = float(scores.mean()), float(scores.var())
    counts = len(scores) if variance < 1e-9 else len(scores) * max(mean * (1 - mean) / variance, 1.0)
    return wilson(mean * counts, counts)


def _if_always(sample: OutcomeSample, place: int) -> dict[str, float] | None:
    """Return what a route would score if it served everything, where routes were drawn with known probabilities."""
    known = (sample.propensity < 1) & (sample.served != NO_ROUTE)
    if not known.any():
        return None
    drawn = np.isfinite(sample.propensity) & (sample.served != NO_ROUTE)
    mine = np.full(len(sample.request), np.nan)
    served = sample.served[sample.line] == sample.route
    mine[sample.line[served]] = sample.score[served]
    drawn &= np.isfinite(mine)
    if not drawn.any():
        return None
    chosen = (sample.served[drawn] == place).astype(float)
    try:
        value = estimate_value(mine[drawn], sample.propensity[drawn], chosen, estimator="snips")
    except DataError:
        return None
    return {"quality": value.value, "quality_low": value.low, "quality_high": value.high, "effective": value.effective}


def _pair(pair: RoutePair, compared: _Comparison) -> dict[str, Any]:
    low, high = pair.break_even_range
    even = pair.break_even or 1.0
    at_even = pair.at(even)
    nine = pair.at(0.9).cost_usd
    return {
        "cheap": pair.cheap,
        "strong": pair.strong,
        "requests": pair.requests,
        "both": pair.both,
        "only_cheap": pair.only_cheap,
        "only_strong": pair.only_strong,
        "cheap_quality": pair.cheap_quality,
        "strong_quality": pair.strong_quality,
        "cheap_usd": pair.cheap_usd,
        "strong_usd": pair.strong_usd,
        "break_even": even,
        "break_even_low": low,
        "break_even_high": high,
        "break_even_saving": None if at_even.cost_usd is None or not pair.strong_usd else 1 - at_even.cost_usd / pair.strong_usd,
        "rejects_if_accepts_all": pair.rejects(1.0),
        "rejects_if_accepts_90": pair.rejects(0.9),
        "verifier_usd": None if nine is None or pair.strong_usd is None else max(pair.strong_usd - nine, 0.0),
        "beats_mix_from": _beats_mix(pair, compared),
        "at": [asdict(pair.at(accuracy)) for accuracy in ACCURACIES],
    }


def _beats_mix(pair: RoutePair, compared: _Comparison) -> float | None:
    """Return the lowest accuracy from which on the chain lies above the line of random mixes; `None` for never or unknown."""
    common = {compared.names[at] for at in compared.common}
    if not {pair.cheap, pair.strong} <= common:
        return None
    lowest = None
    for accuracy in np.arange(1.0, 0.495, -0.005):
        point = pair.at(float(accuracy))
        mix = compared.line.at_cost(point.cost_usd) if point.cost_usd is not None else None
        if mix is None or point.quality < mix.quality:
            break
        lowest = round(float(accuracy), 3)
    return lowest


def _oracle(sample: OutcomeSample, names: Sequence[str], repeated: Sequence[str]) -> dict[str, Any] | None:
    """Return what a choice by request is worth among the repeated routes."""
    found = oracle_of(sample, names, list(repeated)[:MOST_COMPARED]) if len(repeated) > 1 else None
    return asdict(found) if found is not None else None


def _notes(table: OutcomeTable, compared: _Comparison, luck: Sequence[Any], families: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what the traffic cannot tell, and what would."""
    said = []
    scored = sum(one.scored for one in table.routes.values())
    if not scored:
        said.append(
            "No outcome has a score: nothing can be said of quality. Tell outcomes of tasks (record_outcome), or let a verifier score."
        )
    if not compared.requests:
        said.append(
            "No request has scored outcomes of two routes, so dominated routes and break-even accuracies cannot be told. `langroute collect` "
            "or Shadow asks other routes about the same requests."
        )
    elif not compared.line.corners:
        said.append(
            "No two routes were scored and priced on nearly all compared requests: there is no line of random mixes. Pairs are compared where "
            "both were asked."
        )
    if table.in_turn:
        said.append(
            f"{table.in_turn:,} requests went to several routes in turn, the later ones because of what the first one answered: they compare nobody."
        )
    if compared.requests and not luck:
        said.append(
            "No route was run twice on the same requests, so luck and skill cannot be told apart: an oracle of one run is no headroom. Run 50 "
            "requests twice on two routes, and give the scores as `trials`."
        )
    if table.logged and not any(one["told"] for one in families):
        said.append("No served request has an outcome: trials are sized for a success rate of one half, the worst case.")
    unpriced = sorted(name for name, one in table.routes.items() if not one.priced)
    if unpriced:
        said.append(f"The cost of {', '.join(unpriced)} is not known; give prices with --prices.")
    if table.left_out:
        said.append(f"{sum(table.left_out.values()):,} outcomes of further routes are left out.")
    return said
