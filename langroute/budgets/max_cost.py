"""Upper bound of what a call can cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any

from langroute.core.records import Price, Request, RouteInfo, Usage
from langroute.routes.pricing import COMPONENTS, cost

MARGIN = 1.5
"""Billed tokens per estimated token that are assumed until a route's answers show the real ratio."""

ANSWER_TOKENS = 4096
"""Assumed longest answer, in tokens, of a model without a known limit."""

_OVERHEAD = 64
"""Tokens that a provider may add to a prompt."""


_SEARCHES = 10
"""Searches that a call with one of the provider's own tools is assumed to make, where neither the tool nor an answer says."""

_MEDIA = {"input_audio": "audio", "input_image": "images", "input_video": "files"}
"""Rate of a medium → the signal that counts it in a request."""


@dataclass(slots=True)
class _BillFacts:
    """What the answers of a route have shown about its bills."""

    ratio: float = MARGIN
    """Billed tokens per estimated token: the highest that was seen, plus a tenth."""

    hours: bool = False
    terms: tuple[str, ...] = ()
    thinking: int = 0
    longer: float = 1.0
    """Billed tokens of an answer per token of its limit; thinking may not count against that."""

    dearer: float = 1.0
    """What the provider stated per USD of the list price."""

    stated: float = 0.0
    """The highest cost that it stated where the list price is 0."""

    fees: dict[str, int] = field(default_factory=dict)
    answers: int = 0
    """How many answers this was learned from."""


class MaxCost:
    """Upper bound of a call's cost: no prompt cache hit, the whole prompt written to the cache, the longest possible answer.

    What the list does not tell is learned from the answers: the ratio of billed to estimated tokens, the terms of the bill, searches.

    Example:
        >>> route = RouteInfo("opus", price=Price(input=5, output=25, cache_write=6.25), max_output_tokens=1000)
        >>> MaxCost().usd(route, Request("Hi."), answer_tokens=1000)
        0.0254
    """

    def __init__(self) -> None:
        self._routes: dict[str, _BillFacts] = {}

    def _of(self, route: str) -> _BillFacts:
        return self._routes.get(route) or self._routes.setdefault(route, _BillFacts())

    def answers(self, route: str) -> int:
        """Return from how many answers of a route its bounds were learned: while it stays the same, so do they."""
        return self._of(route).answers

    def input_tokens(self, route: RouteInfo, request: Request) -> int:
        """Return the most input tokens that a request can be billed."""
        return int(request.step.signals.tokens * self._of(route.name).ratio) + _OVERHEAD

    def output_tokens(self, route: RouteInfo, answer_tokens: int) -> int:
        """Return the most output tokens that an answer with this limit can be billed."""
        return ceil(answer_tokens * self._of(route.name).longer)

    def usd(
        self,
        route: RouteInfo,
        request: Request,
        answer_tokens: int,
        seconds: float = 0.0,
        terms: tuple[str, ...] = (),
        tools: Sequence[Any] = (),
    ) -> float | None:
        """Return the most a call can cost in USD; `None` where the price is unknown.

        Args:
            route: The route.
            request: The call.
            answer_tokens: The longest answer.
            seconds: The longest time, for prices by the second.
            terms: Terms of the bill that the route asks for.
            tools: Tools that are bound to the route.
        """
        if route.price is None:
            return None
        seen, tokens = self._of(route.name), self.input_tokens(route, request)
        output = self.output_tokens(route, answer_tokens)
        dearest = 0.0
        for billed in {(), terms, seen.terms}:
            price = route.price.under(billed) if billed else route.price
            if price is None:
                if billed == terms:
                    return None
                # A word in an answer takes no route out of use: such a bill is unknown, and costs what is reserved.
                continue
            fees = _fees(price, seen, (*request.tools, *tools))
            for usage in self._usages(price, seen, request, tokens, output, fees):
                usd = cost(price, usage, seconds)
                if usd is None:
                    return None
                dearest = max(dearest, usd)
        return max(dearest * seen.dearer, seen.stated)

    def _usages(
        self, price: Price, seen: _BillFacts, request: Request, tokens: int, output: int, fees: tuple[tuple[str, int], ...]
    ) -> Iterator[Usage]:
        """Yield the usages among which the dearest bill of a call is."""
        written, listened = [], []
        if price.extra_rates:
            written = [(name, output) for name, _ in price.extra_rates if name.startswith("output_")]
            media = {name for name, signal in _MEDIA.items() if getattr(request.step.signals, signal)}
            listened = [(name, tokens) for name, _ in price.extra_rates if name in media]
        for answer in ((), *((one,) for one in written)):
            more = (*answer, *fees)
            yield Usage(tokens, output, extra_counts=more)
            if price.cache_write is not None:
                yield Usage(tokens, output, cache_write=tokens, extra_counts=more)
            if seen.hours:
                yield Usage(tokens, output, cache_write_1h=tokens, extra_counts=more)
            for medium in listened:
                yield Usage(tokens, output, extra_counts=(medium, *more))

    def with_thinking(self, route: str, usage: Usage) -> Usage:
        """Return the usage of a stream that was left with the thinking that the route's answers have shown."""
        hidden = self._of(route).thinking - usage.reasoning
        return usage if hidden <= 0 else replace(usage, output_tokens=usage.output_tokens + hidden)

    def learn(self, route: str, request: Request, usage: Usage, *, price: Price | None = None, answer_tokens: int = 0) -> None:
        """Learn from the tokens that an answer was billed.

        Args:
            route: Name of the route.
            request: The call.
            usage: What was billed.
            price: The route's price.
            answer_tokens: The limit of the answer; 0 if it is not known.
        """
        seen = self._of(route)
        seen.answers += 1
        seen.hours = seen.hours or usage.cache_write_1h > 0
        seen.thinking = max(seen.thinking, usage.reasoning)
        seen.terms = usage.terms or seen.terms
        for name, count in usage.extra_counts:
            if name in COMPONENTS and COMPONENTS[name].of is None:
                seen.fees[name] = max(seen.fees.get(name, 0), count)
        if answer_tokens:
            seen.longer = max(seen.longer, usage.output_tokens / answer_tokens)
        if usage.stated_usd is not None:
            if listed := cost(price, replace(usage, stated_usd=None)):
                seen.dearer = max(seen.dearer, 1.1 * usage.stated_usd / listed)
            else:
                seen.stated = max(seen.stated, 1.1 * usage.stated_usd)
        estimated = request.step.signals.tokens
        if estimated < 50 or not usage.input_tokens:
            return
        ratio = 1.1 * usage.input_tokens / estimated
        # The ratio falls slowly and rises at once: an estimate that is too low lets a budget be overshot.
        seen.ratio = max(ratio, seen.ratio + 0.1 * (ratio - seen.ratio))


