"""Vectorised cost calculation for many calls: the array version of `langroute.routes.pricing.cost`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from langroute.core.records import Price
from langroute.routes.pricing import extra_cost

Floats = NDArray[np.float64]


def costs(
    price: Price,
    input_tokens: Floats,
    output_tokens: Floats,
    *,
    cache_read: Floats | float = 0.0,
    cache_write: Floats | float = 0.0,
    cache_write_1h: Floats | float = 0.0,
    seconds: Floats | float = 0.0,
    extra: Mapping[str, Floats] | None = None,
) -> Floats:
    """Return the USD for each of many calls of one route; equal to `cost` for each.

    Args:
        price: The route's rates.
        input_tokens: `(calls,)`, the cached ones included.
        output_tokens: `(calls,)`.
        cache_read: `(calls,)`, read from the provider's prompt cache.
        cache_write: `(calls,)`, written to it for 5 minutes.
        cache_write_1h: `(calls,)`, written to it for an hour.
        seconds: `(calls,)`, for prices by the second.
        extra: Counts of further components, each `(calls,)`; not a number where a fee is unknown.

    Example:
        >>> costs(Price(input=3, output=15), np.array([1e6, 0.0]), np.array([0.0, 1e6])).tolist()
        [3.0, 15.0]
    """
    plain = input_tokens - cache_read - cache_write - cache_write_1h

    def at(rates: Price) -> Floats:
        total = plain * rates.input + output_tokens * rates.output
        cached = cache_read * rates.read_rate + cache_write * rates.write_rate + cache_write_1h * rates.write_1h_rate
        if not extra:
            return np.asarray(total + cached, np.float64)
        beside = extra_cost(rates, extra)
        return np.asarray(total + cached + (np.nan if beside is None else beside * 1e6), np.float64)

    total = at(price)
    for start, other in price.above:
        total = np.where(input_tokens > start, at(other), total)
    return np.asarray(total / 1e6 + (price.per_call + price.per_second * seconds), np.float64)


class PriceTable:
    """The prices of several routes, for the costs of the same requests on each of them.

    Args:
        prices: `(routes,)`; `None` for a route that may not be chosen.
        seconds: Seconds that a call of each route takes, `(routes,)`, for prices by the second.

    Example:
        >>> table = PriceTable([Price(1, 5), None])
        >>> table.costs(np.array([[1e6, 1e6]]), np.array([[0.0, 0.0]])).tolist()
        [[1.0, inf]]
    """

    def __init__(self, prices: Sequence[Price | None], seconds: Sequence[float] | None = None) -> None:
        self.prices = tuple(prices)
        times = [0.0] * len(self.prices) if seconds is None else seconds
        self._input = np.array([0.0 if price is None else price.input / 1e6 for price in self.prices])
        self._output = np.array([0.0 if price is None else price.output / 1e6 for price in self.prices])
        self._call = np.array(
            [
                np.inf if price is None else price.per_call + price.per_second * time
                for price, time in zip(self.prices, times, strict=True)
            ]
        )
        self._tiered = [(place, price) for place, price in enumerate(self.prices) if price is not None and price.above]

    def costs(self, input_tokens: Floats, output_tokens: Floats) -> Floats:
        """Return the USD of each request on each route, `(requests, routes)`; infinite where a route may not be chosen.

        Args:
            input_tokens: `(requests, routes)`; providers count differently.
            output_tokens: `(requests, routes)`.
        """
        found = input_tokens * self._input + output_tokens * self._output + self._call
        for place, price in self._tiered:
            for start, other in price.above:
                dearer = input_tokens[:, place] > start
                given, written = input_tokens[dearer, place], output_tokens[dearer, place]
                found[dearer, place] = (given * other.input + written * other.output) / 1e6 + self._call[place]
        return np.asarray(found, np.float64)
