"""Quality and cost of who routes recorded questions, beside the random mix of the same two models that costs as much.

    python benchmarks/peers/routing.py write --data DIR --file FILE     # what subjects are asked to decide on
    python benchmarks/peers/routing.py judge --data DIR --file FILE     # FILE has what they decided; prints JSON

Sources, pairs of models and prices are those of `benchmarks/questions.py`; of each source `MOST` questions, drawn with a fixed seed. Peers
decide by the text, in environments of their own (`decide.py`). langroute's default is asked the same; what is fitted is fitted on two thirds
of a source's questions and judged on the other third, in turn.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from questions import named, pairs_of

from langroute import __version__
from langroute.core.records import Attempt, RouteInfo, best_attempt
from langroute.estimators.store import PolicyFile
from langroute.learning.default import pooled
from langroute.learning.fit import TARGETS, fit_group
from langroute.learning.grouping import Table, table_of
from langroute.learning.named import Named, named_policy
from langroute.learning.prices import read_prices
from langroute.learning.replay import attempt_of, request_of
from langroute.learning.traffic import Exchange
from langroute.learning.training import one_thread
from langroute.policies.learned import policy_from

MOST = 3000
"""Questions of a source, by default."""

FOLDS = 3
SCHEMA = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}
"""Names of types in the recorded functions, and in JSON schema."""


def sampled(data: Path, most: int) -> list[Table]:
    """Return recorded questions of each source, with the outcomes of all of its models."""
    prices = read_prices(data / "prices.toml")
    tables = []
    for table in pooled(sorted(data.glob("*.jsonl.gz")), prices).tables:
        rows = np.sort(np.random.default_rng(0).permutation(len(table.exchanges))[:most])
        tables.append(table_of([table.exchanges[row] for row in rows], table.routes, prices))
    return tables


def function(told: Any) -> dict[str, Any]:
    """Return a recorded function as OpenAI's protocol has it."""

    def plain(part: Any) -> Any:
        if isinstance(part, dict):
            return {
                name: SCHEMA.get(one, one) if name == "type" and isinstance(one, str) else plain(one) for name, one in part.items()
            }
        return [plain(one) for one in part] if isinstance(part, list) else part

    return {"type": "function", "function": {**told, "parameters": plain(told.get("parameters", {}))}}


def write(data: Path, most: int, file: Path) -> None:
    """Write the questions that subjects decide on."""
    asked = [
        {"messages": list(map(dict, one.messages)), "tools": list(map(function, one.tools))}
        for table in sampled(data, most)
        for one in table.exchanges
    ]
    file.write_text(json.dumps(asked))


@dataclass(frozen=True)
class Pair:
    """Recorded questions to two models; arrays are `(questions, 2)`, the cheaper model first."""

    source: str
    kind: str
    routes: tuple[RouteInfo, ...]
    exchanges: tuple[Exchange, ...]
    table: Table

    @property
    def scores(self) -> Any:
        return self.table.scores

    @property
    def costs(self) -> Any:
        return self.table.costs

    def beside(self, scores: Any, costs: Any) -> dict[str, Any]:
        """Return what a policy came to on each question, in arrays.

        Args:
            scores: Its scores, `(questions,)`.
            costs: Its costs in USD, `(questions,)`.

        Returns:
            `right` (the scores), `usd` (the costs as shares of the dearer model's mean) and `above` (the scores above the random mix of
            the same cost).
        """
        gap, dollars = self.scores[:, 1] - self.scores[:, 0], self.costs[:, 1] - self.costs[:, 0]
        # A mix that costs more than the dearer model alone is not better than it.
        slope = gap.mean() / dollars.mean() if costs.mean() < self.costs[:, 1].mean() else 0.0
        mix = self.scores[:, 1] - (self.costs[:, 1] - costs) * slope
        return {"right": scores, "usd": costs / self.costs[:, 1].mean(), "above": scores - mix}


def pairs(tables: list[Table], data: Path) -> Iterator[tuple[int, Pair]]:
    """Yield the pairs of each source, with the place of its first question among all."""
    prices, begun = read_prices(data / "prices.toml"), 0
    for table in tables:
        for kind, (large, small) in pairs_of(table).items():
            names = (table.routes[small], table.routes[large])
            routes = tuple(RouteInfo(name, rank=rank, price=prices[name]) for rank, name in enumerate(names))
            yield begun, Pair(named(table), kind, routes, table.exchanges, table_of(table.exchanges, names, prices))
        begun += len(table.exchanges)


