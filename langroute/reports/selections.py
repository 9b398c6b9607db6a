"""Success rates with their intervals for everything that the page's filters can select.

The page itself only adds up sums; intervals, and how many days one point in time needs, are decided here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import ceil
from typing import Any

from langroute.reports.stats import wilson

SPANS = (7, 30, 90)
"""Days that the page offers as a time filter."""

OUTCOMES_A_POINT = 25
"""Outcomes that a point in time has on average: a share of a handful says nothing."""

MOST_POINTS = 10_000
"""Most points of all selections together; beyond that, points are merged further."""

_ALL = ""

Selected = tuple[Any, Any, Any]
"""Team, task kind and number of latest points; an empty text selects all."""


def spans_of(points: int, grain_days: int) -> list[int]:
    """Return the time filters, each as a number of latest points.

    Example:
        >>> spans_of(60, 1), spans_of(9, 7)
        ([7, 30], [1, 4])
    """
    return list(dict.fromkeys(span for days in SPANS if (span := max(1, round(days / grain_days))) < points))


def selections_of(tasks: Iterable[Sequence[Any]], points: int, spans: Sequence[int]) -> dict[str, Any]:
    """Return the success rate of every selection of team, task kind and time, as a whole and over time.

    Args:
        tasks: Rows of point, team, task kind, tasks, succeeded and failed ones.
        points: Number of points in time.
        spans: Time filters; see `spans_of`.

    Returns:
        `rates`: `team|kind|span` → succeeded, with an outcome, lower and upper end of the interval. `series`: the same key → how many
        points are merged into one, and a row of point and rate for each.

    Example:
        >>> found = selections_of([(0, 0, 0, 3, 2, 1)], 1, [])
        >>> sorted(found["rates"]), found["rates"]["||"], found["series"]["0||"]
        (['0|0|', '0||', '|0|', '||'], [2, 3, 0.2077, 0.9385], (1, [[0, 2, 3, 0.2077, 0.9385]]))
    """
    sums: dict[Selected, dict[int, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for point, team, kind, _, succeeded, failed, *_ in tasks:
        if not succeeded + failed:
            continue
        for span in (_ALL, *(span for span in spans if point >= points - span)):
            for key in ((team, kind, span), (team, _ALL, span), (_ALL, kind, span), (_ALL, _ALL, span)):
                at = sums[key][point]
                at[0] += int(succeeded)
                at[1] += int(succeeded + failed)
    average = OUTCOMES_A_POINT
    while True:
        series = {_key(key): _series(found, key[2], points, average) for key, found in sums.items()}
        if sum(len(rows) for _, rows in series.values()) <= max(MOST_POINTS, len(series)):
            break
        average *= 2
    return {"rates": {_key(key): _rate(found.values()) for key, found in sums.items()}, "series": series}


def _key(selected: Selected) -> str:
    return "|".join(map(str, selected))


def _series(found: dict[int, list[int]], span: Any, points: int, average: int) -> tuple[int, list[list[Any]]]:
    """Return how many points are merged into one, and the rates of the merged points, earliest first."""
    first = 0 if span == _ALL else points - span
    told = sum(of for _, of in found.values())
    together = max(1, min(points - first, ceil(average * len(found) / told)))
    merged: dict[int, list[list[int]]] = defaultdict(list)
    for point, counts in found.items():
        merged[first + (point - first) // together * together].append(counts)
    return together, [[point, *_rate(counts)] for point, counts in sorted(merged.items())]


def _rate(counts: Iterable[Sequence[int]]) -> list[float]:
    rows = list(counts)
    hits, of = sum(row[0] for row in rows), sum(row[1] for row in rows)
    interval = wilson(hits, of)
    return [hits, of, round(interval.low, 4), round(interval.high, 4)]
