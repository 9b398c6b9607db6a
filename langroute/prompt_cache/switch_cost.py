"""Cost of switching to another route, and the number of steps after which a switch pays.

An agent sends its whole history with every step. A provider bills cached tokens at a tenth of the price or less and the rest in full, or
at a higher rate where it is written to the cache. So a switch costs the whole context once and saves a little with each step.
"""

from __future__ import annotations

from dataclasses import dataclass

from langroute.core.records import Price


@dataclass(frozen=True, slots=True)
class Pace:
    """Expected course of a conversation: tokens of each step, and number of steps.

    Example:
        >>> Pace(steps=4).grows
        1800
    """

    steps: float = 5.0
    """Steps until the next boundary, this one included."""

    input_tokens: int = 1500
    """New input tokens of a step: tool results, a user message."""

    output_tokens: int = 300

    @property
    def grows(self) -> int:
        """Tokens that each step adds to the history."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class TokenRates:
    """Rates of a route in USD per token, for one size of prompt."""

    read: float
    """Input that is read from the prompt cache."""

    write: float
    """Other input; where prompts are cached, it is written to the cache."""

    output: float
    call: float = 0.0
    """USD per call."""

    @classmethod
    def of(cls, price: Price, tokens: int, *, caches: bool = True, hour: bool = False) -> TokenRates:
        """Return the rates of a price for prompts of that size.

        Args:
            price: The route's price.
            tokens: Size of the prompt: some providers have dearer rates for long ones.
            caches: Prompts sent to the route are cached.
            hour: They are cached for an hour, which may have a price of its own.

        Example:
            >>> TokenRates.of(Price(input=5, output=25, cache_read=0.5, cache_write=6.25), 1000).write * 1e6
            6.25
        """
        rates, plain = price.at(tokens), price.at(tokens).input / 1e6
        if not caches:
            return cls(plain, plain, rates.output / 1e6, price.per_call)
        write = rates.write_1h_rate if hour else rates.write_rate
        return cls(rates.read_rate / 1e6, write / 1e6, rates.output / 1e6, price.per_call)

    def now(self, tokens: int, warm: int, output_tokens: float) -> float:
        """Return the USD of one call.

        Args:
            tokens: Size of the prompt.
            warm: Tokens of it that are in the provider's cache.
            output_tokens: Length of the answer.
        """
        return warm * self.read + (tokens - warm) * self.write + output_tokens * self.output + self.call

    def run(self, tokens: int, warm: int, pace: Pace) -> float:
        """Return the USD of all steps to the next boundary.

        Args:
            tokens: Size of the first step's prompt.
            warm: Tokens of it that are in the provider's cache.
            pace: Expected course of the conversation.
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
        """Return the USD lost when the provider has forgotten this many tokens."""
        return tokens * (self.write - self.read)


@dataclass(frozen=True, slots=True)
class PromptCost:
    """Cost of one prompt on a route now.

    Example:
        >>> rates = TokenRates(read=0.5e-6, write=6.25e-6, output=25e-6)
        >>> round(PromptCost(rates, tokens=10_000, warm=8_000, lives=300.0).now(100), 6)
        0.019
    """

    rates: TokenRates
    tokens: int
    """Size of the prompt in the provider's own tokens."""

    warm: int
    """Tokens of the prompt that are in the provider's cache."""

    lives: float
    """Seconds that the provider keeps them after their last use."""

    def now(self, output_tokens: float) -> float:
        """Return the USD of a call with an answer of that length."""
        return self.rates.now(self.tokens, self.warm, output_tokens)

    def run(self, pace: Pace, warm: int | None = None) -> float:
        """Return the USD of all steps to the next boundary; `warm` overrides the cached tokens."""
        return self.rates.run(self.tokens, self.warm if warm is None else min(warm, self.tokens), pace)


def break_even_steps(
    stay: TokenRates, go: TokenRates, *, tokens: int, pace: Pace, returns_cold: bool = False, max_steps: int = 1000
) -> int | None:
    """Return the number of steps after which a switch from a warm route to a cold one pays; `None` if more than `max_steps`.

    Args:
        stay: Rates of the route that has the context cached.
        go: Rates of the route that has nothing cached.
        tokens: Size of the context.
        pace: Tokens of each step; its number of steps is ignored.
        returns_cold: The conversation returns to the first route, whose cache will have expired.
        max_steps: Largest number of steps that is tried.

    Example:
        >>> opus = TokenRates.of(Price(input=5, output=25, cache_read=0.5, cache_write=6.25), 100_000)
        >>> haiku = TokenRates.of(Price(input=1, output=5, cache_read=0.1, cache_write=1.25), 100_000)
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
