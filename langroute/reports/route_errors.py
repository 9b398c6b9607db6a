"""Errors by route: how many of a route's calls failed, and by which types of error."""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import func, select

from langroute.core.errors import RaceLostError
from langroute.ledger import schema
from langroute.ledger.facts import PAID
from langroute.ledger.schema import places
from langroute.reports.model import RouteErrors
from langroute.reports.source import Source, number

MOST_TYPES = 5
"""Types of error that are kept of a route, the most frequent ones."""


def route_errors(source: Source) -> tuple[RouteErrors, ...]:
    """Return the routes with failed calls, the worst first; calls that were given up because another route answered do not count.

    The types are those of raw rows that are still there.
    """
    c, p = source.calls.c, places.c
    query = (
        select(p.route, func.sum(c.calls), func.sum(c.errors))
        .join_from(source.calls, places, p.id == c.place)
        .where(source.within(source.calls), c.what.in_(PAID), p.route.is_not(None))
        .group_by(p.route)
    )
    sums = {route: (int(number(calls)), int(number(errors))) for route, calls, errors in source.connection.execute(query)}
    failing = {route: counts for route, counts in sums.items() if counts[1]}
    types = _types(source) if failing else {}
    found = []
    for route, (calls, errors) in failing.items():
        told = types.get(route, {})
        lost = told.pop(RaceLostError.__name__, 0)
        if errors > lost:
            most = sorted(told.items(), key=lambda item: (-item[1], item[0]))[:MOST_TYPES]
            found.append(RouteErrors(route, calls - lost, errors - lost, tuple(most)))
    return tuple(sorted(found, key=lambda one: (-one.errors / one.calls, one.route)))


def _types(source: Source) -> dict[str, dict[str, int]]:
    """Return the failed calls of each route by type of error."""
    c, p, window = schema.calls.c, places.c, source.window
    query = (
        select(p.route, c.error_type, func.count())
        .join_from(schema.calls, places, p.id == c.place)
        .where(
            c.day.between(window.first_day, window.last_day),
            c.at >= (window.start or 0.0),
            c.at < window.end,
            c.what.in_(PAID),
            c.error_type.is_not(None),
            p.route.is_not(None),
        )
        .group_by(p.route, c.error_type)
    )
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for route, error_type, count in source.connection.execute(query):
        found[route][error_type] = int(count)
    return found
