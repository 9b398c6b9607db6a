"""Fit the judge of steps that ships with langroute, from the labelled steps in `benchmarks/steps`; needs scikit-learn.

    python benchmarks/fit_steps.py            # fit, write langroute/data/steps/judge.npz and its card; some minutes
    python benchmarks/fit_steps.py --check    # only judge hands left out of the fit; writes nothing

The same data give the same file. Limits and settings were chosen by folds over hands inside these data: who wrote a step words it in a way of their
own, so that folds over apps alone promise too much. OMP_NUM_THREADS=1 is faster on a busy machine.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import roc_auc_score

from langroute.estimators.step_fields import NUMBERS, PLACES, step_fields
from langroute.estimators.step_grams import GRAMMED, SLOTS, grams_of
from langroute.estimators.step_judge import POOLED, VERSION
from langroute.estimators.step_words import BLOCKS, blocks_of, words_of
from langroute.policies.judged import BOUNDED_KINDS, HARD, LIMIT, MOST_STAKES

HERE = Path(__file__).resolve().parent / "steps"
OUT = HERE.parent.parent / "langroute" / "data" / "steps"
FOLDS, INNER = 5, 4
"""Folds over hands: of the measurement, and of what the second stage is fitted on."""

TREES = 200
STRENGTH = 1.0
"""Inverse of the L2 penalty."""

MEANS = 0.3
"""Scale of mean vectors beside words."""

BESIDE = 0.6
"""Weight in the fits of a step whose text is another step's, with another job: it shows that the job decides, and says its words once more."""

LEAST_STEPS = 3
"""Fewest steps in which a word occurs to be a feature."""

Floats = NDArray[np.float64]


@dataclass
class Steps:
    """Labelled steps as features and labels, in one order."""

    rows: list[dict[str, Any]]
    numbers: Floats
    words: list[list[list[str]]]
    blocks: list[list[set[str]]]
    places: NDArray[np.int64]
    grams: list[sparse.csr_matrix]
    """Character n-grams of the texts in `GRAMMED`, each `(steps, slots)`."""

    @property
    def apps(self) -> NDArray[Any]:
        """The app of each step."""
        return np.array([row["app"] for row in self.rows])

    @property
    def hands(self) -> NDArray[Any]:
        """The hand that wrote each step. Steps of one hand are worded alike, so a fold takes whole hands."""
        return np.array([_HAND.match(row["id"])[0] for row in self.rows])  # type: ignore[index]

    @property
    def quoted(self) -> NDArray[Any]:
        """The hand whose step a job beside it quotes; empty where none does."""
        return np.array([row.get("of", "") for row in self.rows])

    @property
    def written(self) -> NDArray[np.bool_]:
        """Which steps are no copies: neither lengthened nor a job beside another step."""
        return np.array([not row["id"].endswith("-long") and not row["id"].startswith("side") for row in self.rows])

    @property
    def weights(self) -> Floats:
        """Weight of each step in the fits."""
        return np.where(self.quoted == "", 1.0, BESIDE)

    @property
    def hard(self) -> NDArray[np.int64]:
        """1 for steps that need a frontier model, 0 for those that do not, -1 where either will do."""
        return np.array([{"frontier": 1, "cheap": 0, "either": -1}[row["label"]["route"]] for row in self.rows])

    @property
    def costly(self) -> NDArray[np.int64]:
        """Whether a mistake is costly."""
        return np.array([row["label"]["stakes"] == "high" for row in self.rows], dtype=np.int64)

    @property
    def kinds(self) -> NDArray[Any]:
        """The kind of each step."""
        return np.array([row["label"]["kind"] for row in self.rows])


_HAND = re.compile(r"[a-z]+[0-9]?")
_TOOL = re.compile(r"(\w+)\((.*?)\) - (.*)", re.DOTALL)


def tool_of(line: str) -> dict[str, Any]:
    """Return the definition of a tool that is written as `name(argument: type, …) - what it does`."""
    found = _TOOL.fullmatch(line)
    if found is None:
        raise ValueError(f"No tool: {line!r}")
    name, arguments, text = found.groups()
    names = [argument.partition(":")[0].strip() for argument in arguments.split(",") if argument.strip()]
    return {"name": name, "description": text, "parameters": {"properties": {key: {} for key in names}}}