def single(pair: Pair, small: Any) -> dict[str, Any]:
    """Return what comes of asking the cheaper model where `small` says so, else the dearer one."""
    return pair.beside(*(np.where(small, array[:, 0], array[:, 1]) for array in (pair.scores, pair.costs)))


def default(pair: Pair) -> dict[str, Any]:
    """Return what comes of langroute's default policy."""
    policy = Named("default", named_policy("default", pair.routes))
    chosen = [policy.select(policy.request_of(one, pair.routes), ()) for one in pair.exchanges]
    return single(pair, np.array([one is not None and one.route == pair.routes[0].name for one in chosen]))


def fitted(pair: Pair, targets: tuple[float, ...] = TARGETS) -> dict[float, dict[str, Any]]:
    """Return what comes of a policy that `langroute fit` makes of the other questions of the source, at each of its targets."""
    prices = {route.name: route.price for route in pair.routes}
    fold = np.random.default_rng(1).permutation(len(pair.exchanges)) % FOLDS
    found = {target: np.zeros((2, len(fold))) for target in targets}
    for part in range(FOLDS):
        seen = [one for one, place in zip(pair.exchanges, fold, strict=True) if place != part]
        with one_thread():
            group = fit_group(table_of(seen, pair.table.routes, prices), prices, targets, 0, None, None)
        for target in targets:
            policy = policy_from(PolicyFile((group,), 0, (), __version__), target=target)
            for row in np.flatnonzero(fold == part):
                found[target][:, row] = walked(policy, pair, int(row))
    return {target: pair.beside(*both) for target, both in found.items()}


def walked(policy: Any, pair: Pair, row: int) -> tuple[float, float]:
    """Return score and cost of a policy on one question, which it may ask of both models."""
    one, names = pair.exchanges[row], pair.table.routes
    request, attempts = request_of(one, pair.routes), list[Attempt]()
    while len(attempts) < 4 and (selection := policy.select(request, attempts)) is not None:
        cost = float(pair.costs[row, names.index(selection.route)])
        attempts.append(attempt_of(selection, one.outcomes[selection.route], cost))
    kept = best_attempt(attempts)
    assert kept is not None
    return float(pair.scores[row, names.index(kept.route)]), sum(attempt.cost_usd or 0.0 for attempt in attempts)


def summed(parts: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """Return means over all questions of a kind of pair, in percent, with the standard error of the points above the mix."""
    whole = {name: np.concatenate([one[name] for _, one in parts]) for name in ("right", "usd", "above")}
    means = {name: 100 * float(array.mean()) for name, array in whole.items()}
    error = 100 * float(whole["above"].std() / np.sqrt(len(whole["above"])))
    sources = {source: 100 * float(one["above"].mean()) for source, one in parts}
    return {**means, "error": error, "questions": len(whole["above"]), "sources": sources}


def judge(data: Path, most: int, decided: dict[str, Any]) -> dict[str, Any]:
    """Return what each subject came to, by its label and the kind of pair."""
    rows: dict[str, dict[str, list[tuple[str, dict[str, Any]]]]] = {}

    def add(label: str, pair: Pair, one: dict[str, Any]) -> None:
        rows.setdefault(label, {}).setdefault(pair.kind, []).append((pair.source, one))

    for begun, pair in pairs(sampled(data, most), data):
        here = slice(begun, begun + len(pair.exchanges))
        add("always the small model", pair, single(pair, True))
        add("always the large model", pair, single(pair, False))
        add("langroute's default", pair, default(pair))
        for target, one in fitted(pair).items():
            add(f"`langroute fit`, target {target:g}", pair, one)
        for told in decided.values():
            for label, most in told["cuts"]:
                add(label, pair, single(pair, np.array(told["levels"][here]) <= most))
        print(f"{pair.source} {pair.kind}", file=sys.stderr, flush=True)
    return {label: {kind: summed(parts) for kind, parts in kinds.items()} for label, kinds in rows.items()}


def main() -> None:
    """Write the questions, or judge decisions and print JSON as the last line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("write", "judge"))
    parser.add_argument("--data", type=Path, required=True, help="the folder of recorded outcomes")
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--most", type=int, default=MOST, help="questions of each source")
    given = parser.parse_args()
    work: dict[str, Callable[[], Any]] = {
        "write": lambda: write(given.data, given.most, given.file),
        "judge": lambda: judge(given.data, given.most, json.loads(given.file.read_text())),
    }
    print("\n" + json.dumps(work[given.what]()))


if __name__ == "__main__":
    main()
