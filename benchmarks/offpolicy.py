"""Benchmark of off-policy estimates against the true values, on logs made from recorded outcomes.

For each source a policy is fitted on one part. Logs are simulated from the other part: requests are drawn with replacement, a logging
policy picks one route for each with a known probability, and the outcomes of all other routes are discarded. The estimated value of the
fitted policy is compared with its true value on the full record of that part.

Two logging policies: `even` picks routes uniformly; `careful` picks the best single route except for three requests in ten.

Run: python benchmarks/offpolicy.py [--runs 100] [--only zeroeval,bfcl,mmlu_pro,routellm]
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from learning import FOLDER, split

from langroute.estimators.store import PolicyFile
from langroute.learning.fit import fit_files
from langroute.learning.offpolicy import ESTIMATORS, estimate_value
from langroute.learning.parts import Rates, TrafficPart, parts_of
from langroute.learning.prices import read_prices
from langroute.learning.traffic import read_traffic
from langroute.policies.learned import policy_from

TOLERANCES = (0.1, 1.0)
SHARE = 0.3


def held_back(source: str, folder: Path) -> tuple[PolicyFile, list[TrafficPart]]:
    """A policy that was fitted on one part, and the other part's outcomes of all its routes."""
    train, test = split(source, SHARE, 1, folder)
    prices = read_prices(FOLDER / "prices.toml")
    stored = fit_files([train], prices=prices)
    parts = parts_of(read_traffic([test]), Rates(prices, stored), set(stored.groups[0].routes))
    return stored, [part for part in parts if set(part.names) == set(stored.groups[0].routes)]


def logging(scores: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Names of logging policies, and the probability with which each picks each route."""
    count = scores.shape[1]
    yield "even", np.full(count, 1 / count)
    careful = np.full(count, 0.3 / count)
    careful[scores.mean(0).argmax()] += 0.7
    yield "careful", careful


def agreement(source: str, runs: int, folder: Path) -> None:
    """Print how often the truth is inside the interval, and how wide that is."""
    stored, parts = held_back(source, folder)
    group = stored.groups[0]
    columns = [parts[0].names.index(name) for name in group.routes]
    scores = np.concatenate([part.scores for part in parts])[:, columns]
    guesses = [group.estimator.estimate(part.documents()) for part in parts]
    success = np.concatenate([guess.success for guess in guesses])
    index = np.arange(len(scores))
    print(f"{source}: {len(scores)} requests, {len(group.routes)} routes, {runs} runs")
    for tolerance in TOLERANCES:
        policy = policy_from(stored, tolerance=tolerance)
        new = np.concatenate([policy.places(guess, part.routes) for guess, part in zip(guesses, parts, strict=True)])
        truth = float(scores[index, new].mean())
        for name, chances in logging(scores):
            for estimator in ESTIMATORS:
                inside, errors, widths, effective = 0, [], [], []
                for run in range(runs):
                    random = np.random.default_rng(run)
                    rows = random.integers(len(scores), size=len(scores))
                    logged = random.choice(len(chances), len(rows), p=chances)
                    found = estimate_value(
                        scores[rows, logged],
                        chances[logged],
                        (logged == new[rows]).astype(float),
                        estimator=estimator,
                        expected=success[rows, logged],
                        expected_new=success[rows, new[rows]],
                    )
                    inside += found.low <= truth <= found.high
                    errors.append(found.value - truth)
                    widths.append(found.high - found.low)
                    effective.append(found.effective)
                print(
                    f"  tolerance {tolerance:g}, logged {name:7} {estimator:5}: truth {truth:.4f}, inside {inside} of {runs}, "
                    f"bias {np.mean(errors):+.4f}, error {np.std(errors):.4f}, width {np.mean(widths):.3f}, "
                    f"effective {np.mean(effective):.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--only", default="zeroeval,bfcl,mmlu_pro,routellm")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        for one in given.only.split(","):
            agreement(one, given.runs, Path(name))
