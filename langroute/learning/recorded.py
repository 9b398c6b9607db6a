"""Recorded outcomes: what one route made of a request, read from a line of traffic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Any, NamedTuple

from langroute.core.bounded import shown
from langroute.core.errors import DataError

MOST_ROUTES = 1000
"""Most routes with an outcome of one request."""

LONGEST_NAME = 1000
"""Most characters of a route's name."""

MOST_TRIALS = 1000
"""Most runs of one route on one request."""

MOST_TOKENS = 10**12
"""Most tokens of a call."""

LEAST_PROPENSITY = 1e-9
"""Smallest valid propensity; rarer choices do not occur in practice."""

RARER = frozenset({"answer", "latency_s", "error_type", "propensity", "cost_usd", "trials", "verified", "told"})
"""Optional fields of an outcome, which most do not have."""

_NONE = object()


class Recorded(NamedTuple):
    """Recorded outcome of one route for a request; a tuple because millions of them are created."""

    score: float | None
    """From 0 for a failure to 1 for a success; `None` where it was not scored."""

    input_tokens: int
    output_tokens: int
    answer: str | None = None
    """Canonical form of the answer: equal strings are equal answers; `None` where none could be parsed."""

    has_answer: bool = False
    """Whether the record has the field `answer`, which may be null."""

    latency_s: float | None = None
    error_type: str | None = None
    propensity: float | None = None
    """Probability with which this route was chosen when the request was served, where that is known."""

    cost_usd: float | None = None
    """Billed cost, where it is known."""

    trials: tuple[float, ...] = ()
    """Score of each run, where the request was given to the route several times; tokens and cost are those of one run, in the mean."""

    checked: tuple[float, float] | None = None
    """A verifier's score of the answer and the outcome that was told of it, where both are known."""


def recorded_outcomes(outcomes: Mapping[str, Any], where: str) -> dict[str, Recorded]:
    """Return the recorded outcomes by route.

    Raises:
        DataError: There are too many, none, or one has a value that cannot be.
    """
    if len(outcomes) > MOST_ROUTES:
        raise DataError(f"{where}: `outcomes` has {len(outcomes):,} routes; there are at most {MOST_ROUTES:,}.")
    # Parquet has a null for each route that only other rows have.
    found = {route: _recorded(outcome, where, route) for route, outcome in outcomes.items() if outcome is not None}
    if not found:
        raise DataError(f"{where}: `outcomes` maps at least one route to what it made of the request.")
    return found


def _recorded(outcome: Any, where: str, route: str) -> Recorded:
    if not route or len(route) > LONGEST_NAME or not route.isprintable():
        raise DataError(f"{where}: `outcomes` has {shown(route, 100)} for a route; give each route a name that can be printed.")
    if not isinstance(outcome, (dict, Mapping)):
        raise DataError(f"{where}: outcomes.{route} is an object with `score`, `input_tokens` and `output_tokens`.")
    get = outcome.get
    score, given, written = get("score"), get("input_tokens"), get("output_tokens")
    if score is not None and not (_is_number(score) and 0 <= score <= 1):
        raise DataError(f"{where}: outcomes.{route}.score is {shown(score, 100)}; a score is a number from 0 to 1.")
    if not (type(given) is int and 0 <= given <= MOST_TOKENS):
        given = _tokens(given, f"{where}: outcomes.{route}.input_tokens")
    if not (type(written) is int and 0 <= written <= MOST_TOKENS):
        written = _tokens(written, f"{where}: outcomes.{route}.output_tokens")
    if RARER.isdisjoint(outcome):
        return Recorded(None if score is None else float(score), given, written)
    return _rarer(score, given, written, get, f"{where}: outcomes.{route}")


def _rarer(score: Any, given: int, written: int, get: Callable[..., Any], where: str) -> Recorded:
    """Return an outcome with its optional fields."""
    answer, latency, propensity = get("answer"), get("latency_s"), get("propensity")
    if latency is not None and not (_is_number(latency) and 0 <= latency < inf):
        raise DataError(f"{where}.latency_s is {shown(latency, 100)}; give seconds from 0 up.")
    paid = get("cost_usd")
    if paid is not None and not (_is_number(paid) and 0 <= paid < inf):
        raise DataError(f"{where}.cost_usd is {shown(paid, 100)}; give USD from 0 up, or leave it out.")
    if propensity is not None and not (_is_number(propensity) and LEAST_PROPENSITY <= propensity <= 1):
        raise DataError(
            f"{where}.propensity is {shown(propensity, 100)}; a propensity is above 0 (at least {LEAST_PROPENSITY:g}) and at most 1."
        )
    trials = _trials(get("trials"), f"{where}.trials")
    if score is None and trials:
        score = sum(trials) / len(trials)
    return Recorded(
        None if score is None else float(score),
        given,
        written,
        None if answer is None else str(answer),
        get("answer", _NONE) is not _NONE,
        latency,
        get("error_type"),
        propensity,
        paid,
        trials,
        _checked(score, get, where),
    )


def _checked(score: float | None, get: Callable[..., Any], where: str) -> tuple[float, float] | None:
    """Return a verifier's score and the outcome that was told: one of them is the score of the line."""
    found = {"verified": get("verified"), "told": get("told")}
    for name, value in found.items():
        if value is not None and not (_is_number(value) and 0 <= value <= 1):
            raise DataError(f"{where}.{name} is {shown(value, 100)}; a score is a number from 0 to 1.")
    verified, told = (score if value is None else value for value in found.values())
    if (found["verified"] is None and found["told"] is None) or verified is None or told is None:
        return None
    return float(verified), float(told)


def _trials(values: Any, where: str) -> tuple[float, ...]:
    """Return the scores of several runs, or nothing where there are none."""
    values = [] if values is None else values
    if not isinstance(values, list) or len(values) > MOST_TRIALS or not all(_is_number(one) and 0 <= one <= 1 for one in values):
        raise DataError(
            f"{where} is {shown(values, 100)}; give at most {MOST_TRIALS:,} scores from 0 to 1 in a list, one for each run."
        )
    return tuple(map(float, values))


def _is_number(value: Any) -> bool:
    return type(value) is float or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _tokens(value: Any, where: str) -> int:
    """Return a number of tokens as an integer; Parquet and spreadsheets may store it as 12.0."""
    if not _is_number(value) or not 0 <= value <= MOST_TOKENS or value != int(value):
        raise DataError(f"{where} is {shown(value, 100)}; give whole tokens from 0 up.")
    return int(value)
