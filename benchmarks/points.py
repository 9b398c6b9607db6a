"""Benchmark of operating points: what they promise, and what they keep on requests that were held back, over many splits of each source.

Each split fits a policy on seven tenths of a source and replays its points on the rest. Beside them stands "two cheap agree": of all pairs
of routes cheaper than the best single one, with a third that is asked where their answers differ, the cheapest that was as good as the best
single route on what was fitted on. Results are kept in a file as they come, and a run that was stopped goes on where it was.

Run: python benchmarks/points.py [--splits 14] [--only bfcl,zeroeval,mmlu_pro,routellm] [--minutes 60] [--results FILE]
"""

import argparse
import gzip
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from langroute.estimators.store import save_policy
from langroute.learning.fit import fit_files
from langroute.learning.grouping import table_of
from langroute.learning.prices import prices_for, read_prices
from langroute.learning.replay import replay
from langroute.learning.traffic import read_traffic

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path(os.environ.get("LANGROUTE_SHARED") or ROOT.parent / "shared") / "outcomes"
TARGETS = (1.0, 0.99, 0.98, 0.95)
HELD_BACK = 0.3


def split(source: str, seed: int, folder: Path) -> tuple[Path, Path]:
    """Write two files, by a hash of each request."""
    train, test = folder / f"{source}.train.jsonl", folder / f"{source}.test.jsonl"
    with gzip.open(FOLDER / f"{source}.jsonl.gz", "rt", encoding="utf-8") as lines, train.open("w") as most, test.open("w") as rest:
        for line in lines:
            text = f"{seed}{json.loads(line)['messages'][-1]['content']}"
            place = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2**32
            (rest if place < HELD_BACK else most).write(line)
    return train, test


class Outcomes:
    """Scores, costs and answers of the requests that all of some routes answered."""

    def __init__(self, path: Path, routes: tuple[str, ...]) -> None:
        every = [one for one in read_traffic([path]) if all(name in one.outcomes for name in routes)]
        table = table_of(every, routes, prices_for(routes, read_prices(FOLDER / "prices.toml")))
        self.scores, self.costs = table.scores, table.costs
        self.answers = np.array([[one.outcomes[name].answer for name in routes] for one in every], object)

    def agreement(self, first: int, second: int, last: int) -> tuple[float, float]:
        """Return quality and mean cost of two routes that must agree, and a third where they do not."""
        same = (self.answers[:, first] == self.answers[:, second]) & (self.answers[:, first] != None)  # noqa: E711
        score = np.where(same, self.scores[:, second], self.scores[:, last])
        cost = self.costs[:, first] + self.costs[:, second] + np.where(same, 0.0, self.costs[:, last])
        return float(score.mean()), float(cost.mean())


def two_cheap(train: Outcomes, test: Outcomes, frontier: int, lasts: range | tuple[int, ...]) -> tuple[float, float] | None:
    """Return quality and cost on `test` of the cheapest agreement that was as good as the frontier on `train`, else the best one."""
    quality, costs = train.scores.mean(0), train.costs.mean(0)
    cheap = [place for place in range(len(costs)) if costs[place] < costs[frontier]]
    found = {(*pair, last): train.agreement(*pair, last) for pair in combinations(cheap, 2) for last in lasts if last not in pair}
    good = {chain: cost for chain, (score, cost) in found.items() if score >= quality[frontier]}
    if not found:
        return None
    return test.agreement(*(min(good, key=good.__getitem__) if good else max(found, key=found.__getitem__)))


