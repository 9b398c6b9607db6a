"""Prices of the routes in recorded traffic: from a user's TOML file, else list prices."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from langroute.core.errors import DataError, LangrouteError
from langroute.core.limited import MEGABYTE, read_limited
from langroute.core.records import Price
from langroute.routes.pricing import price_from, price_of


def read_prices(path: str | Path) -> dict[str, Price]:
    """Read a TOML table `[prices]` of route or model names, in USD per million tokens.

    Raises:
        DataError: The file cannot be read, or has an invalid price.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        table: Mapping[str, Any] = tomllib.loads(read_limited(path, MEGABYTE).decode("utf-8-sig"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from error
    except DataError:
        raise
    except (ValueError, RecursionError) as error:
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
    """Return the price of each route: from the user's table, else the list price of the model of that name.

    Raises:
        DataError: Routes have neither; the message names all of them.
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
