"""Benchmark of plain questions: which ones to send down, against a coin that sends questions down at random for the same spend.

Two pairs of models of each source: the best model with the best one at less than half of its cost (near), and with the cheapest one (far).
Questions are ranked by expected loss for each expected dollar, as `Learned` and `LossPerDollar` rank them, and the first 20 and 40 % are sent
down. Estimates are never of questions that were fitted on: of a policy fitted on the very source (cross-fitted), of the estimator that
ships (cross-fitted over all sources), and of the one that ships with the whole source left out. What is fitted is kept in a folder, and a
run that was stopped goes on where it was.

Run: python benchmarks/questions.py [--folder FOLDER] [--parts fitted,shipped,left-out]
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from langroute.core.records import Price, RouteInfo
from langroute.estimators.documents import document_of
from langroute.learning.crossfit import fit_estimator
from langroute.learning.default import Pooled, fit_pooled, left_out, pooled
from langroute.learning.grouping import Table
from langroute.learning.prices import prices_for, read_prices
from langroute.learning.training import one_thread
from langroute.policies.difficulty import Difficulty
from langroute.policies.loss_per_dollar import loss_and_saving
from langroute.routes.price_arrays import PriceTable

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path(os.environ.get("LANGROUTE_SHARED") or ROOT.parent / "shared") / "outcomes"
SHARES = (0.2, 0.4)
TOLERANCES = (0.0, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.2, 0.5)


@dataclass(frozen=True)
class Asked:
    """Recorded questions to a pair of models; arrays are `(questions, 2)`, the dearer model first."""

    source: str
    pair: str
    scores: np.ndarray
    costs: np.ndarray
    loss: np.ndarray
    """Expected loss of success with the cheaper model, `(questions,)`."""

    saving: np.ndarray
    """Expected saving with it, `(questions,)`, in any unit."""

    def against_coin(self, down: np.ndarray) -> tuple[float, float]:
        """Return the points above a coin at the same spend where some questions are sent down, and the standard error."""
        gap, dollars = self.scores[:, 0] - self.scores[:, 1], self.costs[:, 0] - self.costs[:, 1]
        each = np.where(down, dollars * gap.mean() / dollars.mean() - gap, 0.0)
        return 100 * float(each.mean()), 100 * float(each.std() / np.sqrt(len(each)))

    def worth(self, tolerance: float) -> np.ndarray:
        """Return which questions `LossPerDollar` finds worth sending down at a tolerance."""
        return (self.saving > 0) & (self.loss <= tolerance * self.saving)

    def first(self, share: float) -> np.ndarray:
        """Return which questions are sent down where this share of them is: those with the least loss for each dollar."""
        order = np.argsort(self.loss / np.maximum(self.saving, 1e-12), kind="stable")
        down = np.zeros(len(order), bool)
        down[order[: int(share * len(order))]] = True
        return down


def pairs_of(table: Table) -> dict[str, tuple[int, int]]:
    """Return the routes of the near and the far pair of a source, the dearer one first."""
    quality, costs = table.scores.mean(0), table.costs.mean(0)
    best = int(quality.argmax())
    below = [place for place in range(len(costs)) if costs[place] < 0.5 * costs[best]]
    near, far = max(below, key=lambda place: quality[place]), min(below, key=lambda place: costs[place])
    return {"far": (best, far)} if near == far else {"near": (best, near), "far": (best, far)}


def kept(path: Path, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return arrays from a file, or make them and write it."""
    if not path.exists():
        begun = perf_counter()
        np.savez(path, **make())
        print(f"{path.stem}: {perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    with np.load(path) as found:
        return dict(found)


def of_fitted(table: Table, source: str, folder: Path) -> list[Asked]:
    """Return the pairs of a source, by a policy that is fitted on it."""

    def make() -> dict[str, np.ndarray]:
        documents = [document_of(one.messages, one.tools, one.labels) for one in table.exchanges]
        with one_thread():
            found = fit_estimator(documents, table.routes, table.scores, table.input_tokens, table.output_tokens, seed=0)
        prices = prices_for(table.routes, read_prices(FOLDER / "prices.toml"))
        costs = PriceTable([prices[name] for name in table.routes]).costs(found.input_tokens, found.output_tokens)
        return {"success": found.success, "costs": costs}

    found = kept(folder / f"fitted-{source}.npz", make)
    asked = []
    for pair, (large, small) in pairs_of(table).items():
        both = [large, small]
        loss = found["success"][:, large] - found["success"][:, small]
        saving = found["costs"][:, large] - found["costs"][:, small]
        asked.append(Asked(source, pair, table.scores[:, both], table.costs[:, both], loss, saving))
    return asked


def of_shipped(table: Table, source: str, guess: dict[str, np.ndarray], prices: Mapping[str, Price]) -> list[Asked]:
    """Return the pairs of a source, by what the shipped estimator predicts of its questions."""
    difficulties = [
        Difficulty(*success, given[-1], tuple(written))
        for success, given, written in zip(guess["success"], guess["input_tokens"], guess["output_tokens"], strict=True)
    ]
    asked = []
    for pair, (large, small) in pairs_of(table).items():
        routes = [RouteInfo(table.routes[place], price=prices[table.routes[place]]) for place in (small, large)]
        judged = np.array([loss_and_saving(one, *routes) for one in difficulties])
        both = [large, small]
        asked.append(Asked(source, pair, table.scores[:, both], table.costs[:, both], judged[:, 0], judged[:, 1]))
    return asked


def named(table: Table) -> str:
    """Return the name of a table's source."""
    return next(one.source for one in table.exchanges).partition("-")[0]


def guesses(pool: Pooled, folder: Path, part: str) -> list[dict[str, np.ndarray]]:
    """Return for each table what the shipped estimator predicts of its questions, cross-fitted or with each source left out."""
    if part == "shipped":

        def cross_fitted() -> dict[str, np.ndarray]:
            found = fit_pooled(pool)
            return {"success": found.success, "input_tokens": found.input_tokens, "output_tokens": found.output_tokens}

        guess = kept(folder / "shipped.npz", cross_fitted)
    else:
        guess = {name: np.full(pool.scores.shape, np.nan) for name in ("success", "input_tokens", "output_tokens")}
        for source in sorted(set(pool.sources)):

            def without(source: str = source) -> dict[str, np.ndarray]:
                away, found = left_out(pool, source)
                return {"away": away, **{name: getattr(found, name) for name in guess}}

            found = kept(folder / f"left-out-{source}.npz", without)
            for name, array in guess.items():
                array[found["away"]] = found[name]
    ends = np.cumsum([len(table.exchanges) for table in pool.tables])[:-1]
    parts = {name: np.split(array, ends) for name, array in guess.items()}
    return [{name: arrays[place] for name, arrays in parts.items()} for place in range(len(pool.tables))]


def shipped(pool: Pooled, folder: Path, part: str) -> list[Asked]:
    """Return all pairs by the shipped estimator, cross-fitted or with each source left out."""
    prices = read_prices(FOLDER / "prices.toml")
    both = zip(pool.tables, guesses(pool, folder, part), strict=True)
    return [one for table, guess in both for one in of_shipped(table, named(table), guess, prices)]


def show(title: str, every: list[Asked]) -> None:
    """Print points above a coin at both shares, for each source and pair and over all questions of a kind of pair."""
    print(f"\n| {title} | pair | questions | gap | at 20 % | at 40 % |\n|---|---|--:|--:|--:|--:|")
    for one in every:
        found = [one.against_coin(one.first(share)) for share in SHARES]
        gap = 100 * (one.scores[:, 0] - one.scores[:, 1]).mean()
        print(
            f"| {one.source} | {one.pair} | {len(one.scores)} | {gap:.1f} |",
            " | ".join(f"{points:+.1f} ± {error:.1f}" for points, error in found),
            "|",
        )
    for pair in ("near", "far"):
        mine = [one for one in every if one.pair == pair]
        sizes = [len(one.scores) for one in mine]
        means = [np.average([one.against_coin(one.first(share))[0] for one in mine], weights=sizes) for share in SHARES]
        plain = [np.mean([one.against_coin(one.first(share))[0] for one in mine]) for share in SHARES]
        print(f"| **all questions** | {pair} | {sum(sizes)} | |", " | ".join(f"**{points:+.1f}**" for points in means), "|")
        print(f"| mean of the sources | {pair} | | |", " | ".join(f"{points:+.1f}" for points in plain), "|")


def curve(every: list[Asked]) -> None:
    """Print what each tolerance of `LossPerDollar` sends down, saves and loses, over all questions of a kind of pair."""
    print("\n| tolerance | pair | sent down | spend saved | points lost | above a coin |\n|--:|---|--:|--:|--:|--:|")
    for tolerance in TOLERANCES:
        for pair in ("near", "far"):
            rows = []
            for one in (one for one in every if one.pair == pair):
                down = one.worth(tolerance)
                lost = np.where(down, one.scores[:, 0] - one.scores[:, 1], 0.0).mean()
                saved = np.where(down, one.costs[:, 0] - one.costs[:, 1], 0.0).sum() / one.costs[:, 0].sum()
                rows.append((len(down), down.mean(), saved, 100 * lost, one.against_coin(down)[0]))
            counts, *values = np.array(rows).T
            share, saved, lost, above = (np.average(value, weights=counts) for value in values)
            print(f"| {tolerance:g} | {pair} | {share:.0%} | {saved:.0%} | {lost:.1f} | {above:+.1f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "langroute-questions")
    parser.add_argument("--parts", default="fitted,shipped,left-out")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    pool = pooled(sorted(FOLDER.glob("*.jsonl.gz")), read_prices(FOLDER / "prices.toml"))
    for part in given.parts.split(","):
        if part == "fitted":
            show("fitted on the source", [one for table in pool.tables for one in of_fitted(table, named(table), given.folder)])
        elif part in ("shipped", "left-out"):
            every = shipped(pool, given.folder, part)
            show("shipped" if part == "shipped" else "shipped, source left out", every)
            curve(every)
        else:
            raise SystemExit(f"There is no part {part!r}.")