def _fees(price: Price, seen: _BillFacts, tools: Sequence[Any]) -> tuple[tuple[str, int], ...]:
    """Return the most searches and the like that a call may make."""
    asked = [name for name, _ in price.extra_rates if COMPONENTS[name].of is None]
    # Those without a rate are unknown in the bill, too, which then costs what is reserved.
    fees = {name: seen.fees.get(name, 0) for name in asked}
    # Agents have dozens of tools, and few prices ask for a fee.
    if asked and tools and (most := sum(map(_searches, tools))):
        for name in asked:
            fees[name] = max(fees[name], most)
    return tuple((name, count) for name, count in fees.items() if count)


def _searches(tool: Any) -> int:
    """Return the most searches that a tool can make: none if it is the program's own function."""
    if not isinstance(tool, Mapping) or tool.get("type", "function") in ("function", "custom"):
        return 0
    uses = tool.get("max_uses")
    return uses if isinstance(uses, int) and uses > 0 else _SEARCHES


def answer_limit(route: Any, request: Request) -> int:
    """Return the longest answer, in tokens, that a route's model can give to a call.

    Args:
        route: A built route.
        request: The call.
    """
    limits = [request.max_tokens, route.kwargs.get("max_tokens")]
    limits += [getattr(route.model, name, None) for name in ("max_tokens", "max_completion_tokens", "max_output_tokens")]
    said = next((limit for limit in limits if isinstance(limit, int) and limit > 0), None)
    return said or route.info.max_output_tokens or ANSWER_TOKENS
