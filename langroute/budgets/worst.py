"""What is the most that a call can cost?"""

from __future__ import annotations

from typing import Any

from langroute.records import Price, Request, RouteInfo, Usage

MARGIN = 1.5
"""How many tokens may be billed for each estimated one, before a route's answers have told."""

ANSWER_TOKENS = 4096
"""Longest answer of a model that says no limit."""

_OVERHEAD = 64
"""Tokens that a provider adds of its own."""


class WorstCase:
    """The dearest outcome of a call: nothing warm, all of it written to the cache, the answer as long as it may be.

    How many tokens a provider bills for each estimated one is learned from the answers: the most that was seen, and a tenth more.

    Example:
        >>> route = RouteInfo("opus", price=Price(input=5, output=25, cache_write=6.25), max_output_tokens=1000)
        >>> WorstCase().usd(route, Request("Hi."), answer_tokens=1000)
        0.0254
    """

    def __init__(self) -> None:
        self._ratio: dict[str, float] = {}
        self._hours: set[str] = set()

    def input_tokens(self, route: RouteInfo, request: Request) -> int:
        """Most input tokens."""
        return int(request.step.signals.tokens * self._ratio.get(route.name, MARGIN)) + _OVERHEAD

    def usd(self, route: RouteInfo, request: Request, answer_tokens: int, seconds: float = 0.0) -> float | None:
        """Most USD; `None` where the price is unknown."""
        if route.price is None:
            return None
        tokens = self.input_tokens(route, request)
        rates = [route.price, *(price for start, price in route.price.above if tokens > start)]
        usd = max(self._at(route.name, price, tokens, answer_tokens) for price in rates)
        return usd + route.price.per_call + route.price.per_second * seconds

    def _at(self, route: str, price: Price, tokens: int, answer_tokens: int) -> float:
        dearest = max(price.input, price.cache_write or 0.0, (price.cache_write_1h or 0.0) if route in self._hours else 0.0)
        return (tokens * dearest + answer_tokens * price.output) / 1e6

    def learn(self, route: str, request: Request, usage: Usage) -> None:
        """Take in what an answer was billed."""
        estimated = request.step.signals.tokens
        if usage.cache_write_1h:
            self._hours.add(route)
        if estimated < 50 or not usage.input_tokens:
            return
        seen = 1.1 * usage.input_tokens / estimated
        # Down slowly and up at once: an estimate that is too low lets a budget be overshot.
        known = self._ratio.get(route, MARGIN)
        self._ratio[route] = max(seen, known + 0.1 * (seen - known))


def answer_limit(route: Any, request: Request) -> int:
    """Longest answer that a route's model can give to a call.

    Args:
        route: A built route.
        request: The call.
    """
    limits = [request.max_tokens, route.kwargs.get("max_tokens")]
    limits += [getattr(route.model, name, None) for name in ("max_tokens", "max_completion_tokens", "max_output_tokens")]
    said = next((limit for limit in limits if isinstance(limit, int) and limit > 0), None)
    return said or route.info.max_output_tokens or ANSWER_TOKENS
