"""Ablation of the estimator's methods: each alone, and its contribution to the blend, on held-out requests.

Every source is split in four. Each method is fitted on three parts, and cross-fitted for the weights of the blends; the fourth is the
test set. The shipped methods (words and shapes) are compared with others from the literature: character pairs over all requests, nearest
neighbours, cluster means and item response theory. Printed: log loss, for the pair of RouteLLM also the APGR on MMLU and on GSM8K, and the
weights of the blend.

With --own: the effect of per-label weights on RouteLLM's pair, in whole estimators with and without them; a plain TF-IDF
logistic regression on the same requests; and the gain from knowing how other models did on them.

With --embeddings MODULE:ATTRIBUTE: also a linear model on these embeddings, as in `langroute fit --embeddings`, and their nearest
neighbours.

Run: OPENBLAS_NUM_THREADS=1 python benchmarks/estimators.py [--seed 1] [--only bfcl,zeroeval,routellm] [--own] [--embeddings NAME]
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.cluster import KMeans
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

from langroute.core.object_names import object_at
from langroute.estimators.char_ngrams import pair_counts, weighed
from langroute.estimators.documents import document_of
from langroute.estimators.embedding_features import CachedEmbeddings
from langroute.estimators.estimator import logit, probability
from langroute.estimators.features import featurize
from langroute.learning.crossfit import fit_blend, fit_estimator
from langroute.learning.frontier import apgr, gap_recovered
from langroute.learning.grouping import group, table_of
from langroute.learning.prices import prices_for, read_prices
from langroute.learning.traffic import read_traffic
from langroute.learning.training import (
    fit_forest,
    fit_linear,
    fit_projection,
    fit_sense,
    folds,
    matrix_of,
    vocabulary_of,
    weighting_of,
)

FOLDER = Path(os.environ.get("LANGROUTE_SHARED") or Path(__file__).resolve().parents[2] / "shared") / "outcomes"
OUTER, INNER = 4, 3


class Data:
    """One source as matrices. Words and directions are taken from all requests: they know no outcome."""

    def __init__(self, source: str, reader: CachedEmbeddings | None = None) -> None:
        routes, every = group(list(read_traffic([FOLDER / f"{source}.jsonl.gz"])))[0]
        members = [one for one in every if all(name in one.outcomes for name in routes)]
        table = table_of(members, routes, prices_for(routes, read_prices(FOLDER / "prices.toml")))
        documents = [document_of(one.messages, one.tools, one.labels) for one in members]
        self.routes, self.scores, self.table, self.documents = routes, table.scores, table, documents
        self.gsm = np.array(["gsm8k" in one.task for one in members])
        vocabulary = vocabulary_of(documents)
        batch = featurize(documents, vocabulary)
        weighting = weighting_of(batch, vocabulary)
        self.words = matrix_of(batch, weighting.weigh(batch), len(weighting.rarity))
        labels = self.words[:, len(vocabulary) :]
        directions = self.words @ fit_projection(self.words, len(vocabulary), 64, 0)
        self.dense = np.hstack([batch.dense, directions[:, :32]])
        counts = np.concatenate(list(pair_counts([one.text for one in documents])))
        rarity = np.log((1 + len(counts)) / (1 + (counts > 0).sum(0))) + 1
        self.letters = hstack([csr_matrix(weighed(counts, rarity.astype(np.float32)).astype(float)), labels]).tocsr()
        shape = np.clip((batch.dense - batch.dense.mean(0)) / (batch.dense.std(0) + 1e-6), -4, 4)
        self.whole = hstack([self.words, self.letters, csr_matrix(0.05 * shape)]).tocsr()
        lengths = np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-9)
        near = np.hstack([directions / lengths, 0.03 * shape, 0.5 * labels.toarray()])
        self.near = near / np.linalg.norm(near, axis=1, keepdims=True)
        self.vectors = None if reader is None else reader.read([one.text for one in documents])


def words(data: Data, seen: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """TF-IDF and logistic regression, as `langroute fit` has it."""
    model = fit_linear(data.words[seen], data.scores[seen])
    return data.words[unseen] @ model.weights + model.bias


def letters(data: Data, seen: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """Logistic regression on pairs of letters, for all requests at once."""
    model = fit_linear(data.letters[seen], data.scores[seen])
    return data.letters[unseen] @ model.weights + model.bias


def sense(data: Data, seen: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """Logistic regression on vectors, as `langroute fit --embeddings` has it."""
    return fit_sense(data.vectors[seen], data.scores[seen], data.vectors[0]).of(data.vectors[unseen])


def sense_neighbours(data: Data, seen: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """Mean score of the requests nearest in sense."""
    return nearest(data.vectors, data.scores, seen, unseen)


def neighbours(data: Data, seen: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """Mean score of the nearest requests. Source: Hu et al., RouterBench (2024), section 4."""
    return nearest(data.near, data.scores, seen, unseen)


def nearest(vectors: np.ndarray, scores: np.ndarray, seen: np.ndarray, unseen: np.ndarray, near: int = 40) -> np.ndarray:
    """Log-odds of the mean score of the nearest, nearer ones counting more, held at the mean of all."""
    out, mean = np.zeros((len(unseen), scores.shape[1])), scores[seen].mean(0)
    for begin in range(0, len(unseen), 1000):
        likeness = vectors[unseen[begin : begin + 1000]] @ vectors[seen].T
        found = np.argpartition(-likeness, near, axis=1)[:, :near]
        weights = np.exp(10 * (np.take_along_axis(likeness, found, 1) - 1))[:, :, None]
        held = 2 * weights.mean()
        out[begin : begin + 1000] = ((weights * scores[seen][found]).sum(1) + held * mean) / (weights.sum(1) + held)
    return logit(out)


def clusters(data: Data, seen: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """Mean score of each cluster, held at the mean of all. Source: Zhang et al., Avengers-Pro (2025); Jitkrittum et al., UniRoute (2025)."""
    count = max(8, min(64, len(seen) // 60))
    model = KMeans(count, n_init=1, random_state=0, max_iter=30).fit(data.near[seen])
    total = np.zeros((count, data.scores.shape[1]))
    np.add.at(total, model.labels_, data.scores[seen])
    means = (total + 10 * data.scores[seen].mean(0)) / (np.bincount(model.labels_, minlength=count)[:, None] + 10)
    share = np.exp(-8 * model.transform(data.near[unseen]) ** 2)
    return logit(share / share.sum(1, keepdims=True) @ means)


def responses(data: Data, seen: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """Item response with two parameters; easiness by ridge regression. Source: Birnbaum (1968); Polo et al., tinyBenchmarks (2024)."""
    scores = data.scores[seen]
    easy, slope = np.zeros(len(seen)), np.ones(scores.shape[1])
    level = np.log((scores.mean(0) + 0.01) / (1.01 - scores.mean(0)))
    for _ in range(30):
        for _ in range(2):
            guess = probability(easy[:, None] * slope + level)
            step = (((scores - guess) * slope).sum(1) - easy) / ((guess * (1 - guess) * slope**2).sum(1) + 1)
            easy = easy + np.clip(step, -1, 1)
        easy = (easy - easy.mean()) / max(float(easy.std()), 1e-6)
        rows = np.column_stack([easy, np.ones(len(easy))])
        for route in range(len(slope)):
            for _ in range(3):
                now = np.array([slope[route], level[route]])
                guess = probability(rows @ now)
                pull = np.array([2 * (now[0] - 1), 0.0])
                curve = (rows * (guess * (1 - guess))[:, None]).T @ rows + np.diag([2.0, 0.01])
                slope[route], level[route] = now - np.linalg.solve(curve, rows.T @ (guess - scores[:, route]) + pull)
    model = Ridge(alpha=3.0, solver="sparse_cg", tol=1e-3).fit(data.whole[seen], easy)
    return model.predict(data.whole[unseen])[:, None] * slope + level


METHODS = (words, letters, neighbours, clusters, responses, sense, sense_neighbours)


def shapes(data: Data, seen: np.ndarray, unseen: np.ndarray, said: np.ndarray, says: np.ndarray) -> np.ndarray:
    """Randomised trees on structure, directions and the words' verdict, as `langroute fit` has it."""
    leaf = min(max(len(seen) // 500, 8), 20)
    model = fit_forest(np.hstack([data.dense[seen], said]), data.scores[seen], trees=60, leaf=leaf, depth=12, seed=0)
    return logit(model.predict(np.hstack([data.dense[unseen], says])))


def apgrs(data: Data, guess: np.ndarray) -> str:
    """Return the APGR of a pair of routes, on either part."""
    strong = int(data.scores.mean(0).argmax())
    gain, preference = (array[:, strong] - array[:, 1 - strong] for array in (data.scores, guess))
    parts = (("MMLU", ~data.gsm), ("GSM8K", data.gsm))
    return "".join(f"  APGR {name} {apgr(gap_recovered(gain[rows], preference[rows])):.4f}" for name, rows in parts)


def own_weights(data: Data, seed: int) -> None:
    """Print the results of whole estimators, with and without a label's own weights."""
    outer, table = folds(len(data.scores), OUTER, seed), data.table
    success = {name: np.zeros(data.scores.shape) for name in ("plain TF-IDF", "without own weights", "with own weights")}
    for part in range(OUTER):
        seen, unseen = np.flatnonzero(outer != part), np.flatnonzero(outer == part)
        arrays = [one[seen] for one in (table.scores, table.input_tokens, table.output_tokens)]
        model = fit_estimator([data.documents[row] for row in seen], data.routes, *arrays, seed=0).estimator
        documents = [data.documents[row] for row in unseen]
        success["with own weights"][unseen] = model.estimate(documents).success
        success["without own weights"][unseen] = replace(model, letters=None).estimate(documents).success
        tfidf = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
        known, asked = (
            tfidf.fit_transform([data.documents[row].text for row in seen]),
            tfidf.transform([one.text for one in documents]),
        )
        for route, scores in enumerate(data.scores[seen].T):
            success["plain TF-IDF"][unseen, route] = (
                LogisticRegression(C=3, max_iter=500).fit(known, scores > 0.5).predict_proba(asked)[:, 1]
            )
    for name, guess in success.items():
        print(f"  {name}:{apgrs(data, guess)}", flush=True)
    print(f"  how many of ZeroEval's 13 models fail on the very question: APGR GSM8K {known_difficulty(data):.4f}")


def known_difficulty(data: Data) -> float:
    """Return the APGR on GSM8K given the answers of 13 other models to each question."""
    others = {one.messages[-1]["content"]: one for one in read_traffic([FOLDER / "zeroeval.jsonl.gz"])}
    asked = [others.get(one.messages[-1]["content"]) for one in data.table.exchanges]
    rows = [row for row, one in enumerate(asked) if one is not None and data.gsm[row]]
    strong = int(data.scores.mean(0).argmax())
    failed = np.array([np.mean([1 - outcome.score for outcome in asked[row].outcomes.values()]) for row in rows])
    return apgr(gap_recovered(data.scores[rows, strong] - data.scores[rows, 1 - strong], failed))


def judge(data: Data, seed: int, blends: Sequence[Sequence[str]]) -> None:
    """Print the results of each blend on held-out requests."""
    count = len(data.scores)
    outer = folds(count, OUTER, seed)
    success = {names: np.zeros(data.scores.shape) for names in map(tuple, blends)}
    weights = {names: np.zeros(len(names)) for names in success}
    for part in range(OUTER):
        seen, unseen = np.flatnonzero(outer != part), np.flatnonzero(outer == part)
        inner = folds(len(seen), INNER, seed + 99)
        within, beyond = {}, {}
        for method in [one for one in METHODS if any(one.__name__ in names for names in success)]:
            within[method.__name__] = np.zeros((len(seen), data.scores.shape[1]))
            for fold in range(INNER):
                within[method.__name__][inner == fold] = method(data, seen[inner != fold], seen[inner == fold])
            beyond[method.__name__] = method(data, seen, unseen)
        said = within["words"]
        within["shapes"] = np.zeros(said.shape)
        for fold in range(INNER):
            some, rest = inner != fold, inner == fold
            within["shapes"][rest] = shapes(data, seen[some], seen[rest], said[some], said[rest])
        beyond["shapes"] = shapes(data, seen, unseen, said, beyond["words"])
        for names, guess in success.items():
            blend = fit_blend([within[name] for name in names], data.scores[seen])
            guess[unseen] = blend([beyond[name] for name in names])
            weights[names] += blend.weights / OUTER
    for names, guess in success.items():
        held = np.clip(guess, 1e-4, 1 - 1e-4)
        surprise = -(data.scores * np.log(held) + (1 - data.scores) * np.log(1 - held)).mean()
        line = f"  {' + '.join(names):46s} surprise {surprise:.4f}{apgrs(data, guess) if len(data.routes) == 2 else ''}"
        print(f"{line}  weights {np.round(weights[names], 2).tolist()}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="bfcl,zeroeval,routellm")
    parser.add_argument("--own", action="store_true")
    parser.add_argument("--embeddings", metavar="MODULE:ATTRIBUTE")
    given = parser.parse_args()
    if given.own:
        own_weights(Data("routellm"), given.seed)
        raise SystemExit
    shipped = ["words", "shapes"]
    tried = ["letters", "neighbours", "clusters", "responses"]
    reader = None
    if given.embeddings:
        sys.path.insert(0, str(Path.cwd()))
        reader = CachedEmbeddings(object_at(given.embeddings, "model of embeddings", "embed_documents"))
        tried = ["sense", "sense_neighbours"]
    for source in given.only.split(","):
        print(source)
        data = Data(source, reader)
        # Two routes do not tell an easy request from an able route.
        more = [one for one in tried if one != "responses" or len(data.routes) > 2]
        judge(data, given.seed, [*([name] for name in shipped + more), shipped, *([*shipped, name] for name in more)])
