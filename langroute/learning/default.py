"""Fitting and evaluation of the estimator that ships with langroute.

The recorded outcomes of many models are pooled into those of three pseudo-routes: a cheap one (the mean of models that cost less than a
dollar per million tokens), a near one (the mean of those among them that are nearly as good as the best) and a frontier one (the mean of
the source's best models). The estimator predicts how hard a request is for each, independent of model names. Labels of the sources are not
used, because requests of other programs do not carry them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from langroute._version import __version__
from langroute.core.errors import DataError
from langroute.core.records import Price
from langroute.estimators.arrays import Floats
from langroute.estimators.documents import Document, document_of
from langroute.estimators.estimator import Estimate
from langroute.estimators.store import Group, Point, PolicyFile
from langroute.learning.crossfit import Fitted, Settings, fit_estimator
from langroute.learning.fit import calibration_error
from langroute.learning.frontier import apgr, gap_recovered
from langroute.learning.grouping import Table, group, table_of
from langroute.learning.prices import prices_for
from langroute.learning.traffic import read_traffic
from langroute.learning.training import one_thread
from langroute.policies.difficulty import looks_easy

ROUTES = ("cheap", "near", "frontier")
SETTINGS = Settings(directions=16, trees=48, leaf=25, depth=10, most_words=40_000, least=4)
CHEAP_BELOW = 1.0
"""Price in USD per million tokens, input and output weighted 3 to 1, below which a model is cheap."""

NEAR = 0.12
"""Largest difference to the source's best quality at which a cheap model is near."""

NEAR_BEST = 0.05
"""Largest difference to the source's best quality at which a model belongs to the frontier."""


@dataclass(frozen=True, slots=True)
class Pooled:
    """Requests of many sources with the outcomes of the pseudo-routes; arrays are `(requests, len(ROUTES))`, NaN where a source has none."""

    documents: list[Document]
    scores: Floats
    input_tokens: Floats
    output_tokens: Floats
    sources: list[str]
    tables: list[Table]
    """Outcomes of the models themselves, in the order of the requests."""

    def only(self, rows: Sequence[int]) -> Pooled:
        """Return the requests of some rows, without the models' own outcomes."""
        at = np.array(rows, np.int64)
        return Pooled(
            [self.documents[row] for row in rows],
            self.scores[at],
            self.input_tokens[at],
            self.output_tokens[at],
            [self.sources[row] for row in rows],
            [],
        )


def pooled(paths: Sequence[str | Path], prices: Mapping[str, Price]) -> Pooled:
    """Read traffic, and pool the outcomes into those of the pseudo-routes.

    Args:
        paths: Traffic files; see `docs/traffic.md`.
        prices: Prices by route name.

    Raises:
        DataError: No file has outcomes of both cheap and strong models.
    """
    documents: list[Document] = []
    sources: list[str] = []
    columns: tuple[list[Floats], list[Floats], list[Floats]] = [], [], []
    tables = []
    for path in paths:
        for names, every in group(list(read_traffic([path]))):
            members = [one for one in every if all(name in one.outcomes for name in names)]
            if len(members) < 100:
                continue
            table = table_of(members, names, prices_for(names, prices))
            kinds = _kinds(table, prices)
            if kinds is None:
                continue
            tables.append(table)
            documents += [document_of(one.messages, one.tools) for one in members]
            sources += [one.source.partition("-")[0] + ("-gsm" if "gsm" in one.source else "") for one in members]
            for found, array in zip(columns, (table.scores, table.input_tokens, table.output_tokens), strict=True):
                found.append(np.column_stack([_mean(array[:, kind]) for kind in kinds]))
    if not tables:
        raise DataError("No file has outcomes of both cheap and strong models.")
    scores, given, written = (np.vstack(found) for found in columns)
    return Pooled(documents, scores, given, written, sources, tables)


def _kinds(table: Table, prices: Mapping[str, Price]) -> tuple[NDArray[np.bool_], ...] | None:
    """Return which routes of a table each pseudo-route is the mean of, or `None` where there are no cheap or no strong ones."""
    quality = np.nanmean(table.scores, 0)
    price = np.array([(3 * prices[name].input + prices[name].output) / 4 for name in table.routes])
    best = quality.max()
    cheap = (price < CHEAP_BELOW) & (quality > 0.5 * best)
    strong = (price >= CHEAP_BELOW) & (quality >= best - NEAR_BEST)
    return (cheap, cheap & (quality >= best - NEAR), strong) if cheap.any() and strong.any() else None


def _mean(columns: Floats) -> Floats:
    return np.nanmean(columns, 1) if columns.shape[1] else np.full(len(columns), np.nan)


def fit_pooled(pool: Pooled, seed: int = 0, parts: int = 5) -> Fitted:
    """Fit the estimator of the pseudo-routes on pooled outcomes, with cross-fitted predictions in `parts` folds."""
    with one_thread():
        return fit_estimator(
            pool.documents,
            ROUTES,
            pool.scores,
            pool.input_tokens,
            pool.output_tokens,
            seed=seed,
            settings=replace(SETTINGS, folds=parts),
        )


