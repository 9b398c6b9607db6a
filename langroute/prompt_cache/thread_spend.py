"""Cost of a conversation, and its hypothetical cost on a single route, prompt cache included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from langroute.prompt_cache.switch_cost import PromptCost


@dataclass(frozen=True, slots=True)
class _Alone:
    """Hypothetical state of one route that answered every step."""

    usd: float
    tokens: int
    """Tokens in its prompt cache."""

    at: float


class ThreadSpend:
    """Actual and hypothetical costs of one conversation.

    Example:
        >>> from langroute.prompt_cache.switch_cost import TokenRates
        >>> opus = TokenRates(read=0.5e-6, write=6.25e-6, output=25e-6)
        >>> tab, first = ThreadSpend(), PromptCost(opus, tokens=10_000, warm=0, lives=300.0)
        >>> tab.add(0.01, {"opus": first}, 100, at=0.0)
        >>> tab.spent, round(tab.alone("opus", PromptCost(opus, tokens=11_000, warm=0, lives=300.0), 100, at=60.0), 6)
        (0.01, 0.07875)
    """

    __slots__ = ("_alone", "spent")

    def __init__(self) -> None:
        self.spent = 0.0
        self._alone: dict[str, _Alone] = {}

    def alone(self, route: str, terms: PromptCost, output_tokens: float, *, at: float) -> float:
        """Return the USD that one route alone would have cost, this step included.

        Args:
            route: The route.
            terms: Cost of this step's prompt on the route; its warm tokens count only in the first step.
            output_tokens: Length of the answer.
            at: Time in seconds.
        """
        known = self._alone.get(route)
        if known is None:
            return terms.now(output_tokens)
        held = known.tokens if at - known.at <= terms.lives else 0
        return known.usd + terms.rates.now(terms.tokens, min(held, terms.tokens), output_tokens)

    def add(self, usd: float, routes: Mapping[str, PromptCost], output_tokens: float, *, at: float) -> None:
        """Add a step that was answered.

        Args:
            usd: Cost of the step.
            routes: Cost of the step's prompt on each route.
            output_tokens: Length of the answer.
            at: Time in seconds.
        """
        self.spent += usd
        for name, terms in routes.items():
            self._alone[name] = _Alone(self.alone(name, terms, output_tokens, at=at), terms.tokens, at)
