"""Benchmark of placing a new model from fifty answers: each route of the recorded outcomes in turn is treated as new.

The others are fitted on seven tenths of the requests. The newcomer is placed by 50 of its answers there, and tested on the other three
tenths: log loss, against the mean of the same 50 answers and against a fit that has all its answers.

Run: python benchmarks/newcomer.py [--source zeroeval] [--answers 50] [--seed 1] [--routes a,b,c]
"""

import argparse
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from langroute.estimators.documents import document_of
from langroute.learning.fit import fit_group
from langroute.learning.grouping import group, table_of
from langroute.learning.newcomer import place_route
from langroute.learning.prices import prices_for, read_prices
from langroute.learning.traffic import read_traffic
from langroute.learning.training import one_thread

FOLDER = Path(os.environ.get("LANGROUTE_SHARED") or Path(__file__).resolve().parents[2] / "shared") / "outcomes"


def surprise(guess: np.ndarray, scores: np.ndarray) -> float:
    """Mean log loss."""
    held = np.clip(guess, 0.005, 0.995)
    return float(-(scores * np.log(held) + (1 - scores) * np.log(1 - held)).mean())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", default="zeroeval")
    parser.add_argument("--answers", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--routes", default="", help="all of them if none are named")
    given = parser.parse_args()
    routes, every = group(list(read_traffic([FOLDER / f"{given.source}.jsonl.gz"])))[0]
    prices = prices_for(routes, read_prices(FOLDER / "prices.toml"))
    random = np.random.default_rng(given.seed)
    order = random.permutation(len(every))
    cut = int(0.7 * len(every))
    train, fresh = [every[row] for row in order[:cut]], [every[row] for row in order[cut:]]
    documents = [document_of(one.messages, one.tools, one.labels) for one in fresh]

    def fitted(names: tuple[str, ...]):
        """Return a group fitted on these routes, without answers, so that no cascade is fitted."""
        bare = [
            replace(one, outcomes={name: one.outcomes[name]._replace(answer=None, has_answer=False) for name in names})
            for one in train
        ]
        with one_thread():
            return fit_group(table_of(bare, names, prices), prices, (1.0,), given.seed)

    whole = fitted(routes).estimator.estimate(documents).success
    print(f"{given.source}: {len(train)} requests fitted, {len(fresh)} judged, {given.answers} answers of the newcomer")
    told = []
    for route in given.routes.split(",") if given.routes else routes:
        few = [train[row] for row in random.permutation(len(train))[: given.answers]]
        placed = place_route(fitted(tuple(name for name in routes if name != route)), few, route, prices[route])
        scores = np.array([one.outcomes[route].score for one in fresh])
        mean = np.mean([one.outcomes[route].score for one in few])
        guess = placed.estimator.estimate(documents).success[:, -1]
        row = (
            surprise(np.full(len(scores), mean), scores),
            surprise(guess, scores),
            surprise(whole[:, routes.index(route)], scores),
        )
        told.append(row)
        print(f"  {route}: mean of its answers {row[0]:.4f}, placed {row[1]:.4f}, fitted on all {row[2]:.4f}", flush=True)
    print("  mean of these: {:.4f}, {:.4f}, {:.4f}".format(*np.mean(told, 0)))
