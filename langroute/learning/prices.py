"""What do the routes of recorded traffic charge?"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from langroute.errors import DataError, LangrouteError
from langroute.estimators.features import Floats
from langroute.pricing import price_from, price_of
from langroute.records import Price


def read_prices(path: str | Path) -> dict[str, Price]:
    """Read a TOML table `[prices]` of route or model names, in USD per million tokens.

    Raises:
        DataError: The file is missing or says something that is no price.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        table: Mapping[str, Any] = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise DataError(f"{path}: cannot be read as TOML: {error}.") from error
    prices = table.get("prices")
    if not isinstance(prices, Mapping) or not prices:
        raise DataError(f'{path}: there is no table [prices] with lines such as: "gpt-4o" = {{ input = 2.5, output = 10.0 }}')
    found: dict[str, Price] = {}
    for name, value in prices.items():
        if not isinstance(value, Mapping):
            raise DataError(f"{path}: the price of {name!r} is no table with `input` and `output`.")
        try:
            price = price_from(value, f"{path}: {name}")
        except LangrouteError as error:
            raise DataError(str(error)) from error
        if price is not None:
            found[name] = price
    return found


def prices_for(routes: Iterable[str], table: Mapping[str, Price] | None = None) -> dict[str, Price]:
    """The price of each route: from the user's table, else the list price of the model of that name.

    Raises:
        DataError: A route has neither; all of them are named.
    """
    found, missing = {}, []
    for route in routes:
        price = (table or {}).get(route) or price_of(route)
        if price is None:
            missing.append(route)
        else:
            found[route] = price
    if missing:
        raise DataError(f"No price is known for {', '.join(missing)}. Give a file with --prices: a [prices] table in TOML.")
    return found


def costs_of(price: Price, input_tokens: Floats, output_tokens: Floats, seconds: Floats | float = 0.0) -> Floats:
    """What `langroute.pricing.cost` says, for many calls of one route at once.

    Args:
        price: The route's rates.
        input_tokens: `(calls,)`.
        output_tokens: `(calls,)`.
        seconds: `(calls,)`, for prices by the second.

    Example:
        >>> import numpy as np
        >>> costs_of(Price(input=3, output=15), np.array([1e6, 0.0]), np.array([0.0, 1e6])).tolist()
        [3.0, 15.0]
    """
    total = input_tokens * price.input + output_tokens * price.output
    for start, other in price.above:
        dearer = input_tokens > start
        total[dearer] = input_tokens[dearer] * other.input + output_tokens[dearer] * other.output
    return total / 1e6 + (price.per_call + price.per_second * seconds)