def measured(source: str, seed: int) -> dict[str, Any]:
    """Fit on one part, replay the points on the other, and return both."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train, test = split(source, seed, folder)
        prices = read_prices(FOLDER / "prices.toml")
        begun = perf_counter()
        policy = fit_files([train], prices=prices, targets=TARGETS)
        took = perf_counter() - begun
        group = policy.groups[0]
        save_policy(policy, folder / "policy", "# Benchmark")
        found = replay([test], folder / "policy", prices=prices)
        seen, held = Outcomes(train, group.routes), Outcomes(test, group.routes)
    frontier = group.routes.index(group.frontier)
    spent = float(held.costs[:, frontier].mean())
    best = float(held.scores.mean(0).max())
    points = []
    for one, point in zip(found["targets"], group.points, strict=True):
        said = one["promised"]
        points.append(
            {
                "target": one["target"],
                "kind": "best single" if point.tolerance is None else "cascade" if point.plan is not None else "single call",
                "quality": one["quality"],
                "cost": one["cost_usd"] / found["requests"] / spent,
                "promised": said["quality"],
                "kept": bool(said["quality_low"] <= one["quality"] <= said["quality_high"]),
            }
        )
    others = {}
    for title, lasts in {"third": range(len(group.routes)), "frontier": (frontier,)}.items():
        reference = two_cheap(seen, held, frontier, lasts) if not all(one is None for one in held.answers.ravel()) else None
        others[title] = None if reference is None else {"quality": reference[0], "cost": reference[1] / spent}
    return {
        "source": source,
        "seed": seed,
        "requests": len(held.scores),
        "frontier": float(held.scores[:, frontier].mean()),
        "best": best,
        "points": points,
        "two_cheap": others,
        "seconds": round(took, 1),
    }


def better(one: dict[str, float] | None, point: dict[str, Any]) -> bool:
    """Return whether two cheap routes that must agree are better than a point in both quality and cost."""
    return one is not None and one["quality"] > point["quality"] + 1e-9 and one["cost"] < point["cost"] - 1e-9


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the tables, in Markdown."""
    yield "| source | splits | target | points above the best single route | above the best on what was held back | cost | promise kept |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    sources = list(dict.fromkeys(row["source"] for row in rows))
    for source in sources:
        mine = [row for row in rows if row["source"] == source]
        for place, target in enumerate(TARGETS):
            points = [row["points"][place] for row in mine]
            apart = [100 * (one["quality"] - target * row["frontier"]) for one, row in zip(points, mine, strict=True)]
            against = [100 * (one["quality"] - target * row["best"]) for one, row in zip(points, mine, strict=True)]
            kept = sum(one["kept"] for one in points)
            cost = np.mean([one["cost"] for one in points])
            yield (
                f"| {source} | {len(mine)} | {target:g} | {np.mean(apart):+.1f} (from {min(apart):+.1f}) "
                f"| {np.mean(against):+.1f} | {cost:.2f} | {kept} of {len(mine)} |"
            )
    kept = [one["kept"] for row in rows for one in row["points"]]
    yield f"\nPromises kept: {sum(kept)} of {len(kept)}.\n"
    yield "| source | two cheap agree, else | points above | cost | point at 1.0: points above | cost | better in both than it |"
    yield "|---|---|--:|--:|--:|--:|--:|"
    for source in sources:
        for title in ("third", "frontier"):
            mine = [row for row in rows if row["source"] == source and row["two_cheap"][title] is not None]
            if mine:
                other = [row["two_cheap"][title] for row in mine]
                point = [row["points"][0] for row in mine]
                above = [100 * (one["quality"] - row["frontier"]) for one, row in zip(other, mine, strict=True)]
                own = [100 * (one["quality"] - row["frontier"]) for one, row in zip(point, mine, strict=True)]
                both = sum(map(better, other, point))
                yield (
                    f"| {source} | {title} | {np.mean(above):+.1f} | {np.mean([one['cost'] for one in other]):.2f} "
                    f"| {np.mean(own):+.1f} | {np.mean([one['cost'] for one in point]):.2f} | {both} of {len(mine)} |"
                )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--splits", type=int, default=14)
    parser.add_argument("--only", default="bfcl,zeroeval,mmlu_pro,routellm")
    parser.add_argument("--minutes", type=float, default=120, help="begin no split after this time")
    parser.add_argument("--results", type=Path, default=Path(tempfile.gettempdir()) / "langroute-points.jsonl")
    given = parser.parse_args()
    known = [json.loads(line) for line in given.results.read_text().splitlines()] if given.results.exists() else []
    started, wanted = perf_counter(), given.only.split(",")
    for source in wanted:
        for seed in range(1, given.splits + 1):
            if any(row["source"] == source and row["seed"] == seed for row in known):
                continue
            if perf_counter() - started > 60 * given.minutes:
                print(f"{source} {seed}: no time left; run again to go on", file=sys.stderr)
                break
            known.append(measured(source, seed))
            with given.results.open("a") as kept_in:
                kept_in.write(json.dumps(known[-1]) + "\n")
            print(f"{source} {seed}: fitted in {known[-1]['seconds']:.0f} s", file=sys.stderr, flush=True)
    print("\n".join(table([row for row in known if row["source"] in wanted and row["seed"] <= given.splits])))