def messages_of(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a step's messages, with its system prompt."""
    return [*([{"role": "system", "content": row["system"]}] if row["system"] else []), *row["messages"]]


def read_steps(folder: Path = HERE) -> Steps:
    """Read all labelled steps of a folder."""
    rows: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            rows += [json.loads(line) for line in file]
    parts = [step_fields(messages_of(row), tuple(tool_of(line) for line in row["tools"] or ()), row["schema"]) for row in rows]
    words = [[words_of(text) for text in part.texts] for part in parts]
    places = np.array([part.place for part in parts])
    grams = [gram_matrix([part.texts[field] for part in parts]) for field in GRAMMED]
    return Steps(rows, np.array([part.numbers for part in parts]), words, [blocks_of(one) for one in words], places, grams)


def gram_matrix(texts: Sequence[str]) -> sparse.csr_matrix:
    """Return the counts of character n-grams over the root of their number, `(texts, slots)`."""
    slots = [grams_of(text) for text in texts]
    values = np.concatenate([np.full(len(one), 1 / np.sqrt(max(len(one), 1))) for one in slots])
    starts = np.concatenate([[0], np.cumsum([len(one) for one in slots])])
    made = sparse.csr_matrix((values, np.concatenate(slots).astype(np.int64), starts), shape=(len(texts), SLOTS))
    made.sum_duplicates()
    return made


def placed_matrix(asked: sparse.csr_matrix, single: NDArray[np.int64], places: NDArray[np.int64]) -> sparse.csr_matrix:
    """Return the single words of requests, apart for each place of a step in a program, `(steps, places x words)`."""
    words = asked[:, single]
    return sparse.hstack([sparse.diags((places == place).astype(float)) @ words for place in range(len(PLACES))]).tocsr()


def unknown_shares(steps: Steps) -> Floats:
    """Return the share of each request's words that no other app's requests have, `(steps, 1)`: what the judge will see of a new app."""
    seen: dict[str, set[str]] = {}
    for app, words in zip(steps.apps, steps.words, strict=True):
        for word in set(words[1]):
            seen.setdefault(word, set()).add(app)
    return np.array([[np.mean([len(seen[word]) < 2 for word in set(words[1])] or [0.0])] for words in steps.words])


@dataclass
class Vocabulary:
    """Known words of each block, with their rarity."""

    blocks: list[dict[str, int]]
    rarity: list[Floats]

    @classmethod
    def of(cls, steps: Steps, places: Sequence[int]) -> Vocabulary:
        """Return the words of some of the steps."""
        blocks, rarity = [], []
        for place in range(len(BLOCKS)):
            counts = Counter(word for step in places for word in steps.blocks[step][place])
            names = sorted(word for word, count in counts.items() if count >= LEAST_STEPS)
            blocks.append({name: row for row, name in enumerate(names)})
            rarity.append(
                np.array([log((1 + len(places)) / (1 + counts[name])) + 1 for name in names]).astype(np.float16).astype(float)
            )
        return cls(blocks, rarity)

    def matrix(self, steps: Steps) -> sparse.csr_matrix:
        """Return the features of all steps, `(steps, words)`; each block is scaled to length 1."""
        made = []
        for place, (known, rarity) in enumerate(zip(self.blocks, self.rarity, strict=True)):
            starts, rows, values = [0], [], []
            for blocks in steps.blocks:
                found = sorted(known[word] for word in blocks[place] if word in known)
                value = rarity[found]
                rows += found
                values += list(value / (np.sqrt((value**2).sum()) or 1.0))
                starts.append(len(rows))
            made.append(sparse.csr_matrix((values, rows, starts), shape=(len(steps.rows), len(known))))
        return sparse.hstack(made).tocsr()


def dense_of(steps: Steps) -> Floats:
    """Return the values beside the words, `(steps, numbers)`."""
    return np.hstack([steps.numbers, unknown_shares(steps)])


def fit_binary(features: Any, labels: NDArray[np.int64], weights: Floats) -> LogisticRegression:
    """Fit the probability of a yes."""
    return LogisticRegression(C=STRENGTH, solver="liblinear", dual=True, tol=0.1, max_iter=100, random_state=0).fit(
        features, labels, weights
    )


@dataclass
class Vectors:
    """Vectors of common words in many languages: what is known of words that no labelled step has."""

    rows: dict[str, int]
    values: Floats
    rarity: Floats
    """Weight of each word in a text's mean; common words weigh less."""

    @classmethod
    def read(cls, steps: Steps, folder: Path = HERE) -> Vectors:
        """Read the vectors, and weigh the words by how many steps have them."""
        with np.load(folder / "vectors.npz", allow_pickle=False) as file:
            names = bytes(file["words"]).decode().split("\n")
            values = file["vectors"].astype(np.float64)
        values /= np.linalg.norm(values, axis=1, keepdims=True)
        counts = Counter(word for words in steps.words for text in words for word in set(text))
        rarity = np.array([30 / (31 + counts[name]) for name in names]).astype(np.float16).astype(float)
        return cls({name: row for row, name in enumerate(names)}, values, rarity)

    def means(self, steps: Steps) -> Floats:
        """Return the mean vectors of the texts in `POOLED`, side by side, `(steps, texts x dimensions)`."""
        made = np.zeros((len(steps.rows), len(POOLED), self.values.shape[1]))
        for step, words in enumerate(steps.words):
            for place, field in enumerate(POOLED):
                found = sorted(self.rows[word] for word in set(words[field]) if word in self.rows)
                if found:
                    weight = self.rarity[found]
                    made[step, place] = weight @ self.values[found] / np.sqrt((weight**2).sum())
        return made.reshape(len(steps.rows), -1)


@dataclass
class Known:
    """What the fits read, computed once: labels, numbers and mean vectors of all steps."""

    steps: Steps
    vectors: Vectors
    means: Floats
    dense: Floats

    @classmethod
    def of(cls, steps: Steps, folder: Path = HERE) -> Known:
        """Return what is known of steps."""
        vectors = Vectors.read(steps, folder)
        return cls(steps, vectors, vectors.means(steps), dense_of(steps))


class First:
    """First stage: a linear model of words, n-grams, mean vectors and numbers for each judgement, fitted on some of the steps."""

    def __init__(self, known: Known, places: NDArray[np.int64]) -> None:
        steps = known.steps
        clear = places[steps.hard[places] >= 0]
        self.known = known
        self.vocabulary = Vocabulary.of(steps, places.tolist())
        self.words = self.vocabulary.matrix(steps)
        start = len(self.vocabulary.blocks[0])
        asked = self.vocabulary.blocks[1]
        self.single = np.array([row for word, row in asked.items() if " " not in word])
        self.placed = placed_matrix(self.words[:, start : start + len(asked)], self.single, steps.places)
        plain = sparse.hstack([self.words, sparse.csr_matrix(known.dense)]).tocsr()
        features = sparse.hstack([plain, self.placed, *steps.grams, sparse.csr_matrix(known.means * MEANS)]).tocsr()
        heads = [
            fit_binary(features[rows], labels[rows], steps.weights[rows])
            for rows, labels in ((clear, steps.hard), (places, steps.costly))
        ]
        self.kinds = RidgeClassifier(alpha=1.0, solver="lsqr", max_iter=20).fit(plain[places], steps.kinds[places])
        rows = np.vstack([head.coef_ for head in heads]).T
        ends = np.cumsum([plain.shape[1], self.placed.shape[1], *[SLOTS] * len(GRAMMED)])
        linear, placed, *grams, means = np.split(rows, ends)
        self.placed_weights, self.gram_weights, self.mean_weights = placed, grams, means * MEANS
        count = self.words.shape[1]
        weights = np.hstack([linear, self.kinds.coef_.T])
        self.dense = weights[count:].copy()
        # The first number is 1 for every step.
        self.dense[0] += np.concatenate([*(head.intercept_ for head in heads), self.kinds.intercept_])
        self.weights = weights[:count].copy()
        # Small weights of kinds change no choice, and zeros take no place in the file.
        self.weights[:, 2:][np.abs(self.weights[:, 2:]) < 0.04] = 0

    def outputs(self, places: NDArray[np.int64], kinds: Sequence[str]) -> Floats:
        """Return what the second stage reads, `(steps, values)`, in the order in which `StepJudge` computes it."""
        words, start = self.words[places], 0
        by_block = []
        for block in self.vocabulary.blocks:
            by_block.append(words[:, start : start + len(block)] @ self.weights[start : start + len(block)])
            start += len(block)
        every = np.array(by_block)
        total = every.sum(0) + self.known.dense[places] @ self.dense
        size = self.known.vectors.values.shape[1]
        means = self.known.means[places].reshape(len(places), len(POOLED), size)
        beside = np.stack(
            [
                self.placed[places] @ self.placed_weights,
                *(one[places] @ weights for one, weights in zip(self.known.steps.grams, self.gram_weights, strict=True)),
                *np.einsum("spd,pdh->psh", means, self.mean_weights.reshape(len(POOLED), size, 2)),
            ]
        )
        total[:, :2] += beside.sum(0)
        scores = np.full((len(places), len(kinds)), -1.0)
        for place, kind in enumerate(self.kinds.classes_):
            scores[:, kinds.index(str(kind))] = total[:, 2 + place]
        columns = [every[:, :, 0].T, every[:, :, 1].T, total[:, :2], scores, beside[:, :, 0].T, beside[:, :, 1].T]
        return np.hstack([*columns, self.known.dense[places]])


def named(steps: Steps, hard: Floats, costly: Floats) -> list[dict[str, Any]]:
    """Return what the policies by name do with steps of hands that were left out: shares of the steps, and of the frontier's cost saved.

    All steps are taken as equally long; the routes cost 1, 5 and 20. Copies are left out.
    """
    kept = steps.written
    hard, costly = hard[kept], costly[kept]
    easy = (hard < LIMIT) & (costly < MOST_STAKES)
    top = (hard >= HARD) | (costly >= MOST_STAKES)
    side = np.isin(steps.kinds[kept], sorted(BOUNDED_KINDS))
    wanted = steps.hard[kept]
    rows = []
    for name, down, middle in (("quality", easy & side, np.zeros_like(easy)), ("balanced", easy, ~easy & ~top)):
        for routes in (2, 3):
            between = middle if routes == 3 else np.zeros_like(easy)
            rows.append(
                {
                    "policy": name,
                    "routes": routes,
                    "cheapest": round(float(down.mean()), 3),
                    "middle": round(float(between.mean()), 3),
                    "hard_sent_down": round(float(down[wanted == 1].mean()), 4),
                    "easy_sent_down": round(float(down[wanted == 0].mean()), 3),
                    "saved": round(float((down * 19 + between * 15).mean() / 20), 3),
                }
            )
    return rows


def kinds_of(steps: Steps) -> list[str]:
    """Return the names of all kinds."""
    return sorted(set(map(str, steps.kinds)))


class Both:
    """Both stages, fitted on some of the steps. The second is fitted on what the first says of steps that it was not fitted on."""

    def __init__(self, known: Known, places: NDArray[np.int64]) -> None:
        steps, kinds = known.steps, kinds_of(known.steps)
        folds = folds_of(steps.hands[places], INNER)
        parts = np.zeros((len(places), 0))
        for fold in range(INNER):
            outputs = First(known, places[folds != fold]).outputs(places[folds == fold], kinds)
            parts = parts if parts.size else np.zeros((len(places), outputs.shape[1]))
            parts[folds == fold] = outputs
        clear = steps.hard[places] >= 0
        weights = steps.weights[places]
        self.hard = boosted().fit(parts[clear], steps.hard[places][clear], weights[clear])
        self.costly = boosted().fit(parts, steps.costly[places], weights)
        self.first = First(known, places)

    def probabilities(self, places: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Return the probabilities that steps are hard and costly."""
        outputs = self.first.outputs(places, kinds_of(self.first.known.steps))
        return self.hard.predict_proba(outputs)[:, 1], self.costly.predict_proba(outputs)[:, 1]


def boosted() -> HistGradientBoostingClassifier:
    """Return a new second stage: small boosted trees."""
    return HistGradientBoostingClassifier(
        max_iter=TREES,
        learning_rate=0.06,
        max_leaf_nodes=8,
        min_samples_leaf=25,
        max_features=0.3,
        l2_regularization=5,
        random_state=0,
    )


def folds_of(hands: NDArray[Any], folds: int) -> NDArray[np.int64]:
    """Return the fold of each step: whole hands, the largest first, each to the smallest fold."""
    counts = Counter(map(str, hands))
    sizes, place = [0] * folds, {}
    for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        place[name] = sizes.index(min(sizes))
        sizes[place[name]] += count
    return np.array([place[str(hand)] for hand in hands])


def left_out(known: Known, folds: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return the probabilities that each step is hard and costly, by a fit without its fold of hands."""
    hard, costly = np.zeros(len(folds)), np.zeros(len(folds))
    for fold in range(int(folds.max()) + 1):
        outside = np.flatnonzero(folds == fold)
        # A job beside a step has the step's own words, with another label.
        inside = (folds != fold) & ~np.isin(known.steps.quoted, known.steps.hands[outside])
        hard[outside], costly[outside] = Both(known, np.flatnonzero(inside)).probabilities(outside)
    return hard, costly


def measured(steps: Steps, hard: Floats, costly: Floats, limit: float = LIMIT) -> dict[str, float]:
    """Return the two rates that count, with two routes: steps that need the frontier sent down, and easy ones sent up."""
    down = (hard < limit) & (costly < MOST_STAKES)
    wanted = np.where(steps.written, steps.hard, -1)
    clear = wanted >= 0
    return {
        "steps": len(wanted),
        "apps": len(set(steps.apps)),
        "hands": len(set(steps.hands)),
        "auc": round(float(roc_auc_score(wanted[clear], hard[clear])), 4),
        "hard_sent_down": round(float(down[wanted == 1].mean()), 4),
        "easy_sent_up": round(float((~down[wanted == 0]).mean()), 4),
    }


def by_fold(steps: Steps, hard: Floats, folds: NDArray[np.int64]) -> list[float]:
    """Return the area under the curve of each fold, copies left out."""
    clear = steps.written & (steps.hard >= 0)
    found = []
    for fold in range(int(folds.max()) + 1):
        some = clear & (folds == fold)
        found.append(round(float(roc_auc_score(steps.hard[some], hard[some])), 4))
    return found


def curve(steps: Steps, hard: Floats, costly: Floats) -> list[dict[str, float]]:
    """Return the rates at several limits."""
    return [
        {"limit": limit, **measured(steps, hard, costly, limit)}
        for limit in (0.03, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.12, 0.2, 0.3)
    ]


def forest_of(model: HistGradientBoostingClassifier) -> dict[str, NDArray[Any]]:
    """Return boosted trees as the arrays of a `Forest`: the right child follows the left one, and a leaf's child is itself."""
    roots, feature, threshold, left, value, depth = [], [], [], [], [], 0
    for (tree,) in model._predictors:
        order, base = [0], len(feature)
        roots.append(base)
        for node in order:
            if not tree.nodes[node]["is_leaf"]:
                order += [int(tree.nodes[node]["left"]), int(tree.nodes[node]["right"])]
        place = {node: base + number for number, node in enumerate(order)}
        for node in order:
            one = tree.nodes[node]
            leaf = bool(one["is_leaf"])
            feature.append(0 if leaf else int(one["feature_idx"]))
            threshold.append(np.inf if leaf else float(one["num_threshold"]))
            left.append(place[node] if leaf else place[int(one["left"])])
            # `Forest` returns the mean of the trees, and boosted trees are added.
            value.append([float(one["value"]) * len(model._predictors)])
            depth = max(depth, int(one["depth"]))
    return {
        "roots": np.array(roots, np.int32),
        "feature": np.array(feature, np.int16),
        "threshold": np.array(threshold, np.float32),
        "left": np.array(left, np.int32),
        "value": np.array(value, np.float32),
        "depth": np.array(depth),
    }


def quantised(weights: Floats) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return weights as whole numbers, and what each column is multiplied by."""
    scales = np.abs(weights).max(0) / 127
    return np.round(weights / scales).astype(np.int8), scales.astype(np.float32)


def by_name(parts: dict[str, Floats]) -> dict[str, NDArray[Any]]:
    """Return the quantised weights of each part, and what its columns are multiplied by."""
    made: dict[str, NDArray[Any]] = {}
    for name, weights in parts.items():
        made[name], made[f"{name}_scales"] = quantised(weights)
    return made


def arrays_of(known: Known, fitted: Both, facts: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """Return the arrays of the file."""
    first, vectors = fitted.first, known.vectors
    # A word's share in each text of `POOLED`, for both heads: its vector itself is not needed any more.
    by_text = first.mean_weights.reshape(len(POOLED), vectors.values.shape[1], 2)
    shares = np.hstack([vectors.values @ by_text[:, :, head].T for head in range(2)])
    asked = np.zeros((len(first.vocabulary.blocks[1]), len(PLACES) * 2))
    asked[first.single] = (
        first.placed_weights.reshape(len(PLACES), len(first.single), 2).transpose(1, 0, 2).reshape(-1, len(PLACES) * 2)
    )
    beside = {"placed": asked, **{f"gram_{field}": one for field, one in zip(GRAMMED, first.gram_weights, strict=True)}}
    vector_weights, vector_scales = quantised(shares)
    weights, scales = quantised(first.weights)
    text = "\0".join("\n".join(block) for block in first.vocabulary.blocks)
    facts = {
        "version": VERSION,
        "numbers": list(NUMBERS),
        "kinds": kinds_of(known.steps),
        "offsets": [float(model._baseline_prediction.ravel()[0]) for model in (fitted.hard, fitted.costly)],
        **facts,
    }
    return {
        "facts": np.frombuffer(json.dumps(facts, sort_keys=True).encode(), np.uint8),
        "words": np.frombuffer(text.encode(), np.uint8),
        "rarity": np.concatenate(first.vocabulary.rarity).astype(np.float16),
        "weights": weights,
        "scales": scales,
        "dense": first.dense.astype(np.float32),
        **by_name(beside),
        "vector_words": np.frombuffer("\n".join(vectors.rows).encode(), np.uint8),
        "vector_rarity": vectors.rarity.astype(np.float16),
        "vector_weights": vector_weights,
        "vector_scales": vector_scales,
        **{f"hard_{name}": array for name, array in forest_of(fitted.hard).items()},
        **{f"costly_{name}": array for name, array in forest_of(fitted.costly).items()},
    }


def write_npz(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write a compressed npz file whose bytes depend on the arrays alone: `numpy.savez` writes the time too."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.asarray(array, order="C"), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", (2026, 1, 1, 0, 0, 0))
            archive.writestr(entry, buffer.getvalue(), zipfile.ZIP_DEFLATED, 9)


def card(points: Sequence[dict[str, float]], names: Sequence[dict[str, Any]]) -> str:
    """Return the card of the file, in Markdown."""
    first = points[0]
    return "\n".join(
        [
            "# The judge of steps that ships with langroute",
            "",
            f"Fitted on {first['steps']} labelled steps of {first['apps']} invented programs and jobs (`benchmarks/steps`), by `benchmarks/fit_steps.py`.",
            "It holds words and weights, no text of anybody. The labels are one author's taste; nobody ran the steps on real models.",
            "",
            f"Steps of hands that were left out of the fit ({FOLDS} folds over whole hands, copies left out; area under the curve {first['auc']:.3f}), two routes:",
            "",
            *curve_table(points),
            "",
            f"Policies by name on the same steps, equally long, with routes that cost 1, 5 and 20 (limit {LIMIT:g}):",
            "",
            *named_table(names),
            "",
        ]
    )


def curve_table(points: Sequence[dict[str, float]]) -> list[str]:
    """Return the rates at several limits as a table in Markdown."""
    rows = [f"| {one['limit']:g} | {one['hard_sent_down']:.1%} | {one['easy_sent_up']:.1%} |" for one in points]
    return ["| limit | hard or costly steps sent down | easy steps sent up |", "|---|---|---|", *rows]


def named_table(names: Sequence[dict[str, Any]]) -> list[str]:
    """Return what the policies by name do as a table in Markdown."""
    rows = [
        f"| `{one['policy']}` | {one['routes']} | {one['cheapest']:.0%} | {one['middle']:.0%} | {one['hard_sent_down']:.1%} "
        f"| {one['easy_sent_down']:.0%} | {one['saved']:.0%} |"
        for one in names
    ]
    return [
        "| policy | routes | to the cheapest | to the middle | of hard ones down | of easy ones down | saved |",
        "|---|---|---|---|---|---|---|",
        *rows,
    ]


def main() -> None:
    """Fit and write, or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    steps = read_steps()
    known = Known.of(steps)
    folds = folds_of(steps.hands, FOLDS)
    hard, costly = left_out(known, folds)
    points = curve(steps, hard, costly)
    for point in points:
        print(point)
    for row in named(steps, hard, costly):
        print(row)
    if not arguments.check:
        OUT.mkdir(parents=True, exist_ok=True)
        facts = {
            "left_out": measured(steps, hard, costly),
            "folds": by_fold(steps, hard, folds),
            "curve": points,
            "limits": [LIMIT, HARD, MOST_STAKES],
        }
        fitted = Both(known, np.arange(len(steps.rows)))
        write_npz(OUT / "judge.npz", arrays_of(known, fitted, facts))
        (OUT / "CARD.md").write_text(card(points, named(steps, hard, costly)), encoding="utf-8")


if __name__ == "__main__":
    main()