def left_out(pool: Pooled, source: str, seed: int = 0) -> tuple[NDArray[np.bool_], Estimate]:
    """Return which requests are of a source, and estimates of them by a fit on all other sources.

    The same question may be in two sources, with different options: such questions are left out of the fit as well.
    """
    asked = [document.text.partition("\nA")[0].strip().lower() for document in pool.documents]
    away = np.array([one == source for one in pool.sources])
    theirs = {asked[row] for row in np.flatnonzero(away)}
    inside = [int(row) for row in np.flatnonzero(~away) if asked[row] not in theirs]
    model = fit_pooled(pool.only(inside), seed, 3).estimator
    return away, model.estimate([pool.documents[row] for row in np.flatnonzero(away)])


def build_default(paths: Sequence[str | Path], prices: Mapping[str, Price], seed: int = 0) -> PolicyFile:
    """Fit the shipped estimator, and evaluate it on each source with that source left out of the fit."""
    pool = pooled(paths, prices)
    scores, names = pool.scores, sorted(set(pool.sources))
    others: dict[str, dict[str, float]] = {}
    for source in names:
        away, guess = left_out(pool, source, seed)
        others[source] = judged(guess.success, scores[away])
    fitted = fit_pooled(pool, seed)
    facts: dict[str, Any] = {
        "requests": len(scores),
        "sources": {name: pool.sources.count(name) for name in names},
        "left_out": others,
        "inside": judged(fitted.success, scores),
        "calibration_error": {
            name: round(calibration_error(fitted.success[:, place], scores[:, place]), 6) for place, name in enumerate(ROUTES)
        },
        "usual_tokens": [round(float(np.nanmean(tokens[:, -1])), 1) for tokens in (pool.input_tokens, pool.output_tokens)],
    }
    some = {name: Price(input=1.0, output=1.0) for name in ROUTES}
    one = Group(fitted.estimator, "frontier", 1.0, some, (Point(1.0, 0.0),), facts)
    return PolicyFile((one,), seed, (), __version__)


def judged(guess: Floats, scores: Floats) -> dict[str, float]:
    """Return measures of how well the estimated gap predicts where the frontier is needed.

    Args:
        guess: Estimated success of the pseudo-routes, `(requests, len(ROUTES))`.
        scores: Recorded scores of them, `(requests, len(ROUTES))`.

    Returns:
        `requests`; `gap`, the mean gain of the frontier route; `apgr`, which is 0.5 for a random order; `easy_share`, the share of the
        requests that look easy by `langroute.policies.difficulty`; and `easy_gap`, the mean gain of the frontier among those.
    """
    gain = scores[:, -1] - scores[:, 0]
    preference = guess[:, -1] - guess[:, 0]
    easy = looks_easy(guess[:, 0], guess[:, -1])
    return {
        "requests": len(gain),
        "gap": round(float(gain.mean()), 6),
        "apgr": round(apgr(gap_recovered(gain, preference)), 6),
        "easy_share": round(float(easy.mean()), 6),
        "easy_gap": round(float(gain[easy].mean()), 6) if easy.any() else 0.0,
    }


def default_card(policy: PolicyFile) -> str:
    """Return the card of the shipped estimator, in Markdown."""
    facts = policy.groups[0].facts
    rows = [
        f"| {name} | {one['requests']} | {one['gap']:.1%} | {one['apgr']:.3f} | {one['easy_share']:.1%} | {one['easy_gap']:.1%} |"
        for name, one in facts["left_out"].items()
    ]
    every = facts["left_out"].values()
    easy = sum(one["requests"] * one["easy_share"] for one in every)
    lost = sum(one["requests"] * one["easy_share"] * one["easy_gap"] for one in every) / max(easy, 1e-9)
    usual = sum(one["requests"] * one["easy_share"] * one["gap"] for one in every) / max(easy, 1e-9)
    inside = facts["inside"]
    return "\n".join(
        [
            "# The estimator that ships with langroute",
            "",
            f"Fitted on {facts['requests']} recorded requests of {', '.join(f'{n} ({c})' for n, c in facts['sources'].items())}.",
            "It says how likely a cheap model, a nearly as good cheap one and a frontier model are to answer a request rightly.",
            "Words are known by hashes; nobody's text is in it. Rebuild: `python benchmarks/build_default_estimator.py`.",
            "",
            "Each source judged by a fit on all the others, without the questions that are also in it:",
            "",
            "| left out | requests | gap between the models | APGR (0.5: a coin) | look easy | gap among those |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            f"Of all of them {easy / facts['requests']:.1%} look easy. With a cheap model those lose {lost:.1%}; as many requests of the",
            f"same sources, taken at random, lose {usual:.1%}. On sources where the APGR is near 0.5 it knows nothing.",
            "",
            (
                f"On requests like those it was fitted on (cross-fitted): APGR {inside['apgr']:.3f}, "
                f"calibration error {max(facts['calibration_error'].values()):.3f}; {inside['easy_share']:.1%} look easy and lose "
                f"{inside['easy_gap']:.1%}, where all lose {inside['gap']:.1%}."
            ),
            "",
            "These are questions with a right answer, in English, and single tool calls. Agent threads, chat and other languages are",
            "none of them: there it is asked nothing.",
            "",
        ]
    )
