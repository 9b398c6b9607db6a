"""Token counts of a call, and the prices they are billed at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace
from typing import Any

from langroute.core.fast_dataclass import fast_dataclass


@fast_dataclass
class Price:
    """What a route charges, in USD per million tokens.

    Example:
        >>> Price(input=3.0, output=15.0, cache_read=0.3).input
        3.0
    """

    input: float
    """Uncached input."""

    output: float
    """Output, reasoning included."""

    cache_read: float | None = None
    """Input read from the provider's prompt cache; `None` bills it as `input`."""

    cache_write: float | None = None
    """Input written to a prompt cache that lives 5 minutes; `None` bills it as `input`."""

    cache_write_1h: float | None = None
    """Input written to a prompt cache that lives an hour; `None` bills it as `cache_write`."""

    per_call: float = 0.0
    """USD per call."""

    per_second: float = 0.0
    """USD per second of the call, for models on one's own machine."""

    above: tuple[tuple[int, Price], ...] = ()
    """Pairs of an input size in tokens and the price of calls with more input than that, smallest first."""

    extra_rates: tuple[tuple[str, float], ...] = ()
    """Rates of further components by name, such as `input_audio` or `searches`; `langroute.routes.pricing.COMPONENTS` has them all."""

    terms: tuple[tuple[str, Price | float], ...] = ()
    """What is charged under other terms than the standard ones (`flex`, `priority`, `batch`, `fast`, `us`): another price, or a factor."""

    @property
    def read_rate(self) -> float:
        """USD per million tokens read from a prompt cache."""
        return self.input if self.cache_read is None else self.cache_read

    @property
    def write_rate(self) -> float:
        """USD per million tokens written to a prompt cache that lives 5 minutes."""
        return self.input if self.cache_write is None else self.cache_write

    @property
    def write_1h_rate(self) -> float:
        """USD per million tokens written to a prompt cache that lives an hour."""
        return self.write_rate if self.cache_write_1h is None else self.cache_write_1h

    def at(self, input_tokens: float) -> Price:
        """Return the rates for a call with this many input tokens; charges per call and per second stay the same.

        Example:
            >>> Price(1, 5, above=((200_000, Price(2, 10)),)).at(300_000).input
            2
        """
        for start, other in reversed(self.above):
            if input_tokens > start:
                return other
        return self

    def under(self, terms: Sequence[str]) -> Price | None:
        """Return the price under these terms, or `None` where it is unknown.

        Example:
            >>> mini = Price(0.25, 2, terms=(("flex", Price(0.125, 1)), ("us", 1.1)))
            >>> mini.under(["flex"]).output, mini.under(["us"]).input, mini.under(["priority"])
            (1, 0.275, None)
        """
        known = dict(self.terms)
        found = [known.get(term) for term in terms]
        prices = [one for one in found if isinstance(one, Price)]
        if None in found or len(prices) > 1:
            return None
        price = prices[0] if prices else self
        for factor in found:
            if isinstance(factor, (int, float)):
                price = price.times(factor)
        return price

    def times(self, factor: float) -> Price:
        """Return the price with all rates of tokens multiplied.

        Example:
            >>> Price(2, 10, cache_read=0.5).times(2).cache_read
            1.0
        """
        names = ("cache_read", "cache_write", "cache_write_1h")
        cached: dict[str, Any] = {name: None if (rate := getattr(self, name)) is None else rate * factor for name in names}
        return replace(
            self,
            input=self.input * factor,
            output=self.output * factor,
            **cached,
            above=tuple((start, other.times(factor)) for start, other in self.above),
            extra_rates=tuple(
                (name, rate * factor if name.startswith(("input_", "output_", "cache_")) else rate)
                for name, rate in self.extra_rates
            ),
        )


@fast_dataclass
class Usage:
    """Token counts of one call by billing class. Cached tokens are part of `input_tokens`."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0
    """Part of `output_tokens`."""

    extra_counts: tuple[tuple[str, int], ...] = field(default=(), repr=False)
    """Counts of further components by name, such as `input_audio` (uncached, part of the input) or `searches`."""

    terms: tuple[str, ...] = field(default=(), repr=False)
    """Terms of the bill other than the standard ones: `flex`, `priority`, `batch`, `fast`, `us`, …"""

    stated_usd: float | None = field(default=None, repr=False)
    """What the provider itself says that it charged, in USD."""

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    @property
    def elsewhere(self) -> Usage:
        """The same tokens for the price of another route: without the terms and the fees of this one."""
        if not (self.terms or self.extra_counts) and self.stated_usd is None:
            return self
        return replace(self, extra_counts=(), terms=(), stated_usd=None)


TOKENS = ("input_tokens", "output_tokens", "cache_read", "cache_write", "cache_write_1h", "reasoning")
"""Names of the token counts of a `Usage`, in the order of its arguments."""
