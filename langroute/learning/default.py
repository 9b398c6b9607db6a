"""How is the estimator made that ships with langroute?

The recorded outcomes of many models become those of two: a cheap one (the mean of models that cost less than a dollar a million tokens)
and a frontier one (the mean of the source's best). What is fitted on them says how hard a request is for either, whatever the models
are called. No label of a source is used, because a step of a stranger's program carries none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from langroute._version import __version__
from langroute.errors import DataError
from langroute.estimators.documents import Document, document_of
from langroute.estimators.features import Floats
from langroute.estimators.store import Group, Point, PolicyFile
from langroute.learning.crossfit import Fitted, Settings, fit_estimator
from langroute.learning.fit import calibration_error
from langroute.learning.frontier import apgr, gap_recovered
from langroute.learning.grouping import group, table_of
from langroute.learning.prices import prices_for
from langroute.learning.traffic import read_traffic
from langroute.learning.training import one_thread
from langroute.policies.difficulty import looks_easy
from langroute.records import Price

ROUTES = ("cheap", "frontier")
SETTINGS = Settings(directions=16, trees=48, leaf=25, depth=10, most_words=40_000, least=4)
CHEAP_BELOW = 1.0
"""USD per million tokens, three of four of them read."""

NEAR_BEST = 0.05
"""A model belongs to the frontier when its quality is this close to the source's best."""


def pooled(paths: Sequence[str | Path], prices: Mapping[str, Price]) -> tuple[list[Document], Floats, Floats, list[str]]:
    """Requests, and outcomes of the two pseudo-routes.

    Returns:
        Documents, scores and output tokens `(requests, 2)`, and each request's source.
    """
    documents: list[Document] = []
    sources: list[str] = []
    scores, tokens = [], []
    for path in paths:
        for names, every in group(list(read_traffic([path]))):
            members = [one for one in every if all(name in one.outcomes for name in names)]
            if len(members) < 100:
                continue
            table = table_of(members, names, prices_for(names, prices))
            quality = np.nanmean(table.scores, 0)
            price = np.array([(3 * prices[name].input + prices[name].output) / 4 for name in names])
            best = quality.max()
            cheap = (price < CHEAP_BELOW) & (quality > 0.5 * best)
            strong = (price >= CHEAP_BELOW) & (quality >= best - NEAR_BEST)
            if not cheap.any() or not strong.any():
                continue
            documents += [document_of(one.messages, one.tools) for one in members]
            sources += [one.source.partition("-")[0] + ("-gsm" if "gsm" in one.source else "") for one in members]
            scores.append(np.column_stack([np.nanmean(table.scores[:, pick], 1) for pick in (cheap, strong)]))
            tokens.append(np.column_stack([np.nanmean(table.output_tokens[:, pick], 1) for pick in (cheap, strong)]))
    if not scores:
        raise DataError("No file has outcomes of both cheap and strong models.")
    return documents, np.vstack(scores), np.vstack(tokens), sources


def _fit(documents: Sequence[Document], scores: Floats, tokens: Floats, seed: int, parts: int = 5) -> Fitted:
    with one_thread():
        return fit_estimator(
            documents, ROUTES, scores, np.full(scores.shape, 100.0), tokens, seed=seed, settings=replace(SETTINGS, folds=parts)
        )


def build_default(paths: Sequence[str | Path], prices: Mapping[str, Price], seed: int = 0) -> PolicyFile:
    """Fit the shipped estimator, and judge it on each source it was not fitted on."""
    documents, scores, tokens, sources = pooled(paths, prices)
    names = sorted(set(sources))
    # The same question may be in two sources, under other options.
    asked = [document.text.partition("\nA")[0].strip().lower() for document in documents]
    left_out: dict[str, dict[str, float]] = {}
    for source in names:
        away = np.array([one == source for one in sources])
        theirs = {asked[row] for row in np.flatnonzero(away)}
        inside = np.array([row for row in np.flatnonzero(~away) if asked[row] not in theirs])
        model = _fit([documents[row] for row in inside], scores[inside], tokens[inside], seed, 3).estimator
        guess = model.estimate([documents[row] for row in np.flatnonzero(away)]).success
        left_out[source] = judged(guess, scores[away])
    fitted = _fit(documents, scores, tokens, seed)
    facts: dict[str, Any] = {
        "requests": len(documents),
        "sources": {name: sources.count(name) for name in names},
        "left_out": left_out,
        "inside": judged(fitted.success, scores),
        "calibration_error": {
            name: round(calibration_error(fitted.success[:, place], scores[:, place]), 6) for place, name in enumerate(ROUTES)
        },
    }
    some = {name: Price(input=1.0, output=1.0) for name in ROUTES}
    one = Group(fitted.estimator, "frontier", 1.0, some, (Point(1.0, 0.0),), facts)
    return PolicyFile((one,), seed, (), __version__)


def judged(guess: Floats, scores: Floats) -> dict[str, float]:
    """How well the estimated gap tells where the frontier is needed.

    `apgr` is 0.5 for a coin. `easy_share` of the requests look easy, as `langroute.policies.difficulty` has it; with the cheap models
    those lose `easy_gap`, where all requests lose `gap`.
    """
    gain = scores[:, 1] - scores[:, 0]
    preference = guess[:, 1] - guess[:, 0]
    easy = looks_easy(guess[:, 0], guess[:, 1])
    return {
        "requests": len(gain),
        "gap": round(float(gain.mean()), 6),
        "apgr": round(apgr(gap_recovered(gain, preference)), 6),
        "easy_share": round(float(easy.mean()), 6),
        "easy_gap": round(float(gain[easy].mean()), 6) if easy.any() else 0.0,
    }


def default_card(policy: PolicyFile) -> str:
    """The card of the shipped estimator, in Markdown."""
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
            "It says how likely a cheap and a frontier model are to answer a request rightly, whatever they are called.",
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
