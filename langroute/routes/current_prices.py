"""Prices of a router's routes as they are now: list prices change by date and hour while a process runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from langroute.core.records import Price
from langroute.routes import list_price, pricing
from langroute.routes.route import BuiltRoute

_MAX_SERVED = 1000


class CurrentPrices:
    """Keeps the list prices of routes current. Prices that the user gave stay as they are.

    Args:
        routes: The router's routes by name; routes whose price has changed are replaced in it.

    Example:
        >>> from langroute.routes.route import build_routes
        >>> from langroute.testing import ScriptedModel
        >>> CurrentPrices(build_routes({"a": ScriptedModel("Hi.")})).changed()
        False
    """

    def __init__(self, routes: dict[str, BuiltRoute]) -> None:
        self._routes = routes
        self._listed = any(route.listed for route in routes.values())
        self._served: dict[tuple[str, str], Price | None] = {}
        self._since = self._until = datetime.min.replace(tzinfo=list_price.UTC)

    def changed(self) -> bool:
        """Read the list prices again where they may have changed since. Return whether the routes have new ones."""
        if not self._listed:
            return False
        now = pricing.now()
        if self._since <= now < self._until:
            return False
        changed = False
        since, until = list_price.hour(now)
        for name, route in self._routes.items():
            if not route.listed:
                continue
            entry = list_price.entry(route.info.model or "", route.priced_as, now, pricing.COMPONENTS.values())
            since, until = max(since, entry.since), min(until, entry.until)
            if entry.price != route.info.price:
                changed = True
                self._routes[name] = replace(route, info=replace(route.info, price=entry.price))
        self._served.clear()
        self._since, self._until = since, until
        return changed

    def of(self, route: BuiltRoute, served: str | None) -> Price | None:
        """Return the price of a call: that of the model that served it, unless the user gave the route a price.

        Args:
            route: The route that was called.
            served: The model's name in the answer.
        """
        price = route.info.price
        if not served or not route.listed or served == route.info.model:
            return price
        key = (route.name, served)
        if key not in self._served:
            if len(self._served) >= _MAX_SERVED:
                self._served.clear()
            self._served[key] = pricing.price_of(served, route.priced_as, route.table)
        return self._served[key] or price
