"""How often does the semantic cache answer another question, and how often the same one? Beside similarity alone.

    python benchmarks/semantic_cache.py [--pairs ../shared/pairs/sick_train.jsonl.gz]

Two sets of pairs: those that `tests/cache/question_pairs.py` generates, and, where the file is there, pairs that people judged. For each, what
the guard makes of them, and what a bare limit on the cosine would. The embeddings are the
hashed words that ship.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "cache"))
from question_pairs import all_pairs

from langroute.cache.calibration import Calibration
from langroute.cache.guard import SAME, judge
from langroute.embeddings import HashedEmbeddings

ROOT = Path(__file__).parents[1]


def share(hits: int, of: int) -> str:
    return f"{hits:5} of {of:5} ({100 * hits / of:6.2f} %)"


def measure(name: str, pairs: list[tuple[str, str, bool]]) -> None:
    """Print what guard and cosine make of the pairs."""
    same, different = [pair for pair in pairs if pair[2]], [pair for pair in pairs if not pair[2]]
    print(f"\n{name}: {len(same)} same, {len(different)} different\n{'':34}{'same answered':>28}{'different answered':>28}")
    begun = perf_counter()
    guard = [sum(judge(a, b) == SAME for a, b, _ in group) for group in (same, different)]
    took = (perf_counter() - begun) / len(pairs) * 1e6
    print(f"{'guard':34}{share(guard[0], len(same)):>28}{share(guard[1], len(different)):>28}   {took:.0f} µs a pair")
    embeddings = HashedEmbeddings()
    cosines = []
    for group in (same, different):
        left, right = (np.asarray(embeddings.embed_documents([pair[side] for pair in group])) for side in (0, 1))
        cosines.append((left * right).sum(axis=1))
    for limit in (0.8, 0.9, 0.95, 0.98):
        hits = [int((found >= limit).sum()) for found in cosines]
        print(f"{f'cosine of hashed words >= {limit}':34}{share(hits[0], len(same)):>28}{share(hits[1], len(different)):>28}")
    # The limit at which the cosine answers as many of the same ones as the guard does.
    equal = np.sort(cosines[0])[::-1][max(0, guard[0] - 1)]
    hits = [int((found >= equal).sum()) for found in cosines]
    print(f"{f'cosine >= {equal:.3f}, as many hits':34}{share(hits[0], len(same)):>28}{share(hits[1], len(different)):>28}")


def streams(max_error: float = 0.01, runs: int = 100, length: int = 20_000) -> None:
    """Simulated streams over neighbourhoods with different shares of wrong answers."""
    shares = np.array([0.0, 0.001, 0.003, 0.012, 0.02, 0.05, 0.2, 0.6])
    kept, errors, given_share = 0, [], []
    for seed in range(runs):
        chance = np.random.default_rng(seed)
        calibration = Calibration(max_error)
        cells, dice = chance.integers(len(shares), size=length), chance.random((length, 2))
        given = wrong = 0
        for cell, (bad, explore) in zip(cells.tolist(), dice.tolist(), strict=True):
            is_bad = bad < shares[cell]
            if calibration.trusts(cell) and explore >= 0.02:
                given, wrong = given + 1, wrong + is_bad
            else:
                calibration.learn(cell, right=not is_bad)
        kept += wrong <= max_error * given
        errors.append(wrong / max(1, given))
        given_share.append(given / length)
    print(
        f"\nSimulated streams: error under {max_error:.0%} in {kept} of {runs} runs (target: 95); "
        f"mean error {np.mean(errors):.3%}, highest {max(errors):.3%}; answered on average {np.mean(given_share):.0%} of {length:,} questions"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=Path, default=ROOT.parent / "shared" / "pairs" / "sick_train.jsonl.gz")
    given = parser.parse_args()
    measure("Generated pairs (targets: at least 35 %, at most 0.5 %)", [(pair.a, pair.b, pair.same) for pair in all_pairs()])
    if given.pairs.is_file():
        with gzip.open(given.pairs, "rt") as lines:
            rows: list[Any] = [json.loads(line) for line in lines]
        measure("Judged pairs (targets: at least 25 %, at most 1 %)", [(row["a"], row["b"], row["same"]) for row in rows])
    streams()


if __name__ == "__main__":
    main()
