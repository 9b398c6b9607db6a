"""What does it cost to go on with another route, and after how many steps does that pay?

An agent sends its whole history with every step. A provider reads what it holds warm at a tenth of the price or less, and bills the
rest in full, or dearer where it is written to the cache. So a switch costs the whole context once, and saves a little with each step.
"""

from __future__ import annotations

from dataclasses import dataclass

from langroute.records import Price


@dataclass(frozen=True, slots=True)
class Pace:
    """How a conversation goes on: the tokens of each of its next steps, and how many steps are expected.

    Example:
        >>> Pace(steps=4).grows
        1800
    """

    steps: float = 5.0
    """Steps until the next boundary, this one included."""

    input_tokens: int = 1500
    """New input of a step: tool results, a user's message."""

    output_tokens: int = 300

    @property
    def grows(self) -> int:
        """Tokens by which the history grows with each step."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Rates:
    """What a route bills in USD for one token, at one size of prompt."""

    read: float
    """Input that the provider holds warm."""

    write: float
    """Input that it does not; where prompts are cached, it is written to the cache."""

    output: float
    call: float = 0.0
    """USD for each call."""

    @classmethod
    def of(cls, price: Price, tokens: int, *, caches: bool = True, hour: bool = False) -> Rates:
        """The rates of a price for prompts of that size.

        Args:
            price: The route's price.
            tokens: Size of the prompt: some providers have dearer rates for long ones.
            caches: Prompts sent to the route are cached.
            hour: They are kept for an hour, where that has a price of its own.

        Example:
            >>> Rates.of(Price(input=5, output=25, cache_read=0.5, cache_write=6.25), 1000).write * 1e6
            6.25
        """
        for start, other in reversed(price.above):
            if tokens > start:
                price = other
                break
        plain = price.input
        if not caches:
            return cls(plain / 1e6, plain / 1e6, price.output / 1e6, price.per_call)
        write = plain if price.cache_write is None else price.cache_write
        if hour and price.cache_write_1h is not None:
            write = price.cache_write_1h
        read = plain if price.cache_read is None else price.cache_read
        return cls(read / 1e6, write / 1e6, price.output / 1e6, price.per_call)

    def now(self, tokens: int, warm: int, output_tokens: float) -> float:
        """USD for one call.

        Args:
            tokens: Size of the prompt.
            warm: Tokens of it that the provider holds.
            output_tokens: Length of the answer.
        """
        return warm * self.read + (tokens - warm) * self.write + output_tokens * self.output + self.call

    def run(self, tokens: int, warm: int, pace: Pace) -> float:
        """USD for all the steps to the next boundary.

        Args:
            tokens: Size of the first step's prompt.
            warm: Tokens of it that the provider holds.
            pace: How it goes on.
        """
        later = max(0.0, pace.steps - 1)
        grows = pace.grows
        # Each later step reads all that was sent before it and writes what is new.
        read = later * tokens + grows * later * (later - 1) / 2
        return (
            self.now(tokens, warm, pace.output_tokens)
            + read * self.read
            + later * (grows * self.write + pace.output_tokens * self.output + self.call)
        )

    def cold(self, tokens: int) -> float:
        """USD lost when the provider has forgotten so many tokens."""
        return tokens * (self.write - self.read)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a route would bill for one prompt now.

    Example:
        >>> rates = Rates(read=0.5e-6, write=6.25e-6, output=25e-6)
        >>> round(Terms(rates, tokens=10_000, warm=8_000, lives=300.0).now(100), 6)
        0.019
    """

    rates: Rates
    tokens: int
    """Size of the prompt, as the route's provider counts."""

    warm: int
    """Tokens of it that the provider holds."""

    lives: float
    """Seconds that it keeps them after their last use."""

    def now(self, output_tokens: float) -> float:
        """USD for a call with an answer of that length."""
        return self.rates.now(self.tokens, self.warm, output_tokens)

    def run(self, pace: Pace, warm: int | None = None) -> float:
        """USD for all the steps to the next boundary, perhaps with more of the prompt warm than is."""
        return self.rates.run(self.tokens, self.warm if warm is None else min(warm, self.tokens), pace)


def break_even_steps(
    stay: Rates, go: Rates, *, tokens: int, pace: Pace, returns_cold: bool = False, max_steps: int = 1000
) -> int | None:
    """After how many steps a switch from a warm route to a cold one pays; `None` where it does not within `max_steps`.

    Args:
        stay: Rates of the route that holds the context warm.
        go: Rates of the route that holds nothing.
        tokens: Size of the context.
        pace: Tokens of each step; its number of steps is what is looked for.
        returns_cold: The conversation comes back to the first route, which will have forgotten the context.
        max_steps: Where to give up.

    Example:
        >>> opus = Rates.of(Price(input=5, output=25, cache_read=0.5, cache_write=6.25), 100_000)
        >>> haiku = Rates.of(Price(input=1, output=5, cache_read=0.1, cache_write=1.25), 100_000)
        >>> break_even_steps(opus, haiku, tokens=100_000, pace=Pace(input_tokens=2000, output_tokens=500))
        2
    """
    back = stay.cold(tokens) if returns_cold else 0.0
    prompt = tokens + pace.input_tokens
    for steps in range(1, max_steps + 1):
        ahead = Pace(steps, pace.input_tokens, pace.output_tokens)
        if go.run(prompt, 0, ahead) + back <= stay.run(prompt, tokens, ahead):
            return steps
    return None
